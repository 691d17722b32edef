//! The words that the engine and its driver exchange.

use crate::PeerId;
use crate::mesh::record::Change;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Milliseconds since 1970.
pub type Millis = u64;

/// A connection to a neighbour, by a number that the driver chooses and does not use again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// The first 16 bytes of the SHA-256 of a packet's type, sender, time and payload as they are on the wire; also the name
/// of a carried message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(pub [u8; 16]);

impl MessageId {
    /// The name of an encoded packet; None for what is no packet.
    pub fn of_packet(packet: &[u8]) -> Option<Self> {
        crate::mesh::view::View::parse(packet).map(|v| v.id())
    }
}

impl std::fmt::Debug for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// What goes over a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// An encoded packet, as it goes over the air.
    Packet(Arc<[u8]>),
    /// Words between two of our own nodes that are neighbours. The driver puts them into their Noise session, so that
    /// nobody else can write them, and phones see an ordinary encrypted packet.
    Control(Arc<[u8]>),
}

impl Frame {
    /// Its bytes.
    pub fn bytes(&self) -> &Arc<[u8]> {
        match self {
            Self::Packet(b) | Self::Control(b) => b,
        }
    }
}

/// What the driver has to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this, and call [`link_ready`](crate::mesh::Engine::link_ready) when the link can take the next one.
    Transmit {
        /// Over this link.
        link: LinkId,
        /// What.
        frame: Frame,
    },
    /// Write this to disk before anything that follows is done: what follows may acknowledge it.
    Persist(Change),
    /// A packet for this node or for everybody. Once for each packet, but that a carried one comes again after a restart
    /// if it was not acknowledged before: the caller knows by its name what it has. It belongs into one transaction with
    /// the [`Persist`](Self::Persist) around it.
    Deliver(Delivered),
    /// An own message has reached the one it was for; they have proved it.
    Acknowledged {
        /// Which message.
        id: MessageId,
    },
    /// An own message has been handed over once more.
    Carried {
        /// Which message.
        id: MessageId,
        /// How many neighbours have taken it so far.
        by: u32,
    },
    /// An own message was not acknowledged in its time, and is given up.
    Expired {
        /// Which message.
        id: MessageId,
    },
    /// A message of the outbox is to be sealed and sent anew: its receiver may be there.
    SendAgain {
        /// The number that the caller gave it.
        id: u64,
        /// To whom.
        to: PeerId,
    },
    /// A message of the outbox is given up: too many tries, or too old.
    GivenUp {
        /// The number that the caller gave it.
        id: u64,
    },
    /// The link is now known to lead to this peer.
    Bound {
        /// The link.
        link: LinkId,
        /// Who is at its other end.
        peer: PeerId,
        /// One of our own nodes, that takes [`Frame::Control`].
        native: bool,
    },
}

/// A packet that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Its name.
    pub id: MessageId,
    /// The packet as received.
    pub packet: Arc<[u8]>,
    /// Who it says it is from. Checked for packets to everybody; what is for this node alone is checked when it is opened.
    pub sender: PeerId,
    /// The neighbour that brought it.
    pub link: LinkId,
    /// It came in answer to an own request for what was missed, or was carried: it may be old.
    pub late: bool,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It is no packet.
    #[error("this is no complete packet")]
    Malformed,
    /// It is from somebody else.
    #[error("the packet's sender is not this node")]
    NotMine,
    /// A message to be carried needs somebody whom it is for.
    #[error("a carried message needs a recipient, and another one than the sender")]
    NoRecipient,
    /// It is too long to be carried.
    #[error("a carried message may have {limit} bytes, this one has {length}")]
    TooLong {
        /// Its length.
        length: usize,
        /// The most.
        limit: usize,
    },
    /// Too many own messages wait for their acknowledgement.
    #[error("{0} messages wait already to be acknowledged: wait, or withdraw some")]
    Full(usize),
}
