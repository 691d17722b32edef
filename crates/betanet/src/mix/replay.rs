//! Which packets were here before. Exact, bounded, and kept in an append-only file over restarts.
//!
//! One filter belongs to one Sphinx key. It never forgets and never clears: when it is full, new packets are
//! refused until the key changes. Key epochs will bound its size to an epoch's packets.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

const TAG_LEN: usize = 16;

/// Why a tag was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// As many tags as allowed are remembered.
    #[error("the replay filter is full")]
    Full,
}

/// The tags of all packets seen under one key.
pub struct ReplayFilter {
    tags: HashSet<u128>,
    capacity: usize,
    log: Option<BufWriter<File>>,
}

impl ReplayFilter {
    /// A filter that forgets at the end of the process: for tests and benchmarks.
    pub fn in_memory(capacity: usize) -> Self {
        Self { tags: HashSet::new(), capacity, log: None }
    }

    /// A filter that keeps its tags in `path`. A half-written last tag (power cut) is cut off.
    ///
    /// # Errors
    /// Those of the file system, or a file with more tags than `capacity`.
    pub fn open(path: &Path, capacity: usize) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let len = file.metadata()?.len();
        if len > (capacity * TAG_LEN) as u64 {
            return Err(io::Error::other(format!(
                "{} holds more than {capacity} replay tags: give the relay a new key",
                path.display()
            )));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.len() - bytes.len() % TAG_LEN;
        if whole < bytes.len() {
            file.set_len(whole as u64)?;
        }
        let tags = bytes[..whole]
            .chunks_exact(TAG_LEN)
            .map(|c| u128::from_le_bytes(c.try_into().unwrap_or_default()))
            .collect();
        Ok(Self { tags, capacity, log: Some(BufWriter::new(file)) })
    }

    /// True if the tag was seen.
    pub fn contains(&self, tag: u128) -> bool {
        self.tags.contains(&tag)
    }

    /// Remembers a tag.
    ///
    /// # Errors
    /// [`ReplayError::Full`].
    pub fn insert(&mut self, tag: u128) -> Result<(), ReplayError> {
        if self.tags.len() >= self.capacity {
            return Err(ReplayError::Full);
        }
        if self.tags.insert(tag)
            && let Some(log) = &mut self.log
            && let Err(e) = log.write_all(&tag.to_le_bytes())
        {
            tracing::warn!("replay tags are not kept over a restart: {e}");
            self.log = None;
        }
        Ok(())
    }

    /// Hands what was written to the operating system.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn flush(&mut self) -> io::Result<()> {
        self.log.as_mut().map_or(Ok(()), Write::flush)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_restart_and_a_torn_write() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("replay");
        let mut filter = ReplayFilter::open(&path, 10).expect("opens");
        for tag in [1, 2, u128::MAX] {
            filter.insert(tag).expect("fits");
        }
        filter.flush().expect("flushes");
        drop(filter);
        OpenOptions::new().append(true).open(&path).expect("opens").write_all(&[7; 5]).expect("writes");
        let mut filter = ReplayFilter::open(&path, 4).expect("opens");
        assert!(
            filter.contains(1) && filter.contains(2) && filter.contains(u128::MAX) && !filter.contains(3)
        );
        filter.insert(4).expect("fits");
        assert_eq!(filter.insert(5), Err(ReplayError::Full));
        filter.flush().expect("flushes");
        assert_eq!(std::fs::metadata(&path).expect("exists").len(), 64);
        assert!(ReplayFilter::open(&path, 3).is_err());
    }
}
