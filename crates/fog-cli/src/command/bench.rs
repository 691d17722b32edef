//! `fog bench`: measurements, each beside its baseline from the same run where there is one.

mod compute;
mod direct;
mod harvest;
mod mixnet;
mod mixnode;
mod process;
mod replay;
mod skeleton;
mod sphinx;

use crate::args::{BenchArgs, BenchName, Global};
use crate::output::show;
use anyhow::Result;
use serde::Serialize;
use std::io::{self, Write};

/// One figure.
#[derive(Serialize)]
struct Metric {
    name: String,
    value: f64,
    unit: &'static str,
    /// The peer's figure in the same run.
    baseline: Option<f64>,
    /// `value` against `baseline`.
    ratio: Option<f64>,
    goal: Option<f64>,
    /// None without a goal.
    met: Option<bool>,
}

impl Metric {
    fn new(name: &str, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, baseline: None, ratio: None, goal: None, met: None }
    }

    /// Less than this is good.
    fn at_most(mut self, goal: f64) -> Self {
        (self.goal, self.met) = (Some(goal), Some(self.value <= goal));
        self
    }

    /// At least this is good.
    fn at_least(mut self, goal: f64) -> Self {
        (self.goal, self.met) = (Some(goal), Some(self.value >= goal));
        self
    }

    /// At least so many times the baseline is good.
    fn ratio_at_least(mut self, goal: f64) -> Self {
        (self.goal, self.met) = (Some(goal), self.ratio.map(|r| r >= goal));
        self
    }

    fn against(mut self, baseline: f64) -> Self {
        (self.baseline, self.ratio) = (Some(baseline), Some(self.value / baseline));
        self
    }
}

#[derive(Serialize)]
struct Report {
    bench: &'static str,
    machine: Machine,
    metrics: Vec<Metric>,
}

/// What measured.
#[derive(Serialize)]
pub(super) struct Machine {
    os: &'static str,
    arch: &'static str,
    cpus: usize,
    /// False: an unoptimised build, whose times say little.
    optimised: bool,
}

pub(crate) fn run(global: &Global, args: &BenchArgs) -> Result<()> {
    crate::config::logging(global, "error")?;
    let (bench, metrics) = match args.name {
        BenchName::Compute => ("compute", compute::run(args)?),
        BenchName::Skeleton => ("skeleton", skeleton::run(args)?),
        BenchName::Mixnet => ("mixnet", mixnet::run(args)?),
        BenchName::Mixnode => ("mixnode", mixnode::run(args)?),
        BenchName::Harvest => ("harvest", harvest::run()?),
        BenchName::Replay => ("replay", replay::run(args)?),
        BenchName::Sphinx => ("sphinx", sphinx::run(args)?),
    };
    let machine = Machine::here();
    show(global, &Report { bench, machine, metrics }, table)
}

impl Machine {
    /// This one.
    pub(super) fn here() -> Self {
        Self {
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            optimised: !cfg!(debug_assertions),
        }
    }

    /// The build is optimised, so that its times mean something.
    pub(super) fn optimised(&self) -> bool {
        self.optimised
    }
}

fn table(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    if !report.machine.optimised {
        writeln!(out, "This is an unoptimised build: build with --release for figures that mean something.")?;
    }
    for m in &report.metrics {
        let number = |n: Option<f64>| n.map_or_else(|| "-".into(), |n| format!("{n:.2}"));
        let met = m.met.map_or("", |met| if met { "met" } else { "missed" });
        writeln!(
            out,
            "{:<34} {:>10.2} {:<4} baseline {:>8} ratio {:>6} goal {:>6} {met}",
            m.name,
            m.value,
            m.unit,
            number(m.baseline),
            number(m.ratio),
            number(m.goal)
        )?;
    }
    Ok(())
}
