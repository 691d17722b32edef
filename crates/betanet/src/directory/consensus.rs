//! The document that everybody works with, and the signatures that make it one.

use super::signing::{self, Signed64};
use super::{Descriptor, LAYERS, MAX_DOCUMENT_LEN, MAX_RELAYS, Network, merkle};
use crate::Key;
use crate::lottery::{self, Candidate, Standing};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::ops::Deref;

const DOMAIN: &str = "betanet consensus 3";
/// Before, the whole document was signed instead of its [`Head`]. Documents of such networks are on disks.
const DOMAIN_WHOLE: &str = "betanet consensus 2";
/// A relay that loses more than half of what the authorities send over it is not drawn.
const LEAST_PERFORMANCE: u16 = 500;
/// The most seeds: of this epoch and the next.
const MAX_SEEDS: usize = 2;

/// A relay with what the authorities found of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// What it says of itself.
    pub descriptor: Descriptor,
    /// What others say.
    pub standing: Standing,
}

impl Deref for Listed {
    type Target = Descriptor;

    fn deref(&self) -> &Descriptor {
        &self.descriptor
    }
}

impl Listed {
    /// True if the authorities' packets came through it, lately.
    pub fn is_running(&self) -> bool {
        self.standing.performance >= LEAST_PERFORMANCE
    }
}

/// The list of relays that everybody agrees on, for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consensus {
    /// Of which network.
    pub network: Network,
    /// Unix seconds from which it holds.
    pub valid_after: u64,
    /// Unix seconds until which it holds.
    pub valid_until: u64,
    /// The seeds of the relays' lottery, by epoch.
    pub seeds: Vec<(u32, [u8; 32])>,
    /// The relays, by id.
    pub relays: Vec<Listed>,
}

/// What the authorities sign: the document with a hash tree's root in the place of its relays, so that what it says of one
/// relay can be shown without the others ([`super::Excerpt`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) network: Network,
    pub(super) valid_after: u64,
    valid_until: u64,
    seeds: Vec<(u32, [u8; 32])>,
    /// How many relays.
    pub(super) count: u32,
    /// The root over them, in their order.
    pub(super) relays: Key,
}

impl Head {
    /// The network's authorities whose signatures on this are good, each once.
    pub(super) fn signers(&self, signatures: &[(Key, Signed64)]) -> Vec<Key> {
        signers(signatures, |key, signature| {
            self.network.authority(key).is_some() && signing::verify(DOMAIN, self, key, signature)
        })
    }
}

fn signers(signatures: &[(Key, Signed64)], good: impl Fn(&Key, &Signed64) -> bool) -> Vec<Key> {
    let mut signers: Vec<Key> =
        signatures.iter().filter(|(key, signature)| good(key, signature)).map(|(key, _)| *key).collect();
    signers.sort_unstable();
    signers.dedup();
    signers
}

/// A consensus with its authorities' signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedConsensus {
    document: Consensus,
    /// Who signed, and how.
    signatures: Vec<(Key, Signed64)>,
}

/// Why a document of the directory is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// The bytes are not such a document.
    #[error("this is not a document of a mixnet's directory")]
    Malformed,
    /// Not enough of the network's authorities signed it; or a descriptor's relay or a vote's authority did not.
    #[error("the document is not signed by those who must sign it")]
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
    #[error("the document is unusable: {0}")]
    Unusable(String),
}

