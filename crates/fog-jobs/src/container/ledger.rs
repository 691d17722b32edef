//! Which images were brought to the engine for jobs, and when they go again.
//!
//! The owner's own images are never removed: only those are listed that were not there before. An image is listed
//! before it is fetched, so that a crash in between leaves none behind that nobody knows of.

use super::pack::write_durably;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// An image that was brought for a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Brought {
    /// The engine's id for it; none while it is being fetched.
    pub(super) id: Option<String>,
    /// Bytes on disk.
    pub(super) bytes: u64,
    /// When it was last used, seconds since 1970.
    pub(super) used: u64,
}

/// The list, by name or by the digest of the archive's configuration.
#[derive(Debug)]
pub(super) struct Ledger {
    file: PathBuf,
    images: BTreeMap<String, Brought>,
}

/// How long images stay after their last use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepImages {
    /// For so long after their last use.
    pub time: Duration,
    /// At most so many bytes of them together; those unused for longest go first.
    pub bytes: u64,
}

impl Ledger {
    /// Reads the list. One that cannot be read is begun anew: images are then left to the owner.
    pub(super) fn open(file: PathBuf) -> io::Result<Self> {
        let images = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(file = %file.display(), %error, "the list of jobs' images is damaged");
                BTreeMap::new()
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => return Err(e),
        };
        Ok(Self { file, images })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Brought> {
        self.images.get(name)
    }

    /// Notes an image and makes it last.
    pub(super) fn put(&mut self, name: &str, brought: Brought) -> io::Result<()> {
        self.images.insert(name.to_owned(), brought);
        self.save()
    }

    pub(super) fn forget(&mut self, name: &str) -> io::Result<()> {
        if self.images.remove(name).is_some() { self.save() } else { Ok(()) }
    }

    fn save(&self) -> io::Result<()> {
        write_durably(&self.file, &serde_json::to_vec_pretty(&self.images)?)
    }

    /// Names of images that have to go: fetched in vain, unused for too long, or too much together.
    pub(super) fn due(&self, keep: KeepImages, now: u64, busy: impl Fn(&str) -> bool) -> Vec<String> {
        let mut idle: Vec<_> = self.images.iter().filter(|(name, _)| !busy(name)).collect();
        idle.sort_by_key(|(_, image)| std::cmp::Reverse(image.used));
        let mut bytes: u64 = self.images.iter().filter(|(name, _)| busy(name)).map(|(_, i)| i.bytes).sum();
        let mut due = Vec::new();
        for (name, image) in idle {
            let fresh = now.saturating_sub(image.used) <= keep.time.as_secs();
            let fits = bytes.saturating_add(image.bytes) <= keep.bytes;
            if image.id.is_some() && fresh && fits {
                bytes += image.bytes;
            } else {
                due.push(name.clone());
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(bytes: u64, used: u64) -> Brought {
        Brought { id: Some("i".into()), bytes, used }
    }

    #[test]
    fn old_images_go_first_and_busy_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path().join("images.json")).unwrap();
        for (name, bytes, used) in [("old", 10, 1), ("new", 60, 90), ("newer", 60, 95), ("busy", 10, 2)] {
            ledger.put(name, image(bytes, used)).unwrap();
        }
        ledger.put("half", Brought { id: None, bytes: 0, used: 99 }).unwrap();
        let keep = KeepImages { time: Duration::from_secs(50), bytes: 100 };
        let mut due = ledger.due(keep, 100, |name| name == "busy");
        due.sort();
        assert_eq!(due, ["half", "new", "old"]);
        let again = Ledger::open(dir.path().join("images.json")).unwrap();
        assert_eq!(again.images, ledger.images);
        ledger.forget("old").unwrap();
        assert!(Ledger::open(dir.path().join("images.json")).unwrap().get("old").is_none());
    }

    #[test]
    fn a_damaged_list_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("images.json"), b"{").unwrap();
        assert!(Ledger::open(dir.path().join("images.json")).unwrap().images.is_empty());
    }
}
