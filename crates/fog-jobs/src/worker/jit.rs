//! Core modules in wasmtime, compiled by Cranelift.

use super::drive::{Kind, Machine};
use super::host::{Ending, Globals, Host, Movable, WASM_STACK};
use super::wasi::functions::{MODULE, wasi_functions};
use super::wasi::guest::Guest;
use crate::prepare::{FLAG_GLOBAL, GLOBAL_PREFIX, IMPORT_MODULE, STATE_GLOBAL};
use crate::run::RunError;
use std::fs::File;
use std::io::Write;
use wasmtime::{
    Caller, Config, Engine, Extern, ExternType, Global, Instance, Linker, Memory, Module, Mutability, Store,
    StoreContextMut, Trap, UpdateDeadline, Val, ValType,
};

/// Changes whenever the settings below do: kept native code of other settings is not used.
pub(crate) const SETTINGS: &str = "1: fuel, epochs, 1 MiB stack, relaxed SIMD deterministic";

/// The compiler and its settings. The default allocator: an instance is made once in a process's life, so a pool of
/// instances would only be filled in vain; what is pooled is the process.
pub(crate) fn engine() -> wasmtime::Result<Engine> {
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

/// Compiles a module, or loads native code that this node has kept.
pub(super) fn load(engine: &Engine, bytes: &[u8], compiled: Option<File>) -> Result<Module, RunError> {
    if let Some(file) = compiled {
        // SAFETY: native code is as good as its source. The node hands over only what its own worker compiled from this very
        // module, checked against a keyed hash; and whatever it does, it does it in this process, which has nothing.
        #[allow(unsafe_code)]
        let loaded = unsafe { Module::deserialize_open_file(engine, file) };
        if let Ok(module) = loaded {
            return Ok(module);
        }
    }
    Module::from_binary(engine, bytes).map_err(|e| RunError::NotWasm(format!("{e:#}")))
}

/// Writes native code for the next run of the same module.
pub(super) fn keep(module: &Module, mut file: File) -> Result<(), String> {
    let bytes = module.serialize().map_err(|e| e.to_string())?;
    file.write_all(&bytes).map_err(|e| e.to_string())
}

struct Data {
    host: Host,
    memory: Option<Memory>,
    state: Option<Global>,
    flag: Option<Global>,
}

/// A module in wasmtime.
pub(super) struct Jit {
    store: Store<Data>,
    instance: Instance,
    kind: Kind,
    /// Names and handles of what is put into a checkpoint.
    globals: Vec<(String, Global)>,
}

impl Jit {
    pub(super) fn new(engine: &Engine, module: &Module, host: Host) -> Result<Self, RunError> {
        let kind = kind(module)?;
        let mut store = Store::new(engine, Data { host, memory: None, state: None, flag: None });
        store.limiter(|data| &mut data.host.meter);
        store.set_fuel(u64::MAX).map_err(|e| device(&e))?;
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| {
            let set = store.data_mut().host.interrupted().map_err(Ending::Stop)?;
            if set && let Some(flag) = store.data().flag {
                flag.set(&mut store, Val::I32(1))?;
            }
            Ok(UpdateDeadline::Continue(1))
        });
        let linker = link(engine, module)?;
        let instance = linker.instantiate(&mut store, module).map_err(|e| error(&e))?;
        let memory = instance.get_memory(&mut store, "memory");
        store.data_mut().memory = memory;
        let prepared = module.imports().any(|import| import.module() == IMPORT_MODULE);
        if prepared {
            let mut own = |name| -> Result<Global, RunError> {
                let global = instance.get_global(&mut store, name);
                let i32s = |global: &Global| {
                    let ty = global.ty(&store);
                    ty.mutability() == Mutability::Var && matches!(ty.content(), ValType::I32)
                };
                global.filter(i32s).ok_or_else(|| {
                    RunError::NotWasm(format!("it looks like a prepared module but has no `{name}`"))
                })
            };
            let (state, flag) = (own(STATE_GLOBAL)?, own(FLAG_GLOBAL)?);
            (store.data_mut().state, store.data_mut().flag) = (Some(state), Some(flag));
        }
        store.data_mut().host.movable = match kind {
            _ if memory.is_none() => Movable::No,
            Kind::Start if prepared => Movable::Stack,
            Kind::Start => Movable::No,
            Kind::Steps => Movable::Steps,
        };
        let mut globals = Vec::new();
        for export in module.exports() {
            let name = export.name();
            let kept = name.starts_with(GLOBAL_PREFIX) || kind == Kind::Steps;
            if let ExternType::Global(ty) = export.ty()
                && kept
                && ty.mutability() == Mutability::Var
                && let Some(global) = instance.get_global(&mut store, name)
            {
                globals.push((name.to_owned(), global));
            }
        }
        Ok(Self { store, instance, kind, globals })
    }
}

