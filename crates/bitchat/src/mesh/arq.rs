//! Reliable words to a neighbour: numbered frames, selective acknowledgement, retransmission.
//!
//! Radio stacks drop what does not fit their buffers, without a word. So each frame that carries items is kept until the
//! neighbour has acknowledged it. Acknowledgements ride on frames that go anyway, or go alone after a short delay.
//! Items are handled as they come, in any order; each is handled once.

use crate::mesh::control::{ControlFrame, Received};
use crate::mesh::types::{MessageId, Millis};
use std::collections::VecDeque;

/// Control bytes of a frame, so that with the packet's and the session's overhead it stays within 512 bytes.
pub(crate) const FRAME_ROOM: usize = 420;
/// Frames that may be unacknowledged.
const WINDOW: usize = 16;
/// Numbers between the oldest and the newest of them.
const REACH: u16 = 32;
/// How long an acknowledgement waits for a frame to ride on.
const ACK_DELAY_MS: Millis = 100;
const FIRST_TIMEOUT_MS: Millis = 300;
const LAST_TIMEOUT_MS: Millis = 3000;
const MAX_TRIES: u8 = 12;
/// Items that may wait; the driver's link is far behind then, and what is new is left out.
const MAX_WAITING: usize = 512;

/// When an item goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Before ordinary packets.
    Now,
    /// After them.
    Bulk,
}

#[derive(Debug)]
struct Waiting {
    item: Vec<u8>,
    /// The bundle in it.
    bundle: Option<MessageId>,
    kind: Kind,
}

/// What an item is, for the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bundle,
    Acks,
    Other,
}

#[derive(Debug)]
struct Sent {
    seq: u16,
    items: Vec<u8>,
    bundles: Vec<MessageId>,
    acks: bool,
    /// None while it waits to be sent again.
    due: Option<Millis>,
    tries: u8,
}

/// A frame to send, and what is in it.
pub(crate) struct Outgoing {
    pub(crate) bytes: Vec<u8>,
    pub(crate) bundles: usize,
    pub(crate) acks: bool,
    pub(crate) items: bool,
}

/// One link's state.
#[derive(Debug, Default)]
pub(crate) struct Arq {
    next: u16,
    sent: VecDeque<Sent>,
    now: VecDeque<Waiting>,
    bulk: VecDeque<Waiting>,
    /// None before the first frame.
    newest: Option<u16>,
    before: u32,
    ack_due: Option<Millis>,
}

impl Arq {
    /// Queues an item. False: too many wait.
    pub(crate) fn push(
        &mut self,
        urgency: Urgency,
        item: Vec<u8>,
        bundle: Option<MessageId>,
        kind: Kind,
    ) -> bool {
        let queue = if urgency == Urgency::Now { &mut self.now } else { &mut self.bulk };
        let room = queue.len() < MAX_WAITING;
        if room {
            queue.push_back(Waiting { item, bundle, kind });
        }
        room
    }

    /// Bundles in flight or waiting.
    pub(crate) fn bundles(&self) -> usize {
        let waiting = self.now.iter().chain(&self.bulk).filter(|w| w.bundle.is_some()).count();
        waiting + self.sent.iter().map(|s| s.bundles.len()).sum::<usize>()
    }

    /// The next frame to send now, if there is one.
    pub(crate) fn next(&mut self, now: Millis, bulk: bool) -> Option<Outgoing> {
        if let Some(at) = self.sent.iter().position(|s| s.due.is_none()) {
            return Some(self.again(now, at));
        }
        let waits = !self.now.is_empty() || (bulk && !self.bulk.is_empty());
        // No further ahead of the oldest than what the other side can acknowledge.
        let near = self.sent.front().is_none_or(|s| self.next.wrapping_sub(s.seq) < REACH);
        if waits && near && self.sent.len() < WINDOW {
            return Some(self.fresh(now, bulk));
        }
        if self.ack_due.is_some_and(|due| due <= now) {
            self.ack_due = None;
            let bytes = ControlFrame::encode(None, self.received(), &[]);
            return Some(Outgoing { bytes, bundles: 0, acks: false, items: false });
        }
        None
    }

    fn again(&mut self, now: Millis, at: usize) -> Outgoing {
        self.ack_due = None;
        let received = self.received();
        let sent = &mut self.sent[at];
        sent.tries += 1;
        let wait = (FIRST_TIMEOUT_MS << sent.tries.min(4).saturating_sub(1)).min(LAST_TIMEOUT_MS);
        sent.due = Some(now + wait);
        Outgoing {
            bytes: ControlFrame::encode(Some(sent.seq), received, &sent.items),
            bundles: sent.bundles.len(),
            acks: sent.acks,
            items: true,
        }
    }