impl Consensus {
    /// The document with the signatures of these authorities.
    pub fn sign<'a>(self, authorities: impl IntoIterator<Item = &'a SigningKey>) -> SignedConsensus {
        let head = self.head();
        let mut signed = SignedConsensus { document: self, signatures: Vec::new() };
        for key in authorities {
            let signature = signing::sign(DOMAIN, &head, key);
            signed.signatures.push((key.verifying_key().to_bytes(), signature));
        }
        signed.signatures.sort_unstable_by_key(|(key, _)| *key);
        signed
    }

    /// What is signed.
    pub(super) fn head(&self) -> Head {
        Head {
            network: self.network.clone(),
            valid_after: self.valid_after,
            valid_until: self.valid_until,
            seeds: self.seeds.clone(),
            count: u32::try_from(self.relays.len()).unwrap_or(u32::MAX),
            relays: merkle::root(&self.leaves()),
        }
    }

    /// The network's id.
    pub fn id(&self) -> Key {
        self.network.id()
    }

    /// The relays of a layer.
    pub fn layer(&self, layer: u8) -> impl Iterator<Item = &Listed> {
        self.relays.iter().filter(move |r| r.layer == layer)
    }

    /// The relay with this id.
    pub fn relay(&self, id: &Key) -> Option<&Listed> {
        self.relays.iter().find(|r| r.id == *id)
    }

    /// The seed of an epoch's lottery.
    pub fn seed(&self, epoch: u32) -> Option<&[u8; 32]> {
        self.seeds.iter().find(|(e, _)| *e == epoch).map(|(_, seed)| seed)
    }

    /// The relays that may be drawn in an epoch: those that run and have a key, and where there are more than seats,
    /// the winners of the lottery. Each ticket is verified; a relay without a valid one does not win.
    pub fn drawn(&self, epoch: u32) -> HashSet<Key> {
        let able: Vec<&Listed> =
            self.relays.iter().filter(|r| r.is_running() && r.sphinx_key(epoch).is_some()).collect();
        let seats = usize::from(self.network.seats);
        let Some(seed) = self.seed(epoch).filter(|_| seats > 0) else {
            return able.iter().map(|r| r.id).collect();
        };
        let id = self.id();
        let draw = |relay: &&Listed| {
            let ticket = relay.keys.iter().find(|k| k.epoch == epoch)?.ticket.as_ref()?;
            ticket.verify(&relay.identity?.vrf_key, &id, epoch, seed)
        };
        // Relays whose operator has no name are each somebody's.
        let operators: Vec<String> = able
            .iter()
            .map(|r| {
                if r.operator.is_empty() { format!("\0{}", crate::short(&r.id)) } else { r.operator.clone() }
            })
            .collect();
        let (candidates, ids): (Vec<Candidate<'_>>, Vec<Key>) = able
            .iter()
            .zip(&operators)
            .filter_map(|(r, operator)| {
                let candidate = Candidate {
                    draw: draw(r)?,
                    standing: r.standing,
                    group: r.layer,
                    operator,
                    address: r.address.ip(),
                };
                Some((candidate, r.id))
            })
            .unzip();
        lottery::elect(&candidates, seats).into_iter().map(|i| ids[i]).collect()
    }

    /// The seeds of the epoch at `valid_after` and of the next, after this document. An epoch's seed is made of the
    /// tickets of the epoch before, as the last document before that epoch's beginning had them.
    pub(super) fn seeds_for(
        network: &Network,
        previous: Option<&Self>,
        valid_after: u64,
    ) -> Vec<(u32, [u8; 32])> {
        let id = network.id();
        let epoch = network.timing.epoch_at(valid_after);
        let seed = |epoch: u32| {
            let known = previous.and_then(|p| p.seed(epoch).copied());
            known.or_else(|| {
                let before = epoch.checked_sub(1)?;
                let previous = previous?;
                let seed = previous.seed(before)?;
                let drawn = |r: &Listed| {
                    let key = r.keys.iter().find(|k| k.epoch == before)?;
                    key.ticket.as_ref()?.verify(&r.identity?.vrf_key, &id, before, seed)
                };
                let mut outputs: Vec<[u8; 32]> = previous.relays.iter().filter_map(drawn).collect();
                Some(lottery::next_seed(&id, epoch, seed, &mut outputs))
            })
        };
        // The network's first seeds, or the first ones after all authorities were gone for an epoch, are made of what
        // everybody knows: the relays' tickets are still theirs alone, but can be computed in advance.
        [epoch, epoch + 1].map(|e| (e, seed(e).unwrap_or_else(|| Self::first_seed(&id, e)))).to_vec()
    }

    /// The seed of an epoch of which nothing is known that happened before.
    pub(super) fn first_seed(network: &Key, epoch: u32) -> [u8; 32] {
        lottery::next_seed(network, epoch, &[0; 32], &mut [])
    }

    /// Checks that clients can work with it.
    pub(crate) fn check(&self) -> Result<(), DirectoryError> {
        let unusable = |why: &str| Err(DirectoryError::Unusable(why.into()));
        if self.relays.len() > MAX_RELAYS {
            return unusable("it lists too many relays");
        }
        if self.seeds.len() > MAX_SEEDS {
            return unusable("it names too many seeds");
        }
        for relay in &self.relays {
            relay.check()?;
        }
        for layer in LAYERS {
            if self.layer(layer).next().is_none() {
                return unusable(&format!("layer {layer} has no relay"));
            }
        }
        if self.relays.windows(2).any(|w| w[0].id >= w[1].id) {
            return unusable("a relay is listed twice, or they are not in order");
        }
        Ok(())
    }
}

