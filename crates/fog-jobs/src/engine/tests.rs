//! Two engines, two databases, and a road between them that duplicates, reorders and delays; either side may be killed
//! and started again between any two steps.

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

#[tokio::test]
async fn a_disorderly_road_pays_once() {
    for seed in 0..8 {
        chaos(seed, 300_000, 1_500_000, false).await;
    }
}

#[tokio::test]
async fn killed_at_any_step_it_still_pays_once() {
    for seed in 100..108 {
        chaos(seed, 70_000, 1_200_000, true).await;
    }
}

#[tokio::test]
async fn empty_input_and_one_blob_used_twice() {
    chaos(500, 10, 0, true).await;
    let (mut s, mut w) = (Side::new(1).await, Side::new(2).await);
    let mut order = s.order(w.me(), 600_000, 5);
    order.input = Some(order.module.clone());
    let (id, mut to_w) = s.submit(order, 0).await;
    for now in 0..40 {
        let mut to_s = w.tick(now, true).await;
        to_s.extend(w.finish(now).await);
        for message in std::mem::take(&mut to_w) {
            to_s.extend(w.hear(s.me(), message, now).await);
        }
        for message in to_s {
            to_w.extend(s.hear(w.me(), message, now).await);
        }
    }
    assert_eq!(s.job(&id).await.state(), JobState::Completed);
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

#[tokio::test]
async fn cancelling_kills_the_run_and_gives_the_money_back() {
    let (mut s, mut w, id) = running().await;
    let actions = s.engine.cancel(&mut s.conn, &id, 10).await.unwrap();
    for message in s.act(actions) {
        assert!(w.hear(s.me(), message.clone(), 10).await.is_empty());
        assert!(w.hear(s.me(), message, 10).await.is_empty());
    }
    assert!(w.runs.is_empty());
    assert_eq!((s.refunded.len(), w.refunded.len()), (1, 1));
    assert_eq!(
        (s.job(&id).await.state(), w.job(&id).await.state()),
        (JobState::Cancelled, JobState::Cancelled)
    );
    assert!(matches!(s.engine.cancel(&mut s.conn, &id, 10).await, Err(EngineError::Refused(_))));
}

#[tokio::test]
async fn a_cancel_that_overtakes_its_offer() {
    let (mut s, mut w) = (Side::new(1).await, Side::new(2).await);
    let order = s.order(w.me(), 1000, 2000);
    let (id, offer) = s.submit(order, 0).await;
    let actions = s.engine.cancel(&mut s.conn, &id, 10).await.unwrap();
    for message in s.act(actions) {
        assert!(w.hear(s.me(), message, 11).await.is_empty());
    }
    let mut to_s = w.hear(s.me(), offer[0].clone(), 12).await;
    for message in std::mem::take(&mut to_s) {
        for answer in s.hear(w.me(), message, 13).await {
            w.hear(s.me(), answer, 14).await;
        }
    }
    assert_eq!(w.job(&id).await.state(), JobState::Cancelled);
    assert!(w.escrow.is_empty() && s.escrow.is_empty());
}

#[tokio::test]
async fn a_run_that_fails_is_not_paid() {
    let (mut s, mut w, id) = running().await;
    let outcome = Err(RunError::TimeLimit(300));
    let actions = w.engine.on_outcome(&mut w.conn, id, outcome, 10).await.unwrap();
    for message in w.act(actions) {
        s.hear(w.me(), message, 10).await;
    }
    let job = s.job(&id).await;
    assert_eq!((job.state(), job.note.contains("did not end within its 300 s")), (JobState::Failed, true));
    assert_eq!((s.refunded.len(), w.refunded.len(), s.paid.len()), (1, 1, 0));
}

#[tokio::test]
async fn an_interrupted_run_runs_again() {
    let (_s, mut w, id) = running().await;
    w.runs.clear();
    let actions = w.engine.on_outcome(&mut w.conn, id, Err(RunError::Cancelled), 10).await.unwrap();
    w.act(actions);
    assert_eq!(w.job(&id).await.state(), JobState::Scheduled);
    w.tick(11, false).await;
    assert!(w.runs.is_empty());
    w.tick(12, true).await;
    assert_eq!(w.runs.len(), 1);
}

#[tokio::test]
async fn a_dishonest_receipt_is_refused() {
    type Lie = fn(&mut Receipt);
    let lies: [Lie; 8] = [
        |r| r.price += 1,
        |r| r.usage.cpu_ms += 1,
        |r| r.module[0] ^= 1,
        |r| r.input = None,
        |r| r.output[0] ^= 1,
        |r| r.output_bytes += 1,
        |r| r.usage.memory_peak = u64::MAX,
        |r| (r.usage.wall_ms, r.usage.cpu_ms) = (10_000_000, 10_000_000),
    ];
    for lie in lies {
        let (mut s, mut w, id) = running().await;
        let mut sent = w.finish(5000).await;
        let Some(JobMessage::Result(signed, output)) = sent.pop() else { panic!() };
        let mut receipt = signed.receipt;
        lie(&mut receipt);
        let signed = receipt.sign(&SigningKey::from_bytes(&w.key)).unwrap();
        let answer = s.hear(w.me(), JobMessage::Result(signed, output), 6000).await;
        assert!(matches!(answer[..], [JobMessage::Cancel { .. }]), "{answer:?}");
        assert_eq!(s.job(&id).await.state(), JobState::Failed);
        assert_eq!((s.refunded.len(), s.paid.len()), (1, 0));
    }
}

#[tokio::test]
async fn a_forged_receipt_changes_nothing() {
    let (mut s, mut w, id) = running().await;
    let mut sent = w.finish(5000).await;
    let Some(JobMessage::Result(mut signed, output)) = sent.pop() else { panic!() };
    signed.signature[3] ^= 1;
    let forged: SignedReceipt = signed;
    let message = JobMessage::Result(forged, output);
    assert!(s.engine.on_message(&mut s.conn, w.me(), message, 6000).await.is_err());
    assert_eq!(s.job(&id).await.state(), JobState::Running);
}

#[tokio::test]
async fn both_sides_hold_exactly_the_price_limit() {
    let (mut s, mut w) = (Side::new(1).await, Side::new(2).await);
    let mut order = s.order(w.me(), 1000, 2000);
    let limit = crate::price::price_ceiling(&order.limits) + 7;
    order.price_limit = Some(limit);
    let (id, offer) = s.submit(order, 0).await;
    w.hear(s.me(), offer[0].clone(), 0).await;
    let expected = BTreeMap::from([(id, limit)]);
    assert_eq!((&s.escrow, &w.escrow), (&expected, &expected));
}

#[tokio::test]
async fn a_forged_offer_is_not_taken() {
    let (mut s, mut w) = (Side::new(1).await, Side::new(2).await);
    let order = s.order(w.me(), 1000, 2000);
    let (_, mut offers) = s.submit(order, 0).await;
    let Some(JobMessage::Offer(mut signed)) = offers.pop() else { panic!() };
    signed.signature[3] ^= 1;
    let result = w.engine.on_message(&mut w.conn, s.me(), JobMessage::Offer(signed.clone()), 1).await;
    assert!(result.unwrap_err().is_senders_fault());
    assert!(w.engine.list(&mut w.conn, 9).await.unwrap().is_empty());
    // Nothing but the signature was wrong.
    signed.signature[3] ^= 1;
    assert!(!w.hear(s.me(), JobMessage::Offer(signed), 2).await.is_empty());
}

#[tokio::test]
async fn a_forged_settlement_does_not_pay() {
    let (mut s, mut w, id) = running().await;
    let mut to_s = w.finish(5000).await;
    let settlement = loop {
        let mut to_w = s.hear(w.me(), to_s.remove(0), 6000).await;
        let message = to_w.remove(0);
        if let JobMessage::Settled(settlement) = message {
            break settlement;
        }
        to_s.extend(w.hear(s.me(), message, 6000).await);
    };
    let before = w.job(&id).await;
    let mut forged = settlement.clone();
    forged.submitter_signature[3] ^= 1;
    let result = w.engine.on_message(&mut w.conn, s.me(), JobMessage::Settled(forged), 7000).await;
    assert!(result.unwrap_err().is_senders_fault());
    assert_eq!(w.job(&id).await, before);
    w.hear(s.me(), JobMessage::Settled(settlement), 8000).await;
    assert_eq!((w.job(&id).await.state(), w.paid.len()), (JobState::Completed, 1));
}

#[tokio::test]
async fn strangers_are_refused_and_leave_no_trace() {
    let (mut s, mut w, id) = running().await;
    let before = (s.job(&id).await, w.job(&id).await);
    let stranger = [9; 32];
    let reason = String::from("x");
    let output = s.engine.blobs.put_bytes(b"x").unwrap();
    let messages = [
        JobMessage::Accept { job: id },
        JobMessage::Failed { job: id, reason: reason.clone() },
        JobMessage::Cancel { job: id, reason },
        JobMessage::Want { job: id, blob: before.0.spec().module.hash, chunks: vec![0] },
        JobMessage::Chunk { job: id, blob: output.hash, index: 0, data: b"x".to_vec() },
        JobMessage::Offer(before.0.signed.clone()),
        JobMessage::Accept { job: [7; 16] },
    ];
    for message in messages {
        for side in [&mut s, &mut w] {
            let result = side.engine.on_message(&mut side.conn, stranger, message.clone(), 99).await;
            assert!(result.unwrap_err().is_senders_fault());
        }
    }
    assert_eq!((s.job(&id).await, w.job(&id).await), before);
}

#[tokio::test]
async fn only_the_jobs_own_data_is_served_and_taken() {
    let (mut s, mut w, id) = running().await;
    let secret = s.engine.blobs.put_bytes(b"somebody's secret").unwrap();
    let want = JobMessage::Want { job: id, blob: secret.hash, chunks: vec![0] };
    assert!(s.engine.on_message(&mut s.conn, w.me(), want, 9).await.is_err());
    let module = s.job(&id).await.spec().module.hash;
    for chunks in [vec![1], vec![u32::MAX], (0..1000).collect()] {
        let want = JobMessage::Want { job: id, blob: module, chunks };
        assert!(s.engine.on_message(&mut s.conn, w.me(), want, 9).await.is_err());
    }
    // Data that nobody asked for is not kept.
    let chunk =
        JobMessage::Chunk { job: id, blob: secret.hash, index: 0, data: b"somebody's secret".to_vec() };
    assert!(w.hear(s.me(), chunk, 9).await.is_empty());
    assert!(!w.engine.blobs.has_chunk(&secret, 0));
}

/// In the transaction nothing is written to the disk any more: there is no folder in which it could be.
#[tokio::test]
async fn what_was_prepared_costs_the_transaction_nothing() {
    let (mut s, mut w) = (Side::new(1).await, Side::new(2).await);
    let order = s.order(w.me(), 1_500_000, 2000);
    let blobs = [order.module.clone(), order.input.clone().unwrap()];
    let (id, offer) = s.submit(order, 0).await;
    let mut to_w = Vec::new();
    for message in w.hear(s.me(), offer[0].clone(), 0).await {
        to_w.extend(s.hear(w.me(), message, 0).await);
    }
    let tmp = w.folder.path().join("blobs/tmp");
    let mut chunks = 0;
    while !to_w.is_empty() {
        let message = to_w.remove(0);
        let before = w.job(&id).await;
        w.engine.prepare(&mut w.conn, s.me(), &message).await.unwrap();
        assert_eq!(w.job(&id).await, before, "the database is only read");
        std::fs::remove_dir(&tmp).unwrap();
        for message in w.hear(s.me(), message, 0).await {
            to_w.extend(s.hear(w.me(), message, 0).await);
        }
        std::fs::create_dir(&tmp).unwrap();
        chunks += 1;
    }
    assert_eq!(chunks, 7);
    w.tick(1, true).await;
    assert_eq!((w.runs.len(), w.job(&id).await.state()), (1, JobState::Running));
    assert!(blobs.iter().all(|blob| w.engine.blobs.has(&blob.hash)));
}

#[tokio::test]
async fn only_what_was_asked_for_is_prepared() {
    let (mut s, mut w) = (Side::new(1).await, Side::new(2).await);
    let order = s.order(w.me(), 2_000_000, 10);
    let module = order.module.clone();
    let (id, offer) = s.submit(order, 0).await;
    w.hear(s.me(), offer[0].clone(), 0).await;
    let chunk = |index| JobMessage::Chunk {
        job: id,
        blob: module.hash,
        index,
        data: s.engine.blobs.read_chunk(&module, index).unwrap(),
    };
    let beyond = u32::try_from(WINDOW).unwrap();
    w.engine.prepare(&mut w.conn, s.me(), &chunk(beyond)).await.unwrap();
    w.engine.prepare(&mut w.conn, [9; 32], &chunk(0)).await.unwrap();
    assert_eq!(w.engine.blobs.missing(&module).len(), module.chunks.len());
    w.engine.prepare(&mut w.conn, s.me(), &chunk(0)).await.unwrap();
    assert!(w.engine.blobs.has_chunk(&module, 0));
}

#[tokio::test]
async fn a_damaged_chunk_is_refused_and_comes_again() {
    let (mut s, mut w) = (Side::new(1).await, Side::new(2).await);
    let order = s.order(w.me(), 1000, 2000);
    let (id, offer) = s.submit(order, 0).await;
    let wants = w.hear(s.me(), offer[0].clone(), 0).await;
    let mut chunks = Vec::new();
    for want in wants {
        chunks.extend(s.hear(w.me(), want, 0).await);
    }
    assert_eq!(chunks.len(), 2);
    for chunk in &mut chunks {
        let JobMessage::Chunk { data, .. } = chunk else { panic!() };
        data[0] ^= 1;
        assert!(w.engine.on_message(&mut w.conn, s.me(), chunk.clone(), 0).await.is_err());
    }
    // Nothing came in time, so it is asked for again, with growing patience.
    assert!(w.tick(4_000, true).await.is_empty());
    let again = w.tick(6_000, true).await;
    assert_eq!(again.len(), 2);
    assert!(w.tick(12_000, true).await.is_empty());
    assert_eq!(w.tick(17_000, true).await.len(), 2);
    for want in again {
        for chunk in s.hear(w.me(), want, 0).await {
            w.hear(s.me(), chunk, 18_000).await;
        }
    }
    w.tick(18_000, true).await;
    assert_eq!((w.runs.len(), w.job(&id).await.state()), (1, JobState::Running));
}

#[tokio::test]
async fn offers_beyond_the_caps_are_declined_with_the_reason() {
    type Change = fn(&mut Caps);
    let table: [(Change, &str); 5] = [
        (|c| c.limits.seconds = 10, "time limit"),
        (|c| c.limits.memory_bytes = 1 << 20, "memory limit"),
        (|c| c.input_bytes = 100, "size of program and input"),
        (|c| c.jobs_per_peer = 0, "your jobs"),
        (|c| c.jobs = 0, "jobs are already waiting"),
    ];
    for (change, words) in table {
        let (mut s, mut w) = (Side::new(1).await, Side::new(2).await);
        let mut caps = Caps::default();
        change(&mut caps);
        w.engine.set_caps(caps);
        let order = s.order(w.me(), 1000, 2000);
        let (id, offer) = s.submit(order, 0).await;
        for message in w.hear(s.me(), offer[0].clone(), 0).await {
            s.hear(w.me(), message, 0).await;
        }
        let job = s.job(&id).await;
        assert!(job.state() == JobState::Failed && job.note.contains(words), "{}", job.note);
        assert!(w.engine.list(&mut w.conn, 9).await.unwrap().is_empty());
        assert!(s.escrow.is_empty() && w.escrow.is_empty());
    }
}

#[tokio::test]
async fn what_cannot_be_submitted() {
    let mut s = Side::new(1).await;
    let good = s.order([2; 32], 10, 10);
    let mut missing = good.clone();
    missing.module.hash = [0; 32];
    let poor = NewJob { price_limit: Some(1), ..good.clone() };
    let own = NewJob { worker: s.me(), ..good.clone() };
    let long = NewJob { name: "x".repeat(300), ..good.clone() };
    let ever = NewJob { limits: Limits { seconds: u32::MAX, ..Limits::default() }, ..good.clone() };
    for bad in [missing, poor, own, long, ever] {
        assert!(s.engine.submit(&mut s.conn, bad, 0).await.is_err());
    }
    assert!(s.engine.list(&mut s.conn, 9).await.unwrap().is_empty());
    s.engine.submit(&mut s.conn, good, 0).await.unwrap();
}

#[tokio::test]
async fn an_offer_without_an_answer_fails_in_the_end() {
    let mut s = Side::new(1).await;
    let order = s.order([2; 32], 10, 10);
    let (id, _) = s.submit(order, 0).await;
    let mut offers = 0;
    for second in (0..100_000).step_by(20) {
        for message in s.tick(second * 1000, true).await {
            offers += usize::from(matches!(message, JobMessage::Offer(_)));
        }
    }
    assert!((3..100).contains(&offers), "offered {offers} times again");
    assert_eq!(s.job(&id).await.state(), JobState::Failed);
    assert_eq!(s.refunded, [id]);
}

#[tokio::test]
async fn files_of_ended_jobs_are_removed_but_not_the_submitters_output() {
    let (mut s, mut w, id) = running().await;
    let mut to_s = w.finish(5000).await;
    for _ in 0..6 {
        let mut to_w = Vec::new();
        for message in to_s {
            to_w.extend(s.hear(w.me(), message, 6000).await);
        }
        to_s = Vec::new();
        for message in to_w {
            to_s.extend(w.hear(s.me(), message, 6000).await);
        }
    }
    let job = s.job(&id).await;
    assert_eq!(job.state(), JobState::Completed);
    let output = job.output.clone().unwrap().hash;
    for side in [&mut s, &mut w] {
        assert!(side.engine.blobs.has(&job.spec().module.hash));
        side.tick(6000 + 3_600_001, true).await;
        assert!(!side.engine.blobs.has(&job.spec().module.hash));
    }
    assert!(s.engine.blobs.has(&output) && !w.engine.blobs.has(&output));
    assert!(!w.folder.path().join("scratch").join(hex::encode(id)).exists());
}

#[tokio::test]
async fn data_lost_on_the_submitters_disk_ends_the_job() {
    let (mut s, mut w) = (Side::new(1).await, Side::new(2).await);
    let order = s.order(w.me(), 1000, 2000);
    let module = order.module.clone();
    let (id, offer) = s.submit(order, 0).await;
    s.engine.blobs.remove(&module).unwrap();
    for want in w.hear(s.me(), offer[0].clone(), 0).await {
        for message in s.hear(w.me(), want, 0).await {
            w.hear(s.me(), message, 0).await;
        }
    }
    let (sent, taken) = (s.job(&id).await, w.job(&id).await);
    assert_eq!((sent.state(), taken.state()), (JobState::Failed, JobState::Cancelled));
    assert!(sent.note.contains("no longer here") && sent.note == taken.note, "{}", taken.note);
    assert!(s.escrow.is_empty() && w.escrow.is_empty());
}
