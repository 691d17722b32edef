//! What somebody's app can do.

use crate::error::DecodeError;
use serde::{Deserialize, Serialize};

/// A set of capability bits. On the wire little-endian, as short as it can be, but at least one byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Takes couriers' messages to one-time keys.
    pub const PREKEYS: Self = Self(1 << 0);
    /// Sends much data over Wi-Fi.
    pub const WIFI_BULK: Self = Self(1 << 1);
    /// Reaches the internet for others.
    pub const GATEWAY: Self = Self(1 << 2);
    /// Takes part in private groups.
    pub const GROUPS: Self = Self(1 << 3);
    /// Keeps a board.
    pub const BOARD: Self = Self(1 << 4);
    /// Takes and gives vouchers.
    pub const VOUCH: Self = Self(1 << 5);
    /// Answers pings.
    pub const MESH_DIAGNOSTICS: Self = Self(1 << 6);
    /// Joins meshes over the internet.
    pub const BRIDGE: Self = Self(1 << 7);
    /// Takes files inside Noise sessions.
    pub const PRIVATE_MEDIA: Self = Self(1 << 8);
    /// Acknowledges such files.
    pub const PRIVATE_MEDIA_RECEIPTS: Self = Self(1 << 9);

    /// The names of the bits, from the lowest.
    pub const NAMES: [&str; 10] = [
        "prekeys",
        "wifiBulk",
        "gateway",
        "groups",
        "board",
        "vouch",
        "meshDiagnostics",
        "bridge",
        "privateMedia",
        "privateMediaReceipts",
    ];

    /// Whether all of `other` are there.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The bytes on the wire.
    pub fn encode(self) -> Vec<u8> {
        minimal(self.0)
    }

    /// Reads what somebody announces. Bits beyond the 64th are unknown to all and dropped.
    pub fn decode(bytes: &[u8]) -> Self {
        Self(little_endian(bytes))
    }

    /// Reads the form that peer states demand: at most eight bytes, none to spare.
    ///
    /// # Errors
    /// When the form is another.
    pub fn decode_minimal(bytes: &[u8]) -> Result<Self, DecodeError> {
        let capabilities = Self::decode(bytes);
        match capabilities.encode() == bytes {
            true => Ok(capabilities),
            false => {
                Err(DecodeError::Invalid { what: "the capabilities", why: "not in their shortest form" })
            }
        }
    }
}

/// A bit field in its shortest little-endian form of at least one byte.
pub(crate) fn minimal(bits: u64) -> Vec<u8> {
    let len = (64 - bits.leading_zeros()).div_ceil(8).max(1) as usize;
    bits.to_le_bytes()[..len].to_vec()
}

/// A little-endian bit field of any length; what does not fit is dropped.
pub(crate) fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |bits, b| bits << 8 | u64::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_as_published() {
        let forms: [(u64, &[u8]); 7] = [
            (0, &[0]),
            (1, &[1]),
            (1 << 6, &[0x40]),
            (1 << 8, &[0, 1]),
            (1 << 9, &[0, 2]),
            (1 << 10, &[0, 4]),
            (1 | 1 << 3 | 1 << 5 | 1 << 8 | 1 << 9, &[0x29, 3]),
        ];
        for (bits, bytes) in forms {
            assert_eq!(Capabilities(bits).encode(), bytes);
            assert_eq!(Capabilities::decode(bytes), Capabilities(bits));
            assert_eq!(Capabilities::decode_minimal(bytes), Ok(Capabilities(bits)));
        }
        for spare in [&[1u8, 0][..], &[], &[0, 0], &[1, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert!(Capabilities::decode_minimal(spare).is_err(), "{spare:?}");
        }
    }
}
