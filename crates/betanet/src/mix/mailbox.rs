//! Mailboxes at a home relay: sealed messages wait here for a client that is away.
//!
//! A message leaves the queue when the client has acknowledged it. Everything is bounded: the number of
//! mailboxes, the messages in each, and their age.

use crate::Key;
use crate::packet::Mail;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

const MAX_MAILBOXES: usize = 4096;
/// About 8 MiB: four messages of 1 MiB and many short ones.
const MAX_QUEUED: usize = 4096;
/// Messages in all mailboxes together: 268 MB.
const MAX_ALL: usize = 131_072;
/// Owners' links show signs of life more often.
const MOMENT: Duration = Duration::from_secs(300);
const EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Rises by one within a mailbox.
    pub number: u64,
    /// A message, sealed end to end, or an answer.
    pub mail: Mail,
    since: Instant,
}

#[derive(Default)]
struct Mailbox {
    queue: VecDeque<Queued>,
    last_number: u64,
    last_contact: Option<Instant>,
}

/// All mailboxes of one relay.
#[derive(Default)]
pub struct Mailboxes {
    by_key: HashMap<Key, Mailbox>,
    /// Messages in all of them.
    queued: usize,
}

impl Mailboxes {
    /// The owner of `key` connected. False when there is no room for another mailbox.
    pub fn register(&mut self, key: Key, now: Instant) -> bool {
        if self.by_key.len() >= MAX_MAILBOXES && !self.by_key.contains_key(&key) {
            self.expire(now);
            if self.by_key.len() >= MAX_MAILBOXES && !self.evict(now) {
                return false;
            }
        }
        self.by_key.entry(key).or_default().last_contact = Some(now);
        true
    }

    /// Forgets the empty mailbox whose owner has been away for the longest, if it is more than a moment: whoever opened
    /// many keeps no place with them.
    fn evict(&mut self, now: Instant) -> bool {
        let away = |m: &Mailbox| now.saturating_duration_since(m.last_contact.unwrap_or(now));
        let idle = self.by_key.iter().filter(|(_, m)| m.queue.is_empty() && away(m) > MOMENT);
        let oldest = idle.max_by_key(|(_, m)| away(m)).map(|(key, _)| *key);
        oldest.is_some_and(|key| self.by_key.remove(&key).is_some())
    }

    /// The owner's link is alive.
    pub fn touch(&mut self, key: &Key, now: Instant) {
        if let Some(mailbox) = self.by_key.get_mut(key) {
            mailbox.last_contact = Some(now);
        }
    }

    /// Queues a message; when the quota is used up, the oldest makes room: senders repeat what matters to them.
    /// False when the mailbox is unknown.
    pub fn put(&mut self, key: &Key, mail: Mail, now: Instant) -> bool {
        let Some(mailbox) = self.by_key.get_mut(key) else { return false };
        while mailbox.queue.front().is_some_and(|q| now.saturating_duration_since(q.since) > EXPIRY) {
            mailbox.queue.pop_front();
            self.queued -= 1;
        }
        if (mailbox.queue.len() >= MAX_QUEUED || self.queued >= MAX_ALL)
            && mailbox.queue.pop_front().is_some()
        {
            self.queued -= 1;
        }
        if self.queued >= MAX_ALL {
            return false;
        }
        mailbox.last_number += 1;
        mailbox.queue.push_back(Queued { number: mailbox.last_number, mail, since: now });
        self.queued += 1;
        true
    }

    /// The messages with a number above `after`, in order.
    pub fn unsent(&self, key: &Key, after: u64) -> impl Iterator<Item = &Queued> {
        self.by_key.get(key).into_iter().flat_map(move |m| {
            let start = m.queue.partition_point(|q| q.number <= after);
            m.queue.range(start..)
        })
    }

    /// The client has everything up to `number`.
    pub fn acknowledge(&mut self, key: &Key, number: u64) {
        if let Some(mailbox) = self.by_key.get_mut(key) {
            while mailbox.queue.front().is_some_and(|q| q.number <= number) {
                mailbox.queue.pop_front();
                self.queued -= 1;
            }
        }
    }

