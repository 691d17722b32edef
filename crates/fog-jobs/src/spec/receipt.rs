//! The papers at a job's end.

use super::codec::{decode, encode, sign, verify};
use super::{Hash, JobId, JobSpec, Person, SpecError, invalid};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

const RECEIPT_DOMAIN: &[u8] = b"fog-jobs/receipt/1\0";
const SETTLEMENT_DOMAIN: &[u8] = b"fog-jobs/settlement/1\0";

/// What a run used; of a job that goes on from a checkpoint, what this device's part used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time, milliseconds.
    pub cpu_ms: u64,
    /// Wall time without imposed pauses, milliseconds.
    pub wall_ms: u64,
    /// Most bytes of memory at one time.
    pub memory_peak: u64,
}

/// What a worker states about a finished job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The job.
    pub job: JobId,
    /// Who ran it.
    pub worker: Person,
    /// Who pays.
    pub submitter: Person,
    /// The program's hash ([`super::Program::hash`]).
    pub module: Hash,
    /// The inputs' hash ([`JobSpec::inputs_hash`]).
    pub input: Option<Hash>,
    /// The outputs' hash ([`super::Outputs::hash`]).
    pub output: Hash,
    /// Bytes of standard output and files.
    pub output_bytes: u64,
    /// The program's exit code.
    pub exit_code: i32,
    /// Fuel used by this part: the same number on every machine with the same engine. Told, but not paid for or compared.
    pub fuel: u64,
    /// Time and memory used.
    pub usage: Usage,
    /// When it started, milliseconds since 1970.
    pub started_ms: u64,
    /// When it ended, milliseconds since 1970.
    pub finished_ms: u64,
    /// The price in 10^-18 FOG: exactly [`crate::price::price_for`] of usage and class.
    pub price: u128,
}

impl Receipt {
    /// Signs the receipt.
    ///
    /// # Errors
    /// [`SpecError::Invalid`] if `key` is not the worker's.
    pub fn sign(self, key: &SigningKey) -> Result<SignedReceipt, SpecError> {
        if key.verifying_key().as_bytes() != &self.worker {
            return Err(invalid("the key is not the worker's".into()));
        }
        let signature = sign(key, RECEIPT_DOMAIN, &self)?;
        Ok(SignedReceipt { receipt: self, signature })
    }
}

/// A receipt with its worker's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedReceipt {
    /// The content.
    pub receipt: Receipt,
    /// Ed25519 over the domain prefix and the content.
    #[serde(with = "serde_bytes")]
    pub signature: [u8; 64],
}

/// Most bytes of an encoded receipt or settlement; they have only fixed-size fields.
const MAX_RECEIPT_BYTES: usize = 1024;

impl SignedReceipt {
    /// Checks the worker's signature.
    ///
    /// # Errors
    /// [`SpecError::Signature`].
    pub fn verify(&self) -> Result<(), SpecError> {
        verify("receipt", &self.receipt.worker, RECEIPT_DOMAIN, &self.receipt, &self.signature)
    }

    /// Checks that this receipt is an honest answer to `spec`: the worker's signature, the same job, persons, module and
    /// input, usage within the limits and consistent in itself, and the one price that follows from it.
    ///
    /// # Errors
    /// [`SpecError`] says in plain words what does not fit.
    pub fn verify_for(&self, spec: &JobSpec, worker: &Person) -> Result<(), SpecError> {
        self.verify()?;
        let r = &self.receipt;
        let fits = |ok: bool, what: &str| {
            if ok { Ok(()) } else { Err(invalid(format!("the receipt does not fit the job: {what}"))) }
        };
        fits(r.job == spec.id, "another job's id")?;
        fits(&r.worker == worker, "another worker")?;
        fits(r.submitter == spec.submitter, "another submitter")?;
        fits(r.module == spec.program.hash(), "another program")?;
        fits(r.input == spec.inputs_hash(), "another input")?;
        fits(r.output_bytes <= spec.limits.output_bytes, "more output than allowed")?;
        let done_ms = spec.resume.as_ref().map_or(0, |resume| resume.wall_ms);
        let limit_ms = (u64::from(spec.limits.seconds) * 1000).saturating_sub(done_ms);
        fits(r.usage.wall_ms <= limit_ms, "more time than allowed")?;
        fits(r.usage.cpu_ms <= spec.limits.cpu_ms(r.usage.wall_ms), "more CPU time than wall time")?;
        fits(r.usage.memory_peak <= spec.limits.memory_bytes, "more memory than allowed")?;
        fits(r.started_ms <= r.finished_ms, "it ends before it starts")?;
        fits(r.usage.wall_ms <= r.finished_ms - r.started_ms, "more wall time than between start and end")?;
        fits(r.price == crate::price::price_for(&r.usage, spec.class), "the price is not that of the usage")?;
        fits(r.price <= spec.price_limit, "the price is above the limit")
    }

    /// Countersigns: the order to pay.
    ///
    /// # Errors
    /// [`SpecError::Invalid`] if `key` is not the submitter's.
    pub fn countersign(self, key: &SigningKey) -> Result<Settlement, SpecError> {
        if key.verifying_key().as_bytes() != &self.receipt.submitter {
            return Err(invalid("the key is not the submitter's".into()));
        }
        let submitter_signature = sign(key, SETTLEMENT_DOMAIN, &self)?;
        Ok(Settlement { receipt: self, submitter_signature })
    }
}

/// A receipt that both sides signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// The worker's signed receipt.
    pub receipt: SignedReceipt,
    /// The submitter's Ed25519 over another domain prefix and the signed receipt.
    #[serde(with = "serde_bytes")]
    pub submitter_signature: [u8; 64],
}

impl Settlement {
    /// Checks both signatures.
    ///
    /// # Errors
    /// [`SpecError::Signature`] says whose is wrong.
    pub fn verify(&self) -> Result<(), SpecError> {
        self.receipt.verify()?;
        let submitter = &self.receipt.receipt.submitter;
        verify("settlement", submitter, SETTLEMENT_DOMAIN, &self.receipt, &self.submitter_signature)
    }

    /// The bytes on disk and on the wire.
    ///
    /// # Errors
    /// [`SpecError::Malformed`] if it cannot be written, which no value of this type causes.
    pub fn encode(&self) -> Result<Vec<u8>, SpecError> {
        encode("settlement", self, MAX_RECEIPT_BYTES)
    }

    /// Reads [`encode`](Self::encode)'s bytes. The signatures are not yet checked.
    ///
    /// # Errors
    /// [`SpecError`] if the bytes are too long, cut off or followed by others.
    pub fn decode(bytes: &[u8]) -> Result<Self, SpecError> {
        decode("settlement", bytes, MAX_RECEIPT_BYTES)
    }
}
