//! What comes out of a run.

use super::{BlobRef, Hash, JobId, Person, SpecError};
use serde::{Deserialize, Serialize};

/// A running program's state, as data, with what the program used until then on all devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its number within the job, from 1.
    pub number: u32,
    /// The state.
    pub blob: BlobRef,
    /// Fuel used.
    pub fuel: u64,
    /// CPU time, milliseconds.
    pub cpu_ms: u64,
    /// Running time without imposed pauses, milliseconds.
    pub wall_ms: u64,
}

/// What a run hands over at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outputs {
    /// Standard output.
    pub stdout: BlobRef,
    /// The output files, as an archive (tar); none if there are none.
    pub files: Option<BlobRef>,
    /// The run did not come to its end: its device gives the job back with this state, for another to go on from.
    pub checkpoint: Option<Checkpoint>,
}

impl Outputs {
    /// All that must be moved to the submitter.
    pub fn blobs(&self) -> impl Iterator<Item = &BlobRef> {
        let checkpoint = self.checkpoint.iter().map(|checkpoint| &checkpoint.blob);
        std::iter::once(&self.stdout).chain(&self.files).chain(checkpoint)
    }

    /// Bytes of standard output and files.
    pub fn bytes(&self) -> u64 {
        self.stdout.size.saturating_add(self.files.as_ref().map_or(0, |files| files.size))
    }

    /// One hash over all of it, for receipts; that of standard output if it is alone.
    pub fn hash(&self) -> Hash {
        if self.files.is_none() && self.checkpoint.is_none() {
            return self.stdout.hash;
        }
        let mut hasher = blake3::Hasher::new_derive_key("fog-jobs 2 outputs");
        hasher.update(&self.stdout.hash);
        for part in [self.files.as_ref(), self.checkpoint.as_ref().map(|c| &c.blob)] {
            hasher.update(&[u8::from(part.is_some())]);
            hasher.update(&part.map_or([0; 32], |blob| blob.hash));
        }
        *hasher.finalize().as_bytes()
    }

    /// What two runs of one job are compared by: outputs and exit code.
    pub fn result_hash(&self, exit_code: i32) -> Hash {
        let mut hasher = blake3::Hasher::new_derive_key("fog-jobs 2 result");
        hasher.update(&self.hash());
        hasher.update(&exit_code.to_le_bytes());
        *hasher.finalize().as_bytes()
    }

    /// Checks the blobs' sizes.
    ///
    /// # Errors
    /// [`SpecError::Invalid`].
    pub fn validate(&self) -> Result<(), SpecError> {
        self.blobs().try_for_each(BlobRef::validate)
    }
}

/// What a worker commits to before anybody sees its result: nobody can guess the result from it, and nobody else can
/// show it as theirs.
pub fn commitment(job: &JobId, worker: &Person, result: &Hash, nonce: &[u8; 32]) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("fog-jobs 2 commitment");
    hasher.update(job);
    hasher.update(worker);
    hasher.update(result);
    hasher.update(nonce);
    *hasher.finalize().as_bytes()
}
