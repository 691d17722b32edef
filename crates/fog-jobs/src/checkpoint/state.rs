//! What a checkpoint holds besides pages.

use crate::worker::WasiState;
use serde::{Deserialize, Serialize};

/// Totals over all segments of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Fuel.
    pub fuel: u64,
    /// CPU time, ms.
    pub cpu_ms: u64,
    /// Running time, ms.
    pub wall_ms: u64,
    /// Most bytes of memory at one time.
    pub memory_peak: u64,
}

/// What is kept of standard error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Its end, without the line below.
    pub tail: Vec<u8>,
    /// The beginning of a line that may set the progress; none in the middle of a line that does not.
    pub line: Option<Vec<u8>>,
}

/// Everything but the pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// BLAKE3 of the module: a state fits one module only.
    #[serde(with = "serde_bytes")]
    pub module: [u8; 32],
    /// Counts up from 1 over all segments.
    pub number: u32,
    /// Totals so far.
    pub totals: Totals,
    /// Pages of 64 KiB of the memory.
    pub memory_pages: u64,
    /// Exported mutable globals: name and bits.
    pub globals: Vec<(String, u128)>,
    /// The call stack, as the module put it away.
    pub frames: Vec<u64>,
    /// Bytes of standard output so far.
    pub stdout: u64,
    /// What is kept of standard error.
    pub stderr: Said,
    /// Whether the program runs with a real clock.
    pub deterministic: bool,
    /// What the host knows of the program.
    pub(crate) wasi: WasiState,
}
