//! What an authority knows.

use super::Measures;
use super::round::Round;
use crate::Key;
use crate::directory::exchange::{Answer, Request};
use crate::directory::vote::{SignedVote, Vote};
use crate::directory::{
    DirectoryError, MAX_RELAYS, Network, SignedConsensus, SignedDescriptor, consensus::equivocators,
};
use crate::lottery::same_subnet;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

/// Periods whose votes and signatures are kept: the next one and the last one.
const ROUNDS: usize = 2;
/// Periods that are remembered as voted on.
const VOTED: usize = 64;
/// Relays of one network (/16, or /32 of IPv6) that are taken: one person cannot fill the directory from a few places.
const MAX_OF_ONE_NETWORK: usize = 64;

/// An authority's state, without IO.
pub struct Book {
    key: SigningKey,
    network: Network,
    id: Key,
    stakes: HashMap<Key, u64>,
    relays: BTreeMap<Key, SignedDescriptor>,
    measures: Measures,
    consensus: Option<Arc<SignedConsensus>>,
    rounds: BTreeMap<u64, Round>,
    /// The last periods on which this authority voted. It never votes on one twice.
    voted: VecDeque<u64>,
    /// Where relays answered by themselves: only those are voted for.
    reachable: BTreeMap<Key, SocketAddr>,
    accused: BTreeSet<Key>,
}

#[derive(Serialize, Deserialize)]
struct State {
    relays: Vec<SignedDescriptor>,
    measures: Measures,
    voted: VecDeque<u64>,
    accused: Vec<Key>,
    reachable: BTreeMap<Key, SocketAddr>,
}

impl Book {
    /// An authority that knows nobody yet.
    pub fn new(key: SigningKey, network: Network, stakes: HashMap<Key, u64>) -> Self {
        Self {
            id: network.id(),
            key,
            network,
            stakes,
            relays: BTreeMap::new(),
            measures: Measures::default(),
            consensus: None,
            rounds: BTreeMap::new(),
            voted: VecDeque::new(),
            reachable: BTreeMap::new(),
            accused: BTreeSet::new(),
        }
    }

    /// Answers a request that came on a link of this key.
    pub fn answer(&mut self, link: &Key, request: Request, now_unix: u64) -> Answer {
        match request {
            Request::Consensus { newer_than } => match &self.consensus {
                Some(c) if c.unverified().valid_after > newer_than => Answer::Document(c.to_bytes()),
                _ => Answer::Nothing,
            },
            Request::Publish(descriptor) => {
                match check(&descriptor, &self.network, now_unix)
                    .and_then(|()| self.publish(link, descriptor))
                {
                    Ok(()) => Answer::Taken,
                    Err(why) => Answer::Refused(why),
                }
            }
            Request::Vote { period, authority, unless } => {
                let vote = self.rounds.get(&period).and_then(|r| r.vote(&authority));
                match vote.filter(|v| Some(v.digest()) != unless) {
                    Some(vote) => Answer::Document(vote.to_bytes()),
                    None => Answer::Nothing,
                }
            }
            Request::Signed { period } => match self.rounds.get(&period).and_then(Round::signed) {
                Some(signed) => Answer::Document(signed.to_bytes()),
                None => Answer::Nothing,
            },
        }
    }

