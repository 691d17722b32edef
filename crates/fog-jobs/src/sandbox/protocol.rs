//! The words between the node and its worker process: a length (u32, little-endian) and a postcard value, over the
//! child's standard input and output. The node treats whatever the child says as a stranger's word.

use crate::checkpoint::Totals;
use crate::run::RunError;
use crate::spec::Limits;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};

/// Most bytes of a frame: the arguments, the environment and the inputs' paths fit well.
pub(crate) const MAX_FRAME: usize = 1024 * 1024;

/// Node to worker process. The end of the stream means: the node is gone, stop.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// The first frame: what to run.
    Start(Box<Start>),
    /// Use this many thousandths of a core from now on; 0 pauses.
    Share(u32),
    /// Take a checkpoint and go on.
    Checkpoint,
    /// Take a checkpoint and end.
    Preempt,
    /// The last checkpoint's file was copied and may be written again.
    Taken,
}

/// What to run. All paths are opened before anything else happens.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// The module's file.
    pub(crate) module: String,
    /// BLAKE3 of the module.
    pub(crate) hash: [u8; 32],
    /// Native code of the module that this node has kept, checked by it.
    pub(crate) compiled: Option<String>,
    /// Where to put the native code if there is none; the file exists and is empty.
    pub(crate) keep: Option<String>,
    /// Standard input's file.
    pub(crate) stdin: Option<String>,
    /// Standard output's file; it exists and is empty.
    pub(crate) stdout: String,
    /// The archive's file of `/out`; it exists and is empty.
    pub(crate) files: String,
    /// The checkpoint's file; it exists and is empty.
    pub(crate) checkpoint: String,
    /// A checkpoint to go on from.
    pub(crate) resume: Option<String>,
    /// Inputs: the name below `/in`, and the file.
    pub(crate) inputs: Vec<(String, String)>,
    /// Program arguments.
    pub(crate) args: Vec<String>,
    /// Environment.
    pub(crate) env: Vec<(String, String)>,
    /// Limits.
    pub(crate) limits: Limits,
    /// Thousandths of a core.
    pub(crate) share: u32,
    /// No real clock, seeded chance, canonical NaNs.
    pub(crate) deterministic: bool,
    /// wasmi instead of wasmtime.
    pub(crate) interpreter: bool,
    /// The network is granted.
    pub(crate) network: bool,
    /// Take a checkpoint this often, ms of running time.
    pub(crate) checkpoint_every_ms: Option<u64>,
}

/// Worker process to node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromWorker {
    /// Locked down; strangers' code starts now. The text says which locks this system has.
    Locked(String),
    /// The native code is in its file.
    Compiled,
    /// The program's first instruction is next.
    Started,
    /// The program wrote this.
    Log { stdout: bool, bytes: Vec<u8> },
    /// Thousandths.
    Progress(u16),
    /// For whoever looks at the job.
    Note(String),
    /// The checkpoint's file is complete, until [`ToWorker::Taken`].
    Checkpoint { number: u32, totals: Totals, bytes: u64, changed: u64 },
    /// Ended.
    Done(Result<Finished, RunError>),
}

/// A program that came to its end. Totals are over all segments.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Finished {
    pub(crate) exit_code: i32,
    pub(crate) stderr_tail: String,
    pub(crate) totals: Totals,
    /// Whether anything was put into the archive.
    pub(crate) files: bool,
}

/// A frame's bytes.
pub(crate) fn frame<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let body = postcard::to_allocvec(value).map_err(io::Error::other)?;
    if body.len() > MAX_FRAME {
        return Err(io::Error::other("the frame is too long"));
    }
    let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// The body's length, checked before anything is allocated.
pub(crate) fn body_len(header: [u8; 4]) -> io::Result<usize> {
    match u32::from_le_bytes(header) as usize {
        len if len <= MAX_FRAME => Ok(len),
        len => Err(io::Error::other(format!("a frame of {len} bytes is too long"))),
    }
}

/// A frame's value.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    postcard::from_bytes(body).map_err(io::Error::other)
}

/// Reads a frame, blocking.
pub(crate) fn read_frame<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut header = [0; 4];
    from.read_exact(&mut header)?;
    let mut body = vec![0; body_len(header)?];
    from.read_exact(&mut body)?;
    parse(&body)
}

/// Writes a frame, blocking.
pub(crate) fn write_frame<T: Serialize>(to: &mut impl Write, value: &T) -> io::Result<()> {
    to.write_all(&frame(value)?)?;
    to.flush()
}
