//! What a worker does with a job that it has taken, and how this device's own jobs run.

use super::{Action, Engine, EngineError, Result, Room, RunEnded, RunPlan, short};
use crate::message::{Delivery, Fault, JobMessage, MAX_STATUS, Stage, Status};
use crate::price::price_for;
use crate::run::{self, InputFile, RunError, RunOutcome, RunRequest};
use crate::spec::{JobId, Outputs, Person, Program, Receipt, Settlement, SignedReceipt, Usage, commitment};
use crate::store::{self, Job, Phase, Role};
use sqlx::sqlite::SqliteConnection;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

impl Engine {
    pub(super) async fn as_worker(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        message: JobMessage,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        match message {
            JobMessage::Cancel { .. } | JobMessage::Settled(_) if job.phase.is_final() => Ok(Vec::new()),
            JobMessage::Kept { .. } | JobMessage::Reveal { .. } if job.phase.is_final() => Ok(Vec::new()),
            JobMessage::Cancel { reason, .. } => {
                self.end(conn, job, Phase::Cancelled, &reason, None, now_ms).await
            }
            JobMessage::Settled(settlement) => self.on_settled(conn, job, settlement, now_ms).await,
            JobMessage::Kept { number, .. } => self.on_kept(conn, job, number).await,
            JobMessage::Reveal { .. } if job.spec().sealed => {
                if job.phase == Phase::Committed {
                    Self::set_stage(&mut job, Phase::Delivering, Stage::Done, now_ms);
                    job.note = "done; waiting for the sender to fetch and confirm the result".into();
                    store::update(conn, &job).await?;
                }
                let message = if job.phase == Phase::Delivering { handing_over(&job) } else { None };
                Ok(message.map(|message| Self::send(&job, message)).into_iter().collect())
            }
            other => Err(EngineError::Refused(format!("a submitter does not send `{}`", other.kind()))),
        }
    }

    async fn on_settled(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        settlement: Settlement,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        settlement.verify()?;
        if job.phase != Phase::Delivering || job.receipt.as_ref() != Some(&settlement.receipt) {
            return Err(EngineError::Refused("there is no such receipt to settle".into()));
        }
        let id = job.id();
        let given_back = job.outputs.as_ref().is_some_and(|outputs| outputs.checkpoint.is_some());
        job.phase = if given_back { Phase::Preempted } else { Phase::Completed };
        job.note = if given_back { "given back and paid" } else { "done and paid" }.into();
        job.moved = job.total;
        job.finished_ms = Some(now_ms);
        job.settlement = Some(settlement.clone());
        store::update(conn, &job).await?;
        Ok(vec![Action::Settle { job: id, settlement }, Action::Changed { job: id }])
    }

    /// Starts a job whose data is here.
    pub(super) async fn start(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let id = job.id();
        let Some(request) = self.request(&job) else {
            if job.role == Role::Local {
                job.fault = Some(Fault::Program);
                let reason = "program or inputs are no longer here: send the job again";
                return self.end(conn, job, Phase::Failed, reason, None, now_ms).await;
            }
            // Removed from outside: fetch it again.
            Self::set_stage(&mut job, Phase::Fetching, Stage::Fetching, now_ms);
            job.cursor = 0;
            return self.fetch(conn, job, false, now_ms).await;
        };
        Self::set_stage(&mut job, Phase::Running, Stage::Running, now_ms);
        job.incarnation = self.incarnation;
        job.started_ms = job.started_ms.or(Some(now_ms));
        job.note = match job.newest_checkpoint() {
            Some(checkpoint) => format!("runs, from checkpoint {}", checkpoint.number),
            None => "runs".into(),
        };
        store::update(conn, &job).await?;
        let mut actions = self.tell(conn, &job, now_ms).await?;
        actions.push(Action::Run(RunPlan {
            job: id,
            order: job.order,
            peer: job.peer,
            privacy: job.spec().privacy,
            sealed: job.spec().sealed,
            request,
        }));
        Ok(actions)
    }