    /// Takes a relay's descriptor. The link proves that whoever sends it has the relay's key: nobody can describe a
    /// relay that is not theirs.
    ///
    /// The descriptor is checked already ([`check`]), which takes some milliseconds.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn publish(&mut self, link: &Key, signed: SignedDescriptor) -> Result<(), String> {
        let descriptor = signed.unverified();
        if descriptor.id != *link {
            return Err("the descriptor is not of the relay that sent it".into());
        }
        if let Some(known) = self.relays.get(link) {
            let known = known.unverified();
            if known.identity != descriptor.identity {
                return Err("this relay is known with another identity key".into());
            }
            if known == descriptor {
                return Ok(());
            }
            if known.published >= descriptor.published {
                return Err("a newer descriptor is here already: check the relay's clock".into());
            }
        } else {
            let address = descriptor.address.ip();
            let near = self.relays.values().filter(|r| same_subnet(r.unverified().address.ip(), address));
            if near.count() >= MAX_OF_ONE_NETWORK {
                return Err("there are too many relays in this network already".into());
            }
            if self.relays.len() >= MAX_RELAYS {
                self.evict();
            }
        }
        self.relays.insert(*link, signed);
        Ok(())
    }

    /// The address of a relay that did not answer there yet, to be tried.
    pub fn to_try(&self, relay: &Key) -> Option<SocketAddr> {
        let address = self.relays.get(relay)?.unverified().address;
        (self.reachable.get(relay) != Some(&address)).then_some(address)
    }

    /// A relay proved its key at this address.
    pub fn answered(&mut self, relay: &Key, address: SocketAddr) {
        if self.relays.contains_key(relay) {
            self.reachable.insert(*relay, address);
        }
    }

    /// Makes this authority's vote for a period, which nobody sees before [`Book::cast`]: between the two, it is to be
    /// written down that there is one. None if it voted on this period before: it never votes twice.
    pub fn make_vote(&mut self, period: u64) -> Option<SignedVote> {
        let me = self.me();
        if self.voted.contains(&period) {
            return None;
        }
        self.measures.estimate();
        let reached = |r: &&SignedDescriptor| {
            let descriptor = r.unverified();
            self.reachable.get(&descriptor.id) == Some(&descriptor.address)
        };
        let relays = self.relays.values().filter(reached).map(|signed| {
            let descriptor = signed.unverified();
            let stake = self.stakes.get(&descriptor.id).copied().unwrap_or_default();
            (signed.clone(), self.measures.standing(&descriptor.id, stake))
        });
        let previous = self.consensus.as_ref().map(|c| c.unverified());
        let vote = Vote::new(&self.network, me, period, previous, relays).sign(&self.key);
        self.voted.push_back(period);
        if self.voted.len() > VOTED {
            self.voted.pop_front();
        }
        Some(vote)
    }

    /// The vote is there for all to see.
    pub fn cast(&mut self, vote: SignedVote) {
        let period = vote.unverified().period;
        self.round(period).take(vote);
    }

    /// Makes room: the relay goes that was heard of the longest ago. A clock that was wrong for a moment wipes nobody.
    fn evict(&mut self) {
        let oldest = self.relays.values().min_by_key(|r| r.unverified().published).map(|r| r.unverified().id);
        if let Some(id) = oldest {
            self.relays.remove(&id);
            self.reachable.remove(&id);
            let relays = &self.relays;
            self.measures.retain(|id| relays.contains_key(id));
        }
    }

    /// Takes a verified vote of another authority for a period that is under way.
    pub fn take_vote(&mut self, vote: SignedVote) {
        let (period, authority) = (vote.unverified().period, vote.unverified().authority);
        // Only for periods on which this authority votes, too: a stranger's period takes no room.
        if let Some(round) = self.rounds.get_mut(&period)
            && round.take(vote)
        {
            self.accuse(authority, "two votes");
        }
    }

    /// Counts the votes of a period and signs the result. False if there are too few.
    pub fn tally(&mut self, period: u64) -> bool {
        let Self { rounds, network, key, .. } = self;
        rounds.get_mut(&period).is_some_and(|r| r.tally(network, period, key))
    }

    /// Takes another authority's signature.
    pub fn take_signed(&mut self, period: u64, other: &SignedConsensus) {
        let Some(round) = self.rounds.get_mut(&period) else { return };
        if other.network() != self.id || other.unverified().valid_after != period {
            return;
        }
        let double = round.signed().map(|mine| equivocators(mine, other)).unwrap_or_default();
        round.take_signed(other);
        for authority in double {
            self.accuse(authority, "two documents");
        }
    }

    /// Makes the period's document the consensus, if enough authorities signed it.
    pub fn conclude(&mut self, period: u64) -> bool {
        let signed = self.rounds.get(&period).and_then(Round::signed);
        match signed.filter(|s| s.authentic().is_ok()).cloned() {
            Some(signed) => {
                self.adopt(signed);
                true
            }
            None => false,
        }
    }

    /// Takes an authentic consensus, if it is newer.
    pub fn adopt(&mut self, signed: SignedConsensus) {
        if signed.network() != self.id {
            return;
        }
        if let Some(known) = self.consensus.clone() {
            for authority in equivocators(&known, &signed) {
                self.accuse(authority, "two documents");
            }
            if known.unverified().valid_after >= signed.unverified().valid_after {
                return;
            }
        }
        self.measures.end_period();
        self.consensus = Some(Arc::new(signed));
    }

    fn accuse(&mut self, authority: Key, what: &str) {
        if authority != self.me() && self.accused.insert(authority) {
            tracing::error!(authority = %crate::short(&authority), "it signed {what} for one period");
        }
    }

    fn round(&mut self, period: u64) -> &mut Round {
        while self.rounds.len() >= ROUNDS && !self.rounds.contains_key(&period) {
            self.rounds.pop_first();
        }
        self.rounds.entry(period).or_default()
    }

    /// This authority's key.
    pub fn me(&self) -> Key {
        self.key.verifying_key().to_bytes()
    }

    /// What a vote is recognised by.
    pub fn vote_digest(&self, period: u64, authority: &Key) -> Option<Key> {
        self.rounds.get(&period)?.vote(authority).map(SignedVote::digest)
    }

    /// Authorities whose vote for a period is not here.
    pub fn missing_votes(&self, period: u64) -> Vec<Key> {
        self.rounds.get(&period).map(|r| r.missing_votes(&self.network)).unwrap_or_default()
    }

    /// Authorities whose signature for a period is not here.
    pub fn missing_signatures(&self, period: u64) -> Vec<Key> {
        self.rounds.get(&period).map(|r| r.missing_signatures(&self.network)).unwrap_or_default()
    }

    /// The newest consensus.
    pub fn consensus(&self) -> Option<Arc<SignedConsensus>> {
        self.consensus.clone()
    }

    /// True if there is a consensus for this time.
    pub fn is_current(&self, now_unix: u64) -> bool {
        self.consensus.as_ref().is_some_and(|c| c.verify(now_unix).is_ok())
    }

    /// Relays whose descriptors are here.
    pub fn relays(&self) -> usize {
        self.relays.len()
    }

    /// What was measured.
    pub fn measures(&mut self) -> &mut Measures {
        &mut self.measures
    }

    /// Authorities that were caught saying two things.
    pub fn accused(&self) -> Vec<Key> {
        self.accused.iter().copied().collect()
    }

    /// What must survive a restart.
    pub fn state(&self) -> Vec<u8> {
        let state = State {
            relays: self.relays.values().cloned().collect(),
            measures: self.measures.clone(),
            voted: self.voted.clone(),
            accused: self.accused(),
            reachable: self.reachable.clone(),
        };
        postcard::to_allocvec(&state).unwrap_or_default() // plain data: postcard cannot fail on it
    }

    /// Takes what [`Book::state`] gave.
    ///
    /// # Errors
    /// [`DirectoryError::Malformed`].
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), DirectoryError> {
        let state: State = postcard::from_bytes(bytes).map_err(|_| DirectoryError::Malformed)?;
        self.relays = state.relays.into_iter().map(|r| (r.unverified().id, r)).collect();
        (self.measures, self.voted, self.reachable) = (state.measures, state.voted, state.reachable);
        self.accused = state.accused.into_iter().collect();
        Ok(())
    }
}

/// What an authority asks of a descriptor before it takes it.
///
/// # Errors
/// What is wrong with it, for its relay.
pub(super) fn check(descriptor: &SignedDescriptor, network: &Network, now_unix: u64) -> Result<(), String> {
    descriptor.verify_fresh(network, now_unix).map(|_| ()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests;
