//! Counters that came already.

/// How far a counter may be behind the highest.
pub const WINDOW: u32 = 1_024;
const WORDS: usize = (WINDOW / 64) as usize;

/// The last [`WINDOW`] counters, a bit each.
#[derive(Debug, Clone, Default)]
pub struct ReplayWindow {
    /// One more than the highest that came; 0 before the first.
    next: u64,
    /// A ring: counter `n` is bit `n % WINDOW`.
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// Whether a counter is new and not too old. Nothing changes: [`mark`](Self::mark) it once the message is proven.
    pub fn is_fresh(&self, counter: u32) -> bool {
        let counter = u64::from(counter);
        if counter >= self.next {
            return true;
        }
        let (word, bit) = place(counter);
        self.next - counter <= u64::from(WINDOW) && self.seen[word] & bit == 0
    }

    /// Remembers a counter.
    pub fn mark(&mut self, counter: u32) {
        let counter = u64::from(counter);
        if counter >= self.next {
            // Everything between was not seen; more than a window is the whole ring.
            let from = self.next.max(counter.saturating_sub(u64::from(WINDOW) - 1));
            for skipped in from..=counter {
                let (word, bit) = place(skipped);
                self.seen[word] &= !bit;
            }
            self.next = counter + 1;
        }
        let (word, bit) = place(counter);
        self.seen[word] |= bit;
    }
}

fn place(counter: u64) -> (usize, u64) {
    let at = counter % u64::from(WINDOW);
    ((at / 64) as usize, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn as_a_list_of_all_counters_would_say(
            steps in proptest::collection::vec((0u32..3_000, any::<bool>()), 1..200),
            start in prop_oneof![Just(0u32), Just(u32::MAX - 5_000)],
        ) {
            let mut window = ReplayWindow::default();
            let mut all = BTreeSet::new();
            for (step, mark) in steps {
                let counter = start + step;
                let highest = all.last().copied();
                let old = highest.is_some_and(|h: u32| h >= counter && h - counter >= WINDOW);
                prop_assert_eq!(window.is_fresh(counter), !all.contains(&counter) && !old);
                if mark && window.is_fresh(counter) {
                    window.mark(counter);
                    all.insert(counter);
                }
            }
        }
    }
}
