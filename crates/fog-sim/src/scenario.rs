//! The scenarios, and how one is run: all rule sets, all seeds, means, goals.

mod adversary;
mod community;
mod crowd;
mod history;
mod line;
mod scan;
mod sparse;
mod speed;

use crate::report::{Curve, Metric, Report};
use crate::statistics::Mean;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// How a scenario is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Runs with different chance.
    pub seeds: u64,
    /// The first seed.
    pub first_seed: u64,
    /// A smaller form that takes seconds.
    pub short: bool,
    /// The share of radio operations that are lost, 0 to 1; None: the scenario's own.
    pub loss: Option<f64>,
    /// Ours alone, without the baselines.
    pub only_native: bool,
    /// Threads.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { seeds: 10, first_seed: 1, short: false, loss: None, only_native: false, threads: 2 }
    }
}

/// Why a scenario was not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// There is none of this name.
    #[error("there is no scenario {0:?}; there are {names}", names = NAMES.join(", "))]
    Unknown(String),
    /// It needs more than the mesh engine.
    #[error("{0} is not simulated: it needs {1}, which the mesh engine does not contain")]
    Elsewhere(&'static str, &'static str),
    /// An option that makes no sense.
    #[error("{0}")]
    Option(String),
}

/// The scenarios that can be run.
pub const NAMES: [&str; 12] = ["G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "G10", "G11", "G13", "G14"];

/// What one run measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) values: BTreeMap<&'static str, f64>,
    pub(crate) curve: Vec<(f64, f64)>,
    /// A hash of what happened.
    pub(crate) print: u64,
}

impl Sample {
    pub(crate) fn set(&mut self, name: &'static str, value: f64) {
        self.values.insert(name, value);
    }
}

/// Of one seed: the samples of all rule sets that were run.
pub(crate) type Runs = BTreeMap<&'static str, Sample>;

/// A figure of one seed, from the samples.
type Figure = fn(&Runs, &'static str) -> Option<f64>;

/// A figure and its goal.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) figure: Figure,
    /// The rule set whose figure stands beside.
    pub(crate) baseline: Option<&'static str>,
    pub(crate) goal: Option<Goal>,
}

#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// One scenario.
pub(crate) trait Scenario: Sync {
    fn title(&self) -> &'static str;
    /// The first one is ours.
    fn variants(&self) -> Vec<&'static str>;
    /// Variants without which no figure can be made.
    fn needed(&self) -> usize {
        1
    }
    fn loss(&self) -> f64 {
        0.05
    }
    fn run(&self, variant: &str, seed: u64, loss: f64, short: bool) -> Sample;
    fn specs(&self) -> Vec<Spec>;
    /// Runs one after the other, since it measures time.
    fn alone(&self) -> bool {
        false
    }
}

/// Takes a value as it was measured.
macro_rules! value {
    ($name:literal) => {
        |runs, variant| runs.get(variant)?.values.get($name).copied()
    };
}
pub(crate) use value;

fn find(name: &str) -> Result<Box<dyn Scenario>, ScenarioError> {
    Ok(match name.to_ascii_uppercase().as_str() {
        "G1" => Box::new(line::Line),
        "G2" => Box::new(crowd::Crowd::G2),
        "G3" => Box::new(crowd::Crowd::G3),
        "G4" => Box::new(sparse::Sparse::G4),
        "G5" => Box::new(sparse::Sparse::G5),
        "G6" => Box::new(community::Community),
        "G7" => Box::new(sparse::Sparse::G7),
        "G8" => Box::new(history::LateJoiner),
        "G9" => return Err(ScenarioError::Elsewhere("G9", "the transfer of files")),
        "G10" => Box::new(adversary::Flooded),
        "G11" => Box::new(adversary::Hostile),
        "G12" => return Err(ScenarioError::Elsewhere("G12", "groups")),
        "G13" => Box::new(scan::Scanning),
        "G14" => Box::new(speed::Speed),
        _ => return Err(ScenarioError::Unknown(name.to_owned())),
    })
}

