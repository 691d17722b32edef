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
//!
//! [`Receipt`] and [`Settlement`] have kept their form since the first version, so that the ledgers of all versions
//! can check each other's payments: where a job now has several inputs or outputs, the receipt holds one hash over them
//! ([`JobSpec::inputs_hash`], [`Outputs::hash`]), which for a single one is that one's own.

mod blob;
mod codec;
mod limits;
pub(crate) mod old;
mod outputs;
mod program;
mod receipt;
#[cfg(test)]
mod tests;

pub use blob::{BlobRef, CHUNK_BYTES, MAX_BLOB_BYTES};
pub(crate) use codec::{decode, encode};
pub use limits::{Class, Limits, MAX_MEMORY_BYTES, MAX_SECONDS};
pub use outputs::{Checkpoint, Outputs, commitment};
pub use program::{Image, Input, MAX_INPUTS, Program, check_input_names};
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

/// Most bytes of an encoded [`SignedSpec`].
pub const MAX_SPEC_BYTES: usize = 224 * 1024;
/// Most chunks of all blobs of a job together, so that its specification stays under [`MAX_SPEC_BYTES`]: 1 GiB.
pub const MAX_CHUNKS: usize = 4096;
/// Most bytes of a job's name.
pub const MAX_NAME_BYTES: usize = 200;
/// Most arguments of a job, and most environment variables.
pub const MAX_ARGS: usize = 256;
/// Most bytes of all arguments together, and of all environment variables.
pub const MAX_ARGS_BYTES: usize = 32 * 1024;
/// Shortest time between two checkpoints, seconds.
pub const MIN_CHECKPOINT_SECONDS: u32 = 5;

const SPEC_DOMAIN: &[u8] = b"fog-jobs/spec/2\0";

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

/// What a submitter asks one worker for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Its id.
    pub id: JobId,
    /// Who asks and pays.
    pub submitter: Person,
    /// A label for people.
    pub name: String,
    /// What runs.
    pub program: Program,
    /// Standard input; none is an empty one.
    pub stdin: Option<BlobRef>,
    /// Files below `/in`.
    pub inputs: Vec<Input>,
    /// Program arguments, without the program's name.
    pub args: Vec<String>,
    /// Environment variables, name and value.
    pub env: Vec<(String, String)>,
    /// What it may use.
    pub limits: Limits,
    /// How much it matters, which decides the price.
    pub class: Class,
    /// The least level at which its messages travel, as the network's numbers: 1 private, 2 confidential, 3 secret; 0 is
    /// whatever the two persons chose.
    pub privacy: u8,
    /// It asks for the network.
    pub network: bool,
    /// The result is wanted by this time, milliseconds since 1970.
    pub deadline_ms: Option<u64>,
    /// Seconds between checkpoints.
    pub checkpoint_seconds: u32,
    /// Where to go on from.
    pub resume: Option<Checkpoint>,
    /// The result is first committed to by its hash and handed over when asked for. Such a run is compared with others of
    /// the same job, so it is not moved: it takes checkpoints for its own device only.
    pub sealed: bool,
    /// The most it may cost, in 10^-18 FOG. This much is held in escrow.
    pub price_limit: u128,
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
}

impl JobSpec {
    /// All that must be at the worker before it can start: program, standard input, files, checkpoint.
    pub fn blobs(&self) -> impl Iterator<Item = &BlobRef> {
        let data = self.stdin.iter().chain(self.inputs.iter().map(|input| &input.blob));
        self.program.blob().into_iter().chain(data).chain(self.resume.iter().map(|c| &c.blob))
    }

    /// Bytes of [`blobs`](Self::blobs).
    pub fn input_bytes(&self) -> u64 {
        self.blobs().fold(0, |sum, blob| sum.saturating_add(blob.size))
    }

