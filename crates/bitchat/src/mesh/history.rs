//! The public packets of the last hours, for those who missed them.

use crate::PeerId;
use crate::mesh::types::{MessageId, Millis};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One sender's part of a full history.
const SHARE: usize = 8;
/// Senders whose limits are known one by one.
const MAX_FLOORS: usize = 4096;

/// Bounded; by age, and by sender where it is full.
#[derive(Debug)]
pub(crate) struct History {
    packets: BTreeMap<MessageId, Kept>,
    by_time: BTreeMap<(Millis, MessageId), PeerId>,
    senders: BTreeMap<PeerId, usize>,
    /// What had to go though it was young: nothing of that sender that is as old is taken again.
    floors: BTreeMap<PeerId, Millis>,
    floor: Millis,
    most: usize,
    keep_ms: Millis,
}

#[derive(Debug)]
struct Kept {
    packet: Arc<[u8]>,
    timestamp: Millis,
}

impl History {
    pub(crate) fn new(most: usize, keep_ms: Millis) -> Self {
        let (packets, by_time, senders, floors) = Default::default();
        Self { packets, by_time, senders, floors, floor: 0, most, keep_ms }
    }

    /// This packet may be taken: neither here, nor too old, nor one that had to go.
    pub(crate) fn wants(&self, now: Millis, id: &MessageId, sender: &PeerId, timestamp: Millis) -> bool {
        let floor = self.floors.get(sender).copied().unwrap_or(0).max(self.floor);
        !self.packets.contains_key(id) && timestamp.saturating_add(self.keep_ms) > now && timestamp > floor
    }

    /// After a restart: what had to go before it is not known any more, so of a full history nothing is taken that is
    /// older than what is there.
    pub(crate) fn restored(&mut self) {
        if self.packets.len() >= self.most {
            for ((timestamp, _), sender) in self.by_time.iter().rev() {
                self.floors.insert(*sender, timestamp - 1);
            }
            self.floor = self.by_time.first_key_value().map_or(0, |(k, _)| k.0 - 1);
        }
    }

    /// Keeps a packet. Returns what had to go for it. A packet that is too old, or too old among too many, is not kept.
    pub(crate) fn insert(
        &mut self,
        now: Millis,
        id: MessageId,
        sender: PeerId,
        timestamp: Millis,
        packet: Arc<[u8]>,
    ) -> Option<Vec<MessageId>> {
        if !self.wants(now, &id, &sender, timestamp) {
            return None;
        }
        self.packets.insert(id, Kept { packet, timestamp });
        self.by_time.insert((timestamp, id), sender);
        *self.senders.entry(sender).or_default() += 1;
        let mut gone = Vec::new();
        while self.packets.len() > self.most {
            // Who has more than a fair share goes first; then the oldest.
            let greedy =
                self.senders.iter().max_by_key(|(_, n)| **n).filter(|(_, n)| **n > self.most / SHARE);
            let greedy = greedy.map(|(peer, _)| *peer);
            let victim =
                self.by_time.iter().find(|(_, s)| greedy.is_none_or(|g| g == **s)).map(|(k, s)| (*k, *s));
            let Some(((at, victim), sender)) = victim else { break };
            self.remove(&victim);
            let floor = self.floors.entry(sender).or_default();
            *floor = at.max(*floor);
            if self.floors.len() > MAX_FLOORS {
                self.floor = self.floors.values().copied().max().unwrap_or(0).max(self.floor);
                self.floors.clear();
            }
            gone.push(victim);
        }
        Some(gone)
    }

    pub(crate) fn get(&self, id: &MessageId) -> Option<&Arc<[u8]>> {
        self.packets.get(id).map(|k| &k.packet)
    }

    pub(crate) fn contains(&self, id: &MessageId) -> bool {
        self.packets.contains_key(id)
    }

    /// Drops what is too old.
    pub(crate) fn forget(&mut self, now: Millis) -> Vec<MessageId> {
        let mut gone = Vec::new();
        self.floors.retain(|_, floor| *floor + self.keep_ms > now);
        while let Some(((timestamp, id), _)) = self.by_time.first_key_value()
            && timestamp + self.keep_ms <= now
        {
            let id = *id;
            self.remove(&id);
            gone.push(id);
        }
        gone
    }

    /// All names up to a time combined, and how many.
    pub(crate) fn digest(&self, until: Millis) -> (MessageId, u32) {
        let mut sum = [0; 16];
        let mut count = 0;
        for ((_, id), _) in self.by_time.range(..=(until, MessageId([0xff; 16]))) {
            sum.iter_mut().zip(id.0).for_each(|(s, b)| *s ^= b);
            count += 1;
        }
        (MessageId(sum), count)
    }

    /// Packets of a sender within a stretch of time.
    pub(crate) fn count(&self, sender: &PeerId, from: Millis, to: Millis) -> usize {
        let stretch = (from, MessageId([0; 16]))..=(to, MessageId([0xff; 16]));
        self.by_time.range(stretch).filter(|(_, s)| *s == sender).count()
    }

    /// Names, the newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = (Millis, MessageId)> {
        self.by_time.keys().rev().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    fn remove(&mut self, id: &MessageId) {
        let Some(kept) = self.packets.remove(id) else { return };
        if let Some(sender) = self.by_time.remove(&(kept.timestamp, *id))
            && let Some(count) = self.senders.get_mut(&sender)
        {
            *count -= 1;
            if *count == 0 {
                self.senders.remove(&sender);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loud_sender_makes_room_for_the_others() {
        let mut history = History::new(16, 1000);
        let packet: Arc<[u8]> = Arc::from([0_u8; 4]);
        let (loud, quiet) = (PeerId([1; 8]), PeerId([2; 8]));
        let id = |n: u8| MessageId([n; 16]);
        assert!(history.insert(0, id(200), quiet, 1, packet.clone()).is_some());
        for n in 0..100 {
            assert!(history.insert(0, id(n), loud, 2 + u64::from(n), packet.clone()).is_some());
        }
        assert_eq!(history.len(), 16);
        assert!(history.contains(&id(200)), "though it is the oldest");
        assert!(
            history.insert(0, id(0), loud, 2, packet.clone()).is_none(),
            "it had to go, and does not come again"
        );
        assert!(history.insert(2000, id(201), quiet, 999, packet).is_none(), "too old");
        assert_eq!(history.forget(1001), [id(200)]);
    }
}
