//! One name for a packet, whichever way it came.

use super::MessageType;
use crate::peer::PeerId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// Bytes of a [`PacketId`].
pub const PACKET_ID_LEN: usize = 16;

/// The start of the SHA-256 of type, sender, timestamp and expanded payload: the same for all copies of a packet,
/// whatever their time to live, route, compression or signature. Sync filters are made of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PacketId(pub [u8; PACKET_ID_LEN]);

impl PacketId {
    /// The id of the packet with these fields; `timestamp` in milliseconds since 1970.
    pub fn of(message_type: MessageType, sender: PeerId, timestamp: u64, payload: &[u8]) -> Self {
        let hash = Sha256::new()
            .chain_update([u8::from(message_type)])
            .chain_update(sender.0)
            .chain_update(timestamp.to_be_bytes())
            .chain_update(payload)
            .finalize();
        let mut id = [0; PACKET_ID_LEN];
        id.copy_from_slice(&hash[..PACKET_ID_LEN]);
        Self(id)
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
