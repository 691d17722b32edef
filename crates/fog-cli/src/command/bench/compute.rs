//! Computing: how soon a job starts, how fast it runs, how many there can be, what checkpoints cost, and whether the
//! device's owner notices.
//!
//! A node and its sandbox are in this process, their workers in processes of their own, as in a running node. Each baseline is
//! measured in the same run, in turns with ours; of rounds that do the same the best counts, because whatever else the
//! machine does only makes a round longer. The programs are below: a price by simulation (the example, all arithmetic), one that fills memory, and
//! one that does nothing.

mod checkpoint;
mod lateness;
mod node;
mod speed;

use super::Metric;
use crate::args::BenchArgs;
use anyhow::Result;
use fog_jobs::{Limits, Program, RunRequest, Sandbox};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A CPU-bound program for WASI.
const PRICES: &[u8] = include_bytes!("../../../../../examples/monte-carlo/monte-carlo.wasm");
/// Rounds of what takes seconds.
const ROUNDS: u32 = 5;

pub(super) fn run(args: &BenchArgs) -> Result<Vec<Metric>> {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let bench = Bench { folder: folder.path().into(), runtime };
    let mut metrics = bench.runtime.block_on(node::measure(&bench.folder, args))?;
    metrics.extend(speed::measure(&bench)?);
    metrics.extend(checkpoint::measure(&bench)?);
    metrics.extend(lateness::measure(&bench)?);
    Ok(metrics)
}

/// Where it all happens.
struct Bench {
    folder: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    /// A sandbox as a node has it.
    fn sandbox(&self) -> Result<Sandbox> {
        let sandbox = Sandbox::new(vec![std::env::current_exe()?.into(), "worker".into()]);
        Ok(sandbox.with_cache(self.folder.join("cache"))?)
    }

    /// A program's file.
    fn file(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.folder.join(name);
        std::fs::write(&path, bytes)?;
        Ok(path)
    }

    /// A run of a module, with a scratch folder of its own.
    fn request(&self, module: &Path, args: &[&str]) -> RunRequest {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let limits =
            Limits { seconds: 600, memory_bytes: 256 << 20, output_bytes: 1 << 20, ..Limits::default() };
        RunRequest {
            args: args.iter().map(ToString::to_string).collect(),
            ..RunRequest::new(Program::wasm(module), limits, self.folder.join(format!("run-{number}")))
        }
    }
}

fn millis(d: Duration) -> f64 {
    d.as_secs_f64() * 1000.0
}

/// The value that this share of a list lies below.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(((values.len().max(1) - 1) as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}
