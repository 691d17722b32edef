//! The small trait that a road implements.

use std::time::Duration;

/// Where a peer is on one road. The bytes mean something to that road only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The road's name.
    pub road: &'static str,
    /// The road's own address.
    pub bytes: Vec<u8>,
}

/// Why a datagram was not sent. It never goes out over another road or at a lower privacy level instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The road does not know this address.
    #[error("this address cannot be reached: {0}")]
    Unreachable(String),
    /// Not now; the text says why. It is tried again.
    #[error("{0}")]
    Later(String),
    /// As much waits for this road as may: there is room again after about this time.
    #[error("the road is busy for another {0:?}")]
    Busy(Duration),
}

/// The way that one datagram took, for feedback and for people.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Route {
    /// The relays in order with the delay that was drawn for each.
    pub hops: Vec<([u8; 32], Duration)>,
}

/// A datagram that came over a road.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The sealed datagram.
    pub sealed: Vec<u8>,
    /// It came by one of this node's reply blocks.
    pub by_block: bool,
}

/// A road that carries sealed datagrams of one length, unreliably.
pub trait Transport: Send + Sync + 'static {
    /// The road's name, as in [`Address::road`].
    fn name(&self) -> &'static str;

    /// The exact length of its datagrams, bytes.
    fn datagram_len(&self) -> usize;

    /// How long a datagram and its acknowledgement may take before it counts as lost.
    fn patience(&self) -> Duration;

    /// Whether a datagram to `to` would be taken now: asked before it is sealed. [`Transport::send`] may still refuse it.
    ///
    /// # Errors
    /// [`TransportError::Busy`].
    fn room(&self, _to: &Address) -> Result<(), TransportError> {
        Ok(())
    }

    /// Sends one datagram. It may get lost.
    ///
    /// # Errors
    /// [`TransportError`].
    fn send(&self, to: &Address, datagram: &[u8]) -> Result<Route, TransportError>;

    /// A block of at most `room` bytes by which `to` can answer once ([`Transport::answer`]) without knowing where this
    /// node lives, over the level of that address. None if the road has no such thing, or not now.
    fn reply_block(&self, _to: &Address, _room: usize) -> Option<Vec<u8>> {
        None
    }

    /// Sends one datagram by somebody else's block, which is used up. `to` is where they live, if that is known: then the
    /// datagram goes out at that address's level at least, as the block's maker tells it. Blocks are strangers' bytes.
    ///
    /// # Errors
    /// [`TransportError`]; unless it is busy, the block is of no use.
    fn answer(&self, _to: Option<&Address>, _block: &[u8], _datagram: &[u8]) -> Result<(), TransportError> {
        Err(TransportError::Unreachable("this road has no reply blocks".into()))
    }

    /// Tells what became of a datagram that took this route to `to`.
    fn feedback(&self, to: &Address, route: &Route, arrived: bool);
}
