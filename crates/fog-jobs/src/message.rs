//! What two nodes say to each other about jobs, and its bytes.

use crate::spec::{
    CHUNK_BYTES, Checkpoint, Hash, JobId, Limits, Outputs, Settlement, SignedReceipt, SignedSpec, SpecError,
    decode, encode,
};
use serde::{Deserialize, Serialize};

/// Most bytes of an encoded message: a chunk and its address.
pub const MAX_MESSAGE_BYTES: usize = CHUNK_BYTES as usize + 4 * 1024;
/// Most jobs in one [`JobMessage::Status`].
pub const MAX_STATUS: usize = 256;
/// Most bytes of a log in one message.
pub const MAX_LOG_BYTES: usize = 16 * 1024;
/// Most bytes of a note or a reason.
const MAX_NOTE_BYTES: usize = 2048;

/// A message about jobs. Messages may arrive twice, late and in any order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobMessage {
    /// Submitter to worker: please run this.
    Offer(SignedSpec),
    /// Worker to submitter: taken.
    Accept {
        /// The job.
        job: JobId,
    },
    /// Worker to submitter: not taken.
    Decline {
        /// The job.
        job: JobId,
        /// Why, in plain words.
        reason: String,
    },
    /// Either: send me these chunks.
    Want {
        /// The job.
        job: JobId,
        /// The blob's hash.
        blob: Hash,
        /// Indices from 0.
        chunks: Vec<u32>,
    },
    /// Either: one chunk.
    Chunk {
        /// The job.
        job: JobId,
        /// The blob's hash.
        blob: Hash,
        /// Index from 0.
        index: u32,
        /// The content.
        #[serde(with = "serde_bytes")]
        data: Vec<u8>,
    },
    /// Worker to submitter: how far its jobs are. Said when one changes, and every so often as the sign that they are
    /// still in work.
    Status(Vec<Status>),
    /// Worker to submitter: what a running job has written.
    Log {
        /// The job.
        job: JobId,
        /// Where it begins, counted over all that this run has written.
        offset: u64,
        /// Standard output and error, as they came.
        #[serde(with = "serde_bytes")]
        data: Vec<u8>,
    },
    /// Worker to submitter: a running job's state, for you to fetch.
    Checkpoint {
        /// The job.
        job: JobId,
        /// The state.
        checkpoint: Checkpoint,
    },
    /// Submitter to worker: I have this checkpoint; the next one may come.
    Kept {
        /// The job.
        job: JobId,
        /// The checkpoint's number.
        number: u32,
    },
    /// Worker to submitter: a sealed job is done, and its result has this commitment.
    Commit {
        /// The job.
        job: JobId,
        /// [`crate::spec::commitment`].
        commitment: Hash,
    },
    /// Submitter to worker: the others have committed; hand over.
    Reveal {
        /// The job.
        job: JobId,
    },
    /// Worker to submitter: done; fetch the outputs and confirm.
    Result(Box<Delivery>),
    /// Worker to submitter: ended without a result.
    Failed {
        /// The job.
        job: JobId,
        /// Whose fault it was.
        fault: Fault,
        /// Why, in plain words.
        reason: String,
    },
    /// Submitter to worker: no longer wanted.
    Cancel {
        /// The job.
        job: JobId,
        /// Why, in plain words.
        reason: String,
    },
    /// Submitter to worker: confirmed and paid.
    Settled(Settlement),
    /// Either: what do you offer?
    Ask,
    /// Either: this is what I offer.
    Offers(Availability),
}

/// How far a job is at its worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The job.
    pub job: JobId,
    /// What it does.
    pub stage: Stage,
    /// How much is done in thousandths, where the program says so.
    pub permille: Option<u16>,
    /// What happens, in plain words.
    pub note: String,
}

/// What a job does at its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Its data arrives.
    Fetching,
    /// It waits for its turn or for the owner to leave.
    Waiting,
    /// It runs.
    Running,
    /// It has begun, and waits for the owner to leave.
    Paused,
    /// It is done.
    Done,
}

/// Whose fault it is that a job has no result, which says whether it makes sense to try elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The program's: it crashed, or went beyond its limits. It would do so anywhere.
    Program,
    /// The device's: its disk is full, or it does not have the runtime.
    Device,
    /// The owner stopped it, or it became too old.
    Owner,
}

