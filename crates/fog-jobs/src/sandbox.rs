//! Runs a module in a child process and watches it. This is the node's side; [`crate::worker`] is the child's.
//!
//! The child gets an empty environment, the scratch folder as its current one, a pipe in and a pipe out, and no other
//! open file. It opens the three files of the job, locks itself down (see [`crate::worker`]), and only then looks at the
//! module. It leads its own process group and dies with the node: the system kills it, and it also ends when its input
//! pipe closes.
//!
//! **Time.** `limits.seconds` bounds the running time without the pauses that the owner imposes: a job that is given
//! a quarter of a core for its device's heat has four times the wall time. The child keeps the limit itself; should it
//! hang, the node kills it when its share of time, integrated, has exceeded the limit by [`GRACE`].

mod caps;
pub(crate) mod protocol;
mod spawn;

use crate::spec::Limits;
use protocol::{Finished, FromWorker, Start, ToWorker};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long past its limit a child may live before it is killed.
pub const GRACE: Duration = Duration::from_secs(10);

/// Bytes kept of what a program, or a dying child, wrote to standard error.
pub(crate) const STDERR_TAIL: usize = 8 * 1024;

/// What to run.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The module's file.
    pub module: PathBuf,
    /// Standard input's file; none is an empty input.
    pub input: Option<PathBuf>,
    /// Program arguments, without the program's name.
    pub args: Vec<String>,
    /// Limits.
    pub limits: Limits,
    /// A folder for this run alone; made if it is not there. The output is written here.
    pub scratch: PathBuf,
}

/// A program that came to its end, with whatever exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOutcome {
    /// The exit code; 0 is success.
    pub exit_code: i32,
    /// What it wrote to standard output.
    pub output: PathBuf,
    /// The end of what it wrote to standard error.
    pub stderr_tail: String,
    /// Fuel used: the same number on every machine.
    pub fuel: u64,
    /// CPU time, milliseconds, at most `wall_ms`.
    pub cpu_ms: u64,
    /// Running time without imposed pauses, milliseconds, at most the limit.
    pub wall_ms: u64,
    /// Most bytes of linear memory at one time.
    pub memory_peak: u64,
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
    /// The output limit was reached.
    #[error("the program wrote more than its {0} bytes of output")]
    OutputLimit(u64),
    /// The program asked for something that jobs do not get.
    #[error("the program asked for something that jobs are not given: {0}")]
    Denied(String),
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

#[derive(Debug, Clone, Copy, PartialEq)]
struct Control {
    share: u32,
    cancelled: bool,
}

/// Steers a run while it lasts. Clones steer the same run.
#[derive(Debug, Clone)]
pub struct RunHandle {
    control: Arc<watch::Sender<Control>>,
}

impl RunHandle {
    /// A handle for a run that starts with this share of one core, 0 to 1.
    pub fn new(cpu_share: f64) -> Self {
        let control = Control { share: permille(cpu_share), cancelled: false };
        Self { control: Arc::new(watch::Sender::new(control)) }
    }

    /// Changes the share of one core, 0 to 1. At 0 the run pauses, within some hundredths of a second, without losing
    /// anything.
    pub fn set_share(&self, cpu_share: f64) {
        self.control.send_if_modified(|control| {
            let share = permille(cpu_share);
            let changed = control.share != share;
            control.share = share;
            changed
        });
    }

    /// Kills the run, which then ends in [`RunError::Cancelled`].
    pub fn cancel(&self) {
        self.control.send_modify(|control| control.cancelled = true);
    }
}

fn permille(share: f64) -> u32 {
    // Not a number counts as a pause.
    (share.clamp(0.0, 1.0) * 1000.0).round() as u32
}

/// Starts worker processes.
#[derive(Debug, Clone)]
pub struct Sandbox {
    command: Arc<[OsString]>,
}

impl Sandbox {
    /// `worker_command` is a program and its arguments which calls [`crate::worker::main`], for instance
    /// `["/usr/bin/fog", "worker"]`.
    pub fn new(worker_command: Vec<OsString>) -> Self {
        Self { command: worker_command.into() }
    }

    /// Runs a module to its end. Dropping the future kills the child.
    ///
    /// # Errors
    /// [`RunError`] says in plain words why there is no outcome.
    pub async fn run(&self, request: RunRequest, handle: &RunHandle) -> Result<RunOutcome, RunError> {
        let mut control = handle.control.subscribe();
        let now = *control.borrow_and_update();
        if now.cancelled {
            return Err(RunError::Cancelled);
        }
        let limits = request.limits;
        let output = prepare(&request.scratch)?;
        let start = ToWorker::Start(Start {
            module: text(&request.module)?,
            input: request.input.as_deref().map(text).transpose()?,
            output: text(&output)?,
            args: request.args,
            limits,
            share: now.share,
        });

        let mut child = spawn::spawn(&self.command, &request.scratch)
            .await
            .map_err(|e| RunError::Device(format!("the worker process cannot be started: {e}")))?;
        let group = Group(child.id());
        let shares = handle.control.subscribe();
        let _confined = caps::confine(&child, limits.memory_bytes, shares, |control| control.share);
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(RunError::Device("the worker process has no pipes".into()));
        };
        let stderr = tokio::spawn(tail(stderr));

        let ended = async {
            // A child that dies at once breaks the pipe; what it said, or how it died, tells more than that.
            let _ = send(&mut stdin, &start).await;
            listen(stdout, stdin, &mut control, limits, now.share).await
        }
        .await;
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
                Err(died(status, &reason, &tail, limits))
            }
        }?;
        outcome(finished, output, limits)
    }
}

