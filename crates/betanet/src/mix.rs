//! A relay as a state machine without IO: packets and the time go in, packets to send come out.
//!
//! ```text
//! packet::open (key agreement, header; no state) → admit: seen before? → Admitted::written (tags to the file)
//!     → packet::unwrap (payload; no state) → hold: delay queue | mailbox → poll → Forward
//! ```
//!
//! The steps without state work on whole batches, outside of the lock around [`Mix`].

mod boxes;
mod lateness;
mod mailbox;
mod replay;
mod taglog;

pub use boxes::{
    BOX_EXPIRY, BoxCounters, Boxes, MAX_ALL_BLOCKS, MAX_ALL_WAITING, MAX_BLOCKS, MAX_BOXES, MAX_DESCRIPTORS,
    MAX_WAITING, Outgoing, WAITING_EXPIRY,
};
pub use lateness::Lateness;
pub use mailbox::{Mailboxes, Queued};
pub use replay::{HOUR_AT_FULL_RATE, ReplayError, ReplayFilter};
pub use taglog::TagLog;

use crate::Key;
use crate::packet::{Opened, PacketError, Unwrapped};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most packets held at once; beyond it new ones are refused, which the links turn into back-pressure.
pub const MAX_HELD: usize = 65_536;

/// The longest delay that is accepted while more than a quarter of the room is taken: a hundred times the default mean.
const SCARCE_DELAY: Duration = Duration::from_secs(5);

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
    /// Packets for relays that could not be reached in time.
    pub unsent: u64,
    /// Packets that wait for their time now.
    pub held: usize,
    /// Packets remembered, so that they are refused when they come again.
    pub remembered: usize,
    /// How late packets left.
    pub lateness: Lateness,
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

/// Packets that were let in. They go on once their tags are [`Admitted::written`].
#[must_use]
pub struct Admitted {
    packets: Vec<Opened>,
    unwritten: Vec<(Arc<TagLog>, Vec<u64>)>,
}

impl Admitted {
    /// Hands the packets' tags to the operating system, and gives the packets: from now on, not even a relay that was
    /// killed and started again lets them in a second time.
    ///
    /// # Errors
    /// How many packets are lost, because their tags cannot be written: whoever kept them could send them again after a
    /// restart.
    pub fn written(self) -> Result<Vec<Opened>, (usize, io::Error)> {
        for (log, tags) in &self.unwritten {
            log.append(tags).map_err(|e| (self.packets.len(), e))?;
        }
        Ok(self.packets)
    }
}

/// The state of one relay.
pub struct Mix {
    /// A replay filter for each epoch whose key is accepted.
    replay: BTreeMap<u32, ReplayFilter>,
    held: BinaryHeap<Held>,
    next_number: u64,
    mailboxes: Mailboxes,
    counters: Counters,
}

impl Mix {
    /// A relay with no packets, which accepts none until it has an epoch.
    pub fn new() -> Self {
        Self {
            replay: BTreeMap::new(),
            held: BinaryHeap::new(),
            next_number: 0,
            mailboxes: Mailboxes::default(),
            counters: Counters::default(),
        }
    }

    /// Packets of this epoch are let in from now on, if the filter does not know them.
    pub fn begin_epoch(&mut self, epoch: u32, filter: ReplayFilter) {
        self.replay.insert(epoch, filter);
    }

    /// Packets of this epoch are let in no more; what is held goes out still.
    pub fn end_epoch(&mut self, epoch: u32) {
        self.replay.remove(&epoch);
    }

    /// Lets in what was not here before, while there is room. Only authentic packets are remembered, so junk
    /// cannot fill the filter.
    pub fn admit(&mut self, batch: Vec<Result<Opened, PacketError>>) -> Admitted {
        let room = MAX_HELD.saturating_sub(self.held.len());
        let mut admitted = Vec::with_capacity(batch.len());
        for packet in batch {
            match packet.map_err(Refused::from).and_then(|p| self.admit_one(p, admitted.len() < room)) {
                Ok(opened) => admitted.push(opened),
                Err(e) => self.refuse(&e),
            }
        }
        let tags_of =
            |epoch: u32| admitted.iter().filter(move |p| p.epoch() == epoch).map(Opened::replay_tag);
        let unwritten = self
            .replay
            .iter()
            .filter_map(|(epoch, filter)| Some((filter.log()?.clone(), tags_of(*epoch).collect())))
            .filter(|(_, tags): &(_, Vec<u64>)| !tags.is_empty())
            .collect();
        Admitted { packets: admitted, unwritten }
    }