impl Machine for Jit {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn start(&mut self) -> Result<(), Ending> {
        self.call("_start")
    }

    fn initialize(&mut self) -> Result<(), Ending> {
        if self.instance.get_func(&mut self.store, "_initialize").is_some() {
            self.call("_initialize")?;
        }
        Ok(())
    }

    fn step(&mut self, amount: i64) -> Result<i32, Ending> {
        self.instance
            .get_typed_func::<i64, i32>(&mut self.store, "fog_step")
            .and_then(|step| step.call(&mut self.store, amount))
            .map_err(|e| ending(&e))
    }

    fn host(&mut self) -> &mut Host {
        &mut self.store.data_mut().host
    }

    fn parts(&mut self) -> (&mut [u8], &mut Host) {
        match self.store.data().memory {
            Some(memory) => {
                let (bytes, data) = memory.data_and_store_mut(&mut self.store);
                (bytes, &mut data.host)
            }
            None => (&mut [], &mut self.store.data_mut().host),
        }
    }

    fn grow(&mut self, pages: u64) -> Result<(), Ending> {
        let Some(memory) = self.store.data().memory else { return Ok(()) };
        let more = pages.saturating_sub(memory.size(&self.store));
        memory.grow(&mut self.store, more).map(drop).map_err(|e| ending(&e))
    }

    fn globals(&mut self) -> Vec<(String, u128)> {
        let mut found = Vec::new();
        for (name, global) in &self.globals {
            let bits = match global.get(&mut self.store) {
                Val::I32(value) => value as u32 as u128,
                Val::I64(value) => value as u64 as u128,
                Val::F32(bits) => bits.into(),
                Val::F64(bits) => bits.into(),
                Val::V128(value) => value.as_u128(),
                _ => continue,
            };
            found.push((name.clone(), bits));
        }
        found
    }

    fn set_global(&mut self, name: &str, bits: u128) -> bool {
        let Some((_, global)) = self.globals.iter().find(|(found, _)| found == name) else { return false };
        let value = match global.ty(&self.store).content() {
            ValType::I32 => Val::I32(bits as u32 as i32),
            ValType::I64 => Val::I64(bits as u64 as i64),
            ValType::F32 => Val::F32(bits as u32),
            ValType::F64 => Val::F64(bits as u64),
            ValType::V128 => Val::V128(bits.into()),
            ValType::Ref(_) => return false,
        };
        global.set(&mut self.store, value).is_ok()
    }

    fn set_state(&mut self, state: i32) -> Result<(), Ending> {
        apply(&mut self.store.as_context_mut(), Globals { state, flag: 0 }).map_err(|e| ending(&e))
    }

    fn fuel(&mut self) -> u64 {
        u64::MAX - self.store.get_fuel().unwrap_or(u64::MAX)
    }
}

use wasmtime::AsContextMut;

impl Jit {
    fn call(&mut self, name: &str) -> Result<(), Ending> {
        self.instance
            .get_typed_func::<(), ()>(&mut self.store, name)
            .and_then(|entry| entry.call(&mut self.store, ()))
            .map_err(|e| ending(&e))
    }
}

fn kind(module: &Module) -> Result<Kind, RunError> {
    let is = |name, params: usize, results: usize| {
        matches!(module.get_export(name), Some(ExternType::Func(ty))
            if ty.params().len() == params && ty.results().len() == results)
    };
    match (is("_start", 0, 0), is("fog_step", 1, 1)) {
        (true, _) => Ok(Kind::Start),
        (false, true) => Ok(Kind::Steps),
        _ => Err(RunError::NotWasm(
            "it has no `_start`: build it as a WASI command (wasm32-wasip1), or export `fog_step`".into(),
        )),
    }
}

