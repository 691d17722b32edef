//! Boxes and stored descriptors at a relay, as a state machine without IO: checked requests and the time go in,
//! answers to be sent come out.
//!
//! Everything is bounded: boxes, blocks and payloads of each, blocks and payloads of all, descriptors, and their ages.
//! Nothing survives a restart: owners notice and deposit anew.

use crate::Key;
use crate::boxes::{Answer, Checked, Deposited, Report};
use crate::sealed::{PERIOD_SKEW, SealedDescriptor, period};
use crate::sphinx::Surb;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// The most boxes of a relay.
pub const MAX_BOXES: usize = 8_192;
/// The most reply blocks of one box; the oldest make room.
pub const MAX_BLOCKS: usize = 128;
/// The most reply blocks of all boxes: 104 MB.
pub const MAX_ALL_BLOCKS: usize = 262_144;
/// The most payloads that wait in one box; more are lost.
pub const MAX_WAITING: usize = 64;
/// The most payloads that wait in all boxes: 32 MB.
pub const MAX_ALL_WAITING: usize = 16_384;
/// The most descriptors: 13 MB.
pub const MAX_DESCRIPTORS: usize = 16_384;
/// How long a payload waits for a block.
pub const WAITING_EXPIRY: Duration = Duration::from_secs(5 * 60);
/// A box is forgotten when nothing was deposited for so long.
pub const BOX_EXPIRY: Duration = Duration::from_secs(60 * 60);
/// A block is not used in the last seconds of its life: its packet would be refused on the way.
const LAST_SECONDS: u64 = 5;

/// What was counted since the relay's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BoxCounters {
    /// Boxes now.
    pub boxes: usize,
    /// Reply blocks held now.
    pub blocks: usize,
    /// Payloads that wait now.
    pub waiting: usize,
    /// Descriptors stored now.
    pub descriptors: usize,
    /// Payloads passed on to owners.
    pub passed: u64,
    /// Payloads lost: no such box, no room, or no block came in time.
    pub lost: u64,
    /// Requests that made no sense, came twice, or found no room.
    pub refused: u64,
}

/// Something to send by a reply block.
#[derive(PartialEq, Eq)]
pub struct Outgoing {
    /// The block.
    pub block: Surb,
    /// The message.
    pub message: Vec<u8>,
}

struct Block {
    until: u64,
    block: Surb,
}

struct Waiting {
    since: Instant,
    payload: Vec<u8>,
}

/// The numbers of deposits that came: each is taken once, in any order within 64.
#[derive(Default)]
struct Numbers {
    highest: u64,
    /// Bit n: the number n below the highest came.
    seen: u64,
}

impl Numbers {
    fn take(&mut self, number: u64) -> bool {
        if number > self.highest {
            let by = number - self.highest;
            self.seen = if by >= 64 { 0 } else { self.seen << by } | 1;
            self.highest = number;
            return true;
        }
        let below = self.highest - number;
        let new = below < 64 && self.seen & (1 << below) == 0;
        if new {
            self.seen |= 1 << below;
        }
        new
    }
}

struct OneBox {
    numbers: Numbers,
    /// Oldest first.
    blocks: VecDeque<Block>,
    waiting: VecDeque<Waiting>,
    deposited: Instant,
    sent: u64,
}

impl OneBox {
    /// The newest block: it is good for longest.
    fn next_block(&mut self, now_unix: u64) -> Option<Surb> {
        self.blocks.retain(|b| now_unix.saturating_add(LAST_SECONDS) < b.until);
        self.blocks.pop_back().map(|b| b.block)
    }

    fn report(&mut self) -> Report {
        self.sent += 1;
        let best = self.blocks.iter().map(|b| b.until).max();
        let left = self.blocks.iter().filter(|b| Some(b.until) == best).count();
        Report {
            sent: self.sent,
            number: self.numbers.highest,
            left: u16::try_from(left).unwrap_or(u16::MAX),
            waiting: u16::try_from(self.waiting.len()).unwrap_or(u16::MAX),
        }
    }

    /// Passes on what waits, as far as there are blocks.
    fn pass_on(&mut self, now_unix: u64, out: &mut Vec<Outgoing>) -> u64 {
        let mut passed = 0;
        while !self.waiting.is_empty()
            && let Some(block) = self.next_block(now_unix)
            && let Some(Waiting { payload, .. }) = self.waiting.pop_front()
        {
            let message = Answer::Put(self.report(), &payload).encode();
            out.push(Outgoing { block, message });
            passed += 1;
        }
        passed
    }
}

/// All boxes and descriptors of one relay.
#[derive(Default)]
pub struct Boxes {
    boxes: HashMap<Key, OneBox>,
    descriptors: HashMap<Key, SealedDescriptor>,
    counters: BoxCounters,
}

