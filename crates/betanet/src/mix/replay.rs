//! Which packets were here before. Bounded, and kept in an append-only file ([`TagLog`]) over restarts.
//!
//! One filter belongs to one Sphinx key. It never forgets and never clears: when it is full, new packets are
//! refused until the key changes. The first tags are kept as they are; more go into Bloom filters, each four times
//! as large as the one before (Almeida et al. 2007), so that a quiet relay's filter is small and a busy one's takes
//! about 28 bits a packet: 310 MB for an hour at 25,000 packets a second.

use super::TagLog;
use fastbloom::BloomFilter;
use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Packets of an hour at 25,000 a second, the baseline's busy relay.
pub const HOUR_AT_FULL_RATE: usize = 90_000_000;

/// Tags that are kept as they are.
const EXACT: usize = 1 << 18;
/// The first Bloom filter takes this many.
const FIRST_LAYER: usize = 1 << 20;
const GROWTH: usize = 4;
/// Chance that one layer takes a new tag for an old one. There are at most five layers, so that all of them together
/// refuse less than one honest packet in 100,000.
const FALSE_REFUSALS: f64 = 1.5e-6;

/// Why a tag was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// As many tags as allowed are remembered.
    #[error("the replay filter is full")]
    Full,
}

/// The tags of all packets seen under one key.
pub struct ReplayFilter {
    exact: HashSet<u64>,
    layers: Vec<BloomFilter>,
    /// Tags that the newest layer still takes.
    room: usize,
    len: usize,
    capacity: usize,
    log: Option<Arc<TagLog>>,
}

impl ReplayFilter {
    /// A filter that forgets at the end of the process: for tests and benchmarks.
    pub fn in_memory(capacity: usize) -> Self {
        Self { exact: HashSet::new(), layers: Vec::new(), room: EXACT, len: 0, capacity, log: None }
    }

    /// A filter that has the tags of the file at `path`, which is made if there is none. What is inserted later must be
    /// appended to its [`ReplayFilter::log`].
    ///
    /// # Errors
    /// Those of the file system, a file of something else, or one with more tags than `capacity`.
    pub fn open(path: &Path, capacity: usize) -> io::Result<Self> {
        let mut filter = Self::in_memory(capacity);
        let log = TagLog::open(path, capacity, |tag| filter.remember(tag))?;
        filter.log = Some(Arc::new(log));
        Ok(filter)
    }

    /// Where its tags are kept; none in memory.
    pub fn log(&self) -> Option<&Arc<TagLog>> {
        self.log.as_ref()
    }

    /// True if the tag was seen (or, once in 100,000 times on a busy relay, if it was not).
    pub fn contains(&self, tag: u64) -> bool {
        self.exact.contains(&tag) || self.layers.iter().any(|layer| layer.contains(&tag))
    }

    /// Remembers a tag, for as long as the process lives.
    ///
    /// # Errors
    /// [`ReplayError::Full`].
    pub fn insert(&mut self, tag: u64) -> Result<(), ReplayError> {
        if self.len >= self.capacity {
            return Err(ReplayError::Full);
        }
        self.remember(tag);
        Ok(())
    }

    fn remember(&mut self, tag: u64) {
        self.len += 1;
        if self.room == 0 {
            let size = FIRST_LAYER * GROWTH.pow(self.layers.len() as u32);
            let size = size.min(self.capacity - (self.len - 1)).max(1);
            let builder = BloomFilter::with_false_pos(FALSE_REFUSALS).seed(&rand::random());
            self.layers.push(builder.expected_items(size));
            self.room = size;
        }
        self.room -= 1;
        match self.layers.last_mut() {
            Some(layer) => _ = layer.insert(&tag),
            None => _ = self.exact.insert(tag),
        }
    }

    /// Tags that are remembered.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if no packet came yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use std::fs::OpenOptions;
    use std::io::Write;

    fn insert(filter: &mut ReplayFilter, tags: &[u64]) {
        tags.iter().for_each(|tag| filter.insert(*tag).expect("fits"));
        filter.log().expect("a file").append(tags).expect("appends");
    }

    #[test]
    fn survives_a_restart_and_a_torn_write() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("replay");
        let mut filter = ReplayFilter::open(&path, 10).expect("opens");
        insert(&mut filter, &[1, 2, u64::MAX]);
        drop(filter);
        OpenOptions::new().append(true).open(&path).expect("opens").write_all(&[7; 5]).expect("writes");
        let mut filter = ReplayFilter::open(&path, 4).expect("opens");
        assert!(filter.contains(1) && filter.contains(2) && filter.contains(u64::MAX) && !filter.contains(3));
        insert(&mut filter, &[4]);
        assert_eq!(filter.insert(5), Err(ReplayError::Full));
        assert_eq!(std::fs::metadata(&path).expect("exists").len(), 40);
        assert!(ReplayFilter::open(&path, 3).is_err());
        std::fs::write(&path, [0; 64]).expect("writes");
        assert!(ReplayFilter::open(&path, 10).is_err(), "a file of something else");
    }

    /// Over several layers: nothing is forgotten, and next to nothing new is refused, also after a restart.
    #[test]
    fn many_packets_are_all_remembered_and_few_others_refused() {
        const MANY: usize = EXACT + FIRST_LAYER + FIRST_LAYER / 2;
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("replay");
        let mut filter = ReplayFilter::open(&path, 8 * FIRST_LAYER).expect("opens");
        let mut rng = StdRng::seed_from_u64(5);
        let tags: Vec<u64> = (0..MANY).map(|_| rng.random()).collect();
        insert(&mut filter, &tags);
        let again = ReplayFilter::open(&path, 8 * FIRST_LAYER).expect("opens again");
        for filter in [&filter, &again] {
            assert_eq!((filter.len(), filter.layers.len()), (MANY, 2));
            let mut rng = StdRng::seed_from_u64(5);
            assert!((0..MANY).all(|_| filter.contains(rng.random())), "a tag was forgotten");
            let refused = (0..1_000_000).filter(|_| filter.contains(rng.random())).count();
            assert!(refused <= 20, "{refused} of a million new packets would be refused");
        }
    }

    #[test]
    fn a_busy_hour_takes_the_memory_that_the_docs_tell() {
        let sizes = [FIRST_LAYER, FIRST_LAYER * 4, FIRST_LAYER * 16, FIRST_LAYER * 64];
        let taken: usize = sizes.iter().sum::<usize>() + EXACT;
        assert!(taken <= HOUR_AT_FULL_RATE, "one more layer takes the rest");
        let bits: usize = sizes
            .into_iter()
            .chain([HOUR_AT_FULL_RATE - taken])
            .map(|n| fastbloom::optimal_size(n, FALSE_REFUSALS))
            .sum();
        assert!((290..330).contains(&(bits / 8 / 1_000_000)), "{} MB", bits / 8 / 1_000_000);
    }
}
