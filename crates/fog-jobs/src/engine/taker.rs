//! What a worker does with a job that it has taken.

use super::{Action, Engine, EngineError, Result, RunPlan, short};
use crate::message::JobMessage;
use crate::price::price_for;
use crate::sandbox::{RunError, RunOutcome, RunRequest};
use crate::spec::{BlobRef, Receipt, Settlement, Usage};
use crate::store::{self, Job, Phase, Role};
use sqlx::sqlite::SqliteConnection;

impl Engine {
    pub(super) async fn as_worker(
        &self,
        conn: &mut SqliteConnection,
        job: Job,
        message: JobMessage,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        match message {
            JobMessage::Cancel { .. } | JobMessage::Settled(_) if job.phase == Phase::Completed => {
                Ok(Vec::new())
            }
            JobMessage::Cancel { .. } if job.phase.is_final() => Ok(Vec::new()),
            JobMessage::Cancel { reason, .. } => {
                self.end(conn, job, Phase::Cancelled, &reason, None, now_ms).await
            }
            JobMessage::Settled(settlement) => self.on_settled(conn, job, settlement, now_ms).await,
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
        job.phase = Phase::Completed;
        job.note = "done and paid".into();
        job.moved = job.total;
        job.finished_ms = Some(now_ms);
        job.settlement = Some(settlement.clone());
        store::update(conn, &job).await?;
        Ok(vec![Action::Settle { job: id, settlement }, Action::Changed { job: id }])
    }

    /// Everything is here: runs it, or says why not yet.
    pub(super) async fn start_or_wait(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        now_ms: u64,
        allowed: bool,
        free: &mut usize,
    ) -> Result<Vec<Action>> {
        let id = job.id();
        let waits = if !allowed {
            Some("waits until the device may work")
        } else if *free == 0 {
            Some("waits for the jobs before it")
        } else {
            None
        };
        if let Some(note) = waits {
            if job.note == note {
                return Ok(Vec::new());
            }
            return self.tell(conn, job, false, note).await;
        }
        let spec = job.spec();
        let input = spec.input.as_ref();
        let path = |blob: &BlobRef| self.blobs.path(&blob.hash);
        let (Some(module), Some(input)) =
            (path(&spec.module), input.map_or(Some(None), |i| path(i).map(Some)))
        else {
            // Removed from outside: fetch it again.
            job.phase = Phase::Fetching;
            job.cursor = 0;
            return self.fetch(conn, job, false, now_ms).await;
        };
        let request = RunRequest {
            module,
            input,
            args: spec.args.clone(),
            limits: spec.limits,
            scratch: self.scratch(&id),
        };
        *free -= 1;
        job.phase = Phase::Running;
        job.incarnation = self.incarnation;
        job.started_ms = Some(now_ms);
        let mut actions = self.tell(conn, job, true, "runs").await?;
        actions.push(Action::Run(RunPlan { job: id, request }));
        Ok(actions)
    }

    async fn tell(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        running: bool,
        note: &str,
    ) -> Result<Vec<Action>> {
        job.note = note.into();
        store::update(conn, &job).await?;
        let message = JobMessage::Progress { job: job.id(), running, note: note.into() };
        Ok(vec![Action::Send { to: job.peer, message }, Action::Changed { job: job.id() }])
    }

    pub(super) async fn finish_run(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        outcome: Result<RunOutcome, RunError>,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(RunError::Cancelled) => {
                job.phase = Phase::Ready;
                return self.tell(conn, job, false, "interrupted; will run again").await;
            }
            Err(error) => return self.give_up(conn, job, &error.to_string(), now_ms).await,
        };
        let (store, path) = (self.blobs.clone(), outcome.output.clone());
        let stored = tokio::task::spawn_blocking(move || store.put_file(&path)).await;
        let output = match stored {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => {
                let error = RunError::Device(format!("the output cannot be stored: {error}"));
                return self.give_up(conn, job, &error.to_string(), now_ms).await;
            }
            Err(error) => return self.give_up(conn, job, &error.to_string(), now_ms).await,
        };
        let usage =
            Usage { cpu_ms: outcome.cpu_ms, wall_ms: outcome.wall_ms, memory_peak: outcome.memory_peak };
        let spec = job.spec();
        let started_ms = job.started_ms.unwrap_or(now_ms);
        let receipt = Receipt {
            job: spec.id,
            worker: self.me,
            submitter: spec.submitter,
            module: spec.module.hash,
            input: spec.input.as_ref().map(|input| input.hash),
            output: output.hash,
            output_bytes: output.size,
            exit_code: outcome.exit_code,
            fuel: outcome.fuel,
            usage,
            started_ms,
            // A clock that was set back in between must not make the receipt contradict itself.
            finished_ms: now_ms.max(started_ms.saturating_add(usage.wall_ms)),
            price: price_for(&usage),
        };
        let signed = receipt.sign(&self.key)?;
        signed.verify_for(spec, &self.me)?;
        job.phase = Phase::Delivering;
        job.note = "done; waiting for the sender to fetch and confirm the result".into();
        job.cursor = 0;
        job.moved = 0;
        job.total = output.size;
        job.touched_ms = now_ms;
        job.tries = 0;
        job.receipt = Some(signed.clone());
        job.output = Some(output.clone());
        store::update(conn, &job).await?;
        let message = JobMessage::Result(signed, output);
        Ok(vec![Action::Send { to: job.peer, message }, Action::Changed { job: job.id() }])
    }

    /// The other side has been silent for a while: says the last word again.
    pub(super) async fn ask_again(
        &self,
        conn: &mut SqliteConnection,
        job: Job,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let message = match (job.role, job.phase) {
            (Role::Submitter, Phase::Offered) => JobMessage::Offer(job.signed.clone()),
            (Role::Worker, Phase::Fetching) | (Role::Submitter, Phase::Delivering) => {
                return self.fetch(conn, job, true, now_ms).await;
            }
            (Role::Worker, Phase::Delivering) => match (&job.receipt, &job.output) {
                (Some(receipt), Some(output)) => JobMessage::Result(receipt.clone(), output.clone()),
                _ => return self.give_up(conn, job, &short("the receipt is missing"), now_ms).await,
            },
            // The other side has the next word.
            _ => {
                store::update(conn, &job).await?;
                return Ok(Vec::new());
            }
        };
        store::update(conn, &job).await?;
        Ok(vec![Action::Send { to: job.peer, message }])
    }
}
