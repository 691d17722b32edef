//! G6: communities, joined by those who travel.

use super::sparse::{figures, plan_messages};
use super::{Goal, Sample, Scenario, Spec, value};
use crate::keys::Signatures;
use crate::measure::unicast;
use crate::mobility::Movement;
use crate::profile::Profile;
use crate::radio::Radio;
use crate::world::{Setup, World};
use bitchat::mesh::Config;

pub(super) struct Community;

const HOUR_MS: u64 = 3_600_000;

impl Scenario for Community {
    fn title(&self) -> &'static str {
        "20 communities, one in ten travels between them"
    }

    fn variants(&self) -> Vec<&'static str> {
        vec!["native", "epidemic", "spray", "prophet", "direct"]
    }

    fn run(&self, variant: &str, seed: u64, loss: f64, short: bool) -> Sample {
        let profile = match variant {
            "epidemic" => Profile::Epidemic,
            // As many transmissions as ours, or a few more.
            "spray" => Profile::Spray(if short { 12 } else { 48 }),
            "prophet" => Profile::Prophet,
            "direct" => Profile::Direct,
            _ => Profile::Native,
        };
        let (communities, each, side) = if short { (6, 10, 1000.0) } else { (20, 25, 3000.0) };
        let (warm, window, life) =
            if short { (HOUR_MS / 2, HOUR_MS / 4, HOUR_MS) } else { (2 * HOUR_MS, HOUR_MS, 4 * HOUR_MS) };
        let setup = Setup {
            movement: Movement::Communities { communities, each, side, home: 120.0, travellers: 0.1 },
            radio: Radio { loss, ..Radio::default() },
            config: Config { announce_ms: [30_000; 3], ..profile.config() },
            signatures: Signatures::Quick,
            behaviours: Vec::new(),
            disks: false,
        };
        let mut world = World::new(&setup, seed);
        let end = warm + window + life;
        plan_messages(&mut world, seed, if short { 30_000 } else { 20_000 }, warm + window, life, |_| true);
        world.run_until(end);
        let mut sample = Sample { print: world.print(), ..Sample::default() };
        let sent: Vec<_> = world.log.sent.iter().filter(|s| s.at - crate::world::START >= warm).collect();
        unicast(&mut sample, &sent, life as f64 / 1000.0);
        figures(&mut sample, &world);
        sample
    }

    fn specs(&self) -> Vec<Spec> {
        let spec =
            |name, unit, figure, baseline, goal| Spec { name, unit, figure, baseline: Some(baseline), goal };
        vec![
            spec("delivered", "share", value!("delivered"), "epidemic", None),
            spec(
                "delivered_against_epidemic",
                "ratio",
                |r, v| Some(r.get(v)?.values.get("delivered")? / r.get("epidemic")?.values.get("delivered")?),
                "spray",
                Some(Goal::AtLeast(0.95)),
            ),
            spec(
                "transmissions_against_epidemic",
                "ratio",
                |r, v| Some(r.get(v)?.values.get("tx")? / r.get("epidemic")?.values.get("tx")?),
                "spray",
                Some(Goal::AtMost(0.10)),
            ),
            spec(
                "delivered_above_spray",
                "share",
                |r, v| Some(r.get(v)?.values.get("delivered")? - r.get("spray")?.values.get("delivered")?),
                "prophet",
                Some(Goal::AtLeast(0.0)),
            ),
            spec("latency_p50", "min", |r, v| Some(r.get(v)?.values.get("p50_s")? / 60.0), "epidemic", None),
            spec("latency_p95", "min", |r, v| Some(r.get(v)?.values.get("p95_s")? / 60.0), "epidemic", None),
            spec("transmissions_a_message", "frames", value!("tx"), "spray", None),
            spec("control_bytes_a_message", "bytes", value!("control_bytes"), "epidemic", None),
            spec("mean_links", "links", value!("links"), "epidemic", None),
        ]
    }
}
