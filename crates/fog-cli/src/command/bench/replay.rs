//! The replay filter at its full size: what an hour at 25,000 packets a second leaves behind.

use super::{Metric, process};
use crate::args::BenchArgs;
use anyhow::{Context, Result};
use betanet::mix::{HOUR_AT_FULL_RATE, ReplayFilter};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::path::Path;
use std::time::{Duration, Instant};

/// Tags that are appended to the file at once: about what a read of a busy relay brings.
const BATCH: usize = 64;
const SEED: u64 = 25_000;
/// New tags that are asked for; so many that chance moves the result by less than a fifth.
const STRANGERS: usize = 4_000_000;
const MB: f64 = 1e6;

pub(super) fn run(_: &BenchArgs) -> Result<Vec<Metric>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tags");
    let before = process::own_resident_mb()?;
    let (filter, inserting, appending) = fill(&path)?;
    let memory = process::own_resident_mb()? - before;

    let start = Instant::now();
    filter.log().context("the filter has a file")?.synchronise()?;
    let synchronising = start.elapsed();
    let mut strangers = StdRng::seed_from_u64(SEED + 1);
    let start = Instant::now();
    let refused = (0..STRANGERS).filter(|_| filter.contains(strangers.random())).count();
    let checking = start.elapsed();
    drop(filter);

    let file = std::fs::metadata(&path)?.len();
    let start = Instant::now();
    let again = ReplayFilter::open(&path, HOUR_AT_FULL_RATE)?;
    let loading = start.elapsed();
    // Nothing is forgotten: all of the first million, and of the last, which are in other layers.
    let mut known = StdRng::seed_from_u64(SEED);
    let ends = 1_000_000..HOUR_AT_FULL_RATE - 1_000_000;
    let forgotten = (0..HOUR_AT_FULL_RATE)
        .map(|i| (i, known.random::<u64>()))
        .filter(|(i, tag)| !ends.contains(i) && !again.contains(*tag))
        .count();

    let each = |d: Duration, n: usize| d.as_secs_f64() * 1e9 / n as f64;
    Ok(vec![
        Metric::new("replay_tags", HOUR_AT_FULL_RATE as f64, "tags"),
        Metric::new("replay_memory", memory, "MB").at_most(400.0),
        Metric::new("replay_file", file as f64 / MB, "MB"),
        Metric::new("replay_insert", each(inserting, HOUR_AT_FULL_RATE), "ns"),
        Metric::new("replay_append_of_64", each(appending, HOUR_AT_FULL_RATE / BATCH) / 1e3, "us"),
        Metric::new("replay_synchronise", synchronising.as_secs_f64(), "s"),
        Metric::new("replay_check", each(checking, STRANGERS), "ns"),
        Metric::new("replay_false_refusals_of_100000", refused as f64 * 1e5 / STRANGERS as f64, "")
            .at_most(1.0),
        Metric::new("replay_load", loading.as_secs_f64(), "s"),
        Metric::new("replay_forgotten", forgotten as f64, "tags").at_most(0.0),
    ])
}

/// A full filter with its file, the time that remembering took, and that of writing.
fn fill(path: &Path) -> Result<(ReplayFilter, Duration, Duration)> {
    let mut filter = ReplayFilter::open(path, HOUR_AT_FULL_RATE)?;
    let log = filter.log().context("the filter has a file")?.clone();
    let mut tags = StdRng::seed_from_u64(SEED);
    let (mut inserting, mut appending) = (Duration::ZERO, Duration::ZERO);
    let mut left = HOUR_AT_FULL_RATE;
    while left > 0 {
        let batch: Vec<u64> = (0..left.min(BATCH)).map(|_| tags.random()).collect();
        left -= batch.len();
        let start = Instant::now();
        for tag in &batch {
            filter.insert(*tag)?;
        }
        let inserted = Instant::now();
        log.append(&batch)?;
        inserting += inserted - start;
        appending += inserted.elapsed();
    }
    Ok((filter, inserting, appending))
}
