//! An offer arrives at a worker.

use super::{Action, Engine, EngineError, Result, short};
use crate::message::JobMessage;
use crate::price::{FOG, price_ceiling};
use crate::spec::{JobSpec, Person, SignedSpec};
use crate::store::{self, Job, Phase, Role};
use sqlx::sqlite::SqliteConnection;

/// A worker is sure of its pay only if the price limit covers the most that the limits allow.
pub(super) fn check_price(spec: &JobSpec) -> Result<()> {
    let ceiling = price_ceiling(&spec.limits);
    if spec.price_limit >= ceiling {
        return Ok(());
    }
    Err(EngineError::Refused(format!(
        "the job may cost up to {} FOG within its limits, but pays at most {} FOG",
        fog(ceiling),
        fog(spec.price_limit)
    )))
}

/// An amount in FOG for people, rounded up to six decimals.
fn fog(amount: u128) -> String {
    let millionths = amount.div_ceil(FOG / 1_000_000);
    format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
}

impl Engine {
    pub(super) async fn on_offer(
        &self,
        conn: &mut SqliteConnection,
        from: Person,
        signed: SignedSpec,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        signed.verify()?;
        if signed.spec.submitter != from || from == self.me {
            return Err(EngineError::Refused("the offer is not its sender's own".into()));
        }
        let id = signed.spec.id;
        if let Some(job) = store::get(conn, &id).await? {
            return self.offered_again(job, from, &signed);
        }
        if let Err(reason) = self.acceptable(conn, &signed.spec).await? {
            // Nothing is kept of what is declined, so that strangers cannot fill the disk.
            return Ok(vec![self.decline(from, &signed, &reason)]);
        }
        let amount = signed.spec.price_limit;
        let mut job = Job::new(signed, Role::Worker, from, Phase::Fetching, now_ms);
        job.note = "taken; program and input are on their way".into();
        store::insert(conn, &job).await?;
        let mut actions = vec![
            Action::LockEscrow { job: id, from, amount },
            Action::Send { to: from, message: JobMessage::Accept { job: id } },
        ];
        actions.extend(self.fetch(conn, job, false, now_ms).await?);
        Ok(actions)
    }

    /// The same offer once more: repeats the last word, in case it was not heard.
    fn offered_again(&self, job: Job, from: Person, signed: &SignedSpec) -> Result<Vec<Action>> {
        if job.peer != from || job.role != Role::Worker || &job.signed != signed {
            return Err(EngineError::Refused("another job has this id".into()));
        }
        let id = job.id();
        let message = match (job.phase, job.receipt, job.output) {
            (Phase::Completed | Phase::Cancelled, ..) => return Ok(Vec::new()),
            (Phase::Failed, ..) => JobMessage::Failed { job: id, reason: job.note },
            (Phase::Delivering, Some(receipt), Some(output)) => JobMessage::Result(receipt, output),
            _ => JobMessage::Accept { job: id },
        };
        Ok(vec![Action::Send { to: from, message }])
    }

    /// Says in plain words why an offer is not taken.
    async fn acceptable(
        &self,
        conn: &mut SqliteConnection,
        spec: &JobSpec,
    ) -> Result<std::result::Result<(), String>> {
        let caps = self.caps();
        let (theirs, all) = store::open_counts(conn, &spec.submitter).await?;
        let over = |what: &str, asked: u64, cap: u64| {
            (asked > cap).then(|| format!("{what} of {asked} is more than the {cap} that this device allows"))
        };
        let reason = over("a time limit in seconds", spec.limits.seconds.into(), caps.limits.seconds.into())
            .or_else(|| over("a memory limit in bytes", spec.limits.memory_bytes, caps.limits.memory_bytes))
            .or_else(|| over("an output limit in bytes", spec.limits.output_bytes, caps.limits.output_bytes))
            .or_else(|| over("a size of program and input", spec.input_bytes(), caps.input_bytes))
            .or_else(|| {
                (theirs >= caps.jobs_per_peer)
                    .then(|| format!("{theirs} of your jobs are already waiting on this device"))
            })
            .or_else(|| (all >= caps.jobs).then(|| format!("{all} jobs are already waiting on this device")))
            .or_else(|| check_price(spec).err().map(|error| error.to_string()));
        Ok(reason.map_or(Ok(()), |reason| Err(short(&reason))))
    }
}
