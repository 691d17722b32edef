//! Jobs as the page shows them.

use super::{engine_error, job_id, seconds, workers};
use crate::contacts;
use crate::core::Core;
use crate::error::{Result, bad_input, database};
use crate::identity::hex;
use crate::records::api;
use fog_api::{
    Amount, ArraySummary, JobAttempt, JobCheckpoint, JobProgram, JobReceipt, JobState, JobTarget, JobView,
    PrivacyLevel, SlaClass,
};
use fog_jobs::orders::State;
use fog_jobs::spec::{Class, Program, Receipt};
use fog_jobs::{EngineError, Job, JobId, Order, OrderId, Role, Target};
use fog_tokenomics::ledger;
use sqlx::SqliteConnection;

/// Orders, and jobs of others, that are listed.
const LISTED: u32 = 200;
const PREVIEW: u64 = 4096;
const LOG_TAIL: u64 = 2048;
/// Elements in one reply.
const MAX_ELEMENTS: u32 = 500;

fn attempt_state(state: fog_jobs::JobState) -> JobState {
    match state {
        fog_jobs::JobState::Pending => JobState::Pending,
        fog_jobs::JobState::Scheduled => JobState::Scheduled,
        fog_jobs::JobState::Running => JobState::Running,
        fog_jobs::JobState::Checkpointed => JobState::Checkpointed,
        fog_jobs::JobState::Completed => JobState::Completed,
        fog_jobs::JobState::Failed => JobState::Failed,
        fog_jobs::JobState::Cancelled => JobState::Cancelled,
        fog_jobs::JobState::Preempted => JobState::Preempted,
    }
}

fn class(class: Class) -> SlaClass {
    match class {
        Class::S => SlaClass::S,
        Class::A => SlaClass::A,
        Class::B => SlaClass::B,
    }
}

fn privacy(number: u8) -> Option<PrivacyLevel> {
    match number {
        1 => Some(PrivacyLevel::Private),
        2 => Some(PrivacyLevel::Confidential),
        3 => Some(PrivacyLevel::Secret),
        _ => None,
    }
}

fn program(program: &Program) -> JobProgram {
    match program {
        Program::Wasm { module, deterministic } => {
            JobProgram::Wasm { module: hex(&module.hash), deterministic: *deterministic }
        }
        Program::Container { image, entrypoint } => JobProgram::Container {
            image: image.reference.clone(),
            archive: image.archive.as_ref().map(|archive| hex(&archive.hash)),
            entrypoint: entrypoint.clone(),
        },
    }
}

fn receipt(r: &Receipt) -> JobReceipt {
    JobReceipt {
        fuel: r.fuel,
        cpu_seconds: r.usage.cpu_ms as f64 / 1000.0,
        wall_seconds: r.usage.wall_ms as f64 / 1000.0,
        memory_peak: r.usage.memory_peak,
        exit_code: r.exit_code,
        program: hex(&r.module),
        inputs: r.input.map(|hash| hex(&hash)),
        outputs: hex(&r.output),
        price: Amount(r.price),
    }
}

/// What is held for a job.
async fn held(conn: &mut SqliteConnection, job: &JobId) -> Result<u128> {
    let account = ledger::job(conn, job).await.map_err(api)?;
    let locked = account.filter(|a| a.state == ledger::JobAccountState::Locked);
    Ok(locked.and_then(|a| a.escrow).unwrap_or(0))
}

async fn name_of(conn: &mut SqliteConnection, person: &[u8; 32]) -> Result<Option<String>> {
    Ok(contacts::by_id(conn, person).await?.map(|contact| contact.name))
}

async fn attempt(conn: &mut SqliteConnection, job: &Job) -> Result<JobAttempt> {
    let other = job.role != Role::Local;
    Ok(JobAttempt {
        id: hex(&job.id()),
        peer: other.then(|| hex(&job.peer)),
        peer_name: if other { name_of(conn, &job.peer).await? } else { None },
        state: attempt_state(job.state()),
        note: job.note.clone(),
        resumed_from: job.spec().resume.as_ref().map(|checkpoint| checkpoint.number),
        checkpoint: job.checkpoint.as_ref().map(|checkpoint| checkpoint.number),
        created: seconds(job.created_ms),
        started: job.started_ms.map(seconds),
        finished: job.finished_ms.map(seconds),
        receipt: job.receipt.as_ref().map(|signed| receipt(&signed.receipt)),
        paid: job.settlement.as_ref().map(|s| Amount(s.receipt.receipt.price)),
    })
}

