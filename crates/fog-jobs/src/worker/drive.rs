//! Runs a program from its beginning or from a checkpoint to its end, taking checkpoints on the way. The same for both
//! engines.

use super::host::{Ending, Host, Movable, Phase};
use super::pace::{Pace, Wish};
use super::voice::Report;
use crate::checkpoint::{Book, CheckpointError, Owner, PAGE, Reader, State, Totals};
use crate::run::RunError;
use crate::sandbox::protocol::{Finished, FromWorker};
use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A step of a `fog_step` program should last this long.
const STEP: Duration = Duration::from_millis(50);
/// What a deterministic one is asked to do at once, so that replicas are asked for the same.
const FIXED_STEP: i64 = 10_000;

/// What a module exports to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `_start`: a WASI command.
    Start,
    /// `fog_step(i64) -> i32`: does about so much and returns 0 when all is done, a positive number if there is more, a
    /// negative one to fail with that exit code. `_initialize` is called once before, if it is there.
    Steps,
}

/// An engine with a module in it.
pub(super) trait Machine {
    fn kind(&self) -> Kind;
    fn start(&mut self) -> Result<(), Ending>;
    fn initialize(&mut self) -> Result<(), Ending>;
    fn step(&mut self, amount: i64) -> Result<i32, Ending>;
    fn host(&mut self) -> &mut Host;
    /// Linear memory, and the host.
    fn parts(&mut self) -> (&mut [u8], &mut Host);
    /// Makes the memory at least so many pages of 64 KiB.
    fn grow(&mut self, pages: u64) -> Result<(), Ending>;
    fn globals(&mut self) -> Vec<(String, u128)>;
    fn set_global(&mut self, name: &str, bits: u128) -> bool;
    fn set_state(&mut self, state: i32) -> Result<(), Ending>;
    /// Fuel used in this process.
    fn fuel(&mut self) -> u64;
}

/// Whether the node has copied the last checkpoint.
#[derive(Default)]
pub(super) struct Taken {
    waiting: Mutex<bool>,
    changed: Condvar,
}

impl Taken {
    pub(super) fn taken(&self) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.changed.notify_all();
    }

    /// False if the node did not get to it in time: it has its reasons, and the next checkpoint may be as good.
    fn free(&self, patience: Duration) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.changed.wait_timeout_while(waiting, patience, |waiting| *waiting);
        !*result.unwrap_or_else(PoisonError::into_inner).0
    }

    fn begin(&self) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

/// Takes checkpoints.
pub(super) struct Checkpointer {
    pub(super) file: File,
    pub(super) module: [u8; 32],
    pub(super) deterministic: bool,
    pub(super) taken: Arc<Taken>,
    pub(super) report: Report,
    pub(super) pace: Arc<Pace>,
    book: Book,
    number: u32,
    before: Totals,
}

impl Checkpointer {
    pub(super) fn new(
        file: File,
        module: [u8; 32],
        deterministic: bool,
        taken: Arc<Taken>,
        report: Report,
        pace: Arc<Pace>,
    ) -> Self {
        let (book, number, before) = (Book::default(), 0, Totals::default());
        Self { file, module, deterministic, taken, report, pace, book, number, before }
    }

    fn totals(&self, machine: &mut impl Machine) -> Totals {
        let before = self.before;
        Totals {
            fuel: before.fuel.saturating_add(machine.fuel()),
            cpu_ms: before.cpu_ms.saturating_add(millis(self.pace.cpu())),
            wall_ms: before.wall_ms.saturating_add(millis(self.pace.running())),
            memory_peak: before.memory_peak.max(machine.host().meter.peak),
        }
    }

