//! The walking skeleton: message round trips, memory, cold start, a job's overhead.

use super::process::Running;
use super::{Metric, direct};
use crate::args::BenchArgs;
use anyhow::{Context, Result, bail, ensure};
use fog_api::*;
use fog_jobs::{Events, Limits, Program, RunHandle, RunRequest, Sandbox};
use fog_node::{KeychainUse, Node, NodeConfig, web::Access};
use std::path::Path;
use std::process::{self, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::Receiver;

const WORD_COUNT: &[u8] = include_bytes!("../../../../../examples/word-count/word-count.wasm");
const TEXT_BYTES: usize = 1_500_000;
const PATIENCE: Duration = Duration::from_secs(60);
/// The node's memory is read after it has been idle for this long.
const IDLE: Duration = Duration::from_secs(10);

pub(super) fn run(args: &BenchArgs) -> Result<Vec<Metric>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut metrics = runtime.block_on(inside(args))?;
    metrics.extend(processes(args)?);
    Ok(metrics)
}

/// Two nodes in this process; between them everything is real: seven relays over TCP, two databases.
async fn inside(args: &BenchArgs) -> Result<Vec<Metric>> {
    let folder = tempfile::tempdir()?;
    let (a, b) = (start(folder.path(), "a").await?, start(folder.path(), "b").await?);
    let card = a.call(GetCard {}).await?.text;
    let peer = b.call(AddContact { card }).await?.id;
    until("the contact", async || Ok(!a.call(ListContacts {}).await?.is_empty())).await?;
    for contact in a.call(ListContacts {}).await? {
        a.call(SetContactState { peer: contact.id, state: ContactState::Accepted }).await?;
    }
    b.call(SendMessage { peer: peer.clone(), text: "warm-up".into() }).await?;
    until("the warm-up", async || {
        let messages = b.call(ListMessages { peer: peer.clone(), before: None, limit: 1 }).await?;
        Ok(messages.iter().all(|m| m.status >= MessageStatus::Delivered))
    })
    .await?;

    let mut metrics = Vec::new();
    for (label, delay) in [("delay_0", 0), ("default_delay", 50)] {
        for node in [&a, &b] {
            let mut settings = node.call(GetSettings {}).await?;
            settings.mean_delay_ms = delay;
            node.call(SetSettings { settings }).await?;
        }
        let times = round_trips(&b, &peer, args.rounds).await?;
        for (quantile, q) in [("p50", 0.5), ("p95", 0.95)] {
            metrics.push(Metric::new(&format!("message_round_trip_{label}_{quantile}"), at(&times, q), "ms"));
        }
    }

    let text = text();
    // WASI's synchronous calls run a runtime of their own, which must not be inside of this one.
    let input = text.clone();
    let (expected, direct) =
        tokio::task::spawn_blocking(move || direct::best(WORD_COUNT, input.as_bytes())).await??;
    let baseline = millis(direct);
    metrics.push(
        Metric::new("job_in_sandbox", millis(sandbox(folder.path(), &text, &expected).await?), "ms")
            .against(baseline),
    );
    let whole = job(&a, &b, &peer, &text, &expected).await?;
    metrics.push(Metric::new("job_over_the_mixnet_delay_50", millis(whole), "ms").against(baseline));
    a.shutdown().await;
    b.shutdown().await;
    Ok(metrics)
}

