//! A mixnode: the driver with sockets and timers around [`Mix`].
//!
//! ```text
//! link ── one read ──> batch ── worker: open, admit, write the tags, unwrap, hold ──> Mix
//! Mix ── tick (0.25 ms, a thread of its own) ──> one batch for each peer ──> link: one write
//! ```
//!
//! Each accepted link is a task; its reads are as large as what waits in the socket, and what one read brought goes
//! through the relay together. Where the relay is full or a peer is faster than it may be, its link is not read:
//! TCP holds the sender back.

mod chaos;
mod epochs;
mod keys;
mod links;
mod mixer;
mod requests;
mod upkeep;

pub use chaos::Chaos;
pub use keys::RelayKeys;
pub use upkeep::{About, describe, upkeep};

use crate::Key;
use crate::directory::SignedConsensus;
use crate::mix::{Admitted, BoxCounters, Boxes, Counters, HOUR_AT_FULL_RATE, Mix};
use crate::packet::{EpochSecret, Opened};
use epochs::Epochs;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Packets a second that one link may bring, unless the configuration says otherwise.
pub const DEFAULT_LINK_RATE: u32 = 50_000;

/// How long replay tags are the operating system's alone.
const SYNCHRONISE: Duration = Duration::from_secs(1);

/// How often a relay looks at the clock for its epochs, at the least.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(30);

/// How to start a relay.
pub struct RelayConfig {
    /// Its keys.
    pub keys: RelayKeys,
    /// Where to listen.
    pub listen: SocketAddr,
    /// A folder of its own, for the keys of its epochs and its replay tags; none forgets them (tests).
    pub folder: Option<PathBuf>,
    /// Packets that are remembered under one key, 8 bytes each on disk. More are refused.
    pub replay_capacity: usize,
    /// Packets a second that one link may bring; more wait in the sender's socket.
    pub link_rate: u32,
    /// Trouble on purpose, in tests.
    pub chaos: Option<Chaos>,
}

impl RelayConfig {
    /// A relay with these keys, and the defaults.
    pub fn new(keys: RelayKeys, listen: SocketAddr) -> Self {
        Self {
            keys,
            listen,
            folder: None,
            replay_capacity: HOUR_AT_FULL_RATE,
            link_rate: DEFAULT_LINK_RATE,
            chaos: None,
        }
    }
}

/// A running relay. It stops when this is dropped.
pub struct Relay {
    shared: Arc<Shared>,
    address: SocketAddr,
    tasks: TaskTracker,
    mixer: mixer::Handle,
}

struct Shared {
    id: Key,
    keys: RelayKeys,
    link_rate: u32,
    chaos: Option<Chaos>,
    epochs: Mutex<Epochs>,
    /// What packets may be for now, the most likely first.
    secrets: RwLock<Arc<Vec<EpochSecret>>>,
    mix: Mutex<Mix>,
    boxes: Mutex<Boxes>,
    consensus: watch::Receiver<Arc<SignedConsensus>>,
    peers: Mutex<HashMap<Key, mixer::Peer>>,
    /// Wakes the writer of a connected mailbox.
    mailbox_links: Mutex<HashMap<Key, Arc<Notify>>>,
    /// A peer takes packets more slowly than they come.
    pressure: AtomicBool,
    /// Replay tags were written that a power cut would take.
    unsynchronised: Notify,
    /// The last tags could not be written: told of once.
    cannot_write: AtomicBool,
    /// Links that are open now, and those that were refused because there were too many.
    links: AtomicU64,
    links_refused: AtomicU64,
    /// Nanoseconds that workers spent on packets.
    busy: AtomicU64,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// How a relay is doing: [`Counters`] and what its driver knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// What went through it.
    pub counters: Counters,
    /// Links that others have opened.
    pub links: u64,
    /// Links refused, because there were too many.
    pub links_refused: u64,
    /// Its boxes and descriptors.
    pub boxes: BoxCounters,
    /// The time that workers spent on packets; against the time and the number of processors it tells how
    /// saturated the relay is.
    pub busy: Duration,
}

