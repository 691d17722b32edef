//! G4, G5 and G7: people walk about, and seldom meet.

use super::{Goal, Sample, Scenario, Spec, value};
use crate::chance::Chance;
use crate::keys::Signatures;
use crate::measure::unicast;
use crate::mobility::Movement;
use crate::profile::Profile;
use crate::radio::Radio;
use crate::world::{App, Setup, World};
use bitchat::mesh::Config;

/// A square in which people walk.
pub(super) enum Sparse {
    /// 2 x 2 km.
    G4,
    /// 4 x 4 km.
    G5,
    /// 2 x 2 km, with small buffers.
    G7,
}

const HOUR_MS: u64 = 3_600_000;
const EVERY_MS: u64 = 10_000;

impl Scenario for Sparse {
    fn title(&self) -> &'static str {
        match self {
            Self::G4 => "messages for one in 2 x 2 km, 1000 people on foot",
            Self::G5 => "messages for one in 4 x 4 km, 1000 people on foot",
            Self::G7 => "messages for one in 2 x 2 km, buffers of 50",
        }
    }

    fn variants(&self) -> Vec<&'static str> {
        match self {
            Self::G7 => vec!["native", "native unlimited", "epidemic", "prophet", "spray 32"],
            _ => vec!["native", "spray 32", "epidemic", "prophet", "direct"],
        }
    }

    fn needed(&self) -> usize {
        if matches!(self, Self::G7) { 2 } else { 1 }
    }

    fn run(&self, variant: &str, seed: u64, loss: f64, short: bool) -> Sample {
        let profile = match variant {
            "spray 32" => Profile::Spray(32),
            "epidemic" => Profile::Epidemic,
            "prophet" => Profile::Prophet,
            "direct" => Profile::Direct,
            _ => Profile::Native,
        };
        let buffer = match self {
            Self::G7 if variant == "native unlimited" => 100_000,
            Self::G7 => 50,
            _ => 500,
        };
        let (mut nodes, mut side) = (1000, if matches!(self, Self::G5) { 4000.0 } else { 2000.0 });
        let (mut warm, mut window, mut life) = (2 * HOUR_MS, 2 * HOUR_MS, 6 * HOUR_MS);
        if short {
            // The same density.
            (nodes, side) = (nodes / 16, side / 4.0);
            (warm, window, life) = (HOUR_MS / 6, HOUR_MS / 4, HOUR_MS);
        }
        let every = if short { EVERY_MS * 6 } else { EVERY_MS };
        let setup = Setup {
            movement: Movement::Waypoint { nodes, side },
            radio: Radio { loss, ..Radio::default() },
            config: Config { max_carried: buffer, announce_ms: [30_000; 3], ..profile.config() },
            signatures: Signatures::Quick,
            behaviours: Vec::new(),
            disks: false,
        };
        let mut world = World::new(&setup, seed);
        let end = warm + window + life;
        plan_messages(&mut world, seed, every, end, life, |_| true);
        world.run_until(end);
        let mut sample = Sample { print: world.print(), ..Sample::default() };
        let measured = |at: u64| (warm..warm + window).contains(&at);
        let sent: Vec<_> = world.log.sent.iter().filter(|s| measured(s.at - crate::world::START)).collect();
        unicast(&mut sample, &sent, life as f64 / 1000.0);
        figures(&mut sample, &world);
        sample
    }

    fn specs(&self) -> Vec<Spec> {
        let spec = |name, unit, figure, goal| Spec { name, unit, figure, baseline: Some("spray 32"), goal };
        let (delivered, p95) = match self {
            Self::G4 => (Some(Goal::AtLeast(0.99)), Some(Goal::AtMost(90.0))),
            Self::G5 => (Some(Goal::AtLeast(0.95)), Some(Goal::AtMost(270.0))),
            Self::G7 => (None, None),
        };
        let tx = if matches!(self, Self::G7) { None } else { Some(Goal::AtMost(40.0)) };
        let mut specs = vec![
            spec("delivered", "share", value!("delivered"), delivered),
            spec("latency_p50", "min", |r, v| Some(r.get(v)?.values.get("p50_s")? / 60.0), None),
            spec("latency_p95", "min", |r, v| Some(r.get(v)?.values.get("p95_s")? / 60.0), p95),
            spec("transmissions_a_message", "frames", value!("tx"), tx),
            spec("control_bytes_a_message", "bytes", value!("control_bytes"), None),
            spec("mean_links", "links", value!("links"), None),
        ];
        if matches!(self, Self::G7) {
            let share: super::Figure = |r, v| {
                let delivered = |v| r.get(v)?.values.get("delivered").copied();
                Some(delivered(v)? / delivered("native unlimited")?)
            };
            specs.insert(0, spec("delivered_against_unlimited", "ratio", share, Some(Goal::AtLeast(0.95))));
        }
        specs
    }
}

/// A message from a random node to another one, all the time.
pub(super) fn plan_messages(
    world: &mut World,
    seed: u64,
    every: u64,
    end: u64,
    life: u64,
    takes_part: impl Fn(u32) -> bool,
) {
    let mut chance = Chance::new(seed, 10);
    let nodes = world.nodes.len();
    let mut at = every;
    while at < end {
        let (from, to) = (chance.below(nodes) as u32, chance.below(nodes) as u32);
        if from != to && takes_part(from) && takes_part(to) {
            world.plan(at, App::Direct(from, to, life));
            at += every;
        }
    }
}

/// What carrying costs.
pub(super) fn figures(sample: &mut Sample, world: &World) {
    let created = world.log.sent.len().max(1) as f64;
    sample.set("tx", world.total(|c| c.bundles_sent) / created);
    sample.set("control_bytes", world.total(|c| c.control_bytes) / created);
    sample.set("links", world.mean_links());
    sample.set("doubled", world.log.doubled as f64);
    sample.set("forged", world.log.forged as f64);
}
