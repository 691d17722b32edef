//! WASI preview 1 for jobs, the same for both engines.
//!
//! Why not wasmtime's own: a checkpoint must move between engines, so whatever the host knows about a program (positions,
//! open files, clock, chance) must be data that can be written down; and a program's folders must have no way out. So
//! there is no directory behind `/in` and `/out`: `/in` is a list of files opened before the program was looked at, and
//! `/out` lies in this process's memory until the end, within the output's quota. No path reaches the system at all;
//! there are no links, no times and no owners that could differ between replicas.
//!
//! [`functions`] lists the calls, with their types, for both engines; [`calls`] and [`files`] carry them out on [`Wasi`];
//! [`vfs`] is the tree of files; [`guest`] reads and writes the program's memory.

mod calls;
mod files;
pub(super) mod functions;
pub(super) mod guest;
pub(super) mod vfs;

pub(super) use calls::read_file;

use crate::run::{RunError, StreamKind};
use guest::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use vfs::Vfs;

/// Most files open at one time.
const MAX_OPEN: usize = 256;
/// Time of a deterministic program at its beginning: 2000-01-01, ns since 1970.
const EPOCH: u64 = 946_684_800_000_000_000;
/// What a look at the clock adds to a deterministic program's time, ns.
const LOOK: u64 = 1_000;

/// Why a call does not return as usual.
#[derive(Debug)]
pub(super) enum Fail {
    /// The program gets an error number.
    Errno(Errno),
    /// The run ends.
    Stop(RunError),
}

impl From<Errno> for Fail {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

pub(super) type Call = Result<(), Fail>;

/// An open file of the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Open {
    Stdin,
    Stdout,
    Stderr,
    /// A folder; its path within the tree.
    Folder(String),
    /// An input, by number, and the position in it.
    Input {
        index: u32,
        at: u64,
    },
    /// A file of `/out`, by id, and the position in it.
    Output {
        id: u64,
        at: u64,
        append: bool,
        read: bool,
        write: bool,
    },
}

/// What of [`Wasi`] goes into a checkpoint besides the files' contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WasiState {
    pub(crate) open: Vec<(u32, Open)>,
    pub(crate) stdin_at: u64,
    /// ns.
    pub(crate) monotonic: u64,
    #[serde(with = "serde_bytes")]
    pub(crate) seed: [u8; 32],
    pub(crate) drawn: u64,
    pub(crate) sleep_until: Option<u64>,
    pub(crate) tree: vfs::Tree,
}

/// Where a program's words go. What it cannot take ends the run.
pub(super) trait Streams {
    fn write(&mut self, stream: StreamKind, bytes: &[u8]) -> Result<(), RunError>;
    /// Something to tell whoever looks at the job.
    fn note(&mut self, text: &str);
}

/// Lets a program wait.
pub(super) trait Waits: Send + Sync {
    /// Sleeps until `deadline`. True if it was reached; false if the program should be put away first.
    fn sleep(&self, deadline: Instant, movable: bool) -> Result<bool, RunError>;
}

/// Everything that a program can ask for.
pub(super) struct Wasi<S> {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) stdin: Option<File>,
    pub(super) stdin_at: u64,
    pub(super) streams: S,
    pub(super) vfs: Vfs,
    pub(super) open: BTreeMap<u32, Open>,
    pub(super) clock: Clock,
    pub(super) chance: Chance,
    pub(super) waits: Arc<dyn Waits>,
    /// The program waits until this moment of its monotonic clock, ns; kept while it is put away.
    pub(super) sleep_until: Option<u64>,
    /// Whether it can be put away, and is being taken up.
    pub(super) movable: bool,
    pub(super) resuming: bool,
    /// Set by a wait that was cut short to put the program away.
    pub(super) leaves: bool,
    noted_escape: bool,
}

impl<S: Streams> Wasi<S> {
    pub(super) fn new(streams: S, vfs: Vfs, clock: Clock, chance: Chance, waits: Arc<dyn Waits>) -> Self {
        let open = BTreeMap::from([
            (0, Open::Stdin),
            (1, Open::Stdout),
            (2, Open::Stderr),
            (3, Open::Folder(vfs::IN.into())),
            (4, Open::Folder(vfs::OUT.into())),
        ]);
        Self {
            args: Vec::new(),
            env: Vec::new(),
            stdin: None,
            stdin_at: 0,
            streams,
            vfs,
            open,
            clock,
            chance,
            waits,
            sleep_until: None,
            movable: false,
            resuming: false,
            leaves: false,
            noted_escape: false,
        }
    }

    pub(super) fn state(&self) -> WasiState {
        WasiState {
            open: self.open.iter().map(|(fd, open)| (*fd, open.clone())).collect(),
            stdin_at: self.stdin_at,
            monotonic: self.clock.now(),
            seed: self.chance.seed,
            drawn: self.chance.drawn,
            sleep_until: self.sleep_until,
            tree: self.vfs.tree(),
        }
    }