    /// The run; none if a file of it is not here.
    fn request(&self, job: &Job) -> Option<RunRequest> {
        let spec = job.spec();
        let program = match &spec.program {
            Program::Wasm { module, deterministic } => {
                run::Program::Wasm { module: self.blobs.path(&module.hash)?, deterministic: *deterministic }
            }
            Program::Container { image, entrypoint } => run::Program::Container {
                image: run::Image {
                    reference: image.reference.clone(),
                    archive: match &image.archive {
                        Some(archive) => Some(self.blobs.path(&archive.hash)?),
                        None => None,
                    },
                },
                entrypoint: entrypoint.clone().unwrap_or_default(),
            },
        };
        let path = |blob: &crate::spec::BlobRef| self.blobs.path(&blob.hash);
        let stdin: Option<PathBuf> = match &spec.stdin {
            Some(blob) => Some(path(blob)?),
            None => None,
        };
        let inputs = spec
            .inputs
            .iter()
            .map(|input| Some(InputFile { name: input.name.clone(), file: path(&input.blob)? }));
        // A checkpoint that is gone costs time, not the job.
        let resume = job.newest_checkpoint().and_then(|checkpoint| path(&checkpoint.blob));
        Some(RunRequest {
            args: spec.args.clone(),
            env: spec.env.clone(),
            stdin,
            inputs: inputs.collect::<Option<_>>()?,
            network: spec.network && self.caps().network,
            resume,
            checkpoint_every: Some(Duration::from_secs(spec.checkpoint_seconds.into())),
            ..RunRequest::new(program, spec.limits, self.scratch(&job.id()))
        })
    }

    /// Tells whoever is to know how far a job on this device is.
    pub(super) async fn tell(
        &self,
        conn: &mut SqliteConnection,
        job: &Job,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let mut actions = Vec::new();
        if job.role == Role::Worker {
            actions.push(Self::send(job, JobMessage::Status(vec![status(job)])));
        }
        actions.extend(self.changed(conn, job, now_ms).await?);
        Ok(actions)
    }

