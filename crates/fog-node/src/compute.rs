//! Jobs: those that I send, and those that this device runs for others when the harvester allows.

use crate::contacts::{self, Stored};
use crate::core::Core;
use crate::error::{Result, bad_input, database, internal, not_found, refused};
use crate::identity::{hex, unhex};
use crate::records::{self, api};
use crate::settlements;
use crate::time::seconds;
use crate::wallet;
use crate::wire;
use crate::work::{After, Work};
use fog_api::{
    Amount, ApiError, ContactState, ErrorKind, EventBody, JobLimits, JobState, JobView, SubmitJob,
};
use fog_jobs::engine::EngineConfig;
use fog_jobs::sandbox::RunError;
use fog_jobs::{
    Action, BlobError, BlobStore, Caps, Engine, EngineError, Job, JobId, JobMessage, NewJob, Role, RunHandle,
    RunOutcome, RunPlan, Sandbox,
};
use fog_p2p::MessageId;
use fog_p2p::outbox::{self, Priority};
use fog_tokenomics::ledger;
use parking_lot::Mutex;
use rand::RngExt;
use sqlx::SqliteConnection;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

const LOOK_EVERY: Duration = Duration::from_secs(1);
const LISTED: u32 = 200;
/// Jobs that run at once. One keeps the device's owner undisturbed and the figures honest.
const SLOTS: usize = 1;
const PREVIEW: u64 = 4096;
/// Chunks that wait for one person: 16 MiB. More are asked for again once these have arrived.
const MAX_QUEUED_CHUNKS: i64 = 64;
const MIB: u64 = 1024 * 1024;

/// The running part of the jobs.
pub(crate) struct Compute {
    pub(crate) engine: Engine,
    sandbox: Sandbox,
    running: Mutex<HashMap<JobId, RunHandle>>,
    look: Notify,
}

impl Compute {
    pub(crate) fn new(
        config: &crate::NodeConfig,
        key: ed25519_dalek::SigningKey,
    ) -> std::result::Result<Self, BlobError> {
        let blobs = BlobStore::open(config.data_dir.join("blobs"))?;
        let scratch = config.data_dir.join("scratch");
        Ok(Self {
            engine: Engine::new(key, blobs, EngineConfig::new(scratch), rand::rng().random()),
            sandbox: Sandbox::new(config.worker.clone()),
            running: Mutex::default(),
            look: Notify::new(),
        })
    }

    /// Stops a job's process.
    pub(crate) fn kill(&self, job: &JobId) {
        if let Some(handle) = self.running.lock().remove(job) {
            handle.cancel();
        }
    }

    /// Look for jobs to start now.
    pub(crate) fn look(&self) {
        self.look.notify_one();
    }

    pub(crate) fn running(&self) -> usize {
        self.running.lock().len()
    }

    /// The owner's memory cap, for jobs to come.
    pub(crate) fn set_memory(&self, bytes: u64) {
        let mut caps = Caps::default();
        caps.limits.memory_bytes = caps.limits.memory_bytes.min(bytes);
        self.engine.set_caps(caps);
    }

    /// The harvester's share of the machine, in shares of one core for each job.
    pub(crate) fn set_share(&self, machine_share: f64, cpus: u32) {
        let running = self.running.lock();
        let each = machine_share * f64::from(cpus) / running.len().max(1) as f64;
        for handle in running.values() {
            handle.set_share(each.min(1.0));
        }
    }

    pub(crate) fn stop_all(&self) {
        for (_, handle) in self.running.lock().drain() {
            handle.cancel();
        }
    }
}

pub(crate) fn engine_error(e: EngineError) -> ApiError {
    match e {
        EngineError::Store(_) => internal(e),
        EngineError::Spec(_) => bad_input(format!("{e}.")),
        EngineError::UnknownJob => not_found("There is no such job."),
        EngineError::Refused(_) => refused(format!("{e}.")),
        EngineError::Blob(ref b) => match b {
            BlobError::WrongHash { .. } | BlobError::NoSuchChunk { .. } => bad_input(format!("{e}.")),
            _ => ApiError::new(ErrorKind::Unavailable, format!("The data cannot be stored or read: {e}.")),
        },
    }
}

