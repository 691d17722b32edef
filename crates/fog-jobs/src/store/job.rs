//! A job as one node sees it: one attempt of an order, on one device.

use crate::message::{Fault, Stage};
use crate::orders::OrderId;
use crate::spec::{
    BlobRef, Checkpoint, Hash, JobId, JobSpec, Outputs, Person, Settlement, SignedReceipt, SignedSpec,
};

/// Which side of a job this node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It asked for the job and pays.
    Submitter,
    /// It runs the job and is paid.
    Worker,
    /// Both: its own job, which runs here and costs nothing.
    Local,
}

/// How far a job is, as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Offered; nobody has taken it yet.
    Pending,
    /// Taken; data moves or the device waits.
    Scheduled,
    /// Runs, or its result is on the way.
    Running,
    /// Has begun, and waits for the device's owner to leave.
    Checkpointed,
    /// Done and paid.
    Completed,
    /// Ended without a result; not paid.
    Failed,
    /// Stopped by its sender.
    Cancelled,
    /// Given back with a checkpoint, and paid until then.
    Preempted,
}

/// How far a job is, for the protocol. The numbers are in the database; those below 50 are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Submitter: no answer yet.
    Offered = 0,
    /// Worker: program and inputs arrive. Submitter: taken.
    Fetching = 10,
    /// Worker: everything is here; waits for its turn.
    Ready = 20,
    /// Runs.
    Running = 30,
    /// Sealed: done and committed to, not handed over.
    Committed = 35,
    /// Worker: waits for the submitter's confirmation. Submitter: the outputs arrive.
    Delivering = 40,
    /// Submitter, sealed: the outputs are here and wait for the comparison.
    Held = 45,
    /// Done and paid.
    Completed = 50,
    /// Ended without a result.
    Failed = 60,
    /// Stopped by its sender.
    Cancelled = 70,
    /// Given back with a checkpoint, and paid.
    Preempted = 80,
}

impl Phase {
    const ALL: [Self; 11] = [
        Self::Offered,
        Self::Fetching,
        Self::Ready,
        Self::Running,
        Self::Committed,
        Self::Delivering,
        Self::Held,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Preempted,
    ];

    pub(crate) fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| *phase as i64 == number)
    }

    /// True for the phases that a job does not leave.
    pub(crate) fn is_final(self) -> bool {
        self >= Self::Completed
    }
}

/// A job, sent or taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The submitter's signed specification.
    pub signed: SignedSpec,
    /// 1 if it was begun with the first version, which is shown and not continued.
    pub(crate) version: u8,
    /// Which side this node is.
    pub role: Role,
    /// The other side; of a local job this node itself.
    pub peer: Person,
    /// The order that it is an attempt of; none for a worker.
    pub order: Option<OrderId>,
    /// A check of the worker with a job whose result is known.
    pub spot: bool,
    pub(crate) phase: Phase,
    /// What it does at its worker.
    pub(crate) stage: Stage,
    /// What happens or what went wrong, in plain words.
    pub note: String,
    pub(crate) fault: Option<Fault>,
    /// How much is done in thousandths, where the program says so.
    pub permille: Option<u16>,
    /// The worker's statement, once it is done.
    pub receipt: Option<SignedReceipt>,
    /// The order to pay, once both have signed.
    pub settlement: Option<Settlement>,
    /// What comes out, once it is known; on the submitter's side it is here when the job is completed.
    pub outputs: Option<Outputs>,
    pub(crate) commitment: Option<Hash>,
    pub(crate) nonce: Option<[u8; 32]>,
    pub(crate) revealed: bool,
    /// The last checkpoint that is whole and here.
    pub checkpoint: Option<Checkpoint>,
    /// Submitter: the checkpoint that arrives. Worker: the one that the submitter fetches.
    pub(crate) offered: Option<Checkpoint>,
    pub(crate) cursor: u32,
    /// Bytes moved so far in the present direction.
    pub moved: u64,
    /// Bytes to move in the present direction.
    pub total: u64,
    /// When this node sent or took it, milliseconds since 1970.
    pub created_ms: u64,
    /// When it started to run.
    pub started_ms: Option<u64>,
    /// When it ended here.
    pub finished_ms: Option<u64>,
    pub(crate) touched_ms: u64,
    pub(crate) heard_ms: u64,
    pub(crate) since_ms: u64,
    pub(crate) tries: u32,
    pub(crate) incarnation: i64,
    pub(crate) collected: bool,
}

