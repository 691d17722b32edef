//! What an order is.

use crate::spec::{
    BlobRef, Checkpoint, Class, JobId, JobSpec, Limits, Outputs, Person, Program, SpecError,
    check_checkpoint_seconds, check_input_names, check_name, check_words, decode, encode,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An order's id, drawn at random.
pub type OrderId = [u8; 16];

/// Most elements of an array.
pub const MAX_ELEMENTS: u32 = 10_000;
/// Most orders that one order waits for.
pub const MAX_NEEDS: usize = 256;
/// Most persons that an order names.
pub const MAX_PERSONS: usize = 256;
/// The environment variable in which an element of an array finds its index.
pub const INDEX_VARIABLE: &str = "FOG_ARRAY_INDEX";
/// Most bytes of an encoded [`OrderSpec`].
const MAX_ORDER_BYTES: usize = 512 * 1024;

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// It is here.
    Blob(BlobRef),
    /// The standard output of another order.
    Stdout(OrderId),
    /// The archive of another order's output files.
    Files(OrderId),
}

impl Source {
    /// The order that must be completed first.
    pub fn order(&self) -> Option<OrderId> {
        match self {
            Self::Blob(_) => None,
            Self::Stdout(order) | Self::Files(order) => Some(*order),
        }
    }

    /// The data, if it is here already.
    pub fn blob(&self) -> Option<&BlobRef> {
        match self {
            Self::Blob(blob) => Some(blob),
            _ => None,
        }
    }
}

/// Who may run it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// Any worker that the node knows.
    Anyone,
    /// This device.
    Here,
    /// One of these.
    Persons(Vec<Person>),
}

/// What a user orders. All elements of an array have the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderSpec {
    /// A label for people.
    pub name: String,
    /// What runs.
    pub program: Program,
    /// Standard input.
    pub stdin: Option<Source>,
    /// Paths below `/in` and what is there.
    pub inputs: Vec<(String, Source)>,
    /// Program arguments.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// What each run may use.
    pub limits: Limits,
    /// How much it matters.
    pub class: Class,
    /// As [`JobSpec::privacy`].
    pub privacy: u8,
    /// It asks for the network.
    pub network: bool,
    /// It fails if it is not done by then, milliseconds since 1970.
    pub deadline_ms: Option<u64>,
    /// The most that one run may cost; none is what the limits allow.
    pub price_limit: Option<u128>,
    /// Who may run it.
    pub target: Target,
    /// Seconds between checkpoints.
    pub checkpoint_seconds: u32,
}

impl OrderSpec {
    /// Program and inputs that are here already.
    pub fn blobs(&self) -> impl Iterator<Item = &BlobRef> {
        let sources = self.stdin.iter().chain(self.inputs.iter().map(|(_, source)| source));
        self.program.blob().into_iter().chain(sources.filter_map(Source::blob))
    }

    /// Orders whose output is an input.
    pub fn sources(&self) -> impl Iterator<Item = OrderId> {
        let sources = self.stdin.iter().chain(self.inputs.iter().map(|(_, source)| source));
        sources.filter_map(Source::order)
    }