/// Carries out what the engine asks for, within the same transaction.
async fn perform(work: &mut Work, actions: Vec<Action>) -> Result<Vec<RunPlan>> {
    let mut runs = Vec::new();
    let mut changed: Vec<JobId> = Vec::new();
    let mut money = false;
    let (core, now) = (work.core.clone(), work.now());
    for action in actions {
        match action {
            Action::Send { to, message } => {
                let Some(contact) = contacts::by_id(work.conn(), &to).await? else { continue };
                let (lane, priority) = match message {
                    JobMessage::Chunk { .. } => (wire::lane::DATA, Priority::Bulk),
                    JobMessage::Offer(_) | JobMessage::Cancel { .. } => {
                        (wire::lane::OFFERS, Priority::Normal)
                    }
                    _ => (wire::lane::JOBS, Priority::Normal),
                };
                if priority == Priority::Bulk {
                    // Whoever asks for the same data again and again does not fill this disk with it.
                    let queued =
                        outbox::queued(work.conn(), &contact.seal_key, priority).await.map_err(database)?;
                    if queued >= MAX_QUEUED_CHUNKS {
                        continue;
                    }
                }
                let body = message.encode().map_err(internal)?;
                work.send_in(lane, contact.seal_key, wire::JOB, priority, body).await?;
            }
            Action::LockEscrow { job, from, amount } => {
                ledger::escrow_lock(work.conn(), &job, &from, amount, now).await.map_err(api)?;
                money = true;
            }
            Action::Settle { job, settlement } => {
                let receipt = settlement.receipt.receipt.clone();
                ledger::escrow_settle(work.conn(), &job, &receipt.worker, receipt.price, now, "Compute job")
                    .await
                    .map_err(api)?;
                money = true;
                let bytes = settlement.encode().map_err(internal)?;
                settlements::keep(work, &job, &bytes).await?;
                // The worker hears it by the job's own messages; the submitter tells the others.
                if receipt.submitter == core.id
                    && let Some(worker) = contacts::by_id(work.conn(), &receipt.worker).await?
                {
                    settlements::publish(work, &settlement, &worker.seal_key).await?;
                }
                settlements::credited(work, &[receipt.worker, receipt.submitter]).await?;
            }
            Action::Refund { job } => match ledger::escrow_refund(work.conn(), &job, now).await {
                Ok(_) => {
                    money = true;
                    if let Some(account) = ledger::job(work.conn(), &job).await.map_err(api)? {
                        settlements::credited(work, &[account.payer]).await?;
                    }
                }
                // A declined offer never had an escrow on the worker's side.
                Err(fog_tokenomics::Error::NoEscrow) => {}
                Err(e) => return Err(api(e)),
            },
            Action::Run(plan) => runs.push(plan),
            Action::Kill { job } => work.after(After::Kill(job)),
            Action::Changed { job } => changed.push(job),
        }
    }
    changed.sort_unstable();
    changed.dedup();
    for id in changed {
        let job = core.compute.engine.get(work.conn(), &id).await.map_err(engine_error)?;
        let view = view(work.conn(), &core, &job).await?;
        work.emit(EventBody::Job(view));
    }
    if money {
        wallet::emit(work).await?;
    }
    work.after(After::Jobs);
    Ok(runs)
}

fn may_send_jobs(core: &Core, from: &Stored) -> bool {
    from.state == ContactState::Accepted || !core.settings.read().jobs_from_accepted_only
}

/// Stores and hashes the data that a message brings, before the database is locked for the rest: a slow disk must not
/// hold up those who wait for the lock. An error is met again by [`incoming`], which knows what follows.
pub(crate) async fn prepare(core: &Core, peer: &betanet::Key, body: &[u8]) -> Result<()> {
    let message = JobMessage::decode(body).map_err(|e| bad_input(e.to_string()))?;
    if !matches!(message, JobMessage::Chunk { .. }) {
        return Ok(());
    }
    let mut conn = core.pool.acquire().await.map_err(database)?;
    let from = contacts::by_seal_key(&mut conn, peer).await?;
    let Some(from) = from.filter(|c| c.state != ContactState::Blocked) else { return Ok(()) };
    core.compute.engine.prepare(&mut conn, from.id, &message).await.map_err(engine_error)
}

