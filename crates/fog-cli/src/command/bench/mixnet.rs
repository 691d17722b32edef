//! A whole mixnet in processes of its own: how long messages take over three and five relays, how true the relays'
//! delays are, and what a client costs in each cover profile.
//!
//! Senders and receivers are clients in this process, so that one clock measures both ends.

use super::{Metric, process};
use crate::args::BenchArgs;
use anyhow::{Context, Result, bail, ensure};
use betanet::LinkState;
use betanet::client::{Client, ClientConfig, Entries, Inbound};
use betanet::cover::Profile;
use betanet::directory::SignedConsensus;
use betanet::guards::Guards;
use betanet::link::{self, Frame, Role};
use betanet::packet::{Hop, Tables, exponential_delay};
use betanet::path::Level;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use x25519_dalek::StaticSecret;

const RELAYS: &str = "9";
const MEAN: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(30);
/// The goal for three hops without delays.
const GOAL_MS: f64 = 5.0;
/// Messages a second: few, so that none waits for another.
const PACE: Duration = Duration::from_millis(10);
/// Messages for each round that the command line asks for.
const PER_ROUND: u32 = 10;
/// How long a client is watched in each profile.
const WATCH: Duration = Duration::from_secs(20);
const DAY: f64 = 86_400.0;

pub(super) fn run(args: &BenchArgs) -> Result<Vec<Metric>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(args))
}

async fn measure(args: &BenchArgs) -> Result<Vec<Metric>> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("net");
    let fog = std::env::current_exe()?;
    let made = Command::new(&fog)
        .args(["mixnet", "new", "--mixnodes", RELAYS, "--dir"])
        .arg(&dir)
        .stdout(Stdio::null())
        .status()?;
    ensure!(made.success(), "the network could not be made");
    let consensus = Arc::new(SignedConsensus::from_bytes(&std::fs::read(dir.join("consensus"))?)?);
    let mut up = Command::new(&fog);
    up.args(["mixnet", "up", "--dir"]).arg(&dir).stdout(Stdio::null()).stderr(Stdio::null());
    let _up = process::Running::start(&mut up)?;

    let (sender, _inbound) = client(&consensus, Duration::ZERO).await?;
    let (receiver, mut inbound) = client(&consensus, Duration::ZERO).await?;
    let count = PER_ROUND * args.rounds.max(1);
    let mut metrics = Vec::new();
    for mean in [Duration::ZERO, MEAN] {
        sender.set_mean_delay(mean);
        for level in [Level::Private, Level::Confidential] {
            let (mut took, lost) = journeys(&sender, &receiver, &mut inbound, level, count).await?;
            took.sort_by(f64::total_cmp);
            let name = |what: &str| format!("{}_hops_delay_{}_ms_{what}", level.hops(), mean.as_millis());
            let p50 = Metric::new(&name("p50"), at(&took, 0.5), "ms");
            let goal = mean.is_zero() && level == Level::Private;
            metrics.push(if goal { p50.at_most(GOAL_MS) } else { p50 });
            metrics.push(Metric::new(&name("p95"), at(&took, 0.95), "ms"));
            metrics
                .push(Metric::new(&name("loss"), 100.0 * lost as f64 / f64::from(count), "%").at_most(0.1));
        }
    }
    metrics.extend(delays(&consensus, &receiver, &mut inbound, count).await?);
    for profile in [Profile::Off, Profile::Mobile, Profile::Standard, Profile::Strong] {
        metrics.extend(cost(&sender, profile).await?);
    }
    Ok(metrics)
}

