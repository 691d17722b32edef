//! Papers of the first version, as they are in databases. They are shown, and not continued.

use super::{
    BlobRef, Class, JobId, JobSpec, Limits, MAX_SPEC_BYTES, Outputs, Person, Program, SignedSpec, SpecError,
    decode,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(crate) struct OldLimits {
    pub(crate) seconds: u32,
    pub(crate) memory_bytes: u64,
    pub(crate) output_bytes: u64,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(crate) struct OldSpec {
    pub(crate) id: JobId,
    pub(crate) submitter: Person,
    pub(crate) name: String,
    pub(crate) module: BlobRef,
    pub(crate) input: Option<BlobRef>,
    pub(crate) args: Vec<String>,
    pub(crate) limits: OldLimits,
    pub(crate) price_limit: u128,
    pub(crate) created_ms: u64,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(crate) struct OldSigned {
    pub(crate) spec: OldSpec,
    #[serde(with = "serde_bytes")]
    pub(crate) signature: [u8; 64],
}

/// A specification of the first version. Its signature was checked when it came, and does not fit the present form.
pub(crate) fn spec(bytes: &[u8]) -> Result<SignedSpec, SpecError> {
    let OldSigned { spec: old, signature } = decode("job", bytes, MAX_SPEC_BYTES)?;
    let limits = Limits {
        seconds: old.limits.seconds,
        memory_bytes: old.limits.memory_bytes,
        output_bytes: old.limits.output_bytes,
        ..Limits::default()
    };
    let spec = JobSpec {
        id: old.id,
        submitter: old.submitter,
        name: old.name,
        program: Program::Wasm { module: old.module, deterministic: false },
        stdin: old.input,
        inputs: Vec::new(),
        args: old.args,
        env: Vec::new(),
        limits,
        class: Class::B,
        privacy: 0,
        network: false,
        deadline_ms: None,
        checkpoint_seconds: 60,
        resume: None,
        sealed: false,
        price_limit: old.price_limit,
        created_ms: old.created_ms,
    };
    Ok(SignedSpec { spec, signature })
}

/// What a job of the first version gave: standard output.
pub(crate) fn outputs(bytes: &[u8], max: usize) -> Result<Outputs, SpecError> {
    Ok(Outputs { stdout: decode("output", bytes, max)?, files: None, checkpoint: None })
}
