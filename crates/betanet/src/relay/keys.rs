//! A relay's long-lived secret keys.

use crate::Key;
use crate::lottery::VrfSecret;
use ed25519_dalek::SigningKey;
use x25519_dalek::{PublicKey, StaticSecret};

const IDENTITY: &str = "betanet relay identity 1";
const VRF: &str = "betanet relay lottery 1";

/// A relay's secret keys. They are zeroised when dropped. What signs its descriptors and draws its lottery tickets is
/// derived from the link key: whoever has that can be the relay anyway.
#[derive(Clone)]
pub struct RelayKeys {
    /// For links; its public half is the relay's id.
    pub link: StaticSecret,
    /// For Sphinx packets, in networks whose keys do not change. In others each epoch has a key of its own.
    pub sphinx: StaticSecret,
}

impl RelayKeys {
    /// Fresh keys.
    pub fn generate() -> Self {
        Self { link: StaticSecret::random(), sphinx: StaticSecret::random() }
    }

    /// From 64 secret bytes: link key, then Sphinx key.
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let half = |r: std::ops::Range<usize>| -> [u8; 32] { bytes[r].try_into().unwrap_or_default() };
        Self { link: half(0..32).into(), sphinx: half(32..64).into() }
    }

    /// The 64 secret bytes for [`RelayKeys::from_bytes`]. Zeroise them.
    pub fn to_bytes(&self) -> zeroize::Zeroizing<[u8; 64]> {
        let mut bytes = zeroize::Zeroizing::new([0; 64]);
        bytes[..32].copy_from_slice(self.link.as_bytes());
        bytes[32..].copy_from_slice(self.sphinx.as_bytes());
        bytes
    }

    /// The relay's id.
    pub fn id(&self) -> Key {
        PublicKey::from(&self.link).to_bytes()
    }

    /// The relay's Sphinx public key, in networks whose keys do not change.
    pub fn sphinx_key(&self) -> Key {
        PublicKey::from(&self.sphinx).to_bytes()
    }

    /// Signs its descriptors.
    pub fn identity(&self) -> SigningKey {
        SigningKey::from_bytes(&blake3::derive_key(IDENTITY, self.link.as_bytes()))
    }

    /// Draws its tickets.
    pub fn vrf(&self) -> VrfSecret {
        VrfSecret::from_seed(blake3::derive_key(VRF, self.link.as_bytes()))
    }
}
