//! G13: how long two nodes take to find each other, and how much of the time they look.

use super::{Goal, Sample, Scenario, Spec, value};
use crate::chance::Chance;
use crate::measure::shares;
use crate::radio::{Radio, Scan};
use bitchat::mesh::{PowerMode, scan_plan};

pub(super) struct Scanning;

impl Scenario for Scanning {
    fn title(&self) -> &'static str {
        "finding each other with the radio mostly off"
    }

    fn variants(&self) -> Vec<&'static str> {
        vec!["balanced", "always", "apps", "saver"]
    }

    fn loss(&self) -> f64 {
        0.05
    }

    fn needed(&self) -> usize {
        2
    }

    fn run(&self, variant: &str, seed: u64, loss: f64, short: bool) -> Sample {
        let of = |mode| {
            let plan = scan_plan(mode);
            let ms = f64::from;
            Scan { on_ms: ms(plan.on_ms), period_ms: ms(plan.period_ms), advert_ms: ms(plan.advert_ms) }
        };
        let scan = match variant {
            "balanced" => of(PowerMode::Balanced),
            "saver" => of(PowerMode::Saver),
            "always" => of(PowerMode::Performance),
            _ => Scan::APPS,
        };
        let radio = Radio { scan, loss, ..Radio::default() };
        let mut chance = Chance::new(seed, 10);
        let pairs = if short { 500 } else { 20_000 };
        let mut times = Vec::new();
        for _ in 0..pairs {
            let phases = [0, 1].map(|_| chance.between(0.0, scan.period_ms));
            let found = radio.discovery(0.0, phases, &mut chance);
            times.push((found + chance.between(radio.connect_ms.0, radio.connect_ms.1)) / 1000.0);
        }
        let mean = times.iter().sum::<f64>() / pairs as f64;
        let mut sample = Sample { print: mean.to_bits(), ..Sample::default() };
        sample.set("share", scan.share());
        sample.set("mean_s", mean);
        sample.set("p95_s", crate::statistics::quantile(&times, 0.95, pairs));
        sample.curve = shares(times, pairs);
        sample
    }

    fn specs(&self) -> Vec<Spec> {
        let spec = |name, unit, figure, goal| Spec { name, unit, figure, baseline: Some("always"), goal };
        vec![
            spec("scanning", "share", value!("share"), Some(Goal::AtMost(0.15))),
            spec("link_after_mean", "s", value!("mean_s"), None),
            spec("link_after_p95", "s", value!("p95_s"), None),
            spec(
                "discovery_time_against_always",
                "ratio",
                |r, v| Some(r.get(v)?.values.get("mean_s")? / r.get("always")?.values.get("mean_s")?),
                Some(Goal::AtMost(2.0)),
            ),
        ]
    }
}
