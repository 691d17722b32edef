//! What must survive a restart: the seam to the driver's disk.
//!
//! The engine says what to write by [`Output::Persist`](crate::mesh::Output::Persist), before the output that makes it
//! known to others. So a driver gathers what is to be written and what is delivered until the next
//! [`Transmit`](crate::mesh::Output::Transmit), commits it as one transaction, and then sends. After a restart the driver hands all records to [`Engine::restore`](crate::mesh::Engine::restore), in
//! any order.

use crate::PeerId;
use crate::mesh::bundle::{Ack, AckHash};
use crate::mesh::prophet::Prophet;
use crate::mesh::types::{MessageId, Millis};
use serde::{Deserialize, Serialize};

/// Names a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// A carried message.
    Bundle(MessageId),
    /// An acknowledgement.
    Ack(MessageId),
    /// A carried message that was delivered here, or has left; it is not taken again.
    Done(MessageId),
    /// A public packet.
    Public(MessageId),
    /// A message of the outbox.
    Outbox(u64),
    /// The delivery predictabilities.
    Prophet,
}

/// A record's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record(pub(crate) Content);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Content {
    Bundle {
        packet: Vec<u8>,
        ack: AckHash,
        expires_s: u32,
        copies: u16,
        hops: u8,
        own: bool,
        given: u32,
    },
    Ack(Ack),
    /// `delivered`: the packet's name and the hash, of what was for this node.
    Done {
        until: Millis,
        delivered: Option<(MessageId, AckHash)>,
    },
    Public {
        packet: Vec<u8>,
    },
    Outbox {
        to: PeerId,
        expires: Millis,
        tries: u8,
    },
    Prophet(Prophet),
}

/// One change of what is on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Which record.
    pub key: Key,
    /// Its new content; None removes it.
    pub record: Option<Record>,
}

impl Change {
    pub(crate) fn put(key: Key, content: Content) -> Self {
        Self { key, record: Some(Record(content)) }
    }

    pub(crate) fn remove(key: Key) -> Self {
        Self { key, record: None }
    }
}
