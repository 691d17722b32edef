//! Accepted links: their packets go through the mix in batches; a mailbox's owner gets what waits for it.

use super::{Shared, mixer};
use crate::Key;
use crate::link::{self, Accepted, Frame, LinkError, LinkWriter, Role};
use crate::packet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc};

/// Links that a relay holds at once; more are closed at once.
const MAX_LINKS: usize = 1024;
/// Frames that wait for the writer of an accepted link.
const REPLY_QUEUE: usize = 64;
/// How often a link that had to wait looks whether the relay has room again.
const FULL_PAUSE: Duration = Duration::from_millis(2);

/// Accepts links until the relay ends.
pub(super) async fn accept_all(shared: Arc<Shared>, listener: TcpListener, mixer: mixer::Handle) {
    let slots = Arc::new(Semaphore::new(MAX_LINKS));
    loop {
        let stream = tokio::select! {
            () = shared.cancel.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(e) => {
                    // Out of file descriptors, say: the links that end will free some.
                    tracing::warn!("accepting a link failed: {e}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            },
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            shared.links_refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let link = Link { shared: shared.clone(), mixer: mixer.clone() };
        shared.tasks.spawn(async move {
            let cancel = link.shared.cancel.clone();
            link.shared.links.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                () = cancel.cancelled() => {}
                result = link.serve(stream) => if let Err(e) = result {
                    tracing::debug!("link ended: {e}");
                },
            }
            link.shared.links.fetch_sub(1, Ordering::Relaxed);
            drop(slot);
        });
    }
}

/// What one link works with.
struct Link {
    shared: Arc<Shared>,
    mixer: mixer::Handle,
}

impl Link {
    async fn serve(&self, stream: TcpStream) -> Result<(), LinkError> {
        let shared = &self.shared;
        let Accepted { mut reader, writer, role, remote } = link::accept(stream, &shared.keys.link).await?;
        let (replies, queue) = mpsc::channel(REPLY_QUEUE);
        let wake = Arc::new(Notify::new());
        let mailbox = (role == Role::Mailbox).then_some(remote);
        if let Some(key) = mailbox {
            if !shared.mix.lock().mailboxes().register(key, Instant::now()) {
                return Err(LinkError::Protocol("no room for another mailbox"));
            }
            shared.mailbox_links.lock().insert(key, wake.clone());
        }
        let read = async {
            let mut allowance = Allowance::new(shared.link_rate, Instant::now());
            let mut frames = Vec::new();
            loop {
                reader.read_batch(&mut frames).await?;
                let mut packets = Vec::with_capacity(frames.len());
                for frame in frames.drain(..) {
                    if let (Some(key), Frame::Ping | Frame::Received(_)) = (&mailbox, &frame) {
                        shared.mix.lock().mailboxes().touch(key, Instant::now());
                    }
                    match frame {
                        Frame::Packet(packet) => packets.push(packet),
                        Frame::Ping => _ = replies.try_send(Frame::Pong),
                        Frame::Received(number) => {
                            if let Some(key) = &mailbox {
                                shared.mix.lock().mailboxes().acknowledge(key, number);
                            }
                        }
                        Frame::Pong => {}
                        Frame::Deliver(..) => return Err(LinkError::Protocol("a delivery to a relay")),
                    }
                }
                if !packets.is_empty() {
                    tokio::time::sleep(allowance.spend(packets.len(), Instant::now())).await;
                    while shared.mix.lock().is_full() {
                        tokio::time::sleep(FULL_PAUSE).await;
                    }
                    self.take(packets);
                }
            }
        };
        let result = tokio::select! {
            result = read => result,
            result = self.write(writer, queue, mailbox, &wake) => result,
        };
        if let Some(key) = mailbox {
            let mut links = shared.mailbox_links.lock();
            // A newer link of the same owner may have taken the place.
            if links.get(&key).is_some_and(|w| Arc::ptr_eq(w, &wake)) {
                links.remove(&key);
            }
        }
        result
    }

    async fn write(
        &self,
        mut writer: LinkWriter,
        mut replies: mpsc::Receiver<Frame>,
        mailbox: Option<Key>,
        wake: &Notify,
    ) -> Result<(), LinkError> {
        let mut sent = 0;
        loop {
            if let Some(key) = &mailbox {
                loop {
                    let batch: Vec<_> = {
                        let mut mix = self.shared.mix.lock();
                        mix.mailboxes().unsent(key, sent).take(REPLY_QUEUE).cloned().collect()
                    };
                    if batch.is_empty() {
                        break;
                    }
                    for queued in batch {
                        sent = queued.number;
                        writer.write(&Frame::Deliver(queued.number, queued.message)).await?;
                    }
                }
                writer.flush().await?;
            }
            tokio::select! {
                () = wake.notified() => {}
                reply = replies.recv() => match reply {
                    Some(frame) => {
                        writer.write(&frame).await?;
                        writer.flush().await?;
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    /// What one read brought: the lock is held only for what needs the relay's state.
    fn take(&self, packets: Vec<Vec<u8>>) {
        let shared = &self.shared;
        let start = Instant::now();
        let opened = packet::open(&shared.keys.sphinx, packets);
        let admitted = shared.mix.lock().admit(opened);
        if !admitted.is_empty() && !shared.unwritten.swap(true, Ordering::AcqRel) {
            self.mixer.wake();
        }
        let unwrapped = packet::unwrap(admitted);
        let (woken, earlier) = {
            let mut mix = shared.mix.lock();
            let before = mix.next_due();
            let woken = mix.hold(Instant::now(), unwrapped);
            (woken, mix.next_due() != before)
        };
        if earlier {
            self.mixer.wake();
        }
        if !woken.is_empty() {
            let links = shared.mailbox_links.lock();
            for mailbox in woken {
                if let Some(wake) = links.get(&mailbox) {
                    wake.notify_one();
                }
            }
        }
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        shared.busy.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// A token bucket of one second.
struct Allowance {
    rate: f64,
    tokens: f64,
    at: Instant,
}

impl Allowance {
    fn new(rate: u32, now: Instant) -> Self {
        Self { rate: f64::from(rate), tokens: f64::from(rate), at: now }
    }

    /// Takes this many packets, and says how long to wait before they are worked on.
    fn spend(&mut self, packets: usize, now: Instant) -> Duration {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + earned).min(self.rate) - packets as f64;
        self.at = now;
        Duration::from_secs_f64((-self.tokens / self.rate).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_gets_its_rate_and_no_more() {
        let start = Instant::now();
        let mut allowance = Allowance::new(100, start);
        assert_eq!(allowance.spend(100, start), Duration::ZERO);
        assert_eq!(allowance.spend(50, start), Duration::from_millis(500));
        // A second later the debt is paid, and half a second's packets are there.
        let later = start + Duration::from_secs(1);
        assert_eq!(allowance.spend(50, later), Duration::ZERO);
        assert_eq!(allowance.spend(1, later), Duration::from_millis(10));
        // A long rest earns a second's packets.
        let rested = later + Duration::from_secs(100);
        assert_eq!(allowance.spend(101, rested), Duration::from_millis(10));
    }
}
