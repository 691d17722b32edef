//! What checkpoints cost a job, and how long one of much memory takes.

use super::{Bench, Metric, PRICES, ROUNDS, millis, quantile};
use anyhow::{Context, Result, bail};
use fog_jobs::prepare::prepare;
use fog_jobs::{Events, RunError, RunEvent, RunHandle, RunRequest};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Some seconds of work, so that several checkpoints fall into it.
const ARGS: [&str; 2] = ["--paths", "30000000"];
/// Time between checkpoints: far less than the 60 s that jobs have by default.
const EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(120);

/// Fills 64 MB with numbers that do not repeat, and changes one of them now and then.
const FILLED: &str = r#"(module
  (memory (export "memory") 1025)
  (func (export "_start") (local $at i32) (local $mix i64)
    (local.set $mix (i64.const 0x9e3779b97f4a7c15))
    (loop $fill
      (local.set $mix (i64.add (i64.mul (local.get $mix) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))
      (i64.store (local.get $at) (local.get $mix))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $fill (i32.lt_u (local.get $at) (i32.const 67108864))))
    (i32.store (i32.const 67108864) (i32.const 1))
    (loop $go
      (local.set $mix (i64.add (i64.mul (local.get $mix) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))
      (i64.store (i32.wrap_i64 (i64.and (local.get $mix) (i64.const 67108856))) (local.get $mix))
      (br $go))))"#;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Metric>> {
    let mut metrics = overhead(bench)?;
    metrics.push(large(bench)?);
    Ok(metrics)
}

/// The running time of the same program as it is, and prepared with a checkpoint every second.
fn overhead(bench: &Bench) -> Result<Vec<Metric>> {
    let sandbox = bench.sandbox()?;
    let plain = bench.file("plain.wasm", PRICES)?;
    let movable = bench.file("movable.wasm", &prepare(PRICES)?.module)?;
    let (mut without, mut with, mut most) = (Duration::MAX, Duration::MAX, 0);
    for round in 0..=ROUNDS {
        for checkpoints in [false, true] {
            let request = RunRequest {
                checkpoint_every: checkpoints.then_some(EVERY),
                ..bench.request(if checkpoints { &movable } else { &plain }, &ARGS)
            };
            let (events, mut heard) = mpsc::channel(1024);
            let start = Instant::now();
            let handle = RunHandle::new(1.0);
            let run = sandbox.run(request, &handle, Events::to(events));
            bench.runtime.block_on(run)?;
            let took = start.elapsed();
            let mut count = 0;
            while let Ok(event) = heard.try_recv() {
                count += u32::from(matches!(event, RunEvent::Checkpoint(_)));
            }
            if checkpoints && count == 0 {
                bail!("no checkpoint was taken in {took:?}");
            }
            if round > 0 {
                let best = if checkpoints { &mut with } else { &mut without };
                *best = took.min(*best);
                most = most.max(count);
            }
        }
    }
    let percent = (with.as_secs_f64() / without.as_secs_f64() - 1.0) * 100.0;
    Ok(vec![
        Metric::new("checkpoint_overhead", percent, "%").at_most(10.0),
        Metric::new("checkpoints_in_that_run", most.into(), "checkpoints"),
    ])
}

/// From asking for a checkpoint of 64 MB to having it: memory, file and the node's copy.
fn large(bench: &Bench) -> Result<Metric> {
    let sandbox = bench.sandbox()?;
    let module = wat::parse_str(FILLED)?;
    let module = bench.file("filled.wasm", &prepare(&module)?.module)?;
    let handle = RunHandle::new(1.0);
    let (events, mut heard) = mpsc::channel(64);
    let request = bench.request(&module, &[]);
    bench.runtime.block_on(async {
        let run = {
            let handle = handle.clone();
            tokio::spawn(async move { sandbox.run(request, &handle, Events::to(events)).await })
        };
        let mut took = Vec::new();
        // Until the memory is full a checkpoint is smaller.
        while took.len() < ROUNDS as usize {
            let start = Instant::now();
            handle.checkpoint();
            let bytes =
                tokio::time::timeout(PATIENCE, next(&mut heard)).await.context("no checkpoint came")??;
            if bytes > 64 << 20 {
                took.push(millis(start.elapsed()));
            }
        }
        handle.cancel();
        match run.await? {
            Err(RunError::Cancelled) => {}
            other => bail!("the program ended by itself: {other:?}"),
        }
        Ok(Metric::new("checkpoint_of_64_mb", quantile(&mut took, 0.5), "ms").at_most(1000.0))
    })
}

async fn next(events: &mut mpsc::Receiver<RunEvent>) -> Result<u64> {
    loop {
        match events.recv().await.context("the run ended")? {
            RunEvent::Checkpoint(checkpoint) => return Ok(checkpoint.bytes),
            RunEvent::Note(note) => bail!("no checkpoint: {note}"),
            _ => {}
        }
    }
}