/// Seconds until it is probably done: as long again as the rest is to what is done.
fn eta(progress: Option<f64>, started_ms: Option<u64>, now_ms: u64) -> Option<f64> {
    let progress = progress.filter(|p| *p > 0.01 && *p < 1.0)?;
    let so_far = now_ms.saturating_sub(started_ms?) as f64 / 1000.0;
    Some(so_far * (1.0 - progress) / progress)
}

/// An order of this person.
pub(super) async fn order(conn: &mut SqliteConnection, core: &Core, order: &Order) -> Result<JobView> {
    let engine = &core.compute.engine;
    let spec = &order.spec;
    let jobs = engine.attempts(conn, &order.id).await.map_err(engine_error)?;
    let mut view = JobView {
        id: hex(&order.id),
        name: spec.name.clone(),
        mine: true,
        state: match order.state {
            State::Blocked | State::Pending => JobState::Pending,
            State::Scheduled => JobState::Scheduled,
            State::Running | State::Array => JobState::Running,
            State::Checkpointed => JobState::Checkpointed,
            State::Completed => JobState::Completed,
            State::Failed => JobState::Failed,
            State::Cancelled => JobState::Cancelled,
        },
        note: order.note.clone(),
        progress: order.permille.map(|p| f64::from(p) / 1000.0),
        runtime: spec.program.runtime().into(),
        program: Some(program(&spec.program)),
        args: spec.args.clone(),
        to: Some(match &spec.target {
            Target::Anyone => JobTarget::Anyone,
            Target::Here => JobTarget::ThisDevice,
            Target::Persons(persons) => {
                JobTarget::Contacts { peers: persons.iter().map(|p| hex(p)).collect() }
            }
        }),
        class: class(spec.class),
        privacy: privacy(spec.privacy),
        deadline: spec.deadline_ms.map(seconds),
        network: spec.network,
        parent: order.parent.map(|id| hex(&id)),
        index: order.index,
        input_bytes: spec.blobs().map(|blob| blob.size).sum(),
        created: seconds(order.created_ms),
        started: order.started_ms.map(seconds),
        finished: order.finished_ms.map(seconds),
        limits: workers::limits(&spec.limits),
        ..JobView::default()
    };
    let needs = engine.needs(conn, &order.id).await.map_err(engine_error)?;
    view.depends_on = needs.iter().map(|id| hex(id)).collect();
    if let Some((first, last)) = order.range {
        array(conn, core, order, first, last, &mut view).await?;
        return Ok(view);
    }
    if let Some(last) = jobs.iter().rev().find(|job| job.role == Role::Submitter) {
        view.peer = Some(hex(&last.peer));
        view.peer_name = name_of(conn, &last.peer).await?;
        view.moved_bytes = last.moved;
        view.total_bytes = last.total;
    }
    usage(&jobs, order, &mut view);
    let mut paid = None;
    for job in &jobs {
        if !job.is_final() {
            view.escrow.0 = view.escrow.0.saturating_add(held(conn, &job.id()).await?);
        }
        if let Some(settlement) = &job.settlement {
            paid = Some(paid.unwrap_or(0u128).saturating_add(settlement.receipt.receipt.price));
        }
        view.attempts.push(attempt(conn, job).await?);
    }
    view.price = paid.map(Amount);
    let now = crate::time::now_ms().unsigned_abs();
    if !order.state.is_final() {
        view.eta_seconds = eta(view.progress, order.started_ms, now);
    }
    view.checkpoint = order.checkpoint.as_ref().map(|c| JobCheckpoint {
        number: c.number,
        bytes: c.blob.size,
        wall_seconds: c.wall_ms as f64 / 1000.0,
    });
    let agreed = jobs.iter().filter(|job| job.spec().sealed && job.settlement.is_some()).count();
    view.checked = (agreed > 1).then(|| format!("{agreed} devices agree on the result"));
    outputs(core, order, &mut view);
    (view.log_bytes, view.log_tail) = core.compute.logs.tail(&order.id, LOG_TAIL);
    Ok(view)
}