    /// Takes a state up, whose tree was already given to the file system. Everything in it may be a stranger's.
    pub(super) fn restore(&mut self, state: WasiState) -> Result<(), RunError> {
        let bad = |what: &str| RunError::BadCheckpoint(what.into());
        if state.open.len() > MAX_OPEN {
            return Err(bad("it has too many open files"));
        }
        self.open.clear();
        for (fd, open) in state.open {
            if fd >= MAX_OPEN as u32 {
                return Err(bad("a file number is out of bounds"));
            }
            match &open {
                // It may have been removed, or moved, since it was opened.
                Open::Folder(path) if !vfs::is_clean(path, vfs::IN) && !vfs::is_clean(path, vfs::OUT) => {
                    return Err(bad("an open folder has a wrong path"));
                }
                Open::Input { index, .. } if self.vfs.input(*index).is_none() => {
                    return Err(bad("an open input does not exist: the inputs are not the same"));
                }
                Open::Output { id, .. } => {
                    self.vfs.hold(*id).map_err(|_| bad("an open file does not exist"))?;
                }
                _ => {}
            }
            self.open.insert(fd, open);
        }
        self.vfs.forget_unheld();
        self.stdin_at = state.stdin_at;
        self.clock.set(state.monotonic);
        self.chance = Chance { seed: state.seed, drawn: state.drawn };
        self.sleep_until = state.sleep_until;
        Ok(())
    }

    /// A path led out of the program's folders: an error for it, and a word for whoever looks at the job.
    fn escape(&mut self, path: &str) -> Fail {
        if !std::mem::replace(&mut self.noted_escape, true) {
            let short: String = path.chars().take(100).collect();
            self.streams.note(&format!("the program tried to leave its folders: {short:?}"));
        }
        Fail::Errno(Errno::NotCapable)
    }
}

/// A program's clocks.
pub(super) struct Clock {
    /// Monotonic time at `since`, ns; all of it for a deterministic program.
    base: u64,
    /// None: deterministic.
    since: Option<Instant>,
}

impl Clock {
    pub(super) fn new(deterministic: bool) -> Self {
        Self { base: 0, since: (!deterministic).then(Instant::now) }
    }

    /// Monotonic time, ns, without looking.
    fn now(&self) -> u64 {
        let since =
            self.since.map_or(0, |since| u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX));
        self.base.saturating_add(since)
    }

    fn set(&mut self, monotonic: u64) {
        self.base = monotonic;
        self.since = self.since.map(|_| Instant::now());
    }

    pub(super) fn is_past(&self, ns: u64) -> bool {
        ns <= self.now()
    }

    pub(super) fn is_deterministic(&self) -> bool {
        self.since.is_none()
    }

    /// A look at the monotonic clock.
    pub(super) fn monotonic(&mut self) -> u64 {
        if self.is_deterministic() {
            self.base = self.base.saturating_add(LOOK);
        }
        self.now()
    }

    /// A look at the wall clock, ns since 1970.
    pub(super) fn wall(&mut self) -> u64 {
        if self.is_deterministic() {
            return EPOCH.saturating_add(self.monotonic());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The moment at which the monotonic clock shows `ns`; none for a deterministic program, whose clock jumps there.
    pub(super) fn moment(&mut self, ns: u64) -> Option<Instant> {
        if self.is_deterministic() {
            self.base = self.base.max(ns);
            return None;
        }
        let wait = Duration::from_nanos(ns.saturating_sub(self.now()));
        // Longer than any limit.
        Some(Instant::now() + wait.min(Duration::from_secs(10 * 24 * 3600)))
    }
}

/// A program's random numbers: BLAKE3 of a seed, as long as wanted, from any place.
pub(super) struct Chance {
    seed: [u8; 32],
    drawn: u64,
}

impl Chance {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { seed, drawn: 0 }
    }

    pub(super) fn fill(&mut self, into: &mut [u8]) {
        let mut output = blake3::Hasher::new_keyed(&self.seed).finalize_xof();
        output.set_position(self.drawn);
        output.fill(into);
        self.drawn = self.drawn.wrapping_add(into.len() as u64);
    }
}

#[cfg(test)]
mod forged;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_goes_on_where_it_was() {
        let (mut whole, mut parts) = (Chance::new([3; 32]), Chance::new([3; 32]));
        let (mut a, mut b) = ([0; 100], [0; 100]);
        whole.fill(&mut a);
        parts.fill(&mut b[..37]);
        let mut moved = Chance { seed: parts.seed, drawn: parts.drawn };
        moved.fill(&mut b[37..]);
        assert_eq!(a, b);
    }

    #[test]
    fn a_deterministic_clock_counts_looks() {
        let mut clock = Clock::new(true);
        assert_eq!((clock.monotonic(), clock.monotonic()), (LOOK, 2 * LOOK));
        assert!(clock.moment(5_000_000).is_none());
        assert_eq!(clock.wall(), EPOCH + 5_000_000 + LOOK);
    }
}
