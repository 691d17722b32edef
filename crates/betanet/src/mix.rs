//! A relay as a state machine without IO: packets and the time go in, packets to send come out.
//!
//! ```text
//! open (key agreement, no state) → seen before? → unwrap → remember → delay queue → Forward | mailbox
//! ```

mod mailbox;
mod replay;

pub use mailbox::{Mailboxes, Queued};
pub use replay::{ReplayError, ReplayFilter};

use crate::Key;
use crate::packet::{self, PacketError, Unwrapped};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Instant;
use x25519_dalek::StaticSecret;

/// The most packets held at once; beyond it new ones are refused, which the links turn into back-pressure.
pub const MAX_HELD: usize = 65_536;

/// Why a packet was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is malformed or not for this relay.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// It was here before.
    #[error("the packet was seen before (replay)")]
    Replay,
    /// The replay filter or the delay queue is full.
    #[error("the relay is full: {0}")]
    Full(&'static str),
}

/// A packet whose delay is over.
#[derive(Debug, PartialEq, Eq)]
pub struct Forward {
    /// The next relay's id.
    pub next: Key,
    /// The packet.
    pub packet: Vec<u8>,
    /// When it was due; the difference to now is the relay's lateness.
    pub due: Instant,
}

/// What a relay has counted since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets forwarded.
    pub forwarded: u64,
    /// Messages put into a mailbox.
    pub delivered: u64,
    /// Replays refused.
    pub replays: u64,
    /// Malformed packets refused.
    pub malformed: u64,
    /// Packets refused because something was full.
    pub full: u64,
    /// Messages for mailboxes that never registered here, or whose quota is used up.
    pub undeliverable: u64,
}

