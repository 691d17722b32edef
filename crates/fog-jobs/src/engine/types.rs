//! What goes into the engine and what comes out.

use crate::blobs::BlobError;
use crate::message::{Availability, JobMessage};
use crate::orders::{OrderId, Patience};
use crate::run::{RunError, RunRequest};
use crate::spec::{Checkpoint, JobId, Limits, Outputs, Person, Settlement, SpecError};
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
        /// The least level at which it may travel, as [`crate::JobSpec::privacy`].
        privacy: u8,
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
    /// After the commit: run this and report with [`crate::Engine::on_ended`].
    Run(RunPlan),
    /// After the commit: kill the job's run if there is one. Its outcome is ignored.
    Kill {
        /// The job.
        job: JobId,
    },
    /// After the commit: have the job's run take a checkpoint and end.
    Preempt {
        /// The job.
        job: JobId,
    },
    /// A job that runs here for somebody looks different now.
    Changed {
        /// The job.
        job: JobId,
    },
    /// An order looks different now.
    Ordered {
        /// The order.
        order: OrderId,
    },
    /// An attempt of an order wrote something. May be lost.
    Log {
        /// The order.
        order: OrderId,
        /// The attempt.
        job: JobId,
        /// Where it begins, counted over all that this attempt has written.
        offset: u64,
        /// What.
        data: Vec<u8>,
    },
    /// An order has ended, and its log with it.
    Ended {
        /// The order.
        order: OrderId,
    },
    /// Somebody asks what this device offers: answer with [`JobMessage::Offers`].
    Asked {
        /// Who.
        by: Person,
    },
    /// What is known of a possible worker has changed: what it offers, or its reputation.
    Worker {
        /// Who.
        person: Person,
    },
}

/// A run to start.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// The job.
    pub job: JobId,
    /// Of an order of this device: which.
    pub order: Option<OrderId>,
    /// Whose it is; this person's own for a local job.
    pub peer: Person,
    /// As [`crate::JobSpec::privacy`].
    pub privacy: u8,
    /// The result is kept back: no logs and no checkpoints go to the submitter.
    pub sealed: bool,
    /// For a runtime.
    pub request: RunRequest,
}

impl PartialEq for RunPlan {
    fn eq(&self, other: &Self) -> bool {
        self.job == other.job
    }
}

/// How a run ended, with its files in the blob store. Made by [`crate::Engine::store_outcome`].
#[derive(Debug, Clone, PartialEq)]
pub enum RunEnded {
    /// The program came to its end. Usage is over all segments.
    Done {
        /// What came out.
        outputs: Outputs,
        /// Its exit code.
        exit_code: i32,
        /// Fuel used.
        fuel: u64,
        /// CPU time, milliseconds.
        cpu_ms: u64,
        /// Running time without imposed pauses, milliseconds.
        wall_ms: u64,
        /// Most bytes of memory at one time.
        memory_peak: u64,
    },
    /// It was stopped, to go on here or elsewhere.
    Stopped(Option<Checkpoint>),
    /// It has no result.
    Failed(RunError),
    /// Its files could not be stored.
    NotStored(String),
}

/// What the node allows now.
#[derive(Debug, Clone)]
pub struct Room {
    /// The device may work for others.
    pub allowed: bool,
    /// Why not, in plain words.
    pub reason: String,
    /// Runs for others that may start.
    pub slots: usize,
    /// Memory that runs for others may still take, bytes.
    pub memory: u64,
    /// Runs of this device's own jobs that may start.
    pub local_slots: usize,
    /// This person's money, 10^-18 FOG; none: it is not looked at.
    pub funds: Option<u128>,
}

/// Somebody who may run jobs: an accepted contact of the same ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Who.
    pub person: Person,
    /// Heard lately.
    pub online: bool,
    /// The level at which what is said between us travels, as [`crate::JobSpec::privacy`].
    pub privacy: u8,
}

/// What this device takes on for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// The largest limits of one job.
    pub limits: Limits,
    /// Most bytes of program and inputs together.
    pub input_bytes: u64,
    /// Most jobs under way for one person.
    pub jobs_per_peer: u32,
    /// Most jobs under way in all.
    pub jobs: u32,
    /// It runs WASM.
    pub wasm: bool,
    /// It runs containers.
    pub container: bool,
    /// It gives jobs the network when they ask for it.
    pub network: bool,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            limits: Limits {
                seconds: 3600,
                memory_bytes: 2 * 1024 * 1024 * 1024,
                output_bytes: 256 * 1024 * 1024,
                millicores: 16_000,
                storage_bytes: 4 * 1024 * 1024 * 1024,
                pids: 256,
            },
            input_bytes: 512 * 1024 * 1024,
            jobs_per_peer: 64,
            jobs: 256,
            wasm: true,
            container: false,
            network: false,
        }
    }
}

/// The engine's settings.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// What this device takes on for others; see [`crate::Engine::set_caps`].
    pub caps: Caps,
    /// A folder for the runs' scratch folders.
    pub scratch: PathBuf,
    /// After this long without a word from the other side, ask again; doubled each time, up to 256 times.
    pub retry_after_ms: u64,
    /// A job that has not come to a result after this long, besides its time limit, fails.
    pub job_ttl_ms: u64,
    /// A result that is not fetched or confirmed after this long is given up.
    pub settle_ttl_ms: u64,
    /// Program, inputs and other people's outputs are removed this long after a job's end.
    pub keep_ms: u64,
    /// Files are looked through for removal this often.
    pub collect_every_ms: u64,
    /// A worker says this often that it still has its jobs.
    pub heartbeat_ms: u64,
    /// A job that was paused for this long for the owner's sake is given back with its checkpoint.
    pub yield_ms: u64,
    /// What a device said that it offers is believed this long.
    pub offer_ms: u64,
    /// A device that was asked what it offers, and says nothing for this long, is taken for one that cannot say.
    pub ask_ms: u64,
    /// Jobs under way at one worker at one time, of an array for instance.
    pub in_flight: u32,
    /// When to try elsewhere.
    pub patience: Patience,
    /// Probability of a check of a trusted worker with a job whose result is known.
    pub spot_check: f64,
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
            collect_every_ms: 600_000,
            heartbeat_ms: 30_000,
            yield_ms: 60_000,
            offer_ms: 180_000,
            ask_ms: 10_000,
            in_flight: 32,
            patience: Patience::default(),
            spot_check: crate::trust::SPOT_CHECK,
        }
    }
}

/// What a possible worker said that it offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What.
    pub availability: Availability,
    /// When it said so, milliseconds since 1970.
    pub at_ms: u64,
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
    /// There is no such order.
    #[error("there is no such job")]
    UnknownOrder,
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
            Self::Spec(_) | Self::UnknownJob | Self::UnknownOrder | Self::Refused(_) => true,
        }
    }
}
