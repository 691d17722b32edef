//! An offer arrives at a worker.

use super::taker::handing_over;
use super::{Action, Engine, EngineError, Result, short};
use crate::message::{Fault, JobMessage, Stage};
use crate::price::FOG;
use crate::spec::{JobSpec, Person, Program, SignedSpec};
use crate::store::{self, Job, Phase, Role};
use sqlx::sqlite::SqliteConnection;

/// A worker is sure of its pay only if the price limit covers the most that the limits allow.
pub(super) fn check_price(spec: &JobSpec) -> Result<()> {
    let ceiling = spec.price_ceiling();
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
pub(super) fn fog(amount: u128) -> String {
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
            return self.offered_again(&job, from, &signed);
        }
        if let Err(reason) = self.acceptable(conn, &signed.spec, now_ms).await? {
            // Nothing is kept of what is declined, so that strangers cannot fill the disk.
            return Ok(vec![self.decline(from, &signed, &reason)]);
        }
        let amount = signed.spec.price_limit;
        let mut job = Job::new(signed, Role::Worker, from, Phase::Fetching, now_ms);
        job.stage = Stage::Fetching;
        job.note = "taken; program and inputs are on their way".into();
        store::insert(conn, &job).await?;
        let mut actions = vec![
            Action::LockEscrow { job: id, from, amount },
            Self::send(&job, JobMessage::Accept { job: id }),
        ];
        actions.extend(self.fetch(conn, job, false, now_ms).await?);
        Ok(actions)
    }

    /// The same offer once more: repeats the last word, in case it was not heard.
    fn offered_again(&self, job: &Job, from: Person, signed: &SignedSpec) -> Result<Vec<Action>> {
        if job.peer != from || job.role != Role::Worker || job.signed != *signed {
            return Err(EngineError::Refused("another job has this id".into()));
        }
        let id = job.id();
        let message = match job.phase {
            Phase::Completed | Phase::Cancelled | Phase::Preempted => return Ok(Vec::new()),
            Phase::Failed => {
                let fault = job.fault.unwrap_or(Fault::Device);
                JobMessage::Failed { job: id, fault, reason: job.note.clone() }
            }
            Phase::Committed | Phase::Delivering => match handing_over(job) {
                Some(message) => message,
                None => return Ok(Vec::new()),
            },
            _ => JobMessage::Accept { job: id },
        };
        Ok(vec![Self::send(job, message)])
    }

    /// Says in plain words why an offer is not taken.
    async fn acceptable(
        &self,
        conn: &mut SqliteConnection,
        spec: &JobSpec,
        now_ms: u64,
    ) -> Result<std::result::Result<(), String>> {
        let caps = self.caps();
        let (theirs, all) = store::open_counts(conn, &spec.submitter).await?;
        let over = |what: &str, asked: u64, cap: u64| {
            (asked > cap).then(|| format!("{what} of {asked} is more than the {cap} that this device allows"))
        };
        let reason = over("a time limit in seconds", spec.limits.seconds.into(), caps.limits.seconds.into())
            .or_else(|| over("a memory limit in bytes", spec.limits.memory_bytes, caps.limits.memory_bytes))
            .or_else(|| over("an output limit in bytes", spec.limits.output_bytes, caps.limits.output_bytes))
            .or_else(|| {
                over(
                    "a CPU limit in thousandths of a core",
                    spec.limits.millicores.into(),
                    caps.limits.millicores.into(),
                )
            })
            .or_else(|| {
                over(
                    "a limit of scratch space in bytes",
                    spec.limits.storage_bytes,
                    caps.limits.storage_bytes,
                )
            })
            .or_else(|| over("a limit of processes", spec.limits.pids.into(), caps.limits.pids.into()))
            .or_else(|| over("a size of program and inputs", spec.input_bytes(), caps.input_bytes))
            .or_else(|| {
                (theirs >= caps.jobs_per_peer)
                    .then(|| format!("{theirs} of your jobs are already waiting on this device"))
            })
            .or_else(|| (all >= caps.jobs).then(|| format!("{all} jobs are already waiting on this device")))
            .or_else(|| {
                let has = match spec.program {
                    Program::Wasm { .. } => caps.wasm,
                    Program::Container { .. } => caps.container,
                };
                (!has).then(|| format!("this device does not run {} programs", spec.program.runtime()))
            })
            .or_else(|| (spec.network && !caps.network).then(|| "this device gives jobs no network".into()))
            .or_else(|| {
                let late = spec.deadline_ms.is_some_and(|deadline| deadline <= now_ms);
                late.then(|| "its deadline is over".into())
            })
            .or_else(|| check_price(spec).err().map(|error| error.to_string()));
        Ok(reason.map_or(Ok(()), |reason| Err(short(&reason))))
    }
}