fn apply(store: &mut StoreContextMut<'_, Data>, globals: Globals) -> wasmtime::Result<()> {
    if let Some(state) = store.data().state {
        state.set(&mut *store, Val::I32(globals.state))?;
    }
    if let Some(flag) = store.data().flag {
        flag.set(&mut *store, Val::I32(globals.flag))?;
    }
    Ok(())
}

fn split<'a>(caller: &'a mut Caller<'_, Data>) -> wasmtime::Result<(Guest<'a>, &'a mut Host)> {
    let Some(memory) = caller.data().memory.or_else(|| match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Some(memory),
        _ => None,
    }) else {
        return Err(Ending::Stop(RunError::Trap("it exports no `memory`".into())).into());
    };
    let (bytes, data) = memory.data_and_store_mut(caller);
    Ok((Guest(bytes), &mut data.host))
}

/// Gives the module what jobs are given; refuses by name what they are not.
fn link(engine: &Engine, module: &Module) -> Result<Linker<Data>, RunError> {
    let mut linker: Linker<Data> = Linker::new(engine);
    macro_rules! define {
        ($linker:ident; $($name:ident($($param:ident: $ty:ty),*);)*) => {
            $($linker.func_wrap(MODULE, stringify!($name), |mut caller: Caller<'_, Data>, $($param: $ty),*| -> wasmtime::Result<i32> {
                let wait = stringify!($name) == "poll_oneoff";
                if wait && let Some(globals) = caller.data_mut().host.before_wait().map_err(Ending::Stop)? {
                    apply(&mut caller.as_context_mut(), globals)?;
                }
                let (mut guest, host) = split(&mut caller)?;
                let result = Host::returned(host.wasi.$name(&mut guest, $($param),*))?;
                if wait && let Some(globals) = host.after_wait() {
                    apply(&mut caller.as_context_mut(), globals)?;
                }
                Ok(result)
            }).map_err(|e| device(&e))?;)*
        };
    }
    wasi_functions!(define, linker);
    linker
        .func_wrap(MODULE, "proc_exit", |code: i32| -> wasmtime::Result<()> {
            Err(Ending::Exit(code).into())
        })
        .map_err(|e| device(&e))?;
    linker
        .func_wrap(IMPORT_MODULE, "poll", |mut caller: Caller<'_, Data>| -> wasmtime::Result<()> {
            let globals = caller.data_mut().host.poll().map_err(Ending::Stop)?;
            apply(&mut caller.as_context_mut(), globals)
        })
        .map_err(|e| device(&e))?;
    linker
        .func_wrap(
            IMPORT_MODULE,
            "push",
            |mut caller: Caller<'_, Data>, value: u64| -> wasmtime::Result<()> {
                Ok(caller.data_mut().host.push(value).map_err(Ending::Stop)?)
            },
        )
        .map_err(|e| device(&e))?;
    linker
        .func_wrap(IMPORT_MODULE, "pop", |mut caller: Caller<'_, Data>| -> wasmtime::Result<u64> {
            Ok(caller.data_mut().host.pop().map_err(Ending::Stop)?)
        })
        .map_err(|e| device(&e))?;
    for import in module.imports() {
        let known = import.module() == MODULE || import.module() == IMPORT_MODULE;
        if !known || !matches!(import.ty(), ExternType::Func(_)) {
            return Err(RunError::Denied(format!("the import {}.{}", import.module(), import.name())));
        }
    }
    Ok(linker)
}

/// Tells a program's own exit from its failures.
pub(super) fn ending(error: &wasmtime::Error) -> Ending {
    if let Some(ending) = error.downcast_ref::<Ending>() {
        return ending.clone();
    }
    Ending::Stop(match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => RunError::Trap("it ran out of stack: it recurses too deeply".into()),
        Some(trap) => RunError::Trap(trap.to_string()),
        None => RunError::Trap(format!("{error:#}")),
    })
}

/// An error before the program's entry was called.
fn error(error: &wasmtime::Error) -> RunError {
    match ending(error) {
        Ending::Stop(error) => error,
        Ending::Exit(code) => RunError::Trap(format!("it ended with {code} before it began")),
    }
}

fn device(error: &wasmtime::Error) -> RunError {
    RunError::Device(format!("{error:#}"))
}
