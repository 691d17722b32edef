//! What a running program has on our side, whichever engine runs it.

use super::pace::{Pace, Wish};
use super::voice::{Report, Voice};
use super::wasi::{Call, Fail, Wasi};
use crate::run::RunError;
use std::sync::Arc;
use std::time::Duration;

/// Stack of a module: deep recursion ends here, well before the thread's own stack does.
pub(super) const WASM_STACK: usize = 1024 * 1024;
/// Elements of all tables.
const TABLE_ELEMENTS: usize = 1_000_000;
/// Most numbers of a stack that was put away. The stack above holds no more.
pub(super) const MAX_FRAMES: usize = 4 * 1024 * 1024;

/// How a program ended, carried through the engine's own errors.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Ending {
    /// It ended itself.
    #[error("exit code {0}")]
    Exit(i32),
    /// It was ended.
    #[error("{0}")]
    Stop(RunError),
}

impl wasmi::errors::HostError for Ending {}

/// Whether the program's call stack is being moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// It puts its stack away.
    Away,
    /// It takes its stack up.
    Up,
}

/// What the engine must write into the module's own globals after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Globals {
    pub(super) state: i32,
    pub(super) flag: i32,
}

/// How a program can be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Movable {
    /// Not at all.
    No,
    /// It is prepared: at any look.
    Stack,
    /// Between two steps.
    Steps,
}

/// The host's side of a program.
pub(super) struct Host {
    pub(super) wasi: Wasi<Voice>,
    pub(super) meter: Meter,
    pub(super) pace: Arc<Pace>,
    pub(super) movable: Movable,
    pub(super) phase: Phase,
    pub(super) frames: Vec<u64>,
    report: Report,
    said_fixed: bool,
}

impl Host {
    pub(super) fn new(wasi: Wasi<Voice>, memory_limit: u64, pace: Arc<Pace>, report: Report) -> Self {
        let meter = Meter::new(memory_limit);
        Self {
            wasi,
            meter,
            pace,
            movable: Movable::No,
            phase: Phase::Running,
            frames: Vec::new(),
            report,
            said_fixed: false,
        }
    }

    /// Called when the engine interrupts the program. Sleeps as the share demands; true if the module's flag must be set.
    pub(super) fn interrupted(&mut self) -> Result<bool, RunError> {
        if !self.pace.step() {
            return Err(RunError::TimeLimit(self.pace.seconds()));
        }
        let wish = self.pace.wish();
        if wish == Wish::None {
            return Ok(false);
        }
        match self.movable {
            Movable::Stack => Ok(true),
            Movable::Steps => Ok(false),
            Movable::No => stay(wish, &self.pace, &self.report, &mut self.said_fixed).map(|()| false),
        }
    }

    /// `fog.poll`: puts the program away if that is wanted, or tells it that it is whole again.
    pub(super) fn poll(&mut self) -> Result<Globals, RunError> {
        match self.phase {
            Phase::Running if self.pace.wish() != Wish::None => Ok(self.leave()),
            Phase::Running => Ok(Globals { state: 0, flag: 0 }),
            Phase::Up => self.arrive(),
            Phase::Away => Err(forged("it looks while it puts its stack away")),
        }
    }

    fn leave(&mut self) -> Globals {
        self.phase = Phase::Away;
        self.frames.clear();
        Globals { state: 1, flag: 0 }
    }

    fn arrive(&mut self) -> Result<Globals, RunError> {
        if !self.frames.is_empty() {
            return Err(RunError::BadCheckpoint("its call stack does not fit the program".into()));
        }
        self.phase = Phase::Running;
        Ok(Globals { state: 0, flag: 0 })
    }

    /// `fog.push`.
    pub(super) fn push(&mut self, value: u64) -> Result<(), RunError> {
        if self.phase != Phase::Away || self.frames.len() >= MAX_FRAMES {
            return Err(forged("it puts its stack away unasked"));
        }
        self.frames.push(value);
        Ok(())
    }