/// A message about a job came. Commits by itself, because an offer whose escrow the ledger refuses is rolled
/// back and declined.
pub(crate) async fn incoming(mut work: Work, from: &Stored, id: &MessageId, body: &[u8]) -> Result<()> {
    let message = JobMessage::decode(body).map_err(|e| bad_input(e.to_string()))?;
    let core = work.core.clone();
    let offered = match &message {
        JobMessage::Offer(signed) => Some(signed.clone()),
        _ => None,
    };
    if offered.is_some() {
        let members = fog_tokenomics::membership::members(work.conn()).await.map_err(api)?;
        if !members.iter().any(|m| m.person == from.id) {
            // The sender's join is still on its way: take the offer when it comes again.
            return Err(ApiError::new(
                ErrorKind::Unavailable,
                "an offer from somebody who has not joined yet",
            ));
        }
    }
    let refusal = if offered.is_some() && !may_send_jobs(&core, from) {
        refused("jobs are taken from accepted contacts only")
    } else {
        let now = work.now();
        let actions =
            core.compute.engine.on_message(work.conn(), from.id, message, now).await.map_err(engine_error)?;
        match perform(&mut work, actions).await {
            Ok(_) => return work.commit().await,
            Err(e) if offered.is_some() && e.kind == ErrorKind::Refused => e,
            Err(e) => return Err(e),
        }
    };
    drop(work); // rolls back what the offer did
    let Some(signed) = offered else { return Err(refusal) };
    let mut work = Work::begin(&core).await?;
    let now = work.now_ms;
    fog_p2p::inbox::first_time(work.conn(), &from.seal_key, id, now).await.map_err(database)?;
    let decline = core.compute.engine.decline(from.id, &signed, &refusal.message);
    perform(&mut work, vec![decline]).await?;
    work.commit().await
}

/// Starts, stops and looks after jobs until the node ends.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        tokio::select! {
            () = core.cancel.cancelled() => return core.compute.stop_all(),
            () = core.compute.look.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if let Err(e) = tick(&core).await {
            tracing::error!("jobs: {e}");
        }
    }
}

async fn tick(core: &Arc<Core>) -> Result<()> {
    let gate = core.harvest.gate();
    let free = SLOTS.saturating_sub(core.compute.running());
    let mut work = Work::begin(core).await?;
    let now = work.now();
    let actions =
        core.compute.engine.tick(work.conn(), now, gate.allowed, free).await.map_err(engine_error)?;
    if actions.is_empty() {
        return work.commit().await;
    }
    let runs = perform(&mut work, actions).await?;
    work.forget_jobs(); // this is the look itself
    work.commit().await?;
    for plan in runs {
        start(core, plan);
    }
    Ok(())
}

fn start(core: &Arc<Core>, plan: RunPlan) {
    let gate = core.harvest.gate();
    let handle = RunHandle::new((gate.cpu_share * f64::from(gate.cpus)).min(1.0));
    core.compute.running.lock().insert(plan.job, handle.clone());
    core.harvest.look();
    let core = core.clone();
    tokio::spawn(async move {
        let outcome = core.compute.sandbox.run(plan.request, &handle).await;
        core.compute.running.lock().remove(&plan.job);
        core.harvest.look();
        // A full disk or a busy database must not lose a finished run: report until it is stored.
        loop {
            match report(&core, plan.job, &outcome).await {
                Ok(()) => break,
                Err(e) => {
                    tracing::error!("a finished job could not be stored: {e}");
                    tokio::select! {
                        () = core.cancel.cancelled() => break,
                        () = tokio::time::sleep(Duration::from_secs(2)) => {}
                    }
                }
            }
        }
    });
}

