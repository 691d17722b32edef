//! The worker process: runs one stranger's program, knows nothing else.
//!
//! The order is what makes it safe. First everything inherited is closed. Then, while no job is known yet, the compiler is
//! made ready (a process may wait here, warm, for its one job). Then the node says what to run; the job's files are
//! opened. Then the process gives up its rights ([`lockdown`]): no file can be opened by name any more, no connection
//! made, no program started, no privilege gained, and the system's own limits on CPU time, data, open files and file sizes
//! stand. Only then is the module looked at. So an escape from the engine lands in a process that holds one job's files
//! and nothing else. It serves one job and ends: what it gave up cannot be had back, and nothing that a job left behind in
//! its memory can meet another job.
//!
//! What a system does not offer (Landlock outside Linux or on an old kernel) is reported to the node, which logs it.
//!
//! - [`jit`], [`interpreter`]: the engines. [`component`]: components, with WASI preview 2.
//! - [`host`], [`wasi`]: what a program has on our side. [`voice`]: where its words go.
//! - [`canonical`]: NaNs of deterministic programs.
//! - [`drive`]: from the beginning or a checkpoint to the end. [`pace`]: time. [`archive`]: `/out` as a file.

mod archive;
mod canonical;
mod component;
mod drive;
mod host;
mod interpreter;
mod jit;
mod lockdown;
mod pace;
#[cfg(unix)]
mod priority;
#[cfg(target_os = "linux")]
mod seccomp;
mod voice;
mod wasi;

pub(crate) use jit::{SETTINGS, engine};
pub(crate) use wasi::WasiState;

use crate::checkpoint::{CheckpointError, Reader};
use crate::run::RunError;
use crate::sandbox::protocol::{Finished, FromWorker, Start, ToWorker, read_frame};
use drive::{Checkpointer, Machine, Taken, drive};
use host::Host;
use pace::{Pace, Wish};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek};
use std::sync::Arc;
use std::time::Duration;
use voice::{Report, Voice};
use wasi::vfs::Vfs;
use wasi::{Chance, Clock, Wasi};
use wasmtime::Engine;

/// Largest module or component, bytes.
const MAX_MODULE: u64 = 256 * 1024 * 1024;

/// Runs the one job that the node asks for over standard input, and returns the exit code for the process.
///
/// Call it first thing in `main`, before any file, socket, thread or async runtime exists: it closes every file that it
/// did not open itself.
pub fn main() -> i32 {
    lockdown::close_inherited();
    match serve() {
        Ok(()) => 0,
        // The node let go of a process that it had kept warm.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
        Err(error) => {
            use io::Write;
            let _ = writeln!(
                io::stderr(),
                "a Fog Compute worker process is started by its node, not by hand: {error}"
            );
            2
        }
    }
}

fn serve() -> io::Result<()> {
    lockdown::die_with_parent()?;
    let engine = jit::engine();
    let start = match read_frame(&mut io::stdin())? {
        ToWorker::Start(start) => *start,
        _ => return Err(io::Error::other("the first frame must say what to run")),
    };
    let report = Report::default();
    let opened = open(&start);
    let locks = lockdown::lock(&start);
    let files = match (opened, locks) {
        (Ok(files), Ok(locks)) => {
            report.say(&FromWorker::Locked(locks))?;
            files
        }
        (Err(error), _) | (_, Err(error)) => {
            return report.done(Err(RunError::Device(error.to_string())));
        }
    };
    let result = engine
        .map_err(|error| RunError::Device(error.to_string()))
        .and_then(|engine| Job { start, engine, report: report.clone() }.run(files));
    report.done(result)
}

/// The job's files.
struct Files {
    module: File,
    compiled: Option<File>,
    keep: Option<File>,
    stdin: Option<File>,
    stdout: File,
    archive: File,
    checkpoint: File,
    resume: Option<File>,
    inputs: Vec<(String, File)>,
}