/// What a worker hands over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its statement.
    pub receipt: SignedReceipt,
    /// What came out.
    pub outputs: Outputs,
    /// Of a sealed job: what its commitment was made with.
    pub nonce: Option<[u8; 32]>,
}

/// What a device offers to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Availability {
    /// It takes jobs from them.
    pub takes: bool,
    /// It may work now.
    pub allowed: bool,
    /// Why not, or how, in plain words.
    pub reason: String,
    /// It runs WASM.
    pub wasm: bool,
    /// It runs containers.
    pub container: bool,
    /// It gives jobs the network when they ask for it.
    pub network: bool,
    /// Jobs that run side by side.
    pub slots: u32,
    /// Jobs under way there.
    pub waiting: u32,
    /// Jobs that it would still take from them.
    pub room: u32,
    /// The largest limits that it takes.
    pub limits: Limits,
}

impl JobMessage {
    /// The job it is about; none if it is about several or none.
    pub fn job(&self) -> Option<JobId> {
        match self {
            Self::Offer(signed) => Some(signed.spec.id),
            Self::Accept { job }
            | Self::Decline { job, .. }
            | Self::Want { job, .. }
            | Self::Chunk { job, .. }
            | Self::Log { job, .. }
            | Self::Checkpoint { job, .. }
            | Self::Kept { job, .. }
            | Self::Commit { job, .. }
            | Self::Reveal { job }
            | Self::Failed { job, .. }
            | Self::Cancel { job, .. } => Some(*job),
            Self::Result(delivery) => Some(delivery.receipt.receipt.job),
            Self::Settled(settlement) => Some(settlement.receipt.receipt.job),
            Self::Status(_) | Self::Ask | Self::Offers(_) => None,
        }
    }

    /// A short name of the kind, for logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Offer(_) => "offer",
            Self::Accept { .. } => "accept",
            Self::Decline { .. } => "decline",
            Self::Want { .. } => "want",
            Self::Chunk { .. } => "chunk",
            Self::Status(_) => "status",
            Self::Log { .. } => "log",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Kept { .. } => "kept",
            Self::Commit { .. } => "commit",
            Self::Reveal { .. } => "reveal",
            Self::Result(..) => "result",
            Self::Failed { .. } => "failed",
            Self::Cancel { .. } => "cancel",
            Self::Settled(_) => "settled",
            Self::Ask => "ask",
            Self::Offers(_) => "offers",
        }
    }

    /// The bytes to send.
    ///
    /// # Errors
    /// [`SpecError::TooLong`] above [`MAX_MESSAGE_BYTES`].
    pub fn encode(&self) -> Result<Vec<u8>, SpecError> {
        encode("job message", self, MAX_MESSAGE_BYTES)
    }

    /// Reads [`encode`](Self::encode)'s bytes and checks the lengths of its parts. Signatures are not yet checked.
    ///
    /// # Errors
    /// [`SpecError`] if the bytes are too long (checked first), cut off or followed by others.
    pub fn decode(bytes: &[u8]) -> Result<Self, SpecError> {
        let message: Self = decode("job message", bytes, MAX_MESSAGE_BYTES)?;
        let within = |what: &'static str, bytes: usize, max: usize| {
            if bytes <= max { Ok(()) } else { Err(SpecError::TooLong { what, bytes, max }) }
        };
        match &message {
            Self::Status(list) => {
                if list.len() > MAX_STATUS {
                    return Err(SpecError::Invalid(format!("a status of {} jobs at once", list.len())));
                }
                list.iter().try_for_each(|status| within("note", status.note.len(), MAX_NOTE_BYTES))?;
            }
            Self::Log { data, .. } => within("log", data.len(), MAX_LOG_BYTES)?,
            Self::Decline { reason, .. } | Self::Failed { reason, .. } | Self::Cancel { reason, .. } => {
                within("reason", reason.len(), MAX_NOTE_BYTES)?;
            }
            Self::Offers(offer) => within("reason", offer.reason.len(), MAX_NOTE_BYTES)?,
            _ => {}
        }
        Ok(message)
    }
}

/// The payment of a job of the first version, if these are the bytes of that message. Nothing else of that version is
/// still understood: its jobs are not continued, but what was paid is booked.
pub fn old_settlement(bytes: &[u8]) -> Option<Settlement> {
    const SETTLED: u8 = 9;
    let (kind, rest) = bytes.split_first()?;
    (*kind == SETTLED).then(|| Settlement::decode(rest).ok()).flatten()
}
