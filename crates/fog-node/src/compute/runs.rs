//! The loop that starts, steers and ends runs.
//!
//! A run is a task that talks to a runtime. What it says goes into one queue; the loop takes what is there, lets the engine
//! decide, and commits once for all of it. So several jobs that end together cost one write to the disk, and the next
//! ones start in the same round.

use super::perform::perform;
use super::{Running, engine_error, fault, logs, runtimes, workers};
use crate::core::Core;
use crate::error::Result;
use crate::work::Work;
use fog_jobs::message::{JobMessage, MAX_LOG_BYTES};
use fog_jobs::{Action, EngineError, Events, JobId, Room, RunEnded, RunEvent, RunHandle, RunPlan};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const TICK: Duration = Duration::from_secs(1);
/// Updates that are written in one transaction.
const BATCH: usize = 64;
/// Runs that are started ahead, for each that may run: they wait for a slot without a transaction in between.
const AHEAD: usize = 4;
/// How often a run's progress and log are passed on.
const PASS_ON: Duration = Duration::from_millis(500);
/// What waits between a run and its listener.
const EVENTS: usize = 64;

/// Something to write about a run.
#[derive(Debug, Clone)]
pub(super) enum Update {
    Ended(JobId, RunEnded),
    Checkpoint(JobId, fog_jobs::spec::Checkpoint),
    Progress(JobId, Option<u16>, Option<String>),
    /// For the submitter of a job.
    Log {
        to: [u8; 32],
        privacy: u8,
        job: JobId,
        offset: u64,
        data: Vec<u8>,
    },
}