    /// One hash over standard input and files. None if there are none; that of standard input if it is alone.
    pub fn inputs_hash(&self) -> Option<Hash> {
        if self.inputs.is_empty() {
            return self.stdin.as_ref().map(|stdin| stdin.hash);
        }
        let mut hasher = blake3::Hasher::new_derive_key("fog-jobs 2 inputs");
        hasher.update(&[u8::from(self.stdin.is_some())]);
        hasher.update(&self.stdin.as_ref().map_or([0; 32], |stdin| stdin.hash));
        for input in &self.inputs {
            hasher.update(&(input.name.len() as u64).to_le_bytes());
            hasher.update(input.name.as_bytes());
            hasher.update(&input.blob.hash);
        }
        Some(*hasher.finalize().as_bytes())
    }

    /// The most that a run within the limits can still cost.
    pub fn price_ceiling(&self) -> u128 {
        let done_ms = self.resume.as_ref().map_or(0, |resume| resume.wall_ms);
        crate::price::price_ceiling(&self.limits, self.class, done_ms)
    }

    /// Checks every field against the protocol's bounds.
    ///
    /// # Errors
    /// [`SpecError::Invalid`] says in plain words what is out of bounds.
    pub fn validate(&self) -> Result<(), SpecError> {
        check_name(&self.name)?;
        self.program.validate()?;
        for blob in self.blobs() {
            blob.validate()?;
        }
        if self.blobs().map(|blob| blob.chunks.len()).sum::<usize>() > MAX_CHUNKS {
            return Err(invalid(format!(
                "program and inputs together are larger than the {} bytes allowed",
                MAX_CHUNKS as u64 * CHUNK_BYTES
            )));
        }
        check_input_names(self.inputs.iter().map(|input| input.name.as_str()))?;
        check_words(&self.args, &self.env)?;
        if self.privacy > 3 {
            return Err(invalid(format!("there is no privacy level {}", self.privacy)));
        }
        check_checkpoint_seconds(self.checkpoint_seconds)?;
        if let Some(resume) = &self.resume
            && (self.sealed || resume.wall_ms > u64::from(self.limits.seconds) * 1000)
        {
            return Err(invalid("the checkpoint does not fit the job".into()));
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

/// Checks a label for people.
///
/// # Errors
/// [`SpecError::Invalid`].
pub fn check_name(name: &str) -> Result<(), SpecError> {
    if name.len() > MAX_NAME_BYTES {
        return Err(invalid(format!("the job's name is longer than {MAX_NAME_BYTES} bytes")));
    }
    if name.chars().any(char::is_control) {
        return Err(invalid("the job's name has control characters".into()));
    }
    Ok(())
}

/// Checks arguments and environment variables.
///
/// # Errors
/// [`SpecError::Invalid`].
pub fn check_words(args: &[String], env: &[(String, String)]) -> Result<(), SpecError> {
    if args.len() > MAX_ARGS || args.iter().map(String::len).sum::<usize>() > MAX_ARGS_BYTES {
        return Err(invalid(format!(
            "at most {MAX_ARGS} arguments of {MAX_ARGS_BYTES} bytes together are allowed"
        )));
    }
    if args.iter().any(|arg| arg.contains('\0')) {
        return Err(invalid("an argument contains a zero byte".into()));
    }
    let bytes = env.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    if env.len() > MAX_ARGS || bytes > MAX_ARGS_BYTES {
        return Err(invalid(format!(
            "at most {MAX_ARGS} environment variables of {MAX_ARGS_BYTES} bytes together are allowed"
        )));
    }
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(invalid(format!("{name:?} cannot be an environment variable")));
        }
    }
    Ok(())
}

/// Checks the time between two checkpoints.
///
/// # Errors
/// [`SpecError::Invalid`].
pub fn check_checkpoint_seconds(seconds: u32) -> Result<(), SpecError> {
    if (MIN_CHECKPOINT_SECONDS..=MAX_SECONDS).contains(&seconds) {
        return Ok(());
    }
    Err(invalid(format!(
        "checkpoints must be {MIN_CHECKPOINT_SECONDS} to {MAX_SECONDS} s apart, not {seconds}"
    )))
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
