//! Jobs, sent and taken.

mod order;

pub use order::*;

use crate::{
    Amount, Hash, PeerId, Seconds,
    view::{JobSettings, PrivacyLevel},
};
use serde::{Deserialize, Serialize};

/// A job, sent or taken. Fields that a caller of an earlier version does not know may be left out in JSON.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct JobView {
    /// Its id.
    pub id: String,
    /// Its label.
    pub name: String,
    /// True if I sent it; false if it runs here for somebody.
    pub mine: bool,
    /// The other side: who runs it (or ran it last), or whose it is. None: this device, or nobody yet.
    pub peer: Option<PeerId>,
    /// Their name.
    pub peer_name: Option<String>,
    /// How far it is.
    pub state: JobState,
    /// What happens or what went wrong, in plain words.
    pub note: String,
    /// How much is done, 0 to 1, where the program says so or an array is partly done.
    #[serde(default)]
    pub progress: Option<f64>,
    /// Seconds until it is probably done.
    #[serde(default)]
    pub eta_seconds: Option<f64>,
    /// `wasm` or `container`.
    #[serde(default)]
    pub runtime: String,
    /// What runs.
    #[serde(default)]
    pub program: Option<JobProgram>,
    /// Program arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Who may run it; none for a job that runs here for somebody.
    #[serde(default)]
    pub to: Option<JobTarget>,
    /// How much it matters.
    #[serde(default)]
    pub class: SlaClass,
    /// The least level at which it travels; none is the contact's.
    #[serde(default)]
    pub privacy: Option<PrivacyLevel>,
    /// The time by which it must be done.
    #[serde(default)]
    pub deadline: Option<Seconds>,
    /// It asks for the network.
    #[serde(default)]
    pub network: bool,
    /// Ids of jobs that must be completed first.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// For an array: what its elements are at.
    #[serde(default)]
    pub array: Option<ArraySummary>,
    /// For an element: its array's id.
    #[serde(default)]
    pub parent: Option<String>,
    /// For an element: its index.
    #[serde(default)]
    pub index: Option<u32>,
    /// Bytes of program and inputs.
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
    /// Fuel used: the same number on every machine with the same engine.
    pub fuel: Option<u64>,
    /// CPU time used, seconds.
    pub cpu_seconds: Option<f64>,
    /// Running time without imposed pauses, seconds.
    #[serde(default)]
    pub wall_seconds: Option<f64>,
    /// Most bytes of memory at one time.
    #[serde(default)]
    pub memory_peak: Option<u64>,
    /// The program's exit code.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// Held in escrow.
    pub escrow: Amount,
    /// Paid so far, for all copies and attempts; none while nothing was paid.
    pub price: Option<Amount>,
    /// The runs of it, in the order of their start; for a job that runs here for somebody, none.
    #[serde(default)]
    pub attempts: Vec<JobAttempt>,
    /// The last checkpoint that is here, to go on from.
    #[serde(default)]
    pub checkpoint: Option<JobCheckpoint>,
    /// How the result was checked, in plain words, where it was.
    #[serde(default)]
    pub checked: Option<String>,
    /// The standard output, once it is here; download it by this hash.
    pub output: Option<Hash>,
    /// Its size in bytes.
    pub output_bytes: Option<u64>,
    /// The first 4 KiB of the output, where it is text.
    pub output_preview: Option<String>,
    /// The archive (tar) of the output files, once it is here and if there are any. Names: [`crate::GetJobOutputs`].
    #[serde(default)]
    pub files: Option<Hash>,
    /// Its size in bytes.
    #[serde(default)]
    pub files_bytes: Option<u64>,
    /// Bytes of log that are here.
    #[serde(default)]
    pub log_bytes: u64,
    /// The last 2 KiB of the log.
    #[serde(default)]
    pub log_tail: String,
    /// The limits.
    pub limits: JobLimits,
}

/// One run of a job on one device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobAttempt {
    /// Its id, by which the other device knows it.
    pub id: String,
    /// Who runs it; none is this device.
    pub peer: Option<PeerId>,
    /// Their name.
    pub peer_name: Option<String>,
    /// How far it is.
    pub state: JobState,
    /// What happens or what went wrong, in plain words.
    pub note: String,
    /// It goes on from a checkpoint with this number.
    pub resumed_from: Option<u32>,
    /// The last checkpoint that came from it.
    pub checkpoint: Option<u32>,
    /// When it was sent.
    pub created: Seconds,
    /// When it started to run.
    pub started: Option<Seconds>,
    /// When it ended.
    pub finished: Option<Seconds>,
    /// What the device's signed receipt says, once it is here.
    pub receipt: Option<JobReceipt>,
    /// Paid.
    pub paid: Option<Amount>,
}