/// What the run whose result it is used, over all devices that it moved through.
fn usage(jobs: &[Job], order: &Order, view: &mut JobView) {
    let winner = jobs.iter().find(|job| Some(job.id()) == order.winner);
    let Some(last) = winner.and_then(|job| Some((job, &job.receipt.as_ref()?.receipt))) else { return };
    let (job, r) = last;
    let before = job.spec().resume.as_ref();
    view.fuel = Some(r.fuel.saturating_add(before.map_or(0, |c| c.fuel)));
    let seconds = |own: u64, before: u64| Some(own.saturating_add(before) as f64 / 1000.0);
    view.cpu_seconds = seconds(r.usage.cpu_ms, before.map_or(0, |c| c.cpu_ms));
    view.wall_seconds = seconds(r.usage.wall_ms, before.map_or(0, |c| c.wall_ms));
    view.memory_peak = Some(r.usage.memory_peak);
    view.exit_code = Some(r.exit_code);
}

fn outputs(core: &Core, order: &Order, view: &mut JobView) {
    let blobs = core.compute.engine.blobs();
    let Some((outputs, _)) = &order.result else { return };
    view.output_bytes = Some(outputs.stdout.size);
    if blobs.has(&outputs.stdout.hash) {
        view.output = Some(hex(&outputs.stdout.hash));
        let preview = blobs.read_start(&outputs.stdout.hash, PREVIEW).ok();
        view.output_preview = preview.and_then(text_of);
    }
    if let Some(files) = outputs.files.as_ref().filter(|files| blobs.has(&files.hash)) {
        view.files = Some(hex(&files.hash));
        view.files_bytes = Some(files.size);
    }
}

/// A text, perhaps cut within its last character.
fn text_of(bytes: Vec<u8>) -> Option<String> {
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(e) if e.utf8_error().error_len().is_none() => {
            let valid = e.utf8_error().valid_up_to();
            let mut bytes = e.into_bytes();
            bytes.truncate(valid);
            String::from_utf8(bytes).ok()
        }
        Err(_) => None,
    }
}

/// An array shows what its elements do.
async fn array(
    conn: &mut SqliteConnection,
    core: &Core,
    order: &Order,
    first: u32,
    last: u32,
    view: &mut JobView,
) -> Result<()> {
    let engine = &core.compute.engine;
    let counts = engine.counts(conn, &order.id).await.map_err(engine_error)?;
    let all = f64::from(last - first) + 1.0;
    let ended = counts.completed + counts.failed + counts.cancelled;
    let progress = f64::from(ended) / all;
    view.progress = Some(progress);
    let now = crate::time::now_ms().unsigned_abs();
    if !order.state.is_final() {
        view.eta_seconds = eta(view.progress, Some(order.created_ms), now);
        if order.state == State::Array && ended == 0 && counts.running + counts.scheduled == 0 {
            view.state = JobState::Pending;
        }
        if order.state == State::Array {
            view.note = format!("{} of {all} elements are done", counts.completed);
        }
    }
    let paid = engine.array_paid(conn, &order.id).await.map_err(engine_error)?;
    view.price = (paid > 0).then_some(Amount(paid));
    view.array = Some(ArraySummary {
        first,
        last,
        pending: counts.pending,
        scheduled: counts.scheduled,
        running: counts.running,
        completed: counts.completed,
        failed: counts.failed,
        cancelled: counts.cancelled,
    });
    Ok(())
}

