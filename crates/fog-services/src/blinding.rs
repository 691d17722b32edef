//! A service's key of the day: made of its identity key, and not linkable to it by who does not know it.
//!
//! Relays store descriptors under these keys. One that does not know the service's name cannot tell whose descriptor
//! it holds, nor that today's and yesterday's are of the same service. This is the scheme of Tor's `rend-spec-v3`,
//! appendix A.2: with h = H(A, day), the blinded public key is A' = h·A and its secret a' = h·a. Signatures under A'
//! are ordinary Ed25519 signatures (RFC 8032).
//!
//! Two things differ. h is uniform modulo the group's order and not clamped, which is safe because [`Address`] takes
//! no key with a part of small order; and the hash is BLAKE3.

use crate::Key;
use crate::address::{Address, AddressError};
pub use betanet::sealed::{PERIOD_SECONDS, period};
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{SigningKey, VerifyingKey};
use sha2::Sha512;

const FACTOR: &str = "fog-services 1 blinding factor";
const PREFIX: &str = "fog-services 1 blinded hash prefix";

fn factor(identity: &Key, period: u64) -> Scalar {
    let mut wide = [0; 64];
    blake3::Hasher::new_derive_key(FACTOR)
        .update(identity)
        .update(&period.to_le_bytes())
        .finalize_xof()
        .fill(&mut wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}

/// The service's blinded public key of a period.
pub fn blinded_key(service: &Address, period: u64) -> Key {
    // An address decompresses: it was checked when it was made.
    let point = CompressedEdwardsY(*service.key()).decompress().unwrap_or_default();
    (factor(service.key(), period) * point).compress().0
}

/// The service's side: signs as the blinded key of one period. The secret is wiped when dropped.
pub struct BlindedSigner {
    secret: ExpandedSecretKey,
    public: VerifyingKey,
}

impl BlindedSigner {
    /// Blinds a service's identity.
    ///
    /// # Errors
    /// [`AddressError::Key`] for a public key that cannot be used; no key that was generated is one.
    pub fn new(identity: &SigningKey, period: u64) -> Result<Self, AddressError> {
        let address = Address::from_key(identity.verifying_key().to_bytes())?;
        let of_identity = ExpandedSecretKey::from(&identity.to_bytes());
        // Its own prefix for each period: were it the identity's, the same message signed in two periods would have
        // the same nonce under two keys whose relation everybody who knows the name knows.
        let hash_prefix = blake3::Hasher::new_derive_key(PREFIX)
            .update(&of_identity.hash_prefix)
            .update(&period.to_le_bytes())
            .finalize();
        let secret = ExpandedSecretKey {
            scalar: factor(address.key(), period) * of_identity.scalar,
            hash_prefix: hash_prefix.into(),
        };
        let public = VerifyingKey::from(&secret);
        Ok(Self { secret, public })
    }

    /// The blinded public key, equal to [`blinded_key`].
    pub fn key(&self) -> Key {
        self.public.to_bytes()
    }

    /// An Ed25519 signature under the blinded key.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        raw_sign::<Sha512>(&self.secret, message, &self.public).to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::Signature;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn address(key: &SigningKey) -> Address {
        Address::from_key(key.verifying_key().to_bytes()).expect("a good key")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn who_knows_the_name_knows_the_key_and_can_check(
            seed in any::<[u8; 32]>(), period in any::<u64>(), message in proptest::collection::vec(any::<u8>(), 0..99)
        ) {
            let identity = SigningKey::from_bytes(&seed);
            let signer = BlindedSigner::new(&identity, period)?;
            prop_assert_eq!(signer.key(), blinded_key(&address(&identity), period));
            let signature = Signature::from_bytes(&signer.sign(&message));
            let key = VerifyingKey::from_bytes(&signer.key())?;
            prop_assert!(key.verify_strict(&message, &signature).is_ok());
            prop_assert!(key.verify_strict(b"another", &signature).is_err());
            prop_assert!(identity.verifying_key().verify_strict(&message, &signature).is_err());
        }
    }

    #[test]
    fn every_day_and_every_service_has_a_key_of_its_own() {
        let services: Vec<_> = (0..8).map(|n| SigningKey::from_bytes(&[n; 32])).collect();
        let mut keys: HashSet<Key> = services.iter().map(|s| s.verifying_key().to_bytes()).collect();
        let mut nonces = HashSet::new();
        for service in &services {
            for day in 0..30 {
                let signer = BlindedSigner::new(service, day).expect("blinds");
                assert!(keys.insert(signer.key()));
                assert!(
                    nonces.insert(signer.sign(b"m")[..32].to_vec()),
                    "the nonce of a signature was used twice"
                );
            }
        }
    }

    /// The form may not change by accident: all parties must derive the same key.
    #[test]
    fn the_derivation_stays_what_it_was() {
        let key = blinded_key(&address(&SigningKey::from_bytes(&[1; 32])), 20_000);
        let hex = data_encoding::HEXLOWER.encode(&key);
        assert_eq!(hex, "bdf7ee8f61cf238f6d19068004405155b5a4f149d14ab4de5b851a4f810389a2");
    }

    #[test]
    fn a_day_begins_at_midnight() {
        assert_eq!((period(0), period(86_399), period(86_400)), (0, 0, 1));
    }
}
