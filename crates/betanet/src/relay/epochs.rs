//! A relay's Sphinx keys, one for each epoch.
//!
//! A key is made two epochs ahead, so that it is in the directory when its epoch begins, and is deleted for good when
//! packets for it are accepted no more: whoever takes the relay later cannot open what went through it before. With
//! the key goes its replay filter.

use super::RelayKeys;
use crate::Key;
use crate::directory::Timing;
use crate::mix::ReplayFilter;
use crate::packet::EpochSecret;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

/// Epochs beyond the present one for which there are keys already.
const AHEAD: u32 = 2;
/// The file with the keys, in the relay's folder.
const FILE: &str = "epoch-keys";
/// What the names of the files with replay tags begin with.
const TAGS: &str = "tags-";

/// The keys of the epochs around now.
pub(super) struct Epochs {
    timing: Timing,
    folder: Option<PathBuf>,
    capacity: usize,
    keys: BTreeMap<u32, StaticSecret>,
    /// What is on disk is not what is here.
    unsaved: bool,
    accepted: BTreeSet<u32>,
}

/// What changed, for the mix.
#[derive(Default)]
pub(super) struct Change {
    pub(super) begun: Vec<(u32, ReplayFilter)>,
    pub(super) ended: Vec<u32>,
}

#[derive(Serialize, Deserialize, Zeroize)]
struct Stored(Vec<(u32, [u8; 32])>);

impl Epochs {
    /// Reads the keys of the folder. Without a folder, keys are forgotten at the end (tests).
    pub(super) fn open(
        keys: &RelayKeys,
        timing: Timing,
        folder: Option<PathBuf>,
        capacity: usize,
    ) -> io::Result<Self> {
        let mut epochs = Self {
            timing,
            folder,
            capacity,
            keys: BTreeMap::new(),
            unsaved: false,
            accepted: BTreeSet::new(),
        };
        if timing.epoch == 0 {
            epochs.keys.insert(0, keys.sphinx.clone());
        } else if let Some(folder) = &epochs.folder {
            epochs.keys = read(&folder.join(FILE))?;
        }
        Ok(epochs)
    }

    /// Makes and deletes keys as the time asks for. What it says ended must be let in no more; what it says begun is
    /// on disk, and may be.
    pub(super) fn turn(&mut self, now_unix: u64) -> io::Result<Change> {
        let present = self.timing.epoch_at(now_unix);
        if self.timing.epoch > 0 {
            let timing = self.timing;
            let before = self.keys.len();
            self.keys.retain(|epoch, _| now_unix < timing.accepted(*epoch).1);
            let mut changed = self.unsaved || self.keys.len() < before;
            // A key of the far future is from a time when the clock was wrong.
            self.keys.retain(|epoch, _| *epoch <= present.saturating_add(2 * AHEAD));
            for epoch in present..=present.saturating_add(AHEAD) {
                self.keys.entry(epoch).or_insert_with(|| {
                    changed = true;
                    StaticSecret::random()
                });
            }
            self.unsaved = changed;
            if changed && let Some(folder) = &self.folder {
                write(&folder.join(FILE), &self.keys)?;
            }
            self.unsaved = false;
        }
        let accepted: BTreeSet<u32> = self
            .keys
            .keys()
            .copied()
            .filter(|e| {
                let (from, until) = self.timing.accepted(*e);
                (from..until).contains(&now_unix)
            })
            .collect();
        let mut change = Change::default();
        for epoch in accepted.difference(&self.accepted) {
            let filter = match &self.folder {
                Some(folder) => ReplayFilter::open(&folder.join(format!("{TAGS}{epoch}")), self.capacity)?,
                None => ReplayFilter::in_memory(self.capacity),
            };
            change.begun.push((*epoch, filter));
        }
        change.ended = self.accepted.difference(&accepted).copied().collect();
        self.accepted = accepted;
        if !change.ended.is_empty() || !change.begun.is_empty() {
            self.delete_old_tags();
        }
        Ok(change)
    }

    /// When [`Epochs::turn`] has something to do next, Unix seconds.
    pub(super) fn next_turn(&self, now_unix: u64) -> Option<u64> {
        let times = self.keys.keys().flat_map(|e| {
            let (from, until) = self.timing.accepted(*e);
            [from, until]
        });
        let present = u64::from(self.timing.epoch_at(now_unix));
        let boundary = (present + 1) * u64::from(self.timing.epoch);
        times.chain([boundary]).filter(|t| *t > now_unix && *t < u64::MAX).min()
    }

    /// The secrets that packets may be for, the present epoch's first.
    pub(super) fn secrets(&self, now_unix: u64) -> Vec<EpochSecret> {
        let present = self.timing.epoch_at(now_unix);
        let mut secrets: Vec<EpochSecret> = self
            .accepted
            .iter()
            .filter_map(|epoch| Some(EpochSecret { epoch: *epoch, secret: self.keys.get(epoch)?.clone() }))
            .collect();
        secrets.sort_by_key(|s| s.epoch != present);
        secrets
    }

    /// The public keys, by epoch: what the directory may know.
    pub(super) fn public(&self, now_unix: u64) -> Vec<(u32, Key)> {
        // Keys that a restart would lose are nobody's to use.
        if self.unsaved {
            return Vec::new();
        }
        let present = self.timing.epoch_at(now_unix);
        let keys = self.keys.range(present..);
        keys.take(AHEAD as usize + 1).map(|(e, s)| (*e, PublicKey::from(s).to_bytes())).collect()
    }

