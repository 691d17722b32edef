//! `fog sim`: many devices in one process, under a simulated clock.

use super::bench::Machine;
use crate::args::{Global, SimCommand, SimMeshArgs};
use crate::output::show;
use anyhow::{Context, Result};
use fog_api::{ApiError, ErrorKind};
use fog_sim::{Metric, Options, Report, ScenarioError};
use serde::Serialize;
use std::io::{self, Write};

/// What is printed.
#[derive(Serialize)]
struct Simulated {
    #[serde(flatten)]
    report: Report,
    machine: Machine,
}

pub(crate) fn run(global: &Global, command: &SimCommand) -> Result<()> {
    crate::config::logging(global, "error")?;
    let SimCommand::Mesh(args) = command;
    let report = fog_sim::run(&args.scenario, &options(args)).map_err(|e| match e {
        ScenarioError::Elsewhere(..) => ApiError::new(ErrorKind::Unavailable, e.to_string()),
        _ => ApiError::new(ErrorKind::BadInput, e.to_string()),
    })?;
    if let Some(file) = &args.plot {
        std::fs::write(file, fog_sim::svg(&report))
            .with_context(|| format!("the plot could not be written to {}", file.display()))?;
    }
    show(global, &Simulated { report, machine: Machine::here() }, table)
}

fn options(args: &SimMeshArgs) -> Options {
    Options {
        seeds: args.seeds,
        first_seed: args.first_seed,
        short: args.short,
        loss: args.loss.map(|percent| percent / 100.0),
        only_native: args.only_native,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    }
}

fn table(out: &mut dyn Write, simulated: &Simulated) -> io::Result<()> {
    let Simulated { report, machine } = simulated;
    writeln!(
        out,
        "{}: {}; {} seeds, {:.0} % lost, {:.0} s{}",
        report.scenario,
        report.title,
        report.seeds,
        report.loss * 100.0,
        report.took_s,
        if report.short { ", in short" } else { "" }
    )?;
    if !machine.optimised() {
        writeln!(out, "This is an unoptimised build: its times mean little.")?;
    }
    for m in &report.metrics {
        writeln!(out, "{}", line(m))?;
    }
    writeln!(out, "{}", if report.met { "all goals met" } else { "not all goals met" })
}

fn line(m: &Metric) -> String {
    let number = |n: Option<f64>| n.map_or_else(|| "never".into(), |n| format!("{n:.3}"));
    let mut line = format!("{:<38} {:>12} {:<8}", m.name, number(m.value), m.unit);
    if let Some(ci) = m.ci95 {
        line += &format!(" \u{b1} {ci:.3}");
    }
    if let (Some(goal), Some(is)) = (m.goal, m.goal_is) {
        let is = if is == "at_most" { "at most" } else { "at least" };
        line += &format!("  {is} {goal}: {}", if m.met == Some(true) { "met" } else { "missed" });
    }
    for (name, value) in &m.baselines {
        line += &format!("  {name} {}", number(*value));
    }
    line
}