/// Runs a scenario.
///
/// # Errors
///
/// When there is no such scenario, or it cannot be simulated here, or an option makes no sense.
pub fn run(name: &str, options: &Options) -> Result<Report, ScenarioError> {
    let scenario = find(name)?;
    if options.seeds == 0 {
        return Err(ScenarioError::Option("at least one seed is needed".into()));
    }
    let loss = options.loss.unwrap_or(scenario.loss());
    if !(0.0..1.0).contains(&loss) {
        return Err(ScenarioError::Option("the loss must be at least 0 and less than 100 %".into()));
    }
    let started = Instant::now();
    let mut variants = scenario.variants();
    if options.only_native {
        variants.truncate(scenario.needed());
    }
    let tasks: Vec<(&'static str, u64)> = (options.first_seed
        ..options.first_seed.saturating_add(options.seeds))
        .flat_map(|seed| variants.iter().map(move |v| (*v, seed)))
        .collect();
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<u64, Runs>::new()));
    let work = || {
        while let Some((variant, seed)) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let sample = scenario.run(variant, *seed, loss, options.short);
            let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            results.entry(*seed).or_default().insert(variant, sample);
        }
    };
    let threads = if scenario.alone() { 1 } else { options.threads.clamp(1, tasks.len()) };
    std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(work);
        }
    });
    let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let metrics: Vec<Metric> =
        scenario.specs().iter().filter_map(|s| metric(s, &variants, &results)).collect();
    Ok(Report {
        scenario: name.to_ascii_uppercase(),
        title: scenario.title().into(),
        seeds: options.seeds,
        short: options.short,
        loss,
        met: metrics.iter().all(|m| m.met != Some(false)),
        metrics,
        fingerprint: fingerprint(&results),
        took_s: started.elapsed().as_secs_f64(),
        curves: variants.iter().filter_map(|v| curve(v, &results)).collect(),
    })
}

fn metric(spec: &Spec, variants: &[&'static str], results: &BTreeMap<u64, Runs>) -> Option<Metric> {
    let of = |variant: &'static str| {
        let values: Option<Vec<f64>> = results.values().map(|runs| (spec.figure)(runs, variant)).collect();
        values.filter(|v| !v.is_empty()).map(|v| Mean::of(&v))
    };
    let ours = of(variants.first()?)?;
    let finite = |n: f64| Some(n).filter(|n| n.is_finite());
    let baselines: BTreeMap<String, Option<f64>> =
        variants[1..].iter().filter_map(|v| Some(((*v).to_owned(), finite(of(v)?.mean)))).collect();
    let baseline = spec.baseline.and_then(|b| baselines.get(b).copied().flatten());
    let (goal, goal_is, met) = match spec.goal {
        Some(Goal::AtMost(g)) => (Some(g), Some("at_most"), Some(ours.mean <= g)),
        Some(Goal::AtLeast(g)) => (Some(g), Some("at_least"), Some(ours.mean >= g)),
        None => (None, None, None),
    };
    Some(Metric {
        name: spec.name.into(),
        value: finite(ours.mean),
        ci95: ours.ci95.and_then(finite),
        unit: spec.unit,
        ratio: baseline.filter(|b| *b != 0.0).and_then(|b| finite(ours.mean / b)),
        baseline,
        baselines,
        goal,
        goal_is,
        met,
    })
}

/// The mean of the curves of all seeds, at a hundred times.
fn curve(variant: &'static str, results: &BTreeMap<u64, Runs>) -> Option<Curve> {
    let all: Vec<&Sample> =
        results.values().filter_map(|r| r.get(variant)).filter(|s| !s.curve.is_empty()).collect();
    let end = all.iter().filter_map(|s| s.curve.last()).map(|p| p.0).fold(0.0, f64::max);
    if all.is_empty() || end <= 0.0 {
        return None;
    }
    let at =
        |sample: &Sample, t: f64| sample.curve.iter().take_while(|p| p.0 <= t).last().map_or(0.0, |p| p.1);
    let point = |n: i32| {
        let t = end * f64::from(n) / 100.0;
        (t, all.iter().map(|s| at(s, t)).sum::<f64>() / all.len() as f64)
    };
    Some(Curve { name: variant.into(), points: (0..=100).map(point).collect() })
}

fn fingerprint(results: &BTreeMap<u64, Runs>) -> String {
    let mut hash = Sha256::new();
    for (seed, runs) in results {
        for (variant, sample) in runs {
            hash.update(seed.to_be_bytes());
            hash.update(variant.as_bytes());
            hash.update(sample.print.to_be_bytes());
        }
    }
    let hash: [u8; 32] = hash.finalize().into();
    hash[..8].iter().fold(String::new(), |text, b| text + &format!("{b:02x}"))
}