    /// Checks what can be checked before the inputs are known.
    ///
    /// # Errors
    /// [`SpecError::Invalid`] says in plain words what is out of bounds.
    pub fn validate(&self) -> Result<(), SpecError> {
        let invalid = |reason: &str| Err(SpecError::Invalid(reason.into()));
        check_name(&self.name)?;
        self.program.validate()?;
        for blob in self.blobs() {
            blob.validate()?;
        }
        check_input_names(self.inputs.iter().map(|(name, _)| name.as_str()))?;
        check_words(&self.args, &self.env)?;
        check_checkpoint_seconds(self.checkpoint_seconds)?;
        match &self.target {
            Target::Persons(persons) if persons.is_empty() => {
                return invalid("nobody is named to run the job");
            }
            Target::Persons(persons) if persons.len() > MAX_PERSONS => {
                return invalid("too many persons are named to run the job");
            }
            Target::Persons(persons) if self.class == Class::S && persons.len() < 3 => {
                return invalid("class S compares three devices: name at least three, or let anyone run it");
            }
            Target::Here if self.class != Class::B => {
                return invalid("this device alone gives class B only");
            }
            _ => {}
        }
        if self.class == Class::S && !self.program.is_deterministic() {
            return invalid("class S compares results bit for bit, which takes a deterministic WASM module");
        }
        self.limits.validate()
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, SpecError> {
        encode("order", self, MAX_ORDER_BYTES)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, SpecError> {
        decode("order", bytes, MAX_ORDER_BYTES)
    }

    /// What a job of the first version ordered.
    pub(crate) fn from_job(spec: &JobSpec, worker: Person) -> Self {
        Self {
            name: spec.name.clone(),
            program: spec.program.clone(),
            stdin: spec.stdin.clone().map(Source::Blob),
            inputs: Vec::new(),
            args: spec.args.clone(),
            env: spec.env.clone(),
            limits: spec.limits,
            class: spec.class,
            privacy: spec.privacy,
            network: spec.network,
            deadline_ms: spec.deadline_ms,
            price_limit: Some(spec.price_limit),
            target: Target::Persons(vec![worker]),
            checkpoint_seconds: spec.checkpoint_seconds,
        }
    }
}

/// How far an order is. The numbers are in the database; those below 50 are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// Waits for other orders.
    Blocked = 0,
    /// Waits for a device, or for its answer.
    Pending = 10,
    /// A device has it, and it does not run yet.
    Scheduled = 20,
    /// Runs.
    Running = 30,
    /// Has begun and is paused, or waits for another device to go on.
    Checkpointed = 35,
    /// An array: some of its elements are under way.
    Array = 40,
    /// Done.
    Completed = 50,
    /// Ended without a result.
    Failed = 60,
    /// Stopped by its owner.
    Cancelled = 70,
}

impl State {
    const ALL: [Self; 9] = [
        Self::Blocked,
        Self::Pending,
        Self::Scheduled,
        Self::Running,
        Self::Checkpointed,
        Self::Array,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    pub(crate) fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as i64 == number)
    }

    /// True for the states that an order leaves only when it is tried again.
    pub fn is_final(self) -> bool {
        self >= Self::Completed
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// What is ordered.
    pub spec: Arc<OrderSpec>,
    /// Of an element: its array.
    pub parent: Option<OrderId>,
    /// Of an element: its index.
    pub index: Option<u32>,
    /// Of an array: the first and the last index.
    pub range: Option<(u32, u32)>,
    /// How far it is.
    pub state: State,
    /// What happens or what went wrong, in plain words.
    pub note: String,
    /// Results that are compared; 0 while that is not decided, 1 if none are.
    pub copies: u8,
    /// Attempts that came to nothing.
    pub tries: u32,
    /// When to look at it again.
    pub due_ms: Option<u64>,
    /// How much is done in thousandths, where the program says so.
    pub permille: Option<u16>,
    /// Where to go on from.
    pub checkpoint: Option<Checkpoint>,
    /// Outputs and exit code.
    pub result: Option<(Outputs, i32)>,
    /// The attempt whose result it is.
    pub winner: Option<JobId>,
    /// When it was ordered, milliseconds since 1970.
    pub created_ms: u64,
    /// Since when it could be done: earlier attempts do not count.
    pub(crate) since_ms: u64,
    /// When it first ran.
    pub started_ms: Option<u64>,
    /// When it ended.
    pub finished_ms: Option<u64>,
}

impl Order {
    /// The environment of its runs.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let mut env = self.spec.env.clone();
        if let Some(index) = self.index {
            env.retain(|(name, _)| name != INDEX_VARIABLE);
            env.push((INDEX_VARIABLE.into(), index.to_string()));
        }
        env
    }
}

/// What elements of an array are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Not at a device yet.
    pub pending: u32,
    /// At a device, not running.
    pub scheduled: u32,
    /// Running or paused.
    pub running: u32,
    /// Done.
    pub completed: u32,
    /// Ended without a result.
    pub failed: u32,
    /// Stopped.
    pub cancelled: u32,
}
