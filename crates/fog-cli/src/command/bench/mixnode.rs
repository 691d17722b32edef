//! One mixnode as a process of its own: what a packet costs it from socket to socket, and how late packets leave.
//!
//! This process builds the packets beforehand and plays both the senders and the next relay.

use super::{Metric, process};
use crate::args::BenchArgs;
use crate::command::mixnet;
use anyhow::{Context, Result, bail, ensure};
use betanet::directory::LAYERS;
use betanet::link::{self, Frame, LinkReader, LinkWriter, Role};
use betanet::packet::{Hop, PACKET_LEN, Tables, exponential_delay};
use betanet::relay::RelayKeys;
use betanet::testnet::TestNetwork;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};

const MEAN_DELAY: Duration = Duration::from_millis(50);
const SENDERS: usize = 4;
/// Packets for each round that the command line asks for: 40 rounds are 60,000 packets, 144 MB.
const PER_ROUND: usize = 1_500;
/// The steady measurement of lateness sends this many packets a second.
const STEADY_RATE: usize = 5_000;
const GOAL: f64 = 25_000.0;
const PATIENCE: Duration = Duration::from_secs(30);
/// Packets written before a flush.
const BATCH: usize = 64;

pub(super) fn run(args: &BenchArgs) -> Result<Vec<Metric>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(args))
}

async fn measure(args: &BenchArgs) -> Result<Vec<Metric>> {
    let folder = tempfile::tempdir()?;
    // The last relay is only there because every layer must have one.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let network = TestNetwork::generate(&LAYERS, now)?;
    let relays: Vec<_> = network.relays().collect();
    let [(tested, address, layer), (sink, next, _), _] = relays.as_slice() else { bail!("three relays") };
    let (tested, sink, address) = (tested.clone(), sink.clone(), *address);
    let listener = TcpListener::bind(next).await?;
    std::fs::write(folder.path().join(mixnet::CONSENSUS), network.consensus().to_bytes())?;
    mixnet::write_relay(&folder.path().join("relay"), &tested, address, *layer, String::new())?;

    let received = Arc::new(AtomicU64::new(0));
    tokio::spawn(swallow(listener, sink.clone(), received.clone()));
    let metrics = free_port()?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["mixnode", "--dir"])
        .arg(folder.path().join("relay"))
        .arg("--metrics")
        .arg(metrics.to_string());
    let relay = process::Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    let mut links = Vec::new();
    for _ in 0..SENDERS {
        links.push(connect(address, &tested).await?);
    }

    let bench = Bench { relay, received, metrics };
    let hops = [&tested, &sink].map(|k| (k.id(), k.sphinx_key()));
    // A second of packets that warms everything up, and tells how late packets leave under a steady load.
    let steady = build(&hops, STEADY_RATE)?;
    let before = bench.read()?;
    bench.send(&mut links, steady, Some(STEADY_RATE)).await?;
    let after = bench.read()?;
    let late = |share| after.lateness_since(&before, share);
    let mut results = vec![
        Metric::new("lateness_p50_at_5000_packets_s", late(0.5), "ms"),
        Metric::new("lateness_p99_at_5000_packets_s", late(0.99), "ms"),
    ];

    let count = PER_ROUND * args.rounds.max(1) as usize;
    let packets = build(&hops, count)?;
    let cpu = bench.relay.cpu_time()?;
    let start = Instant::now();
    let arrived = bench.send(&mut links, packets, None).await?;
    let wall = start.elapsed().saturating_sub(MEAN_DELAY);
    let cpu = bench.relay.cpu_time()?.saturating_sub(cpu);
    let per_two_cores = 2.0 * arrived as f64 / cpu.as_secs_f64();
    results.extend([
        Metric::new("packets_per_second_of_two_cores", per_two_cores, "packets/s").at_least(GOAL),
        Metric::new("cpu_per_packet", cpu.as_secs_f64() * 1e6 / arrived as f64, "us"),
        Metric::new("packets_per_second_wall", arrived as f64 / wall.as_secs_f64(), "packets/s"),
        Metric::new("loss", 100.0 * (count as u64 - arrived) as f64 / count as f64, "%").at_most(0.1),
        Metric::new("memory", bench.relay.resident_mb()?, "MB").at_most(400.0),
    ]);
    Ok(results)
}

fn free_port() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

