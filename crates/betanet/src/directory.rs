//! Who the relays are: descriptors, and a consensus document signed by the directory's authority.
//!
//! The document is small enough to travel inside an address card. Its id, and so the network's, is the
//! authority's public key.

use crate::Key;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The most relays in a consensus, checked before anything is done with it.
pub const MAX_RELAYS: usize = 4096;
/// The most bytes of an encoded consensus.
pub const MAX_CONSENSUS_LEN: usize = 512 * 1024;
const SIGNED_PREFIX: &[u8] = b"betanet consensus 1\0";

/// The layers of the mixnet, in the order of a path.
pub const LAYERS: [u8; 3] = [1, 2, 3];

/// What a client or relay must know of a relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayDescriptor {
    /// The relay's id: its static X25519 key on links.
    pub id: Key,
    /// Its Sphinx public key.
    pub sphinx_key: Key,
    /// Where it listens.
    pub address: SocketAddr,
    /// 1 entry, 2 middle, 3 exit and home.
    pub layer: u8,
}

/// The list of relays that everybody agrees on, for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consensus {
    /// The authority's Ed25519 key, which is the network's id.
    pub network: Key,
    /// True for a network run by one person: it gives no anonymity, and everything that shows it says so.
    pub test: bool,
    /// Unix seconds from which it holds.
    pub valid_after: u64,
    /// Unix seconds until which it holds.
    pub valid_until: u64,
    /// The relays.
    pub relays: Vec<RelayDescriptor>,
}

/// A consensus with its authority's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedConsensus {
    document: Consensus,
    #[serde(with = "signature_bytes")]
    signature: [u8; 64],
}

/// Why a consensus is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// The bytes are not a consensus.
    #[error("this is not a consensus document")]
    Malformed,
    /// The signature does not match the authority.
    #[error("the consensus is not signed by the network's authority")]
    Signature,
    /// It has ended, or has not begun.
    #[error(
        "the consensus holds from {from} to {until} (Unix seconds), and now it is {now}: get a newer one, or check the clock"
    )]
    Stale {
        /// From when.
        from: u64,
        /// Until when.
        until: u64,
        /// The present time.
        now: u64,
    },
    /// A layer has no relay, or the document contradicts itself.
    #[error("the consensus is unusable: {0}")]
    Unusable(String),
}

impl Consensus {
    /// Signs the document with the authority's key, which decides `network`.
    pub fn sign(mut self, authority: &SigningKey) -> SignedConsensus {
        self.network = authority.verifying_key().to_bytes();
        let signature = authority.sign(&signed_bytes(&self)).to_bytes();
        SignedConsensus { document: self, signature }
    }

    /// The relays of a layer.
    pub fn layer(&self, layer: u8) -> impl Iterator<Item = &RelayDescriptor> {
        self.relays.iter().filter(move |r| r.layer == layer)
    }

    /// The relay with this id.
    pub fn relay(&self, id: &Key) -> Option<&RelayDescriptor> {
        self.relays.iter().find(|r| r.id == *id)
    }
}

impl SignedConsensus {
    /// Checks signature, time and usability, and gives the document.
    ///
    /// # Errors
    /// Everything in [`DirectoryError`] but `Malformed`.
    pub fn verify(&self, now_unix: u64) -> Result<&Consensus, DirectoryError> {
        let doc = &self.document;
        let key = VerifyingKey::from_bytes(&doc.network).map_err(|_| DirectoryError::Signature)?;
        key.verify_strict(&signed_bytes(doc), &Signature::from_bytes(&self.signature))
            .map_err(|_| DirectoryError::Signature)?;
        if now_unix < doc.valid_after || now_unix >= doc.valid_until {
            return Err(DirectoryError::Stale {
                from: doc.valid_after,
                until: doc.valid_until,
                now: now_unix,
            });
        }
        let unusable = |why: &str| Err(DirectoryError::Unusable(why.into()));
        if doc.relays.len() > MAX_RELAYS {
            return unusable("it lists too many relays");
        }
        for layer in LAYERS {
            if doc.layer(layer).next().is_none() {
                return unusable(&format!("layer {layer} has no relay"));
            }
        }
        if doc.relays.iter().any(|r| !LAYERS.contains(&r.layer)) {
            return unusable("a relay is in a layer that does not exist");
        }
        let mut ids: Vec<_> = doc.relays.iter().map(|r| r.id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|w| w[0] == w[1]) {
            return unusable("a relay is listed twice");
        }
        Ok(doc)
    }

    /// The document as it stands, unverified: for what one has stored oneself.
    pub fn unverified(&self) -> &Consensus {
        &self.document
    }

    /// The network's id, unverified.
    pub fn network(&self) -> Key {
        self.document.network
    }

    /// The bytes to send or to keep.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default() // plain data: postcard cannot fail on it
    }

    /// Reads bytes from a stranger. The result is not yet verified.
    ///
    /// # Errors
    /// [`DirectoryError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DirectoryError> {
        if bytes.len() > MAX_CONSENSUS_LEN {
            return Err(DirectoryError::Malformed);
        }
        match postcard::take_from_bytes::<Self>(bytes) {
            Ok((consensus, [])) => Ok(consensus),
            _ => Err(DirectoryError::Malformed),
        }
    }
}

fn signed_bytes(doc: &Consensus) -> Vec<u8> {
    let mut bytes = SIGNED_PREFIX.to_vec();
    bytes.extend(postcard::to_allocvec(doc).unwrap_or_default());
    bytes
}

/// serde knows arrays up to 32 elements only.
mod signature_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 64], s: S) -> Result<S::Ok, S::Error> {
        let (a, b) = bytes.split_at(32);
        (<[u8; 32]>::try_from(a).unwrap_or_default(), <[u8; 32]>::try_from(b).unwrap_or_default())
            .serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; 64], D::Error> {
        let (a, b) = <([u8; 32], [u8; 32])>::deserialize(d)?;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&a);
        bytes[32..].copy_from_slice(&b);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn document() -> Consensus {
        let relay = |n: u8, layer| RelayDescriptor {
            id: [n; 32],
            sphinx_key: [n + 100; 32],
            address: ([127, 0, 0, 1], 9000 + u16::from(n)).into(),
            layer,
        };
        Consensus {
            network: [0; 32],
            test: true,
            valid_after: 100,
            valid_until: 200,
            relays: vec![relay(1, 1), relay(2, 2), relay(3, 3)],
        }
    }

    #[test]
    fn a_signed_consensus_is_accepted_in_its_time_only() {
        let signed = document().sign(&SigningKey::from_bytes(&[1; 32]));
        let back = SignedConsensus::from_bytes(&signed.to_bytes()).expect("decodes");
        assert!(back.verify(150).is_ok());
        for now in [99, 200] {
            assert!(matches!(back.verify(now), Err(DirectoryError::Stale { .. })));
        }
    }

    #[test]
    fn forgeries_and_unusable_documents_are_refused() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let mut forged = document().sign(&key);
        forged.document.relays[0].address = ([6, 6, 6, 6], 666).into();
        assert_eq!(forged.verify(150), Err(DirectoryError::Signature));
        let mut doc = document();
        doc.relays.remove(1);
        assert!(matches!(doc.sign(&key).verify(150), Err(DirectoryError::Unusable(_))));
        let mut doc = document();
        doc.relays.push(doc.relays[0].clone());
        assert!(matches!(doc.sign(&key).verify(150), Err(DirectoryError::Unusable(_))));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(c) = SignedConsensus::from_bytes(&bytes) {
                prop_assert!(c.verify(150).is_err());
            }
        }
    }
}
