//! What goes into the engine and what comes out.

use crate::blobs::BlobError;
use crate::message::JobMessage;
use crate::sandbox::RunRequest;
use crate::spec::{BlobRef, JobId, Limits, Person, Settlement, SpecError};
use crate::store::StoreError;
use std::path::PathBuf;

/// What the caller must do, in this order.
#[derive(Debug, Clone, PartialEq)]
// The lists are short and short-lived, and most of them hold a message.
#[allow(clippy::large_enum_variant)]
pub enum Action {
    /// Send a message, durably.
    Send {
        /// To whom.
        to: Person,
        /// What.
        message: JobMessage,
    },
    /// Hold this much of a person's money for a job.
    LockEscrow {
        /// The job.
        job: JobId,
        /// The submitter.
        from: Person,
        /// How much, 10^-18 FOG.
        amount: u128,
    },
    /// Pay the receipt's price from the job's escrow to the worker, and give the rest back. Both signatures are checked.
    Settle {
        /// The job.
        job: JobId,
        /// The order to pay.
        settlement: Settlement,
    },
    /// Give all of a job's escrow back.
    Refund {
        /// The job.
        job: JobId,
    },
    /// After the commit: run this and report with [`Engine::on_outcome`].
    Run(RunPlan),
    /// After the commit: kill the job's run if there is one. Its outcome is ignored.
    Kill {
        /// The job.
        job: JobId,
    },
    /// The job looks different now.
    Changed {
        /// The job.
        job: JobId,
    },
}

/// A run to start.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// The job.
    pub job: JobId,
    /// For [`crate::sandbox::Sandbox::run`].
    pub request: RunRequest,
}

impl PartialEq for RunPlan {
    fn eq(&self, other: &Self) -> bool {
        self.job == other.job
    }
}

/// A job to send.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// A label for people.
    pub name: String,
    /// The module; it must be in the blob store.
    pub module: BlobRef,
    /// The input; it must be in the blob store.
    pub input: Option<BlobRef>,
    /// Program arguments, without the program's name.
    pub args: Vec<String>,
    /// What it may use.
    pub limits: Limits,
    /// The most it may cost, 10^-18 FOG; none is [`crate::price::price_ceiling`] of the limits.
    pub price_limit: Option<u128>,
    /// Who is to run it.
    pub worker: Person,
}

/// What this device takes on for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// The largest limits of one job.
    pub limits: Limits,
    /// Most bytes of module and input together.
    pub input_bytes: u64,
    /// Most jobs under way for one person.
    pub jobs_per_peer: u32,
    /// Most jobs under way in all.
    pub jobs: u32,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            limits: Limits {
                seconds: 3600,
                memory_bytes: 2 * 1024 * 1024 * 1024,
                output_bytes: 256 * 1024 * 1024,
            },
            input_bytes: 512 * 1024 * 1024,
            jobs_per_peer: 64,
            jobs: 256,
        }
    }
}

/// The engine's settings.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// What this device takes on for others; see [`Engine::set_caps`].
    pub caps: Caps,
    /// A folder for the runs' scratch folders.
    pub scratch: PathBuf,
    /// After this long without a word from the other side, ask again; doubled each time, up to 256 times.
    pub retry_after_ms: u64,
    /// A job that has not come to a result after this long, besides its time limit, fails.
    pub job_ttl_ms: u64,
    /// A result that is not fetched or confirmed after this long is given up.
    pub settle_ttl_ms: u64,
    /// Module, input and other people's outputs are removed this long after a job's end.
    pub keep_ms: u64,
}

impl EngineConfig {
    /// The defaults, with the runs' scratch folders below `scratch`.
    pub fn new(scratch: impl Into<PathBuf>) -> Self {
        const HOUR: u64 = 3_600_000;
        Self {
            caps: Caps::default(),
            scratch: scratch.into(),
            retry_after_ms: 120_000,
            job_ttl_ms: 24 * HOUR,
            settle_ttl_ms: 7 * 24 * HOUR,
            keep_ms: HOUR,
        }
    }
}

/// Why the engine refused.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The database refused; try again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A paper is malformed, out of bounds or wrongly signed.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The blob store could not do it.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// There is no such job, or it is none of the sender's business.
    #[error("there is no such job between you and this person")]
    UnknownJob,
    /// Not possible now, or not allowed; the text says why.
    #[error("{0}")]
    Refused(String),
}

impl EngineError {
    /// True if a message is to blame and hearing it again would not help: drop it. False: this device has trouble, and the
    /// message must be handled again later.
    pub fn is_senders_fault(&self) -> bool {
        match self {
            Self::Store(_) => false,
            Self::Blob(error) => {
                matches!(error, BlobError::WrongHash { .. } | BlobError::NoSuchChunk { .. })
            }
            Self::Spec(_) | Self::UnknownJob | Self::Refused(_) => true,
        }
    }
}
