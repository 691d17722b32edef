//! Core modules in wasmi, an interpreter: where the system forbids code that is made at run time (iOS).
//!
//! Everything the program sees is the same as in [`super::jit`]. wasmi has no epochs; instead the program runs on slices of
//! fuel, and between two slices it is looked after. It counts fuel in its own way: a block is paid for when it is entered,
//! even if a branch leaves it in the middle.
//!
//! wasmi is built with its portable dispatch, a loop. The other one jumps from operator to operator and relies on the
//! optimiser to make these jumps of calls; where it does not, a program's every operator takes native stack.

mod begin;

use super::drive::{Kind, Machine};
use super::host::{Ending, Globals, Host, Movable, WASM_STACK};
use super::wasi::functions::{MODULE, wasi_functions};
use super::wasi::guest::Guest;
use crate::prepare::{FLAG_GLOBAL, GLOBAL_PREFIX, IMPORT_MODULE, STATE_GLOBAL};
use crate::run::RunError;
use wasmi::{
    AsContextMut, Caller, CompilationMode, Config, CustomFuelCosts, Engine, Error, Extern, ExternType,
    Global, Instance, Linker, Memory, Module, Mutability, Store, StoreContextMut, TrapCode,
    TypedResumableCall, Val, ValType,
};

/// Fuel of a slice: some milliseconds.
const SLICE: u64 = 1_000_000;
/// Bytes of a module's stack, which wasmi keeps on the heap. What fits the compiled code's stack should fit here, and
/// values take more room.
const STACK: usize = 4 * WASM_STACK;
/// Most calls on it: a call of compiled code takes at least 16 bytes.
const DEPTH: usize = WASM_STACK / 16;

struct Data {
    host: Host,
    memory: Option<Memory>,
    state: Option<Global>,
    flag: Option<Global>,
}

/// A module in wasmi.
pub(super) struct Interpreter {
    store: Store<Data>,
    instance: Instance,
    kind: Kind,
    globals: Vec<(String, Global)>,
    /// Fuel that was put in.
    filled: u64,
}

impl Interpreter {
    pub(super) fn new(bytes: &[u8], host: Host) -> Result<Self, RunError> {
        let mut config = Config::default();
        config
            .consume_fuel(true)
            // As wasmtime counts it: nothing for compiling, one for each byte that is copied.
            .fuel_cost(CustomFuelCosts {
                bytes_copied_per_fuel: 1,
                fuel_per_bytes_translated: 0,
                fuel_per_bytes_validated: 0,
            })
            .compilation_mode(CompilationMode::Eager)
            .set_max_stack_height(STACK)
            .set_max_recursion_depth(DEPTH);
        let engine = Engine::new(&config);
        let (bytes, begins) = begin::by_hand(bytes);
        let module = Module::new(&engine, &*bytes).map_err(|e| RunError::NotWasm(e.to_string()))?;
        drop(bytes);
        let kind = kind(&module)?;
        let mut store = Store::new(&engine, Data { host, memory: None, state: None, flag: None });
        store.limiter(|data| &mut data.host.meter);
        store.set_fuel(SLICE).map_err(|e| RunError::Device(e.to_string()))?;
        let linker = link(&engine, &module)?;
        let early = |ending| match ending {
            Ending::Stop(error) => error,
            Ending::Exit(code) => RunError::Trap(format!("it ended with {code} before it began")),
        };
        let made = linker.instantiate_and_start(&mut store, &module);
        let instance = made.map_err(|e| early(ending(&mut store.as_context_mut(), &e)))?;
        let mut whole = Self { store, instance, kind, globals: Vec::new(), filled: SLICE };
        if begins {
            whole.call::<(), ()>(begin::EXPORT, ()).map_err(early)?;
        }
        whole.look_around(&module)?;
        Ok(whole)
    }