/// How listening to a child ended.
enum Ended {
    Done(Result<Finished, RunError>),
    Killed(RunError),
    Silent(String),
}

/// Listens until the child is done, is silent for good, is cancelled or has used up its time.
async fn listen(
    mut stdout: ChildStdout,
    mut stdin: ChildStdin,
    control: &mut watch::Receiver<Control>,
    limits: Limits,
    mut share: u32,
) -> Ended {
    // A task of its own, since reading a frame must not be cut off half-way.
    let (frames, mut received) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        loop {
            let frame = receive(&mut stdout).await;
            let last = frame.is_err();
            if frames.send(frame).await.is_err() || last {
                return;
            }
        }
    });
    let allowance = Duration::from_secs(limits.seconds.into()) + GRACE;
    let mut used = Duration::ZERO;
    let mut since = Instant::now();
    let mut steerable = true;
    loop {
        let left = if share == 0 {
            Duration::from_secs(3600)
        } else {
            allowance.saturating_sub(used) * 1000 / share
        };
        tokio::select! {
            frame = received.recv() => match frame {
                Some(Ok(FromWorker::Locked(locks))) => {
                    tracing::debug!(%locks, "a worker process is locked down");
                }
                Some(Ok(FromWorker::Done(result))) => return Ended::Done(result),
                Some(Err(error)) => return Ended::Silent(error.to_string()),
                None => return Ended::Silent("its pipe closed".into()),
            },
            changed = control.changed(), if steerable => {
                if changed.is_err() {
                    steerable = false;
                }
                let now = *control.borrow_and_update();
                if now.cancelled {
                    return Ended::Killed(RunError::Cancelled);
                }
                used += since.elapsed() * share / 1000;
                since = Instant::now();
                share = now.share;
                // If the pipe is broken, the other branch learns why.
                let _ = send(&mut stdin, &ToWorker::Share(share)).await;
            }
            () = tokio::time::sleep(left) => {
                used += since.elapsed() * share / 1000;
                since = Instant::now();
                if used >= allowance {
                    return Ended::Killed(RunError::TimeLimit(limits.seconds));
                }
            }
        }
    }
}

async fn send(stdin: &mut ChildStdin, message: &ToWorker) -> std::io::Result<()> {
    stdin.write_all(&protocol::frame(message)?).await?;
    stdin.flush().await
}

async fn receive(stdout: &mut ChildStdout) -> std::io::Result<FromWorker> {
    let mut header = [0; 4];
    stdout.read_exact(&mut header).await?;
    let mut body = vec![0; protocol::body_len(header)?];
    stdout.read_exact(&mut body).await?;
    protocol::parse(&body)
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
async fn settle(child: &mut Child, group: &Group) -> Option<ExitStatus> {
    if let Ok(status) = tokio::time::timeout(Duration::from_secs(2), child.wait()).await {
        return status.ok();
    }
    group.kill();
    let _ = child.start_kill();
    child.wait().await.ok()
}

/// Reads the cause out of the way in which a child died.
fn died(status: Option<ExitStatus>, reason: &str, stderr: &str, limits: Limits) -> RunError {
    #[cfg(unix)]
    {
        use rustix::process::Signal;
        use std::os::unix::process::ExitStatusExt;
        match status.and_then(|status| status.signal()).and_then(Signal::from_named_raw) {
            Some(Signal::XCPU) => return RunError::TimeLimit(limits.seconds),
            Some(Signal::XFSZ) => return RunError::OutputLimit(limits.output_bytes),
            _ => {}
        }
    }
    if stderr.contains("memory allocation of") {
        return RunError::MemoryLimit(limits.memory_bytes);
    }
    let how = status.map_or_else(|| reason.to_owned(), |status| status.to_string());
    RunError::WorkerDied(if stderr.is_empty() { how } else { format!("{how}: {stderr}") })
}

/// Makes the scratch folder and an empty output in it.
fn prepare(scratch: &Path) -> Result<PathBuf, RunError> {
    let refused = |e: std::io::Error| RunError::Device(format!("{}: {e}", scratch.display()));
    fs::create_dir_all(scratch).map_err(refused)?;
    let output = scratch.join("output");
    match fs::remove_file(&output) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(refused(e)),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).open(&output).map_err(refused)?;
    Ok(output)
}

/// Checks what the child claims against what can be checked here.
fn outcome(finished: Finished, output: PathBuf, limits: Limits) -> Result<RunOutcome, RunError> {
    let meta = fs::symlink_metadata(&output)
        .map_err(|e| RunError::WorkerDied(format!("its output is gone: {e}")))?;
    if !meta.is_file() {
        return Err(RunError::WorkerDied("its output is not an ordinary file".into()));
    }
    if meta.len() > limits.output_bytes {
        return Err(RunError::OutputLimit(limits.output_bytes));
    }
    // Never billed above the limits, even if the last pause came a few milliseconds late.
    let wall_ms = finished.wall_ms.min(u64::from(limits.seconds) * 1000);
    Ok(RunOutcome {
        exit_code: finished.exit_code,
        output,
        stderr_tail: finished.stderr_tail,
        fuel: finished.fuel,
        cpu_ms: finished.cpu_ms.min(wall_ms),
        wall_ms,
        memory_peak: finished.memory_peak.min(limits.memory_bytes),
    })
}

fn text(path: &Path) -> Result<String, RunError> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| RunError::Device(format!("the path {} is not valid Unicode", path.display())))
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
