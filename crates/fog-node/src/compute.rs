//! Jobs: those that I send, and those that this device runs, for me or, when the harvester allows, for others.
//!
//! The engine (`fog_jobs`) decides; this carries out. [`runs`] is the loop: it takes in how runs ended, lets time pass, and
//! starts what may start, all of a round in one transaction. [`perform`] does what the engine asks for within a
//! transaction: money, messages. [`show`] tells the page afterwards, at its own pace.

mod fault;
mod incoming;
mod logs;
mod outputs;
mod perform;
mod request;
mod runs;
mod runtimes;
mod show;
mod view;
mod workers;

pub(crate) use incoming::{incoming, old, prepare};
pub(crate) use outputs::outputs;
pub(crate) use request::{cancel, retry, submit};
pub(crate) use runs::run;
pub(crate) use runtimes::{apply, view as runtimes_view};
pub(crate) use show::run as show;
pub(crate) use view::{elements, get, list};
pub(crate) use workers::list as workers;

use crate::core::Core;
use crate::error::{Result, bad_input, database, internal, not_found, refused};
use crate::identity::unhex;
use crate::work::Work;
use fog_api::{ApiError, ErrorKind, JobLog, Seconds};
use fog_jobs::engine::EngineConfig;
use fog_jobs::{BlobError, BlobStore, Caps, Engine, EngineError, JobId, OrderId, RunHandle, Sandbox};
use parking_lot::Mutex;
use rand::RngExt;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

const MIB: u64 = 1024 * 1024;
/// What waits to be written about runs.
const UPDATES: usize = 256;
/// How long runs get to take a checkpoint when the node ends.
const WIND_DOWN: Duration = Duration::from_secs(8);

/// A run on this device.
struct Running {
    handle: RunHandle,
    /// It is this person's own.
    local: bool,
    /// It may use this much memory, bytes.
    memory: u64,
    /// Its share of a core.
    share: f64,
}

/// The running part of the jobs.
pub(crate) struct Compute {
    pub(crate) engine: Engine,
    sandbox: Sandbox,
    containers: runtimes::Slot,
    logs: logs::Logs,
    running: Mutex<HashMap<JobId, Running>>,
    /// The owner's memory cap for jobs of others together, bytes.
    memory: Mutex<u64>,
    look: Notify,
    updates: mpsc::Sender<runs::Update>,
    received: Mutex<Option<mpsc::Receiver<runs::Update>>>,
    changed: show::Changed,
    answered: Mutex<HashMap<[u8; 32], std::time::Instant>>,
    closing: std::sync::atomic::AtomicBool,
}

/// Starts worker processes, and keeps native code if there is a place for it.
fn sandbox(config: &crate::NodeConfig) -> Sandbox {
    let sandbox = Sandbox::new(config.worker.clone());
    match sandbox.clone().with_cache(config.data_dir.join("compiled")) {
        Ok(cached) => cached,
        Err(error) => {
            tracing::warn!(%error, "modules will be compiled anew for each job");
            sandbox
        }
    }
}

impl Compute {
    pub(crate) fn new(
        config: &crate::NodeConfig,
        key: ed25519_dalek::SigningKey,
    ) -> std::result::Result<Self, BlobError> {
        let blobs = BlobStore::open(config.data_dir.join("blobs"))?;
        let scratch = config.data_dir.join("scratch");
        let (updates, received) = mpsc::channel(UPDATES);
        let mut engine = EngineConfig::new(scratch);
        fault::hasten(&mut engine);
        Ok(Self {
            engine: Engine::new(key, blobs, engine, rand::rng().random()),
            sandbox: sandbox(config),
            containers: runtimes::Slot::default(),
            logs: logs::Logs::new(config.data_dir.join("logs")),
            running: Mutex::default(),
            memory: Mutex::new(Caps::default().limits.memory_bytes),
            look: Notify::new(),
            updates,
            received: Mutex::new(Some(received)),
            changed: show::Changed::default(),
            answered: Mutex::default(),
            closing: std::sync::atomic::AtomicBool::new(false),
        })
    }

    /// Stops a job's process.
    pub(crate) fn kill(&self, job: &JobId) {
        if let Some(running) = self.running.lock().get(job) {
            running.handle.cancel();
        }
    }

    /// Has a job's process take a checkpoint and end.
    pub(crate) fn preempt(&self, job: &JobId) {
        if let Some(running) = self.running.lock().get(job) {
            running.handle.preempt();
        }
    }

    /// Look for jobs to start now.
    pub(crate) fn look(&self) {
        self.look.notify_one();
    }

