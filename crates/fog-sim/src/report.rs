//! What a simulation prints.

use serde::Serialize;
use std::collections::BTreeMap;

/// One figure, over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// What.
    pub name: String,
    /// The mean; `null` where it is infinite: something never came.
    pub value: Option<f64>,
    /// Half the width of the 95 % confidence interval; `null` with one seed.
    pub ci95: Option<f64>,
    /// Of the value.
    pub unit: &'static str,
    /// The same figure of the baseline that matters, in the same run.
    pub baseline: Option<f64>,
    /// `value` against `baseline`.
    pub ratio: Option<f64>,
    /// The same figure of all rule sets that were run.
    pub baselines: BTreeMap<String, Option<f64>>,
    /// The goal, as a number.
    pub goal: Option<f64>,
    /// `at_most` or `at_least`.
    pub goal_is: Option<&'static str>,
    /// None without a goal.
    pub met: Option<bool>,
}

/// What became of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// `G1` to `G14`.
    pub scenario: String,
    /// In words.
    pub title: String,
    /// How many runs with different chance.
    pub seeds: u64,
    /// A smaller form of the scenario: its figures say little about the goal.
    pub short: bool,
    /// The share of radio operations that were lost.
    pub loss: f64,
    /// Figures.
    pub metrics: Vec<Metric>,
    /// All goals are met.
    pub met: bool,
    /// A hash of all that happened in all runs. The same command gives the same one.
    pub fingerprint: String,
    /// How long it took, seconds.
    pub took_s: f64,
    /// Delivered shares over time, for the plot.
    #[serde(skip)]
    pub curves: Vec<Curve>,
}

/// A share over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Of which rule set.
    pub name: String,
    /// Seconds, and the share of all that was to be delivered.
    pub points: Vec<(f64, f64)>,
}
