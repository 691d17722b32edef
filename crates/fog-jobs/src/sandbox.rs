//! Runs a WASM program in a child process and watches it. This is the node's side; [`crate::worker`] is the child's.
//!
//! The child gets an empty environment, a pipe in and a pipe out, and no other open file. It opens the files of the job,
//! locks itself down (see [`crate::worker`]), and only then looks at the module. It leads its own process group and dies
//! with the node: the system kills it, and it also ends when its input pipe closes. It serves one job; the next one's
//! process is made ready meanwhile ([`pool`]). Native code is kept ([`cache`]) in files that no worker can write.
//!
//! **Time.** `limits.seconds` bounds the running time without the pauses that the owner imposes: a job that is given
//! a quarter of a core for its device's heat has four times the wall time. The child keeps the limit itself; should it
//! hang, the node kills it when its share of time, integrated, has exceeded the limit by [`GRACE`].
//!
//! **Checkpoints.** The child writes each into the same file, changed pages only; the node copies it, so that what is handed
//! on can neither change nor be half-written, and tells the child that it may go on to the next.

mod cache;
mod caps;
mod listen;
mod outcome;
mod pool;
pub(crate) mod protocol;
mod spawn;

use crate::run::{Events, Program, RunError, RunHandle, RunOutcome, RunRequest};
use crate::spec::Hash;
use cache::Cache;
use listen::{Ended, Listener};
use pool::Pool;
use protocol::{Start, ToWorker};
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Child;

/// How long past its limit a child may live before it is killed.
pub const GRACE: Duration = Duration::from_secs(10);
/// How long a program may take to come to a point where it can be put away.
pub const PREEMPT_GRACE: Duration = Duration::from_secs(10);

/// Bytes kept of what a program, or a dying child, wrote to standard error.
pub(crate) const STDERR_TAIL: usize = 8 * 1024;
/// Most inputs of a run.
const MAX_INPUTS: usize = 1024;

/// Which engine runs WASM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// wasmtime: compiles to native code.
    #[default]
    Jit,
    /// wasmi: interprets, where code made at run time is forbidden. Runs core modules only.
    Interpreter,
}

/// Starts worker processes. Clones share what is kept ready.
#[derive(Debug, Clone)]
pub struct Sandbox {
    pool: Pool,
    cache: Option<Cache>,
    engine: EngineKind,
}

impl Sandbox {
    /// `worker_command` is a program and its arguments which calls [`crate::worker::main`], for instance
    /// `["/usr/bin/fog", "worker"]`.
    pub fn new(worker_command: Vec<OsString>) -> Self {
        let engine = if cfg!(target_os = "ios") { EngineKind::Interpreter } else { EngineKind::Jit };
        Self { pool: Pool::new(worker_command.into()), cache: None, engine }
    }

    /// Keeps native code in this folder, which is made readable for its owner alone.
    ///
    /// # Errors
    /// The folder or its key cannot be made or read.
    pub fn with_cache(mut self, folder: impl Into<PathBuf>) -> io::Result<Self> {
        self.cache = Some(Cache::open(folder.into())?);
        Ok(self)
    }

    /// Runs programs with this engine.
    #[must_use]
    pub fn with_engine(mut self, engine: EngineKind) -> Self {
        self.engine = engine;
        self
    }

    /// Makes a worker process ready, so that the next job starts at once. It is let go after a minute without a job.
    pub async fn warm(&self) {
        self.pool.warm().await;
    }

    /// Runs a program to its end. Dropping the future kills the child.
    ///
    /// # Errors
    /// [`RunError`] says in plain words why there is no outcome.
    pub async fn run(
        &self,
        request: RunRequest,
        handle: &RunHandle,
        events: Events,
    ) -> Result<RunOutcome, RunError> {
        let mut control = handle.subscribe();
        let now = *control.borrow_and_update();
        if now.cancelled {
            return Err(RunError::Cancelled);
        }
        if now.preempt {
            return Err(RunError::Preempted { checkpoint: None });
        }
        let limits = request.limits;
        let paths = Paths::new(&request.scratch);
        let cache = self.cache.clone().filter(|_| self.engine == EngineKind::Jit);
        let (start, paths) = {
            let interpreter = self.engine == EngineKind::Interpreter;
            let share = now.share;
            // Files are made and hashed, perhaps large ones.
            let made = tokio::task::spawn_blocking(move || {
                let start = prepare(&request, &paths, cache.as_ref(), interpreter, share)?;
                Ok::<_, RunError>((start, paths))
            });
            made.await.map_err(|e| RunError::Device(e.to_string()))??
        };

        let mut child = self
            .pool
            .take()
            .await
            .map_err(|e| RunError::Device(format!("the worker process cannot be started: {e}")))?;
        let group = Group(child.id());
        // `/out` lies in the worker's memory, and is copied once for a checkpoint.
        let held = limits.memory_bytes.saturating_add(limits.output_bytes.saturating_mul(2));
        // A paused program that is to be put away must run on for a moment.
        let _confined = caps::confine(&child, held, handle.subscribe(), |control| {
            if control.preempt { 1000 } else { control.share }
        });
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(RunError::Device("the worker process has no pipes".into()));
        };
        let stderr = tokio::spawn(tail(stderr));
        let mut listener = Listener {
            limits,
            paths: &paths,
            events,
            cache: self.cache.clone().map(|cache| (cache, cached(&start.hash, start.deterministic))),
            pool: self.pool.clone(),
            last: None,
            number: None,
            copies: Vec::new(),
        };
        let start = ToWorker::Start(Box::new(start));
        let ended = listener.listen(start, stdout, stdin, &mut control, now).await;
        let last = listener.last.take();
        let finished = match ended {
            Ended::Done(result) => {
                let _ = settle(&mut child, &group).await;
                result
            }
            Ended::Killed(error) => {
                group.kill();
                let _ = child.kill().await;
                Err(error)
            }
            Ended::Silent(reason) => {
                let status = settle(&mut child, &group).await;
                let tail = stderr.await.unwrap_or_default();
                Err(outcome::died(status, &reason, &tail, limits))
            }
        };
        match finished {
            Ok(finished) => outcome::outcome(finished, &paths, limits),
            // Whatever state there is to go on from.
            Err(RunError::Preempted { .. }) => Err(RunError::Preempted { checkpoint: last }),
            Err(error) => Err(error),
        }
    }
}