async fn report(
    core: &Arc<Core>,
    job: JobId,
    outcome: &std::result::Result<RunOutcome, RunError>,
) -> Result<()> {
    let mut work = Work::begin(core).await?;
    let now = work.now();
    let outcome = outcome.clone();
    let actions =
        core.compute.engine.on_outcome(work.conn(), job, outcome, now).await.map_err(engine_error)?;
    perform(&mut work, actions).await?;
    work.commit().await
}

/// The job as the page shows it.
async fn view(conn: &mut SqliteConnection, core: &Core, job: &Job) -> Result<JobView> {
    let spec = job.spec();
    let peer = contacts::by_id(conn, &job.peer).await?;
    let receipt = job.receipt.as_ref().map(|r| &r.receipt);
    let state = match job.state() {
        fog_jobs::JobState::Pending => JobState::Pending,
        fog_jobs::JobState::Scheduled => JobState::Scheduled,
        fog_jobs::JobState::Running => JobState::Running,
        fog_jobs::JobState::Completed => JobState::Completed,
        fog_jobs::JobState::Failed => JobState::Failed,
        fog_jobs::JobState::Cancelled => JobState::Cancelled,
    };
    let mine = job.role == Role::Submitter;
    let blobs = core.compute.engine.blobs();
    let output = job.output.as_ref().filter(|o| blobs.has(&o.hash));
    // Whose output it is sees it; the device that ran it does not show it to its owner.
    let preview = output.filter(|_| mine).and_then(|o| blobs.read_start(&o.hash, PREVIEW).ok());
    let seconds_of = |ms: Option<u64>| ms.map(|ms| seconds(i64::try_from(ms).unwrap_or(i64::MAX)));
    let escrow = ledger::job(conn, &job.id()).await.map_err(api)?;
    let held = escrow.filter(|e| e.state == ledger::JobAccountState::Locked).and_then(|e| e.escrow);
    Ok(JobView {
        id: hex(&job.id()),
        name: spec.name.clone(),
        mine,
        peer: Some(hex(&job.peer)),
        peer_name: peer.map(|p| p.name),
        state,
        note: job.note.clone(),
        input_bytes: spec.input_bytes(),
        moved_bytes: job.moved,
        total_bytes: job.total,
        created: seconds(i64::try_from(job.created_ms).unwrap_or(i64::MAX)),
        started: seconds_of(job.started_ms),
        finished: seconds_of(job.finished_ms),
        fuel: receipt.map(|r| r.fuel),
        cpu_seconds: receipt.map(|r| r.usage.cpu_ms as f64 / 1000.0),
        escrow: Amount(held.unwrap_or(0)),
        price: job.settlement.as_ref().map(|s| Amount(s.receipt.receipt.price)),
        output: output.filter(|_| mine).map(|o| hex(&o.hash)),
        output_bytes: job.output.as_ref().map(|o| o.size),
        output_preview: preview.and_then(|bytes| String::from_utf8(bytes).ok()),
        limits: JobLimits {
            seconds: spec.limits.seconds,
            memory_mib: u32::try_from(spec.limits.memory_bytes / MIB).unwrap_or(u32::MAX),
            output_mib: u32::try_from(spec.limits.output_bytes / MIB).unwrap_or(u32::MAX),
        },
    })
}

pub(crate) async fn list(core: &Core) -> Result<Vec<JobView>> {
    let mut conn = core.pool.acquire().await.map_err(database)?;
    let mut views = Vec::new();
    for job in core.compute.engine.list(&mut conn, LISTED).await.map_err(engine_error)? {
        views.push(view(&mut conn, core, &job).await?);
    }
    Ok(views)
}

/// True if a job is under way, or was done: the ledger holds its money, or what became of it.
pub(crate) async fn has_history(work: &mut Work) -> Result<bool> {
    let core = work.core.clone();
    let jobs = core.compute.engine.list(work.conn(), u32::MAX).await.map_err(engine_error)?;
    let ended = |j: &Job| matches!(j.state(), fog_jobs::JobState::Failed | fog_jobs::JobState::Cancelled);
    Ok(!jobs.iter().all(ended))
}