    /// Orders and jobs that look different now.
    pub(crate) fn changed(&self, orders: HashSet<OrderId>, jobs: HashSet<JobId>, workers: HashSet<[u8; 32]>) {
        self.changed.add(orders, jobs, workers);
    }

    /// Runs for others.
    pub(crate) fn running(&self) -> usize {
        self.running.lock().values().filter(|running| !running.local).count()
    }

    /// All runs.
    pub(crate) fn running_all(&self) -> usize {
        self.running.lock().len()
    }

    /// The owner's memory cap, for jobs to come.
    pub(crate) fn set_memory(&self, bytes: u64) {
        let mut caps = self.engine.caps();
        caps.limits.memory_bytes = Caps::default().limits.memory_bytes.min(bytes);
        self.engine.set_caps(caps);
        *self.memory.lock() = bytes;
    }

    /// The harvester's share of the machine, in shares of one core for each job. This person's own jobs are not
    /// held back. Whoever is paused takes a checkpoint first, so that another device can go on if the owner stays.
    pub(crate) fn set_share(&self, machine_share: f64, cpus: u32) {
        let mut running = self.running.lock();
        let count = running.values().filter(|run| !run.local).count().max(1);
        let each = (machine_share * f64::from(cpus) / count as f64).min(1.0);
        for run in running.values_mut().filter(|run| !run.local) {
            run.handle.set_share(each);
            if each <= 0.0 && run.share > 0.0 {
                run.handle.checkpoint();
            }
            run.share = each;
        }
    }

    /// Has all runs take a checkpoint and end, and waits until that is written.
    pub(crate) async fn wind_down(&self) {
        self.closing.store(true, std::sync::atomic::Ordering::Relaxed);
        for running in self.running.lock().values() {
            running.handle.preempt();
        }
        let written = async {
            while self.running_all() > 0 || self.updates.capacity() < self.updates.max_capacity() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        _ = tokio::time::timeout(WIND_DOWN, written).await;
        self.stop_all();
    }

    pub(crate) fn stop_all(&self) {
        for running in self.running.lock().values() {
            running.handle.cancel();
        }
    }

    fn is_closing(&self) -> bool {
        self.closing.load(std::sync::atomic::Ordering::Relaxed)
    }
}

pub(crate) fn engine_error(e: EngineError) -> ApiError {
    match e {
        EngineError::Store(_) => internal(e),
        EngineError::Spec(_) => bad_input(format!("{e}.")),
        EngineError::UnknownJob | EngineError::UnknownOrder => not_found("There is no such job."),
        EngineError::Refused(_) => refused(format!("{e}.")),
        EngineError::Blob(ref b) => match b {
            BlobError::WrongHash { .. } | BlobError::NoSuchChunk { .. } => bad_input(format!("{e}.")),
            _ => ApiError::new(ErrorKind::Unavailable, format!("The data cannot be stored or read: {e}.")),
        },
    }
}

/// True if a job with others is under way, or was done: the ledger holds its money, or what became of it.
pub(crate) async fn has_history(work: &mut Work) -> Result<bool> {
    let core = work.core.clone();
    core.compute.engine.has_history(work.conn()).await.map_err(engine_error)
}

/// How many jobs were done.
pub(crate) async fn done(core: &Core) -> Result<u32> {
    let mut conn = core.pool.acquire().await.map_err(database)?;
    core.compute.engine.done(&mut conn).await.map_err(engine_error)
}

/// A part of a job's log.
pub(crate) async fn log(core: &Core, id: &str, offset: u64, limit: u32) -> Result<JobLog> {
    let id = job_id(id)?;
    if limit == 0 || limit > 262_144 {
        return Err(bad_input("A part of a log has 1 to 262,144 bytes."));
    }
    let mut conn = core.pool.acquire().await.map_err(database)?;
    let order = core.compute.engine.order(&mut conn, &id).await.map_err(engine_error)?;
    drop(conn);
    let bytes = core.compute.logs.read(&id, offset, limit);
    let next = offset + bytes.len() as u64;
    let end = order.state.is_final() && (bytes.len() as u64) < u64::from(limit);
    Ok(JobLog { offset, next, text: String::from_utf8_lossy(&bytes).into_owned(), end })
}

fn job_id(text: &str) -> Result<JobId> {
    unhex::<16>(text).ok_or_else(|| bad_input("A job's id is 32 hexadecimal digits."))
}

fn seconds(ms: u64) -> Seconds {
    crate::time::seconds(i64::try_from(ms).unwrap_or(i64::MAX))
}
