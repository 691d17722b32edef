//! Several engines, a database each, and a road between them that duplicates, reorders, delays and loses; anybody may be
//! killed and started again between any two steps.

mod checkpoints;
mod copies;
mod data;
mod elsewhere;
mod endings;
mod graph;
mod random;
mod refusals;
mod road;

use super::*;
use crate::message::Status;
use crate::orders::{OrderSpec, Source, State, Target};
use crate::run::{RunError, RunOutcome};
use crate::spec::{Class, Limits, Program, Receipt, SignedReceipt};
use crate::store::JobState;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::collections::BTreeMap;

/// How a worker's device treats programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Honest,
    /// Its outputs are wrong, each in its own way.
    Lies,
    /// It says that the program crashed.
    Crashes,
    /// Its disk is full.
    Broken,
    /// It writes its output and ends with exit code 3.
    Exits,
}

/// One side, with what the node around the engine does.
struct Side {
    folder: tempfile::TempDir,
    key: [u8; 32],
    starts: u8,
    engine: Engine,
    conn: SqliteConnection,
    manner: Manner,
    allowed: bool,
    slots: usize,
    funds: Option<u128>,
    peers: Vec<Peer>,
    /// Escrow held, by job.
    escrow: BTreeMap<JobId, u128>,
    paid: BTreeMap<JobId, u128>,
    refunded: Vec<JobId>,
    runs: Vec<RunPlan>,
    all_runs: usize,
    logs: Vec<u8>,
    preempted: Vec<JobId>,
}

/// A message and to whom it goes.
type Sent = (Person, JobMessage);

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
            manner: Manner::Honest,
            allowed: true,
            slots: 2,
            funds: None,
            peers: Vec::new(),
            escrow: BTreeMap::new(),
            paid: BTreeMap::new(),
            refunded: Vec::new(),
            runs: Vec::new(),
            all_runs: 0,
            logs: Vec::new(),
            preempted: Vec::new(),
        }
    }

    fn engine(folder: &std::path::Path, key: [u8; 32], starts: u8) -> Engine {
        let blobs = BlobStore::open(folder.join("blobs")).unwrap();
        let mut config = EngineConfig::new(folder.join("scratch"));
        config.retry_after_ms = 5_000;
        config.collect_every_ms = 0;
        let seed = [key[0] ^ 0x55 ^ starts.wrapping_mul(2); 32];
        Engine::new(SigningKey::from_bytes(&key), blobs, config, seed)
    }

    /// Killed and started again: everything in memory is gone, the runs too.
    fn restart(&mut self) {
        self.starts += 1;
        self.runs.clear();
        self.engine = Self::engine(self.folder.path(), self.key, self.starts);
        self.engine.set_peers(self.peers.clone());
    }

    fn me(&self) -> Person {
        self.engine.me()
    }

    fn know(&mut self, people: &[Person]) {
        self.peers = people.iter().map(|p| Peer { person: *p, online: true, privacy: 1 }).collect();
        self.engine.set_peers(self.peers.clone());
    }

    fn room(&self) -> Room {
        let local = self.runs.iter().filter(|plan| plan.order.is_some()).count();
        Room {
            allowed: self.allowed,
            reason: "the owner is here".into(),
            slots: self.slots.saturating_sub(self.runs.len() - local),
            memory: u64::MAX,
            local_slots: self.slots.saturating_sub(local),
            funds: self.funds,
        }
    }

    /// Does what the node does with actions; returns the messages to send.
    async fn act(&mut self, actions: Vec<Action>) -> Vec<Sent> {
        let mut out = Vec::new();
        for action in actions {
            match action {
                Action::Send { to, message, .. } => {
                    let bytes = message.encode().unwrap();
                    assert_eq!(JobMessage::decode(&bytes).unwrap(), message);
                    out.push((to, message));
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
                Action::Preempt { job } => self.preempted.push(job),
                Action::Log { offset, data, .. } => {
                    let have = self.logs.len();
                    self.logs
                        .extend_from_slice(&data[have.saturating_sub(offset as usize).min(data.len())..]);
                }
                Action::Asked { by } => {
                    let room = self.room();
                    let offer =
                        self.engine.availability(&mut self.conn, &by, &room, self.slots as u32, true).await;
                    out.push((by, JobMessage::Offers(offer.unwrap())));
                }
                Action::Changed { .. } | Action::Ordered { .. } | Action::Ended { .. } => {}
                Action::Worker { .. } => {}
            }
        }
        out
    }

    async fn hear(&mut self, from: Person, message: JobMessage, now: u64) -> Vec<Sent> {
        self.engine.prepare(&mut self.conn, from, &message).await.ok();
        match self.engine.on_message(&mut self.conn, from, message, now).await {
            Ok(actions) => self.act(actions).await,
            Err(error) => {
                assert!(error.is_senders_fault(), "{error}");
                Vec::new()
            }
        }
    }

    async fn tick(&mut self, now: u64) -> Vec<Sent> {
        let room = self.room();
        let actions = self.engine.tick(&mut self.conn, now, &room).await.unwrap();
        self.act(actions).await
    }

    /// Ends the oldest run: the "program" writes its input backwards, and its index.
    async fn finish(&mut self, now: u64) -> Vec<Sent> {
        if self.runs.is_empty() {
            return Vec::new();
        }
        let plan = self.runs.remove(0);
        let outcome = ran(&plan, self.manner, self.key[0]);
        self.ended(&plan.job, outcome, now).await
    }

    async fn ended(&mut self, job: &JobId, outcome: Result<RunOutcome, RunError>, now: u64) -> Vec<Sent> {
        let ended = self.engine.store_outcome(outcome).await;
        let actions = self.engine.on_ended(&mut self.conn, job, ended.clone(), now).await.unwrap();
        let out = self.act(actions).await;
        // Reported twice, as after a failed commit.
        assert!(self.engine.on_ended(&mut self.conn, job, ended, now).await.unwrap().is_empty());
        out
    }

    /// The oldest run takes a checkpoint after so many seconds of running.
    async fn checkpoint(&mut self, seconds: u64, now: u64) -> Vec<Sent> {
        let Some(plan) = self.runs.first().cloned() else { return Vec::new() };
        let actions = {
            let taken = checkpoint_file(&plan, seconds);
            let stored = self.engine.store_checkpoint(&taken).await.unwrap();
            self.engine.on_checkpoint(&mut self.conn, &plan.job, stored, now).await.unwrap()
        };
        self.act(actions).await
    }

    async fn job(&mut self, id: &JobId) -> Job {
        self.engine.get(&mut self.conn, id).await.unwrap()
    }

    async fn order_of(&mut self, id: &OrderId) -> Order {
        self.engine.order(&mut self.conn, id).await.unwrap()
    }

    fn bytes(n: usize, salt: usize) -> Vec<u8> {
        (0..n).map(|i| (i * 31 / 7 + salt + (i / 65_536) * 3) as u8).collect()
    }

    /// An order with a module and an input of these sizes.
    fn spec(&self, target: Target, module: usize, input: usize) -> OrderSpec {
        let module = self.engine.blobs.put_bytes(&Self::bytes(module, 1)).unwrap();
        let input = self.engine.blobs.put_bytes(&Self::bytes(input, 2)).unwrap();
        OrderSpec {
            name: "a job".into(),
            program: Program::Wasm { module, deterministic: true },
            stdin: Some(Source::Blob(input)),
            inputs: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            limits: Limits::default(),
            class: Class::B,
            privacy: 0,
            network: false,
            deadline_ms: None,
            price_limit: None,
            target,
            checkpoint_seconds: 60,
        }
    }

    async fn submit(&mut self, spec: OrderSpec, now: u64) -> (OrderId, Vec<Sent>) {
        let new = NewOrder { spec, array: None, needs: Vec::new() };
        let order = self.engine.submit(&mut self.conn, new, now).await.unwrap();
        (order.id, self.tick(now).await)
    }
}