    /// Counts packets whose tags could not be written as refused.
    pub fn not_written(&mut self, packets: usize) {
        self.counters.full += packets as u64;
    }

    fn admit_one(&mut self, opened: Opened, room: bool) -> Result<Opened, Refused> {
        let tag = opened.replay_tag();
        // The key is gone between the header and here: the packet is for nobody any more.
        let filter = self.replay.get_mut(&opened.epoch()).ok_or(PacketError::Header)?;
        if filter.contains(tag) {
            return Err(Refused::Replay);
        }
        if !room {
            return Err(Refused::Full("too many packets wait"));
        }
        // Who asks for long delays takes others' room: when it gets scarce, there is none for that.
        if self.held.len() > MAX_HELD / 4 && opened.delay() > SCARCE_DELAY {
            return Err(Refused::Full("too many packets wait for one with such a delay"));
        }
        filter.insert(tag).map_err(|_| Refused::Full("the replay filter has no room"))?;
        Ok(opened)
    }

    fn refuse(&mut self, why: &Refused) {
        match why {
            Refused::Replay => self.counters.replays += 1,
            Refused::Packet(_) => self.counters.malformed += 1,
            Refused::Full(_) => self.counters.full += 1,
        }
        tracing::debug!("packet refused: {why}");
    }

    /// Holds admitted packets for their delays, or puts them into mailboxes, whose keys are returned, so that the
    /// driver can wake their links.
    pub fn hold(&mut self, now: Instant, batch: Vec<Result<Unwrapped, PacketError>>) -> Vec<Key> {
        let mut woken = Vec::new();
        for unwrapped in batch {
            match unwrapped {
                Ok(Unwrapped::Forward { next, delay, packet }) => {
                    let number = self.next_number;
                    self.next_number += 1;
                    self.held.push(Held { due: now + delay, number, next, packet });
                }
                Ok(Unwrapped::Deliver { mailbox, mail }) => {
                    if self.mailboxes.put(&mailbox, mail, now) {
                        self.counters.delivered += 1;
                        woken.push(mailbox);
                    } else {
                        self.counters.undeliverable += 1;
                    }
                }
                Err(e) => self.refuse(&e.into()),
            }
        }
        woken
    }

    /// The next packet whose delay is over.
    pub fn poll(&mut self, now: Instant) -> Option<Forward> {
        if self.held.peek()?.due > now {
            return None;
        }
        let Held { due, next, packet, .. } = self.held.pop()?;
        self.counters.forwarded += 1;
        self.counters.lateness.add(now.saturating_duration_since(due));
        Some(Forward { next, packet, due })
    }

    /// When [`Mix::poll`] has something next.
    pub fn next_due(&self) -> Option<Instant> {
        self.held.peek().map(|h| h.due)
    }

    /// True while no further packet would be admitted.
    pub fn is_full(&self) -> bool {
        self.held.len() >= MAX_HELD
    }

    /// Packets that left in time could not be sent on.
    pub fn lost(&mut self, packets: u64) {
        self.counters.unsent += packets;
    }

    /// The mailboxes that this relay is home to.
    pub fn mailboxes(&mut self) -> &mut Mailboxes {
        &mut self.mailboxes
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        Counters {
            held: self.held.len(),
            remembered: self.replay.values().map(ReplayFilter::len).sum(),
            ..self.counters
        }
    }

    /// The files of the epochs' tags. About every second, what is in them should be
    /// [synchronised](TagLog::synchronise), outside of the lock around this.
    pub fn logs(&self) -> Vec<Arc<TagLog>> {
        self.replay.values().filter_map(ReplayFilter::log).cloned().collect()
    }
}

impl Default for Mix {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{self, EpochSecret, Hop, MESSAGE, Mail, build};
    use x25519_dalek::{PublicKey, StaticSecret};