struct Held {
    due: Instant,
    number: u64,
    next: Key,
    packet: Vec<u8>,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Held {}
impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Held {
    /// Earliest first in a max-heap; ties by arrival, so that order is total.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

/// The state of one relay.
pub struct Mix {
    replay: ReplayFilter,
    held: BinaryHeap<Held>,
    next_number: u64,
    mailboxes: Mailboxes,
    counters: Counters,
}

impl Mix {
    /// A relay with this replay filter and no packets.
    pub fn new(replay: ReplayFilter) -> Self {
        Self {
            replay,
            held: BinaryHeap::new(),
            next_number: 0,
            mailboxes: Mailboxes::default(),
            counters: Counters::default(),
        }
    }

    /// The part of the work that needs no state: run it before taking the lock around [`Mix`].
    ///
    /// # Errors
    /// Those of [`packet::open`].
    pub fn open(secret: &StaticSecret, bytes: &[u8]) -> Result<packet::Opened, PacketError> {
        packet::open(secret, bytes)
    }

    /// Takes an opened packet: refuses replays before it touches the payload, then holds or delivers it.
    /// For a delivery the mailbox's key is returned, so that the driver can wake its link.
    ///
    /// # Errors
    /// [`Refused`]; the counters tell how often.
    pub fn accept(
        &mut self,
        now: Instant,
        opened: Result<packet::Opened, PacketError>,
    ) -> Result<Option<Key>, Refused> {
        let result = self.try_accept(now, opened);
        match &result {
            Err(Refused::Replay) => self.counters.replays += 1,
            Err(Refused::Packet(_)) => self.counters.malformed += 1,
            Err(Refused::Full(_)) => self.counters.full += 1,
            Ok(_) => {}
        }
        result
    }

    fn try_accept(
        &mut self,
        now: Instant,
        opened: Result<packet::Opened, PacketError>,
    ) -> Result<Option<Key>, Refused> {
        let opened = opened?;
        let tag = opened.replay_tag();
        if self.replay.contains(tag) {
            return Err(Refused::Replay);
        }
        if self.held.len() >= MAX_HELD {
            return Err(Refused::Full("too many packets wait"));
        }
        let unwrapped = opened.unwrap_layer()?;
        // Only a tag whose header was authentic is remembered, so junk cannot fill the filter.
        self.replay.insert(tag).map_err(|_| Refused::Full("the replay filter has no room"))?;
        match unwrapped {
            Unwrapped::Forward { next, delay, packet } => {
                let number = self.next_number;
                self.next_number += 1;
                self.held.push(Held { due: now + delay, number, next, packet });
                Ok(None)
            }
            Unwrapped::Deliver { mailbox, message } => {
                if self.mailboxes.put(&mailbox, message, now) {
                    self.counters.delivered += 1;
                    Ok(Some(mailbox))
                } else {
                    self.counters.undeliverable += 1;
                    Ok(None)
                }
            }
        }
    }

    /// The next packet whose delay is over.
    pub fn poll(&mut self, now: Instant) -> Option<Forward> {
        if self.held.peek()?.due > now {
            return None;
        }
        let Held { due, next, packet, .. } = self.held.pop()?;
        self.counters.forwarded += 1;
        Some(Forward { next, packet, due })
    }

    /// When [`Mix::poll`] has something next.
    pub fn next_due(&self) -> Option<Instant> {
        self.held.peek().map(|h| h.due)
    }

    /// The mailboxes that this relay is home to.
    pub fn mailboxes(&mut self) -> &mut Mailboxes {
        &mut self.mailboxes
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Writes what must survive a restart. Call it every tick.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn persist(&mut self) -> std::io::Result<()> {
        self.replay.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Hop, build};
    use std::time::Duration;
    use x25519_dalek::PublicKey;

    fn hop(secret: &StaticSecret, id: u8, ms: u64) -> Hop {
        Hop {
            relay: [id; 32],
            sphinx_key: PublicKey::from(secret).to_bytes(),
            delay: Duration::from_millis(ms),
        }
    }

    #[test]
    fn packets_leave_when_due_and_replays_do_not_enter() {
        let (a, b) = (StaticSecret::random(), StaticSecret::random());
        let packet = |ms| build(b"hi", &[hop(&a, 1, ms), hop(&b, 2, 0)], &[9; 32]).expect("builds");
        let mut mix = Mix::new(ReplayFilter::in_memory(100));
        let start = Instant::now();
        let (slow, fast) = (packet(80), packet(20));
        for p in [&slow, &fast] {
            assert_eq!(mix.accept(start, Mix::open(&a, p)), Ok(None));
        }
        assert_eq!(mix.accept(start, Mix::open(&a, &slow)), Err(Refused::Replay));
        assert!(matches!(mix.accept(start, Mix::open(&b, &slow)), Err(Refused::Packet(_))));
        assert_eq!(mix.next_due(), Some(start + Duration::from_millis(20)));
        assert_eq!(mix.poll(start + Duration::from_millis(19)), None);
        let first = mix.poll(start + Duration::from_millis(20)).expect("due");
        assert_eq!((first.next, first.due), ([2; 32], start + Duration::from_millis(20)));
        assert!(mix.poll(start + Duration::from_millis(79)).is_none());
        assert!(mix.poll(start + Duration::from_millis(80)).is_some());
        let c = mix.counters();
        assert_eq!((c.forwarded, c.replays, c.malformed), (2, 1, 1));

        // The second relay is the home: it delivers only to a mailbox that registered.
        let mut home = Mix::new(ReplayFilter::in_memory(100));
        assert_eq!(home.accept(start, Mix::open(&b, &first.packet)), Ok(None));
        assert_eq!(home.counters().undeliverable, 1);
        home.mailboxes().register([9; 32], start);
        let packet = build(b"again", &[hop(&b, 2, 0)], &[9; 32]).expect("builds");
        assert_eq!(home.accept(start, Mix::open(&b, &packet)), Ok(Some([9; 32])));
        assert_eq!(
            home.mailboxes().unsent(&[9; 32], 0).next().map(|q| q.message.clone()),
            Some(b"again".to_vec())
        );
    }

    #[test]
    fn a_full_filter_refuses_and_does_not_forget() {
        let a = StaticSecret::random();
        let packet = || build(b"", &[hop(&a, 1, 0), hop(&a, 2, 0)], &[0; 32]).expect("builds");
        let mut mix = Mix::new(ReplayFilter::in_memory(1));
        let now = Instant::now();
        let first = packet();
        assert!(mix.accept(now, Mix::open(&a, &first)).is_ok());
        assert!(matches!(mix.accept(now, Mix::open(&a, &packet())), Err(Refused::Full(_))));
        assert_eq!(mix.accept(now, Mix::open(&a, &first)), Err(Refused::Replay));
    }
}
