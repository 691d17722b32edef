//! Reassembly of one message, and the memory of what was confirmed.

use crate::datagram::{Fragment, Place};
use crate::{MAX_MESSAGE, MessageId, PeerKey};
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// Bytes that one of our peers may have in reassembly.
pub(super) const KNOWN_BYTES: usize = 6 * MAX_MESSAGE;
/// Bytes that a stranger may have in reassembly.
pub(super) const STRANGER_BYTES: usize = 16 * 1024;
/// Fragments that a stranger's message may have.
pub(super) const STRANGER_FRAGMENTS: u16 = 4;
/// Messages of one peer in reassembly.
pub(super) const MAX_PARTIAL: usize = 32;
/// A half message is forgotten after this long without a fragment.
const STALE: Duration = Duration::from_secs(600);
/// A whole message that the application did not confirm is forgotten, so that a copy gets another chance.
const UNCONFIRMED: Duration = Duration::from_secs(20);
/// A reply block is used within this time of its coming; after that, its epoch may be over.
const REPLY_AGE: Duration = Duration::from_secs(180);
const MAX_RECENT: usize = 8192;

pub(super) struct Incoming {
    place: Place,
    attempt: u64,
    kind: u16,
    total: usize,
    parts: Vec<Option<Vec<u8>>>,
    missing: usize,
    touched: Instant,
    /// In the application's hands.
    delivered: bool,
    /// For its acknowledgement: the latest that came with it.
    reply: Option<Reply>,
}

/// A reply block that came with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    came: Instant,
    block: Vec<u8>,
}

impl Reply {
    pub(super) fn new(block: Vec<u8>, now: Instant) -> Self {
        Self { came: now, block }
    }

    /// It may be used still.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.came) <= REPLY_AGE
    }

    /// The block, for [`crate::transport::Transport::answer`].
    pub fn block(&self) -> &[u8] {
        &self.block
    }
}

impl Incoming {
    pub(super) fn new(first: &Fragment, attempt: u64, now: Instant) -> Self {
        Self {
            place: first.place,
            attempt,
            kind: first.kind,
            total: first.total as usize,
            parts: vec![None; usize::from(first.count)],
            missing: usize::from(first.count),
            touched: now,
            delivered: false,
            reply: None,
        }
    }

    fn fits(&self, fragment: &Fragment) -> bool {
        fragment.kind == self.kind
            && usize::from(fragment.count) == self.parts.len()
            && fragment.total as usize == self.total
            && fragment.place.lane == self.place.lane
            && fragment.place.sequence == self.place.sequence
    }

    /// Its sender has started anew and cuts the message differently now, after an update: this begins anew.
    pub(super) fn is_outdated_by(&self, fragment: &Fragment) -> bool {
        !self.delivered && fragment.place.run > self.place.run && !self.fits(fragment)
    }

    /// Adds a fragment. False if the message makes no sense and is to be forgotten.
    pub(super) fn add(&mut self, fragment: Fragment, now: Instant) -> bool {
        if self.delivered || !self.fits(&fragment) {
            return true;
        }
        self.touched = now;
        // What it comes after only falls: the lowest word counts, in whichever order they come.
        self.place.after = self.place.after.min(fragment.place.after);
        self.place.run = self.place.run.max(fragment.place.run);
        let held: usize = self.parts.iter().flatten().map(Vec::len).sum();
        let Some(part) = self.parts.get_mut(usize::from(fragment.index)) else { return true };
        if part.is_some() {
            return true;
        }
        let held = held + fragment.data.len();
        self.missing -= 1;
        *part = Some(fragment.data);
        held == self.total || (held < self.total && self.missing > 0)
    }

    /// All of it is here, and the application does not have it yet.
    pub(super) fn is_whole(&self) -> bool {
        self.missing == 0 && !self.delivered
    }

    /// Kind and body of a whole message, for the application.
    pub(super) fn take(&mut self, now: Instant) -> (u16, Vec<u8>) {
        self.delivered = true;
        self.touched = now;
        (self.kind, std::mem::take(&mut self.parts).into_iter().flatten().flatten().collect())
    }

    /// A reply block came with it.
    pub(super) fn set_reply(&mut self, reply: Reply) {
        self.reply = Some(reply);
    }

    /// Where it stands, and by which block it is to be acknowledged.
    pub(super) fn end(self) -> (Place, Option<Reply>) {
        (self.place, self.reply)
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn attempt(&self) -> u64 {
        self.attempt
    }

    pub(super) fn is_delivered(&self) -> bool {
        self.delivered
    }

    /// A bit for each fragment that is here.
    pub(super) fn have(&self) -> Vec<u8> {
        let mut bits = vec![0; self.parts.len().div_ceil(8)];
        for (i, _) in self.parts.iter().enumerate().filter(|(_, p)| p.is_some()) {
            bits[i / 8] |= 1 << (i % 8);
        }
        bits
    }

    pub(super) fn reserved(&self) -> usize {
        if self.delivered { 0 } else { self.total }
    }

    pub(super) fn touched(&self) -> Instant {
        self.touched
    }

    pub(super) fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.touched) > if self.delivered { UNCONFIRMED } else { STALE }
    }
}

/// The messages confirmed lately, whose copies are acknowledged without being put together again.
#[derive(Default)]
pub(super) struct Recent {
    order: VecDeque<(PeerKey, MessageId)>,
    set: HashSet<(PeerKey, MessageId)>,
}

impl Recent {
    pub(super) fn contains(&self, peer: &PeerKey, id: &MessageId) -> bool {
        self.set.contains(&(*peer, *id))
    }

    pub(super) fn insert(&mut self, peer: PeerKey, id: MessageId) {
        if self.set.insert((peer, id)) {
            self.order.push_back((peer, id));
            if self.order.len() > MAX_RECENT
                && let Some(oldest) = self.order.pop_front()
            {
                self.set.remove(&oldest);
            }
        }
    }
}
