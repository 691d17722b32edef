//! The job protocol as a state machine over the [`store`](crate::store): a message, an outcome or the time goes in, and
//! what is to be done comes out as [`Action`]s. It sends nothing, pays nothing and runs nothing itself.
//!
//! It has two layers. An *attempt* ([`Job`]) moves between this node and one other: offered, taken, data fetched, run,
//! handed over, paid. Above it an [order](crate::orders) decides which attempts there are.
//!
//! # The contract with the caller
//! - Every call works on one transaction; the caller books escrow and puts messages into its outbox in the same one, and
//!   after the commit starts and kills what was asked. If the transaction fails, nothing has happened.
//! - If the ledger refuses [`Action::LockEscrow`] of an offer from somebody else, roll back and send what
//!   [`Engine::decline`] returns.
//! - Messages may arrive twice, late, or in another order. Nothing is paid twice: `Settle` and `Refund` come once a job,
//!   and never both.
//! - What blocks on the disk is done before the transaction: [`Engine::prepare`], [`Engine::store_outcome`],
//!   [`Engine::store_checkpoint`].
//! - A new `Engine` on the same tables (a restart) runs again what was running: call [`Engine::tick`] at the start and
//!   about once a second, and [`Engine::look`] whenever a slot becomes free or something was submitted.

mod advance;
mod checkpoints;
mod look;
mod offer;
mod ordering;
mod submitter;
mod taker;
#[cfg(test)]
mod tests;
mod transfer;
mod types;

pub use ordering::NewOrder;
pub use types::{Action, Caps, EngineConfig, EngineError, Offer, Peer, Room, RunEnded, RunPlan};

use crate::blobs::BlobStore;
use crate::message::{Fault, JobMessage, Stage};
use crate::orders::{Counts, Order, OrderId};
use crate::spec::{JobId, Person, SignedSpec};
use crate::store::{self, Job, Phase, Role};
use crate::trust::Reputation;
use ed25519_dalek::SigningKey;
use sqlx::sqlite::SqliteConnection;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// Chunks that are asked for and under way at one time, per job.
pub const WINDOW: usize = 4;

pub(crate) type Result<T, E = EngineError> = std::result::Result<T, E>;

/// Both sides of the job protocol for one person.
pub struct Engine {
    key: SigningKey,
    me: Person,
    blobs: BlobStore,
    config: EngineConfig,
    caps: RwLock<Caps>,
    seed: [u8; 32],
    drawn: AtomicU64,
    incarnation: i64,
    memory: Mutex<Memory>,
}

/// What need not survive a restart.
#[derive(Default)]
struct Memory {
    /// Possible workers.
    peers: Vec<Peer>,
    /// What they said.
    offers: HashMap<Person, Offer>,
    /// When they were asked, and have not answered since.
    asked: HashMap<Person, u64>,
    /// When they were last told that their jobs are still here.
    told: HashMap<Person, u64>,
    /// Runs that end in order to be given back.
    yielding: HashSet<JobId>,
    /// When files were last looked through for removal.
    collected_ms: Option<u64>,
}

impl Engine {
    /// `key` is the person's signing key, wiped from memory when the engine is dropped. `seed` is fresh randomness for
    /// each start: ids are drawn from it, and it tells this start's runs from an earlier one's.
    pub fn new(key: SigningKey, blobs: BlobStore, config: EngineConfig, seed: [u8; 32]) -> Self {
        let mut engine = Self {
            me: key.verifying_key().to_bytes(),
            caps: RwLock::new(config.caps),
            key,
            blobs,
            config,
            seed,
            drawn: AtomicU64::new(0),
            incarnation: 0,
            memory: Mutex::default(),
        };
        let drawn = engine.draw();
        // Never 0, which stands for "not started".
        engine.incarnation = i64::from_le_bytes(std::array::from_fn(|i| drawn[i])) | 1;
        engine
    }

    /// The person's key.
    pub fn me(&self) -> Person {
        self.me
    }

    /// The blob store.
    pub fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    /// Changes what this device takes on; jobs already taken stay.
    pub fn set_caps(&self, caps: Caps) {
        *self.caps.write().unwrap_or_else(PoisonError::into_inner) = caps;
    }

