//! What two of our own nodes say to each other while they have a link.

use super::Engine;
use crate::PeerId;
use crate::mesh::arq::Urgency;
use crate::mesh::config::CarryRule;
use crate::mesh::control::{ControlFrame, Item, MAX_TABLE, Part, TABLE_EACH};
use crate::mesh::keys::Keys;
use crate::mesh::types::{LinkId, MessageId};

/// Whom a node has met in this time is how far it gets around.
const AROUND_MS: u64 = 2 * 3_600_000;

impl<K: Keys> Engine<K> {
    /// Bundles are handed over at all.
    pub(super) fn carries(&self) -> bool {
        self.config.carry != CarryRule::Never
    }

    /// Values for meetings matter.
    fn predicts(&self) -> bool {
        matches!(self.config.carry, CarryRule::Prophet | CarryRule::Native(_))
    }

    /// A neighbour is one of our own: it is told what this node knows, acknowledgements first, since they save the rest.
    pub(super) fn begin_contact(&mut self, id: LinkId) {
        let salt = self.below(u64::from(u32::MAX)) as u32;
        let mut items = Vec::new();
        if self.config.acks {
            let acked: Vec<MessageId> = self.acks.keys().copied().collect();
            items.extend(Part::split(salt, &acked).into_iter().map(Item::Acked));
        }
        if self.carries() {
            if self.predicts() {
                self.prophet.age(self.now, &self.config.prophet);
            }
            let met =
                self.prophet.met_since(self.now.saturating_sub(AROUND_MS)).min(u32::from(u16::MAX)) as u16;
            let table = if self.predicts() { self.prophet.highest(MAX_TABLE) } else { Vec::new() };
            let meets = |table: &[(PeerId, f32)]| Item::Meets { met, carries: true, table: table.to_vec() };
            if table.is_empty() {
                items.push(meets(&[]));
            }
            items.extend(table.chunks(TABLE_EACH).map(meets));
            let done = self.done.iter().filter(|(_, d)| d.told).map(|(id, _)| *id);
            let held: Vec<MessageId> = self.store.ids().into_iter().chain(done).collect();
            items.extend(Part::split(salt, &held).into_iter().map(Item::Holds));
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        link.contact.begun = true;
        for item in &items {
            link.say(Urgency::Now, item);
        }
        self.dirty.push(id);
        if self.config.sync {
            self.tell_digest(id);
        }
        self.offer_to_receiver(id);
    }

    /// Words came in.
    pub(super) fn control(&mut self, id: LinkId, peer: PeerId, bytes: &[u8]) {
        let now = self.now;
        let Some(frame) = ControlFrame::decode(bytes) else {
            self.counters.malformed += 1;
            return;
        };
        // The session proves who speaks, better than any announce.
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.peer != Some(peer) {
            link.bound_at = 0;
            self.bind(id, peer, true);
        }
        let Some(link) = self.links.get_mut(&id).filter(|l| l.peer == Some(peer)) else { return };
        link.native = true;
        let first = !link.contact.proven;
        link.contact.proven = true;
        let (_, new) = link.arq.receive(now, &frame);
        let begun = link.contact.begun;
        self.dirty.push(id);
        if first && self.predicts() {
            self.prophet.meet(now, peer, &self.config.prophet);
        }
        if !begun {
            self.begin_contact(id);
        }
        if new {
            for item in frame.items {
                self.item(id, peer, item);
            }
        }
    }

    fn item(&mut self, id: LinkId, peer: PeerId, item: Item) {
        match item {
            Item::Meets { met, carries, table } => {
                if self.predicts() {
                    self.prophet.learn(peer, self.me, &table, &self.config.prophet);
                }
                if let Some(link) = self.links.get_mut(&id) {
                    link.contact.learn(met, carries, table);
                }
                self.offer_all(id);
            }
            Item::Holds(part) => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.contact.hold(part);
                }
                self.offer_all(id);
            }
            Item::Acked(part) => self.tell_acks(id, &part),
            Item::Bundle(handover) => self.handed(id, peer, *handover),
            Item::Took(bundle) => self.took(id, peer, bundle),
            Item::Refuse(bundle) => self.lost(id, bundle),
            Item::Acks(acks) => acks.into_iter().for_each(|a| self.told_ack(id, a)),
            Item::Have(names) => self.offered(id, names),
            Item::Want(names) => self.wanted(id, names),
            Item::Digest { sum, count, until_s } => self.digest(id, sum, count, until_s),
            Item::Missing { part, since_s } => self.missing(id, &part, since_s),
            Item::Complete(_) => self.complete(id),
            Item::WhoIs(who) => self.who_is(id, who),
        }
    }
}