/// The files of a run.
#[derive(Debug, Clone)]
struct Paths {
    scratch: PathBuf,
    stdout: PathBuf,
    files: PathBuf,
    /// Where the child writes checkpoints.
    checkpoint: PathBuf,
    /// Where the child writes native code.
    compiled: PathBuf,
}

impl Paths {
    fn new(scratch: &Path) -> Self {
        Self {
            scratch: scratch.to_owned(),
            stdout: scratch.join("stdout"),
            files: scratch.join("files.tar"),
            checkpoint: scratch.join("checkpoint"),
            compiled: scratch.join("compiled"),
        }
    }

    /// The copy of a checkpoint.
    fn numbered(&self, number: u32) -> PathBuf {
        self.scratch.join(format!("checkpoint-{number}"))
    }
}

/// Makes the scratch folder with its empty files, hashes the module, looks for its native code.
fn prepare(
    request: &RunRequest,
    paths: &Paths,
    cache: Option<&Cache>,
    interpreter: bool,
    share: u32,
) -> Result<Start, RunError> {
    let Program::Wasm { module, deterministic } = &request.program else {
        return Err(RunError::Unsupported("the sandbox runs WASM only".into()));
    };
    if request.inputs.len() > MAX_INPUTS {
        return Err(RunError::Unsupported(format!("it has more than {MAX_INPUTS} inputs")));
    }
    let refused = |path: &Path, e: io::Error| RunError::Device(format!("{}: {e}", path.display()));
    let hash = hash(module).map_err(|e| refused(module, e))?;
    fs::create_dir_all(&paths.scratch).map_err(|e| refused(&paths.scratch, e))?;
    for path in [&paths.stdout, &paths.files, &paths.checkpoint, &paths.compiled] {
        empty(path).map_err(|e| refused(path, e))?;
    }
    let compiled = cache.and_then(|cache| cache.find(&cached(&hash, *deterministic)));
    let inputs = request.inputs.iter().map(|input| Ok((input.name.clone(), text(&input.file)?)));
    Ok(Start {
        module: text(module)?,
        hash,
        keep: match (&compiled, cache) {
            (None, Some(_)) => Some(text(&paths.compiled)?),
            _ => None,
        },
        compiled: compiled.as_deref().map(text).transpose()?,
        stdin: request.stdin.as_deref().map(text).transpose()?,
        stdout: text(&paths.stdout)?,
        files: text(&paths.files)?,
        checkpoint: text(&paths.checkpoint)?,
        resume: request.resume.as_deref().map(text).transpose()?,
        inputs: inputs.collect::<Result<_, RunError>>()?,
        args: request.args.clone(),
        env: request.env.clone(),
        limits: request.limits,
        share,
        deterministic: *deterministic,
        interpreter,
        network: request.network,
        checkpoint_every_ms: request
            .checkpoint_every
            .map(|every| u64::try_from(every.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// Under what a module's native code is kept: a deterministic run compiles another module (see `worker::canonical`).
fn cached(module: &Hash, deterministic: bool) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(module).update(&[u8::from(deterministic)]);
    *hasher.finalize().as_bytes()
}

fn hash(path: &Path) -> io::Result<Hash> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    Ok(*hasher.finalize().as_bytes())
}

/// Opens a file that a child may have replaced: an ordinary one, not what a link leads to.
fn open_plain(path: &Path) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        // Nor does a pipe in its place hold us up.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits() as i32);
    }
    let file = options.open(path)?;
    if !fs::symlink_metadata(path)?.is_file() || !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not an ordinary file"));
    }
    Ok(file)
}

/// An empty file, not what somebody may have put there.
fn empty(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).open(path).map(drop)
}

fn text(path: &Path) -> Result<String, RunError> {
    // The worker has another current folder.
    let absolute = std::path::absolute(path).map_err(|e| RunError::Device(e.to_string()))?;
    absolute
        .to_str()
        .map(str::to_owned)
        .ok_or_else(|| RunError::Device(format!("the path {} is not valid Unicode", path.display())))
}

/// Keeps the end of what the child writes to standard error.
async fn tail(mut stderr: tokio::process::ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..n]);
        let surplus = kept.len().saturating_sub(STDERR_TAIL);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

/// Waits a moment for a silent child's own end, then kills it.
async fn settle(child: &mut Child, group: &Group) -> Option<std::process::ExitStatus> {
    if let Ok(status) = tokio::time::timeout(Duration::from_secs(2), child.wait()).await {
        return status.ok();
    }
    group.kill();
    let _ = child.start_kill();
    child.wait().await.ok()
}

/// The child's process group, killed when this is dropped.
struct Group(Option<u32>);

impl Group {
    #[cfg(unix)]
    fn kill(&self) {
        use rustix::process::{Pid, Signal, kill_process_group};
        if let Some(pid) = self.0.and_then(|id| Pid::from_raw(id as i32)) {
            // An error means that it is gone already.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    #[cfg(not(unix))]
    fn kill(&self) {}
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