fn open(start: &Start) -> io::Result<Files> {
    let named = |path: &str, e: io::Error| io::Error::new(e.kind(), format!("{path}: {e}"));
    let read = |path: &String| File::open(path).map_err(|e| named(path, e));
    let write =
        |path: &String| OpenOptions::new().read(true).write(true).open(path).map_err(|e| named(path, e));
    Ok(Files {
        module: read(&start.module)?,
        // Without it the module is compiled, so that a cache that is being cleaned is no error.
        compiled: start.compiled.as_ref().and_then(|path| File::open(path).ok()),
        keep: start.keep.as_ref().map(write).transpose()?,
        stdin: start.stdin.as_ref().map(read).transpose()?,
        stdout: write(&start.stdout)?,
        archive: write(&start.files)?,
        checkpoint: write(&start.checkpoint)?,
        resume: start.resume.as_ref().map(read).transpose()?,
        inputs: start
            .inputs
            .iter()
            .map(|(name, path)| Ok((name.clone(), read(path)?)))
            .collect::<io::Result<_>>()?,
    })
}

struct Job {
    start: Start,
    engine: Engine,
    report: Report,
}

impl Job {
    fn run(self, mut files: Files) -> Result<Finished, RunError> {
        let reader = files.resume.take().map(Reader::open).transpose().map_err(damaged)?;
        if let Some(reader) = &reader {
            if reader.state().module != self.start.hash {
                return Err(RunError::BadCheckpoint("it is of another program".into()));
            }
            if reader.state().deterministic != self.start.deterministic {
                return Err(RunError::BadCheckpoint("it is of a run with another kind of clock".into()));
            }
        }
        let before = reader.as_ref().map_or(0, |reader| reader.state().totals.wall_ms);
        let every = self.start.checkpoint_every_ms.map(|ms| Duration::from_millis(ms.max(1)));
        let pace = Arc::new(Pace::new(
            self.start.limits.seconds,
            self.start.share,
            Duration::from_millis(before),
            every,
        ));
        let taken = Arc::new(Taken::default());
        if pace.overdue(Duration::ZERO) {
            // Its time was used up elsewhere; it does not get the moment until somebody looks at the clock.
            return Err(RunError::TimeLimit(pace.seconds()));
        }
        obey(Arc::clone(&pace), Arc::clone(&taken)).map_err(|e| device(&e))?;
        tick(Arc::clone(&pace), self.report.clone(), self.engine.clone()).map_err(|e| device(&e))?;

        let bytes = self.module(&mut files)?;
        if wasmparser::Parser::is_component(&bytes) {
            if reader.is_some() {
                return Err(RunError::BadCheckpoint("components have none".into()));
            }
            return component::run(&self, &bytes, files, &pace);
        }
        let bytes = if self.start.deterministic { canonical::canonical(bytes) } else { bytes };
        let host = self.host(&mut files, Arc::clone(&pace))?;
        let mut checkpoints = Checkpointer::new(
            files.checkpoint,
            self.start.hash,
            self.start.deterministic,
            taken,
            self.report.clone(),
            pace,
        );
        if self.start.interpreter {
            let mut machine = interpreter::Interpreter::new(&bytes, host)?;
            drop(bytes);
            return self.finish(&mut machine, &mut checkpoints, reader, files.archive);
        }
        let module = jit::load(&self.engine, &bytes, files.compiled)?;
        drop(bytes);
        if let Some(keep) = files.keep {
            match jit::keep(&module, keep) {
                Ok(()) => self.report.say(&FromWorker::Compiled).map_err(|e| device(&e))?,
                // The run itself does not need it.
                Err(error) => tracing::debug!(%error, "native code was not kept"),
            }
        }
        let mut machine = jit::Jit::new(&self.engine, &module, host)?;
        self.finish(&mut machine, &mut checkpoints, reader, files.archive)
    }

    fn finish(
        &self,
        machine: &mut impl Machine,
        checkpoints: &mut Checkpointer,
        reader: Option<Reader>,
        archive: File,
    ) -> Result<Finished, RunError> {
        self.report.say(&FromWorker::Started).map_err(|e| device(&e))?;
        let mut finished = drive(machine, checkpoints, reader)?;
        finished.files = archive::write(&machine.host().wasi.vfs, archive)?;
        Ok(finished)
    }

