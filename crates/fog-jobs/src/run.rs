//! What a run is, whichever runtime carries it out: what goes in, what it says while it lasts, what comes out.
//!
//! ```text
//!   RunRequest ──▶ runtime (WASM: [`crate::sandbox`]; containers) ──▶ Ok(RunOutcome) | Err(RunError)
//!                    ▲   │
//!        RunHandle ──┘   └──▶ Events: Log, Progress, Checkpoint, Note
//! ```
//!
//! A program sees its arguments, its environment, standard input, `/in` (the inputs, read-only), `/out` (one folder for
//! what it makes), standard output and standard error. What lands on standard output and in `/out` counts together
//! against [`Limits::output_bytes`]. A line `fog:progress 0.37` on standard error is not logged but sets the progress.
//!
//! A run may be cut into *segments*: it is preempted with a checkpoint, and goes on from that file elsewhere. All
//! totals (fuel, time, memory) are over all segments.

mod events;
mod handle;

pub use events::{Events, RunEvent, StreamKind};

pub(crate) use handle::Control;
pub use handle::RunHandle;

use crate::spec::Limits;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// What to run, on what, within which limits.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRequest {
    /// The program.
    pub program: Program,
    /// Program arguments, without the program's name.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Standard input's file; none is an empty input.
    pub stdin: Option<PathBuf>,
    /// Files below `/in`, read-only.
    pub inputs: Vec<InputFile>,
    /// Limits.
    pub limits: Limits,
    /// May it use the network? Only if the submitter asked for it *and* this device's owner allows it.
    pub network: bool,
    /// A folder for this run alone; made if it is not there. Output and checkpoints are written here.
    pub scratch: PathBuf,
    /// A checkpoint's file to go on from, of the same program. Treated as a stranger's bytes.
    pub resume: Option<PathBuf>,
    /// Take a checkpoint this often, in running time. None: only when asked to.
    pub checkpoint_every: Option<Duration>,
}

impl RunRequest {
    /// A program with nothing but limits and a scratch folder.
    pub fn new(program: Program, limits: Limits, scratch: impl Into<PathBuf>) -> Self {
        Self {
            program,
            args: Vec::new(),
            env: Vec::new(),
            stdin: None,
            inputs: Vec::new(),
            limits,
            network: false,
            scratch: scratch.into(),
            resume: None,
            checkpoint_every: None,
        }
    }
}

/// A program, by runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A WASM module or component.
    Wasm {
        /// Its file.
        module: PathBuf,
        /// No real clock, seeded random numbers: replicas agree bit for bit.
        deterministic: bool,
    },
    /// A container.
    Container {
        /// What it is made of.
        image: Image,
        /// Replaces the image's entry point, if not empty.
        entrypoint: Vec<String>,
    },
}

impl Program {
    /// A WASM program with a real clock and real chance.
    pub fn wasm(module: impl Into<PathBuf>) -> Self {
        Self::Wasm { module: module.into(), deterministic: false }
    }
}

/// A container's image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `repository@sha256:...` or the id of an image that the engine has, `sha256:...`: by digest, so that what is run is
    /// what was named. With an archive any name will do.
    pub reference: String,
    /// The image itself, as `docker save` writes it, so that no registry is needed.
    pub archive: Option<PathBuf>,
}

/// A file below `/in`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// Its path below `/in`: relative, parts joined by `/`, no `.` or `..`.
    pub name: String,
    /// Where it is on this device.
    pub file: PathBuf,
}

/// A program that came to its end, with whatever exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOutcome {
    /// The exit code; 0 is success.
    pub exit_code: i32,
    /// What it wrote to standard output.
    pub stdout: PathBuf,
    /// A tar archive of `/out`: sorted, without times or owners, so that equal folders are equal bytes. None if `/out`
    /// is empty.
    pub files: Option<PathBuf>,
    /// The end of what it wrote to standard error.
    pub stderr_tail: String,
    /// Fuel used: the same number on every machine with the same engine; 0 where the runtime counts none.
    pub fuel: u64,
    /// CPU time, milliseconds, at most `wall_ms` for each core.
    pub cpu_ms: u64,
    /// Running time without imposed pauses, milliseconds, at most the limit.
    pub wall_ms: u64,
    /// Most bytes of memory at one time.
    pub memory_peak: u64,
}

/// A state of a run that another device can go on from. Totals are over all segments so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The file, complete in itself. It stays until the second checkpoint after it, or the end of the run's scratch
    /// folder: copy it when it is reported.
    pub file: PathBuf,
    /// Fuel used.
    pub fuel: u64,
    /// CPU time, milliseconds.
    pub cpu_ms: u64,
    /// Running time, milliseconds.
    pub wall_ms: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Of those, bytes that differ from the checkpoint before. What is the same keeps its place in the file, so chunks
    /// that the receiver has already need not be sent again.
    pub changed: u64,
    /// Counts up from 1 over all segments.
    pub number: u32,
}

/// Why a run has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum RunError {
    /// The file is no WASM module that can be run.
    #[error("this is not a WASM program that can run here: {0}")]
    NotWasm(String),
    /// The program did something that WASM forbids.
    #[error("the program crashed: {0}")]
    Trap(String),
    /// The time limit was reached.
    #[error("the program did not end within its {0} s")]
    TimeLimit(u32),
    /// The memory limit was reached.
    #[error("the program asked for more memory than its {0} bytes")]
    MemoryLimit(u64),
    /// The system ended the program because its memory was used up.
    #[error("the program used up its {0} bytes of memory and was ended")]
    OutOfMemory(u64),
    /// The output limit was reached.
    #[error("the program wrote more than its {0} bytes of output")]
    OutputLimit(u64),
    /// The program asked for something that jobs do not get.
    #[error("the program asked for something that jobs are not given: {0}")]
    Denied(String),
    /// This device has no runtime for such a program, or the runtime cannot do what was asked.
    #[error("this device cannot run it: {0}")]
    Unsupported(String),
    /// The image cannot be had.
    #[error("the container image cannot be used: {0}")]
    Image(String),
    /// The checkpoint is damaged, of another program, or of a version that this device does not know.
    #[error("the checkpoint cannot be used: {0}")]
    BadCheckpoint(String),
    /// Stopped when asked to, with a state to go on from; without one if the program cannot move or had not begun.
    #[error("the run was stopped to go on later or elsewhere")]
    Preempted {
        /// The state to go on from.
        checkpoint: Option<Checkpoint>,
    },
    /// The run was cancelled.
    #[error("the run was cancelled")]
    Cancelled,
    /// The worker process ended without a word.
    #[error("the worker process died: {0}")]
    WorkerDied(String),
    /// The device could not do its part: a full disk, a missing file.
    #[error("this device could not run the job: {0}")]
    Device(String),
}
