//! The own keys, and the few operations with keys that the payloads share.

use crate::peer::{Fingerprint, PeerId};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use rand::CryptoRng;
use sha2::Sha256;
use std::fmt;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// The two long-lived keys of somebody: X25519 for Noise, which makes the [`PeerId`], and Ed25519 for signatures.
#[derive(Clone)]
pub struct Identity {
    noise: StaticSecret,
    signing: SigningKey,
    noise_public: [u8; 32],
}

impl Identity {
    /// A new identity.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let (mut noise, mut signing) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        rng.fill_bytes(&mut *noise);
        rng.fill_bytes(&mut *signing);
        Self::from_bytes(&noise, &signing)
    }

    /// The identity with these private keys: the X25519 key and the Ed25519 seed.
    pub fn from_bytes(noise: &[u8; 32], signing: &[u8; 32]) -> Self {
        let noise = StaticSecret::from(*noise);
        let noise_public = PublicKey::from(&noise).to_bytes();
        Self { noise, signing: SigningKey::from_bytes(signing), noise_public }
    }

    /// The private keys, to be stored: the X25519 key and the Ed25519 seed.
    pub fn to_bytes(&self) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
        (Zeroizing::new(self.noise.to_bytes()), Zeroizing::new(self.signing.to_bytes()))
    }

    /// The public Noise key.
    pub fn noise_public(&self) -> &[u8; 32] {
        &self.noise_public
    }

    /// The public signing key.
    pub fn signing_public(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    /// The key that signs packets.
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing
    }

    /// What people compare.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.noise_public)
    }

    /// The sender of the own packets.
    pub fn peer_id(&self) -> PeerId {
        PeerId::of(&self.noise_public)
    }

    pub(crate) fn noise_private(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.noise.to_bytes())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("peer_id", &self.peer_id()).finish_non_exhaustive()
    }
}

/// Whether `signature` is by `public` over `message`. Keys of small order are refused, since with one of them anybody
/// could sign.
pub(crate) fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(public)
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

/// Whether an X25519 public key is zero or of low order: whatever secret meets it, the result is known to all.
pub(crate) fn is_low_order(public: &[u8; 32]) -> bool {
    let any = StaticSecret::from([1; 32]);
    !any.diffie_hellman(&PublicKey::from(*public)).was_contributory()
}

/// HMAC-SHA256 over the parts together.
pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let identity = Identity::from_bytes(&[0xab; 32], &[0xcd; 32]);
        let text = format!("{identity:?}");
        assert!(text.contains(&identity.peer_id().to_string()));
        assert!(
            !text.contains("171")
                && !text.contains("abab")
                && !text.contains("205")
                && !text.contains("cdcd")
        );
    }

    #[test]
    fn low_order_keys_are_known() {
        let mut one = [0; 32];
        one[0] = 1;
        assert!(is_low_order(&[0; 32]) && is_low_order(&one));
        assert!(!is_low_order(Identity::from_bytes(&[5; 32], &[6; 32]).noise_public()));
    }
}
