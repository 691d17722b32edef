//! After a restart: what was on disk is there again.

use super::Engine;
use super::carry::Done;
use crate::mesh::bundle::Bundle;
use crate::mesh::keys::Keys;
use crate::mesh::record::{Content, Key, Record};
use crate::mesh::store::Held;
use crate::mesh::types::Millis;
use crate::mesh::view::View;

impl<K: Keys> Engine<K> {
    /// Takes back all records, in any order, before anything else is done. What does not hold any more is left out: its
    /// time is over, or it does not fit its name.
    pub fn restore(&mut self, now: Millis, records: impl IntoIterator<Item = (Key, Record)>) {
        self.now = self.now.max(now);
        let now = self.now;
        for (key, Record(content)) in records {
            match (key, content) {
                (Key::Bundle(id), Content::Bundle { packet, ack, expires_s, copies, hops, own, given }) => {
                    let bundle = Bundle::new(packet.into(), ack, expires_s);
                    if let Some(bundle) = bundle.filter(|b| b.id == id && b.expires() > now) {
                        self.store.insert(Held {
                            bundle,
                            copies: copies.max(1),
                            hops,
                            own,
                            given,
                            came: now,
                            flying: Vec::new(),
                            routed_until: None,
                            passing: false,
                            sprayed: true,
                            tries: 0,
                            route: Vec::new(),
                        });
                    }
                }
                (Key::Ack(id), Content::Ack(ack)) if ack.bundle() == id && ack.expires() > now => {
                    self.acks.insert(id, ack);
                    self.ack_order.push_back(id);
                }
                (Key::Done(id), Content::Done { until, delivered }) if until > now => {
                    self.done.insert(id, Done { until, delivered, told: false });
                }
                (Key::Public(id), Content::Public { packet }) => {
                    if let Some(view) = View::parse(&packet).filter(|v| v.id() == id) {
                        let (sender, timestamp) = (view.sender, view.timestamp);
                        self.history.insert(now, id, sender, timestamp, packet.clone().into());
                    }
                }
                (Key::Outbox(id), Content::Outbox { to, expires, tries }) => {
                    self.outbox.insert(now, id, to, expires, tries);
                }
                (Key::Prophet, Content::Prophet(prophet)) => self.prophet = prophet.restored(),
                _ => {}
            }
        }
        // What was acknowledged needs not be given to the caller again.
        for (id, done) in &mut self.done {
            done.told = done.delivered.is_none() || self.acks.contains_key(id);
        }
        self.history.restored();
        // An acknowledgement may have come between two writes.
        let arrived: Vec<_> = self.acks.keys().filter(|id| self.store.get(id).is_some()).copied().collect();
        for id in arrived {
            if self.store.get(&id).is_some_and(|h| h.own) {
                self.out.push_back(crate::mesh::types::Output::Acknowledged { id });
            }
            self.store.remove(&id);
            self.persist(crate::mesh::record::Change::remove(Key::Bundle(id)));
        }
    }
}
