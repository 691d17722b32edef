//! The receiving side of lanes: how far each has come.
//!
//! A message of a lane waits until the one that it names as the last before it has taken effect
//! ([`Place::after`]). So everything up to the highest number that took effect was delivered or withdrawn: a copy of it
//! that comes later, from a slow road, has no effect any more.

use crate::datagram::Place;
use std::collections::BTreeMap;

/// How far the lanes of one peer have come since this side started. At most 255 of them.
#[derive(Default)]
pub(super) struct Order {
    /// The peer's start.
    run: u32,
    done: BTreeMap<u8, u64>,
}

impl Order {
    /// A fragment came. False if it is from an earlier start of the peer, and says nothing of what holds now.
    pub(super) fn hear(&mut self, place: &Place) -> bool {
        if place.run > self.run {
            // The peer gives its numbers anew from what its outbox holds, which may be that of a backup.
            self.run = place.run;
            self.done.clear();
        }
        place.run == self.run
    }

    /// The highest number of the lane that took effect.
    pub(super) fn done(&self, lane: u8) -> u64 {
        self.done.get(&lane).copied().unwrap_or(0)
    }

    /// Has it taken effect, or been withdrawn?
    pub(super) fn is_past(&self, place: &Place) -> bool {
        place.is_ordered() && place.sequence <= self.done(place.lane)
    }

    /// Is it its turn?
    pub(super) fn is_due(&self, place: &Place) -> bool {
        !place.is_ordered() || place.after <= self.done(place.lane)
    }

    /// It took effect.
    pub(super) fn took_effect(&mut self, place: &Place) {
        if place.is_ordered() && place.run == self.run {
            let done = self.done.entry(place.lane).or_default();
            *done = place.sequence.max(*done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(sequence: u64, after: u64, run: u32) -> Place {
        Place { lane: 1, sequence, after, run }
    }

    #[test]
    fn a_message_is_due_after_the_one_it_names() {
        let mut order = Order::default();
        assert!(order.hear(&place(5, 3, 1)));
        assert!(!order.is_due(&place(5, 3, 1)));
        order.took_effect(&place(3, 0, 1));
        // The fourth was withdrawn; a copy of it is past once the fifth took effect.
        assert!(order.is_due(&place(5, 3, 1)) && !order.is_past(&place(4, 3, 1)));
        order.took_effect(&place(5, 3, 1));
        assert!(order.is_past(&place(4, 3, 1)) && order.is_past(&place(5, 3, 1)));
        assert!(!order.is_past(&place(6, 5, 1)));
        // Another lane knows nothing of it, and what has no order is always due and never past.
        assert!(!order.is_due(&Place { lane: 2, ..place(5, 3, 1) }));
        assert!(order.is_due(&Place::default()) && !order.is_past(&Place::default()));
    }

    #[test]
    fn a_new_start_of_the_peer_begins_anew_and_an_earlier_one_is_not_heard() {
        let mut order = Order::default();
        assert!(order.hear(&place(9, 0, 4)));
        order.took_effect(&place(9, 0, 4));
        assert!(!order.hear(&place(1, 0, 3)));
        assert!(order.hear(&place(1, 0, 5)), "a backup was put back");
        assert!(!order.is_past(&place(1, 0, 5)) && order.is_due(&place(1, 0, 5)));
        order.took_effect(&place(10, 9, 4));
        assert_eq!(order.done(1), 0, "delivered before, confirmed after the peer's start");
    }
}