    /// Takes one, unless the last has not been copied yet. An error ends the run.
    fn take(&mut self, machine: &mut impl Machine, must: bool) -> Result<(), RunError> {
        let patience = if must { Duration::from_secs(5) } else { Duration::ZERO };
        if !self.taken.free(patience) {
            self.pace.fulfilled(Duration::ZERO);
            return Ok(());
        }
        let Some(number) = self.number.checked_add(1) else {
            self.pace.fulfilled(Duration::ZERO);
            return Err(RunError::BadCheckpoint("it has been moved too often".into()));
        };
        let began = Instant::now();
        let totals = self.totals(machine);
        let globals = machine.globals();
        let (memory, host) = machine.parts();
        let stdout = host.wasi.streams.read_back()?;
        let wasi = host.wasi.state();
        let state = State {
            module: self.module,
            number,
            totals,
            memory_pages: memory.len() as u64 / 65536,
            globals,
            frames: host.frames.clone(),
            stdout: stdout.len() as u64,
            stderr: host.wasi.streams.said(),
            deterministic: self.deterministic,
            wasi,
        };
        let ids: Vec<u64> = state.wasi.tree.files.iter().map(|(id, _)| *id).collect();
        let files = ids.iter().filter_map(|id| Some((Owner::File(*id), host.wasi.vfs.content(*id).ok()?)));
        let contents = [(Owner::Memory, &*memory), (Owner::Stdout, &stdout)].into_iter().chain(files);
        match self.book.write(&mut self.file, state, contents) {
            Ok(written) => {
                self.number = number;
                self.taken.begin();
                let message = FromWorker::Checkpoint {
                    number: self.number,
                    totals,
                    bytes: written.bytes,
                    changed: written.changed,
                };
                self.report.say(&message).map_err(|e| RunError::Device(e.to_string()))?;
            }
            Err(error) => self.report.note(&format!("no checkpoint could be taken: {error}")),
        }
        self.pace.fulfilled(began.elapsed());
        Ok(())
    }

    /// Puts a checkpoint's state into a fresh machine.
    fn restore(&mut self, machine: &mut impl Machine, mut reader: Reader) -> Result<(), Ending> {
        let bad = |what: &str| Ending::Stop(RunError::BadCheckpoint(what.into()));
        let state = reader.state().clone();
        if machine.host().movable == Movable::No {
            return Err(bad("the program was not prepared, so it has none"));
        }
        let limit = machine.host().meter.limit;
        if state.memory_pages.checked_mul(65536).is_none_or(|bytes| bytes > limit) {
            return Err(bad("it has more memory than the limit"));
        }
        if state.frames.len() > super::host::MAX_FRAMES
            || state.frames.is_empty() != (machine.kind() == Kind::Steps)
        {
            return Err(bad("its call stack does not fit the program"));
        }
        machine.grow(state.memory_pages)?;
        let globals = machine.globals();
        if globals.len() != state.globals.len() {
            return Err(bad("its globals do not fit the program"));
        }
        for (name, bits) in &state.globals {
            if !machine.set_global(name, *bits) {
                return Err(bad("its globals do not fit the program"));
            }
        }
        let (memory, host) = machine.parts();
        if memory.len() as u64 != state.memory_pages * 65536 {
            return Err(bad("its memory is smaller than the program's"));
        }
        memory.fill(0);
        host.wasi.vfs.restore(&state.wasi.tree, state.stdout).map_err(|error| match error {
            RunError::OutputLimit(_) => bad("it has more output than the limit"),
            other => Ending::Stop(other),
        })?;
        let mut stdout = vec![0; usize::try_from(state.stdout).map_err(|_| bad("it is too large"))?];
        let vfs = &mut host.wasi.vfs;
        reader
            .pages(|page, bytes| {
                let whole = match page.owner {
                    Owner::Memory => Some(&mut *memory),
                    Owner::Stdout => Some(&mut stdout[..]),
                    // A file that was removed keeps its place, with zeros.
                    Owner::File(id) => vfs.content_mut(id),
                };
                let Some(whole) = whole else { return Ok(()) };
                let at = usize::try_from(page.number).ok().and_then(|number| number.checked_mul(PAGE));
                let Some(at) = at.filter(|at| *at < whole.len()) else {
                    return if bytes.iter().all(|byte| *byte == 0) {
                        Ok(())
                    } else {
                        Err("a page lies beyond the end".into())
                    };
                };
                let end = whole.len().min(at + PAGE);
                whole[at..end].copy_from_slice(&bytes[..end - at]);
                Ok(())
            })
            .map_err(|error| match error {
                CheckpointError::Bad(what) => bad(&what),
                CheckpointError::Io(error) => Ending::Stop(RunError::Device(error.to_string())),
            })?;
        host.wasi.streams.go_on(&stdout, &state.stderr).map_err(Ending::Stop)?;
        host.wasi.restore(state.wasi).map_err(Ending::Stop)?;
        host.frames = state.frames;
        self.number = state.number;
        self.before = state.totals;
        self.book = reader.into_book();
        Ok(())
    }
}

