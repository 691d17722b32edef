//! What nodes say to each other: the kinds of message and their bodies.

use betanet::Key;
use fog_p2p::MessageId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::net::SocketAddr;

/// My card: sent to somebody I added, and again when it changes. The one kind that a stranger may send.
pub(crate) const HELLO: u16 = 1;
/// A chat message ([`Chat`]).
pub(crate) const CHAT: u16 = 2;
/// Messages of yours that I have read ([`Read`]).
pub(crate) const READ: u16 = 3;
/// A signed statement of the network: a join, a proposal, a vote (`fog_tokenomics::Record`).
pub(crate) const RECORD: u16 = 4;
/// About a job, as the first version said it. Only payments are still understood.
pub(crate) const JOB: u16 = 5;
/// A countersigned receipt for everybody's ledger (`fog_jobs::Settlement`).
pub(crate) const SETTLEMENT: u16 = 6;
/// How I want to be reached, and where ([`Reach`]).
pub(crate) const REACH: u16 = 7;
/// About jobs (`fog_jobs::JobMessage`).
pub(crate) const WORK: u16 = 8;
/// Whether I allow direct connections ([`Direct`]).
pub(crate) const DIRECT: u16 = 9;
/// A claim for mixing, for everybody's ledger (`mixing::Claim`).
pub(crate) const MIXING: u16 = 10;

/// The lanes: what takes effect in the order in which it was sent. Lanes do not wait for each other. A lane's number
/// must keep its meaning, since messages in the outbox have theirs.
pub(crate) mod lane {
    /// Chat messages and what was read.
    pub(crate) const CHAT: u8 = 1;
    /// Signed statements.
    pub(crate) const RECORDS: u8 = 2;
    /// Receipts and claims for everybody's ledger.
    pub(crate) const SETTLEMENTS: u8 = 3;
    /// Offers of jobs, and taking them back. An offer may have to wait for a join; what is said of other jobs does
    /// not wait for it.
    pub(crate) const OFFERS: u8 = 4;
    /// Everything else about jobs but their data.
    pub(crate) const JOBS: u8 = 5;
    /// The data of jobs.
    pub(crate) const DATA: u8 = 6;
    /// How to be reached.
    pub(crate) const REACH: u8 = 7;
}

/// The lane of a kind of message. Cards come whenever they come: the latest counts. Messages about jobs are in several
/// lanes; those that a version without lanes left in the outbox stay without an order.
pub(crate) fn lane(kind: u16) -> u8 {
    match kind {
        CHAT | READ => lane::CHAT,
        RECORD => lane::RECORDS,
        SETTLEMENT | MIXING => lane::SETTLEMENTS,
        REACH | DIRECT => lane::REACH,
        _ => fog_p2p::outbox::UNORDERED,
    }
}

/// The longest text of a chat message, bytes of UTF-8.
pub(crate) const MAX_TEXT: usize = 64 * 1024;
/// The most ids in one [`Read`].
pub(crate) const MAX_READ: usize = 1000;

#[derive(Serialize, Deserialize)]
pub(crate) struct Chat {
    pub(crate) text: String,
    /// When it was written, by the writer's clock.
    pub(crate) time_ms: i64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Read {
    pub(crate) messages: Vec<MessageId>,
}

/// The sender wants everything between us to go at this level at least.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reach {
    /// In which network.
    pub(crate) network: Key,
    /// The level.
    pub(crate) level: Level,
    /// The sender's box for the receiver, while the level between them is secret.
    pub(crate) place: Option<Place>,
    /// The sender does not know the receiver's box.
    pub(crate) asks: bool,
}

/// My device's key and addresses for direct connections; none if I do not allow them.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Direct {
    pub(crate) device: Option<(Key, Vec<SocketAddr>)>,
}

/// As [`fog_api::PrivacyLevel`], of those that go over the mixnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Level {
    Private,
    Confidential,
    Secret,
}

/// A box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The relay where it is.
    pub(crate) relay: Key,
    /// Its id there.
    pub(crate) id: Key,
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).unwrap_or_default() // plain data: cannot fail
}

/// Reads a whole body from another node; none if it is anything else.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}
