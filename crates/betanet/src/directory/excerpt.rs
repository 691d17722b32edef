//! One relay of a consensus, for somebody who does not have the whole document, and does not need to trust who shows it.

use super::consensus::Head;
use super::{Consensus, DirectoryError, Listed, SignedConsensus, merkle, signing};
use crate::Key;
use serde::{Deserialize, Serialize};

/// The most bytes of an encoded excerpt, checked before it is read: fifteen authorities with their signatures, one
/// relay, and a path through a tree of 4,096.
pub const MAX_EXCERPT_LEN: usize = 8 * 1024;
/// The longest path: of [`super::MAX_RELAYS`] leaves.
const MAX_PATH: usize = super::MAX_RELAYS.ilog2() as usize;

/// A relay as a consensus lists it, with the proof that it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    head: Head,
    listed: Listed,
    index: u32,
    path: Vec<Key>,
    signatures: Vec<(Key, signing::Signed64)>,
}

impl Excerpt {
    /// What `consensus` says of a relay. None if it does not list it.
    pub fn of(consensus: &SignedConsensus, relay: &Key) -> Option<Self> {
        let document = consensus.unverified();
        let index = document.relays.iter().position(|r| r.id == *relay)?;
        Some(Self {
            head: document.head(),
            listed: document.relays[index].clone(),
            index: u32::try_from(index).ok()?,
            path: merkle::path(&document.leaves(), index)?,
            signatures: consensus.signatures().to_vec(),
        })
    }

    /// Checks that enough of the network's authorities signed a consensus that says this, at whatever time, and gives the
    /// relay. Which network that is, [`Excerpt::network`] tells: the caller must know it.
    ///
    /// # Errors
    /// [`DirectoryError::Signature`], [`DirectoryError::Unusable`].
    pub fn verify(&self) -> Result<&Listed, DirectoryError> {
        self.head.network.check()?;
        if self.path.len() > MAX_PATH || self.signatures.len() > super::network::MAX_AUTHORITIES {
            return Err(DirectoryError::Unusable("the excerpt is longer than any can be".into()));
        }
        let leaf = merkle::leaf(&signing::encode(&self.listed));
        if merkle::climb(&leaf, self.index, self.head.count, &self.path) != Some(self.head.relays) {
            return Err(DirectoryError::Signature);
        }
        if self.head.signers(&self.signatures).len() < self.head.network.threshold() {
            return Err(DirectoryError::Signature);
        }
        self.listed.check()?;
        Ok(&self.listed)
    }

    /// The network's id, unverified.
    pub fn network(&self) -> Key {
        self.head.network.id()
    }

    /// From when the consensus held, Unix seconds, unverified.
    pub fn valid_after(&self) -> u64 {
        self.head.valid_after
    }

    /// The network's timing, unverified.
    pub fn timing(&self) -> super::Timing {
        self.head.network.timing
    }

    /// The bytes to send or to keep.
    pub fn to_bytes(&self) -> Vec<u8> {
        signing::encode(self)
    }

    /// Reads bytes from a stranger. The result is not yet verified.
    ///
    /// # Errors
    /// [`DirectoryError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DirectoryError> {
        if bytes.len() > MAX_EXCERPT_LEN {
            return Err(DirectoryError::Malformed);
        }
        match postcard::take_from_bytes::<Self>(bytes) {
            Ok((excerpt, [])) => Ok(excerpt),
            _ => Err(DirectoryError::Malformed),
        }
    }
}

impl Consensus {
    /// The leaves of the tree over the relays.
    pub(super) fn leaves(&self) -> Vec<Key> {
        self.relays.iter().map(|r| merkle::leaf(&signing::encode(r))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::consensus::tests::{document, key, network};
    use super::*;
    use proptest::prelude::*;

    fn signed(by: &[u8]) -> SignedConsensus {
        let keys: Vec<_> = by.iter().map(|n| key(*n)).collect();
        document(network(&[1, 2, 3], 0)).sign(&keys)
    }

    #[test]
    fn an_excerpt_proves_what_a_consensus_says_of_each_relay() {
        let consensus = signed(&[1, 3]);
        for relay in &consensus.unverified().relays {
            let excerpt = Excerpt::of(&consensus, &relay.id).expect("listed");
            let read = Excerpt::from_bytes(&excerpt.to_bytes()).expect("its bytes");
            assert_eq!(read.verify().expect("proven"), relay);
            assert_eq!((read.network(), read.valid_after()), (consensus.network(), 1000));
        }
        assert!(Excerpt::of(&consensus, &[99; 32]).is_none());
        let few = Excerpt::of(&signed(&[1]), &[1; 32]).expect("listed");
        assert_eq!(few.verify(), Err(DirectoryError::Signature), "one of three authorities is too few");
    }

    #[test]
    fn what_was_changed_is_refused() {
        let good = Excerpt::of(&signed(&[1, 2]), &[2; 32]).expect("listed");
        let changed = |change: fn(&mut Excerpt)| {
            let mut excerpt = good.clone();
            change(&mut excerpt);
            excerpt.verify().err()
        };
        assert_eq!(changed(|_| ()), None);
        assert!(changed(|e| e.listed.standing.reputation -= 1).is_some());
        assert!(changed(|e| e.listed.descriptor.operator = "another".into()).is_some());
        assert!(changed(|e| e.index = 0).is_some());
        assert!(changed(|e| e.head.valid_after += 50).is_some());
        assert!(changed(|e| e.head.count += 1).is_some());
        assert!(changed(|e| e.head.network.seats = 1).is_some());
        assert!(changed(|e| e.signatures[1] = e.signatures[0]).is_some(), "the same one twice");
        assert!(changed(|e| e.path = vec![[0; 32]; 1000]).is_some());
    }

    proptest! {
        #[test]
        fn strangers_bytes_are_refused_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert!(Excerpt::from_bytes(&bytes).is_ok_and(|e| e.verify().is_ok()).eq(&false));
        }

        #[test]
        fn no_changed_byte_proves_anything_else(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let good = Excerpt::of(&signed(&[1, 2]), &[2; 32]).expect("listed");
            let mut bytes = good.to_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(read) = Excerpt::from_bytes(&bytes) {
                // Addresses of authorities are not part of what a network is, but of what they sign.
                prop_assert!(read.verify().is_err());
            }
        }
    }
}