/// Runs for others that go side by side: one for each core of the harvester's share, at least one.
pub(super) fn slots(core: &Core) -> u32 {
    let gate = core.harvest.gate();
    let cores = (gate.cpu_share * f64::from(gate.cpus)).ceil();
    (cores as u32).clamp(1, gate.cpus.max(1))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What may start now.
pub(super) fn room(core: &Core, funds: Option<u128>) -> Room {
    let gate = core.harvest.gate();
    let running = core.compute.running.lock();
    let local = running.values().filter(|r| r.local).count();
    let others: Vec<_> = running.values().filter(|r| !r.local).collect();
    let used: u64 = others.iter().map(|r| r.memory).sum();
    let closing = core.compute.is_closing();
    Room {
        allowed: gate.allowed && !closing,
        reason: core.harvest.reason(),
        slots: (slots(core) as usize).saturating_sub(others.len()),
        memory: core.compute.memory.lock().saturating_sub(used),
        local_slots: if closing { 0 } else { (cores() * AHEAD).saturating_sub(local) },
        funds,
    }
}

/// Starts, stops and looks after jobs until the node ends.
pub(crate) async fn run(core: Arc<Core>) {
    let Some(mut received) = core.compute.received.lock().take() else { return };
    // This person's own jobs take turns on the cores.
    let turns = Arc::new(tokio::sync::Semaphore::new(cores()));
    let mut last_tick: Option<Instant> = None;
    let mut batch: Vec<Update> = Vec::new();
    loop {
        if batch.is_empty() {
            let left = last_tick.map_or(Duration::ZERO, |last| TICK.saturating_sub(last.elapsed()));
            tokio::select! {
                () = core.cancel.cancelled() => return core.compute.stop_all(),
                n = received.recv_many(&mut batch, BATCH) => if n == 0 { return },
                () = core.compute.look.notified() => {}
                () = tokio::time::sleep(left) => {}
            }
        }
        let tick = last_tick.is_none_or(|last| last.elapsed() >= TICK);
        match round(&core, &batch, tick, &turns).await {
            Ok(()) => {
                batch.clear();
                if tick {
                    last_tick = Some(Instant::now());
                }
            }
            Err(e) => {
                // A full disk or a busy database must not lose a finished run: it is written as soon as that is possible.
                tracing::error!("jobs: {e}");
                tokio::select! {
                    () = core.cancel.cancelled() => return core.compute.stop_all(),
                    () = tokio::time::sleep(Duration::from_secs(2)) => {}
                }
            }
        }
    }
}

/// Writes what runs have said, and starts what may start.
async fn round(
    core: &Arc<Core>,
    batch: &[Update],
    tick: bool,
    turns: &Arc<tokio::sync::Semaphore>,
) -> Result<()> {
    let engine = &core.compute.engine;
    let mut work = Work::begin(core).await?;
    let now = work.now();
    let mut actions = Vec::new();
    for update in batch {
        let done = match update.clone() {
            Update::Ended(job, ended) => engine.on_ended(work.conn(), &job, ended, now).await,
            Update::Checkpoint(job, checkpoint) => {
                engine.on_checkpoint(work.conn(), &job, checkpoint, now).await
            }
            Update::Progress(job, permille, note) => {
                engine.on_progress(work.conn(), &job, permille, note.as_deref(), now).await
            }
            Update::Log { to, privacy, job, offset, data } => {
                Ok(vec![Action::Send { to, message: JobMessage::Log { job, offset, data }, privacy }])
            }
        };
        match done {
            Ok(more) => actions.extend(more),
            Err(e @ EngineError::Store(_)) => return Err(engine_error(e)),
            Err(e) => tracing::warn!("what a run said is not kept: {e}"),
        }
    }
    if tick {
        workers::refresh(&mut work).await?;
    }
    let mut runs = perform(&mut work, actions).await?;
    // The free places are counted without what has just ended: those processes are gone.
    let balance = fog_tokenomics::ledger::balance(work.conn(), &core.id).await;
    let room = room(core, balance.ok());
    let looked = if tick {
        engine.tick(work.conn(), now, &room).await
    } else {
        engine.look(work.conn(), now, &room).await
    };
    let more = looked.map_err(engine_error)?;
    let again = more.iter().any(|action| matches!(action, Action::Ended { .. }));
    runs.extend(perform(&mut work, more).await?);
    if !again {
        work.forget_jobs(); // this was the look itself
    }
    work.commit().await?;
    for plan in runs {
        start(core, plan, turns.clone());
    }
    Ok(())
}

fn start(core: &Arc<Core>, plan: RunPlan, turns: Arc<tokio::sync::Semaphore>) {
    let gate = core.harvest.gate();
    let local = plan.peer == core.id;
    let share = if local { 1.0 } else { (gate.cpu_share * f64::from(gate.cpus)).min(1.0) };
    let handle = RunHandle::new(share);
    let memory = plan.request.limits.memory_bytes;
    let running = Running { handle: handle.clone(), local, memory, share };
    core.compute.running.lock().insert(plan.job, running);
    if !local {
        core.harvest.look();
    }
    let core = core.clone();
    tokio::spawn(async move {
        let turn = if local { turns.acquire_owned().await.ok() } else { None };
        let (events, heard) = mpsc::channel(EVENTS);
        let listener = tokio::spawn(listen(core.clone(), plan.clone(), heard));
        let outcome = runtimes::run_one(&core, plan.request, &handle, Events::to(events)).await;
        fault::falsify(&outcome);
        drop(turn);
        // Whatever it said comes before its end.
        _ = listener.await;
        let ended = core.compute.engine.store_outcome(outcome).await;
        core.compute.running.lock().remove(&plan.job);
        if !local {
            core.harvest.look();
        }
        _ = core.compute.updates.send(Update::Ended(plan.job, ended)).await;
    });
}

/// Passes on what a run says: logs and progress now and then, checkpoints at once.
async fn listen(core: Arc<Core>, plan: RunPlan, mut heard: mpsc::Receiver<RunEvent>) {
    let mut log: Vec<u8> = Vec::new();
    let mut written = 0;
    let mut progress: Option<u16> = None;
    let mut note: Option<String> = None;
    let mut interval = tokio::time::interval(PASS_ON);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval.reset();
    loop {
        let (mut end, mut pass_on) = (false, false);
        tokio::select! {
            event = heard.recv() => match event {
                None => end = true,
                Some(RunEvent::Log { bytes, .. }) => {
                    log.extend_from_slice(&bytes);
                    pass_on = log.len() >= MAX_LOG_BYTES;
                }
                Some(RunEvent::Progress { permille }) => progress = Some(permille),
                Some(RunEvent::Note(text)) => note = Some(text),
                Some(RunEvent::Checkpoint(checkpoint)) => {
                    match core.compute.engine.store_checkpoint(&checkpoint).await {
                        Ok(stored) => _ = core.compute.updates.send(Update::Checkpoint(plan.job, stored)).await,
                        Err(e) => note = Some(format!("its checkpoint cannot be kept: {e}")),
                    }
                }
            },
            _ = interval.tick() => pass_on = true,
        }
        if !(end || pass_on) {
            continue;
        }
        if !log.is_empty() {
            for part in log.chunks(MAX_LOG_BYTES) {
                pass_log(&core, &plan, written, part).await;
                written += part.len() as u64;
            }
            log.clear();
        }
        if !end && (progress.is_some() || note.is_some()) {
            let update = Update::Progress(plan.job, progress.take(), note.take());
            _ = core.compute.updates.send(update).await;
        }
        if end {
            return;
        }
    }
}

async fn pass_log(core: &Arc<Core>, plan: &RunPlan, offset: u64, part: &[u8]) {
    if offset >= logs::MAX_LOG {
        return;
    }
    if let Some(order) = plan.order {
        core.compute.write_log(core, &order, &plan.job, offset, part);
    } else if !plan.sealed {
        let (to, privacy, job, data) = (plan.peer, plan.privacy, plan.job, part.to_vec());
        _ = core.compute.updates.send(Update::Log { to, privacy, job, offset, data }).await;
    }
}

impl super::Compute {
    /// Adds to an order's log, and tells the page.
    pub(crate) fn write_log(&self, core: &Core, order: &[u8; 16], job: &JobId, offset: u64, data: &[u8]) {
        let Some((offset, text)) = self.logs.add(order, job, offset, data) else { return };
        let next = offset + text.len() as u64;
        core.bus.emit(fog_api::EventBody::JobLog(fog_api::JobLogPart {
            id: crate::identity::hex(order),
            offset,
            next,
            text: String::from_utf8_lossy(&text).into_owned(),
        }));
    }

    /// Nobody writes to this log any more.
    pub(crate) fn log_ends(&self, order: &[u8; 16]) {
        self.logs.ended(order);
    }
}
