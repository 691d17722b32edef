//! A CPU-bound module in a worker process, against plain wasmtime in this one with the same interruption settings.

use super::{Bench, Metric, PRICES, ROUNDS};
use anyhow::{Context, Result, anyhow, ensure};
use fog_jobs::{Events, RunHandle};
use std::time::{Duration, Instant};
use wasmtime::{Config, Engine, Linker, Module, Store};
use wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_sync};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{I32Exit, WasiCtxBuilder};

/// Some seconds of work.
const ARGS: [&str; 4] = ["--paths", "20000000", "--kind", "put"];

pub(super) fn measure(bench: &Bench) -> Result<Vec<Metric>> {
    let module = bench.file("prices.wasm", PRICES)?;
    let sandbox = bench.sandbox()?;
    let plain = Plain::new()?;
    let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
    for round in 0..=ROUNDS {
        let start = Instant::now();
        let handle = RunHandle::new(1.0);
        let run = sandbox.run(bench.request(&module, &ARGS), &handle, Events::none());
        let outcome = bench.runtime.block_on(run)?;
        let took = start.elapsed();
        let (printed, baseline) = plain.run()?;
        ensure!(std::fs::read(&outcome.stdout)? == printed, "the sandbox computes differently");
        // The first round compiles.
        if round > 0 {
            ours = ours.min(took);
            theirs = theirs.min(baseline);
        }
    }
    let rate = |d: Duration| 1.0 / d.as_secs_f64();
    Ok(vec![Metric::new("cpu_bound_module", rate(ours), "runs/s").against(rate(theirs)).ratio_at_least(0.95)])
}

/// The module, compiled.
struct Plain {
    engine: Engine,
    module: Module,
}

impl Plain {
    fn new() -> Result<Self> {
        let mut config = Config::new();
        config.consume_fuel(true).epoch_interruption(true);
        let engine = Engine::new(&config).map_err(|e| anyhow!("{e}"))?;
        let module = Module::new(&engine, PRICES).map_err(|e| anyhow!("{e}"))?;
        Ok(Self { engine, module })
    }

    /// What it prints, and how long it takes.
    fn run(&self) -> Result<(Vec<u8>, Duration)> {
        let start = Instant::now();
        let mut linker: Linker<WasiP1Ctx> = Linker::new(&self.engine);
        add_to_linker_sync(&mut linker, |ctx| ctx).map_err(|e| anyhow!("{e}"))?;
        let (output, log) = (MemoryOutputPipe::new(1 << 20), MemoryOutputPipe::new(1 << 20));
        let mut wasi = WasiCtxBuilder::new();
        wasi.arg("job").args(&ARGS).stdout(output.clone()).stderr(log);
        let mut store = Store::new(&self.engine, wasi.build_p1());
        store.set_fuel(u64::MAX).map_err(|e| anyhow!("{e}"))?;
        store.set_epoch_deadline(1);
        let instance = linker.instantiate(&mut store, &self.module).map_err(|e| anyhow!("{e}"))?;
        let entry = instance.get_typed_func::<(), ()>(&mut store, "_start").map_err(|e| anyhow!("{e}"))?;
        if let Err(e) = entry.call(&mut store, ()) {
            let code = e.downcast_ref::<I32Exit>().context("the module crashed")?.0;
            ensure!(code == 0, "the module ended with {code}");
        }
        Ok((output.contents().to_vec(), start.elapsed()))
    }
}