impl Job {
    pub(crate) fn new(signed: SignedSpec, role: Role, peer: Person, phase: Phase, now_ms: u64) -> Self {
        let total = if role == Role::Local { 0 } else { signed.spec.input_bytes() };
        Self {
            signed,
            version: 2,
            role,
            peer,
            order: None,
            spot: false,
            phase,
            stage: Stage::Waiting,
            note: String::new(),
            fault: None,
            permille: None,
            receipt: None,
            settlement: None,
            outputs: None,
            commitment: None,
            nonce: None,
            revealed: false,
            checkpoint: None,
            offered: None,
            cursor: 0,
            moved: 0,
            total,
            created_ms: now_ms,
            started_ms: None,
            finished_ms: None,
            touched_ms: now_ms,
            heard_ms: now_ms,
            since_ms: now_ms,
            tries: 0,
            incarnation: 0,
            collected: false,
        }
    }

    /// The specification.
    pub fn spec(&self) -> &JobSpec {
        &self.signed.spec
    }

    /// Its id.
    pub fn id(&self) -> JobId {
        self.signed.spec.id
    }

    /// How far it is.
    pub fn state(&self) -> JobState {
        match self.phase {
            Phase::Offered => JobState::Pending,
            Phase::Fetching | Phase::Ready if self.stage == Stage::Paused => JobState::Checkpointed,
            Phase::Fetching | Phase::Ready => JobState::Scheduled,
            Phase::Running if self.stage == Stage::Paused => JobState::Checkpointed,
            Phase::Running | Phase::Committed | Phase::Delivering | Phase::Held => JobState::Running,
            Phase::Completed => JobState::Completed,
            Phase::Failed => JobState::Failed,
            Phase::Cancelled => JobState::Cancelled,
            Phase::Preempted => JobState::Preempted,
        }
    }

    /// True if it has ended.
    pub fn is_final(&self) -> bool {
        self.phase.is_final()
    }

    /// True while the job's process runs on this node.
    pub fn runs_here(&self) -> bool {
        self.role != Role::Submitter && self.phase == Phase::Running
    }

    /// True on the side that has the program run.
    pub(crate) fn is_worker(&self) -> bool {
        self.role != Role::Submitter
    }

    /// The blobs that this side fetches from the other in the present phase, in slot order.
    pub(crate) fn fetched(&self) -> Vec<&BlobRef> {
        match (self.role, self.phase) {
            (Role::Worker, Phase::Fetching) => self.spec().blobs().collect(),
            (Role::Submitter, Phase::Delivering) => self.outputs.iter().flat_map(Outputs::blobs).collect(),
            // A checkpoint comes while the job runs, or while it is paused.
            (Role::Submitter, Phase::Ready | Phase::Running) => {
                self.offered.iter().map(|c| &c.blob).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The blobs that this side gives the other.
    pub(crate) fn served(&self) -> Vec<&BlobRef> {
        match (self.role, self.phase) {
            (Role::Submitter, phase) if phase < Phase::Committed => self.spec().blobs().collect(),
            (Role::Worker, Phase::Delivering) => self.outputs.iter().flat_map(Outputs::blobs).collect(),
            (Role::Worker, Phase::Ready | Phase::Running) => self.offered.iter().map(|c| &c.blob).collect(),
            _ => Vec::new(),
        }
    }

    /// True if what arrives now is a checkpoint, beside the job's course.
    pub(crate) fn fetches_checkpoint(&self) -> bool {
        self.role == Role::Submitter && matches!(self.phase, Phase::Ready | Phase::Running)
    }

    /// The furthest that is known of its state: what this device has, or what it was sent with.
    pub(crate) fn newest_checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref().or(self.spec().resume.as_ref())
    }
}
