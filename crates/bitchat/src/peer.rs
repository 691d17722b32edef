//! Who somebody is on the mesh: the hash of their static Noise key, whole or shortened.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Bytes of a [`PeerId`].
pub const PEER_ID_LEN: usize = 8;

/// The first eight bytes of somebody's [`Fingerprint`]: sender and recipient of packets.
///
/// It is short enough to be found again by force, so it names somebody but proves nothing: an announcement and a Noise
/// session prove that a key hashes to it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId(pub [u8; PEER_ID_LEN]);

impl PeerId {
    /// The recipient that means everybody. Some apps write it out, others leave the recipient away.
    pub const BROADCAST: Self = Self([0xff; PEER_ID_LEN]);

    /// The id that belongs to a static Noise key.
    pub fn of(noise_public: &[u8; 32]) -> Self {
        Fingerprint::of(noise_public).peer_id()
    }
}

/// The SHA-256 of somebody's static Noise key: what people compare.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a static Noise key.
    pub fn of(noise_public: &[u8; 32]) -> Self {
        Self(Sha256::digest(noise_public).into())
    }

    /// Its first eight bytes.
    pub fn peer_id(&self) -> PeerId {
        let mut id = PeerId::default();
        id.0.copy_from_slice(&self.0[..PEER_ID_LEN]);
        id
    }
}

/// A text that is not an id or a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not {1} hexadecimal digits")]
pub struct NotHex(String, usize);

macro_rules! hexadecimal {
    ($type:ident, $len:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $type {
            type Err = NotHex;

            fn from_str(text: &str) -> Result<Self, NotHex> {
                let mut id = Self([0; $len]);
                match hex::decode_to_slice(text, &mut id.0) {
                    Ok(()) => Ok(id),
                    Err(_) => Err(NotHex(text.chars().take(80).collect(), 2 * $len)),
                }
            }
        }
    };
}

hexadecimal!(PeerId, PEER_ID_LEN);
hexadecimal!(Fingerprint, 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        let id: PeerId = "aaa8fff703b50b22".parse().unwrap();
        assert_eq!(id.to_string(), "aaa8fff703b50b22");
        assert!("aaa8fff703b50b2".parse::<PeerId>().is_err());
        assert!("aaa8fff703b50b2g".parse::<PeerId>().is_err());
    }
}
