//! G10 and G11: one floods; some swallow, some replay.

use super::sparse::{figures, plan_messages};
use super::{Goal, Sample, Scenario, Spec, value};
use crate::chance::Chance;
use crate::keys::Signatures;
use crate::measure::{shares, unicast};
use crate::mobility::{Movement, crowd};
use crate::profile::Profile;
use crate::radio::Radio;
use crate::world::{App, Behaviour, START, Setup, World};
use std::collections::BTreeSet;

pub(super) struct Flooded;
pub(super) struct Hostile;

const WARM_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;

impl Scenario for Flooded {
    fn title(&self) -> &'static str {
        "one floods 100 packets a second among 200"
    }

    fn variants(&self) -> Vec<&'static str> {
        vec!["native", "native in peace", "iphone", "iphone in peace"]
    }

    fn needed(&self) -> usize {
        2
    }

    fn run(&self, variant: &str, seed: u64, loss: f64, short: bool) -> Sample {
        let profile = if variant.starts_with("native") { Profile::Native } else { Profile::Iphone };
        let attacked = !variant.ends_with("in peace");
        let (nodes, side, span) = if short { (60, 80.0, 20_000) } else { (200, 150.0, 120_000) };
        let flooder = 0;
        let setup = Setup {
            movement: crowd(nodes, side, seed),
            radio: Radio { loss, ..Radio::default() },
            config: profile.config(),
            signatures: Signatures::Real,
            behaviours: if attacked { vec![(flooder, Behaviour::Flooder)] } else { Vec::new() },
            disks: false,
        };
        let mut world = World::new(&setup, seed);
        let mut chance = Chance::new(seed, 10);
        world.run_until(WARM_MS);
        let near: BTreeSet<u32> = world.neighbours(flooder).into_iter().chain([flooder]).collect();
        let component = world.component(flooder).len();
        if attacked {
            let until = START + WARM_MS + span;
            world.plan(WARM_MS, App::Flood { from: flooder, every_ms: 10, until });
        }
        for at in (2000..span).step_by(2000) {
            world.plan(WARM_MS + at, App::Public(1 + chance.below(nodes - 1) as u32, 80));
        }
        world.run_until(WARM_MS + span + 20_000);
        let mut sample = Sample { print: world.print(), ..Sample::default() };
        let honest: Vec<_> = world.log.sent.iter().filter(|s| !s.attack).collect();
        let times = honest.iter().flat_map(|s| &s.reached).map(|(_, ms)| *ms as f64 / 1000.0);
        let times: Vec<f64> = times.filter(|t| *t <= 20.0).collect();
        let total = honest.len() * (component - 1);
        let attack: Vec<_> = world.log.sent.iter().filter(|s| s.attack).collect();
        // Relayed by anybody: it got to somebody who has no link to the attacker.
        let relayed = attack.iter().filter(|s| s.reached.iter().any(|(n, _)| !near.contains(n))).count();
        sample.set("delivered", times.len() as f64 / total.max(1) as f64);
        sample.set("relayed", relayed as f64 / attack.len().max(1) as f64);
        sample.set("attack", attack.len() as f64);
        sample.curve = shares(times, total);
        sample
    }

    fn specs(&self) -> Vec<Spec> {
        let spec = |name, unit, figure, goal| Spec { name, unit, figure, baseline: Some("iphone"), goal };
        vec![
            spec(
                "delivery_lost_to_the_flood",
                "points",
                |r, v| {
                    let peace = if v.starts_with("native") { "native in peace" } else { "iphone in peace" };
                    let delivered = |v| r.get(v)?.values.get("delivered").copied();
                    Some(100.0 * (delivered(peace)? - delivered(v)?))
                },
                Some(Goal::AtMost(2.0)),
            ),
            spec("attack_relayed", "share", value!("relayed"), Some(Goal::AtMost(0.05))),
            spec("delivered", "share", value!("delivered"), None),
            spec("attack_packets", "packets", value!("attack"), None),
        ]
    }
}

impl Scenario for Hostile {
    fn title(&self) -> &'static str {
        "one in ten swallows what it is given, one in ten replays"
    }

    fn variants(&self) -> Vec<&'static str> {
        vec!["native", "native in peace", "spray 32", "spray 32 in peace"]
    }

    fn needed(&self) -> usize {
        2
    }

    fn run(&self, variant: &str, seed: u64, loss: f64, short: bool) -> Sample {
        let profile = if variant.starts_with("native") { Profile::Native } else { Profile::Spray(32) };
        let hostile = !variant.ends_with("in peace");
        let (nodes, side) = if short { (60, 350.0) } else { (200, 640.0) };
        let (warm, life) = (HOUR_MS / 6, if short { HOUR_MS / 2 } else { 2 * HOUR_MS });
        let window = if short { HOUR_MS / 6 } else { HOUR_MS };
        let kind = |n: u32| match n % 10 {
            3 => Behaviour::BlackHole,
            7 => Behaviour::Replayer,
            _ => Behaviour::Honest,
        };
        let setup = Setup {
            movement: Movement::Waypoint { nodes, side },
            radio: Radio { loss, ..Radio::default() },
            config: profile.config(),
            signatures: Signatures::Real,
            behaviours: if hostile { (0..nodes as u32).map(|n| (n, kind(n))).collect() } else { Vec::new() },
            disks: false,
        };
        let mut world = World::new(&setup, seed);
        let end = warm + window;
        plan_messages(&mut world, seed, 20_000, end, life, |n| kind(n) == Behaviour::Honest);
        let mut chance = Chance::new(seed, 11);
        for at in (60_000..end).step_by(60_000) {
            // Public messages, for the replayers.
            let from = chance.below(nodes) as u32;
            world.plan(at, App::Public(from - from % 10, 80));
        }
        if hostile {
            world.plan_replays(warm);
        }
        world.run_until(end + life);
        let mut sample = Sample { print: world.print(), ..Sample::default() };
        let measured = |s: &&crate::log::Sent| s.to.is_some() && s.at - START >= warm;
        let sent: Vec<_> = world.log.sent.iter().filter(measured).collect();
        unicast(&mut sample, &sent, life as f64 / 1000.0);
        figures(&mut sample, &world);
        sample.set("refused", world.total(|c| c.forged + c.stale + c.unasked + c.duplicates));
        sample
    }

    fn specs(&self) -> Vec<Spec> {
        let spec = |name, unit, figure, goal| Spec { name, unit, figure, baseline: Some("spray 32"), goal };
        vec![
            spec(
                "delivery_lost_to_the_hostile",
                "points",
                |r, v| {
                    let peace = if v.starts_with("native") { "native in peace" } else { "spray 32 in peace" };
                    let delivered = |v| r.get(v)?.values.get("delivered").copied();
                    Some(100.0 * (delivered(peace)? - delivered(v)?))
                },
                Some(Goal::AtMost(3.0)),
            ),
            spec("forgeries_taken", "packets", value!("forged"), Some(Goal::AtMost(0.0))),
            spec("replays_taken", "packets", value!("doubled"), Some(Goal::AtMost(0.0))),
            spec("delivered", "share", value!("delivered"), None),
            spec("latency_p95", "min", |r, v| Some(r.get(v)?.values.get("p95_s")? / 60.0), None),
            spec("transmissions_a_message", "frames", value!("tx"), None),
            spec("packets_refused", "packets", value!("refused"), None),
        ]
    }
}