    /// A run says how far it is.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn on_progress(
        &self,
        conn: &mut SqliteConnection,
        id: &JobId,
        permille: Option<u16>,
        note: Option<&str>,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let mut job = self.get(conn, id).await?;
        if !job.runs_here() {
            return Ok(Vec::new());
        }
        job.permille = permille.map(|p| p.min(1000)).or(job.permille);
        if let Some(note) = note {
            job.note = short(&format!("runs; {note}"));
        }
        store::update(conn, &job).await?;
        self.tell(conn, &job, now_ms).await
    }

    /// Pauses, goes on and gives back with the owner's comings and goings.
    pub(super) async fn mind_the_owner(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        room: &Room,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let id = job.id();
        let mut actions = Vec::new();
        let begun = job.newest_checkpoint().is_some();
        let (stage, note) = match (job.phase, room.allowed) {
            (Phase::Running, false) => (Stage::Paused, format!("paused: {}", room.reason)),
            (Phase::Running, true) if job.stage == Stage::Paused => (Stage::Running, "goes on".into()),
            (Phase::Ready, false) => {
                let stage = if begun { Stage::Paused } else { Stage::Waiting };
                (stage, format!("waits until the device may work: {}", room.reason))
            }
            (Phase::Ready, true) if room.slots == 0 => {
                (Stage::Waiting, "waits for the jobs before it".into())
            }
            _ => (job.stage, job.note.clone()),
        };
        let note = short(&note);
        let told = job.stage != stage;
        if told || job.note != note {
            let phase = job.phase;
            Self::set_stage(&mut job, phase, stage, now_ms);
            // A reason that only changes its words is not news for the other side.
            job.note = note;
            store::update(conn, &job).await?;
            if told {
                actions.extend(self.tell(conn, &job, now_ms).await?);
            } else {
                actions.push(Action::Changed { job: id });
            }
        }
        let paused_ms = now_ms.saturating_sub(job.since_ms);
        let stays = job.stage == Stage::Paused && paused_ms >= self.config.yield_ms;
        if stays && job.phase == Phase::Running && !job.spec().sealed && self.memory().yielding.insert(id) {
            actions.push(Action::Preempt { job: id });
        }
        if job.offered.is_some() && now_ms.saturating_sub(job.touched_ms) >= self.config.retry_after_ms {
            job.touched_ms = now_ms;
            store::update(conn, &job).await?;
            actions.extend(Self::offer_again(&job));
        }
        Ok(actions)
    }

    /// The signs of life that are due.
    pub(super) fn heartbeats(&self, jobs: &HashMap<Person, Vec<Job>>, now_ms: u64) -> Vec<Action> {
        let mut memory = self.memory();
        memory.told.retain(|person, _| jobs.contains_key(person));
        let mut actions = Vec::new();
        for (person, jobs) in jobs {
            let told = memory.told.entry(*person).or_insert(now_ms);
            if now_ms.saturating_sub(*told) < self.config.heartbeat_ms {
                continue;
            }
            *told = now_ms;
            for part in jobs.chunks(MAX_STATUS) {
                let list = part.iter().map(status).collect();
                let privacy = part.iter().map(|job| job.spec().privacy).max().unwrap_or(0);
                actions.push(Action::Send { to: *person, message: JobMessage::Status(list), privacy });
            }
        }
        actions
    }

    /// Puts a run's files into the blob store. Blocks on the disk on a thread for that; no transaction is needed.
    pub async fn store_outcome(&self, outcome: Result<RunOutcome, RunError>) -> RunEnded {
        match outcome {
            Ok(outcome) => {
                let store = self.blobs.clone();
                let (stdout, files) = (outcome.stdout.clone(), outcome.files.clone());
                let stored = super::transfer::on_disk(move || {
                    let stdout = store.put_file(&stdout)?;
                    let files = files.map(|files| store.put_file(&files)).transpose()?;
                    Ok(Outputs { stdout, files, checkpoint: None })
                });
                match stored.await {
                    Ok(outputs) => RunEnded::Done {
                        outputs,
                        exit_code: outcome.exit_code,
                        fuel: outcome.fuel,
                        cpu_ms: outcome.cpu_ms,
                        wall_ms: outcome.wall_ms,
                        memory_peak: outcome.memory_peak,
                    },
                    Err(error) => RunEnded::NotStored(error.to_string()),
                }
            }
            Err(RunError::Preempted { checkpoint: Some(checkpoint) }) => {
                match self.store_checkpoint(&checkpoint).await {
                    Ok(checkpoint) => RunEnded::Stopped(Some(checkpoint)),
                    Err(error) => {
                        tracing::warn!(%error, "a checkpoint cannot be stored");
                        RunEnded::Stopped(None)
                    }
                }
            }
            Err(RunError::Preempted { checkpoint: None } | RunError::Cancelled) => RunEnded::Stopped(None),
            Err(error) => RunEnded::Failed(error),
        }
    }

    /// Takes in how a run ended. An outcome of a job that is no longer running is ignored.
    ///
    /// # Errors
    /// [`EngineError::Store`]; report again then.
    pub async fn on_ended(
        &self,
        conn: &mut SqliteConnection,
        id: &JobId,
        ended: RunEnded,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let mut job = self.get(conn, id).await?;
        if !job.runs_here() {
            return Ok(Vec::new());
        }
        let yields = self.memory().yielding.remove(id);
        match ended {
            RunEnded::Done { outputs, exit_code, fuel, cpu_ms, wall_ms, memory_peak } => {
                let usage = Usage { cpu_ms, wall_ms, memory_peak };
                self.hand_over(conn, job, outputs, exit_code, fuel, usage, now_ms).await
            }
            RunEnded::Stopped(checkpoint) => {
                if let Some(checkpoint) = checkpoint {
                    job.checkpoint = Some(checkpoint);
                }
                match &job.checkpoint {
                    Some(checkpoint) if yields && job.role == Role::Worker => {
                        let usage =
                            Usage { cpu_ms: checkpoint.cpu_ms, wall_ms: checkpoint.wall_ms, memory_peak: 0 };
                        let fuel = checkpoint.fuel;
                        let stdout = self.blobs.put_bytes(&[])?;
                        let outputs = Outputs { stdout, files: None, checkpoint: job.checkpoint.clone() };
                        self.hand_over(conn, job, outputs, 0, fuel, usage, now_ms).await
                    }
                    _ => self.runs_later(conn, job, now_ms).await,
                }
            }
            RunEnded::Failed(RunError::BadCheckpoint(reason)) if job.newest_checkpoint().is_some() => {
                tracing::warn!(%reason, "a checkpoint cannot be used");
                if job.checkpoint.take().is_some() {
                    // One of this device's own; there may be the one that the job came with.
                    return self.runs_later(conn, job, now_ms).await;
                }
                job.fault = Some(Fault::Device);
                let reason = format!("the checkpoint cannot be used here: {reason}");
                self.fail_run(conn, job, Fault::Device, &reason, now_ms).await
            }
            RunEnded::Failed(error) => {
                self.fail_run(conn, job, fault(&error), &error.to_string(), now_ms).await
            }
            RunEnded::NotStored(reason) => {
                let reason = format!("this device could not keep the result: {reason}");
                self.fail_run(conn, job, Fault::Device, &reason, now_ms).await
            }
        }
    }

    /// Interrupted, not ended: it runs again, from its checkpoint if there is one.
    async fn runs_later(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let stage = if job.newest_checkpoint().is_some() { Stage::Paused } else { Stage::Waiting };
        Self::set_stage(&mut job, Phase::Ready, stage, now_ms);
        job.note = "interrupted; it goes on later".into();
        let mut actions = Vec::new();
        if job.role == Role::Worker && !job.spec().sealed {
            actions.extend(Self::offer_checkpoint(&mut job));
        }
        store::update(conn, &job).await?;
        if let (Some(order), Some(checkpoint)) = (job.order, &job.checkpoint) {
            self.keep_for_order(conn, &order, checkpoint).await?;
        }
        actions.extend(self.tell(conn, &job, now_ms).await?);
        Ok(actions)
    }

    async fn fail_run(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        fault: Fault,
        reason: &str,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        job.fault = Some(fault);
        let reason = short(reason);
        let message = JobMessage::Failed { job: job.id(), fault, reason: reason.clone() };
        self.end(conn, job, Phase::Failed, &reason, Some(message), now_ms).await
    }

    /// Done, or given back: writes the receipt. `fuel` and `usage` are over all segments.
    #[allow(clippy::too_many_arguments, reason = "a result's parts, which come from two kinds of end")]
    async fn hand_over(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        outputs: Outputs,
        exit_code: i32,
        fuel: u64,
        usage: Usage,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let usage = self.own_part(&job, usage);
        let spec = job.spec();
        let started_ms = job.started_ms.unwrap_or(now_ms);
        let receipt = Receipt {
            job: spec.id,
            worker: self.me,
            submitter: spec.submitter,
            module: spec.program.hash(),
            input: spec.inputs_hash(),
            output: outputs.hash(),
            output_bytes: outputs.bytes(),
            exit_code,
            fuel: fuel.saturating_sub(spec.resume.as_ref().map_or(0, |resume| resume.fuel)),
            usage,
            started_ms,
            // A clock that was set back in between must not make the receipt contradict itself.
            finished_ms: now_ms.max(started_ms.saturating_add(usage.wall_ms)),
            price: price_for(&usage, spec.class),
        };
        let signed = receipt.sign(&self.key)?;
        signed.verify_for(spec, &self.me)?;
        job.touched_ms = now_ms;
        job.tries = 0;
        job.permille = Some(1000);
        job.receipt = Some(signed);
        job.outputs = Some(outputs);
        if job.role == Role::Local {
            Self::set_stage(&mut job, Phase::Completed, Stage::Done, now_ms);
            job.note = if exit_code == 0 {
                "done".into()
            } else {
                format!("done; the program's exit code is {exit_code}")
            };
            job.finished_ms = Some(now_ms);
            store::update(conn, &job).await?;
            return self.changed(conn, &job, now_ms).await;
        }
        job.offered = None;
        job.cursor = 0;
        job.moved = 0;
        job.total = job.outputs.iter().flat_map(Outputs::blobs).map(|blob| blob.size).sum();
        if job.spec().sealed {
            let nonce = self.draw();
            let result = job.outputs.as_ref().map(|o| o.result_hash(exit_code)).unwrap_or_default();
            job.nonce = Some(nonce);
            job.commitment = Some(commitment(&job.id(), &self.me, &result, &nonce));
            Self::set_stage(&mut job, Phase::Committed, Stage::Done, now_ms);
            job.note = "done; waits until the sender has asked the others".into();
        } else {
            Self::set_stage(&mut job, Phase::Delivering, Stage::Done, now_ms);
            job.note = "done; waiting for the sender to fetch and confirm the result".into();
        }
        store::update(conn, &job).await?;
        let mut actions: Vec<_> =
            handing_over(&job).map(|message| Self::send(&job, message)).into_iter().collect();
        actions.push(Action::Changed { job: job.id() });
        Ok(actions)
    }

    /// What this device's part used, within the limits: the last pause may have come a few milliseconds late.
    fn own_part(&self, job: &Job, total: Usage) -> Usage {
        let spec = job.spec();
        let before = spec.resume.as_ref();
        let limit_ms = u64::from(spec.limits.seconds) * 1000;
        let wall = |ms: u64| ms.min(limit_ms).saturating_sub(before.map_or(0, |resume| resume.wall_ms));
        let wall_ms = wall(total.wall_ms);
        let cpu_ms = total.cpu_ms.saturating_sub(before.map_or(0, |resume| resume.cpu_ms));
        Usage {
            cpu_ms: cpu_ms.min(spec.limits.cpu_ms(wall_ms)),
            wall_ms,
            memory_peak: total.memory_peak.min(spec.limits.memory_bytes),
        }
    }

    /// The other side has been silent for a while: says the last word again.
    pub(super) async fn ask_again(
        &self,
        conn: &mut SqliteConnection,
        job: Job,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let message = match (job.role, job.phase) {
            (Role::Submitter, Phase::Offered) => Some(JobMessage::Offer(job.signed.clone())),
            (Role::Worker, Phase::Fetching) | (Role::Submitter, Phase::Delivering) => {
                return self.fetch(conn, job, true, now_ms).await;
            }
            (Role::Submitter, Phase::Ready | Phase::Running) if job.offered.is_some() => {
                return self.fetch(conn, job, true, now_ms).await;
            }
            (Role::Submitter, Phase::Committed) if job.revealed => Some(JobMessage::Reveal { job: job.id() }),
            (Role::Worker, Phase::Committed | Phase::Delivering) => {
                let message = handing_over(&job);
                if message.is_none() {
                    return self.give_up(conn, job, &short("the receipt is missing"), now_ms).await;
                }
                message
            }
            // The other side has the next word.
            _ => None,
        };
        store::update(conn, &job).await?;
        Ok(message.map(|message| Self::send(&job, message)).into_iter().collect())
    }
}

