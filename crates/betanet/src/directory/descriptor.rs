//! What a relay says of itself, signed.

use super::signing::{self, Signed64};
use super::{DirectoryError, LAYERS, Network};
use crate::Key;
use crate::lottery::Ticket;
use crate::x25519::Table;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The longest name of an operator, in bytes.
pub const MAX_OPERATOR: usize = 64;
/// The most epochs for which a descriptor has keys: this one and the next two.
pub const MAX_EPOCHS: usize = 3;
/// A descriptor that was published longer ago is not listed any more, in votes.
const LIFE: u64 = 3;
const DOMAIN: &str = "betanet descriptor 1";

/// A relay's Sphinx key of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochKey {
    /// Which epoch.
    pub epoch: u32,
    /// The Sphinx public key.
    pub sphinx_key: Key,
    /// The relay's ticket in that epoch's lottery, once the epoch's seed is known.
    pub ticket: Option<Ticket>,
}

/// The keys with which a relay speaks for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RelayIdentity {
    /// The Ed25519 key with which it signs descriptors.
    pub key: Key,
    /// The key of its lottery tickets.
    pub vrf_key: Key,
}

/// What a client, an authority or another relay must know of a relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The relay's id: its static X25519 key on links.
    pub id: Key,
    /// The keys with which it speaks for itself; none in networks whose one consensus its authority made for it.
    pub identity: Option<RelayIdentity>,
    /// Where it listens.
    pub address: SocketAddr,
    /// 1 entry, 2 middle, 3 exit and home.
    pub layer: u8,
    /// Who runs it, as they name themselves. No path has two relays of one operator.
    pub operator: String,
    /// When this was published, Unix seconds.
    pub published: u64,
    /// Its Sphinx keys, by epoch.
    pub keys: Vec<EpochKey>,
}

impl Descriptor {
    /// Signs with the relay's identity, which must be the one that the descriptor names.
    pub fn sign(self, identity: &SigningKey) -> SignedDescriptor {
        let signature = signing::sign(DOMAIN, &self, identity);
        SignedDescriptor { descriptor: self, signature }
    }

    /// The Sphinx key of an epoch.
    pub fn sphinx_key(&self, epoch: u32) -> Option<&Key> {
        self.keys.iter().find(|k| k.epoch == epoch).map(|k| &k.sphinx_key)
    }

    /// Checks what does not need the network: lengths, order, layer.
    pub(super) fn check(&self) -> Result<(), DirectoryError> {
        let unusable = |why: &str| Err(DirectoryError::Unusable(why.into()));
        if !LAYERS.contains(&self.layer) {
            return unusable("a relay is in a layer that does not exist");
        }
        if self.operator.len() > MAX_OPERATOR || self.operator.chars().any(char::is_control) {
            return unusable("an operator's name is too long or holds control characters");
        }
        if self.keys.is_empty() || self.keys.len() > MAX_EPOCHS {
            return unusable("a relay has keys for one to three epochs");
        }
        if self.keys.windows(2).any(|w| w[0].epoch >= w[1].epoch) {
            return unusable("a relay's keys are not in order");
        }
        Ok(())
    }
}

/// A descriptor with its relay's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedDescriptor {
    pub(super) descriptor: Descriptor,
    signature: Signed64,
}

impl SignedDescriptor {
    /// The content, whoever signed it.
    pub fn unverified(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Checks signature and content.
    ///
    /// # Errors
    /// [`DirectoryError::Signature`], [`DirectoryError::Unusable`].
    pub fn verify(&self) -> Result<&Descriptor, DirectoryError> {
        let identity = self.descriptor.identity.ok_or(DirectoryError::Signature)?;
        if !signing::verify(DOMAIN, &self.descriptor, &identity.key, &self.signature) {
            return Err(DirectoryError::Signature);
        }
        self.descriptor.check()?;
        Ok(&self.descriptor)
    }

    /// As [`SignedDescriptor::verify`], and what an authority wants to see before it takes a descriptor: keys that
    /// can be used, for this epoch and not for the far future, published lately.
    ///
    /// # Errors
    /// The same.
    pub fn verify_fresh(&self, network: &Network, now_unix: u64) -> Result<&Descriptor, DirectoryError> {
        let unusable = |why: &str| Err(DirectoryError::Unusable(why.into()));
        let descriptor = self.verify()?;
        if !is_fresh(descriptor, network, now_unix) {
            return unusable(
                "the descriptor was published too long ago or in the future: check the relay's clock",
            );
        }
        let epoch = network.timing.epoch_at(now_unix);
        if descriptor.sphinx_key(epoch).is_none() || descriptor.keys.iter().any(|k| k.epoch > epoch + 2) {
            return unusable("the descriptor has no key for this epoch, or keys for the far future");
        }
        if descriptor.keys.iter().any(|k| Table::new(&k.sphinx_key).is_none()) {
            return unusable("a Sphinx key cannot be used: no honest relay has it");
        }
        Ok(descriptor)
    }
}

/// True if the relay published this lately enough to count as running.
pub(super) fn is_fresh(descriptor: &Descriptor, network: &Network, now_unix: u64) -> bool {
    let voting = u64::from(network.timing.voting);
    descriptor.published <= now_unix.saturating_add(voting.max(60))
        && descriptor.published.saturating_add(LIFE * voting) >= now_unix
}