impl SignedConsensus {
    /// Checks signatures, time and usability, and gives the document.
    ///
    /// # Errors
    /// Everything in [`DirectoryError`] but `Malformed`.
    pub fn verify(&self, now_unix: u64) -> Result<&Consensus, DirectoryError> {
        let doc = self.authentic()?;
        if now_unix < doc.valid_after || now_unix >= doc.valid_until {
            return Err(DirectoryError::Stale {
                from: doc.valid_after,
                until: doc.valid_until,
                now: now_unix,
            });
        }
        doc.check()?;
        Ok(doc)
    }

    /// Checks the signatures, and nothing else: the document says truly what the network is, but its relays may be
    /// gone.
    ///
    /// # Errors
    /// [`DirectoryError::Signature`], [`DirectoryError::Unusable`] if the network makes no sense.
    pub fn authentic(&self) -> Result<&Consensus, DirectoryError> {
        self.document.network.check()?;
        if self.signers().len() < self.document.network.threshold() {
            return Err(DirectoryError::Signature);
        }
        Ok(&self.document)
    }

    /// The authorities whose signatures are good.
    pub fn signers(&self) -> Vec<Key> {
        let network = &self.document.network;
        let head = self.document.head();
        signers(&self.signatures, |key, signature| {
            network.authority(key).is_some()
                && (signing::verify(DOMAIN, &head, key, signature)
                    || signing::verify(DOMAIN_WHOLE, &self.document, key, signature))
        })
    }

    pub(super) fn signatures(&self) -> &[(Key, Signed64)] {
        &self.signatures
    }

    /// Takes over the good signatures of another copy. False if it is a copy of another document.
    pub fn merge(&mut self, other: &Self) -> bool {
        if other.document != self.document {
            return false;
        }
        let (have, good) = (self.signers(), other.signers());
        for (key, signature) in &other.signatures {
            if good.contains(key) && !have.contains(key) && !self.signatures.iter().any(|(k, _)| k == key) {
                self.signatures.push((*key, *signature));
            }
        }
        self.signatures.sort_unstable_by_key(|(key, _)| *key);
        true
    }

    /// The document, unverified.
    pub fn unverified(&self) -> &Consensus {
        &self.document
    }

    /// The network's id, unverified.
    pub fn network(&self) -> Key {
        self.document.id()
    }

    /// What stands for the document, whoever signed it.
    pub fn digest(&self) -> Key {
        signing::digest(DOMAIN, &self.document.head())
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
        if bytes.len() > MAX_DOCUMENT_LEN {
            return Err(DirectoryError::Malformed);
        }
        match postcard::take_from_bytes::<Self>(bytes) {
            Ok((consensus, [])) if consensus.signatures.len() <= super::network::MAX_AUTHORITIES => {
                Ok(consensus)
            }
            _ => Err(DirectoryError::Malformed),
        }
    }
}

/// The authorities that signed two different documents for the same time. They show different people different
/// networks, or are in somebody else's hands; the two documents prove it.
pub fn equivocators(a: &SignedConsensus, b: &SignedConsensus) -> Vec<Key> {
    let same_place = a.network() == b.network() && a.document.valid_after == b.document.valid_after;
    if !same_place || a.digest() == b.digest() {
        return Vec::new();
    }
    let others = b.signers();
    a.signers().into_iter().filter(|key| others.contains(key)).collect()
}

#[cfg(test)]
pub(super) mod tests;