fn backwards(path: &std::path::Path) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    bytes.reverse();
    bytes
}

/// A checkpoint of this test's programs holds the seconds that they ran; large and mostly the same each time.
fn checkpoint_file(plan: &RunPlan, seconds: u64) -> crate::run::Checkpoint {
    std::fs::create_dir_all(&plan.request.scratch).unwrap();
    let file = plan.request.scratch.join("checkpoint");
    let mut state = vec![7u8; 700_000];
    state[300_000..300_008].copy_from_slice(&seconds.to_le_bytes());
    std::fs::write(&file, state).unwrap();
    let (wall_ms, number) = (seconds * 1000, seconds as u32);
    let (fuel, cpu_ms) = (seconds * 10, wall_ms / 2);
    crate::run::Checkpoint { file, fuel, cpu_ms, wall_ms, bytes: 700_000, changed: 0, number }
}

/// Seconds that a run has behind it when it starts.
fn resumed(plan: &RunPlan) -> u64 {
    let Some(path) = &plan.request.resume else { return 0 };
    let state = std::fs::read(path).unwrap();
    u64::from_le_bytes(state[300_000..300_008].try_into().unwrap())
}

fn ran(plan: &RunPlan, manner: Manner, who: u8) -> Result<RunOutcome, RunError> {
    match manner {
        Manner::Crashes => return Err(RunError::Trap("unreachable".into())),
        Manner::Broken => return Err(RunError::Device("the disk is full".into())),
        Manner::Honest | Manner::Lies | Manner::Exits => {}
    }
    std::fs::create_dir_all(&plan.request.scratch).unwrap();
    let stdout = plan.request.scratch.join("stdout");
    let mut output = backwards(plan.request.stdin.as_ref().unwrap());
    output.extend(plan.request.env.iter().flat_map(|(_, value)| value.as_bytes().to_vec()));
    if manner == Manner::Lies {
        output.push(who);
    }
    std::fs::write(&stdout, output).unwrap();
    // Ten seconds of work in all, wherever it was done.
    Ok(RunOutcome {
        exit_code: if manner == Manner::Exits { 3 } else { 0 },
        stdout,
        files: None,
        stderr_tail: String::new(),
        fuel: 12345,
        cpu_ms: 9_000,
        wall_ms: 10_000,
        memory_peak: 1 << 20,
    })
}

