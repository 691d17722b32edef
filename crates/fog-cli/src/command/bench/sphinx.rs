//! Sphinx: our packets against the `sphinx-packet` crate's, on one core, by the thread's processor time.

use super::Metric;
use crate::args::BenchArgs;
use anyhow::{Context, Result};
use betanet::Key;
use betanet::sphinx::{self, Builder, Destination, Hop, Opened, Version};
use betanet::x25519::{Backend, Table};
use sphinx_packet::header::delays::Delay;
use sphinx_packet::route::{self, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::{SphinxPacket, SphinxPacketBuilder};
use std::hint::black_box;
use std::time::Duration;
use x25519_dalek::{PublicKey, StaticSecret};

/// Packets of one batch: about what one read of a busy relay brings.
const BATCH: usize = 128;
const PAYLOAD: usize = 2048;
const MESSAGE: [u8; 2000] = [7; 2000];

pub(super) fn run(args: &BenchArgs) -> Result<Vec<Metric>> {
    let mut metrics = Vec::new();
    let five = Path::new(5)?;
    let two = Path::new(2)?;
    // The best backend's is the figure of this machine; then each that it has.
    let best = || two.unwrap(Backend::best(), 0);
    metrics.push(compare(args, "unwrap_forward_2048", 1.8, best, || two.unwrap_by_crate(0))?);
    for backend in Backend::available() {
        let name = format!("unwrap_forward_2048_{}", backend.name());
        let ours = || two.unwrap(backend, 0);
        metrics.push(compare(args, &name, goal(backend), ours, || two.unwrap_by_crate(0))?);
    }
    let last = || two.unwrap(Backend::best(), 1);
    metrics.push(compare(args, "unwrap_last_2048", 1.0, last, || two.unwrap_by_crate(1))?);
    for (name, hops, goal) in [("build_3_hops_2048", 3, 3.3), ("build_5_hops_2048", 5, 5.0)] {
        metrics.push(compare(args, name, goal, || five.build(hops), || five.build_by_crate(hops))?);
    }
    Ok(metrics)
}

/// How many times the crate's rate a backend is to reach.
fn goal(backend: Backend) -> f64 {
    match backend {
        Backend::Ifma | Backend::Avx2 => 1.8,
        Backend::Edwards => 1.3,
    }
}

/// Packets a second and core: ours, the crate's and the ratio. Both take turns, and each one's best round counts,
/// because whatever else the machine does only makes a round longer.
fn compare(
    args: &BenchArgs,
    name: &str,
    goal: f64,
    mut ours: impl FnMut() -> Result<Duration>,
    mut theirs: impl FnMut() -> Result<Duration>,
) -> Result<Metric> {
    let (mut best, mut baseline) = (Duration::MAX, Duration::MAX);
    for _ in 0..args.rounds.max(1) {
        best = best.min(ours()?);
        baseline = baseline.min(theirs()?);
    }
    let rate = |d: Duration| BATCH as f64 / d.as_secs_f64();
    Ok(Metric::new(name, rate(best), "packets/s").against(rate(baseline)).ratio_at_least(goal))
}

/// The processor time that this takes in this thread.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<Duration> {
    let now = || {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec).unwrap_or(0))
    };
    let start = now();
    black_box(work()?);
    Ok(now().saturating_sub(start))
}

/// Relays, and packets for each of them.
struct Path {
    secrets: Vec<Key>,
    tables: Vec<Table>,
    nodes: Vec<Node>,
    delays: Vec<Delay>,
    /// For each hop, a batch as that relay gets it.
    batches: Vec<Vec<Vec<u8>>>,
}

const TO: Destination = Destination { address: [9; 32], identifier: [0; 16] };

