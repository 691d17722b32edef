//! What a run says while it lasts.

use super::Checkpoint;
use tokio::sync::mpsc::{Sender, error::TrySendError};

/// Which of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a run says while it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEvent {
    /// The program wrote this, as far as the reader keeps up: bytes that find the queue full are dropped here (not in the
    /// outcome's file), and a note says how many.
    Log {
        /// Where.
        stream: StreamKind,
        /// What.
        bytes: Vec<u8>,
    },
    /// A state to go on from was taken.
    Checkpoint(Checkpoint),
    /// The program says how far it is, in thousandths.
    Progress {
        /// 0 to 1000.
        permille: u16,
    },
    /// Something that whoever looks at the job should know, in plain words.
    Note(String),
}

/// Where a run's events go: a bounded queue that the caller reads. A slow reader loses log bytes; it never holds up the
/// run, and it loses no checkpoint but those that a later one replaces.
#[derive(Debug)]
pub struct Events {
    queue: Option<Sender<RunEvent>>,
    checkpoint: Option<Checkpoint>,
    lost: u64,
}

impl Events {
    /// Into this queue.
    pub fn to(queue: Sender<RunEvent>) -> Self {
        Self { queue: Some(queue), checkpoint: None, lost: 0 }
    }

    /// Nobody listens.
    pub fn none() -> Self {
        Self { queue: None, checkpoint: None, lost: 0 }
    }

    /// Says it, or drops it as described above.
    pub fn say(&mut self, event: RunEvent) {
        self.catch_up();
        match event {
            RunEvent::Checkpoint(checkpoint) => {
                self.checkpoint = Some(checkpoint);
                self.catch_up();
            }
            RunEvent::Log { bytes, .. } if self.lost > 0 => self.lost += bytes.len() as u64,
            other => {
                if let Err(RunEvent::Log { bytes, .. }) = self.offer(other) {
                    self.lost += bytes.len() as u64;
                }
            }
        }
    }

    /// Says what could not be said before, as far as there is room now. Call it from time to time.
    pub fn catch_up(&mut self) {
        if let Some(checkpoint) = self.checkpoint.take()
            && let Err(RunEvent::Checkpoint(kept)) = self.offer(RunEvent::Checkpoint(checkpoint))
        {
            self.checkpoint = Some(kept);
            return;
        }
        if self.lost > 0 {
            let note = format!("{} bytes of the log were left out: it was read too slowly", self.lost);
            if self.offer(RunEvent::Note(note)).is_ok() {
                self.lost = 0;
            }
        }
    }

    /// Gives the event back if the queue is full. Without a listener everything is said.
    fn offer(&mut self, event: RunEvent) -> Result<(), RunEvent> {
        let Some(queue) = &self.queue else { return Ok(()) };
        match queue.try_send(event) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(event)) => Err(event),
            Err(TrySendError::Closed(_)) => {
                self.queue = None;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(n: u8) -> RunEvent {
        RunEvent::Log { stream: StreamKind::Stdout, bytes: vec![n; 10] }
    }

    #[test]
    fn a_slow_reader_loses_logs_but_no_checkpoint() {
        let (queue, mut read) = tokio::sync::mpsc::channel(2);
        let mut events = Events::to(queue);
        let checkpoint =
            Checkpoint { file: "c".into(), fuel: 1, cpu_ms: 2, wall_ms: 3, bytes: 4, changed: 4, number: 1 };
        for n in 0..5 {
            events.say(log(n));
        }
        events.say(RunEvent::Checkpoint(checkpoint.clone()));
        assert_eq!((read.try_recv(), read.try_recv()), (Ok(log(0)), Ok(log(1))));
        events.catch_up();
        assert_eq!(read.try_recv(), Ok(RunEvent::Checkpoint(checkpoint)));
        assert!(matches!(read.try_recv(), Ok(RunEvent::Note(text)) if text.starts_with("30 bytes")));
        events.say(log(9));
        assert_eq!(read.try_recv(), Ok(log(9)));
        drop(read);
        events.say(log(10));
        events.say(log(11));
    }
}