    /// Tags of epochs whose key is gone are of no more use.
    fn delete_old_tags(&self) {
        let Some(entries) = self.folder.as_ref().and_then(|f| fs::read_dir(f).ok()) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let epoch = name.to_str().and_then(|n| n.strip_prefix(TAGS)?.parse::<u32>().ok());
            if epoch.is_some_and(|e| !self.keys.contains_key(&e))
                && let Err(e) = fs::remove_file(entry.path())
            {
                tracing::warn!("{} cannot be deleted: {e}", entry.path().display());
            }
        }
    }
}

fn read(path: &Path) -> io::Result<BTreeMap<u32, StaticSecret>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(e) => return Err(e),
    };
    let damaged = |_| {
        let why = format!("{} is damaged; delete it, and the relay makes new keys", path.display());
        io::Error::other(why)
    };
    let stored: Stored = postcard::from_bytes(&bytes).map_err(damaged)?;
    let stored = Zeroizing::new(stored);
    Ok(stored.0.iter().map(|(epoch, secret)| (*epoch, StaticSecret::from(*secret))).collect())
}

/// Replaces the file in one step, so that no crash leaves half of it. It is on disk when this returns: nobody may
/// build packets for a key that a power cut takes away.
fn write(path: &Path, keys: &BTreeMap<u32, StaticSecret>) -> io::Result<()> {
    let stored = Zeroizing::new(Stored(keys.iter().map(|(e, s)| (*e, s.to_bytes())).collect()));
    let bytes = Zeroizing::new(postcard::to_allocvec(&*stored).map_err(io::Error::other)?);
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file: File = options.open(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing { epoch: 100, overlap: 10, voting: 50 };

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("reads")
            .map(|e| e.expect("reads").file_name().into_string().expect("text"))
            .collect();
        names.sort();
        names
    }

    fn epochs(secrets: &[EpochSecret]) -> Vec<u32> {
        secrets.iter().map(|s| s.epoch).collect()
    }

    #[test]
    fn keys_come_early_overlap_and_go_for_good() {
        let dir = tempfile::tempdir().expect("tempdir");
        let keys = RelayKeys::generate();
        let open = || Epochs::open(&keys, TIMING, Some(dir.path().into()), 100).expect("opens");
        let mut relay = open();
        let change = relay.turn(1050).expect("turns");
        assert_eq!(change.begun.iter().map(|b| b.0).collect::<Vec<_>>(), [10]);
        assert_eq!(epochs(&relay.secrets(1050)), [10]);
        let public = relay.public(1050);
        assert_eq!(public.iter().map(|p| p.0).collect::<Vec<_>>(), [10, 11, 12]);
        assert_eq!(relay.next_turn(1050), Some(1090));

        // Just before the next epoch both keys are accepted, also after a restart, and they are the same ones.
        let mut relay = open();
        let change = relay.turn(1095).expect("turns");
        assert_eq!(change.begun.len(), 2);
        assert_eq!(epochs(&relay.secrets(1095)), [10, 11]);
        assert_eq!(relay.public(1095), public);
        assert_eq!(names(dir.path()), ["epoch-keys", "tags-10", "tags-11"]);
        relay.turn(1105).expect("turns");
        assert_eq!(epochs(&relay.secrets(1105)), [11, 10]);

        let change = relay.turn(1110).expect("turns");
        assert_eq!((change.ended, epochs(&relay.secrets(1110))), (vec![10], vec![11]));
        assert_eq!(names(dir.path()), ["epoch-keys", "tags-11"]);
        let stored = read(&dir.path().join(FILE)).expect("reads");
        assert_eq!(stored.keys().copied().collect::<Vec<_>>(), [11, 12, 13], "the old key is gone");

        // Away for long: everything is new.
        let mut relay = open();
        relay.turn(9000).expect("turns");
        assert_eq!(epochs(&relay.secrets(9000)), [90]);
        assert_eq!(relay.public(9000)[0].0, 90);
    }

    #[test]
    fn a_clock_that_was_wrong_leaves_no_keys_behind() {
        let mut relay = Epochs::open(&RelayKeys::generate(), TIMING, None, 100).expect("opens");
        relay.turn(1_000_000).expect("turns");
        relay.turn(1050).expect("turns");
        assert_eq!(relay.public(1050).iter().map(|p| p.0).collect::<Vec<_>>(), [10, 11, 12]);
        assert_eq!(epochs(&relay.secrets(1050)), [10]);
    }

    #[test]
    fn a_still_network_keeps_its_key() {
        let keys = RelayKeys::generate();
        let mut relay = Epochs::open(&keys, Timing::STILL, None, 100).expect("opens");
        assert_eq!(relay.turn(5).expect("turns").begun.len(), 1);
        assert_eq!(relay.turn(u64::MAX / 2).expect("turns").ended, Vec::<u32>::new());
        assert_eq!(relay.secrets(7)[0].secret.as_bytes(), keys.sphinx.as_bytes());
        assert_eq!((relay.public(7), relay.next_turn(7)), (vec![(0, keys.sphinx_key())], None));
    }

    #[test]
    fn damaged_keys_are_told_of() {
        let dir = tempfile::tempdir().expect("tempdir");
        fs::write(dir.path().join(FILE), [255; 40]).expect("writes");
        assert!(Epochs::open(&RelayKeys::generate(), TIMING, Some(dir.path().into()), 100).is_err());
    }
}
