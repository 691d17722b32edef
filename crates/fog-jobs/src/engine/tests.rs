//! Two engines, two databases, and a road between them that duplicates, reorders and delays; either side may be killed
//! and started again between any two steps.

mod data;
mod endings;
mod refusals;
mod road;

use super::*;
use crate::spec::{Limits, Receipt, SignedReceipt};
use crate::store::JobState;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::collections::BTreeMap;

/// One side, with what the node around the engine does.
struct Side {
    folder: tempfile::TempDir,
    key: [u8; 32],
    starts: u8,
    engine: Engine,
    conn: SqliteConnection,
    /// Escrow held, by job.
    escrow: BTreeMap<JobId, u128>,
    paid: BTreeMap<JobId, u128>,
    refunded: Vec<JobId>,
    runs: Vec<RunPlan>,
    all_runs: usize,
}

impl Side {
    async fn new(key: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = [key; 32];
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("db"))
            .create_if_missing(true)
            .foreign_keys(true)
            .synchronous(sqlx::sqlite::SqliteSynchronous::Off);
        let mut conn = options.connect().await.unwrap();
        crate::migrate(&mut conn).await.unwrap();
        crate::migrate(&mut conn).await.unwrap();
        let engine = Self::engine(folder.path(), key, 0);
        Self {
            folder,
            key,
            starts: 0,
            engine,
            conn,
            escrow: BTreeMap::new(),
            paid: BTreeMap::new(),
            refunded: Vec::new(),
            runs: Vec::new(),
            all_runs: 0,
        }
    }

    fn engine(folder: &std::path::Path, key: [u8; 32], starts: u8) -> Engine {
        let blobs = BlobStore::open(folder.join("blobs")).unwrap();
        let mut config = EngineConfig::new(folder.join("scratch"));
        config.retry_after_ms = 5_000;
        let seed = [key[0] ^ 0x55 ^ starts.wrapping_mul(2); 32];
        Engine::new(SigningKey::from_bytes(&key), blobs, config, seed)
    }

    /// Killed and started again: everything in memory is gone, the run too.
    fn restart(&mut self) {
        self.starts += 1;
        self.runs.clear();
        self.engine = Self::engine(self.folder.path(), self.key, self.starts);
    }

    fn me(&self) -> Person {
        self.engine.me()
    }

    /// Does what the node does with actions; returns the messages to send.
    fn act(&mut self, actions: Vec<Action>) -> Vec<JobMessage> {
        let mut out = Vec::new();
        for action in actions {
            match action {
                Action::Send { message, .. } => {
                    let bytes = message.encode().unwrap();
                    assert_eq!(JobMessage::decode(&bytes).unwrap(), message);
                    out.push(message);
                }
                Action::LockEscrow { job, amount, .. } => {
                    assert!(self.escrow.insert(job, amount).is_none(), "locked twice");
                }
                Action::Settle { job, settlement } => {
                    settlement.verify().unwrap();
                    let held = self.escrow.remove(&job).expect("settled without escrow");
                    assert!(settlement.receipt.receipt.price <= held);
                    assert!(self.paid.insert(job, settlement.receipt.receipt.price).is_none(), "paid twice");
                }
                Action::Refund { job } => {
                    self.escrow.remove(&job).expect("refunded without escrow");
                    self.refunded.push(job);
                }
                Action::Run(plan) => {
                    self.all_runs += 1;
                    self.runs.push(plan);
                }
                Action::Kill { job } => self.runs.retain(|plan| plan.job != job),
                Action::Changed { .. } => {}
            }
        }
        out
    }

    async fn hear(&mut self, from: Person, message: JobMessage, now: u64) -> Vec<JobMessage> {
        match self.engine.on_message(&mut self.conn, from, message, now).await {
            Ok(actions) => self.act(actions),
            Err(error) => {
                assert!(error.is_senders_fault(), "{error}");
                Vec::new()
            }
        }
    }

    async fn tick(&mut self, now: u64, allowed: bool) -> Vec<JobMessage> {
        let free = 2usize.saturating_sub(self.runs.len());
        let actions = self.engine.tick(&mut self.conn, now, allowed, free).await.unwrap();
        self.act(actions)
    }

    /// Ends the oldest run: the "program" writes its input backwards.
    async fn finish(&mut self, now: u64) -> Vec<JobMessage> {
        if self.runs.is_empty() {
            return Vec::new();
        }
        let plan = self.runs.remove(0);
        let outcome = ran(&plan);
        let actions = self.engine.on_outcome(&mut self.conn, plan.job, outcome.clone(), now).await.unwrap();
        let out = self.act(actions);
        // Reported twice, as after a crash between the commit and the report's removal.
        assert!(self.engine.on_outcome(&mut self.conn, plan.job, outcome, now).await.unwrap().is_empty());
        out
    }

    async fn job(&mut self, id: &JobId) -> Job {
        self.engine.get(&mut self.conn, id).await.unwrap()
    }

    /// A whole job's order with a module and an input of these sizes.
    fn order(&self, worker: Person, module: usize, input: usize) -> NewJob {
        let bytes = |n: usize, salt: usize| (0..n).map(|i| (i * 31 / 7 + salt) as u8).collect::<Vec<u8>>();
        let module = self.engine.blobs.put_bytes(&bytes(module, 1)).unwrap();
        let input = Some(self.engine.blobs.put_bytes(&bytes(input, 2)).unwrap());
        let limits = Limits::default();
        NewJob { name: "a job".into(), module, input, args: vec![], limits, price_limit: None, worker }
    }

    async fn submit(&mut self, order: NewJob, now: u64) -> (JobId, Vec<JobMessage>) {
        let (job, actions) = self.engine.submit(&mut self.conn, order, now).await.unwrap();
        (job.id(), self.act(actions))
    }
}

