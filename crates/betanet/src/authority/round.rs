//! One period's votes and signatures.

use crate::Key;
use crate::directory::vote::{SignedVote, Vote, tally};
use crate::directory::{Network, SignedConsensus};
use ed25519_dalek::SigningKey;
use std::collections::{BTreeMap, BTreeSet};

/// What came in for one period.
#[derive(Default)]
pub(super) struct Round {
    votes: BTreeMap<Key, SignedVote>,
    /// Authorities that voted twice.
    double: BTreeSet<Key>,
    /// The document that this authority signed, with the signatures that came.
    signed: Option<SignedConsensus>,
    /// Documents of others that are not the same as this one's.
    other: BTreeSet<Key>,
}

impl Round {
    /// Takes a verified vote. True: its authority was caught voting twice.
    pub(super) fn take(&mut self, vote: SignedVote) -> bool {
        let authority = vote.unverified().authority;
        match self.votes.get(&authority) {
            None => {
                self.votes.insert(authority, vote);
                false
            }
            Some(known) => known.digest() != vote.digest() && self.double.insert(authority),
        }
    }

    pub(super) fn vote(&self, authority: &Key) -> Option<&SignedVote> {
        self.votes.get(authority)
    }

    pub(super) fn missing_votes(&self, network: &Network) -> Vec<Key> {
        let keys = network.authorities.iter().map(|a| a.key);
        keys.filter(|key| !self.votes.contains_key(key)).collect()
    }

    /// Counts the votes of those who voted once, and signs. False if there are too few.
    pub(super) fn tally(&mut self, network: &Network, period: u64, key: &SigningKey) -> bool {
        if self.signed.is_some() {
            return true; // never two
        }
        let counted: Vec<&Vote> = self
            .votes
            .iter()
            .filter(|(authority, _)| !self.double.contains(*authority))
            .map(|(_, v)| v.unverified())
            .collect();
        // One that nobody could use is not signed: the last good one holds for longer.
        let usable = tally(network, period, &counted).filter(|document| document.check().is_ok());
        self.signed = usable.map(|document| document.sign([key]));
        self.signed.is_some()
    }

    pub(super) fn signed(&self) -> Option<&SignedConsensus> {
        self.signed.as_ref()
    }

    pub(super) fn missing_signatures(&self, network: &Network) -> Vec<Key> {
        let Some(signed) = &self.signed else { return Vec::new() };
        let have = signed.signers();
        let keys = network.authorities.iter().map(|a| a.key);
        keys.filter(|key| !have.contains(key) && !self.other.contains(key)).collect()
    }

    /// Takes over the signatures of the same document. Whoever signed another one is not asked again.
    pub(super) fn take_signed(&mut self, other: &SignedConsensus) {
        if let Some(signed) = &mut self.signed
            && !signed.merge(other)
        {
            self.other.extend(other.signers());
        }
    }
}
