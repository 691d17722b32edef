//! G1: direct messages over up to seven hops of a line or a grid.

use super::{Goal, Sample, Scenario, Spec, value};
use crate::chance::Chance;
use crate::keys::Signatures;
use crate::measure::shares;
use crate::mobility::{grid, line};
use crate::profile::Profile;
use crate::radio::Radio;
use crate::statistics::quantile;
use crate::world::{App, Setup, World};

pub(super) struct Line;

const WARM_MS: u64 = 90_000;
const EVERY_MS: u64 = 3000;
const LIFE_MS: u64 = 600_000;
const MAX_HOPS: u32 = 7;

impl Scenario for Line {
    fn title(&self) -> &'static str {
        "direct messages over a line and a grid, up to seven hops"
    }

    fn variants(&self) -> Vec<&'static str> {
        vec!["native", "iphone", "flood"]
    }

    fn run(&self, variant: &str, seed: u64, loss: f64, short: bool) -> Sample {
        let profile = match variant {
            "native" => Profile::Native,
            "iphone" => Profile::Iphone,
            _ => Profile::Flood,
        };
        let (mut latencies, mut sent, mut acknowledged) = (Vec::new(), 0, 0);
        let (mut shortest, mut data, mut with_acks, mut all) = (0.0, 0.0, 0.0, 0.0);
        let mut sample = Sample::default();
        for movement in [line(8, 25.0), grid(5, 25.0)] {
            let setup = Setup {
                movement,
                radio: Radio { loss, ..Radio::default() },
                config: profile.config(),
                signatures: Signatures::Real,
                behaviours: Vec::new(),
                disks: false,
            };
            let mut world = World::new(&setup, seed);
            let mut chance = Chance::new(seed, 10);
            world.run_until(WARM_MS);
            let before = traffic(&world);
            let messages = if short { 30 } else { 300 };
            let nodes = world.nodes.len();
            let mut planned = 0;
            while planned < messages {
                let (from, to) = (chance.below(nodes) as u32, chance.below(nodes) as u32);
                let Some(hops) = world.hops(from, to).filter(|h| (1..=MAX_HOPS).contains(h)) else {
                    continue;
                };
                shortest += f64::from(hops);
                world.plan(WARM_MS + planned * EVERY_MS, App::Direct(from, to, LIFE_MS));
                planned += 1;
            }
            world.run_until(WARM_MS + messages * EVERY_MS + 120_000);
            let after = traffic(&world);
            data += after.0 - before.0;
            with_acks += after.1 - before.1;
            all += after.2 - before.2;
            sent += world.log.sent.len();
            let times = world.log.sent.iter().filter_map(|s| s.acknowledged);
            latencies.extend(times.map(|ms| ms as f64 / 1000.0));
            acknowledged = latencies.len();
            sample.print ^= world.print();
        }
        sample.set("acknowledged", acknowledged as f64 / sent as f64);
        sample.set("ack_p95_s", quantile(&latencies, 0.95, sent));
        sample.set("transmissions", data / shortest);
        sample.set("transmissions_with_acks", with_acks / (2.0 * shortest));
        sample.set("all_frames", all / (2.0 * shortest));
        sample.curve = shares(latencies, sent);
        sample
    }

    fn specs(&self) -> Vec<Spec> {
        let spec = |name, unit, figure, goal| Spec { name, unit, figure, baseline: Some("iphone"), goal };
        vec![
            spec("acknowledged", "share", value!("acknowledged"), Some(Goal::AtLeast(0.999))),
            spec("acknowledged_p95", "s", value!("ack_p95_s"), Some(Goal::AtMost(2.0))),
            spec("transmissions_to_shortest_way", "ratio", value!("transmissions"), Some(Goal::AtMost(1.3))),
            spec(
                "with_acknowledgements_to_both_ways",
                "ratio",
                value!("transmissions_with_acks"),
                Some(Goal::AtMost(1.3)),
            ),
            spec("with_hop_acknowledgements_to_both_ways", "ratio", value!("all_frames"), None),
        ]
    }
}

/// Transmissions of messages, of messages and end-to-end acknowledgements, and of every frame that is no announce. A
/// phone's receipts are packets like its messages: half of them each.
fn traffic(world: &World) -> (f64, f64, f64) {
    let directed = world.total(|c| c.directed_sent);
    let (bundles, acks) = (world.total(|c| c.bundles_sent), world.total(|c| c.acks_sent));
    let control = world.total(|c| c.control_sent);
    (directed / 2.0 + bundles, directed + bundles + acks, directed + control)
}