/// A signed statement of what ran.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobReceipt {
    /// Fuel used by this run.
    pub fuel: u64,
    /// CPU time, seconds.
    pub cpu_seconds: f64,
    /// Running time without imposed pauses, seconds.
    pub wall_seconds: f64,
    /// Most bytes of memory at one time.
    pub memory_peak: u64,
    /// The program's exit code.
    pub exit_code: i32,
    /// The hash of the program.
    pub program: Hash,
    /// The hash of the inputs, if there were any.
    pub inputs: Option<Hash>,
    /// The hash of the outputs.
    pub outputs: Hash,
    /// The price.
    pub price: Amount,
}

/// A checkpoint that is here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobCheckpoint {
    /// Its number, from 1.
    pub number: u32,
    /// Its size.
    pub bytes: u64,
    /// Running time until it was taken, seconds.
    pub wall_seconds: f64,
}

/// How many elements of an array are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArraySummary {
    /// The first index.
    pub first: u32,
    /// The last index.
    pub last: u32,
    /// Not placed yet.
    pub pending: u32,
    /// Taken by a device, not yet running.
    pub scheduled: u32,
    /// Running, or paused at a checkpoint.
    pub running: u32,
    /// Done.
    pub completed: u32,
    /// Failed.
    pub failed: u32,
    /// Cancelled.
    pub cancelled: u32,
}

/// The states of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for others, for a device, or for an answer.
    #[default]
    Pending,
    /// Taken; data moves or the device waits.
    Scheduled,
    /// Runs.
    Running,
    /// Paused at a checkpoint, because the device's owner is back or the device is gone; goes on from there.
    Checkpointed,
    /// Done, and paid where another device did it.
    Completed,
    /// Ended without a result; not paid.
    Failed,
    /// Stopped by its sender.
    Cancelled,
    /// Only of an attempt: it gave the job back with a checkpoint, and another goes on from there.
    Preempted,
}

impl JobState {
    /// True for the states that a job does not leave by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Preempted)
    }
}

/// A part of a job's log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobLog {
    /// Where the text begins, in bytes.
    pub offset: u64,
    /// Ask from here for what follows.
    pub next: u64,
    /// The text; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// True if the job has ended and this is the end of its log.
    pub end: bool,
}

/// Something that a job wrote.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobLogPart {
    /// The job.
    pub id: String,
    /// Where the text begins, in bytes.
    pub offset: u64,
    /// Where the next part begins.
    pub next: u64,
    /// The text; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// A job's outputs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobOutputs {
    /// The standard output.
    pub stdout: Option<OutputFile>,
    /// The archive (tar) of the output files.
    pub archive: Option<OutputFile>,
    /// The files in the archive. At most 10,000 are listed.
    pub files: Vec<ArchivedFile>,
}

/// A file that can be downloaded by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Its hash.
    pub hash: Hash,
    /// Its size.
    pub bytes: u64,
}

/// A file inside an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedFile {
    /// Its path.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Where its content begins in the archive, so that a page can show one file without reading all.
    pub offset: u64,
}

/// What runs jobs on this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimesView {
    /// What the owner allows.
    pub allowed: JobSettings,
    /// The container engine in use: its kind, version and socket.
    pub engine: Option<String>,
    /// An engine is being looked for.
    pub looking: bool,
    /// Why there is none in use, in plain words.
    pub problem: Option<String>,
}

/// A possible worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkerView {
    /// Who; none is this device.
    pub peer: Option<PeerId>,
    /// Their name.
    pub name: String,
    /// They were heard within the last five minutes.
    pub online: bool,
    /// What they last said they offer; none: they have not said.
    pub offer: Option<WorkerOffer>,
    /// When they said it.
    pub offered: Option<Seconds>,
    /// How well they did.
    pub reputation: ReputationView,
}

/// What a device says that it offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerOffer {
    /// It takes jobs from me.
    pub takes: bool,
    /// It may work now.
    pub allowed: bool,
    /// Why not, or how, in plain words.
    pub reason: String,
    /// The runtimes it has: `wasm`, `container`.
    pub runtimes: Vec<String>,
    /// Jobs that run side by side.
    pub slots: u32,
    /// Jobs that wait there already.
    pub waiting: u32,
    /// It gives jobs the network when they ask for it.
    pub network: bool,
    /// The largest limits that it takes.
    pub limits: JobLimits,
}

/// How well a device did, as this node saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReputationView {
    /// The mean of the Beta distribution, 0 to 1; 0.5 is unknown.
    pub score: f64,
    /// Events that it rests on.
    pub samples: u32,
    /// `none`, `bronze`, `silver`, `gold`, `platinum` or `diamond`.
    pub tier: String,
    /// Checked results in a row that were right.
    pub valid_in_row: u32,
    /// Its results are taken without a check, but for samples.
    pub trusted: bool,
}
