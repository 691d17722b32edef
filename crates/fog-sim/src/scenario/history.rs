//! G8: somebody comes late.

use super::{Goal, Sample, Scenario, Spec, value};
use crate::chance::Chance;
use crate::keys::Signatures;
use crate::measure::shares;
use crate::mobility::crowd;
use crate::profile::Profile;
use crate::radio::Radio;
use crate::world::{App, START, Setup, World};

pub(super) struct LateJoiner;

const NODES: usize = 30;
const JOINER: u32 = 0;
const MINUTE_MS: u64 = 60_000;

impl Scenario for LateJoiner {
    fn title(&self) -> &'static str {
        "a late joiner after six hours and 1000 messages"
    }

    fn variants(&self) -> Vec<&'static str> {
        vec!["native"]
    }

    fn run(&self, _: &str, seed: u64, loss: f64, short: bool) -> Sample {
        let (messages, span) = if short { (100, 20 * MINUTE_MS) } else { (1000, 345 * MINUTE_MS) };
        let setup = Setup {
            movement: crowd(NODES, 60.0, seed),
            radio: Radio { loss, ..Radio::default() },
            config: Profile::Native.config(),
            signatures: Signatures::Real,
            behaviours: Vec::new(),
            disks: false,
        };
        let mut world = World::new(&setup, seed);
        world.set_away(JOINER, true);
        let mut chance = Chance::new(seed, 10);
        for n in 0..messages {
            let from = 1 + chance.below(NODES - 1) as u32;
            world.plan(MINUTE_MS + span * n / messages, App::Public(from, 80));
        }
        let joins = MINUTE_MS + span + 10_000;
        world.run_until(joins);
        world.set_away(JOINER, false);
        let mut at = joins;
        while !world.linked(JOINER) && at < joins + 10 * MINUTE_MS {
            at += 100;
            world.run_until(at);
        }
        let (linked, before) = (at, world.nodes[JOINER as usize].received);
        let has = |world: &World| {
            let of = |s: &&crate::log::Sent| s.reached.iter().any(|(n, _)| *n == JOINER);
            world.log.sent.iter().filter(of).count()
        };
        // Its bytes are counted until it has everything, or for two minutes.
        while has(&world) < messages as usize && at < linked + 2 * MINUTE_MS {
            at += 100;
            world.run_until(at);
        }
        let bytes = world.nodes[JOINER as usize].received - before;
        let mut sample = Sample { print: world.print(), ..Sample::default() };
        let missing: f64 = messages as f64 * (22.0 + 80.0 + 64.0);
        let times: Vec<f64> = world
            .log
            .sent
            .iter()
            .filter_map(|s| {
                let (_, ms) = s.reached.iter().find(|(n, _)| *n == JOINER)?;
                Some((s.at + ms).saturating_sub(START + linked) as f64 / 1000.0)
            })
            .collect();
        sample.set("got", times.len() as f64 / messages as f64);
        sample.set(
            "seconds",
            if times.len() == messages as usize { (at - linked) as f64 / 1000.0 } else { f64::INFINITY },
        );
        sample.set("bytes", bytes as f64 / missing);
        sample.set("doubled", world.log.doubled as f64);
        sample.curve = shares(times, messages as usize);
        sample
    }

    fn specs(&self) -> Vec<Spec> {
        let spec = |name, unit, figure, goal| Spec { name, unit, figure, baseline: None, goal };
        vec![
            spec("history_complete_after", "s", value!("seconds"), Some(Goal::AtMost(60.0))),
            spec("history_got", "share", value!("got"), Some(Goal::AtLeast(1.0))),
            spec("bytes_against_missing", "ratio", value!("bytes"), Some(Goal::AtMost(1.5))),
            spec("delivered_twice", "messages", value!("doubled"), Some(Goal::AtMost(0.0))),
        ]
    }
}