impl Relay {
    /// Binds and starts. When the consensus changes, the relay follows: links to relays that moved are made anew. The
    /// documents must be verified, at least [`SignedConsensus::authentic`].
    ///
    /// # Errors
    /// The address is in use or not ours, or the folder's files cannot be read or written.
    pub async fn start(
        config: RelayConfig,
        consensus: watch::Receiver<Arc<SignedConsensus>>,
    ) -> io::Result<Self> {
        let timing = consensus.borrow().unverified().network.timing;
        let epochs = Epochs::open(&config.keys, timing, config.folder, config.replay_capacity)?;
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|e| io::Error::new(e.kind(), format!("cannot listen on {}: {e}", config.listen)))?;
        let address = listener.local_addr()?;
        let tasks = TaskTracker::new();
        let shared = Arc::new(Shared {
            id: config.keys.id(),
            keys: config.keys,
            link_rate: config.link_rate.max(1),
            chaos: config.chaos,
            epochs: Mutex::new(epochs),
            secrets: RwLock::default(),
            mix: Mutex::new(Mix::new()),
            boxes: Mutex::default(),
            consensus,
            peers: Mutex::default(),
            mailbox_links: Mutex::default(),
            pressure: AtomicBool::new(false),
            unsynchronised: Notify::new(),
            cannot_write: AtomicBool::new(false),
            links: AtomicU64::new(0),
            links_refused: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            cancel: CancellationToken::new(),
            tasks: tasks.clone(),
        });
        shared.turn_epochs()?;
        let mixer = mixer::start(shared.clone())?;
        let keep = shared.clone();
        tasks.spawn(async move { keep.keep_epochs().await });
        let keep = shared.clone();
        tasks.spawn(async move { keep.keep_synchronised().await });
        tasks.spawn(links::accept_all(shared.clone(), listener, mixer.clone()));
        Ok(Self { shared, address, tasks, mixer })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its id.
    pub fn id(&self) -> Key {
        self.shared.id
    }

    /// Its keys.
    pub fn keys(&self) -> &RelayKeys {
        &self.shared.keys
    }

    /// Its Sphinx public keys of this epoch and the next ones.
    pub fn epoch_keys(&self) -> Vec<(u32, Key)> {
        self.shared.epochs.lock().public(unix_now())
    }

    /// What it counted since its start.
    pub fn counters(&self) -> Counters {
        self.shared.mix.lock().counters()
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        Status {
            counters: self.counters(),
            links: self.shared.links.load(Ordering::Relaxed),
            links_refused: self.shared.links_refused.load(Ordering::Relaxed),
            boxes: self.shared.boxes.lock().counters(),
            busy: Duration::from_nanos(self.shared.busy.load(Ordering::Relaxed)),
        }
    }

    /// Stops: no new links, the replay tags on disk, all tasks ended.
    pub async fn shutdown(&self) {
        self.shared.cancel.cancel();
        self.mixer.wake();
        self.tasks.close();
        self.tasks.wait().await;
        self.mixer.ended().await;
        self.shared.synchronise().await;
    }
}

impl Shared {
    /// Brings keys and replay filters to the present time.
    fn turn_epochs(&self) -> io::Result<()> {
        let now = unix_now();
        let mut epochs = self.epochs.lock();
        let change = epochs.turn(now)?;
        let mut mix = self.mix.lock();
        for (epoch, filter) in change.begun {
            tracing::debug!(epoch, "its packets are accepted");
            mix.begin_epoch(epoch, filter);
        }
        for epoch in change.ended {
            tracing::debug!(epoch, "its packets are accepted no more, and its key is deleted");
            mix.end_epoch(epoch);
        }
        *self.secrets.write() = Arc::new(epochs.secrets(now));
        Ok(())
    }

    /// Brings replay tags onto the disk, a second after the first of them: a power cut takes no more. `kill -9` takes
    /// none at all, because they are written before their packets go on.
    async fn keep_synchronised(&self) {
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = self.unsynchronised.notified() => {}
            }
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(SYNCHRONISE) => {}
            }
            self.synchronise().await;
        }
    }

    async fn synchronise(&self) {
        let logs = self.mix.lock().logs();
        let all = move || logs.iter().try_for_each(|log| log.synchronise());
        match tokio::task::spawn_blocking(all).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!("a power cut now would lose replay tags: {e}"),
            Err(e) => tracing::error!("replay tags could not be synchronised: {e}"),
        }
    }

    /// The packets whose tags are written, so that no replay of them is let in, whatever happens to this process.
    fn written(&self, admitted: Admitted) -> Vec<Opened> {
        match admitted.written() {
            Ok(packets) => {
                if !packets.is_empty() {
                    self.unsynchronised.notify_one();
                    self.cannot_write.store(false, Ordering::Relaxed);
                }
                packets
            }
            Err((lost, e)) => {
                if !self.cannot_write.swap(true, Ordering::Relaxed) {
                    tracing::error!("replay tags cannot be written, so packets are refused: {e}");
                }
                self.mix.lock().not_written(lost);
                Vec::new()
            }
        }
    }

    async fn keep_epochs(&self) {
        loop {
            let now = unix_now();
            let next = self.epochs.lock().next_turn(now).map_or(LOOK_AT_CLOCK, |at| {
                // The clock has steps of a second here, and may jump.
                Duration::from_secs(at.saturating_sub(now)).min(LOOK_AT_CLOCK)
            });
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(next) => {}
            }
            if let Err(e) = self.turn_epochs() {
                // The keys that are accepted stay as they are; the next look tries again.
                tracing::error!("the next epoch's keys cannot be kept: {e}");
            }
        }
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
        self.mixer.wake();
    }
}
