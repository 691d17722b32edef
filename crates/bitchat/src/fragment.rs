//! Packets in pieces.
//!
//! What does not fit into one operation of the radio is cut. A fragment carries a slice of the whole encoded packet, its
//! *parent*, and travels with the parent's sender, time, time to live and recipient. Relays pass fragments on one by one;
//! whoever has all of them reads the parent as if it had come with time to live 0, so it goes no further.

mod reassembly;

pub use reassembly::{Limits, Reassembler, ReassemblyError};

use crate::error::{DecodeError, EncodeError, chunk, fits};
use crate::packet::{Body, MAX_PACKET, MessageType, Packet, PacketRef, PaddingPolicy, Version};
use std::fmt;

/// Bytes before a fragment's data.
pub const HEADER_LEN: usize = 13;
/// The most fragments of one packet.
pub const MAX_FRAGMENTS: usize = 10_000;
/// The most that one of the apps puts together.
pub const MAX_FRAGMENTS_ANDROID: usize = 256;
/// Data of a fragment where nothing says otherwise.
pub const DEFAULT_DATA_LEN: usize = 469;
/// The least data of a fragment, whatever the link.
pub const MIN_DATA_LEN: usize = 64;

/// What the pieces of one packet share: eight random bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentId(pub [u8; 8]);

impl fmt::Display for FragmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for FragmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A fragment's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Which packet it is a piece of.
    pub id: FragmentId,
    /// Which piece, from 0.
    pub index: u16,
    /// How many there are.
    pub total: u16,
    /// The parent's type.
    pub original_type: MessageType,
    /// The slice.
    pub data: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Reads a fragment's payload.
    ///
    /// # Errors
    /// When it is shorter than its header and one byte, or its numbers make no sense.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let (id, rest) = chunk(payload, "the fragment's id")?;
        let (index, rest) = chunk(rest, "the fragment's index")?;
        let (total, rest) = chunk(rest, "the number of fragments")?;
        let (kind, data) = chunk::<1>(rest, "the parent's type")?;
        let (index, total) = (u16::from_be_bytes(*index), u16::from_be_bytes(*total));
        if usize::from(total) > MAX_FRAGMENTS {
            let what = "the packet (in fragments)";
            return Err(DecodeError::TooLong { what, len: usize::from(total), max: MAX_FRAGMENTS });
        }
        if index >= total {
            return Err(DecodeError::Invalid {
                what: "the fragment's index",
                why: "not below the number of fragments",
            });
        }
        if data.is_empty() {
            return Err(DecodeError::Missing("the fragment's data"));
        }
        Ok(Self { id: FragmentId(*id), index, total, original_type: MessageType::from(kind[0]), data })
    }

    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN + self.data.len());
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(&self.index.to_be_bytes());
        out.extend_from_slice(&self.total.to_be_bytes());
        out.push(self.original_type.into());
        out.extend_from_slice(self.data);
        out
    }
}

/// How much of `parent` a fragment takes on a link that carries `link_limit` bytes at once.
pub fn data_len(parent: &PacketRef<'_>, link_limit: usize) -> usize {
    let header = match parent.route.is_empty() {
        // Header, sender, recipient, and the fragment's own header, in version 1, with a little to spare.
        true => 42,
        false => Version::V2.header_len() + 8 + 8 + 1 + 8 * parent.route.len() + HEADER_LEN + 16,
    };
    link_limit.saturating_sub(header).max(MIN_DATA_LEN)
}

/// Cuts an encoded packet into the packets that carry it, with `data_len` bytes of it in each.
///
/// # Errors
/// When `parent` is no packet, is a fragment itself, or would take more than [`MAX_FRAGMENTS`].
pub fn split(parent: &[u8], data_len: usize, id: FragmentId) -> Result<Vec<Vec<u8>>, EncodeError> {
    let invalid = |why| EncodeError::Invalid { what: "the packet to cut", why };
    let read = PacketRef::decode(parent).map_err(|_| invalid("it is no packet"))?;
    if read.message_type == MessageType::Fragment {
        return Err(invalid("it is a fragment already"));
    }
    let pieces = parent.chunks(data_len.max(1));
    fits("the packet (in fragments)", pieces.len(), MAX_FRAGMENTS)?;
    let total = pieces.len() as u16;
    let route: Option<Vec<_>> = (!read.route.is_empty()).then(|| read.route.hops().collect());
    pieces
        .zip(0..)
        .map(|(data, index)| {
            let fragment = Fragment { id, index, total, original_type: read.message_type, data };
            Packet {
                version: Version::V1,
                message_type: MessageType::Fragment,
                ttl: read.ttl,
                timestamp: read.timestamp,
                sync_reply: false,
                other_flags: 0,
                sender: read.sender,
                recipient: read.recipient,
                route: route.clone(),
                // Slices of compressed or encrypted data do not shrink; trying each costs time.
                body: Body::Plain(fragment.encode()),
                signature: None,
                padding: PaddingPolicy::Never,
            }
            .encode()
        })
        .collect()
}

/// The longest parent.
pub const MAX_PARENT: usize = MAX_PACKET;

#[cfg(test)]
mod tests;
