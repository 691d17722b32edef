//! `fog mixnet tune`: from load and latency to parameters.
//!
//! A packet waits an exponential time at each relay but the last, so all delays together follow an Erlang
//! distribution; the mean delay is what lets it stay below the wanted latency in 95 of 100 cases. A relay holds as many
//! packets at once as come in one mean delay (Little's law), and that is among how many it mixes one: Loopix (Piotrowska
//! et al. 2017, section 5) asks for two at least, and more is better. So there are as many relays as the load needs, and
//! no more than it can fill.

use crate::args::{Global, TuneArgs};
use crate::output;
use anyhow::{Result, bail};
use betanet::cover::Profile;
use serde::Serialize;

/// A relay is planned for this part of what it can do at most.
const HEADROOM: f64 = 0.5;
/// Packets among which a relay should mix each one, at the least.
const LEAST_MIXED: f64 = 2.0;
/// What links and relays take beside the delays, for each hop, milliseconds: loopback takes less, a continent more.
const HOP_MS: f64 = 15.0;
/// The least number of relays of a layer: one may fail.
const LEAST_RELAYS: u32 = 2;

/// What comes out.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Plan {
    /// Mean delay for each hop.
    mean_delay_ms: f64,
    /// From sender to mailbox, delays and links, in half of the cases.
    latency_p50_ms: f64,
    /// The same in 95 of 100 cases.
    latency_p95_ms: f64,
    /// All packets of all clients.
    packets_a_second: f64,
    /// Relays of each layer.
    relays_a_layer: u32,
    /// Packets among which a relay mixes each one, in the mean.
    mixed_with: f64,
    /// What each client sends and receives.
    client_mb_a_day: f64,
    /// What is not as it should be.
    warnings: Vec<String>,
}

pub(super) fn run(global: &Global, args: &TuneArgs) -> Result<()> {
    let profile: Profile = args.cover.parse().map_err(|e| anyhow::anyhow!("--cover: {e}"))?;
    let plan = plan(args, profile)?;
    output::show(global, &plan, |out, p| {
        writeln!(out, "mean delay a hop     {:.0} ms", p.mean_delay_ms)?;
        writeln!(
            out,
            "latency              {:.0} ms in half of the cases, {:.0} ms in 95 of 100",
            p.latency_p50_ms, p.latency_p95_ms
        )?;
        writeln!(out, "load                 {:.0} packets a second in all", p.packets_a_second)?;
        writeln!(out, "relays of a layer    {}", p.relays_a_layer)?;
        writeln!(out, "mixed with           {:.1} packets at each relay", p.mixed_with)?;
        writeln!(out, "each client          {:.0} MB a day", p.client_mb_a_day)?;
        for warning in &p.warnings {
            writeln!(out, "warning: {warning}")?;
        }
        Ok(())
    })
}

fn plan(args: &TuneArgs, profile: Profile) -> Result<Plan> {
    let links = HOP_MS * f64::from(args.hops + 1);
    let (half, most) = (erlang_quantile(args.hops - 1, 0.5), erlang_quantile(args.hops - 1, 0.95));
    let left = args.latency_ms - links;
    if left <= 0.0 {
        bail!(
            "{} hops take some {links:.0} ms without any delay: allow more latency than {:.0} ms",
            args.hops,
            args.latency_ms
        );
    }
    let mean = left / most;
    let online = f64::from(args.users) * args.online / 100.0;
    // Without cover there is only what people send.
    let each = profile.packets_a_second().max(args.packets_a_second);
    let load = online * each;
    // Each packet passes each layer once, the middle one twice where there are five hops: the busiest layer counts.
    let passes = if args.hops > 3 { 2.0 } else { 1.0 };
    let needed = (load * passes / (f64::from(args.capacity) * HEADROOM)).ceil().max(f64::from(LEAST_RELAYS));
    let mixed_with = load / needed * mean / 1000.0;
    let mut warnings = Vec::new();
    if mixed_with < LEAST_MIXED {
        warnings.push(format!(
            "a relay mixes each packet with {mixed_with:.1} others only, where {LEAST_MIXED} should be the least: allow \
             more latency, or more cover traffic"
        ));
    }
    if profile == Profile::Off {
        warnings.push("without cover traffic, whoever watches the lines sees who sends when".into());
    } else if args.packets_a_second > profile.packets_a_second() * 0.8 {
        warnings.push(format!(
            "people send {} packets a second, and this profile has room for {:.1}: messages will queue",
            args.packets_a_second,
            profile.packets_a_second() * 0.8
        ));
    }
    let bytes = (profile.bytes_a_day_up() + profile.bytes_a_day_down()) as f64;
    Ok(Plan {
        mean_delay_ms: mean,
        latency_p50_ms: links + mean * half,
        latency_p95_ms: links + mean * most,
        packets_a_second: load,
        relays_a_layer: needed as u32,
        mixed_with,
        client_mb_a_day: bytes / 1e6,
        warnings,
    })
}

/// Where the sum of `stages` exponential times of mean 1 lies below with this chance, by bisection.
fn erlang_quantile(stages: u8, chance: f64) -> f64 {
    let below = |x: f64| {
        let mut term = 1.0;
        let mut sum = 1.0;
        for k in 1..stages {
            term *= x / f64::from(k);
            sum += term;
        }
        1.0 - (-x).exp() * sum
    };
    let (mut low, mut high) = (0.0, 100.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if below(middle) < chance { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> TuneArgs {
        TuneArgs {
            users: 10_000,
            online: 20.0,
            latency_ms: 500.0,
            hops: 3,
            cover: "standard".into(),
            packets_a_second: 0.1,
            capacity: 25_000,
        }
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Chi-square tables: half of the value for twice as many degrees of freedom.
        for (stages, chance, value) in
            [(1, 0.5, std::f64::consts::LN_2), (2, 0.95, 4.7439), (4, 0.95, 7.7537), (4, 0.5, 3.6721)]
        {
            assert!((erlang_quantile(stages, chance) - value).abs() < 1e-3, "{stages} {chance}");
        }
    }

    #[test]
    fn the_plan_meets_the_goal_with_as_few_relays_as_carry_the_load() {
        let p = plan(&args(), Profile::Standard).expect("possible");
        assert!((p.latency_p95_ms - 500.0).abs() < 0.1 && p.latency_p50_ms < 260.0, "{p:?}");
        assert!((p.packets_a_second - 8000.0).abs() < 1e-6 && p.relays_a_layer == 2);
        assert!(p.mixed_with > 100.0 && p.warnings.is_empty());
        let more = plan(&TuneArgs { users: 100_000, ..args() }, Profile::Standard).expect("possible");
        assert_eq!(more.relays_a_layer, 7);
        let five =
            plan(&TuneArgs { hops: 5, users: 100_000, ..args() }, Profile::Standard).expect("possible");
        assert!(five.relays_a_layer == 13 && five.mean_delay_ms < more.mean_delay_ms);
    }

    #[test]
    fn what_cannot_be_is_told() {
        assert!(plan(&TuneArgs { latency_ms: 50.0, ..args() }, Profile::Standard).is_err());
        let few = plan(&TuneArgs { users: 5, ..args() }, Profile::Mobile).expect("possible");
        assert!(few.warnings[0].contains("mixes each packet"));
        assert_eq!(plan(&args(), Profile::Off).expect("possible").warnings.len(), 1);
        let busy = plan(&TuneArgs { packets_a_second: 4.0, ..args() }, Profile::Standard).expect("possible");
        assert!(busy.warnings[0].contains("queue"), "{busy:?}");
    }
}