async fn connect(address: SocketAddr, relay: &RelayKeys) -> Result<(LinkReader, LinkWriter)> {
    let me = RelayKeys::generate().link;
    let start = Instant::now();
    loop {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(link::connect(stream, &me, &relay.id(), Role::Relay).await?),
            Err(e) => ensure!(start.elapsed() < PATIENCE, "the mixnode does not listen: {e}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The next relay: takes packets and only counts them.
async fn swallow(listener: TcpListener, keys: RelayKeys, received: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (keys, received) = (keys.clone(), received.clone());
        tokio::spawn(async move {
            let Ok(mut accepted) = link::accept(stream, &keys.link).await else { return };
            let mut frames = Vec::new();
            while accepted.reader.read_batch(&mut frames).await.is_ok() {
                let packets = frames.drain(..).filter(|f| matches!(f, Frame::Packet(_))).count();
                received.fetch_add(packets as u64, Ordering::Relaxed);
            }
        });
    }
}

/// Packets over these two hops, built on all processors.
fn build(hops: &[(betanet::Key, betanet::Key); 2], count: usize) -> Result<Vec<Vec<u8>>> {
    let tables = Tables::default();
    let some = |n: usize| -> Result<Vec<Vec<u8>>> {
        (0..n)
            .map(|_| {
                let path = hops.map(|(relay, sphinx_key)| Hop {
                    relay,
                    sphinx_key,
                    delay: exponential_delay(&mut rand::rng(), MEAN_DELAY),
                });
                Ok(tables.build(&[7; PACKET_LEN / 2], &path, &[9; 32])?)
            })
            .collect()
    };
    let halves = std::thread::scope(|scope| {
        let other = scope.spawn(|| some(count / 2));
        let mine = some(count - count / 2);
        [mine, other.join().unwrap_or_else(|_| bail!("building packets failed"))]
    });
    Ok(halves.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

struct Bench {
    relay: process::Running,
    received: Arc<AtomicU64>,
    metrics: SocketAddr,
}

impl Bench {
    /// Sends the packets over all links, at this rate or as fast as the mixnode takes them, and waits until no more
    /// arrive. Gives how many did.
    async fn send(
        &self,
        links: &mut [(LinkReader, LinkWriter)],
        packets: Vec<Vec<u8>>,
        rate: Option<usize>,
    ) -> Result<u64> {
        let (before, count) = (self.received.load(Ordering::Relaxed), packets.len() as u64);
        let mut shares: Vec<Vec<Vec<u8>>> = links.iter().map(|_| Vec::new()).collect();
        for (i, packet) in packets.into_iter().enumerate() {
            shares[i % SENDERS].push(packet);
        }
        let start = Instant::now();
        let pause = rate.map(|r| Duration::from_secs_f64((SENDERS * BATCH) as f64 / r as f64));
        let senders = links.iter_mut().zip(shares).map(|((_, writer), share)| async move {
            for (i, packets) in share.chunks(BATCH).enumerate() {
                if let Some(pause) = pause {
                    tokio::time::sleep_until((start + pause * i as u32).into()).await;
                }
                for packet in packets {
                    writer.write(&Frame::Packet(packet.clone())).await?;
                }
                writer.flush().await?;
            }
            Ok::<(), anyhow::Error>(())
        });
        for sent in futures_util::future::join_all(senders).await {
            sent?;
        }
        let mut arrived = 0;
        let mut last = Instant::now();
        while arrived < count && last.elapsed() < MEAN_DELAY * 40 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let now = self.received.load(Ordering::Relaxed) - before;
            if now > arrived {
                (arrived, last) = (now, Instant::now());
            }
        }
        Ok(arrived)
    }

    fn read(&self) -> Result<Scrape> {
        let mut reply = ureq::get(format!("http://{}/metrics", self.metrics)).call()?;
        Scrape::read(&reply.body_mut().read_to_string()?).context("the metrics say nothing of lateness")
    }
}

/// The lateness histogram: upper bounds in seconds with cumulative counts.
struct Scrape(Vec<(f64, f64)>);

impl Scrape {
    fn read(text: &str) -> Option<Self> {
        let bucket = |line: &str| {
            let rest = line.strip_prefix("fog_mix_lateness_seconds_bucket{le=\"")?;
            let (bound, count) = rest.split_once("\"} ")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, count.parse().ok()?))
        };
        let buckets: Vec<_> = text.lines().filter_map(bucket).collect();
        (!buckets.is_empty()).then_some(Self(buckets))
    }

    /// The upper bound in ms below which this share of the packets since then is.
    fn lateness_since(&self, before: &Self, share: f64) -> f64 {
        let since: Vec<_> = self.0.iter().zip(&before.0).map(|(a, b)| (a.0, a.1 - b.1)).collect();
        let all = since.last().map_or(0.0, |s| s.1);
        since.iter().find(|(_, n)| *n >= all * share).map_or(f64::NAN, |(bound, _)| bound * 1000.0)
    }
}