/// Runs to the end.
pub(super) fn drive(
    machine: &mut impl Machine,
    checkpoints: &mut Checkpointer,
    resume: Option<Reader>,
) -> Result<Finished, RunError> {
    let ended = match whole(machine, checkpoints, resume) {
        Ok(code) | Err(Ending::Exit(code)) => code,
        Err(Ending::Stop(error)) => return Err(error),
    };
    machine.host().wasi.streams.finish()?;
    let totals = checkpoints.totals(machine);
    let tail = machine.host().wasi.streams.tail();
    let stderr_tail = String::from_utf8_lossy(&tail).into_owned();
    Ok(Finished { exit_code: ended, stderr_tail, totals, files: false })
}

fn whole(
    machine: &mut impl Machine,
    checkpoints: &mut Checkpointer,
    resume: Option<Reader>,
) -> Result<i32, Ending> {
    let resumes = resume.is_some();
    if let Some(reader) = resume {
        checkpoints.restore(machine, reader)?;
    }
    match machine.kind() {
        Kind::Start => stretches(machine, checkpoints, resumes),
        Kind::Steps => steps(machine, checkpoints, resumes),
    }
}

/// `_start`, put away and taken up as often as wanted.
fn stretches(
    machine: &mut impl Machine,
    checkpoints: &mut Checkpointer,
    mut up: bool,
) -> Result<i32, Ending> {
    loop {
        machine.host().phase = if up { Phase::Up } else { Phase::Running };
        machine.set_state(if up { 2 } else { 0 })?;
        machine.start()?;
        match machine.host().phase {
            Phase::Running => return Ok(0),
            Phase::Up => {
                let what = "its call stack does not fit the program";
                return Err(Ending::Stop(RunError::BadCheckpoint(what.into())));
            }
            Phase::Away => {}
        }
        // Not state 1 in the checkpoint's globals: those of the module's own are kept, not ours.
        let preempted = checkpoints.pace.wish() == Wish::Preempt;
        checkpoints.take(machine, preempted).map_err(Ending::Stop)?;
        if preempted {
            return Err(Ending::Stop(RunError::Preempted { checkpoint: None }));
        }
        up = true;
    }
}

fn steps(machine: &mut impl Machine, checkpoints: &mut Checkpointer, resumes: bool) -> Result<i32, Ending> {
    if !resumes {
        machine.initialize()?;
    }
    let mut amount = if checkpoints.deterministic { FIXED_STEP } else { 1 };
    loop {
        let began = checkpoints.pace.running();
        match machine.step(amount)? {
            0 => return Ok(0),
            code if code < 0 => return Ok(code.saturating_neg()),
            _ => {}
        }
        let took = checkpoints.pace.running().saturating_sub(began);
        if !checkpoints.deterministic {
            let wanted = STEP.as_secs_f64() / took.as_secs_f64().max(1e-6);
            amount = ((amount as f64 * wanted.clamp(0.5, 2.0)) as i64).clamp(1, 1 << 40);
        }
        if !checkpoints.pace.step() {
            return Err(Ending::Stop(RunError::TimeLimit(checkpoints.pace.seconds())));
        }
        let wish = checkpoints.pace.wish();
        if wish != Wish::None {
            if machine.host().movable == Movable::Steps {
                checkpoints.take(machine, wish == Wish::Preempt).map_err(Ending::Stop)?;
            }
            if wish == Wish::Preempt {
                return Err(Ending::Stop(RunError::Preempted { checkpoint: None }));
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