    /// The module's bytes, checked against their hash: the file is opened by name, and names can be given anew.
    fn module(&self, files: &mut Files) -> Result<Vec<u8>, RunError> {
        let unreadable = |e: &io::Error| RunError::Device(format!("the module cannot be read: {e}"));
        let size = files.module.metadata().map_err(|e| unreadable(&e))?.len();
        if size > MAX_MODULE {
            return Err(RunError::NotWasm(format!("it is larger than {} MiB", MAX_MODULE >> 20)));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        (&mut files.module).take(MAX_MODULE).read_to_end(&mut bytes).map_err(|e| unreadable(&e))?;
        if blake3::hash(&bytes).as_bytes() != &self.start.hash {
            return Err(RunError::Device("the module's file was changed under way".into()));
        }
        if !bytes.starts_with(b"\0asm") {
            return Err(RunError::NotWasm("the file does not start as a WASM module does".into()));
        }
        Ok(bytes)
    }

    fn vfs(&self, inputs: Vec<(String, File)>) -> Result<Vfs, RunError> {
        let mut vfs = Vfs::new(self.start.limits.output_bytes);
        for (name, file) in inputs {
            let size = file.metadata().map_err(|e| device(&e))?.len();
            vfs.add_input(&name, file, size).map_err(RunError::Device)?;
        }
        Ok(vfs)
    }

    fn seed(&self) -> Result<[u8; 32], RunError> {
        if self.start.deterministic {
            // The same for all replicas.
            return Ok(blake3::derive_key("fog-jobs chance of a deterministic program", &self.start.hash));
        }
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| RunError::Device(format!("no random numbers: {e}")))?;
        Ok(seed)
    }

    fn host(&self, files: &mut Files, pace: Arc<Pace>) -> Result<Host, RunError> {
        let stdout = files.stdout.try_clone().map_err(|e| device(&e))?;
        let voice = Voice::new(self.report.clone(), stdout);
        let vfs = self.vfs(std::mem::take(&mut files.inputs))?;
        let clock = Clock::new(self.start.deterministic);
        let waits: Arc<dyn wasi::Waits> = Arc::<Pace>::clone(&pace);
        let mut wasi = Wasi::new(voice, vfs, clock, Chance::new(self.seed()?), waits);
        wasi.args = std::iter::once("job".to_owned()).chain(self.start.args.iter().cloned()).collect();
        wasi.env.clone_from(&self.start.env);
        if let Some(mut file) = files.stdin.take() {
            file.rewind().map_err(|e| device(&e))?;
            wasi.stdin = Some(file);
        }
        Ok(Host::new(wasi, self.start.limits.memory_bytes, pace, self.report.clone()))
    }
}

/// Follows the node's commands; ends the process with the node.
fn obey(pace: Arc<Pace>, taken: Arc<Taken>) -> io::Result<()> {
    thread("commands", move || {
        while let Ok(message) = read_frame(&mut io::stdin()) {
            match message {
                ToWorker::Share(share) => pace.set_share(share),
                ToWorker::Checkpoint => pace.want(Wish::Checkpoint),
                ToWorker::Preempt => pace.want(Wish::Preempt),
                ToWorker::Taken => taken.taken(),
                ToWorker::Start(_) => break,
            }
        }
        std::process::exit(3);
    })
}

/// Advances the epoch, at which a running module looks up and asks [`Pace`] whether to go on. Also the last resort
/// against time spent outside the module's own code, in which there are no epochs: a long compilation.
fn tick(pace: Arc<Pace>, report: Report, engine: Engine) -> io::Result<()> {
    const TICK: Duration = Duration::from_millis(10);
    const PATIENCE: Duration = Duration::from_secs(1);
    thread("ticks", move || {
        loop {
            std::thread::sleep(TICK);
            engine.increment_epoch();
            report.tick();
            if pace.overdue(PATIENCE) {
                let _ = report.done(Err(RunError::TimeLimit(pace.seconds())));
                std::process::exit(0);
            }
            pace.rest_while_paused();
        }
    })
}

fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.into()).spawn(body).map(drop)
}

fn damaged(error: CheckpointError) -> RunError {
    match error {
        CheckpointError::Bad(what) => RunError::BadCheckpoint(what),
        CheckpointError::Io(error) => RunError::Device(format!("the checkpoint cannot be read: {error}")),
    }
}

fn device(error: &io::Error) -> RunError {
    RunError::Device(error.to_string())
}