    /// What this device takes on.
    pub fn caps(&self) -> Caps {
        *self.caps.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says who may run this person's jobs.
    pub fn set_peers(&self, peers: Vec<Peer>) {
        self.memory().peers = peers;
    }

    /// What somebody said that they offer.
    pub fn offer_of(&self, person: &Person) -> Option<Offer> {
        self.memory().offers.get(person).cloned()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self) -> [u8; 32] {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        *blake3::keyed_hash(&self.seed, &number.to_le_bytes()).as_bytes()
    }

    fn draw_id(&self) -> [u8; 16] {
        let drawn = self.draw();
        std::array::from_fn(|i| drawn[i])
    }

    /// Between 0 and 1.
    fn draw_share(&self) -> f64 {
        let drawn = self.draw();
        let number = u64::from_le_bytes(std::array::from_fn(|i| drawn[i]));
        (number >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One job: an attempt of an order, or a job that was taken.
    ///
    /// # Errors
    /// [`EngineError::UnknownJob`] if there is none.
    pub async fn get(&self, conn: &mut SqliteConnection, job: &JobId) -> Result<Job> {
        store::get(conn, job).await?.ok_or(EngineError::UnknownJob)
    }

    /// The newest jobs that this device took from others.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn taken(&self, conn: &mut SqliteConnection, limit: u32) -> Result<Vec<Job>> {
        Ok(store::taken(conn, limit).await?)
    }

    /// One order.
    ///
    /// # Errors
    /// [`EngineError::UnknownOrder`] if there is none.
    pub async fn order(&self, conn: &mut SqliteConnection, order: &OrderId) -> Result<Order> {
        store::orders::get(conn, order).await?.ok_or(EngineError::UnknownOrder)
    }

    /// The newest orders; an array is one.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn orders(&self, conn: &mut SqliteConnection, limit: u32) -> Result<Vec<Order>> {
        Ok(store::orders::list(conn, limit).await?)
    }

    /// Elements of an array, by index.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn elements(
        &self,
        conn: &mut SqliteConnection,
        array: &OrderId,
        from: u32,
        limit: u32,
    ) -> Result<Vec<Order>> {
        Ok(store::orders::elements(conn, array, from, limit).await?)
    }