/// A submitter (the first) and workers, with the messages between them.
struct World {
    sides: Vec<Side>,
    /// From whom, to whom, what.
    road: Vec<(usize, usize, JobMessage)>,
    now: u64,
    /// Who is cut off.
    away: Vec<usize>,
}

impl World {
    async fn new(workers: usize) -> Self {
        let mut sides = Vec::new();
        for key in 1..=workers + 1 {
            sides.push(Side::new(key as u8).await);
        }
        let people: Vec<_> = sides[1..].iter().map(Side::me).collect();
        sides[0].know(&people);
        Self { sides, road: Vec::new(), now: 1_000_000, away: Vec::new() }
    }

    fn s(&mut self) -> &mut Side {
        &mut self.sides[0]
    }

    fn person(&self, n: usize) -> Person {
        self.sides[n].me()
    }

    fn send(&mut self, from: usize, sent: Vec<Sent>) {
        for (to, message) in sent {
            let to = self.sides.iter().position(|side| side.me() == to).unwrap();
            self.road.push((from, to, message));
        }
    }

    /// Delivers what is on the road, in order, until nothing moves. What goes to or comes from somebody who is away waits.
    async fn deliver(&mut self) {
        let mut at = 0;
        while at < self.road.len() {
            let (from, to, _) = self.road[at];
            if self.away.contains(&from) || self.away.contains(&to) {
                at += 1;
                continue;
            }
            let (_, _, message) = self.road.remove(at);
            let sender = self.person(from);
            let now = self.now;
            let sent = self.sides[to].hear(sender, message, now).await;
            self.send(to, sent);
            at = 0;
        }
    }

    /// A second passes for everybody who is there.
    async fn second(&mut self) {
        self.now += 1_000;
        for n in 0..self.sides.len() {
            if self.away.contains(&n) {
                continue;
            }
            let now = self.now;
            let sent = self.sides[n].tick(now).await;
            self.send(n, sent);
        }
        self.deliver().await;
    }

    async fn seconds(&mut self, n: usize) {
        for _ in 0..n {
            self.second().await;
        }
    }

    async fn submit(&mut self, spec: OrderSpec) -> OrderId {
        self.submit_new(NewOrder { spec, array: None, needs: Vec::new() }).await
    }

    async fn submit_new(&mut self, new: NewOrder) -> OrderId {
        let now = self.now;
        let s = self.s();
        let order = s.engine.submit(&mut s.conn, new, now).await.unwrap();
        let sent = s.tick(now).await;
        self.send(0, sent);
        self.deliver().await;
        order.id
    }

    /// All runs of a worker come to their end.
    async fn finish(&mut self, n: usize) {
        while !self.sides[n].runs.is_empty() {
            let now = self.now;
            let sent = self.sides[n].finish(now).await;
            self.send(n, sent);
            self.deliver().await;
        }
    }

    async fn state(&mut self, id: &OrderId) -> State {
        self.s().order_of(id).await.state
    }

    async fn cancel(&mut self, id: &OrderId) {
        let now = self.now;
        let s = self.s();
        let actions = s.engine.cancel(&mut s.conn, id, now).await.unwrap();
        let sent = s.act(actions).await;
        self.send(0, sent);
        self.deliver().await;
    }

    /// Who has runs.
    fn busy(&self) -> Vec<usize> {
        (0..self.sides.len()).filter(|n| !self.sides[*n].runs.is_empty()).collect()
    }

    /// Everybody's books agree: what one paid the others got, and nothing is held any more.
    fn balanced(&self) {
        let got: BTreeMap<_, _> = self.sides[1..].iter().flat_map(|side| side.paid.clone()).collect();
        assert_eq!(self.sides[0].paid, got);
        for side in &self.sides {
            assert!(side.escrow.is_empty(), "{:?} is still held", side.escrow);
        }
    }

    async fn output(&mut self, id: &OrderId) -> Vec<u8> {
        let order = self.s().order_of(id).await;
        let (outputs, _) =
            order.result.unwrap_or_else(|| panic!("no result: {:?} {}", order.state, order.note));
        self.s().engine.blobs.read(&outputs.stdout.hash).unwrap()
    }
}

/// A submitter, and one worker that runs the job.
async fn running() -> (World, OrderId) {
    let mut world = World::new(1).await;
    let target = Target::Persons(vec![world.person(1)]);
    let spec = world.sides[0].spec(target, 1000, 2000);
    let id = world.submit(spec).await;
    world.second().await;
    assert_eq!((world.busy(), world.state(&id).await), (vec![1], State::Running));
    (world, id)
}