    /// `fog.pop`.
    pub(super) fn pop(&mut self) -> Result<u64, RunError> {
        if self.phase != Phase::Up {
            return Err(forged("it takes a stack up unasked"));
        }
        let short = || RunError::BadCheckpoint("its call stack does not fit the program".into());
        self.frames.pop().ok_or_else(short)
    }

    /// Before `poll_oneoff`, the one call of WASI that can be put away.
    pub(super) fn before_wait(&mut self) -> Result<Option<Globals>, RunError> {
        self.wasi.movable = self.movable == Movable::Stack;
        match self.phase {
            Phase::Running => Ok(None),
            Phase::Up => {
                self.wasi.resuming = true;
                self.arrive().map(Some)
            }
            Phase::Away => Err(forged("it waits while it puts its stack away")),
        }
    }

    /// After `poll_oneoff`.
    pub(super) fn after_wait(&mut self) -> Option<Globals> {
        std::mem::take(&mut self.wasi.leaves).then(|| self.leave())
    }

    /// An error number, or the end of the run.
    pub(super) fn returned(call: Call) -> Result<i32, Ending> {
        match call {
            Ok(()) => Ok(0),
            Err(Fail::Errno(errno)) => Ok(i32::from(errno as u16)),
            Err(Fail::Stop(error)) => Err(Ending::Stop(error)),
        }
    }
}

/// What a wish means for a program that cannot move: it says so once, and goes on or ends.
pub(super) fn stay(wish: Wish, pace: &Pace, report: &Report, said: &mut bool) -> Result<(), RunError> {
    if !std::mem::replace(said, true) {
        report.note(
            "this program cannot move: it was not prepared (`fog job prepare`), so it starts anew when its device \
             stops",
        );
    }
    if wish == Wish::Preempt {
        return Err(RunError::Preempted { checkpoint: None });
    }
    pace.fulfilled(Duration::ZERO);
    Ok(())
}

fn forged(what: &str) -> RunError {
    RunError::Denied(format!("to misuse the calls of a prepared module: {what}"))
}

/// Counts memory and stops a module that wants more than its limit. Ending the run tells the cause, where an error code
/// would end in some other crash of the program.
pub(super) struct Meter {
    pub(super) limit: u64,
    memory: u64,
    pub(super) peak: u64,
    tables: usize,
    /// Why growing was refused, for engines whose errors carry no reason.
    pub(super) stop: Option<RunError>,
}

impl Meter {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, memory: 0, peak: 0, tables: 0, stop: None }
    }

    fn memory(&mut self, current: usize, desired: usize) -> Result<(), RunError> {
        let total = self.memory.saturating_add(desired.saturating_sub(current) as u64);
        if total > self.limit {
            return Err(RunError::MemoryLimit(self.limit));
        }
        self.memory = total;
        self.peak = self.peak.max(total);
        Ok(())
    }

    fn table(&mut self, current: usize, desired: usize) -> Result<(), RunError> {
        self.tables = self.tables.saturating_add(desired.saturating_sub(current));
        if self.tables > TABLE_ELEMENTS {
            return Err(RunError::Denied(format!("tables of more than {TABLE_ELEMENTS} elements")));
        }
        Ok(())
    }
}

impl wasmtime::ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.memory(current, desired).map_err(|error| wasmtime::Error::from(Ending::Stop(error)))?;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Ending::Stop(RunError::MemoryLimit(self.limit)).into())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.table(current, desired).map_err(|error| wasmtime::Error::from(Ending::Stop(error)))?;
        Ok(true)
    }

    fn instances(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        16
    }

    fn tables(&self) -> usize {
        16
    }
}

impl wasmi::ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> Result<bool, wasmi_core::LimiterError> {
        self.memory(current, desired).map_err(|error| {
            self.stop = Some(error);
            wasmi_core::LimiterError::ResourceLimiterDeniedAllocation
        })?;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> Result<bool, wasmi_core::LimiterError> {
        self.table(current, desired).map_err(|error| {
            self.stop = Some(error);
            wasmi_core::LimiterError::ResourceLimiterDeniedAllocation
        })?;
        Ok(true)
    }

    fn instances(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        16
    }

    fn tables(&self) -> usize {
        16
    }
}
