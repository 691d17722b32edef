//! What a job may use, and how much it matters.

use super::{MAX_BLOB_BYTES, SpecError, invalid};
use serde::{Deserialize, Serialize};

/// Longest time limit, seconds: a day.
pub const MAX_SECONDS: u32 = 24 * 3600;
/// Largest memory limit, bytes: the baseline's 16 GiB.
pub const MAX_MEMORY_BYTES: u64 = 16 * 1024 * 1024 * 1024;
/// Largest limit of scratch space, bytes.
const MAX_STORAGE_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// Most processes and threads.
const MAX_PIDS: u32 = 4096;

/// What a job may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Running time in seconds: wall time without the pauses that the worker's owner imposes, over all devices that a job
    /// moves through.
    pub seconds: u32,
    /// Memory in bytes: of a WASM program all linear memories together.
    pub memory_bytes: u64,
    /// Bytes of standard output and output files together.
    pub output_bytes: u64,
    /// Thousandths of a core.
    pub millicores: u32,
    /// Scratch space in bytes.
    pub storage_bytes: u64,
    /// Processes and threads of a container.
    pub pids: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            seconds: 300,
            memory_bytes: 512 * 1024 * 1024,
            output_bytes: 64 * 1024 * 1024,
            millicores: 1000,
            storage_bytes: 1024 * 1024 * 1024,
            pids: 64,
        }
    }
}

impl Limits {
    /// Checks the limits against the protocol's bounds.
    ///
    /// # Errors
    /// [`SpecError::Invalid`] names the limit.
    pub fn validate(&self) -> Result<(), SpecError> {
        let within = |ok: bool, what: &str, value: u64| {
            if ok { Ok(()) } else { Err(invalid(format!("{what}, not {value}"))) }
        };
        let seconds = format!("the time limit must be 1 to {MAX_SECONDS} s");
        within((1..=MAX_SECONDS).contains(&self.seconds), &seconds, self.seconds.into())?;
        let memory = 64 * 1024..=MAX_MEMORY_BYTES;
        within(
            memory.contains(&self.memory_bytes),
            "the memory limit must be 64 KiB to 16 GiB in bytes",
            self.memory_bytes,
        )?;
        let output = format!("the output limit must be at most {MAX_BLOB_BYTES} bytes");
        within(self.output_bytes <= MAX_BLOB_BYTES, &output, self.output_bytes)?;
        within(
            (500..=16_000).contains(&self.millicores),
            "the CPU limit must be 500 to 16000 thousandths of a core",
            self.millicores.into(),
        )?;
        let storage = format!("the limit of scratch space must be at most {MAX_STORAGE_BYTES} bytes");
        within(self.storage_bytes <= MAX_STORAGE_BYTES, &storage, self.storage_bytes)?;
        let pids = format!("the limit of processes must be 1 to {MAX_PIDS}");
        within((1..=MAX_PIDS).contains(&self.pids), &pids, self.pids.into())
    }

    /// The most CPU time within this much running time, both in milliseconds. Less than a whole core is a share that the
    /// system keeps on average only, so it is not counted on.
    pub fn cpu_ms(&self, wall_ms: u64) -> u64 {
        let wide = u128::from(wall_ms) * u128::from(self.millicores.max(1000)) / 1000;
        u64::try_from(wide).unwrap_or(u64::MAX)
    }

    /// The least that covers both.
    #[must_use]
    pub fn min(&self, other: &Self) -> Self {
        Self {
            seconds: self.seconds.min(other.seconds),
            memory_bytes: self.memory_bytes.min(other.memory_bytes),
            output_bytes: self.output_bytes.min(other.output_bytes),
            millicores: self.millicores.min(other.millicores),
            storage_bytes: self.storage_bytes.min(other.storage_bytes),
            pids: self.pids.min(other.pids),
        }
    }
}

/// How much a job matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// One copy; the first choice.
    #[default]
    B,
    /// One runs and another stands by.
    A,
    /// Three run and must agree.
    S,
}

impl Class {
    /// The price's factor in halves: 2, 3 or 4.
    pub fn half_prices(self) -> u128 {
        match self {
            Self::B => 2,
            Self::A => 3,
            Self::S => 4,
        }
    }
}
