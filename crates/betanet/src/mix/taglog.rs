//! The file of a replay filter's tags: 8 bytes each, appended before their packets go on.
//!
//! What was appended is the operating system's, so that not even `kill -9` takes it away. A power cut may, until it is
//! synchronised; whoever drives the relay does that about every second.

use parking_lot::Mutex;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What a file of tags begins with.
const MAGIC: &[u8; 8] = b"fogtags1";
const TAG_LEN: usize = size_of::<u64>();

/// A file of tags. Appending needs no lock on the relay's state.
#[derive(Debug)]
pub struct TagLog {
    path: PathBuf,
    file: File,
    end: Mutex<End>,
    unsynchronised: AtomicBool,
}

/// Where the file's whole tags end.
#[derive(Debug)]
struct End {
    at: u64,
    /// Something is behind that, of a write that failed half-way.
    torn: bool,
}

impl TagLog {
    /// Opens or makes the file, and tells all its tags, at most `capacity`. A half-written last tag (power cut) is cut
    /// off.
    ///
    /// # Errors
    /// Those of the file system, a file of something else, or one with more tags than `capacity`.
    pub(super) fn open(path: &Path, capacity: usize, mut tell: impl FnMut(u64)) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let mut whole = 0;
        if len < MAGIC.len() {
            file.set_len(0)?;
            file.write_all(MAGIC)?;
            // The file itself is to be there after a power cut.
            file.sync_all()?;
            #[cfg(unix)]
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                File::open(folder)?.sync_all()?;
            }
        } else {
            let mut reader = BufReader::with_capacity(1 << 20, &file);
            let mut magic = [0; MAGIC.len()];
            reader.read_exact(&mut magic)?;
            let fail = |why: &str| io::Error::other(format!("{}: {why}", path.display()));
            if magic != *MAGIC {
                return Err(fail(
                    "this file holds no replay tags. Move it away only if the relay gets new keys, too",
                ));
            }
            whole = (len - MAGIC.len()) / TAG_LEN;
            if whole > capacity {
                return Err(fail("more replay tags than there is room for: give the relay a new key"));
            }
            for _ in 0..whole {
                let mut tag = [0; TAG_LEN];
                reader.read_exact(&mut tag)?;
                tell(u64::from_le_bytes(tag));
            }
            file.set_len((MAGIC.len() + whole * TAG_LEN) as u64)?;
        }
        let end = End { at: (MAGIC.len() + whole * TAG_LEN) as u64, torn: false };
        Ok(Self { path: path.into(), file, end: Mutex::new(end), unsynchronised: AtomicBool::new(true) })
    }

    /// Hands these tags to the operating system, all or none.
    ///
    /// # Errors
    /// Those of the file system, most likely a full disk. The next call tries anew.
    pub fn append(&self, tags: &[u64]) -> io::Result<()> {
        let bytes: Vec<u8> = tags.iter().flat_map(|tag| tag.to_le_bytes()).collect();
        let told = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", self.path.display()));
        let mut end = self.end.lock();
        if end.torn {
            self.file.set_len(end.at).map_err(told)?;
            end.torn = false;
        }
        if let Err(e) = (&self.file).write_all(&bytes) {
            // Tags behind half a tag could not be read again.
            end.torn = self.file.set_len(end.at).is_err();
            return Err(told(e));
        }
        end.at += bytes.len() as u64;
        self.unsynchronised.store(true, Ordering::Release);
        Ok(())
    }

    /// Waits until what was appended is on the disk. It takes the disk's time.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn synchronise(&self) -> io::Result<()> {
        if self.unsynchronised.swap(false, Ordering::AcqRel)
            && let Err(e) = self.file.sync_data()
        {
            self.unsynchronised.store(true, Ordering::Release);
            return Err(e);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(path: &Path) -> Vec<u64> {
        let mut tags = Vec::new();
        TagLog::open(path, 100, |tag| tags.push(tag)).expect("opens");
        tags
    }

    #[test]
    fn what_was_appended_is_there_without_closing_or_synchronising() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("tags");
        let log = TagLog::open(&path, 100, |_| panic!("there are none")).expect("opens");
        log.append(&[1, 2]).expect("appends");
        assert_eq!(tags(&path), [1, 2]);
        log.append(&[3]).expect("appends");
        log.synchronise().expect("synchronises");
        assert_eq!(tags(&path), [1, 2, 3]);
    }

    #[test]
    fn tags_of_many_threads_are_all_whole() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("tags");
        let log = TagLog::open(&path, 100, |_| ()).expect("opens");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let log = &log;
                scope.spawn(move || (0..5).for_each(|i| log.append(&[thread, i << 32]).expect("appends")));
            }
        });
        let mut found = tags(&path);
        found.sort_unstable();
        let mut expected: Vec<u64> = (0..4).flat_map(|t| (0..5).flat_map(move |i| [t, i << 32])).collect();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    /// A file of which only so much may be written stands for a full disk: what fails leaves no half tag, and when there
    /// is room again, all goes on.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_told_of_and_leaves_whole_tags() {
        // `/dev/full` takes nothing, and cannot be cut.
        let end = || Mutex::new(End { at: 8, torn: false });
        let full = OpenOptions::new().write(true).open("/dev/full").expect("opens");
        let log = TagLog { path: "full".into(), file: full, end: end(), unsynchronised: false.into() };
        let error = log.append(&[1]).expect_err("no room");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("full: "), "{error}");
        assert!(log.end.lock().torn);
        assert!(log.append(&[2]).is_err(), "it is not cut off yet");

        // The same with a file that can be cut.
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("tags");
        let mut log = TagLog::open(&path, 100, |_| ()).expect("opens");
        log.append(&[1]).expect("appends");
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .expect("opens")
            .write_all(&[7; 5])
            .expect("writes");
        log.end.get_mut().torn = true;
        log.append(&[2]).expect("appends");
        assert_eq!(tags(&path), [1, 2]);
    }
}