    /// Forgets mailboxes whose owners have been away for longer than messages are kept.
    pub fn expire(&mut self, now: Instant) {
        let queued = &mut self.queued;
        self.by_key.retain(|_, m| {
            let stays = m.last_contact.is_some_and(|t| now.saturating_duration_since(t) <= EXPIRY);
            if !stays {
                *queued -= m.queue.len();
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::MESSAGE;

    fn mail(byte: u8) -> Mail {
        Mail { identifier: MESSAGE, bytes: vec![byte] }
    }

    #[test]
    fn a_mailbox_lives_as_long_as_its_link() {
        let mut boxes = Mailboxes::default();
        let now = Instant::now();
        let hours = |h: u64| now + Duration::from_secs(h * 3600);
        boxes.register([1; 32], now);
        boxes.touch(&[1; 32], hours(23));
        boxes.expire(hours(25));
        assert!(boxes.put(&[1; 32], mail(0), hours(25)));
        boxes.expire(hours(48));
        assert!(!boxes.put(&[1; 32], mail(0), hours(48)));
    }

    #[test]
    fn who_opens_many_keeps_nobody_out_and_all_mail_has_its_bound() {
        let mut boxes = Mailboxes::default();
        let now = Instant::now();
        let key = |i: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&i.to_le_bytes());
            key
        };
        for i in 0..MAX_MAILBOXES {
            assert!(boxes.register(key(i), now));
        }
        for i in 0..MAX_ALL {
            assert!(boxes.put(&key(i % 64), mail(0), now));
        }
        assert!(!boxes.put(&key(64), mail(0), now), "nobody else's mail makes room");
        assert!(boxes.put(&key(1), mail(0), now), "one's own does");
        assert_eq!(boxes.queued, MAX_ALL);
        boxes.acknowledge(&key(2), u64::MAX);
        assert!(boxes.put(&key(64), mail(0), now));
        // Later the empty ones make room, one by one; those with mail do not.
        let later = now + MOMENT + Duration::from_secs(1);
        assert!(boxes.register(key(usize::MAX), later));
        assert_eq!(
            (boxes.by_key.len(), boxes.unsent(&key(0), 0).count()),
            (MAX_MAILBOXES, MAX_QUEUED.min(MAX_ALL / 64))
        );
        boxes.expire(now + EXPIRY + Duration::from_secs(1));
        assert_eq!((boxes.queued, boxes.by_key.len()), (0, 1));
    }

    #[test]
    fn keeps_until_acknowledged_within_its_bounds() {
        let mut boxes = Mailboxes::default();
        let now = Instant::now();
        assert!(!boxes.put(&[1; 32], mail(0), now), "unknown mailbox");
        assert!(boxes.register([1; 32], now));
        for i in 0..MAX_QUEUED {
            assert!(boxes.put(&[1; 32], mail(i as u8), now));
        }
        assert!(boxes.put(&[1; 32], mail(0), now), "the oldest made room");
        assert_eq!(boxes.unsent(&[1; 32], 0).count(), MAX_QUEUED);
        assert_eq!(boxes.unsent(&[1; 32], 0).next().map(|q| q.number), Some(2));
        boxes.acknowledge(&[1; 32], 10);
        assert_eq!(boxes.unsent(&[1; 32], 0).next().map(|q| q.number), Some(11));
        assert_eq!(boxes.unsent(&[1; 32], 4000).count(), 97);
        let later = now + EXPIRY + Duration::from_secs(1);
        assert!(boxes.put(&[1; 32], mail(0), later), "the expired made room");
        assert_eq!(boxes.unsent(&[1; 32], 0).count(), 1);
        boxes.expire(later);
        assert_eq!(boxes.unsent(&[1; 32], 0).count(), 0);
        for i in 0..=MAX_MAILBOXES {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&i.to_le_bytes());
            assert_eq!(boxes.register(key, later), i < MAX_MAILBOXES);
        }
    }
}