/// A job that runs here for somebody. Whose output it is sees it; the device that runs it does not show it to its owner.
async fn taken(conn: &mut SqliteConnection, job: &Job) -> Result<JobView> {
    let spec = job.spec();
    let r = job.receipt.as_ref().map(|signed| &signed.receipt);
    let progress = job.permille.map(|p| f64::from(p) / 1000.0);
    Ok(JobView {
        id: hex(&job.id()),
        name: spec.name.clone(),
        mine: false,
        peer: Some(hex(&job.peer)),
        peer_name: name_of(conn, &job.peer).await?,
        state: attempt_state(job.state()),
        note: job.note.clone(),
        progress,
        eta_seconds: if job.is_final() {
            None
        } else {
            eta(progress, job.started_ms, crate::time::now_ms().unsigned_abs())
        },
        runtime: spec.program.runtime().into(),
        program: Some(program(&spec.program)),
        args: spec.args.clone(),
        class: class(spec.class),
        privacy: privacy(spec.privacy),
        deadline: spec.deadline_ms.map(seconds),
        network: spec.network,
        input_bytes: spec.input_bytes(),
        moved_bytes: job.moved,
        total_bytes: job.total,
        created: seconds(job.created_ms),
        started: job.started_ms.map(seconds),
        finished: job.finished_ms.map(seconds),
        fuel: r.map(|r| r.fuel),
        cpu_seconds: r.map(|r| r.usage.cpu_ms as f64 / 1000.0),
        wall_seconds: r.map(|r| r.usage.wall_ms as f64 / 1000.0),
        memory_peak: r.map(|r| r.usage.memory_peak),
        exit_code: r.map(|r| r.exit_code),
        escrow: Amount(held(conn, &job.id()).await?),
        price: job.settlement.as_ref().map(|s| Amount(s.receipt.receipt.price)),
        checkpoint: job.checkpoint.as_ref().map(|c| JobCheckpoint {
            number: c.number,
            bytes: c.blob.size,
            wall_seconds: c.wall_ms as f64 / 1000.0,
        }),
        output_bytes: job.outputs.as_ref().map(|o| o.stdout.size),
        files_bytes: job.outputs.as_ref().and_then(|o| o.files.as_ref()).map(|files| files.size),
        limits: workers::limits(&spec.limits),
        ..JobView::default()
    })
}

pub(super) async fn load(conn: &mut SqliteConnection, core: &Core, id: &OrderId) -> Result<JobView> {
    let engine = &core.compute.engine;
    match engine.order(conn, id).await {
        Ok(found) => order(conn, core, &found).await,
        Err(EngineError::UnknownOrder) => {
            let job = engine.get(conn, id).await.map_err(engine_error)?;
            taken(conn, &job).await
        }
        Err(e) => Err(engine_error(e)),
    }
}

/// An order for the page's list; an element only if there are few.
pub(super) async fn top(
    conn: &mut SqliteConnection,
    core: &Core,
    id: &OrderId,
    many: bool,
) -> Result<Option<JobView>> {
    let Ok(found) = core.compute.engine.order(conn, id).await else { return Ok(None) };
    if many && found.parent.is_some() {
        return Ok(None);
    }
    order(conn, core, &found).await.map(Some)
}

/// A job that runs here for somebody.
pub(super) async fn taken_one(
    conn: &mut SqliteConnection,
    core: &Core,
    id: &JobId,
) -> Result<Option<JobView>> {
    let Ok(job) = core.compute.engine.get(conn, id).await else { return Ok(None) };
    taken(conn, &job).await.map(Some)
}

pub(crate) async fn list(core: &Core) -> Result<Vec<JobView>> {
    let mut conn = core.pool.acquire().await.map_err(database)?;
    let engine = &core.compute.engine;
    let mut views = Vec::new();
    for found in engine.orders(&mut conn, LISTED).await.map_err(engine_error)? {
        views.push(order(&mut conn, core, &found).await?);
    }
    for job in engine.taken(&mut conn, LISTED).await.map_err(engine_error)? {
        views.push(taken(&mut conn, &job).await?);
    }
    views.sort_by(|a, b| b.created.total_cmp(&a.created));
    Ok(views)
}

pub(crate) async fn elements(core: &Core, id: &str, from: u32, limit: u32) -> Result<Vec<JobView>> {
    if limit == 0 || limit > MAX_ELEMENTS {
        return Err(bad_input("Ask for 1 to 500 elements at once."));
    }
    let id = job_id(id)?;
    let mut conn = core.pool.acquire().await.map_err(database)?;
    let engine = &core.compute.engine;
    let mut views = Vec::new();
    for found in engine.elements(&mut conn, &id, from, limit).await.map_err(engine_error)? {
        views.push(order(&mut conn, core, &found).await?);
    }
    Ok(views)
}

pub(crate) async fn get(core: &Core, id: &str) -> Result<JobView> {
    let id = job_id(id)?;
    let mut conn = core.pool.acquire().await.map_err(database)?;
    load(&mut conn, core, &id).await
}
