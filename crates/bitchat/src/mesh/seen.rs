//! Which packets came by already.

use crate::mesh::types::{MessageId, Millis};
use std::collections::{HashMap, VecDeque};

/// Remembers names for a while, a bounded number of them. The oldest make room.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Looked up only, never walked through: its order is random.
    ids: HashMap<MessageId, Millis>,
    order: VecDeque<(Millis, MessageId)>,
    most: usize,
    keep_ms: Millis,
}

impl Seen {
    pub(crate) fn new(most: usize, keep_ms: Millis) -> Self {
        Self { ids: HashMap::new(), order: VecDeque::new(), most, keep_ms }
    }

    /// True the first time.
    pub(crate) fn insert(&mut self, now: Millis, id: MessageId) -> bool {
        self.forget(now);
        if self.ids.contains_key(&id) {
            return false;
        }
        let until = now + self.keep_ms;
        self.ids.insert(id, until);
        self.order.push_back((until, id));
        if self.order.len() > self.most {
            self.pop();
        }
        true
    }

    pub(crate) fn contains(&self, now: Millis, id: &MessageId) -> bool {
        self.ids.get(id).is_some_and(|until| *until > now)
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    fn forget(&mut self, now: Millis) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.ids.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_new_once_in_its_time_and_memory_is_bounded() {
        let mut seen = Seen::new(3, 100);
        let id = |n| MessageId([n; 16]);
        assert!(seen.insert(0, id(1)));
        assert!(!seen.insert(99, id(1)));
        assert!(seen.insert(100, id(1)), "forgotten after its time");
        for n in 2..=4 {
            assert!(seen.insert(101, id(n)));
        }
        assert_eq!(seen.len(), 3);
        assert!(!seen.contains(101, &id(1)), "the oldest made room");
        assert!(seen.contains(101, &id(4)));
    }
}
