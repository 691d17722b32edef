//! What was here before: datagrams of a session, and introductions to a service.

use super::{Introduction, SessionError};
use std::collections::{HashSet, VecDeque};

/// How many numbers behind the highest a datagram may come: later ones are dropped.
pub const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;

/// The numbers of a session's datagrams that came (RFC 4303, 3.4.3): each is taken once, in any order within
/// [`WINDOW`].
#[derive(Debug, Clone, Default)]
pub struct ReplayWindow {
    /// One above the highest number that came.
    next: u64,
    seen: [u64; WORDS],
}

impl ReplayWindow {
    fn place(number: u64) -> (usize, u64) {
        ((number % WINDOW / 64) as usize, 1 << (number % 64))
    }

    /// True if a datagram with this number would be taken.
    pub fn is_new(&self, number: u64) -> bool {
        if number >= self.next {
            return true;
        }
        let (word, bit) = Self::place(number);
        self.next - number <= WINDOW && self.seen[word] & bit == 0
    }

    /// Takes a number, once its datagram proved authentic. False if it came before or is too old.
    pub fn take(&mut self, number: u64) -> bool {
        if !self.is_new(number) || number == u64::MAX {
            return false;
        }
        if number >= self.next {
            // The numbers skipped over now use the places of others that fall out of the window.
            if number - self.next >= WINDOW {
                self.seen = [0; WORDS];
            } else {
                for skipped in self.next..number {
                    let (word, bit) = Self::place(skipped);
                    self.seen[word] &= !bit;
                }
            }
            self.next = number + 1;
        }
        let (word, bit) = Self::place(number);
        self.seen[word] |= bit;
        true
    }
}

/// How old an introduction may be, and how far ahead the client's clock, in seconds.
pub const INTRODUCTION_AGE: u64 = 600;
/// The most introductions of which a service keeps the cookies: 27 a second for twice [`INTRODUCTION_AGE`].
pub const MAX_COOKIES: usize = 32_768;

/// The cookies of introductions that a service took. It forgets one only when its introduction is too old to be taken
/// again; when it is full, it takes no new ones. It does not survive a restart: a service that begins anew makes new
/// keys for its introduction points, so that old introductions are unreadable.
#[derive(Debug, Default)]
pub struct Cookies {
    seen: HashSet<[u8; 16]>,
    /// Oldest first: when it may be forgotten (Unix seconds), and the cookie.
    order: VecDeque<(u64, [u8; 16])>,
}

impl Cookies {
    /// Takes an introduction once.
    ///
    /// # Errors
    /// [`SessionError::Stale`], [`SessionError::Replayed`], [`SessionError::Busy`].
    pub fn take(&mut self, now_unix: u64, introduction: &Introduction) -> Result<(), SessionError> {
        while let Some((until, cookie)) = self.order.front().copied()
            && until < now_unix
        {
            self.order.pop_front();
            self.seen.remove(&cookie);
        }
        if introduction.made_at.abs_diff(now_unix) > INTRODUCTION_AGE {
            return Err(SessionError::Stale);
        }
        if self.seen.contains(&introduction.cookie) {
            return Err(SessionError::Replayed);
        }
        if self.order.len() >= MAX_COOKIES {
            return Err(SessionError::Busy);
        }
        self.seen.insert(introduction.cookie);
        // From the clock that orders this queue. One that was made ahead of time can come for twice as long.
        self.order.push_back((now_unix.saturating_add(2 * INTRODUCTION_AGE), introduction.cookie));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BoxAddress;
    use proptest::prelude::*;

    proptest! {
        /// Against a model that remembers everything.
        #[test]
        fn takes_each_number_once(steps in proptest::collection::vec((0u64..6, 0u64..1500), 0..400)) {
            let (mut window, mut all, mut top) = (ReplayWindow::default(), HashSet::new(), 0u64);
            for (kind, by) in steps {
                let number = match kind {
                    0 => top.saturating_add(by),
                    1 => top + 1,
                    2 => top.saturating_add(by * 10),
                    _ => top.saturating_sub(by),
                };
                let expected = (all.is_empty() || number > top || top - number < WINDOW) && all.insert(number);
                prop_assert_eq!(window.is_new(number), expected);
                prop_assert_eq!(window.take(number), expected);
                prop_assert!(!window.is_new(number));
                if expected {
                    top = top.max(number);
                }
            }
        }
    }

    #[test]
    fn the_last_number_is_never_taken() {
        let mut window = ReplayWindow::default();
        assert!(!window.take(u64::MAX) && window.take(u64::MAX - 1) && !window.take(u64::MAX - 1));
        assert!(!window.take(0));
    }

    #[test]
    fn an_introduction_is_taken_once_while_it_is_fresh() {
        let at = |made_at, n: u32| {
            let mut cookie = [0; 16];
            cookie[..4].copy_from_slice(&n.to_be_bytes());
            Introduction { reply_to: BoxAddress { relay: [1; 32], id: [2; 32] }, channel: 1, cookie, made_at }
        };
        let mut cookies = Cookies::default();
        assert_eq!(cookies.take(1000, &at(1000, 1)), Ok(()));
        assert_eq!(cookies.take(1600, &at(1000, 1)), Err(SessionError::Replayed));
        assert_eq!(cookies.take(1601, &at(1000, 1)), Err(SessionError::Stale));
        assert_eq!(cookies.take(399, &at(1000, 2)), Err(SessionError::Stale));
        // Made ahead by a clock that is wrong, and tried again as late as possible.
        assert_eq!(cookies.take(1000, &at(1600, 3)), Ok(()));
        assert_eq!(cookies.take(2200, &at(1600, 3)), Err(SessionError::Replayed));
        assert_eq!(cookies.take(2201, &at(1600, 3)), Err(SessionError::Stale));
        for n in 0..MAX_COOKIES as u32 {
            assert_eq!(cookies.take(9000, &at(9000, n)), Ok(()));
        }
        assert_eq!(cookies.take(9000, &at(9000, u32::MAX)), Err(SessionError::Busy));
        assert_eq!(cookies.take(10_201, &at(10_201, u32::MAX)), Ok(()));
        assert_eq!((cookies.seen.len(), cookies.order.len()), (1, 1));
    }
}