    /// How an array's elements are.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn counts(&self, conn: &mut SqliteConnection, array: &OrderId) -> Result<Counts> {
        Ok(store::orders::counts(conn, array).await?)
    }

    /// Paid so far for the elements of an array, 10^-18 FOG.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn array_paid(&self, conn: &mut SqliteConnection, array: &OrderId) -> Result<u128> {
        Ok(store::orders::paid(conn, array).await?)
    }

    /// An order's attempts, the oldest first. Checks of workers are not among them.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn attempts(&self, conn: &mut SqliteConnection, order: &OrderId) -> Result<Vec<Job>> {
        let mut attempts = store::attempts(conn, order).await?;
        attempts.retain(|attempt| !attempt.spot);
        Ok(attempts)
    }

    /// The orders that an order waits for.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn needs(&self, conn: &mut SqliteConnection, order: &OrderId) -> Result<Vec<OrderId>> {
        Ok(store::needs::of(conn, order).await?)
    }

    /// How well somebody did.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn reputation(&self, conn: &mut SqliteConnection, person: &Person) -> Result<Reputation> {
        Ok(store::reputation::get(conn, person).await?)
    }

    /// How many jobs are under way for this person as their worker, and for everyone.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn open_counts(&self, conn: &mut SqliteConnection, person: &Person) -> Result<(u32, u32)> {
        Ok(store::open_counts(conn, person).await?)
    }

    /// True if any job with others is under way, or was done: the ledger knows of it.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn has_history(&self, conn: &mut SqliteConnection) -> Result<bool> {
        Ok(store::any_history(conn).await?)
    }

    /// How many jobs were done: of this person's own, and for others.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn done(&self, conn: &mut SqliteConnection) -> Result<u32> {
        Ok(store::done(conn).await?)
    }

    /// Takes in a message from `from`, whom the transport has authenticated. Call [`Engine::prepare`] first, outside of
    /// the transaction.
    ///
    /// # Errors
    /// [`EngineError`]; nothing has changed then. See [`EngineError::is_senders_fault`].
    pub async fn on_message(
        &self,
        conn: &mut SqliteConnection,
        from: Person,
        message: JobMessage,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let message = match message {
            JobMessage::Offer(signed) => return self.on_offer(conn, from, signed, now_ms).await,
            JobMessage::Status(list) => return self.on_status(conn, from, list, now_ms).await,
            JobMessage::Ask => return Ok(vec![Action::Asked { by: from }]),
            JobMessage::Offers(availability) => return Ok(self.on_offers(from, availability, now_ms)),
            other => other,
        };
        let id = message.job().ok_or(EngineError::UnknownJob)?;
        let mut job = store::get(conn, &id).await?.ok_or(EngineError::UnknownJob)?;
        if job.peer != from || job.role == Role::Local {
            return Err(EngineError::UnknownJob);
        }
        job.touched_ms = now_ms;
        job.heard_ms = now_ms;
        job.tries = 0;
        match message {
            JobMessage::Want { blob, chunks, .. } => self.serve(conn, job, blob, &chunks, now_ms).await,
            JobMessage::Chunk { blob, index, data, .. } => {
                self.on_chunk(conn, job, blob, index, &data, now_ms).await
            }
            message if job.role == Role::Submitter => self.as_submitter(conn, job, message, now_ms).await,
            message => self.as_worker(conn, job, message, now_ms).await,
        }
    }

    /// Stops a job that runs here for somebody.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if it has ended or its result is there already.
    pub async fn stop(&self, conn: &mut SqliteConnection, job: &JobId, now_ms: u64) -> Result<Vec<Action>> {
        let job = self.get(conn, job).await?;
        if job.role != Role::Worker {
            return Err(EngineError::UnknownJob);
        }
        if job.phase.is_final() {
            return Err(EngineError::Refused("the job has ended already".into()));
        }
        // The other side may have paid already: then both ledgers must say so.
        if job.phase == Phase::Delivering {
            return Err(EngineError::Refused("the job is done; its result is on the way".into()));
        }
        let reason = "stopped by the device's owner";
        let message = JobMessage::Failed { job: job.id(), fault: Fault::Owner, reason: reason.into() };
        self.end(conn, job, Phase::Cancelled, reason, Some(message), now_ms).await
    }

    /// Lets time pass for what is under way: asks again for what does not come, gives up what is too old, pauses and gives
    /// back, says that it is still here, and removes the files of jobs that ended long ago. Then does what
    /// [`Engine::look`] does.
    ///
    /// # Errors
    /// [`EngineError`]; call again then.
    pub async fn tick(&self, conn: &mut SqliteConnection, now_ms: u64, room: &Room) -> Result<Vec<Action>> {
        let mut actions = Vec::new();
        let mut beats: HashMap<Person, Vec<Job>> = HashMap::new();
        for mut job in store::open_jobs(conn).await? {
            let id = job.id();
            // What was done for one job may have ended another of the same order.
            if !actions.is_empty() {
                match store::get(conn, &id).await? {
                    Some(now) if !now.phase.is_final() => job = now,
                    _ => continue,
                }
            }
            if let Some(reason) = self.too_old(&job, now_ms) {
                let message = match job.role {
                    Role::Submitter => JobMessage::Cancel { job: id, reason: reason.into() },
                    _ => JobMessage::Failed { job: id, fault: Fault::Owner, reason: reason.into() },
                };
                actions.extend(self.end(conn, job, Phase::Failed, reason, Some(message), now_ms).await?);
                continue;
            }
            if job.version == 1 {
                continue;
            }
            if job.runs_here() && job.incarnation != self.incarnation {
                job.phase = Phase::Ready;
                job.since_ms = now_ms;
                store::update(conn, &job).await?;
            }
            if job.role == Role::Worker {
                beats.entry(job.peer).or_default().push(job.clone());
            }
            if job.is_worker() && matches!(job.phase, Phase::Ready | Phase::Running) {
                if job.role == Role::Worker {
                    actions.extend(self.mind_the_owner(conn, job, room, now_ms).await?);
                }
                continue;
            }
            let wait = self.config.retry_after_ms << job.tries.min(8);
            if now_ms.saturating_sub(job.touched_ms) >= wait {
                job.touched_ms = now_ms;
                job.tries += 1;
                actions.extend(self.ask_again(conn, job, now_ms).await?);
            }
        }
        actions.extend(self.heartbeats(&beats, now_ms));
        self.collect(conn, now_ms).await?;
        actions.extend(self.look(conn, now_ms, room).await?);
        Ok(actions)
    }

    fn too_old(&self, job: &Job, now_ms: u64) -> Option<&'static str> {
        let run_ms = u64::from(job.spec().limits.seconds) * 1000;
        let age = now_ms.saturating_sub(job.created_ms);
        let delivering = matches!(job.phase, Phase::Committed | Phase::Delivering | Phase::Held);
        if delivering {
            let limit = self.config.job_ttl_ms + run_ms + self.config.settle_ttl_ms;
            return (age > limit).then_some("the result was never confirmed");
        }
        if job.version == 1 {
            return Some("it was begun with an earlier version, which cannot be continued: send it again");
        }
        // A run that lasts is bounded by its own limit; pauses for the owner's sake are no fault.
        (age > self.config.job_ttl_ms + run_ms && !job.runs_here())
            .then_some("the job came to no result in time")
    }

    /// Brings a job that was not paid to its end, and the order goes on.
    async fn end(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        phase: Phase,
        note: &str,
        message: Option<JobMessage>,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let mut actions = self.end_job(conn, &mut job, phase, note, message, now_ms).await?;
        actions.extend(self.changed(conn, &job, now_ms).await?);
        Ok(actions)
    }

    /// Brings a job that was not paid to its end: escrow back, process killed, the other side told.
    async fn end_job(
        &self,
        conn: &mut SqliteConnection,
        job: &mut Job,
        phase: Phase,
        note: &str,
        message: Option<JobMessage>,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let id = job.id();
        let mut actions = Vec::new();
        if job.runs_here() {
            actions.push(Action::Kill { job: id });
        }
        job.phase = phase;
        job.note = short(note);
        job.finished_ms = Some(now_ms);
        job.since_ms = now_ms;
        store::unwant_all(conn, &id).await?;
        store::update(conn, job).await?;
        if job.role != Role::Local {
            actions.push(Action::Refund { job: id });
            let privacy = job.spec().privacy;
            actions.extend(message.map(|message| Action::Send { to: job.peer, message, privacy }));
        }
        Ok(actions)
    }

    /// A job has changed: whoever shows it looks again, and the order that it is an attempt of goes on.
    async fn changed(&self, conn: &mut SqliteConnection, job: &Job, now_ms: u64) -> Result<Vec<Action>> {
        match job.order {
            Some(order) if job.spot => self.advance_spot(conn, order, job, now_ms).await,
            Some(order) => self.advance(conn, &order, now_ms).await,
            None => Ok(vec![Action::Changed { job: job.id() }]),
        }
    }

    /// Sets phase and stage, and notes when they began.
    fn set_stage(job: &mut Job, phase: Phase, stage: Stage, now_ms: u64) {
        if job.phase != phase || job.stage != stage {
            job.since_ms = now_ms;
        }
        job.phase = phase;
        job.stage = stage;
    }

    fn send(job: &Job, message: JobMessage) -> Action {
        Action::Send { to: job.peer, message, privacy: job.spec().privacy }
    }

    /// Removes what ended jobs leave behind, unless another job needs it. A submitter keeps its outputs.
    async fn collect(&self, conn: &mut SqliteConnection, now_ms: u64) -> Result<()> {
        let last = self.memory().collected_ms;
        if last.is_some_and(|last| now_ms.saturating_sub(last) < self.config.collect_every_ms) {
            return Ok(());
        }
        self.memory().collected_ms = Some(now_ms);
        let ended = store::collectable(conn, now_ms.saturating_sub(self.config.keep_ms)).await?;
        if ended.is_empty() {
            return Ok(());
        }
        let mut needed = store::needed(conn).await?;
        needed.extend(store::orders::needed(conn).await?);
        for id in ended {
            let Some(mut job) = store::get(conn, &id).await? else { continue };
            let blobs = job.spec().blobs().chain(job.outputs.iter().flat_map(|o| o.blobs()));
            let checkpoints = job.checkpoint.iter().chain(&job.offered).map(|c| &c.blob);
            for blob in blobs.chain(checkpoints).filter(|blob| !needed.contains(&blob.hash)) {
                // Space that cannot be freed must not keep other jobs from running.
                if let Err(error) = self.blobs.remove(blob) {
                    tracing::warn!(%error, "an ended job's data cannot be removed");
                }
            }
            let _ = crate::container::remove_scratch(&self.scratch(&id));
            job.collected = true;
            store::update(conn, &job).await?;
        }
        Ok(())
    }

    fn scratch(&self, id: &JobId) -> PathBuf {
        self.config.scratch.join(hex::encode(id))
    }

    /// Declines an offer for a reason of the caller's: a sender who is not a contact, or whose money does not suffice.
    pub fn decline(&self, to: Person, offer: &SignedSpec, reason: &str) -> Action {
        let message = JobMessage::Decline { job: offer.spec.id, reason: short(reason) };
        Action::Send { to, message, privacy: offer.spec.privacy }
    }
}

/// Cuts a text, perhaps a stranger's, to a length that fits a line or two, without control characters.
pub(crate) fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}