async fn start(folder: &Path, name: &str) -> Result<Node> {
    let mut config = NodeConfig::new(folder.join(name));
    config.keychain = KeychainUse::Off;
    let node = Node::start(config).await?;
    node.call(CreateIdentity { name: name.into() }).await?;
    until("the network", async || Ok(node.call(GetNetwork {}).await?.health == NetworkHealth::Online))
        .await?;
    Ok(node)
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !done().await? {
        ensure!(start.elapsed() < PATIENCE, "waited for {what} for too long");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// One message at a time: from the command to the event that says it is on the other side's disk.
async fn round_trips(from: &Node, peer: &str, rounds: u32) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for i in 0..rounds.max(1) {
        let mut events = from.events();
        let start = Instant::now();
        let sent = from.call(SendMessage { peer: peer.into(), text: format!("round {i}") }).await?;
        tokio::time::timeout(PATIENCE, delivered(&mut events, &sent.id))
            .await
            .context("a message got lost")??;
        times.push(millis(start.elapsed()));
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

async fn delivered(events: &mut Receiver<Event>, id: &str) -> Result<()> {
    loop {
        if let EventBody::Message(m) = events.recv().await?.body
            && m.id == id
            && m.status >= MessageStatus::Delivered
        {
            return Ok(());
        }
    }
}

/// The same module and input in the sandbox's child process, with all limits, process start included.
async fn sandbox(folder: &Path, text: &str, expected: &[u8]) -> Result<Duration> {
    let (module, input) = (folder.join("module"), folder.join("input"));
    std::fs::write(&module, WORD_COUNT)?;
    std::fs::write(&input, text)?;
    let sandbox = Sandbox::new(vec![std::env::current_exe()?.into(), "worker".into()]);
    let limits = Limits { seconds: 60, memory_bytes: 64 << 20, output_bytes: 1 << 20, ..Limits::default() };
    let mut best = Duration::MAX;
    for round in 0..5 {
        let scratch = folder.join(format!("scratch-{round}"));
        let request = RunRequest {
            stdin: Some(input.clone()),
            ..RunRequest::new(Program::wasm(&module), limits, scratch)
        };
        let start = Instant::now();
        let outcome = sandbox.run(request, &RunHandle::new(1.0), Events::none()).await?;
        best = best.min(start.elapsed());
        ensure!(std::fs::read(&outcome.stdout)? == expected, "the sandbox counts differently");
    }
    Ok(best)
}

/// The whole job: offer, data, run, output, payment.
async fn job(worker: &Node, submitter: &Node, peer: &str, text: &str, expected: &[u8]) -> Result<Duration> {
    worker.call(WorkNow { on: true }).await?;
    let module = submitter.upload(WORD_COUNT).await?;
    let input = submitter.upload(std::io::Cursor::new(text.to_string())).await?;
    let start = Instant::now();
    let job = submitter
        .call(SubmitJob {
            stdin: Some(JobSource::Upload { hash: input }),
            to: JobTarget::Contacts { peers: vec![peer.into()] },
            ..SubmitJob::wasm("word-count", module)
        })
        .await?;
    let mut done = job;
    until("the job", async || {
        done = submitter.call(GetJob { id: done.id.clone() }).await?;
        Ok(done.state.is_final())
    })
    .await?;
    let took = start.elapsed();
    let hash = done.output.with_context(|| format!("the job failed: {}", done.note))?;
    ensure!(std::fs::read(submitter.download(&hash)?)? == expected, "the job counts differently");
    Ok(took)
}

fn text() -> String {
    let line = "the fog node lends an idle hour and a packet leaves its relay after a while\n";
    line.repeat(TEXT_BYTES.div_ceil(line.len()))
}

fn millis(d: Duration) -> f64 {
    d.as_secs_f64() * 1000.0
}

fn at(sorted: &[f64], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q).round() as usize]
}

/// The headless node (and the app) as processes of their own: memory and start.
fn processes(args: &BenchArgs) -> Result<Vec<Metric>> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let fog = std::env::current_exe()?;
    let node = || {
        let mut command = process::Command::new(&fog);
        command.args(["node", "--keychain", "off", "--name", "bench", "--data-dir"]).arg(&data);
        command
    };
    drop(ready(node(), &data)?); // makes the data folder
    let mut starts = Vec::new();
    for _ in 0..3 {
        starts.push(millis(ready(node(), &data)?.1));
    }
    starts.sort_by(f64::total_cmp);
    let mut metrics = vec![Metric::new("cold_start_headless", at(&starts, 0.5), "ms")];
    let (process, _) = ready(node(), &data)?;
    std::thread::sleep(IDLE);
    metrics.push(Metric::new("idle_memory_headless", process.resident_mb()?, "MB").at_most(80.0));
    drop(process);
    if let Some(app) = &args.app {
        let mut command = process::Command::new(app);
        command.arg("--data-dir").arg(&data);
        let (process, start) = ready(command, &data)?;
        metrics.push(Metric::new("cold_start_window_core", millis(start), "ms"));
        std::thread::sleep(IDLE);
        // The web view's processes share most of what they map, so the sum of what is resident says too much.
        metrics.push(Metric::new("idle_memory_window_pss", process.proportional_mb()?, "MB"));
        metrics.push(Metric::new("idle_memory_window_rss", process.resident_mb()?, "MB"));
    }
    Ok(metrics)
}

/// Starts a process and waits until its page answers with a node that is ready.
fn ready(mut command: process::Command, data: &Path) -> Result<(Running, Duration)> {
    let start = Instant::now();
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = Running::start(quiet)?;
    while start.elapsed() < PATIENCE {
        if is_ready(data) {
            return Ok((process, start.elapsed()));
        }
        if let Some(status) = process.0.try_wait()? {
            bail!("{command:?} ended with {status}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    bail!("{command:?} was not ready in time")
}

fn is_ready(data: &Path) -> bool {
    let Ok(text) = std::fs::read(data.join(Access::FILE)) else { return false };
    let Ok(access) = serde_json::from_slice::<Access>(&text) else { return false };
    let page = ureq::get(&access.url).call();
    let state = ureq::post(format!("{}/api/command", access.url))
        .header("authorization", format!("Bearer {}", access.token))
        .send_json(Command::from(GetState {}));
    let state = state.ok().and_then(|mut s| s.body_mut().read_json::<AppState>().ok());
    page.is_ok() && state.is_some_and(|s| s.phase == Phase::Ready)
}