    fn fresh(&mut self, now: Millis, bulk: bool) -> Outgoing {
        let (mut items, mut bundles, mut acks) = (Vec::new(), Vec::new(), false);
        loop {
            let queue = if self.now.is_empty() && bulk { &mut self.bulk } else { &mut self.now };
            match queue.front() {
                Some(w) if items.is_empty() || items.len() + w.item.len() <= FRAME_ROOM => {}
                _ => break,
            }
            let Some(w) = queue.pop_front() else { break };
            items.extend_from_slice(&w.item);
            bundles.extend(w.bundle);
            acks |= w.kind == Kind::Acks;
        }
        let seq = self.next;
        self.next = self.next.wrapping_add(1);
        self.sent.push_back(Sent { seq, items, bundles, acks, due: None, tries: 0 });
        self.again(now, self.sent.len() - 1)
    }

    fn received(&self) -> Received {
        Received { newest: self.newest.unwrap_or(u16::MAX), before: self.before }
    }

    /// A frame came in. Returns the bundles that the neighbour now has, and whether this frame's items are new.
    pub(crate) fn receive(&mut self, now: Millis, frame: &ControlFrame) -> (Vec<MessageId>, bool) {
        let mut arrived = Vec::new();
        let Received { newest, before } = frame.received;
        self.sent.retain_mut(|s| {
            let back = newest.wrapping_sub(s.seq);
            let there = back == 0 || ((1..=32).contains(&back) && before & (1 << (back - 1)) != 0);
            if there {
                arrived.append(&mut s.bundles);
            }
            !there
        });
        let Some(seq) = frame.seq else { return (arrived, false) };
        self.ack_due.get_or_insert(now + ACK_DELAY_MS);
        (arrived, self.note(seq))
    }

    /// True if this number is new.
    fn note(&mut self, seq: u16) -> bool {
        let newest = self.newest.unwrap_or(u16::MAX);
        let ahead = seq.wrapping_sub(newest);
        if (1..0x8000).contains(&ahead) {
            let had = u64::from(self.before) << 1 | u64::from(self.newest.is_some());
            self.before = if ahead > 32 { 0 } else { (had << (ahead - 1)) as u32 };
            self.newest = Some(seq);
            return true;
        }
        let back = newest.wrapping_sub(seq);
        // What lies further back than the window was acknowledged before it could leave it.
        if !(1..=32).contains(&back) || self.newest.is_none() {
            return false;
        }
        let bit = 1 << (back - 1);
        let new = self.before & bit == 0;
        self.before |= bit;
        new
    }

    /// Time has passed. Returns bundles of frames that are given up.
    pub(crate) fn tick(&mut self, now: Millis) -> Vec<MessageId> {
        let mut lost = Vec::new();
        self.sent.retain_mut(|s| {
            if s.due.is_some_and(|due| due <= now) {
                s.due = None;
                if s.tries >= MAX_TRIES {
                    lost.append(&mut s.bundles);
                    return false;
                }
            }
            true
        });
        lost
    }

    /// When [`tick`](Self::tick) or [`next`](Self::next) has something to do at the latest.
    pub(crate) fn wake(&self) -> Option<Millis> {
        self.sent.iter().filter_map(|s| s.due).chain(self.ack_due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::control::Item;
    use proptest::prelude::*;

    proptest! {
        /// Over a link that loses, doubles and reorders, every item comes exactly once.
        #[test]
        fn each_item_comes_once(fates in proptest::collection::vec(0_u8..10, 400), count in 1_usize..80) {
            let (mut a, mut b) = (Arq::default(), Arq::default());
            for n in 0..count {
                let id = MessageId([n as u8; 16]);
                let item = Item::Refuse(id).encode();
                prop_assert!(a.push(Urgency::Now, item, Some(id), Kind::Bundle));
            }
            let mut fates = fates.into_iter().chain(std::iter::repeat(9));
            let (mut came, mut confirmed) = (vec![0; count], 0);
            let mut air: Vec<(bool, Vec<u8>)> = Vec::new();
            for now in (0..600_000).step_by(10) {
                prop_assert!(a.tick(now).is_empty(), "given up");
                b.tick(now);
                for (to_b, side) in [(true, &mut a), (false, &mut b)] {
                    while let Some(out) = side.next(now, true) {
                        match fates.next().unwrap() {
                            0..=2 => {}
                            3 => air.extend([(to_b, out.bytes.clone()), (to_b, out.bytes)]),
                            4 => air.insert(0, (to_b, out.bytes)),
                            _ => air.push((to_b, out.bytes)),
                        }
                    }
                }
                for (to_b, bytes) in air.drain(..) {
                    let frame = ControlFrame::decode(&bytes).unwrap();
                    if to_b {
                        if b.receive(now, &frame).1 {
                            for item in frame.items {
                                let Item::Refuse(id) = item else { panic!() };
                                came[usize::from(id.0[0])] += 1;
                            }
                        }
                    } else {
                        confirmed += a.receive(now, &frame).0.len();
                    }
                }
                if confirmed == count {
                    break;
                }
            }
            prop_assert!(came.iter().all(|n| *n == 1), "{came:?}");
            prop_assert_eq!(confirmed, count);
        }
    }
}
