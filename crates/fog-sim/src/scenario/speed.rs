//! G14: how fast the engine is.

use super::sparse::{figures, plan_messages};
use super::{Goal, Sample, Scenario, Spec, value};
use crate::keys::Signatures;
use crate::mobility::Movement;
use crate::profile::Profile;
use crate::radio::Radio;
use crate::world::{Setup, World};
use bitchat::mesh::Config;
use std::time::Instant;

pub(super) struct Speed;

impl Scenario for Speed {
    fn title(&self) -> &'static str {
        "1000 nodes for 12 hours on 2 x 2 km, real signatures"
    }

    fn variants(&self) -> Vec<&'static str> {
        vec!["native"]
    }

    fn alone(&self) -> bool {
        true
    }

    fn run(&self, _: &str, seed: u64, loss: f64, short: bool) -> Sample {
        let (nodes, side, hours) = if short { (60, 490.0, 1) } else { (1000, 2000.0, 12) };
        let setup = Setup {
            movement: Movement::Waypoint { nodes, side },
            radio: Radio { loss, ..Radio::default() },
            config: Config { announce_ms: [30_000; 3], ..Profile::Native.config() },
            signatures: Signatures::Real,
            behaviours: Vec::new(),
            disks: false,
        };
        let started = Instant::now();
        let mut world = World::new(&setup, seed);
        let end = hours * 3_600_000;
        plan_messages(&mut world, seed, if short { 60_000 } else { 10_000 }, end, 6 * 3_600_000, |_| true);
        world.run_until(end);
        let seconds = started.elapsed().as_secs_f64();
        let mut sample = Sample { print: world.print(), ..Sample::default() };
        sample.set("seconds", seconds);
        sample.set("speed", end as f64 / 1000.0 / seconds);
        sample.set("events", world.events as f64);
        sample.set("packets", world.total(|c| c.packets));
        figures(&mut sample, &world);
        sample
    }

    fn specs(&self) -> Vec<Spec> {
        let spec = |name, unit, figure, goal| Spec { name, unit, figure, baseline: None, goal };
        vec![
            spec("took", "s", value!("seconds"), Some(Goal::AtMost(240.0))),
            spec("faster_than_life", "ratio", value!("speed"), None),
            spec("events", "events", value!("events"), None),
            spec("packets_received", "packets", value!("packets"), None),
            spec("transmissions_a_message", "frames", value!("tx"), None),
            spec("mean_links", "links", value!("links"), None),
        ]
    }
}