fn job_id(text: &str) -> Result<JobId> {
    unhex::<16>(text).ok_or_else(|| bad_input("A job's id is 32 hexadecimal digits."))
}

async fn load(conn: &mut SqliteConnection, core: &Core, id: &JobId) -> Result<JobView> {
    let job = core.compute.engine.get(conn, id).await.map_err(engine_error)?;
    view(conn, core, &job).await
}

pub(crate) async fn get(core: &Core, id: &str) -> Result<JobView> {
    let mut conn = core.pool.acquire().await.map_err(database)?;
    load(&mut conn, core, &job_id(id)?).await
}

/// Who runs a job when its sender does not say: the accepted contact of the same ledger heard last.
async fn choose_worker(work: &mut Work) -> Result<Stored> {
    let mut best: Option<Stored> = None;
    for contact in contacts::all(work.conn()).await? {
        let better = best.as_ref().is_none_or(|b| contact.last_seen_ms > b.last_seen_ms);
        if better && contact.state == ContactState::Accepted && records::shares_ledger(work, &contact).await?
        {
            best = Some(contact);
        }
    }
    best.ok_or_else(|| refused("There is nobody to run it: add a contact first, and accept them."))
}

pub(crate) async fn submit(core: &Arc<Core>, new: SubmitJob) -> Result<JobView> {
    let hash =
        |text: &str| unhex::<32>(text).ok_or_else(|| bad_input("A content hash is 64 hexadecimal digits."));
    let blobs = core.compute.engine.blobs().clone();
    let (module, input) = (hash(&new.module)?, new.input.as_deref().map(hash).transpose()?);
    // Hashing a large file takes a while.
    let described = tokio::task::spawn_blocking(move || {
        let module = blobs.describe(&module)?;
        let start = blobs.read_start(&module.hash, 8)?;
        Ok::<_, BlobError>((start, module, input.map(|i| blobs.describe(&i)).transpose()?))
    });
    let (start, module, input) = described.await.map_err(internal)?.map_err(|e| engine_error(e.into()))?;
    if !start.starts_with(b"\0asm") {
        return Err(bad_input(
            "This is not a WASM module: such a file begins with the bytes 00 61 73 6d. Build for wasm32-wasip1.",
        ));
    }
    let mut work = Work::begin(core).await?;
    let worker = match &new.to {
        Some(peer) => contacts::named(work.conn(), peer).await?,
        None => choose_worker(&mut work).await?,
    };
    if worker.state == ContactState::Blocked {
        return Err(refused("You have blocked this person."));
    }
    if !records::shares_ledger(&mut work, &worker).await? {
        return Err(refused(
            "This contact is in another network, with another ledger: jobs go to members of your own.",
        ));
    }
    let new = NewJob {
        name: new.name,
        module,
        input,
        args: new.args,
        limits: fog_jobs::Limits {
            seconds: new.limits.seconds,
            memory_bytes: u64::from(new.limits.memory_mib) * MIB,
            output_bytes: u64::from(new.limits.output_mib) * MIB,
        },
        price_limit: new.price_limit.map(|a| a.0),
        worker: worker.id,
    };
    let now = work.now();
    let (job, actions) = core.compute.engine.submit(work.conn(), new, now).await.map_err(engine_error)?;
    perform(&mut work, actions).await?;
    let view = load(work.conn(), core, &job.id()).await?;
    work.commit().await?;
    Ok(view)
}

pub(crate) async fn cancel(core: &Arc<Core>, id: &str) -> Result<JobView> {
    let id = job_id(id)?;
    let mut work = Work::begin(core).await?;
    let now = work.now();
    let actions = core.compute.engine.cancel(work.conn(), &id, now).await.map_err(engine_error)?;
    perform(&mut work, actions).await?;
    let view = load(work.conn(), core, &id).await?;
    work.commit().await?;
    Ok(view)
}
