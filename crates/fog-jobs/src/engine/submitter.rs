//! What a submitter hears about its job.

use super::{Action, Engine, EngineError, Result, short};
use crate::message::JobMessage;
use crate::spec::{BlobRef, SignedReceipt};
use crate::store::{self, Job, Phase};
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
            return Ok(last_word(job, &message).into_iter().collect());
        }
        match message {
            JobMessage::Accept { .. } => {
                // It may come after the worker's first progress or even its result.
                if job.phase == Phase::Offered {
                    job.phase = Phase::Fetching;
                    job.note = "taken; program and input are on their way".into();
                }
            }
            JobMessage::Decline { reason, .. } if job.phase == Phase::Offered => {
                let note = format!("declined: {reason}");
                return self.end(conn, job, Phase::Failed, &note, None, now_ms).await;
            }
            JobMessage::Progress { running, note, .. } if job.phase < Phase::Delivering => {
                job.phase = if running { Phase::Running } else { Phase::Ready };
                job.note = short(&note);
                if running {
                    job.moved = job.total;
                    job.started_ms = Some(now_ms);
                }
            }
            JobMessage::Failed { reason, .. } => {
                return self.end(conn, job, Phase::Failed, &reason, None, now_ms).await;
            }
            JobMessage::Result(receipt, output) if job.phase < Phase::Delivering => {
                return self.on_result(conn, job, receipt, output, now_ms).await;
            }
            // Late or repeated words.
            JobMessage::Decline { .. } | JobMessage::Progress { .. } | JobMessage::Result(..) => {}
            _ => {
                return Err(EngineError::Refused(format!("a worker does not send `{}`", message.kind())));
            }
        }
        store::update(conn, &job).await?;
        Ok(vec![Action::Changed { job: id }])
    }

    /// The worker is done: checks its receipt, then fetches the output.
    async fn on_result(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        receipt: SignedReceipt,
        output: BlobRef,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        // A receipt whose signature is not the worker's is a forgery or a fault on the way, and says nothing about the job.
        receipt.verify()?;
        output.validate()?;
        let fits = receipt.verify_for(job.spec(), &job.peer).map_err(|error| error.to_string());
        let stated = (receipt.receipt.output, receipt.receipt.output_bytes);
        let fits = fits.and_then(|()| {
            let same = stated == (output.hash, output.size);
            same.then_some(()).ok_or_else(|| "the output is not the one of the receipt".into())
        });
        if let Err(reason) = fits {
            return self.give_up(conn, job, &format!("the result was refused: {reason}"), now_ms).await;
        }
        job.phase = Phase::Delivering;
        job.note = "done; the result is on its way".into();
        job.started_ms = job.started_ms.or(Some(now_ms));
        job.cursor = 0;
        job.moved = 0;
        job.total = output.size;
        job.receipt = Some(receipt);
        job.output = Some(output);
        self.fetch(conn, job, false, now_ms).await
    }

    /// The output is here and whole: confirms and pays.
    pub(super) async fn pay(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let id = job.id();
        let Some(receipt) = job.receipt.clone() else {
            return self.give_up(conn, job, "the receipt is missing", now_ms).await;
        };
        let code = receipt.receipt.exit_code;
        let settlement = receipt.countersign(&self.key)?;
        job.phase = Phase::Completed;
        job.note = if code == 0 { "done".into() } else { format!("done; the program's exit code is {code}") };
        job.finished_ms = Some(now_ms);
        job.settlement = Some(settlement.clone());
        store::update(conn, &job).await?;
        Ok(vec![
            Action::Settle { job: id, settlement: settlement.clone() },
            Action::Send { to: job.peer, message: JobMessage::Settled(settlement) },
            Action::Changed { job: id },
        ])
    }
}

/// Repeats to a worker that still works on an ended job how it ended.
fn last_word(job: Job, message: &JobMessage) -> Option<Action> {
    let working =
        matches!(message, JobMessage::Accept { .. } | JobMessage::Progress { .. } | JobMessage::Result(..));
    if !working {
        return None;
    }
    let id = job.id();
    let message = match (job.phase, job.settlement) {
        (Phase::Completed, Some(settlement)) if matches!(message, JobMessage::Result(..)) => {
            JobMessage::Settled(settlement)
        }
        (Phase::Completed, _) => return None,
        _ => JobMessage::Cancel { job: id, reason: job.note },
    };
    Some(Action::Send { to: job.peer, message })
}
