//! The Sphinx packet format (Danezis & Goldberg 2009), in place and in batches.
//!
//! The bytes are those of the `sphinx-packet` crate, wire versions 1 to 260, which judges this module in the tests:
//! what one builds, the other unwraps.
//!
//! ```text
//! packet = group element 32 | MAC 16 | routing information 300 | payload
//!
//! build:   scalars are multiplied instead of points; a table for each relay's key   (build, surb)
//! unwrap:  open   key agreement for a whole batch -> keys, replay tag               (unwrap)
//!          authentic?  -> MAC over the routing information
//!          route       -> decrypt it in place: next hop and delay, or the receiver
//!          finish      -> blind the group elements of a whole batch, take off a payload layer
//! ```
//!
//! Nothing is allocated for a packet that is unwrapped. Keys are wiped when dropped. What depends on a secret is
//! neither a branch nor an index: multiplications are ladders or constant-time tables, MACs are compared in constant
//! time, AES, ChaCha20, SHA-256 and BLAKE2b are those of RustCrypto; only what the sender lets a relay see (flag,
//! version, delay) decides what happens next.

mod build;
mod keys;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod payload;
mod surb;
mod unwrap;

pub use build::{Builder, Destination, Hop};
pub use surb::{Recovery, Surb};
pub use unwrap::{Job, Opened, Routed, finish, message, open};

use crate::Key;

/// Bytes of the group element.
pub(crate) const ELEMENT_LEN: usize = 32;
/// Bytes of the header's MAC.
pub(crate) const MAC_LEN: usize = 16;
/// What the sender tells one relay: flag, version, next hop's address, delay, next hop's MAC.
pub(crate) const HOP_LEN: usize = 1 + VERSION_LEN + 32 + 8 + MAC_LEN;
/// What the sender tells the last relay: flag, version, the receiver's address, an identifier.
pub(crate) const LAST_HOP_LEN: usize = 1 + VERSION_LEN + 32 + IDENTIFIER_LEN;
/// Bytes of the routing information.
pub(crate) const ROUTING_LEN: usize = HOP_LEN * MAX_HOPS;
/// Bytes of a version on the wire.
pub(crate) const VERSION_LEN: usize = 3;

/// The most relays of a packet's path.
pub const MAX_HOPS: usize = 5;
/// Bytes of a packet's header.
pub const HEADER_LEN: usize = ELEMENT_LEN + MAC_LEN + ROUTING_LEN;
/// Bytes of a reply block's identifier.
pub const IDENTIFIER_LEN: usize = 16;
/// Bytes of the payload that are not the message's: 16 zeros, which show at the end that nothing was altered, and
/// the end of the padding.
pub const PAYLOAD_OVERHEAD: usize = 16 + 1;
/// The shortest payload that can be encrypted.
pub const MIN_PAYLOAD: usize = 33;

const MIN_PACKET: usize = HEADER_LEN + MIN_PAYLOAD;

/// Which reply block a packet answers; all zero in a packet that answers none.
pub type Identifier = [u8; IDENTIFIER_LEN];

/// A wire version: how payload keys are derived and what a reply block holds. Each packet carries its own, for the
/// relays alone to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u16);

impl Version {
    /// Payload keys out of the key derivation itself.
    pub const INITIAL: Self = Self(1);
    /// As [`Version::INITIAL`].
    pub const UPDATED: Self = Self(257);
    /// As [`Version::INITIAL`], since the group is X25519 by name.
    pub const X25519: Self = Self(258);
    /// Payload keys by seeds; reply blocks hold a seed for each hop.
    pub const SEEDS: Self = Self(259);
    /// Reply blocks hold one seed; only their maker can read the reply.
    pub const SINGLE_SEED: Self = Self(260);
    /// All that there are, oldest first.
    pub const ALL: [Self; 5] = [Self::INITIAL, Self::UPDATED, Self::X25519, Self::SEEDS, Self::SINGLE_SEED];

    /// None if there is no such version.
    pub fn new(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|v| v.0 == number)
    }

    /// Its number.
    pub fn number(self) -> u16 {
        self.0
    }

    fn to_bytes(self) -> [u8; VERSION_LEN] {
        let [high, low] = self.0.to_be_bytes();
        [0, high, low]
    }

    fn from_bytes(bytes: [u8; VERSION_LEN]) -> Option<Self> {
        let [zero, high, low] = bytes;
        (zero == 0).then(|| Self::new(u16::from_be_bytes([high, low]))).flatten()
    }

    fn has_payload_seeds(self) -> bool {
        self >= Self::SEEDS
    }
}

impl Default for Version {
    fn default() -> Self {
        Self::SINGLE_SEED
    }
}

/// Why something could not be built or was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too short for a header and a payload.
    #[error("a packet has at least {MIN_PACKET} bytes, this one has {0}")]
    Length(usize),
    /// The header's MAC is wrong.
    #[error("the packet is not for this key, or was altered")]
    Mac,
    /// Neither a forward nor a last hop, though the MAC is right: whoever built it does not follow the format.
    #[error("the packet asks for something unknown")]
    Flag(u8),
    /// The MAC is right, but no version like this is known.
    #[error("the packet is of an unknown version")]
    Version,
    /// The zeros at the payload's start or the end of its padding are not there.
    #[error("the payload was altered")]
    Payload,
    /// The message does not fit.
    #[error("a message has at most {0} bytes, this one has {1}")]
    TooLong(usize, usize),
    /// The path has no hop or more than [`MAX_HOPS`].
    #[error("a path has 1 to {MAX_HOPS} hops, this one has {0}")]
    Path(usize),
    /// A reply block is damaged, or cannot be made in this version.
    #[error("the reply block cannot be used")]
    Surb,
}

/// Where a packet's parts are.
fn header_of(packet: &[u8]) -> Option<&[u8; HEADER_LEN]> {
    packet.first_chunk::<HEADER_LEN>()
}

/// The MAC and the routing information of a header.
fn sealed_routing(header: &[u8; HEADER_LEN]) -> (&[u8], &[u8]) {
    header[ELEMENT_LEN..].split_at(MAC_LEN)
}

/// The group element of a header.
fn element(header: &[u8; HEADER_LEN]) -> Key {
    let mut element = [0; ELEMENT_LEN];
    element.copy_from_slice(&header[..ELEMENT_LEN]);
    element
}

#[cfg(all(test, target_arch = "x86_64"))]
mod constant_time;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