    fn hop(secret: &StaticSecret, id: u8, ms: u64) -> Hop {
        Hop {
            relay: [id; 32],
            sphinx_key: PublicKey::from(secret).to_bytes(),
            delay: Duration::from_millis(ms),
        }
    }

    fn take(mix: &mut Mix, now: Instant, secret: &StaticSecret, packets: &[&Vec<u8>]) -> Vec<Key> {
        let secrets = [EpochSecret { epoch: 1, secret: secret.clone() }];
        let opened = packet::open(&secrets, packets.iter().map(|p| (*p).clone()).collect());
        let admitted = mix.admit(opened).written().expect("writes");
        mix.hold(now, packet::unwrap(admitted))
    }

    fn mix(capacity: usize) -> Mix {
        let mut mix = Mix::new();
        mix.begin_epoch(1, ReplayFilter::in_memory(capacity));
        mix
    }

    #[test]
    fn packets_leave_when_due_and_replays_do_not_enter() {
        let (a, b) = (StaticSecret::random(), StaticSecret::random());
        let packet = |ms| build(b"hi", &[hop(&a, 1, ms), hop(&b, 2, 0)], &[9; 32]).expect("builds");
        let mut mix = mix(100);
        let start = Instant::now();
        let (slow, fast) = (packet(80), packet(20));
        // The same packet twice in one batch, then again in another.
        take(&mut mix, start, &a, &[&slow, &fast, &slow]);
        take(&mut mix, start, &a, &[&slow]);
        take(&mut mix, start, &b, &[&slow]);
        let c = mix.counters();
        assert_eq!((c.held, c.replays, c.malformed), (2, 2, 1));
        assert_eq!(mix.next_due(), Some(start + Duration::from_millis(20)));
        assert_eq!(mix.poll(start + Duration::from_millis(19)), None);
        let first = mix.poll(start + Duration::from_millis(21)).expect("due");
        assert_eq!((first.next, first.due), ([2; 32], start + Duration::from_millis(20)));
        assert!(mix.poll(start + Duration::from_millis(79)).is_none());
        assert!(mix.poll(start + Duration::from_millis(80)).is_some());
        let c = mix.counters();
        assert_eq!((c.forwarded, c.held, c.lateness.total()), (2, 0, Duration::from_millis(1)));

        // The second relay is the home: it delivers only to a mailbox that registered.
        let mut home = super::tests::mix(100);
        assert_eq!(take(&mut home, start, &b, &[&first.packet]), Vec::<Key>::new());
        assert_eq!(home.counters().undeliverable, 1);
        home.mailboxes().register([9; 32], start);
        let packet = build(b"again", &[hop(&b, 2, 0)], &[9; 32]).expect("builds");
        assert_eq!(take(&mut home, start, &b, &[&packet]), vec![[9; 32]]);
        assert_eq!(
            home.mailboxes().unsent(&[9; 32], 0).next().map(|q| q.mail.clone()),
            Some(Mail { identifier: MESSAGE, bytes: b"again".to_vec() })
        );
    }

    #[test]
    fn an_epoch_that_ended_lets_nothing_in_and_what_is_held_goes_on() {
        let a = StaticSecret::random();
        let packet = || build(b"", &[hop(&a, 1, 5), hop(&a, 2, 0)], &[0; 32]).expect("builds");
        let mut mix = mix(10);
        let now = Instant::now();
        take(&mut mix, now, &a, &[&packet()]);
        mix.end_epoch(1);
        take(&mut mix, now, &a, &[&packet()]);
        let c = mix.counters();
        assert_eq!((c.held, c.malformed, c.remembered), (1, 1, 0));
        assert!(mix.poll(now + Duration::from_millis(5)).is_some());
    }

    #[test]
    fn a_full_filter_refuses_and_does_not_forget() {
        let a = StaticSecret::random();
        let packet = || build(b"", &[hop(&a, 1, 0), hop(&a, 2, 0)], &[0; 32]).expect("builds");
        let mut mix = mix(1);
        let (first, second) = (packet(), packet());
        take(&mut mix, Instant::now(), &a, &[&first, &second, &first]);
        let c = mix.counters();
        assert_eq!((c.held, c.full, c.replays), (1, 1, 1));
    }
}
