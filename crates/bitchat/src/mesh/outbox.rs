//! Messages to phones, until they are acknowledged.
//!
//! A phone refuses packets that are older than two minutes, so the packet itself cannot wait: the caller keeps the
//! text, and seals it anew each time that the outbox says so.

use crate::PeerId;
use crate::mesh::types::Millis;
use std::collections::BTreeMap;

/// Messages that wait for one receiver.
pub(crate) const MOST_EACH: usize = 100;
/// Messages that wait in all.
pub(crate) const MOST: usize = 2000;
const MAX_TRIES: u8 = 8;
const FIRST_WAIT_MS: Millis = 10_000;
const LAST_WAIT_MS: Millis = 600_000;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) to: PeerId,
    pub(crate) expires: Millis,
    pub(crate) tries: u8,
    next: Millis,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: BTreeMap<u64, Waiting>,
}

/// What the outbox wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Send(u64, PeerId),
    GiveUp(u64),
}

impl Outbox {
    /// False: full.
    pub(crate) fn insert(&mut self, now: Millis, id: u64, to: PeerId, expires: Millis, tries: u8) -> bool {
        let full =
            self.waiting.len() >= MOST || self.waiting.values().filter(|w| w.to == to).count() >= MOST_EACH;
        if full && !self.waiting.contains_key(&id) {
            return false;
        }
        self.waiting.insert(id, Waiting { to, expires, tries, next: now });
        true
    }

    pub(crate) fn remove(&mut self, id: u64) -> bool {
        self.waiting.remove(&id).is_some()
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Waiting> {
        self.waiting.get(&id)
    }

    /// What is to be done now. `there` tells whether somebody can be reached; who cannot costs no try.
    pub(crate) fn due(&mut self, now: Millis, there: impl Fn(&PeerId) -> bool) -> Vec<Wish> {
        let mut wishes = Vec::new();
        self.waiting.retain(|id, w| {
            if w.expires <= now || (w.tries >= MAX_TRIES && w.next <= now) {
                wishes.push(Wish::GiveUp(*id));
                return false;
            }
            if w.next <= now && there(&w.to) {
                let wait = FIRST_WAIT_MS << w.tries.min(6);
                w.tries += 1;
                w.next = now + wait.min(LAST_WAIT_MS);
                wishes.push(Wish::Send(*id, w.to));
            }
            true
        });
        wishes
    }

    /// Somebody is back: no need to wait longer.
    pub(crate) fn back(&mut self, now: Millis, peer: &PeerId) {
        self.waiting.values_mut().filter(|w| w.to == *peer).for_each(|w| w.next = w.next.min(now));
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_wait_longer_and_end() {
        let (mut outbox, to) = (Outbox::default(), PeerId([1; 8]));
        assert!(outbox.insert(0, 7, to, 10_000_000_000, 0));
        assert!(outbox.due(0, |_| false).is_empty(), "nobody there");
        let mut sent = Vec::new();
        let mut given_up = None;
        for now in (0..20_000_000).step_by(1000) {
            for wish in outbox.due(now, |_| true) {
                match wish {
                    Wish::Send(7, _) => sent.push(now),
                    Wish::GiveUp(7) => given_up = Some(now),
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(sent.len(), 8);
        assert_eq!(sent[..4], [0, 10_000, 30_000, 70_000]);
        assert!(given_up.is_some_and(|at| at > sent[7]));
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn one_receiver_cannot_fill_it() {
        let mut outbox = Outbox::default();
        for id in 0..200 {
            assert_eq!(outbox.insert(0, id, PeerId([1; 8]), 1, 0), id < MOST_EACH as u64);
        }
        assert!(outbox.insert(0, 1000, PeerId([2; 8]), 1, 0));
    }
}
