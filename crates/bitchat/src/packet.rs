//! The frame around everything that travels on the mesh.
//!
//! ```text
//! version │ type │ TTL │ timestamp │ flags │ body length │ sender │ [recipient] │ [route] │ body │ [signature] │ [padding]
//!    1    │  1   │  1  │     8     │   1   │  2, v2: 4   │   8    │      8      │ 1 + 8n  │      │     64      │
//! ```
//!
//! Integers are big-endian, the timestamp is in milliseconds since 1970. There are two forms in memory:
//!
//! * [`PacketRef`] reads received bytes where they lie. What it does not know it leaves alone: a relay sends
//!   [`PacketRef::relayed`], which are the received bytes with another time to live, so unknown types, foreign
//!   compressors and signatures pass unharmed.
//! * [`Packet`] is one of our own, to be [encoded](Packet::encode) and [signed](Packet::encode_signed).
//!
//! The body is the payload, or its length and its DEFLATE form ([`compression`]). The signature covers the body as it
//! travels; [`PacketId`] covers the payload.

mod builder;
pub mod compression;
mod flags;
mod id;
mod message_type;
pub mod padding;
mod signature;
mod stream;
mod view;

pub use builder::{Body, Packet, PaddingPolicy};
pub use flags::Flags;
pub use id::{PACKET_ID_LEN, PacketId};
pub use message_type::MessageType;
pub use signature::{SIGNATURE_LEN, SignatureError};
pub use stream::{MAX_STREAM_BUFFER, STALL, StreamDecoder};
pub use view::{PacketRef, Route, set_ttl};

/// The time to live of whatever is to travel: seven hops.
pub const INITIAL_TTL: u8 = 7;
/// The smallest packet: a version 1 header and a sender.
pub const MIN_LEN: usize = 22;
/// The longest payload, as it is and expanded: a file of 1 MiB with its fields, addresses and signature.
pub const MAX_PAYLOAD: usize = 1_179_760;
/// The longest packet: the longest payload, the header, both ids, a full route, the signature and padding.
pub const MAX_PACKET: usize = MAX_PAYLOAD + 16 + 16 + 1 + 255 * 8 + 64 + 255;
/// How far a packet's timestamp may be from the own clock, milliseconds (iPhones drop what is further off).
pub const MAX_CLOCK_SKEW_MS: u64 = 120_000;

/// The header's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Bodies up to 65,535 bytes, no route.
    V1,
    /// Bodies of any length, source routes.
    V2,
}

impl Version {
    /// The number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// Bytes up to the sender.
    pub(crate) fn header_len(self) -> usize {
        match self {
            Self::V1 => 14,
            Self::V2 => 16,
        }
    }

    /// Bytes of the original length in front of compressed data.
    pub(crate) fn size_len(self) -> usize {
        match self {
            Self::V1 => 2,
            Self::V2 => 4,
        }
    }
}

#[cfg(test)]
mod tests;