/// The worker's word about a finished job: its commitment, or its result.
pub(super) fn handing_over(job: &Job) -> Option<JobMessage> {
    if job.phase == Phase::Committed {
        return Some(JobMessage::Commit { job: job.id(), commitment: job.commitment? });
    }
    let (receipt, outputs): (SignedReceipt, Outputs) = (job.receipt.clone()?, job.outputs.clone()?);
    Some(JobMessage::Result(Box::new(Delivery { receipt, outputs, nonce: job.nonce })))
}

fn status(job: &Job) -> Status {
    let stage = match job.phase {
        Phase::Fetching => Stage::Fetching,
        phase if phase >= Phase::Committed => Stage::Done,
        _ => job.stage,
    };
    Status { job: job.id(), stage, permille: job.permille, note: job.note.clone() }
}

/// Whose fault an error is.
fn fault(error: &RunError) -> Fault {
    match error {
        RunError::NotWasm(_)
        | RunError::Trap(_)
        | RunError::TimeLimit(_)
        | RunError::MemoryLimit(_)
        | RunError::OutOfMemory(_)
        | RunError::OutputLimit(_)
        | RunError::Denied(_) => Fault::Program,
        RunError::Preempted { .. } | RunError::Cancelled => Fault::Owner,
        _ => Fault::Device,
    }
}
