//! Sets of numbers, kept as ranges.

use std::collections::BTreeMap;
use std::ops::Range;

/// Numbers as ranges that neither touch nor overlap: start to end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RangeSet(BTreeMap<u64, u64>);

impl RangeSet {
    /// How many separate ranges there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn first(&self) -> Option<Range<u64>> {
        self.0.first_key_value().map(|(start, end)| *start..*end)
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, end)| number < *end)
    }

    /// True if inserting the range would not make one more: it touches one that is there.
    pub(super) fn touches(&self, range: &Range<u64>) -> bool {
        self.0.range(..=range.end).next_back().is_some_and(|(_, end)| *end >= range.start)
    }

    pub(super) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        while let Some((s, e)) = self.0.range(..=end).next_back().map(|(s, e)| (*s, *e))
            && e >= start
        {
            self.0.remove(&s);
            start = start.min(s);
            end = end.max(e);
        }
        self.0.insert(start, end);
    }

    pub(super) fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        while let Some((s, e)) = self.0.range(..range.end).next_back().map(|(s, e)| (*s, *e))
            && e > range.start
        {
            self.0.remove(&s);
            if s < range.start {
                self.0.insert(s, range.start);
            }
            if e > range.end {
                self.0.insert(range.end, e);
            }
            if s < range.start {
                break;
            }
        }
    }

    /// The parts of `range` that are not in the set.
    pub(super) fn missing(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut missing = Self::default();
        missing.insert(range.clone());
        let from = self.0.range(..=range.start).next_back().map_or(range.start, |(s, _)| *s);
        for (start, end) in self.0.range(from..range.end.max(from)) {
            missing.remove(*start..*end);
        }
        missing.0.into_iter().map(|(start, end)| start..end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Against a plain set of numbers.
        #[test]
        fn is_a_set(steps in proptest::collection::vec((any::<bool>(), 0u64..60, 0u64..15), 0..60)) {
            let (mut ranges, mut model) = (RangeSet::default(), BTreeSet::new());
            for (insert, start, len) in steps {
                let range = start..start + len;
                let missing: Vec<u64> = ranges.missing(range.clone()).into_iter().flatten().collect();
                prop_assert_eq!(missing, range.clone().filter(|n| !model.contains(n)).collect::<Vec<_>>());
                let before = ranges.len();
                let touches = ranges.touches(&range);
                if insert {
                    ranges.insert(range.clone());
                    model.extend(range);
                    prop_assert!(!touches || ranges.len() <= before);
                } else {
                    ranges.remove(range.clone());
                    model.retain(|n| !range.contains(n));
                }
                for n in 0..80 {
                    prop_assert_eq!(ranges.contains(n), model.contains(&n));
                }
                prop_assert_eq!(ranges.first().map(|r| r.start), model.first().copied());
                let flat: Vec<_> = ranges.0.iter().collect();
                prop_assert!(flat.windows(2).all(|w| w[0].1 < w[1].0), "ranges touch: {:?}", flat);
                prop_assert!(flat.iter().all(|(s, e)| s < e));
            }
        }
    }
}
