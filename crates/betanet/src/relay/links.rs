//! Accepted links: their packets go through the mix in batches; a mailbox's owner gets what waits for it.

use super::{Shared, mixer};
use crate::Key;
use crate::directory::exchange::{Answer, MAX_REQUEST, Pieces, Request};
use crate::link::{self, Accepted, Frame, LinkError, LinkWriter, Role};
use crate::packet::{self, PacketError, Unwrapped};
use crate::slots::Slots;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

/// Links that a relay holds at once; more are closed at once. A quiet one takes some 30 KiB.
const MAX_LINKS: usize = 4096;
/// Of these, links from one address: whoever opens more keeps nobody else out.
const MAX_LINKS_PER_ADDRESS: usize = 512;
/// Answers that wait for the writer of an accepted link.
const REPLY_QUEUE: usize = 8;
/// Mail that is taken from the queue at once.
const DELIVERIES: usize = 64;
/// How often a link that had to wait looks whether the relay has room again.
const FULL_PAUSE: Duration = Duration::from_millis(2);
/// Pauses that a slow peer is worth, for each batch.
const MOST_PAUSES: u32 = 10;

/// Accepts links until the relay ends.
pub(super) async fn accept_all(shared: Arc<Shared>, listener: TcpListener, mixer: mixer::Handle) {
    let slots = Slots::new(MAX_LINKS, MAX_LINKS_PER_ADDRESS);
    loop {
        let (stream, from) = tokio::select! {
            () = shared.cancel.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(e) => {
                    // Out of file descriptors, say: the links that end will free some.
                    tracing::warn!("accepting a link failed: {e}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            },
        };
        let Some(slot) = slots.take(from.ip()) else {
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
        let (replies, queue) = mpsc::channel::<Vec<Frame>>(REPLY_QUEUE);
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
            let mut requests = Pieces::new(MAX_REQUEST);
            loop {
                reader.read_batch(&mut frames).await?;
                let mut packets = Vec::with_capacity(frames.len());
                let mut passed = Vec::new();
                for frame in frames.drain(..) {
                    if let (Some(key), Frame::Ping | Frame::Received(_)) = (&mailbox, &frame) {
                        shared.mix.lock().mailboxes().touch(key, Instant::now());
                    }
                    match frame {
                        Frame::Packet(packet) => packets.push(packet),
                        Frame::Pass { next, packet } => {
                            passed.push(Ok(Unwrapped::Forward { next, delay: Duration::ZERO, packet }));
                        }
                        Frame::Ping => _ = replies.try_send(vec![Frame::Pong]),
                        Frame::Received(number) => {
                            if let Some(key) = &mailbox {
                                shared.mix.lock().mailboxes().acknowledge(key, number);
                            }
                        }
                        Frame::Pong => {}
                        Frame::Document { last, piece } => {
                            let request = requests.add(last, &piece);
                            match request.map_err(|()| LinkError::Protocol("a request that is too long"))? {
                                Some(request) if replies.capacity() > 0 => {
                                    _ = replies.try_send(self.answer(&request).frames());
                                }
                                // Whoever asks faster than it reads gets no answer.
                                _ => {}
                            }
                        }
                        Frame::Deliver(..) | Frame::Datagram(_) => {
                            return Err(LinkError::Protocol("something that is not for a relay"));
                        }
                    }
                }
                if !packets.is_empty() || !passed.is_empty() {
                    let debt = allowance.spend(packets.len() + passed.len(), Instant::now());
                    // Even a sleep of no length would take until the runtime's next tick.
                    if !debt.is_zero() {
                        tokio::time::sleep(debt).await;
                    }
                    self.wait_for_room().await;
                    self.take(packets, passed);
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

    /// A relay hands on the consensus that it has.
    fn answer(&self, request: &[u8]) -> Answer {
        match Request::decode(request) {
            Some(Request::Consensus { newer_than }) => {
                let consensus = self.shared.consensus.borrow().clone();
                if consensus.unverified().valid_after > newer_than {
                    Answer::Document(consensus.to_bytes())
                } else {
                    Answer::Nothing
                }
            }
            _ => Answer::Refused("a relay hands on its consensus, and nothing else".into()),
        }
    }

    /// Waits while the relay is full, and for a moment while a peer is slow: the senders' packets stay in their
    /// sockets. It is only a moment, so that no peer can hold up everybody by taking nothing.
    async fn wait_for_room(&self) {
        let mut pauses = 0;
        while self.shared.mix.lock().is_full()
            || (pauses < MOST_PAUSES && self.shared.pressure.load(Ordering::Relaxed))
        {
            tokio::time::sleep(FULL_PAUSE).await;
            pauses += 1;
        }
    }

    async fn write(
        &self,
        mut writer: LinkWriter,
        mut replies: mpsc::Receiver<Vec<Frame>>,
        mailbox: Option<Key>,
        wake: &Notify,
    ) -> Result<(), LinkError> {
        let mut sent = 0;
        loop {
            if let Some(key) = &mailbox {
                loop {
                    let batch: Vec<_> = {
                        let mut mix = self.shared.mix.lock();
                        mix.mailboxes().unsent(key, sent).take(DELIVERIES).cloned().collect()
                    };
                    if batch.is_empty() {
                        break;
                    }
                    for queued in batch {
                        sent = queued.number;
                        writer.write(&Frame::Deliver(queued.number, queued.mail)).await?;
                    }
                }
                writer.flush().await?;
            }
            tokio::select! {
                () = wake.notified() => {}
                reply = replies.recv() => match reply {
                    Some(frames) => {
                        for frame in &frames {
                            writer.write(frame).await?;
                        }
                        writer.flush().await?;
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    /// What one read brought: the lock is held only for what needs the relay's state.
    fn take(&self, packets: Vec<Vec<u8>>, passed: Vec<Result<Unwrapped, PacketError>>) {
        let shared = &self.shared;
        let start = Instant::now();
        let secrets = shared.secrets.read().clone();
        let opened = packet::open(&secrets, packets);
        let admitted = shared.mix.lock().admit(opened);
        let mut unwrapped = packet::unwrap(shared.written(admitted));
        unwrapped.extend(passed);
        let lost = shared.chaos.map_or(0, |chaos| chaos.apply(&mut unwrapped));
        super::requests::serve(shared, &mut unwrapped);
        let (woken, earlier) = {
            let mut mix = shared.mix.lock();
            mix.lost(lost);
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
