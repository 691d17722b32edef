//! The sending side of lanes: what waits for one peer, in which order it goes out, and what each message comes after.

use crate::datagram::UNORDERED;
use crate::outbox::Waiting;
use std::collections::{BTreeMap, BTreeSet};

/// How many priorities there are.
const PRIORITIES: usize = 5;

/// Where a message stands in its lane: its number, or without an order its priority and when it came.
pub(super) type Rank = (u64, u64);

/// What the outbox holds for one peer.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<u8, Lane>,
}

#[derive(Default)]
struct Lane {
    /// Not loaded yet, each with a number that rises as they come.
    waiting: BTreeMap<Rank, (u64, Waiting)>,
    /// How many of each priority wait.
    urgency: [usize; PRIORITIES],
    /// The numbers of all that is in the outbox and was not delivered.
    here: BTreeSet<u64>,
    /// The highest number that was delivered: everything below it was, too, or was withdrawn.
    done: u64,
}

/// A message that is to be loaded next.
pub(super) struct Next<'a> {
    /// Its own priority, or that of a more urgent one behind it.
    pub(super) urgency: u8,
    pub(super) waiting: &'a Waiting,
}

impl Lane {
    fn take(&mut self, rank: &Rank) -> Option<(u64, Waiting)> {
        let (came, waiting) = self.waiting.remove(rank)?;
        self.urgency[waiting.priority as usize] -= 1;
        Some((came, waiting))
    }
}

fn most_urgent(urgency: &[usize; PRIORITIES]) -> Option<u8> {
    urgency.iter().position(|n| *n > 0).map(|i| i as u8)
}

impl Lanes {
    /// A message is in the outbox, as the `came`th of this run.
    pub(super) fn add(&mut self, waiting: Waiting, came: u64) -> Rank {
        let lane = self.lanes.entry(waiting.lane).or_default();
        let ordered = waiting.lane != UNORDERED;
        let rank = if ordered { (waiting.sequence, 0) } else { (waiting.priority as u64, came) };
        if ordered {
            lane.here.insert(waiting.sequence);
        }
        lane.urgency[waiting.priority as usize] += 1;
        if let Some((_, before)) = lane.waiting.insert(rank, (came, waiting)) {
            lane.urgency[before.priority as usize] -= 1; // two of one number: the caller's mistake
        }
        rank
    }

    /// Takes a waiting message to load it, with when it came.
    pub(super) fn load(&mut self, lane: u8, rank: &Rank) -> Option<(u64, Waiting)> {
        self.lanes.get_mut(&lane)?.take(rank)
    }

    /// A message left the outbox: it was delivered, or withdrawn.
    pub(super) fn remove(&mut self, lane: u8, rank: &Rank, delivered: bool) {
        if let Some(found) = self.lanes.get_mut(&lane) {
            found.take(rank);
            found.here.remove(&rank.0);
            if delivered && lane != UNORDERED {
                found.done = found.done.max(rank.0);
            }
        }
    }

    /// The number that this one comes after: the last before it that still has to be delivered, or 0.
    pub(super) fn after(&self, lane: u8, sequence: u64) -> u64 {
        let Some(lane) = self.lanes.get(&lane) else { return 0 };
        // What was delivered may come again, if the application could not note it: it holds up nobody.
        lane.here.range(..sequence).next_back().copied().filter(|n| *n > lane.done).unwrap_or(0)
    }

    /// The highest number of a lane that was delivered.
    pub(super) fn done(&self, lane: u8) -> u64 {
        self.lanes.get(&lane).map_or(0, |l| l.done)
    }

    /// How urgent the most urgent is that waits in a lane.
    pub(super) fn urgency(&self, lane: u8) -> Option<u8> {
        self.lanes.get(&lane).and_then(|l| most_urgent(&l.urgency))
    }

