//! Accepted links: their packets go through the mix in batches; a mailbox's owner gets what waits for it.

use super::{Shared, mixer};
use crate::Key;
use crate::link::{self, Accepted, Frame, LinkError, LinkWriter, Role};
use crate::packet;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

/// Links that a relay holds at once; more are closed at once. A quiet one takes some 30 KiB.
const MAX_LINKS: usize = 4096;
/// Of these, links from one address: whoever opens more keeps nobody else out.
const MAX_LINKS_PER_ADDRESS: usize = 512;
/// Frames that wait for the writer of an accepted link.
const REPLY_QUEUE: usize = 64;
/// How often a link that had to wait looks whether the relay has room again.
const FULL_PAUSE: Duration = Duration::from_millis(2);
/// Pauses that a slow peer is worth, for each batch.
const MOST_PAUSES: u32 = 10;

/// Accepts links until the relay ends.
pub(super) async fn accept_all(shared: Arc<Shared>, listener: TcpListener, mixer: mixer::Handle) {
    let slots = Slots::default();
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

/// Counts the links, all and by address.
#[derive(Clone, Default)]
struct Slots(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Slots {
    /// None if there are as many links as there may be.
    fn take(&self, from: IpAddr) -> Option<Slot> {
        let mut taken = self.0.lock();
        if taken.values().sum::<usize>() >= MAX_LINKS {
            return None;
        }
        let here = taken.entry(from).or_default();
        if *here >= MAX_LINKS_PER_ADDRESS {
            return None;
        }
        *here += 1;
        Some(Slot { slots: self.clone(), from })
    }
}

/// The place of one link, until it is dropped.
struct Slot {
    slots: Slots,
    from: IpAddr,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.0.lock();
        if let Some(here) = taken.get_mut(&self.from) {
            *here -= 1;
            if *here == 0 {
                taken.remove(&self.from);
            }
        }
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
                    let debt = allowance.spend(packets.len(), Instant::now());
                    // Even a sleep of no length would take until the runtime's next tick.
                    if !debt.is_zero() {
                        tokio::time::sleep(debt).await;
                    }
                    self.wait_for_room().await;
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
        let mut unwrapped = packet::unwrap(admitted);
        let lost = shared.chaos.map_or(0, |chaos| chaos.apply(&mut unwrapped));
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
    fn one_address_cannot_take_all_places() {
        let slots = Slots::default();
        let address = |n: u16| IpAddr::from([10, 0, n as u8, 1]);
        let mut held: Vec<Slot> = (0..MAX_LINKS_PER_ADDRESS).map_while(|_| slots.take(address(0))).collect();
        assert_eq!(held.len(), MAX_LINKS_PER_ADDRESS);
        assert!(slots.take(address(0)).is_none());
        for n in 1..=(MAX_LINKS / MAX_LINKS_PER_ADDRESS) as u16 {
            held.extend((0..MAX_LINKS_PER_ADDRESS).map_while(|_| slots.take(address(n))));
        }
        assert_eq!(held.len(), MAX_LINKS);
        held.pop();
        assert!(slots.take(address(99)).is_some());
        drop(held);
        assert!(slots.0.lock().is_empty());
    }

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