impl Boxes {
    /// Does what is asked for, and returns what is to be sent. `now` and `now_unix` are the same moment.
    pub fn take(&mut self, now: Instant, now_unix: u64, request: Option<Checked>) -> Vec<Outgoing> {
        let mut out = Vec::new();
        let done = match request {
            None => false,
            Some(Checked::Deposit(deposited)) => self.deposit(now, now_unix, deposited, &mut out),
            Some(Checked::Put { id, payload }) => {
                self.put(now, now_unix, &id, payload, &mut out);
                true
            }
            Some(Checked::Store(descriptor)) => self.store(now_unix, descriptor),
            Some(Checked::Fetch { blinded, block }) => {
                let message = match self.descriptors.get(&blinded) {
                    Some(descriptor) => Answer::Descriptor(descriptor.as_bytes()).encode(),
                    None => Answer::Nothing.encode(),
                };
                out.push(Outgoing { block: *block, message });
                true
            }
        };
        self.counters.refused += u64::from(!done);
        out
    }

    fn deposit(
        &mut self,
        now: Instant,
        now_unix: u64,
        deposited: Deposited,
        out: &mut Vec<Outgoing>,
    ) -> bool {
        let Deposited { id, number, until, tell, blocks } = deposited;
        let known = self.boxes.contains_key(&id);
        let room = self.counters.blocks + blocks.len() <= MAX_ALL_BLOCKS;
        if !room || (!known && self.boxes.len() >= MAX_BOXES) || until <= now_unix {
            return false;
        }
        let one = self.boxes.entry(id).or_insert_with(|| OneBox {
            numbers: Numbers::default(),
            blocks: VecDeque::new(),
            waiting: VecDeque::new(),
            deposited: now,
            sent: 0,
        });
        if !one.numbers.take(number) {
            return false;
        }
        one.deposited = now;
        let (held, waited) = (one.blocks.len(), one.waiting.len());
        one.blocks.extend(blocks.into_iter().map(|block| Block { until, block }));
        let too_many = one.blocks.len().saturating_sub(MAX_BLOCKS);
        one.blocks.drain(..too_many);
        self.counters.passed += one.pass_on(now_unix, out);
        if tell && let Some(block) = one.next_block(now_unix) {
            let message = Answer::Told(one.report()).encode();
            out.push(Outgoing { block, message });
        }
        self.counters.blocks = self.counters.blocks + one.blocks.len() - held;
        self.counters.waiting = self.counters.waiting + one.waiting.len() - waited;
        true
    }

    fn put(&mut self, now: Instant, now_unix: u64, id: &Key, payload: Vec<u8>, out: &mut Vec<Outgoing>) {
        let Some(one) = self.boxes.get_mut(id) else {
            self.counters.lost += 1;
            return;
        };
        if one.waiting.len() >= MAX_WAITING || self.counters.waiting >= MAX_ALL_WAITING {
            self.counters.lost += 1;
            return;
        }
        let (held, waited) = (one.blocks.len(), one.waiting.len());
        one.waiting.push_back(Waiting { since: now, payload });
        self.counters.passed += one.pass_on(now_unix, out);
        self.counters.blocks = self.counters.blocks + one.blocks.len() - held;
        self.counters.waiting = self.counters.waiting + one.waiting.len() - waited;
    }

    fn store(&mut self, now_unix: u64, descriptor: SealedDescriptor) -> bool {
        let blinded = descriptor.blinded();
        if let Some(held) = self.descriptors.get(&blinded) {
            if !descriptor.supersedes(held) {
                return false;
            }
        } else if self.descriptors.len() >= MAX_DESCRIPTORS {
            self.expire_descriptors(now_unix);
            if self.descriptors.len() >= MAX_DESCRIPTORS {
                return false;
            }
        }
        self.descriptors.insert(blinded, descriptor);
        true
    }

    fn expire_descriptors(&mut self, now_unix: u64) {
        let today = period(now_unix);
        self.descriptors.retain(|_, d| d.period().saturating_add(PERIOD_SKEW) >= today);
    }

    /// Forgets what is too old. Call it every few seconds.
    pub fn expire(&mut self, now: Instant, now_unix: u64) {
        let c = &mut self.counters;
        self.boxes.retain(|_, one| {
            let waited = one.waiting.len();
            one.waiting.retain(|w| now.saturating_duration_since(w.since) < WAITING_EXPIRY);
            c.lost += (waited - one.waiting.len()) as u64;
            one.blocks.retain(|b| now_unix.saturating_add(LAST_SECONDS) < b.until);
            now.saturating_duration_since(one.deposited) < BOX_EXPIRY
        });
        c.blocks = self.boxes.values().map(|b| b.blocks.len()).sum();
        c.waiting = self.boxes.values().map(|b| b.waiting.len()).sum();
        self.expire_descriptors(now_unix);
    }

    /// What was counted since the start.
    pub fn counters(&self) -> BoxCounters {
        BoxCounters { boxes: self.boxes.len(), descriptors: self.descriptors.len(), ..self.counters }
    }
}

#[cfg(test)]
mod tests;
