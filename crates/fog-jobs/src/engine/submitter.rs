//! What a submitter hears about its job.

use super::{Action, Engine, EngineError, Result, short};
use crate::message::{Delivery, JobMessage, Stage, Status};
use crate::spec::{Person, commitment};
use crate::store::{self, Job, Phase, Role};
use crate::trust::Deed;
use sqlx::sqlite::SqliteConnection;

impl Engine {
    pub(super) async fn as_submitter(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        message: JobMessage,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let id = job.id();
        if job.phase.is_final() {
            store::update(conn, &job).await?;
            return Ok(last_word(&job, &message).into_iter().collect());
        }
        match message {
            JobMessage::Accept { .. } => {
                // It may come after the worker's first word or even its result.
                if job.phase == Phase::Offered {
                    Self::set_stage(&mut job, Phase::Fetching, Stage::Fetching, now_ms);
                    job.note = "taken; program and inputs are on their way".into();
                }
            }
            JobMessage::Decline { reason, .. } if job.phase == Phase::Offered => {
                let note = format!("declined: {reason}");
                return self.end(conn, job, Phase::Failed, &note, None, now_ms).await;
            }
            JobMessage::Failed { fault, reason, .. } => {
                job.fault = Some(fault);
                let mut actions = self.judge(conn, &job, fault, now_ms).await?;
                actions.extend(self.end(conn, job, Phase::Failed, &reason, None, now_ms).await?);
                return Ok(actions);
            }
            JobMessage::Log { offset, data, .. } if !job.spec().sealed => {
                store::update(conn, &job).await?;
                let log = job.order.map(|order| Action::Log { order, job: id, offset, data });
                return Ok(log.into_iter().collect());
            }
            JobMessage::Checkpoint { checkpoint, .. } => {
                return self.on_checkpoint_offered(conn, job, checkpoint, now_ms).await;
            }
            JobMessage::Commit { commitment, .. } if job.spec().sealed => {
                if job.phase < Phase::Committed {
                    Self::set_stage(&mut job, Phase::Committed, Stage::Done, now_ms);
                    job.commitment = Some(commitment);
                    job.note = "done; waits for the others, to compare the results".into();
                } else if job.phase == Phase::Committed && job.revealed {
                    store::update(conn, &job).await?;
                    return Ok(vec![Self::send(&job, JobMessage::Reveal { job: id })]);
                }
            }
            JobMessage::Result(delivery) if job.phase < Phase::Delivering => {
                return self.on_result(conn, job, *delivery, now_ms).await;
            }
            // Late or repeated words.
            JobMessage::Decline { .. } | JobMessage::Result(..) | JobMessage::Log { .. } => {}
            _ => {
                return Err(EngineError::Refused(format!("a worker does not send `{}`", message.kind())));
            }
        }
        store::update(conn, &job).await?;
        self.changed(conn, &job, now_ms).await
    }

    /// A worker says how far its jobs are.
    pub(super) async fn on_status(
        &self,
        conn: &mut SqliteConnection,
        from: Person,
        list: Vec<Status>,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let mut actions = Vec::new();
        for status in list {
            let Some(mut job) = store::get(conn, &status.job).await? else { continue };
            if job.peer != from || job.role != Role::Submitter {
                continue;
            }
            job.heard_ms = now_ms;
            job.touched_ms = now_ms;
            job.tries = 0;
            if job.phase.is_final() {
                store::update(conn, &job).await?;
                if status.stage != Stage::Done {
                    actions.extend(last_word(&job, &JobMessage::Status(Vec::new())));
                }
                continue;
            }
            if job.phase >= Phase::Committed {
                store::update(conn, &job).await?;
                continue;
            }
            let before = (job.phase, job.stage, job.permille, job.note.clone());
            let phase = match status.stage {
                Stage::Fetching => Phase::Fetching,
                Stage::Waiting => Phase::Ready,
                Stage::Running => Phase::Running,
                // It has begun, in this attempt or in an earlier one.
                Stage::Paused if job.phase >= Phase::Running => Phase::Running,
                Stage::Paused => Phase::Ready,
                Stage::Done => job.phase,
            };
            let stage = if status.stage == Stage::Done { job.stage } else { status.stage };
            Self::set_stage(&mut job, phase, stage, now_ms);
            job.note = short(&status.note);
            job.permille = status.permille.map(|p| p.min(1000)).or(job.permille);
            if phase == Phase::Running {
                job.moved = job.total;
                job.started_ms = job.started_ms.or(Some(now_ms));
            }
            store::update(conn, &job).await?;
            if before != (job.phase, job.stage, job.permille, job.note.clone()) {
                actions.extend(self.changed(conn, &job, now_ms).await?);
            }
        }
        Ok(actions)
    }