impl Path {
    fn new(hops: usize) -> Result<Self> {
        let secrets: Vec<Key> = (0..hops).map(|i| [i as u8 + 1; 32]).collect();
        let public: Vec<PublicKey> =
            secrets.iter().map(|s| PublicKey::from(&StaticSecret::from(*s))).collect();
        let tables =
            public.iter().map(|p| Table::new(p.as_bytes()).context("a key")).collect::<Result<_>>()?;
        let node = |(i, p): (usize, &PublicKey)| Node::new(NodeAddressBytes::from_bytes([i as u8; 32]), *p);
        let nodes = public.iter().enumerate().map(node).collect();
        let delays = vec![Delay::new_from_millis(50); hops];
        let mut path = Self { secrets, tables, nodes, delays, batches: Vec::new() };
        let mut batch: Vec<Vec<u8>> = Vec::new();
        for _ in 0..BATCH {
            let mut packet = Vec::new();
            Builder::new(Version::default(), PAYLOAD).build(
                &mut rand::rng(),
                &MESSAGE,
                &path.hops(hops),
                &TO,
                &mut packet,
            )?;
            batch.push(packet);
        }
        for secret in &path.secrets {
            path.batches.push(batch.clone());
            unwrap(Backend::best(), secret, &mut batch)?;
        }
        Ok(path)
    }

    fn hops(&self, count: usize) -> Vec<Hop<'_>> {
        let hop = |(i, key)| Hop { address: [i as u8; 32], key, delay: Duration::from_millis(50) };
        self.tables[..count].iter().enumerate().map(hop).collect()
    }

    fn unwrap(&self, backend: Backend, hop: usize) -> Result<Duration> {
        let mut batch = self.batches[hop].clone();
        timed(|| unwrap(backend, &self.secrets[hop], &mut batch))
    }

    fn unwrap_by_crate(&self, hop: usize) -> Result<Duration> {
        let secret = StaticSecret::from(self.secrets[hop]);
        timed(|| {
            for packet in &self.batches[hop] {
                let packet = SphinxPacket::from_bytes(packet)?;
                let keys = packet.header.compute_expanded_shared_secret(&secret);
                black_box(keys.replay_tag());
                match packet.process_with_expanded_secret(&keys)?.data {
                    sphinx_packet::ProcessedPacketData::ForwardHop { next_hop_packet, .. } => {
                        black_box(next_hop_packet.to_bytes());
                    }
                    sphinx_packet::ProcessedPacketData::FinalHop { payload, .. } => {
                        black_box(payload.recover_plaintext()?);
                    }
                }
            }
            Ok(())
        })
    }

    fn build(&self, hops: usize) -> Result<Duration> {
        let builder = Builder::new(Version::default(), PAYLOAD);
        let path = self.hops(hops);
        let mut rng = rand::rng();
        timed(|| {
            let mut packet = Vec::with_capacity(builder.packet_len());
            for _ in 0..BATCH {
                packet.clear();
                builder.build(&mut rng, &MESSAGE, &path, &TO, &mut packet)?;
                black_box(&packet);
            }
            Ok(())
        })
    }

    fn build_by_crate(&self, hops: usize) -> Result<Duration> {
        let to = route::Destination::new(DestinationAddressBytes::from_bytes(TO.address), TO.identifier);
        let builder = SphinxPacketBuilder::new().with_payload_size(PAYLOAD);
        timed(|| {
            for _ in 0..BATCH {
                let packet = builder.build_packet(MESSAGE, &self.nodes[..hops], &to, &self.delays[..hops])?;
                black_box(packet.to_bytes());
            }
            Ok(())
        })
    }
}

/// What a relay does with a batch, in place.
fn unwrap(backend: Backend, secret: &Key, batch: &mut [Vec<u8>]) -> Result<()> {
    let opened: Vec<Opened> =
        sphinx::open(backend, secret, batch.iter().map(Vec::as_slice)).collect::<Result<_, _>>()?;
    let mut jobs = Vec::with_capacity(batch.len());
    for (opened, packet) in opened.iter().zip(batch) {
        black_box(opened.replay_tag());
        let routed = opened.route(packet)?;
        jobs.push((opened, routed, &mut packet[..]));
    }
    sphinx::finish(backend, &mut jobs);
    for (_, routed, packet) in &jobs {
        if matches!(routed, sphinx::Routed::Last { .. }) {
            black_box(sphinx::message(packet)?);
        }
    }
    Ok(())
}
