//! Descriptors of hidden services as relays store them: what is outside of the seal.
//!
//! ```text
//! version 1 | blinded key 32 | period 8 | revision 8 | salt 32 | sealed | signature 64      always 768 bytes
//! ```
//!
//! Integers are big-endian. A relay learns from it that the owner of the blinded key signed it, for which day, and
//! which of two is the newer; nothing else. Who the service is and what is sealed, only those know who know its name.

use crate::Key;
use ed25519_dalek::{Signature, VerifyingKey};

/// Bytes of every sealed descriptor: the same for all, so the size tells nothing; one message of the mixnet.
pub const DESCRIPTOR_LEN: usize = 768;
/// Bytes before the sealed part.
pub const HEADER_LEN: usize = 1 + 32 + 8 + 8 + SALT_LEN;
/// Bytes of the salt in the header.
pub const SALT_LEN: usize = 32;
/// Bytes of the sealed part.
pub const SEALED_LEN: usize = SIGNED_LEN - HEADER_LEN;
/// Bytes that the signature is over.
pub const SIGNED_LEN: usize = DESCRIPTOR_LEN - SIGNATURE_LEN;
/// The version of descriptors that this build makes and reads.
pub const VERSION: u8 = 1;
/// Seconds of a period: a day, and the days begin at midnight UTC.
pub const PERIOD_SECONDS: u64 = 24 * 60 * 60;
/// Days that a descriptor's period may be before or after the checker's: clocks differ, and a service publishes for
/// tomorrow, too.
pub const PERIOD_SKEW: u64 = 1;

const SIGNATURE_LEN: usize = 64;
const SIGNED_PREFIX: &[u8] = b"fog-services descriptor 1\0";

/// The period (number of the day) of a time in Unix seconds.
pub const fn period(unix: u64) -> u64 {
    unix / PERIOD_SECONDS
}

/// Why a descriptor is not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealedError {
    /// Not a descriptor of this version.
    #[error("this is not a hidden service's descriptor")]
    Malformed,
    /// The blinded key's signature does not match.
    #[error("the descriptor's signature does not match its key")]
    Signature,
    /// Its day is neither today, yesterday nor tomorrow.
    #[error("the descriptor is of day {period}, and today is day {today}: check the clock")]
    Period {
        /// The descriptor's day.
        period: u64,
        /// The checker's day.
        today: u64,
    },
}

/// A descriptor as relays store it and clients fetch it: [`DESCRIPTOR_LEN`] bytes of the known version. Nothing else
/// is certain before [`Self::check`].
#[derive(Clone, PartialEq, Eq)]
pub struct SealedDescriptor(Vec<u8>);

impl std::fmt::Debug for SealedDescriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedDescriptor")
            .field("period", &self.period())
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}

/// The header of a descriptor to be sealed; the sealed part is to be bound to it.
pub fn header(blinded: &Key, period: u64, revision: u64, salt: &[u8; SALT_LEN]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(DESCRIPTOR_LEN);
    bytes.push(VERSION);
    bytes.extend(blinded);
    bytes.extend(period.to_be_bytes());
    bytes.extend(revision.to_be_bytes());
    bytes.extend(salt);
    bytes
}

/// What the blinded key signs: the header and the sealed part, with a prefix that says what they are.
pub fn signed_message(header_and_sealed: &[u8]) -> Vec<u8> {
    [SIGNED_PREFIX, header_and_sealed].concat()
}

impl SealedDescriptor {
    /// Takes bytes from elsewhere, after a look at length and version only.
    ///
    /// # Errors
    /// [`SealedError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealedError> {
        if bytes.len() != DESCRIPTOR_LEN || bytes[0] != VERSION {
            return Err(SealedError::Malformed);
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The bytes to store or send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The header, and the sealed part.
    pub fn parts(&self) -> (&[u8], &[u8]) {
        let (header, rest) = self.0.split_at(HEADER_LEN);
        (header, rest.split_at(SEALED_LEN).0)
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        // The length was checked when it was made, and the callers' fields are in the header.
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    /// The blinded key, under which it is stored and found.
    pub fn blinded(&self) -> Key {
        self.field(1)
    }

    /// The day for which it is.
    pub fn period(&self) -> u64 {
        u64::from_be_bytes(self.field(33))
    }

    /// Counts the descriptors of one key: the higher is the newer.
    pub fn revision(&self) -> u64 {
        u64::from_be_bytes(self.field(41))
    }

    /// What a storing relay can know: that the owner of the blinded key signed it, for a day near this one.
    ///
    /// # Errors
    /// [`SealedError::Period`], [`SealedError::Signature`].
    pub fn check(&self, now_unix: u64) -> Result<(), SealedError> {
        let today = period(now_unix);
        if self.period().abs_diff(today) > PERIOD_SKEW {
            return Err(SealedError::Period { period: self.period(), today });
        }
        let key = VerifyingKey::from_bytes(&self.blinded()).map_err(|_| SealedError::Signature)?;
        let (signed_part, signature) = self.0.split_at(SIGNED_LEN);
        let signature = Signature::from_slice(signature).map_err(|_| SealedError::Signature)?;
        key.verify_strict(&signed_message(signed_part), &signature).map_err(|_| SealedError::Signature)
    }

    /// True if this one replaces `held` in a store: same key and day, and a higher revision. So nobody can put an old
    /// one back.
    pub fn supersedes(&self, held: &Self) -> bool {
        self.blinded() == held.blinded()
            && self.period() == held.period()
            && self.revision() > held.revision()
    }
}
