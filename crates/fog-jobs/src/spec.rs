//! What a job is, and the signed papers around it.
//!
//! Three papers, each signed over a domain prefix and the postcard bytes of its content, so that a signature under one
//! kind can never be shown as another kind:
//!
//! 1. [`JobSpec`] signed by the submitter ([`SignedSpec`]): what to run, on what, within which limits, for how much.
//! 2. [`Receipt`] signed by the worker ([`SignedReceipt`]): what was used, what came out, what it costs.
//! 3. [`Settlement`]: the signed receipt countersigned by the submitter, which is the order to pay.
//!
//! Persons are Ed25519 public keys, hashes are BLAKE3. Everything here may come from a stranger: lengths are checked
//! before decoding, and [`JobSpec::validate`] before anything is done with it.

mod codec;
mod receipt;
#[cfg(test)]
mod tests;

pub(crate) use codec::{decode, encode};
pub use receipt::{Receipt, Settlement, SignedReceipt, Usage};

use codec::{sign, verify};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

/// A job's id, drawn at random by its submitter.
pub type JobId = [u8; 16];
/// A person: an Ed25519 public key.
pub type Person = [u8; 32];
/// A BLAKE3 hash.
pub type Hash = [u8; 32];

/// Bytes of a chunk; a blob's last chunk may be shorter.
pub const CHUNK_BYTES: u64 = 256 * 1024;
/// Most bytes of one blob, so that a specification with two chunk lists stays under [`MAX_SPEC_BYTES`].
pub const MAX_BLOB_BYTES: u64 = 256 * 1024 * 1024;
/// Most bytes of an encoded [`SignedSpec`].
pub const MAX_SPEC_BYTES: usize = 128 * 1024;
/// Most bytes of a job's name.
pub const MAX_NAME_BYTES: usize = 200;
/// Most arguments of a job.
pub const MAX_ARGS: usize = 256;
/// Most bytes of all arguments together.
pub const MAX_ARGS_BYTES: usize = 32 * 1024;
/// Longest time limit, seconds: a day.
pub const MAX_SECONDS: u32 = 24 * 3600;
/// Largest memory limit, bytes: the baseline's 16 GiB.
pub const MAX_MEMORY_BYTES: u64 = 16 * 1024 * 1024 * 1024;

const SPEC_DOMAIN: &[u8] = b"fog-jobs/spec/1\0";

/// Why a paper is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Not the expected bytes: truncated, too long or of another kind.
    #[error("the {what} cannot be read: {reason}")]
    Malformed {
        /// Which paper.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// More bytes than allowed.
    #[error("the {what} has {bytes} bytes, more than the {max} allowed")]
    TooLong {
        /// Which paper.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The cap.
        max: usize,
    },
    /// A field is out of its bounds.
    #[error("{0}")]
    Invalid(String),
    /// The signature is not the named person's.
    #[error("the {what}'s signature is wrong")]
    Signature {
        /// Which paper.
        what: &'static str,
    },
}

/// A content-addressed piece of data: a module, an input or an output.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlobRef {
    /// BLAKE3 of the whole content.
    pub hash: Hash,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of each chunk of [`CHUNK_BYTES`], in order.
    pub chunks: Vec<Hash>,
}

impl BlobRef {
    /// How many chunks `size` bytes make.
    pub fn chunk_count(size: u64) -> u64 {
        size.div_ceil(CHUNK_BYTES)
    }

    /// Bytes of chunk `index`; none if there is no such chunk.
    pub fn chunk_len(&self, index: u32) -> Option<usize> {
        let start = u64::from(index).checked_mul(CHUNK_BYTES)?;
        if start >= self.size {
            return None;
        }
        usize::try_from((self.size - start).min(CHUNK_BYTES)).ok()
    }

    /// Checks that size and chunk list agree and stay under the cap.
    ///
    /// # Errors
    /// [`SpecError::Invalid`] says which number is wrong.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.size > MAX_BLOB_BYTES {
            return Err(invalid(format!(
                "a blob of {} bytes is larger than the {MAX_BLOB_BYTES} allowed",
                self.size
            )));
        }
        let expected = Self::chunk_count(self.size);
        if self.chunks.len() as u64 != expected {
            return Err(invalid(format!(
                "a blob of {} bytes has {expected} chunks, not {}",
                self.size,
                self.chunks.len()
            )));
        }
        Ok(())
    }
}

/// What a job may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Running time in seconds: wall time without the pauses that the worker's owner imposes.
    pub seconds: u32,
    /// Linear memory in bytes, all memories together.
    pub memory_bytes: u64,
    /// Bytes on standard output.
    pub output_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { seconds: 300, memory_bytes: 512 * 1024 * 1024, output_bytes: 64 * 1024 * 1024 }
    }
}

