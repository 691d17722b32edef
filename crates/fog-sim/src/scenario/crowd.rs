//! G2 and G3: one says something to a crowd.

use super::{Goal, Sample, Scenario, Spec, value};
use crate::chance::Chance;
use crate::keys::Signatures;
use crate::measure::shares;
use crate::mobility::crowd;
use crate::profile::Profile;
use crate::radio::Radio;
use crate::world::{App, Setup, World};

/// A crowd in a square.
pub(super) enum Crowd {
    /// Dense.
    G2,
    /// Wide.
    G3,
}

const WARM_MS: u64 = 60_000;

impl Scenario for Crowd {
    fn title(&self) -> &'static str {
        match self {
            Self::G2 => "a broadcast in a crowd of 1000 in 200 x 200 m",
            Self::G3 => "a broadcast in a crowd of 1000 in 500 x 500 m",
        }
    }

    fn variants(&self) -> Vec<&'static str> {
        vec!["native", "iphone", "android", "flood"]
    }

    fn run(&self, variant: &str, seed: u64, loss: f64, short: bool) -> Sample {
        let profile = match variant {
            "native" => Profile::Native,
            "iphone" => Profile::Iphone,
            "android" => Profile::Android,
            _ => Profile::Flood,
        };
        let (mut nodes, mut side, mut messages) = match self {
            Self::G2 => (1000, 200.0, 6),
            Self::G3 => (1000, 500.0, 4),
        };
        let listen = if matches!(self, Self::G2) { 20_000 } else { 60_000 };
        if short {
            let density: f64 = nodes as f64 / (side * side);
            (nodes, messages) = (150, 2);
            side = (nodes as f64 / density).sqrt();
        }
        let setup = Setup {
            movement: crowd(nodes, side, seed),
            radio: Radio { loss, ..Radio::default() },
            config: profile.config(),
            signatures: Signatures::Real,
            behaviours: Vec::new(),
            disks: false,
        };
        let mut world = World::new(&setup, seed);
        let mut chance = Chance::new(seed, 10);
        world.run_until(WARM_MS);
        let before = world.total(|c| c.public_sent);
        let control = world.total(|c| c.control_sent);
        let mut components = Vec::new();
        for n in 0..messages {
            let from = chance.below(nodes) as u32;
            components.push(world.component(from).len());
            world.plan(WARM_MS + n * listen, App::Public(from, 80));
            world.run_until(WARM_MS + (n + 1) * listen);
        }
        let mut sample = Sample { print: world.print(), ..Sample::default() };
        let (mut total, mut reached) = (0, 0);
        let mut times = Vec::new();
        for (sent, component) in world.log.sent.iter().zip(&components) {
            total += component - 1;
            reached += sent.reached.len();
            times.extend(sent.reached.iter().map(|(_, ms)| *ms as f64 / 1000.0));
        }
        let within = |s: f64| times.iter().filter(|t| **t <= s).count() as f64 / total.max(1) as f64;
        sample.set("within_2_s", within(2.0));
        sample.set("within_20_s", within(20.0));
        sample.set("within_60_s", within(60.0));
        sample.set("tx", (world.total(|c| c.public_sent) - before) / reached.max(1) as f64);
        sample.set("control", (world.total(|c| c.control_sent) - control) / reached.max(1) as f64);
        sample.set("component", components.iter().sum::<usize>() as f64 / (components.len() * nodes) as f64);
        sample.set("links", world.mean_links());
        sample.set("doubled", world.log.doubled as f64);
        sample.curve = shares(times, total);
        sample
    }

    fn specs(&self) -> Vec<Spec> {
        let spec = |name, unit, figure, goal| Spec { name, unit, figure, baseline: Some("iphone"), goal };
        let mut specs = match self {
            Self::G2 => vec![
                spec("reached_within_20_s", "share", value!("within_20_s"), Some(Goal::AtLeast(0.99))),
                spec("reached_within_2_s", "share", value!("within_2_s"), Some(Goal::AtLeast(0.95))),
                spec("transmissions_a_reached_node", "frames", value!("tx"), Some(Goal::AtMost(4.5))),
            ],
            Self::G3 => vec![
                spec("reached_within_60_s", "share", value!("within_60_s"), Some(Goal::AtLeast(0.98))),
                spec("transmissions_a_reached_node", "frames", value!("tx"), None),
            ],
        };
        specs.extend([
            spec("control_frames_a_reached_node", "frames", value!("control"), None),
            spec("delivered_twice", "messages", value!("doubled"), Some(Goal::AtMost(0.0))),
            spec("component", "share", value!("component"), None),
            spec("mean_links", "links", value!("links"), None),
        ]);
        specs
    }
}
