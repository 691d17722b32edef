//! Whether the device's owner notices: a task that wakes every 5 ms, with and without jobs on all cores.

use super::{Bench, Metric, PRICES, quantile};
use anyhow::{Result, bail};
use fog_jobs::{Events, RunError, RunHandle};
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_millis(5);
/// How long it is watched in each turn.
const WATCH: Duration = Duration::from_secs(5);
/// Turns of both, so that a change of the machine's load meets both alike.
const TURNS: u32 = 4;
/// More work than is watched.
const ARGS: [&str; 2] = ["--paths", "100000000000"];

pub(super) fn measure(bench: &Bench) -> Result<Vec<Metric>> {
    let module = bench.file("endless.wasm", PRICES)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut idle, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        idle.extend(watch());
        let sandbox = bench.sandbox()?;
        let handle = RunHandle::new(1.0);
        let mut runs = Vec::new();
        for _ in 0..cores {
            let (sandbox, handle, request) = (sandbox.clone(), handle.clone(), bench.request(&module, &ARGS));
            runs.push(
                bench.runtime.spawn(async move { sandbox.run(request, &handle, Events::none()).await }),
            );
        }
        // Until they compute.
        std::thread::sleep(Duration::from_secs(1));
        busy.extend(watch());
        handle.cancel();
        for run in runs {
            match bench.runtime.block_on(run)? {
                Err(RunError::Cancelled) => {}
                other => bail!("a job ended while it was watched: {other:?}"),
            }
        }
    }
    let (without, with) = (quantile(&mut idle, 0.99), quantile(&mut busy, 0.99));
    Ok(vec![
        Metric::new("owner_5_ms_task_late_p99", with, "ms").against(without),
        Metric::new("owner_5_ms_task_later_by", with - without, "ms").at_most(1.0),
    ])
}

/// How late each waking is, milliseconds.
fn watch() -> Vec<f64> {
    let start = Instant::now();
    let mut late = Vec::new();
    for n in 1.. {
        let due = PERIOD * n;
        if due > WATCH {
            break;
        }
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        late.push(start.elapsed().saturating_sub(due).as_secs_f64() * 1000.0);
    }
    late
}
