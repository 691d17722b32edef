//! What two nodes say to each other about a job, and its bytes.

use crate::spec::{
    BlobRef, CHUNK_BYTES, Hash, JobId, Settlement, SignedReceipt, SignedSpec, SpecError, decode, encode,
};
use serde::{Deserialize, Serialize};

/// Most bytes of an encoded message: a chunk and its address.
pub const MAX_MESSAGE_BYTES: usize = CHUNK_BYTES as usize + 4 * 1024;

/// A message about a job. Messages may arrive twice, late and in any order.
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
    /// Worker to submitter: how far it is.
    Progress {
        /// The job.
        job: JobId,
        /// True once it runs; false while it waits.
        running: bool,
        /// What happens, in plain words.
        note: String,
    },
    /// Worker to submitter: done; fetch the output and confirm.
    Result(SignedReceipt, BlobRef),
    /// Worker to submitter: ended without a result.
    Failed {
        /// The job.
        job: JobId,
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
}

impl JobMessage {
    /// The job it is about.
    pub fn job(&self) -> JobId {
        match self {
            Self::Offer(signed) => signed.spec.id,
            Self::Accept { job }
            | Self::Decline { job, .. }
            | Self::Want { job, .. }
            | Self::Chunk { job, .. }
            | Self::Progress { job, .. }
            | Self::Failed { job, .. }
            | Self::Cancel { job, .. } => *job,
            Self::Result(signed, _) => signed.receipt.job,
            Self::Settled(settlement) => settlement.receipt.receipt.job,
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
            Self::Progress { .. } => "progress",
            Self::Result(..) => "result",
            Self::Failed { .. } => "failed",
            Self::Cancel { .. } => "cancel",
            Self::Settled(_) => "settled",
        }
    }

    /// The bytes to send.
    ///
    /// # Errors
    /// [`SpecError::TooLong`] above [`MAX_MESSAGE_BYTES`].
    pub fn encode(&self) -> Result<Vec<u8>, SpecError> {
        encode("job message", self, MAX_MESSAGE_BYTES)
    }

    /// Reads [`encode`](Self::encode)'s bytes. Signatures are not yet checked.
    ///
    /// # Errors
    /// [`SpecError`] if the bytes are too long (checked first), cut off or followed by others.
    pub fn decode(bytes: &[u8]) -> Result<Self, SpecError> {
        decode("job message", bytes, MAX_MESSAGE_BYTES)
    }
}
