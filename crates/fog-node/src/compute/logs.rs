//! What jobs write, in a file for each: `logs/ID.log` in the data folder. Not in the database, and not synced: a log may lose
//! its end with the power.

use fog_jobs::{JobId, OrderId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// Most bytes of one log; what comes after is left out.
pub(super) const MAX_LOG: u64 = 1024 * 1024;
/// Orders whose writers are remembered.
const MAX_WRITERS: usize = 1024;

pub(super) struct Logs {
    folder: PathBuf,
    /// Which attempt writes each log, and what of it is there.
    writers: Mutex<HashMap<OrderId, (JobId, u64)>>,
}

impl Logs {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, writers: Mutex::default() }
    }

    fn path(&self, order: &OrderId) -> PathBuf {
        self.folder.join(format!("{}.log", crate::identity::hex(order)))
    }

    /// Adds what an attempt has written from `offset` on. Where it begins in the log, and what was added, if anything was.
    pub(super) fn add(
        &self,
        order: &OrderId,
        job: &JobId,
        offset: u64,
        data: &[u8],
    ) -> Option<(u64, Vec<u8>)> {
        let mut writers = self.writers.lock();
        if writers.len() > MAX_WRITERS {
            writers.clear();
        }
        let path = self.path(order);
        let size = fs::metadata(&path).map_or(0, |meta| meta.len());
        let known = writers.get(order).copied();
        let mut text = Vec::new();
        let have = match known {
            Some((writer, have)) if writer == *job => have,
            // After a restart it is not known what of this attempt is there: its next words are added.
            _ => {
                if size > 0 {
                    text.extend_from_slice(b"--- another run ---\n");
                }
                offset
            }
        };
        let skip = usize::try_from(have.saturating_sub(offset)).unwrap_or(usize::MAX);
        let new = data.get(skip..).unwrap_or_default();
        if new.is_empty() || size > MAX_LOG {
            return None;
        }
        if offset > have {
            text.extend_from_slice(format!("--- {} bytes are missing ---\n", offset - have).as_bytes());
        }
        text.extend_from_slice(new);
        let room = usize::try_from(MAX_LOG - size).unwrap_or(usize::MAX);
        if text.len() > room {
            text.truncate(room);
            let end = b"\n--- the rest is left out ---\n";
            text.extend_from_slice(end);
        }
        let written = fs::create_dir_all(&self.folder)
            .and_then(|()| OpenOptions::new().append(true).create(true).open(&path))
            .and_then(|mut file| file.write_all(&text));
        if let Err(error) = written {
            tracing::warn!(%error, "a job's log cannot be written");
            return None;
        }
        writers.insert(*order, (*job, offset + data.len() as u64));
        Some((size, text))
    }

    /// Bytes of a log.
    pub(super) fn read(&self, order: &OrderId, offset: u64, limit: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(self.path(order))
            && file.seek(SeekFrom::Start(offset)).is_ok()
        {
            // What was read before an error is shown.
            _ = file.take(limit.into()).read_to_end(&mut bytes);
        }
        bytes
    }

    /// Its size, and its end.
    pub(super) fn tail(&self, order: &OrderId, bytes: u64) -> (u64, String) {
        let size = fs::metadata(self.path(order)).map_or(0, |meta| meta.len());
        if size == 0 {
            return (0, String::new());
        }
        let from = size.saturating_sub(bytes);
        let tail = self.read(order, from, u32::try_from(bytes).unwrap_or(u32::MAX));
        (size, String::from_utf8_lossy(&tail).into_owned())
    }

    /// The order has ended: nobody writes any more.
    pub(super) fn ended(&self, order: &OrderId) {
        self.writers.lock().remove(order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_gaps_and_other_attempts() {
        let folder = tempfile::tempdir().expect("tempdir");
        let logs = Logs::new(folder.path().join("logs"));
        let (order, a, b) = ([1; 16], [2; 16], [3; 16]);
        assert_eq!(logs.add(&order, &a, 0, b"one\n"), Some((0, b"one\n".to_vec())));
        assert_eq!(logs.add(&order, &a, 0, b"one\n"), None);
        assert_eq!(logs.add(&order, &a, 2, b"e\ntwo\n"), Some((4, b"two\n".to_vec())));
        logs.add(&order, &a, 20, b"late\n");
        logs.add(&order, &b, 0, b"new\n");
        let all = String::from_utf8(logs.read(&order, 0, 1000)).expect("text");
        assert_eq!(all, "one\ntwo\n--- 12 bytes are missing ---\nlate\n--- another run ---\nnew\n");
        assert_eq!(logs.tail(&order, 4), (all.len() as u64, "new\n".into()));
    }

    #[test]
    fn a_log_does_not_fill_the_disk() {
        let folder = tempfile::tempdir().expect("tempdir");
        let logs = Logs::new(folder.path().join("logs"));
        for i in 0..200 {
            logs.add(&[1; 16], &[2; 16], i * 16_384, &[b'x'; 16_384]);
        }
        let (size, tail) = logs.tail(&[1; 16], 40);
        assert!(size < MAX_LOG + 100 && tail.contains("left out"), "{size} {tail}");
    }
}
