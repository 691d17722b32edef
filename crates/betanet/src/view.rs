//! What a client works with: a consensus at a time, and the relays that may be drawn in that time's epoch.

use crate::Key;
use crate::directory::{Consensus, Listed, SignedConsensus};
use crate::lottery::same_subnet;
use std::collections::HashSet;
use std::sync::Arc;

/// A verified consensus in one epoch.
#[derive(Debug, Clone)]
pub struct View {
    signed: Arc<SignedConsensus>,
    network: Key,
    epoch: u32,
    drawn: HashSet<Key>,
}

impl View {
    /// The view of this (verified) consensus at a time, Unix seconds. Verifies the tickets of the epoch's lottery,
    /// some 0.1 ms each where there is one.
    ///
    /// `all` is for those who measure: every listed relay may be drawn, so that one that is back is noticed.
    pub fn new(signed: Arc<SignedConsensus>, now_unix: u64, all: bool) -> Self {
        let document = signed.unverified();
        let epoch = document.network.timing.epoch_at(now_unix);
        let drawn = match all {
            true => document.relays.iter().map(|r| r.id).collect(),
            false => document.drawn(epoch),
        };
        Self { network: document.id(), epoch, drawn, signed }
    }

    /// The document.
    pub fn consensus(&self) -> &Consensus {
        self.signed.unverified()
    }

    /// The document with its signatures.
    pub fn signed(&self) -> &Arc<SignedConsensus> {
        &self.signed
    }

    /// The network's id.
    pub fn network(&self) -> Key {
        self.network
    }

    /// The epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// True if this is no more the view of that time.
    pub fn is_over(&self, now_unix: u64) -> bool {
        self.consensus().network.timing.epoch_at(now_unix) != self.epoch
    }

    /// A listed relay that has a key in this epoch, drawn or not.
    pub fn relay(&self, id: &Key) -> Option<(&Listed, &Key)> {
        let relay = self.consensus().relay(id)?;
        Some((relay, relay.sphinx_key(self.epoch)?))
    }

    /// True if the lottery gave the relay a seat in this epoch.
    pub fn is_drawn(&self, id: &Key) -> bool {
        self.drawn.contains(id)
    }

    /// The relays of a layer with a key in this epoch; `drawn` leaves out those without a seat.
    pub fn layer(&self, layer: u8, drawn: bool) -> impl Iterator<Item = (&Listed, &Key)> {
        let listed = self.consensus().layer(layer).filter(move |r| !drawn || self.is_drawn(&r.id));
        listed.filter_map(|r| Some((r, r.sphinx_key(self.epoch)?)))
    }
}

/// True if two relays should not be on one path: they are likely to be in one hand.
pub fn are_related(a: &Listed, b: &Listed) -> bool {
    let one_operator = !a.operator.is_empty() && a.operator == b.operator;
    one_operator || same_subnet(a.address.ip(), b.address.ip())
}