    /// Finds what the host needs of the module.
    fn look_around(&mut self, module: &Module) -> Result<(), RunError> {
        let Self { store, instance, kind, globals, .. } = self;
        let kind = *kind;
        let memory = instance.get_memory(&*store, "memory");
        store.data_mut().memory = memory;
        let prepared = module.imports().any(|import| import.module() == IMPORT_MODULE);
        if prepared {
            let own = |name: &str| -> Result<Global, RunError> {
                let i32s = |global: &Global| {
                    let ty = global.ty(&*store);
                    ty.mutability() == Mutability::Var && ty.content() == ValType::I32
                };
                instance.get_global(&*store, name).filter(i32s).ok_or_else(|| {
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
        for export in module.exports() {
            let name = export.name();
            let kept = name.starts_with(GLOBAL_PREFIX) || kind == Kind::Steps;
            if let ExternType::Global(ty) = export.ty()
                && kept
                && ty.mutability() == Mutability::Var
                && let Some(global) = instance.get_global(&*store, name)
            {
                globals.push((name.to_owned(), global));
            }
        }
        Ok(())
    }

    /// Runs a function on slices of fuel.
    fn call<P: wasmi::WasmParams, R: wasmi::WasmResults>(
        &mut self,
        name: &str,
        params: P,
    ) -> Result<R, Ending>
    where
        TypedResumableCall<R>: Resumes<R>,
    {
        let function = self.instance.get_typed_func::<P, R>(&self.store, name);
        let function = function.map_err(|e| Ending::Stop(RunError::NotWasm(e.to_string())))?;
        let mut call = function
            .call_resumable(&mut self.store, params)
            .map_err(|e| ending(&mut self.store.as_context_mut(), &e))?;
        loop {
            match call {
                TypedResumableCall::Finished(result) => return Ok(result),
                TypedResumableCall::HostTrap(trap) => {
                    return Err(ending(&mut self.store.as_context_mut(), trap.host_error()));
                }
                TypedResumableCall::OutOfFuel(paused) => {
                    let set = self.store.data_mut().host.interrupted().map_err(Ending::Stop)?;
                    if set && let Some(flag) = self.store.data().flag {
                        let set = flag.set(&mut self.store, Val::I32(1));
                        set.map_err(|e| Ending::Stop(RunError::Device(e.to_string())))?;
                    }
                    let left = self.store.get_fuel().unwrap_or(0);
                    let more = SLICE.max(paused.required_fuel());
                    self.filled = self.filled.saturating_add(more);
                    self.store
                        .set_fuel(left.saturating_add(more))
                        .map_err(|e| Ending::Stop(RunError::Device(e.to_string())))?;
                    call = TypedResumableCall::OutOfFuel(paused)
                        .go_on(&mut self.store)
                        .map_err(|e| ending(&mut self.store.as_context_mut(), &e))?;
                }
            }
        }
    }
}

/// Goes on after a slice, for the two kinds of results that we call for.
trait Resumes<R>: Sized {
    fn go_on(self, store: &mut Store<Data>) -> Result<Self, Error>;
}

macro_rules! resumes {
    ($result:ty) => {
        impl Resumes<$result> for TypedResumableCall<$result> {
            fn go_on(self, store: &mut Store<Data>) -> Result<Self, Error> {
                match self {
                    Self::OutOfFuel(paused) => paused.resume(store),
                    other => Ok(other),
                }
            }
        }
    };
}
resumes!(());
resumes!(i32);

impl Machine for Interpreter {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn start(&mut self) -> Result<(), Ending> {
        self.call::<(), ()>("_start", ())
    }

    fn initialize(&mut self) -> Result<(), Ending> {
        if self.instance.get_func(&self.store, "_initialize").is_some() {
            self.call::<(), ()>("_initialize", ())?;
        }
        Ok(())
    }

    fn step(&mut self, amount: i64) -> Result<i32, Ending> {
        self.call::<i64, i32>("fog_step", amount)
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
        let grown = memory.grow(&mut self.store, more);
        let limit = self.store.data().host.meter.limit;
        grown.map(drop).map_err(|_| Ending::Stop(RunError::MemoryLimit(limit)))
    }

    fn globals(&mut self) -> Vec<(String, u128)> {
        let mut found = Vec::new();
        for (name, global) in &self.globals {
            let bits = match global.get(&self.store) {
                Val::I32(value) => value as u32 as u128,
                Val::I64(value) => value as u64 as u128,
                Val::F32(value) => value.to_bits().into(),
                Val::F64(value) => value.to_bits().into(),
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
            ValType::F32 => Val::F32(wasmi::F32::from_bits(bits as u32)),
            ValType::F64 => Val::F64(wasmi::F64::from_bits(bits as u64)),
            ValType::V128 => Val::V128(bits.into()),
            _ => return false,
        };
        global.set(&mut self.store, value).is_ok()
    }

    fn set_state(&mut self, state: i32) -> Result<(), Ending> {
        let set = apply(&mut self.store.as_context_mut(), Globals { state, flag: 0 });
        set.map_err(|e| Ending::Stop(RunError::Device(e.to_string())))
    }

    fn fuel(&mut self) -> u64 {
        self.filled.saturating_sub(self.store.get_fuel().unwrap_or(0))
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

fn apply(store: &mut StoreContextMut<'_, Data>, globals: Globals) -> Result<(), Error> {
    let refused = |e: wasmi::errors::GlobalError| Error::new(e.to_string());
    if let Some(state) = store.data().state {
        state.set(&mut *store, Val::I32(globals.state)).map_err(refused)?;
    }
    if let Some(flag) = store.data().flag {
        flag.set(&mut *store, Val::I32(globals.flag)).map_err(refused)?;
    }
    Ok(())
}

fn split<'a>(caller: &'a mut Caller<'_, Data>) -> Result<(Guest<'a>, &'a mut Host), Error> {
    let found = caller.data().memory.or_else(|| match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Some(memory),
        _ => None,
    });
    let Some(memory) = found else { return Err(stop(RunError::Trap("it exports no `memory`".into()))) };
    let (bytes, data) = memory.data_and_store_mut(caller.as_context_mut());
    Ok((Guest(bytes), &mut data.host))
}

fn stop(error: RunError) -> Error {
    Error::host(Ending::Stop(error))
}

/// Gives the module what jobs are given; refuses by name what they are not.
fn link(engine: &Engine, module: &Module) -> Result<Linker<Data>, RunError> {
    let mut linker: Linker<Data> = Linker::new(engine);
    let device = |e: wasmi::errors::LinkerError| RunError::Device(e.to_string());
    macro_rules! define {
        ($linker:ident; $($name:ident($($param:ident: $ty:ty),*);)*) => {
            $($linker.func_wrap(MODULE, stringify!($name), |mut caller: Caller<'_, Data>, $($param: $ty),*| -> Result<i32, Error> {
                let wait = stringify!($name) == "poll_oneoff";
                if wait && let Some(globals) = caller.data_mut().host.before_wait().map_err(stop)? {
                    apply(&mut caller.as_context_mut(), globals)?;
                }
                let (mut guest, host) = split(&mut caller)?;
                let result = Host::returned(host.wasi.$name(&mut guest, $($param),*)).map_err(Error::host)?;
                if wait && let Some(globals) = host.after_wait() {
                    apply(&mut caller.as_context_mut(), globals)?;
                }
                Ok(result)
            }).map_err(device)?;)*
        };
    }
    wasi_functions!(define, linker);
    linker
        .func_wrap(MODULE, "proc_exit", |_: Caller<'_, Data>, code: i32| -> Result<(), Error> {
            Err(Error::host(Ending::Exit(code)))
        })
        .map_err(device)?;
    linker
        .func_wrap(IMPORT_MODULE, "poll", |mut caller: Caller<'_, Data>| -> Result<(), Error> {
            let globals = caller.data_mut().host.poll().map_err(stop)?;
            apply(&mut caller.as_context_mut(), globals)
        })
        .map_err(device)?;
    linker
        .func_wrap(IMPORT_MODULE, "push", |mut caller: Caller<'_, Data>, value: u64| -> Result<(), Error> {
            caller.data_mut().host.push(value).map_err(stop)
        })
        .map_err(device)?;
    linker
        .func_wrap(IMPORT_MODULE, "pop", |mut caller: Caller<'_, Data>| -> Result<u64, Error> {
            caller.data_mut().host.pop().map_err(stop)
        })
        .map_err(device)?;
    for import in module.imports() {
        let known = import.module() == MODULE || import.module() == IMPORT_MODULE;
        if !known || !matches!(import.ty(), ExternType::Func(_)) {
            return Err(RunError::Denied(format!("the import {}.{}", import.module(), import.name())));
        }
    }
    Ok(linker)
}

/// Tells a program's own exit from its failures.
fn ending(store: &mut StoreContextMut<'_, Data>, error: &Error) -> Ending {
    if let Some(ending) = error.downcast_ref::<Ending>() {
        return ending.clone();
    }
    if let Some(reason) = store.data_mut().host.meter.stop.take() {
        return Ending::Stop(reason);
    }
    Ending::Stop(match error.as_trap_code() {
        Some(TrapCode::StackOverflow) => RunError::Trap("it ran out of stack: it recurses too deeply".into()),
        Some(trap) => RunError::Trap(trap.to_string()),
        None => RunError::Trap(error.to_string()),
    })
}