    /// The next to load: in each lane by number, among the lanes the most urgent and oldest. An urgent message lends
    /// its priority to those that it has to wait for.
    pub(super) fn next(&self, most: usize) -> Vec<Next<'_>> {
        let mut heads: Vec<_> =
            self.lanes.values().map(|l| (l.waiting.values().peekable(), l.urgency)).collect();
        let mut picked = Vec::new();
        while picked.len() < most {
            let best = heads
                .iter_mut()
                .enumerate()
                .filter_map(|(i, (lane, urgency))| Some((most_urgent(urgency)?, lane.peek()?.0, i)))
                .min();
            let Some((urgency, _, at)) = best else { break };
            let (lane, left) = &mut heads[at];
            let Some((_, waiting)) = lane.next() else { break };
            left[waiting.priority as usize] -= 1;
            picked.push(Next { urgency, waiting });
        }
        picked
    }

    /// All that waits.
    pub(super) fn all(&self) -> impl Iterator<Item = &Waiting> {
        self.lanes.values().flat_map(|l| l.waiting.values().map(|(_, waiting)| waiting))
    }

    /// The first that waits in each lane.
    pub(super) fn heads(&self) -> impl Iterator<Item = Next<'_>> {
        self.lanes.values().filter_map(|l| {
            let (_, waiting) = l.waiting.values().next()?;
            Some(Next { urgency: most_urgent(&l.urgency)?, waiting })
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.values().all(|l| l.waiting.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Priority;

    fn waiting(lane: u8, sequence: u64, priority: Priority) -> Waiting {
        Waiting { id: [sequence as u8; 16], peer: [1; 32], kind: 7, lane, sequence, priority }
    }

    fn ids(lanes: &Lanes, most: usize) -> Vec<u8> {
        lanes.next(most).iter().map(|n| n.waiting.id[0]).collect()
    }

    #[test]
    fn by_number_in_a_lane_and_by_priority_among_lanes() {
        let mut lanes = Lanes::default();
        lanes.add(waiting(2, 30, Priority::Normal), 1);
        lanes.add(waiting(1, 11, Priority::Bulk), 2);
        lanes.add(waiting(1, 10, Priority::Bulk), 3);
        lanes.add(waiting(2, 31, Priority::Normal), 4);
        assert_eq!(ids(&lanes, 9), [30, 31, 10, 11]);
        assert_eq!(ids(&lanes, 1), [30]);
        // What is urgent makes the messages before it urgent, and no others.
        lanes.add(waiting(1, 12, Priority::High), 5);
        lanes.add(waiting(1, 13, Priority::Bulk), 6);
        assert_eq!(ids(&lanes, 9), [10, 11, 12, 30, 31, 13]);
        assert_eq!(lanes.urgency(1), Some(Priority::High as u8));
        lanes.remove(1, &(12, 0), false);
        assert_eq!(ids(&lanes, 9), [30, 31, 10, 11, 13]);
    }

    #[test]
    fn without_an_order_the_urgent_overtakes() {
        let mut lanes = Lanes::default();
        for (i, priority) in
            [Priority::Bulk, Priority::High, Priority::Bulk, Priority::High].iter().enumerate()
        {
            let i = i as u64;
            lanes.add(Waiting { id: [i as u8; 16], ..waiting(UNORDERED, 0, *priority) }, i);
        }
        assert_eq!(ids(&lanes, 9), [1, 3, 0, 2]);
        assert_eq!(lanes.after(UNORDERED, 0), 0);
    }

    #[test]
    fn a_message_comes_after_the_last_that_is_still_to_be_delivered() {
        let mut lanes = Lanes::default();
        let ranks: Vec<Rank> = (1..=4).map(|n| lanes.add(waiting(1, n, Priority::High), n)).collect();
        assert_eq!([1, 2, 3, 4].map(|n| lanes.after(1, n)), [0, 1, 2, 3]);
        lanes.load(1, &ranks[2]);
        assert_eq!(lanes.after(1, 4), 3, "loading changes nothing");
        lanes.remove(1, &ranks[2], false);
        assert_eq!(lanes.after(1, 4), 2);
        lanes.remove(1, &ranks[1], true);
        assert_eq!((lanes.after(1, 4), lanes.done(1)), (0, 2), "the first was delivered before the second");
        // Delivered, yet still on disk: it is read again, and holds up nobody.
        lanes.add(waiting(1, 2, Priority::High), 9);
        assert_eq!(lanes.after(1, 4), 0);
    }
}
