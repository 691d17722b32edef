//! Jobs and workers, for people.

use super::follow::{line, span};
use crate::args::Global;
use crate::output::{ago, printable, show, words};
use anyhow::Result;
use fog_api::*;
use std::io::{self, Write};

pub(super) fn list(global: &Global, jobs: &[JobView]) -> Result<()> {
    show(global, &jobs, |out, jobs| {
        if jobs.is_empty() {
            writeln!(out, "No jobs. Send one: fog job submit --wasm FILE")?;
        }
        for j in *jobs {
            let index = j.index.map(|i| format!("[{i}] ")).unwrap_or_default();
            writeln!(
                out,
                "{}  {:<12} {index}{} ({}, {}): {}",
                &j.id[..8],
                words(&j.state),
                printable(&j.name),
                whose(j),
                ago(j.created),
                printable(&j.note)
            )?;
        }
        Ok(())
    })
}

/// Where it runs, or for whom.
fn whose(job: &JobView) -> String {
    let peer = || printable(job.peer_name.as_deref().unwrap_or("somebody"));
    match (&job.array, job.mine, &job.peer) {
        (Some(array), true, _) => format!("array {}-{}", array.first, array.last),
        (_, false, _) => format!("for {}", peer()),
        (_, _, Some(_)) => format!("at {}", peer()),
        (_, _, None) if matches!(job.to, Some(JobTarget::ThisDevice)) => "on this device".into(),
        _ => "not placed yet".into(),
    }
}

pub(super) fn describe(global: &Global, job: &JobView) -> Result<()> {
    show(global, job, |out, j| {
        writeln!(out, "{} {}", j.id, printable(&j.name))?;
        writeln!(out, "  {}", line(j))?;
        writeln!(out, "  {}, {}, class {}", whose(j), ago(j.created), words(&j.class))?;
        if let Some(a) = &j.array {
            writeln!(
                out,
                "  {} completed, {} failed, {} running, {} scheduled, {} pending, {} cancelled: fog job list {}",
                a.completed,
                a.failed,
                a.running,
                a.scheduled,
                a.pending,
                a.cancelled,
                &j.id[..8]
            )?;
        }
        if let Some(deadline) = j.deadline.filter(|_| !j.state.is_final()) {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let left = deadline - now.map_or(0.0, |d| d.as_secs_f64());
            writeln!(out, "  must be done in {}", span(left))?;
        }
        for (n, attempt) in j.attempts.iter().enumerate() {
            writeln!(out, "  run {}: {}", n + 1, run(attempt))?;
        }
        if let (Some(cpu), Some(fuel)) = (j.cpu_seconds, j.fuel) {
            let memory = j.memory_peak.map(|b| format!(", {} MiB of memory", b.div_ceil(1 << 20)));
            writeln!(out, "  used {cpu:.3} s of CPU, fuel {fuel}{}", memory.unwrap_or_default())?;
        }
        if let Some(code) = j.exit_code.filter(|c| *c != 0) {
            writeln!(out, "  exit code {code}")?;
        }
        if let Some(checked) = &j.checked {
            writeln!(out, "  checked: {}", printable(checked))?;
        }
        match j.price {
            Some(price) => writeln!(out, "  paid {} FOG", price.exact())?,
            None if j.escrow.0 > 0 => writeln!(out, "  {} FOG in escrow", j.escrow)?,
            None => {}
        }
        if let Some(bytes) = j.output_bytes {
            writeln!(out, "  output {bytes} bytes: fog job get {}", &j.id[..8])?;
        }
        if let Some(bytes) = j.files_bytes {
            writeln!(out, "  files {bytes} bytes: fog job get {} -o DIR", &j.id[..8])?;
        }
        if j.log_bytes > 0 {
            writeln!(out, "  log {} bytes: fog job logs {}", j.log_bytes, &j.id[..8])?;
        }
        Ok(())
    })
}

fn run(a: &JobAttempt) -> String {
    let mut text = match &a.peer {
        Some(_) => format!("at {}", printable(a.peer_name.as_deref().unwrap_or("somebody"))),
        None => "on this device".into(),
    };
    text += &format!(", {}", words(&a.state));
    if let Some(number) = a.resumed_from {
        text += &format!(", went on from checkpoint {number}");
    }
    if let Some(number) = a.checkpoint {
        text += &format!(", checkpoint {number}");
    }
    if !a.note.is_empty() {
        text += &format!(": {}", printable(&a.note).replace('\n', " "));
    }
    if let Some(paid) = a.paid.filter(|p| p.0 > 0) {
        text += &format!(" ({paid} FOG)");
    }
    text
}

pub(super) fn workers(global: &Global, workers: &[WorkerView]) -> Result<()> {
    show(global, &workers, |out, workers| {
        for w in *workers {
            worker(out, w)?;
        }
        Ok(())
    })
}

fn worker(out: &mut dyn Write, w: &WorkerView) -> io::Result<()> {
    let name = if w.peer.is_none() { "this device".into() } else { printable(&w.name) };
    let online = if w.peer.is_none() || w.online { "" } else { ", away" };
    let score = format!("{:.2} {} after {}", w.reputation.score, w.reputation.tier, w.reputation.samples);
    let Some(offer) = &w.offer else {
        return writeln!(out, "{name:<20} has not said what it offers{online} (reputation {score})");
    };
    let now = match (offer.takes, offer.allowed) {
        (false, _) => "takes no jobs from you",
        (true, true) => "works now",
        (true, false) => "waits",
    };
    writeln!(
        out,
        "{name:<20} {now}{online}: {} ({}; {} at a time, {} waiting; reputation {score})",
        printable(&offer.reason),
        printable(&offer.runtimes.join(", ")),
        offer.slots,
        offer.waiting
    )
}
