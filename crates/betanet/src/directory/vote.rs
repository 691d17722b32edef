//! What an authority says of all relays, and how the authorities' votes become one document.

use super::descriptor::is_fresh;
use super::signing::{self, Signed64};
use super::{
    Consensus, DirectoryError, Listed, MAX_DOCUMENT_LEN, MAX_RELAYS, Network, RelayIdentity, SignedDescriptor,
};
use crate::Key;
use crate::lottery::Standing;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const DOMAIN: &str = "betanet vote 1";
const SEEDS: usize = 2;

/// A relay, as an authority sees it.
pub type Seen = (SignedDescriptor, Standing);
/// An id, and who claims it.
type Claim = (Key, Option<RelayIdentity>);

/// What one authority says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Of which network.
    pub network: Key,
    /// Who.
    pub authority: Key,
    /// For the consensus that begins then, Unix seconds.
    pub period: u64,
    /// The lottery's seeds, as they follow from the consensus that this authority has.
    pub seeds: Vec<(u32, [u8; 32])>,
    /// The relays' newest descriptors, and what was measured of each.
    pub relays: Vec<Seen>,
}

/// A vote with its authority's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedVote {
    vote: Vote,
    signature: Signed64,
}

impl Vote {
    /// The vote of an authority that has seen these relays. Descriptors that are not fresh are left out.
    pub fn new(
        network: &Network,
        authority: Key,
        period: u64,
        previous: Option<&Consensus>,
        relays: impl IntoIterator<Item = (SignedDescriptor, Standing)>,
    ) -> Self {
        let relays = relays.into_iter().filter(|(r, _)| is_fresh(&r.descriptor, network, period));
        Self {
            network: network.id(),
            authority,
            period,
            seeds: Consensus::seeds_for(network, previous, period),
            relays: relays.take(MAX_RELAYS).collect(),
        }
    }

    /// Signs.
    pub fn sign(self, key: &SigningKey) -> SignedVote {
        let signature = signing::sign(DOMAIN, &self, key);
        SignedVote { vote: self, signature }
    }
}

impl SignedVote {
    /// The content, whoever signed it.
    pub fn unverified(&self) -> &Vote {
        &self.vote
    }

    /// What stands for the vote.
    pub fn digest(&self) -> Key {
        signing::digest(DOMAIN, &self.vote)
    }

    /// Checks that it is a vote of one of the network's authorities, and that each relay signed its descriptor.
    ///
    /// # Errors
    /// [`DirectoryError::Signature`], [`DirectoryError::Unusable`].
    pub fn verify(&self, network: &Network) -> Result<&Vote, DirectoryError> {
        let vote = &self.vote;
        let known = vote.network == network.id() && network.authority(&vote.authority).is_some();
        if !known || !signing::verify(DOMAIN, vote, &vote.authority, &self.signature) {
            return Err(DirectoryError::Signature);
        }
        if vote.relays.len() > MAX_RELAYS || vote.seeds.len() != SEEDS {
            return Err(DirectoryError::Unusable("a vote names too many relays, or not two seeds".into()));
        }
        for (descriptor, standing) in &vote.relays {
            // The relay's own clock, or an old descriptor of it, must not stand in the way of its newest one.
            if !is_fresh(descriptor.verify()?, network, vote.period) {
                return Err(DirectoryError::Unusable(
                    "a vote names a relay's descriptor of another time".into(),
                ));
            }
            if standing.reputation > 1000 || standing.performance > 1000 {
                return Err(DirectoryError::Unusable("a vote holds impossible measurements".into()));
            }
        }
        Ok(vote)
    }

    /// The bytes to send.
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
            Ok((vote, [])) => Ok(vote),
            _ => Err(DirectoryError::Malformed),
        }
    }
}

/// The consensus that follows from these votes, which are verified and of different authorities. The same votes give
/// the same document, in whichever order they come. None if there are too few.
///
/// A relay is listed if enough authorities name it, with the newest descriptor among theirs, and the median of what
/// they measured: a minority can neither invent nor hide one, nor move its standing out of what the others saw.
pub fn tally(network: &Network, period: u64, votes: &[&Vote]) -> Option<Consensus> {
    let threshold = network.threshold();
    if votes.len() < threshold {
        return None;
    }
    // By id and identity: two who claim one id are told apart, and the one that more authorities saw is listed.
    let mut named: BTreeMap<Claim, Vec<&Seen>> = BTreeMap::new();
    for vote in votes {
        let mut mine: BTreeMap<Claim, &Seen> = BTreeMap::new();
        for relay in &vote.relays {
            mine.entry((relay.0.descriptor.id, relay.0.descriptor.identity)).or_insert(relay);
        }
        for (key, relay) in mine {
            named.entry(key).or_default().push(relay);
        }
    }
    let mut relays: Vec<Listed> = Vec::new();
    for ((id, _), of) in named {
        if of.len() < threshold || relays.last().is_some_and(|r| r.id == id) {
            continue;
        }
        let newest =
            of.iter().map(|(d, _)| d).max_by_key(|d| (d.descriptor.published, signing::encode(*d)))?;
        relays.push(Listed { descriptor: newest.descriptor.clone(), standing: median(&of) });
    }
    relays.truncate(MAX_RELAYS);
    Some(Consensus {
        network: network.clone(),
        valid_after: period,
        valid_until: period + network.timing.validity(),
        seeds: seeds(network, period, votes),
        relays,
    })
}

/// The median of each measurement; the lower one of two in the middle.
fn median(of: &[&Seen]) -> Standing {
    fn middle<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
        let mut values: Vec<T> = values.collect();
        values.sort_unstable();
        values.get(values.len().saturating_sub(1) / 2).copied()
    }
    Standing {
        reputation: middle(of.iter().map(|(_, s)| s.reputation)).unwrap_or_default(),
        performance: middle(of.iter().map(|(_, s)| s.performance)).unwrap_or_default(),
        stake: middle(of.iter().map(|(_, s)| s.stake)).unwrap_or_default(),
    }
}

/// The seeds of the period's epoch and the next: what enough authorities say, else what everybody knows. A minority
/// cannot choose one.
fn seeds(network: &Network, period: u64, votes: &[&Vote]) -> Vec<(u32, [u8; 32])> {
    let epoch = network.timing.epoch_at(period);
    let agreed = |epoch: u32| {
        let mut counts: BTreeMap<[u8; 32], usize> = BTreeMap::new();
        for (_, seed) in votes.iter().filter_map(|v| v.seeds.iter().find(|(e, _)| *e == epoch)) {
            *counts.entry(*seed).or_default() += 1;
        }
        counts.into_iter().find(|(_, n)| *n >= network.threshold()).map(|(seed, _)| seed)
    };
    let id = network.id();
    [epoch, epoch + 1].map(|e| (e, agreed(e).unwrap_or_else(|| Consensus::first_seed(&id, e)))).to_vec()
}

#[cfg(test)]
mod tests;
