//! What is carried: own messages until they are acknowledged, and those of others within a budget.

use crate::PeerId;
use crate::mesh::bundle::Bundle;
use crate::mesh::types::{LinkId, MessageId, Millis};
use std::collections::{BTreeMap, BTreeSet};

/// One sender's part of the budget.
const SHARE: usize = 4;

/// A bundle that this node holds.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) bundle: Bundle,
    /// Copies that this node may still give away, itself included.
    pub(crate) copies: u16,
    pub(crate) hops: u8,
    pub(crate) own: bool,
    /// Times that it was handed over.
    pub(crate) given: u32,
    pub(crate) came: Millis,
    /// On its way to these neighbours, with so many copies.
    pub(crate) flying: Vec<(LinkId, u16)>,
    /// It goes along a known way, until then; other ways are not tried before.
    pub(crate) routed_until: Option<Millis>,
    /// It came to be passed on along a known way, not to be carried.
    pub(crate) passing: bool,
    /// Copies were given away, so that others have to hear of its acknowledgement.
    pub(crate) sprayed: bool,
    /// Known ways that were tried.
    pub(crate) tries: u8,
    /// The rest of the way, where the neighbour that gave it knew one.
    pub(crate) route: Vec<PeerId>,
}

/// The carried bundles, bounded.
#[derive(Debug)]
pub(crate) struct Store {
    held: BTreeMap<MessageId, Held>,
    recipients: BTreeMap<PeerId, BTreeSet<MessageId>>,
    own: usize,
    max_carried: usize,
    max_own: usize,
}

/// What insertion did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It is there now.
    Yes,
    /// It is there now, and this one had to go.
    InsteadOf(MessageId),
    /// No room.
    No,
}

impl Store {
    pub(crate) fn new(max_carried: usize, max_own: usize) -> Self {
        Self { held: BTreeMap::new(), recipients: BTreeMap::new(), own: 0, max_carried, max_own }
    }

    pub(crate) fn insert(&mut self, held: Held) -> Inserted {
        let id = held.bundle.id;
        if self.held.contains_key(&id) {
            return Inserted::No;
        }
        if held.own {
            if self.own >= self.max_own {
                return Inserted::No;
            }
            self.own += 1;
            self.add(id, held);
            return Inserted::Yes;
        }
        let victim = match self.victim(held.bundle.sender) {
            Ok(victim) => victim,
            Err(()) => return Inserted::No,
        };
        if let Some(victim) = victim {
            self.remove(&victim);
        }
        self.add(id, held);
        victim.map_or(Inserted::Yes, Inserted::InsteadOf)
    }

    /// Who has to go for one of this sender. A sender that has its share already makes room itself, so that a flood does
    /// not push out the others. Else the one goes that was handed over most often (others have it too), of those the oldest.
    fn victim(&self, sender: PeerId) -> Result<Option<MessageId>, ()> {
        let carried = || self.held.iter().filter(|(_, h)| !h.own);
        let count = self.held.len() - self.own;
        let idle = |h: &Held| h.flying.is_empty();
        let share = (self.max_carried / SHARE).max(1);
        if count >= share && carried().filter(|(_, h)| h.bundle.sender == sender).count() >= share {
            let of_sender = carried().filter(|(_, h)| h.bundle.sender == sender && idle(h));
            return of_sender.min_by_key(|(id, h)| (h.came, **id)).map(|(id, _)| Some(*id)).ok_or(());
        }
        if count < self.max_carried {
            return Ok(None);
        }
        let worst = carried().filter(|(_, h)| idle(h));
        worst
            .max_by_key(|(id, h)| (h.given, std::cmp::Reverse(h.came), **id))
            .map(|(id, _)| Some(*id))
            .ok_or(())
    }

    fn add(&mut self, id: MessageId, held: Held) {
        self.recipients.entry(held.bundle.recipient).or_default().insert(id);
        self.held.insert(id, held);
    }

    /// Those for this receiver.
    pub(crate) fn of(&self, recipient: &PeerId) -> Vec<MessageId> {
        self.recipients.get(recipient).map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }

    pub(crate) fn get(&self, id: &MessageId) -> Option<&Held> {
        self.held.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &MessageId) -> Option<&mut Held> {
        self.held.get_mut(id)
    }

    pub(crate) fn remove(&mut self, id: &MessageId) -> Option<Held> {
        let held = self.held.remove(id)?;
        if let Some(of_recipient) = self.recipients.get_mut(&held.bundle.recipient) {
            of_recipient.remove(id);
            if of_recipient.is_empty() {
                self.recipients.remove(&held.bundle.recipient);
            }
        }
        self.own -= usize::from(held.own);
        Some(held)
    }

    pub(crate) fn ids(&self) -> Vec<MessageId> {
        self.held.keys().copied().collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&MessageId, &Held)> {
        self.held.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn own(&self) -> usize {
        self.own
    }

    /// Those whose time is over.
    pub(crate) fn expired(&self, now: Millis) -> Vec<MessageId> {
        self.held.iter().filter(|(_, h)| h.bundle.expires() <= now).map(|(id, _)| *id).collect()
    }
}