fn backwards(path: &std::path::Path) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    bytes.reverse();
    bytes
}

fn ran(plan: &RunPlan) -> Result<RunOutcome, RunError> {
    std::fs::create_dir_all(&plan.request.scratch).unwrap();
    let output = plan.request.scratch.join("output");
    std::fs::write(&output, backwards(plan.request.input.as_ref().unwrap())).unwrap();
    Ok(RunOutcome {
        exit_code: 0,
        output,
        stderr_tail: String::new(),
        fuel: 12345,
        cpu_ms: 900,
        wall_ms: 1000,
        memory_peak: 1 << 20,
    })
}

/// Messages under way: to the worker (true) or to the submitter.
type Road = Vec<(bool, JobMessage)>;

/// Carries messages in random order with duplicates, kills either side at random, until both have the job at its end.
async fn chaos(seed: u64, module: usize, input: usize, restarts: bool) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut s, mut w) = (Side::new(1).await, Side::new(2).await);
    let order = s.order(w.me(), module, input);
    let source = s.engine.blobs.path(&order.input.as_ref().unwrap().hash).unwrap();
    let expected = backwards(&source);
    let mut now = 1_000_000;
    let (id, first) = s.submit(order, now).await;
    let mut road: Road = first.into_iter().map(|m| (true, m)).collect();
    for step in 0..5_000 {
        now += rng.random_range(0..400);
        match rng.random_range(0..10u32) {
            0 => road.extend(s.tick(now, false).await.into_iter().map(|m| (true, m))),
            1 => road.extend(w.tick(now, step % 3 > 0).await.into_iter().map(|m| (false, m))),
            2 => road.extend(w.finish(now).await.into_iter().map(|m| (false, m))),
            3 if restarts => {
                if rng.random() {
                    s.restart();
                } else {
                    w.restart();
                }
            }
            _ if !road.is_empty() => {
                let at = rng.random_range(0..road.len());
                let twice = rng.random_ratio(1, 4);
                let (to_worker, message) = if twice { road[at].clone() } else { road.swap_remove(at) };
                let back = if to_worker {
                    w.hear(s.me(), message, now).await
                } else {
                    s.hear(w.me(), message, now).await
                };
                road.extend(back.into_iter().map(|m| (!to_worker, m)));
            }
            _ => {}
        }
        if road.is_empty() && w.job_ended(&id).await && s.job_ended(&id).await {
            break;
        }
    }
    let (sent, taken) = (s.job(&id).await, w.job(&id).await);
    assert_eq!(
        (sent.state(), taken.state()),
        (JobState::Completed, JobState::Completed),
        "seed {seed}: {sent:?}"
    );
    assert_eq!(sent.settlement, taken.settlement);
    assert_eq!(s.paid, w.paid);
    assert_eq!(s.paid.len(), 1);
    assert!(s.escrow.is_empty() && w.escrow.is_empty() && s.refunded.is_empty() && w.refunded.is_empty());
    assert!(restarts || w.all_runs == 1);
    let output = sent.output.unwrap();
    assert!(s.engine.blobs.read(&output.hash).unwrap() == expected, "the output is another");
    assert_eq!((sent.moved, sent.total), (output.size, output.size));
}

impl Side {
    async fn job_ended(&mut self, id: &JobId) -> bool {
        matches!(store::get(&mut self.conn, id).await.unwrap(), Some(job) if job.phase.is_final())
    }
}

/// Both sides up to the point where the worker runs the job.
async fn running() -> (Side, Side, JobId) {
    let (mut s, mut w) = (Side::new(1).await, Side::new(2).await);
    let order = s.order(w.me(), 1000, 2000);
    let (id, mut to_w) = s.submit(order, 0).await;
    for now in 0..4 {
        let mut to_s = w.tick(now, true).await;
        for message in std::mem::take(&mut to_w) {
            to_s.extend(w.hear(s.me(), message, now).await);
        }
        for message in to_s {
            to_w.extend(s.hear(w.me(), message, now).await);
        }
    }
    assert_eq!((w.runs.len(), s.job(&id).await.state()), (1, JobState::Running));
    (s, w, id)
}
