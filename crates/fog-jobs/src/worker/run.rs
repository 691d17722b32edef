//! Runs a WASI command module in wasmtime.

use super::Files;
use super::pace::Pace;
use super::streams::{Quota, Stream, Tail};
use crate::run::RunError;
use crate::sandbox::protocol::{Finished, Start};
use std::io::Read;
use std::sync::Arc;
use wasmtime::{
    Config, Engine, ExternType, Func, Linker, Module, ResourceLimiter, Store, Trap, UpdateDeadline,
};
use wasmtime_wasi::cli::InputFile;
use wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_sync};
use wasmtime_wasi::{I32Exit, WasiCtxBuilder};

/// Stack of a module: deep recursion ends here, well before the thread's own stack does.
const WASM_STACK: usize = 1024 * 1024;
/// Elements of all tables.
const TABLE_ELEMENTS: usize = 1_000_000;

/// A reason to stop, carried through wasmtime's own errors.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Stop(pub(super) RunError);

/// The compiler and its settings.
pub(super) fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        // One core was promised, so the compiler uses one too.
        .parallel_compilation(false)
        // The same module must compute the same on every machine.
        .relaxed_simd_deterministic(true);
    Engine::new(&config)
}

/// Runs the module to its end.
pub(super) fn run(
    engine: &Engine,
    mut files: Files,
    start: &Start,
    pace: &Arc<Pace>,
) -> Result<Finished, RunError> {
    let module = load(engine, &mut files)?;
    let stdout = Stream::new(Quota::new(files.output, start.limits.output_bytes));
    let stderr = Stream::new(Tail::default());

    let mut wasi = WasiCtxBuilder::new();
    // The thread has nothing else to do, so files are read on it.
    wasi.allow_blocking_current_thread(true).arg("job").args(&start.args);
    wasi.stdout(stdout.clone()).stderr(stderr.clone());
    if let Some(input) = files.input {
        wasi.stdin(InputFile::new(input));
    }
    let meter = Meter { limit: start.limits.memory_bytes, memory: 0, peak: 0, tables: 0 };
    let mut store = Store::new(engine, State { wasi: wasi.build_p1(), meter });
    store.limiter(|state| &mut state.meter);
    store.set_fuel(u64::MAX).map_err(|e| device(&e))?;
    store.set_epoch_deadline(1);
    let clock = Arc::clone(pace);
    let seconds = start.limits.seconds;
    store.epoch_deadline_callback(move |_| {
        if clock.step() {
            Ok(UpdateDeadline::Continue(1))
        } else {
            Err(Stop(RunError::TimeLimit(seconds)).into())
        }
    });

    let linker = link(engine, &module, &mut store)?;
    let ended = linker
        .instantiate(&mut store, &module)
        .and_then(|instance| instance.get_typed_func::<(), ()>(&mut store, "_start"))
        .and_then(|entry| entry.call(&mut store, ()));
    let exit_code = match ended {
        Ok(()) => 0,
        Err(error) => exit_code(&error)?,
    };
    stdout.lock().finish()?;
    let fuel = u64::MAX - store.get_fuel().map_err(|e| device(&e))?;
    let stderr_tail = stderr.lock().text();
    Ok(Finished {
        exit_code,
        stderr_tail,
        fuel,
        cpu_ms: millis(pace.cpu()),
        wall_ms: millis(pace.running()),
        memory_peak: store.data().meter.peak,
    })
}

fn load(engine: &Engine, files: &mut Files) -> Result<Module, RunError> {
    let mut bytes = Vec::new();
    files
        .module
        .read_to_end(&mut bytes)
        .map_err(|e| RunError::Device(format!("the module cannot be read: {e}")))?;
    if !bytes.starts_with(b"\0asm") {
        return Err(RunError::NotWasm("the file does not start as a WASM module does".into()));
    }
    let module = Module::from_binary(engine, &bytes).map_err(|e| RunError::NotWasm(format!("{e:#}")))?;
    let is_command = matches!(
        module.get_export("_start"),
        Some(ExternType::Func(ty)) if ty.params().len() == 0 && ty.results().len() == 0
    );
    if !is_command {
        return Err(RunError::NotWasm(
            "it has no `_start`: build it as a WASI command (wasm32-wasip1)".into(),
        ));
    }
    Ok(module)
}

/// Gives the module what jobs are given; refuses by name what they are not.
fn link(engine: &Engine, module: &Module, store: &mut Store<State>) -> Result<Linker<State>, RunError> {
    let mut linker: Linker<State> = Linker::new(engine);
    add_to_linker_sync(&mut linker, |state| &mut state.wasi).map_err(|e| device(&e))?;
    linker.allow_shadowing(true);
    for import in module.imports() {
        let name = format!("{}.{}", import.module(), import.name());
        let closed = import.name().starts_with("path_") || import.name().starts_with("sock_");
        match import.ty() {
            // Linking must not fail, since compilers import these without using them; calling one ends the run.
            ExternType::Func(ty) if closed && import.module() == "wasi_snapshot_preview1" => {
                let what = if import.name().starts_with("path_") { "files" } else { "the network" };
                let denied = move || Stop(RunError::Denied(format!("{what} ({name})")));
                let func = Func::new(&mut *store, ty, move |_, _, _| Err(denied().into()));
                linker.define(&mut *store, import.module(), import.name(), func).map_err(|e| device(&e))?;
            }
            _ if linker.get_by_import(&mut *store, &import).is_some() => {}
            _ => return Err(RunError::Denied(format!("the import {name}"))),
        }
    }
    Ok(linker)
}

/// Tells a program's own exit from its failures.
fn exit_code(error: &wasmtime::Error) -> Result<i32, RunError> {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return Ok(exit.0);
    }
    if let Some(Stop(reason)) = error.downcast_ref::<Stop>() {
        return Err(reason.clone());
    }
    Err(match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => RunError::Trap("it ran out of stack: it recurses too deeply".into()),
        Some(trap) => RunError::Trap(trap.to_string()),
        None => RunError::Trap(format!("{error:#}")),
    })
}

fn device(error: &wasmtime::Error) -> RunError {
    RunError::Device(format!("{error:#}"))
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

struct State {
    wasi: WasiP1Ctx,
    meter: Meter,
}

/// Counts memory and stops a module that wants more than its limit. Ending the run tells the cause, where an error code
/// would end in some other crash of the program.
struct Meter {
    limit: u64,
    memory: u64,
    peak: u64,
    tables: usize,
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current) as u64);
        if total > self.limit {
            return Err(Stop(RunError::MemoryLimit(self.limit)).into());
        }
        self.memory = total;
        self.peak = self.peak.max(total);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Stop(RunError::MemoryLimit(self.limit)).into())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.tables = self.tables.saturating_add(desired.saturating_sub(current));
        Ok(self.tables <= TABLE_ELEMENTS)
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