impl Limits {
    /// Checks the limits against the protocol's bounds.
    ///
    /// # Errors
    /// [`SpecError::Invalid`] names the limit.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.seconds == 0 || self.seconds > MAX_SECONDS {
            return Err(invalid(format!(
                "the time limit must be 1 to {MAX_SECONDS} s, not {}",
                self.seconds
            )));
        }
        if self.memory_bytes < 64 * 1024 || self.memory_bytes > MAX_MEMORY_BYTES {
            return Err(invalid(format!(
                "the memory limit must be 64 KiB to 16 GiB, not {} bytes",
                self.memory_bytes
            )));
        }
        if self.output_bytes > MAX_BLOB_BYTES {
            return Err(invalid(format!(
                "the output limit must be at most {MAX_BLOB_BYTES} bytes, not {}",
                self.output_bytes
            )));
        }
        Ok(())
    }
}

/// What a submitter asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Its id.
    pub id: JobId,
    /// Who asks and pays.
    pub submitter: Person,
    /// A label for people.
    pub name: String,
    /// The WASM module, a WASI command (`_start`).
    pub module: BlobRef,
    /// Standard input; none is an empty one.
    pub input: Option<BlobRef>,
    /// Program arguments, without the program's name.
    pub args: Vec<String>,
    /// What it may use.
    pub limits: Limits,
    /// The most it may cost, in 10^-18 FOG. This much is held in escrow.
    pub price_limit: u128,
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
}

impl JobSpec {
    /// Bytes of module and input.
    pub fn input_bytes(&self) -> u64 {
        self.module.size.saturating_add(self.input.as_ref().map_or(0, |input| input.size))
    }

    /// Checks every field against the protocol's bounds.
    ///
    /// # Errors
    /// [`SpecError::Invalid`] says in plain words what is out of bounds.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.name.len() > MAX_NAME_BYTES {
            return Err(invalid(format!("the job's name is longer than {MAX_NAME_BYTES} bytes")));
        }
        if self.name.chars().any(char::is_control) {
            return Err(invalid("the job's name has control characters".into()));
        }
        self.module.validate()?;
        if self.module.size == 0 {
            return Err(invalid("the module is empty".into()));
        }
        if let Some(input) = &self.input {
            input.validate()?;
        }
        if self.args.len() > MAX_ARGS || self.args.iter().map(String::len).sum::<usize>() > MAX_ARGS_BYTES {
            return Err(invalid(format!(
                "at most {MAX_ARGS} arguments of {MAX_ARGS_BYTES} bytes together are allowed"
            )));
        }
        if self.args.iter().any(|arg| arg.contains('\0')) {
            return Err(invalid("an argument contains a zero byte".into()));
        }
        self.limits.validate()
    }

    /// Signs the specification.
    ///
    /// # Errors
    /// [`SpecError::Invalid`] if a field is out of bounds or `key` is not the submitter's.
    pub fn sign(self, key: &SigningKey) -> Result<SignedSpec, SpecError> {
        self.validate()?;
        if key.verifying_key().as_bytes() != &self.submitter {
            return Err(invalid("the key is not the submitter's".into()));
        }
        let signature = sign(key, SPEC_DOMAIN, &self)?;
        Ok(SignedSpec { spec: self, signature })
    }
}

/// A specification with its submitter's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedSpec {
    /// The content.
    pub spec: JobSpec,
    /// Ed25519 over the domain prefix and the content.
    #[serde(with = "serde_bytes")]
    pub signature: [u8; 64],
}

impl SignedSpec {
    /// Checks bounds and signature.
    ///
    /// # Errors
    /// [`SpecError`] says what is wrong.
    pub fn verify(&self) -> Result<(), SpecError> {
        self.spec.validate()?;
        verify("job", &self.spec.submitter, SPEC_DOMAIN, &self.spec, &self.signature)
    }

    /// The bytes on disk and on the wire.
    ///
    /// # Errors
    /// [`SpecError::TooLong`] above [`MAX_SPEC_BYTES`].
    pub fn encode(&self) -> Result<Vec<u8>, SpecError> {
        encode("job", self, MAX_SPEC_BYTES)
    }

    /// Reads [`encode`](Self::encode)'s bytes. The signature is not yet checked.
    ///
    /// # Errors
    /// [`SpecError`] if the bytes are too long, cut off or followed by others.
    pub fn decode(bytes: &[u8]) -> Result<Self, SpecError> {
        decode("job", bytes, MAX_SPEC_BYTES)
    }
}

fn invalid(reason: String) -> SpecError {
    SpecError::Invalid(reason)
}
