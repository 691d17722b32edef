//! Jobs, sent and taken.

use crate::{Amount, Hash, PeerId, Seconds};
use serde::{Deserialize, Serialize};

/// Limits of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLimits {
    /// Wall time, seconds.
    pub seconds: u32,
    /// Memory, MiB.
    pub memory_mib: u32,
    /// Output, MiB.
    pub output_mib: u32,
}

impl Default for JobLimits {
    fn default() -> Self {
        Self { seconds: 300, memory_mib: 512, output_mib: 64 }
    }
}

/// A job, sent or taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobView {
    /// Its id.
    pub id: String,
    /// Its label.
    pub name: String,
    /// True if I sent it; false if it runs here for somebody.
    pub mine: bool,
    /// The other side: who runs it, or whose it is.
    pub peer: Option<PeerId>,
    /// Their name.
    pub peer_name: Option<String>,
    /// How far it is.
    pub state: JobState,
    /// What happens or what went wrong, in plain words.
    pub note: String,
    /// Bytes of module and input.
    pub input_bytes: u64,
    /// Bytes of data moved so far in the present direction.
    pub moved_bytes: u64,
    /// Bytes to move in the present direction.
    pub total_bytes: u64,
    /// When it was sent.
    pub created: Seconds,
    /// When it started to run.
    pub started: Option<Seconds>,
    /// When it ended.
    pub finished: Option<Seconds>,
    /// Fuel used: the same number on every machine.
    pub fuel: Option<u64>,
    /// CPU time used, seconds.
    pub cpu_seconds: Option<f64>,
    /// Held in escrow.
    pub escrow: Amount,
    /// Paid.
    pub price: Option<Amount>,
    /// The output, once it is here; download it by this hash.
    pub output: Option<Hash>,
    /// Its size in bytes.
    pub output_bytes: Option<u64>,
    /// The first 4 KiB of the output, where it is text.
    pub output_preview: Option<String>,
    /// The limits.
    pub limits: JobLimits,
}

/// The states of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Offered; nobody has taken it yet.
    Pending,
    /// Taken; data moves or the device waits.
    Scheduled,
    /// Runs.
    Running,
    /// Done and paid.
    Completed,
    /// Ended without a result; not paid.
    Failed,
    /// Stopped by its sender.
    Cancelled,
}

impl JobState {
    /// True for the states that a job does not leave.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}
