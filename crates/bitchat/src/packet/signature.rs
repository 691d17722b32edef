//! What a packet's signature covers, and whether it is right.
//!
//! Covered is the packet as it travels, with time to live 0, without the signature and the flags for it and for sync
//! replies, and always padded. So relays may lower the time to live and answers to sync requests may be marked; a route
//! or a recipient cannot be added or taken away.

use super::{Flags, PacketRef, padding};
use ed25519_dalek::{Signature, VerifyingKey};

/// Bytes of an Ed25519 signature.
pub const SIGNATURE_LEN: usize = 64;

/// A packet that its sender did not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error("the packet is not signed")]
    Missing,
    /// There is one, but not by this key over this packet.
    #[error("the signature is not by this key over this packet")]
    Wrong,
    /// The key is no Ed25519 public key.
    #[error("the signing key is no Ed25519 key")]
    Key,
}

/// Turns an unsigned, unpadded packet into what is signed.
pub(crate) fn transcript(mut packet: Vec<u8>) -> Vec<u8> {
    // The offsets of time to live and flags are the same in both versions.
    if let [_, _, ttl, _, _, _, _, _, _, _, _, flags, ..] = packet.as_mut_slice() {
        *ttl = 0;
        *flags &= !(Flags::SIGNATURE | Flags::SYNC_REPLY);
    }
    padding::pad(&mut packet);
    packet
}

impl PacketRef<'_> {
    /// The bytes that the signature covers.
    pub fn signing_bytes(&self) -> Vec<u8> {
        transcript(self.unsigned().to_vec())
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// When there is none, or it is not by `key`, or `key` is no key.
    pub fn verify(&self, key: &[u8; 32]) -> Result<(), SignatureError> {
        let signature = self.signature.ok_or(SignatureError::Missing)?;
        let key = VerifyingKey::from_bytes(key).map_err(|_| SignatureError::Key)?;
        // Strict: a key of small order would let anybody sign.
        key.verify_strict(&self.signing_bytes(), &Signature::from_bytes(signature))
            .map_err(|_| SignatureError::Wrong)
    }
}