    /// The worker is done: checks its receipt, then fetches the outputs.
    async fn on_result(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        delivery: Delivery,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let Delivery { receipt, outputs, nonce } = delivery;
        // A receipt whose signature is not the worker's is a forgery or a fault on the way, and says nothing about the job.
        receipt.verify()?;
        outputs.validate()?;
        let r = &receipt.receipt;
        let fits = receipt.verify_for(job.spec(), &job.peer).map_err(|error| error.to_string());
        let fits = fits.and_then(|()| {
            let same = (r.output, r.output_bytes) == (outputs.hash(), outputs.bytes());
            same.then_some(()).ok_or_else(|| "the outputs are not those of the receipt".into())
        });
        let fits = fits.and_then(|()| {
            if !job.spec().sealed {
                return Ok(());
            }
            let result = outputs.result_hash(r.exit_code);
            let kept = nonce.map(|nonce| commitment(&r.job, &job.peer, &result, &nonce));
            let same = outputs.checkpoint.is_none() && kept.is_some() && kept == job.commitment;
            same.then_some(()).ok_or_else(|| "it is not what the worker committed to".into())
        });
        if let Err(reason) = fits {
            let mut actions = self.note_deed(conn, &job, Deed::Failed, now_ms).await?;
            let reason = format!("the result was refused: {reason}");
            actions.extend(self.give_up(conn, job, &reason, now_ms).await?);
            return Ok(actions);
        }
        Self::set_stage(&mut job, Phase::Delivering, Stage::Done, now_ms);
        job.note = "done; the result is on its way".into();
        job.started_ms = job.started_ms.or(Some(now_ms));
        // A checkpoint that was on its way is not needed any more.
        store::unwant_all(conn, &job.id()).await?;
        job.cursor = 0;
        job.moved = 0;
        job.total = outputs.blobs().map(|blob| blob.size).sum();
        job.receipt = Some(receipt);
        job.outputs = Some(outputs);
        self.fetch(conn, job, false, now_ms).await
    }

    /// The outputs are here and whole: confirms and pays, unless they are to be compared first.
    pub(super) async fn delivered(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        if job.spec().sealed {
            Self::set_stage(&mut job, Phase::Held, Stage::Done, now_ms);
            job.note = "done; the results are being compared".into();
            store::update(conn, &job).await?;
            return self.changed(conn, &job, now_ms).await;
        }
        let mut actions = self.note_deed(conn, &job, Deed::Delivered, now_ms).await?;
        actions.extend(self.pay(conn, job, now_ms).await?);
        Ok(actions)
    }

    /// Confirms and pays, and the order goes on.
    async fn pay(&self, conn: &mut SqliteConnection, mut job: Job, now_ms: u64) -> Result<Vec<Action>> {
        let mut actions = self.pay_job(conn, &mut job, now_ms).await?;
        actions.extend(self.changed(conn, &job, now_ms).await?);
        Ok(actions)
    }

    /// Confirms and pays.
    pub(super) async fn pay_job(
        &self,
        conn: &mut SqliteConnection,
        job: &mut Job,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let id = job.id();
        let Some(receipt) = job.receipt.clone() else {
            let reason = "the receipt is missing";
            let message = JobMessage::Cancel { job: id, reason: reason.into() };
            return self.end_job(conn, job, Phase::Failed, reason, Some(message), now_ms).await;
        };
        let code = receipt.receipt.exit_code;
        let settlement = receipt.countersign(&self.key)?;
        let given_back = job.outputs.as_ref().and_then(|outputs| outputs.checkpoint.clone());
        if let Some(checkpoint) = given_back {
            Self::set_stage(job, Phase::Preempted, Stage::Done, now_ms);
            job.note = "given back with a checkpoint: the device's owner needs it".into();
            job.checkpoint = Some(checkpoint);
        } else {
            Self::set_stage(job, Phase::Completed, Stage::Done, now_ms);
            job.note =
                if code == 0 { "done".into() } else { format!("done; the program's exit code is {code}") };
            job.permille = Some(1000);
        }
        job.finished_ms = Some(now_ms);
        job.settlement = Some(settlement.clone());
        store::update(conn, job).await?;
        if let Some(order) = job.order {
            store::orders::add_paid(conn, &order, settlement.receipt.receipt.price).await?;
        }
        if let (Phase::Preempted, Some(order), Some(checkpoint)) = (job.phase, job.order, &job.checkpoint) {
            self.keep_for_order(conn, &order, checkpoint).await?;
        }
        Ok(vec![
            Action::Settle { job: id, settlement: settlement.clone() },
            Self::send(job, JobMessage::Settled(settlement)),
        ])
    }
}

/// Repeats to a worker that still works on an ended job how it ended.
fn last_word(job: &Job, message: &JobMessage) -> Option<Action> {
    let working = matches!(
        message,
        JobMessage::Accept { .. }
            | JobMessage::Status(_)
            | JobMessage::Checkpoint { .. }
            | JobMessage::Commit { .. }
            | JobMessage::Result(..)
    );
    if !working {
        return None;
    }
    let id = job.id();
    let message = match (job.phase, &job.settlement) {
        (Phase::Completed | Phase::Preempted, Some(settlement))
            if matches!(message, JobMessage::Result(..)) =>
        {
            JobMessage::Settled(settlement.clone())
        }
        (Phase::Completed | Phase::Preempted, _) => return None,
        _ => JobMessage::Cancel { job: id, reason: job.note.clone() },
    };
    Some(Engine::send(job, message))
}
