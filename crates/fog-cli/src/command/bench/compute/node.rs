//! A whole node, with its database on the disk: how soon a job starts, how many small ones run, how many are queued.

use super::{Metric, millis, quantile};
use crate::args::BenchArgs;
use anyhow::{Result, bail, ensure};
use fog_api::*;
use fog_node::{KeychainUse, Node, NodeConfig};
use futures_util::{StreamExt, stream};
use std::collections::HashSet;
use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

const PATIENCE: Duration = Duration::from_secs(300);
/// Small jobs that are run.
const RUN: u32 = 400;
/// Small jobs that are queued, by one command and by as many.
const QUEUED: u32 = 1000;
/// Commands that are under way at a time, as from several callers.
const CALLERS: usize = 16;

/// A program that ends at once.
const SMALL: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
/// A program that goes on until it is stopped.
const ENDLESS: &str = r#"(module (memory (export "memory") 1) (func (export "_start") (loop br 0)))"#;

pub(super) async fn measure(folder: &Path, args: &BenchArgs) -> Result<Vec<Metric>> {
    let mut config = NodeConfig::new(folder.join("node"));
    config.keychain = KeychainUse::Off;
    let node = Node::start(config).await?;
    node.call(CreateIdentity { name: "bench".into() }).await?;
    node.call(WorkNow { on: true }).await?;
    let small = node.upload(Cursor::new(wat(SMALL)?)).await?;
    let endless = node.upload(Cursor::new(wat(ENDLESS)?)).await?;
    let mut metrics = starts(&node, &endless, args.rounds).await?;
    metrics.push(executed(&node, &small).await?);
    metrics.extend(queued(&node, &small).await?);
    node.shutdown().await;
    Ok(metrics)
}

fn wat(text: &str) -> Result<Vec<u8>> {
    Ok(wat::parse_str(text)?)
}

fn here(name: &str, module: &str) -> SubmitJob {
    SubmitJob {
        to: JobTarget::ThisDevice,
        limits: JobLimits { seconds: 60, memory_mib: 64, output_mib: 1, ..JobLimits::default() },
        ..SubmitJob::wasm(name, module)
    }
}

/// From the command to the event that says that the program runs, one job at a time.
async fn starts(node: &Node, module: &str, rounds: u32) -> Result<Vec<Metric>> {
    let mut took = Vec::new();
    for round in 0..=rounds.max(1) {
        let mut events = node.events();
        let start = Instant::now();
        let job = node.call(here("start", module)).await?;
        wait(&mut events, node, &job.id, |j| j.state == JobState::Running || j.state.is_final()).await?;
        // The first one compiles the module.
        if round > 0 {
            took.push(millis(start.elapsed()));
        }
        let ended = node.call(CancelJob { id: job.id.clone() }).await?;
        ensure!(ended.state != JobState::Failed, "the job did not run: {}", ended.note);
        wait(&mut events, node, &job.id, |j| j.state.is_final()).await?;
    }
    let (p50, p95) = (quantile(&mut took, 0.5), quantile(&mut took, 0.95));
    Ok(vec![
        Metric::new("submit_to_start_p50", p50, "ms").at_most(50.0),
        Metric::new("submit_to_start_p95", p95, "ms"),
    ])
}

/// Waits for an event of a job. Should events be missed, the node is asked.
async fn wait(
    events: &mut Receiver<Event>,
    node: &Node,
    id: &str,
    done: impl Fn(&JobView) -> bool,
) -> Result<JobView> {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let missed = match events.recv().await {
                Ok(Event { body: EventBody::Job(job), .. }) if job.id == id => {
                    if done(&job) {
                        return Ok(*job);
                    }
                    false
                }
                Ok(_) => false,
                Err(RecvError::Lagged(_)) => true,
                Err(RecvError::Closed) => bail!("the node has stopped"),
            };
            if missed {
                let job = node.call(GetJob { id: id.into() }).await?;
                if done(&job) {
                    return Ok(job);
                }
            }
        }
    });
    match waited.await {
        Ok(job) => job,
        Err(_) => {
            let job = node.call(GetJob { id: id.into() }).await?;
            bail!("a job took too long: {:?}, {}", job.state, job.note)
        }
    }
}

/// Small jobs a second, from the command until the last has its result on the disk.
async fn executed(node: &Node, module: &str) -> Result<Metric> {
    let array = Some(JobArray { first: 0, last: RUN - 1 });
    let mut events = node.events();
    let start = Instant::now();
    let job = node.call(SubmitJob { array, ..here("small", module) }).await?;
    let job = wait(&mut events, node, &job.id, |j| j.state.is_final()).await?;
    let took = start.elapsed();
    let done = job.array.map_or(0, |a| a.completed);
    ensure!(done == RUN, "{done} of {RUN} small jobs were completed: {}", job.note);
    Ok(Metric::new("small_jobs_executed", f64::from(RUN) / took.as_secs_f64(), "jobs/s").at_least(200.0))
}

/// Jobs a second that are acknowledged, which means that they are on the disk. They wait for one that does not end.
async fn queued(node: &Node, module: &str) -> Result<Vec<Metric>> {
    let endless = node.upload(Cursor::new(wat(ENDLESS)?)).await?;
    let first = node.call(here("first", &endless)).await?;
    let waiting = |name: &str| SubmitJob { depends_on: vec![first.id.clone()], ..here(name, module) };

    let array = Some(JobArray { first: 0, last: QUEUED - 1 });
    let start = Instant::now();
    let job = node.call(SubmitJob { array, ..waiting("array") }).await?;
    let by_one = f64::from(QUEUED) / start.elapsed().as_secs_f64();

    let start = Instant::now();
    let ids: Vec<Result<String>> = stream::iter(0..QUEUED)
        .map(|n| async move { Ok(node.call(waiting(&n.to_string())).await?.id) })
        .buffer_unordered(CALLERS)
        .collect()
        .await;
    let by_many = f64::from(QUEUED) / start.elapsed().as_secs_f64();

    let ids = ids.into_iter().collect::<Result<HashSet<_>>>()?;
    let known = node.call(ListJobs {}).await?;
    let kept = known.iter().filter(|j| ids.contains(&j.id) && j.state == JobState::Pending).count();
    ensure!(kept == QUEUED as usize, "{kept} of {QUEUED} jobs are in the queue");
    node.call(CancelJob { id: job.id }).await?;
    node.call(CancelJob { id: first.id.clone() }).await?;
    Ok(vec![
        Metric::new("queued_as_array", by_one, "jobs/s").at_least(1000.0),
        Metric::new("queued_one_by_one", by_many, "jobs/s").at_least(1000.0),
    ])
}
