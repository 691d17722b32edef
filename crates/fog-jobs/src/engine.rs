//! The job protocol as a state machine over the [`store`](crate::store): a message, an outcome or the time goes in, and
//! what is to be done comes out as [`Action`]s. It sends nothing, pays nothing and runs nothing itself.
//!
//! # The contract with the caller
//! - Every call works on one transaction; the caller books escrow and puts messages into its outbox in the same one, and
//!   after the commit starts and kills what was asked. If the transaction fails, nothing has happened.
//! - If the ledger refuses [`Action::LockEscrow`], roll back. For [`Engine::submit`] tell the user; for an offer from
//!   somebody else send what [`Engine::decline`] returns.
//! - Messages may arrive twice, late, or in another order. Nothing is paid twice: `Settle` and `Refund` come once a job,
//!   and never both.
//! - A new `Engine` on the same tables (a restart) runs again what was running: call [`Engine::tick`] at the start and
//!   about once a second.

mod offer;
mod submitter;
mod taker;
#[cfg(test)]
mod tests;
mod transfer;
mod types;

pub use types::{Action, Caps, EngineConfig, EngineError, NewJob, RunPlan};

use crate::blobs::BlobStore;
use crate::message::JobMessage;
use crate::sandbox::{RunError, RunOutcome};
use crate::spec::{JobId, JobSpec, Person, SignedSpec};
use crate::store::{self, Job, Phase, Role};
use ed25519_dalek::SigningKey;
use sqlx::sqlite::SqliteConnection;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

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

    fn caps(&self) -> Caps {
        *self.caps.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self) -> [u8; 32] {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        *blake3::keyed_hash(&self.seed, &number.to_le_bytes()).as_bytes()
    }

    /// One job.
    ///
    /// # Errors
    /// [`EngineError::UnknownJob`] if there is none.
    pub async fn get(&self, conn: &mut SqliteConnection, job: &JobId) -> Result<Job> {
        store::get(conn, job).await?.ok_or(EngineError::UnknownJob)
    }

    /// The newest jobs, sent and taken.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn list(&self, conn: &mut SqliteConnection, limit: u32) -> Result<Vec<Job>> {
        Ok(store::list(conn, limit).await?)
    }

    /// Makes, signs and offers a job.
    ///
    /// # Errors
    /// [`EngineError`] if a field is out of bounds, the price limit is below what the limits may cost, the worker is the
    /// submitter, or a blob is not here.
    pub async fn submit(
        &self,
        conn: &mut SqliteConnection,
        new: NewJob,
        now_ms: u64,
    ) -> Result<(Job, Vec<Action>)> {
        if new.worker == self.me {
            return Err(EngineError::Refused("a device does not send jobs to itself".into()));
        }
        let ceiling = crate::price::price_ceiling(&new.limits);
        let drawn = self.draw();
        let spec = JobSpec {
            id: std::array::from_fn(|i| drawn[i]),
            submitter: self.me,
            name: new.name,
            module: new.module,
            input: new.input,
            args: new.args,
            limits: new.limits,
            price_limit: new.price_limit.unwrap_or(ceiling),
            created_ms: now_ms,
        };
        let signed = spec.sign(&self.key)?;
        offer::check_price(&signed.spec)?;
        for blob in std::iter::once(&signed.spec.module).chain(&signed.spec.input) {
            if !self.blobs.has(&blob.hash) {
                let reason = format!("blob {} is not here: store it first", hex::encode(blob.hash));
                return Err(EngineError::Refused(reason));
            }
        }
        let mut job = Job::new(signed.clone(), Role::Submitter, new.worker, Phase::Offered, now_ms);
        job.note = "offered; waiting for an answer".into();
        store::insert(conn, &job).await?;
        let id = job.id();
        let actions = vec![
            Action::LockEscrow { job: id, from: self.me, amount: job.spec().price_limit },
            Action::Send { to: job.peer, message: JobMessage::Offer(signed) },
            Action::Changed { job: id },
        ];
        Ok((job, actions))
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
            other => other,
        };
        let mut job = store::get(conn, &message.job()).await?.ok_or(EngineError::UnknownJob)?;
        if job.peer != from {
            return Err(EngineError::UnknownJob);
        }
        job.touched_ms = now_ms;
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

    /// Takes in how a run ended. An outcome of a job that is no longer running is ignored. [`RunError::Cancelled`] of a
    /// job that is still wanted means that the node interrupted it: it will run again.
    ///
    /// # Errors
    /// [`EngineError::Store`]; report again then.
    pub async fn on_outcome(
        &self,
        conn: &mut SqliteConnection,
        job: JobId,
        outcome: Result<RunOutcome, RunError>,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let job = self.get(conn, &job).await?;
        if !job.runs_here() {
            return Ok(Vec::new());
        }
        self.finish_run(conn, job, outcome, now_ms).await
    }

    /// Stops a job: as its submitter before its result is there, as its worker at any time.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if it has ended or its result is there already.
    pub async fn cancel(&self, conn: &mut SqliteConnection, job: &JobId, now_ms: u64) -> Result<Vec<Action>> {
        let job = self.get(conn, job).await?;
        if job.phase.is_final() {
            return Err(EngineError::Refused("the job has ended already".into()));
        }
        let id = job.id();
        match job.role {
            // The other side may have paid already: then both ledgers must say so.
            _ if job.phase == Phase::Delivering => {
                Err(EngineError::Refused("the job is done; its result is on the way".into()))
            }
            Role::Submitter => {
                let reason = "cancelled by its sender";
                let cancel = JobMessage::Cancel { job: id, reason: reason.into() };
                self.end(conn, job, Phase::Cancelled, reason, Some(cancel), now_ms).await
            }
            Role::Worker => {
                let reason = "stopped by the device's owner";
                let failed = JobMessage::Failed { job: id, reason: reason.into() };
                self.end(conn, job, Phase::Cancelled, reason, Some(failed), now_ms).await
            }
        }
    }

    /// Lets time pass: starts up to `free_slots` runs if the device is `allowed` to work, asks again for what does not
    /// come, gives up what is too old, and removes the files of jobs that ended long ago.
    ///
    /// # Errors
    /// [`EngineError`]; call again then.
    pub async fn tick(
        &self,
        conn: &mut SqliteConnection,
        now_ms: u64,
        allowed: bool,
        free_slots: usize,
    ) -> Result<Vec<Action>> {
        let mut actions = Vec::new();
        let mut free = free_slots;
        for id in store::open_jobs(conn).await? {
            let Some(mut job) = store::get(conn, &id).await? else { continue };
            if let Some(reason) = self.too_old(&job, now_ms) {
                let message = match job.role {
                    Role::Submitter => JobMessage::Cancel { job: id, reason: reason.into() },
                    Role::Worker => JobMessage::Failed { job: id, reason: reason.into() },
                };
                actions.extend(self.end(conn, job, Phase::Failed, reason, Some(message), now_ms).await?);
                continue;
            }
            if job.runs_here() && job.incarnation != self.incarnation {
                job.phase = Phase::Ready;
            }
            if job.role == Role::Worker && job.phase == Phase::Ready {
                actions.extend(self.start_or_wait(conn, job, now_ms, allowed, &mut free).await?);
                continue;
            }
            let wait = self.config.retry_after_ms << job.tries.min(8);
            if now_ms.saturating_sub(job.touched_ms) >= wait {
                job.touched_ms = now_ms;
                job.tries += 1;
                actions.extend(self.ask_again(conn, job, now_ms).await?);
            }
        }
        self.collect(conn, now_ms).await?;
        Ok(actions)
    }

    fn too_old(&self, job: &Job, now_ms: u64) -> Option<&'static str> {
        let run_ms = u64::from(job.spec().limits.seconds) * 1000;
        let age = now_ms.saturating_sub(job.created_ms);
        if job.phase == Phase::Delivering {
            let limit = self.config.job_ttl_ms + run_ms + self.config.settle_ttl_ms;
            return (age > limit).then_some("the result was never confirmed");
        }
        // A run that lasts is bounded by its own limit; pauses for the owner's sake are no fault.
        (age > self.config.job_ttl_ms + run_ms && !job.runs_here())
            .then_some("the job came to no result in time")
    }

    /// Brings a job that was not paid to its end: escrow back, process killed, the other side told.
    async fn end(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
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
        store::unwant_all(conn, &id).await?;
        store::update(conn, &job).await?;
        actions.push(Action::Refund { job: id });
        actions.extend(message.map(|message| Action::Send { to: job.peer, message }));
        actions.push(Action::Changed { job: id });
        Ok(actions)
    }

    /// Removes what ended jobs leave behind, unless another job needs it. A submitter keeps its outputs.
    async fn collect(&self, conn: &mut SqliteConnection, now_ms: u64) -> Result<()> {
        let ended = store::collectable(conn, now_ms.saturating_sub(self.config.keep_ms)).await?;
        if ended.is_empty() {
            return Ok(());
        }
        let needed = store::needed(conn).await?;
        for id in ended {
            let Some(mut job) = store::get(conn, &id).await? else { continue };
            let spec = job.spec();
            let mine = job.role == Role::Submitter;
            let blobs = std::iter::once(&spec.module)
                .chain(&spec.input)
                .chain(job.output.iter().filter(|_| !mine))
                .filter(|blob| !needed.contains(&blob.hash));
            for blob in blobs {
                // Space that cannot be freed must not keep other jobs from running.
                if let Err(error) = self.blobs.remove(blob) {
                    tracing::warn!(%error, "an ended job's data cannot be removed");
                }
            }
            let _ = std::fs::remove_dir_all(self.scratch(&id));
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
        Action::Send { to, message: JobMessage::Decline { job: offer.spec.id, reason: short(reason) } }
    }
}

/// Cuts a text, perhaps a stranger's, to a length that fits a line or two, without control characters.
fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}
