//! What nodes say to each other: the kinds of message and their bodies.

use fog_p2p::MessageId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// My card: sent to somebody I added, and again when it changes. The one kind that a stranger may send.
pub(crate) const HELLO: u16 = 1;
/// A chat message ([`Chat`]).
pub(crate) const CHAT: u16 = 2;
/// Messages of yours that I have read ([`Read`]).
pub(crate) const READ: u16 = 3;
/// A signed statement of the network: a join, a proposal, a vote (`fog_tokenomics::Record`).
pub(crate) const RECORD: u16 = 4;
/// About a job (`fog_jobs::JobMessage`).
pub(crate) const JOB: u16 = 5;
/// A countersigned receipt for everybody's ledger (`fog_jobs::Settlement`).
pub(crate) const SETTLEMENT: u16 = 6;

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

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).unwrap_or_default() // plain data: cannot fail
}

/// Reads a whole body from another node; none if it is anything else.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}