async fn client(
    consensus: &Arc<SignedConsensus>,
    mean_delay: Duration,
) -> Result<(Client, mpsc::Receiver<Inbound>)> {
    let home = consensus.unverified().layer(3).next().context("no home relay")?.id;
    let config = || ClientConfig {
        consensus: consensus.clone(),
        mailbox: StaticSecret::random(),
        homes: vec![home],
        mean_delay,
        cover: Profile::Off,
        entries: Entries::Pinned(Guards::new()),
    };
    let (client, inbound) = Client::start(config());
    let start = Instant::now();
    while client.home_state() != LinkState::Up || client.entries_up() < 3 {
        ensure!(start.elapsed() < PATIENCE, "the network's relays do not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok((client, inbound))
}

/// Sends messages one by one; how long each took in milliseconds, and how many did not arrive.
async fn journeys(
    sender: &Client,
    receiver: &Client,
    inbound: &mut mpsc::Receiver<Inbound>,
    level: Level,
    count: u32,
) -> Result<(Vec<f64>, usize)> {
    let home = receiver.home().context("no home")?;
    let mut sent = Vec::new();
    let mut took = Vec::new();
    let send = async |sent: &mut Vec<Instant>| -> Result<()> {
        let number = sent.len() as u32;
        sent.push(Instant::now());
        sender.send(level, &home, &receiver.mailbox(), &number.to_be_bytes())?;
        Ok(())
    };
    // A few that warm up links and tables.
    for _ in 0..10 {
        sender.send(level, &home, &receiver.mailbox(), b"warm up")?;
        _ = next(inbound).await;
    }
    let mut pace = tokio::time::interval(PACE);
    let mut last = Instant::now();
    while took.len() < count as usize && last.elapsed() < PATIENCE / 10 {
        tokio::select! {
            _ = pace.tick(), if sent.len() < count as usize => {
                send(&mut sent).await?;
                last = Instant::now();
            }
            got = next(inbound) => if let Some(at) = got.and_then(|number| sent.get(number as usize)) {
                took.push(at.elapsed().as_secs_f64() * 1000.0);
                last = Instant::now();
            }
        }
    }
    let lost = count as usize - took.len();
    ensure!(!took.is_empty(), "nothing arrived");
    Ok((took, lost))
}

/// The number in the next message; none for something else, or after a while without any.
async fn next(inbound: &mut mpsc::Receiver<Inbound>) -> Option<u32> {
    match tokio::time::timeout(PATIENCE / 10, inbound.recv()).await {
        Ok(Some(Inbound::Message(message))) => message.first_chunk().map(|n| u32::from_be_bytes(*n)),
        _ => None,
    }
}

/// How true a relay's delays are: the time that packets with an exponential delay at one relay take, less what they
/// take without, against the exponential distribution (Kolmogorov and Smirnov).
async fn delays(
    consensus: &SignedConsensus,
    receiver: &Client,
    inbound: &mut mpsc::Receiver<Inbound>,
    count: u32,
) -> Result<Vec<Metric>> {
    let document = consensus.unverified();
    let relay = |layer| document.layer(layer).next().context("a layer is empty");
    let (entry, middle) = (relay(1)?, relay(2)?);
    let home = document.relay(&receiver.home().context("no home")?).context("an unknown home")?;
    let hop = |relay: &betanet::directory::Listed, delay| -> Result<Hop> {
        let sphinx_key = *relay.sphinx_key(0).context("no key")?;
        Ok(Hop { relay: relay.id, sphinx_key, delay })
    };
    let stream = TcpStream::connect(entry.address).await?;
    let me = StaticSecret::random();
    let (_reader, mut writer) = link::connect(stream, &me, &entry.id, Role::Sender).await?;
    let tables = Tables::default();
    let mut took: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for (took, mean) in took.iter_mut().zip([Duration::ZERO, MEAN]) {
        let mut sent: Vec<Instant> = Vec::new();
        let mut pace = tokio::time::interval(PACE);
        let mut last = Instant::now();
        while took.len() < count as usize && last.elapsed() < PATIENCE / 10 {
            tokio::select! {
                _ = pace.tick(), if sent.len() < count as usize => {
                    let delay = exponential_delay(&mut rand::rng(), mean);
                    let hops =
                        [hop(entry, Duration::ZERO)?, hop(middle, delay)?, hop(home, Duration::ZERO)?];
                    let number = (sent.len() as u32).to_be_bytes();
                    let packet = tables.build(&number, &hops, &receiver.mailbox())?;
                    sent.push(Instant::now());
                    writer.write(&Frame::Packet(packet)).await?;
                    writer.flush().await?;
                    last = Instant::now();
                }
                got = next(inbound) => if let Some(at) = got.and_then(|n| sent.get(n as usize)) {
                    took.push(at.elapsed().as_secs_f64());
                    last = Instant::now();
                }
            }
        }
    }
    let [mut without, mut with] = took;
    if without.is_empty() || with.is_empty() {
        bail!("nothing arrived");
    }
    without.sort_by(f64::total_cmp);
    let way = at(&without, 0.5);
    with.iter_mut().for_each(|t| *t = (*t - way).max(0.0));
    with.sort_by(f64::total_cmp);
    let n = with.len() as f64;
    let distance = with
        .iter()
        .enumerate()
        .map(|(i, t)| {
            let expected = 1.0 - (-t / MEAN.as_secs_f64()).exp();
            (expected - i as f64 / n).abs().max((expected - (i + 1) as f64 / n).abs())
        })
        .fold(0.0, f64::max);
    // Above this, one of a hundred samples of a true exponential would be.
    let bound = 1.63 / n.sqrt();
    Ok(vec![Metric::new("delay_ks_distance_to_exponential", distance, "").at_most(bound)])
}

/// Processor time and bytes of a day, from a while in one profile.
async fn cost(client: &Client, profile: Profile) -> Result<Vec<Metric>> {
    client.set_cover(profile);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, cpu, start) = (client.traffic(), cpu_time()?, Instant::now());
    tokio::time::sleep(WATCH).await;
    let (after, used, took) = (client.traffic(), cpu_time()? - cpu, start.elapsed().as_secs_f64());
    let packets = (after.loops + after.drops) - (before.loops + before.drops);
    // A packet in its frame, and TCP's and IP's headers are not counted.
    let bytes = packets as f64 * (betanet::packet::PACKET_LEN + 1 + 16 + 4) as f64;
    let name = |what: &str| format!("client_{profile}_{what}");
    let mut up = Metric::new(&name("up"), bytes / took * DAY / 1e6, "MB/day");
    if profile.bytes_a_day_up() > 0 {
        up = up.against(profile.bytes_a_day_up() as f64 / 1e6);
    }
    Ok(vec![Metric::new(&name("cpu"), 100.0 * used / took, "% of a core"), up])
}

/// Processor time of this process, seconds.
fn cpu_time() -> Result<f64> {
    process::cpu_time_of(std::process::id()).map(|d| d.as_secs_f64())
}

fn at(sorted: &[f64], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q).round() as usize]
}
