//! Loops under way: what a client learns about the relays from those that come back, and from those that do not.

use crate::Key;
use crate::packet::MAX_HOPS;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most loops under way: four minutes of the strongest profile.
pub const MAX_LOOPS: usize = 1024;

/// Remembers the loops under way. Each one counts once: as arrived, or as overdue.
#[derive(Debug)]
pub struct LoopBook {
    next: u64,
    /// In the order of sending.
    loops: VecDeque<Loop>,
}

#[derive(Debug)]
struct Loop {
    number: u64,
    path: Vec<Key>,
    sent: Instant,
}

impl LoopBook {
    /// Numbers begin at `first`. Draw it at random if the secret of the [`super::LoopTag`] outlives a restart: then a
    /// loop of before is not taken for one of now.
    pub fn new(first: u64) -> Self {
        Self { next: first, loops: VecDeque::new() }
    }

    /// A loop goes out over these relays (at most [`MAX_HOPS`] of them count): its number, for
    /// [`super::LoopTag::message`]. If [`MAX_LOOPS`] are under way, the oldest is forgotten, and counts for nothing.
    pub fn sent(&mut self, mut path: Vec<Key>, now: Instant) -> u64 {
        if self.loops.len() >= MAX_LOOPS {
            self.loops.pop_front();
        }
        path.truncate(MAX_HOPS);
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.loops.push_back(Loop { number, path, sent: now });
        number
    }

    /// The loop could not be sent after all: it says nothing about its relays.
    pub fn forget(&mut self, number: u64) {
        self.take(number);
    }

    /// A loop came back: its relays, and how long it took. None for one that is not under way: it was counted already,
    /// or never sent.
    pub fn arrived(&mut self, number: u64, now: Instant) -> Option<(Vec<Key>, Duration)> {
        let Loop { path, sent, .. } = self.take(number)?;
        Some((path, now.saturating_duration_since(sent)))
    }

    /// The relays of the loops that did not come back within `patience`: one list for each. They are not awaited any
    /// longer. After a pause of the whole machine, [`LoopBook::clear`] instead.
    pub fn overdue(&mut self, now: Instant, patience: Duration) -> Vec<Vec<Key>> {
        let late = |l: &Loop| now.saturating_duration_since(l.sent) > patience;
        let (late, waiting) = self.loops.drain(..).partition(late);
        self.loops = waiting;
        late.into_iter().map(|l: Loop| l.path).collect()
    }

    /// Forgets all loops under way, when the line was interrupted: that says nothing about their relays.
    pub fn clear(&mut self) {
        self.loops.clear();
    }

    /// How many loops are under way.
    pub fn under_way(&self) -> usize {
        self.loops.len()
    }

    fn take(&mut self, number: u64) -> Option<Loop> {
        let place = self.loops.iter().position(|l| l.number == number)?;
        self.loops.remove(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn path(n: u8) -> Vec<Key> {
        vec![[n; 32], [n.wrapping_add(1); 32], [0; 32]]
    }

    #[test]
    fn the_book_is_bounded_and_forgets_the_oldest() {
        let now = Instant::now();
        let mut book = LoopBook::new(u64::MAX - 10);
        let numbers: Vec<u64> =
            (0..MAX_LOOPS + 3).map(|i| book.sent(vec![[i as u8; 32]; 100], now)).collect();
        assert_eq!(book.under_way(), MAX_LOOPS);
        assert!(numbers[..3].iter().all(|n| book.arrived(*n, now).is_none()));
        let (relays, _) = book.arrived(numbers[3], now).expect("under way");
        assert_eq!(relays, [[3; 32]; MAX_HOPS]);
        book.clear();
        assert!(book.overdue(now + Duration::from_secs(9999), Duration::ZERO).is_empty());
    }

    #[test]
    fn a_time_before_the_sending_is_no_time() {
        let now = Instant::now();
        let mut book = LoopBook::new(0);
        let number = book.sent(path(1), now + Duration::from_secs(5));
        assert!(book.overdue(now, Duration::ZERO).is_empty());
        assert_eq!(book.arrived(number, now), Some((path(1), Duration::ZERO)));
    }

    #[derive(Debug, Clone)]
    enum Event {
        Send(u8),
        Arrive(prop::sample::Index),
        Forget(prop::sample::Index),
        Pass(u8),
        Overdue(u8),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            any::<u8>().prop_map(Event::Send),
            any::<prop::sample::Index>().prop_map(Event::Arrive),
            any::<prop::sample::Index>().prop_map(Event::Forget),
            any::<u8>().prop_map(Event::Pass),
            any::<u8>().prop_map(Event::Overdue),
        ]
    }

    proptest! {
        /// Against a simple model: each loop counts once, with its own path and time.
        #[test]
        fn each_loop_counts_once(events in prop::collection::vec(event(), 0..300), first: u64) {
            let mut book = LoopBook::new(first);
            let mut now = Instant::now();
            let mut sent: Vec<u64> = Vec::new();
            let mut model: HashMap<u64, (Vec<Key>, Instant)> = HashMap::new();
            for event in events {
                match event {
                    Event::Send(n) => {
                        let number = book.sent(path(n), now);
                        prop_assert!(!sent.contains(&number));
                        sent.push(number);
                        model.insert(number, (path(n), now));
                    }
                    Event::Arrive(i) if !sent.is_empty() => {
                        let number = *i.get(&sent);
                        let expected = model.remove(&number).map(|(path, at)| (path, now - at));
                        prop_assert_eq!(book.arrived(number, now), expected);
                        prop_assert_eq!(book.arrived(number, now), None);
                    }
                    Event::Forget(i) if !sent.is_empty() => {
                        book.forget(*i.get(&sent));
                        model.remove(i.get(&sent));
                    }
                    Event::Arrive(_) | Event::Forget(_) => prop_assert_eq!(book.arrived(first, now), None),
                    Event::Pass(seconds) => now += Duration::from_secs(seconds.into()),
                    Event::Overdue(patience) => {
                        let patience = Duration::from_secs(patience.into());
                        let mut got = book.overdue(now, patience);
                        let late = |at: &Instant| now - *at > patience;
                        let mut expected: Vec<_> =
                            model.values().filter(|(_, at)| late(at)).map(|(p, _)| p.clone()).collect();
                        model.retain(|_, (_, at)| !late(at));
                        got.sort_unstable();
                        expected.sort_unstable();
                        prop_assert_eq!(got, expected);
                    }
                }
                prop_assert_eq!(book.under_way(), model.len());
            }
        }
    }
}
