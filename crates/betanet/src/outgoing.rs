//! A link that is kept up: connects, reconnects with back-off, pings, sends what is queued.

use crate::Key;
use crate::link::{self, Frame, IDLE_TIMEOUT, LinkError, Role};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;
use x25519_dalek::StaticSecret;

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(10);
/// Frames written before a flush, so that one slow reader cannot keep the buffer from being sent.
const BATCH: usize = 64;

/// Frames that were handed over together, to be written together.
pub(crate) type Frames = Vec<Frame>;

/// Puts frames into the queue of a kept link. The link ends when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct QueueSender {
    frames: mpsc::UnboundedSender<Frames>,
    waiting: Arc<AtomicUsize>,
    most: usize,
}

/// The link's end of the queue.
pub(crate) struct QueueReceiver {
    frames: mpsc::UnboundedReceiver<Frames>,
    waiting: Arc<AtomicUsize>,
}

/// Why frames were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueueError {
    /// As many frames wait as may.
    Full,
    /// The link is gone for good.
    Closed,
}

/// A queue in which at most so many frames wait.
pub(crate) fn queue(most: usize) -> (QueueSender, QueueReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::<AtomicUsize>::default();
    let queue = QueueSender { frames: sender, waiting: waiting.clone(), most };
    (queue, QueueReceiver { frames: receiver, waiting })
}

impl QueueSender {
    pub(crate) fn try_send(&self, frames: Frames) -> Result<(), QueueError> {
        let count = frames.len();
        if self.waiting.fetch_add(count, Ordering::AcqRel) + count > self.most {
            self.waiting.fetch_sub(count, Ordering::AcqRel);
            return Err(QueueError::Full);
        }
        self.frames.send(frames).map_err(|_| QueueError::Closed)
    }

    /// The share of the queue that is taken.
    pub(crate) fn filled(&self) -> f64 {
        self.waiting.load(Ordering::Acquire) as f64 / self.most as f64
    }
}

impl QueueReceiver {
    async fn recv(&mut self) -> Option<Frames> {
        let frames = self.frames.recv().await?;
        self.waiting.fetch_sub(frames.len(), Ordering::AcqRel);
        Some(frames)
    }

    fn try_recv(&mut self) -> Option<Frames> {
        let frames = self.frames.try_recv().ok()?;
        self.waiting.fetch_sub(frames.len(), Ordering::AcqRel);
        Some(frames)
    }
}

/// How a kept link is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LinkState {
    /// Not asked for yet, or being made.
    #[default]
    Connecting,
    /// Up.
    Up,
    /// Down; the text says why. It is tried again.
    Down(String),
}

/// Whom to link to, and as whom.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) remote: Key,
    pub(crate) local: StaticSecret,
    pub(crate) role: Role,
    /// Connect only when there is something to send (relays among themselves).
    pub(crate) lazy: bool,
}

/// Runs until `cancel` or until the sender of `queue` is gone.
pub(crate) async fn keep(
    target: Target,
    mut queue: QueueReceiver,
    incoming: Option<mpsc::Sender<Frame>>,
    state: watch::Sender<LinkState>,
    cancel: CancellationToken,
) {
    let mut backoff = FIRST_BACKOFF;
    let mut waiting: Option<Frames> = None;
    loop {
        if target.lazy && waiting.is_none() {
            tokio::select! {
                () = cancel.cancelled() => return,
                frames = queue.recv() => match frames {
                    Some(frames) => waiting = Some(frames),
                    None => return,
                },
            }
        }
        let connected = Instant::now();
        let result = tokio::select! {
            () = cancel.cancelled() => return,
            result = run(&target, &mut waiting, &mut queue, incoming.as_ref(), &state) => result,
        };
        match result {
            Ok(()) => return, // nobody sends any more
            Err(e) => {
                if *state.borrow() == LinkState::Up && connected.elapsed() > LAST_BACKOFF {
                    backoff = FIRST_BACKOFF;
                }
                tracing::debug!(relay = %crate::short(&target.remote), "link down: {e}");
                state.send_replace(LinkState::Down(e.to_string()));
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = sleep(backoff) => {}
        }
        backoff = (backoff * 2).min(LAST_BACKOFF);
    }
}

async fn run(
    target: &Target,
    waiting: &mut Option<Frames>,
    queue: &mut QueueReceiver,
    incoming: Option<&mpsc::Sender<Frame>>,
    state: &watch::Sender<LinkState>,
) -> Result<(), LinkError> {
    let stream = timeout(link::HANDSHAKE_TIMEOUT, TcpStream::connect(target.address))
        .await
        .map_err(|_| LinkError::Timeout)??;
    let (mut reader, mut writer) = link::connect(stream, &target.local, &target.remote, target.role).await?;
    state.send_replace(LinkState::Up);

    // Reading is not cancel-safe, so it is one future that lives as long as the link.
    let read = async {
        loop {
            match reader.read().await? {
                Frame::Pong => {}
                frame => {
                    if let Some(incoming) = incoming
                        && incoming.send(frame).await.is_err()
                    {
                        return Ok::<(), LinkError>(());
                    }
                }
            }
        }
    };
    let write = async {
        let mut ping = interval_at(Instant::now() + IDLE_TIMEOUT / 3, IDLE_TIMEOUT / 3);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut frames = waiting.take().unwrap_or_default();
        loop {
            while frames.len() < BATCH
                && let Some(more) = queue.try_recv()
            {
                frames.extend(more);
            }
            if frames.is_empty() {
                tokio::select! {
                    more = queue.recv() => match more {
                        Some(more) => frames = more,
                        None => return Ok::<(), LinkError>(()),
                    },
                    _ = ping.tick() => frames.push(Frame::Ping),
                }
                continue;
            }
            for frame in frames.drain(..) {
                writer.write(&frame).await?;
            }
            writer.flush().await?;
        }
    };
    tokio::select! {
        result = read => result,
        result = write => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_takes_frames_up_to_its_bound_and_again_when_some_left() {
        let (sender, mut receiver) = queue(3);
        assert_eq!(sender.try_send(vec![Frame::Ping; 2]), Ok(()));
        assert_eq!(sender.try_send(vec![Frame::Ping; 2]), Err(QueueError::Full));
        assert_eq!(sender.try_send(vec![Frame::Ping]), Ok(()));
        assert!((sender.filled() - 1.0).abs() < 1e-9);
        assert_eq!(receiver.recv().await.map(|f| f.len()), Some(2));
        assert_eq!(receiver.try_recv().map(|f| f.len()), Some(1));
        assert_eq!((receiver.try_recv(), sender.filled()), (None, 0.0));
        drop(receiver);
        assert_eq!(sender.try_send(vec![Frame::Ping]), Err(QueueError::Closed));
    }
}
