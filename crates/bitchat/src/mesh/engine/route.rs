//! Known ways: source routes where the graph is known, else back the way by which the receiver's announce came.

use super::Engine;
use crate::PeerId;
use crate::mesh::config::{CarryRule, NativeCarry};
use crate::mesh::control::MAX_ROUTE;
use crate::mesh::keys::Keys;
use crate::mesh::link::Contact;
use crate::mesh::store::Held;
use crate::mesh::types::{LinkId, MessageId, Millis};

/// The most hops of a route that phones take.
const PHONE_ROUTE: usize = 4;

impl<K: Keys> Engine<K> {
    /// The hops to somebody, for a packet of version 2: over edges that both ends have announced within a minute. None
    /// where none is known, or they are a neighbour, or it is longer than phones take.
    pub fn route_to(&self, now: Millis, peer: PeerId) -> Option<Vec<PeerId>> {
        let neighbours: Vec<PeerId> = self.links.values().filter_map(|l| l.peer).collect();
        let route = self.peers.route(now.max(self.now), &neighbours, peer, None, false, PHONE_ROUTE)?;
        (!route.is_empty()).then_some(route)
    }

    /// Sends a bundle along a known way, if there is one.
    pub(super) fn try_route(&mut self, id: MessageId, avoid: Option<PeerId>) -> bool {
        let CarryRule::Native(rule) = self.config.carry else { return false };
        let now = self.now;
        let Some(held) = self.store.get_mut(&id) else { return false };
        let (recipient, sender) = (held.bundle.recipient, held.bundle.sender);
        if held.hops >= rule.max_hops || !held.flying.is_empty() || held.routed_until.is_some_and(|u| u > now)
        {
            return false;
        }
        let given = std::mem::take(&mut held.route);
        let from = self.trails.get(&id).map(|t| t.from());
        let avoid = avoid.or(from);
        let direct = self.link_to(recipient).filter(|l| self.speaks(*l));
        let (link, route) = if let Some(link) = direct {
            (link, Vec::new())
        } else if let Some(link) =
            given.first().and_then(|hop| self.link_to(*hop)).filter(|l| self.speaks(*l))
        {
            (link, given[1..].to_vec())
        } else {
            if self.peers.way(now, &recipient).is_none() {
                return false;
            }
            let near = self.links.values().filter(|l| l.native && l.peer.is_some_and(|p| p != sender));
            let near: Vec<PeerId> = near.filter_map(|l| l.peer).collect();
            match self.peers.route(now, &near, recipient, avoid, true, MAX_ROUTE) {
                Some(route) => {
                    let Some(link) = route.first().and_then(|hop| self.link_to(*hop)) else { return false };
                    (link, route[1..].to_vec())
                }
                None => match self.way_back(recipient, avoid) {
                    Some(link) => (link, Vec::new()),
                    None => return false,
                },
            }
        };
        let hops = route.len() as u8 + 2;
        self.hand_over(link, id, 1, route, true);
        self.be_patient(id, hops);
        true
    }

    fn way_back(&self, to: PeerId, avoid: Option<PeerId>) -> Option<LinkId> {
        let (link, _) = self.peers.way(self.now, &to)?;
        let l = self.links.get(&link)?;
        (l.native && l.peer.is_some() && l.peer != avoid).then_some(link)
    }

    /// Somebody has announced themselves for whom bundles are here.
    pub(super) fn reachable(&mut self, peer: &PeerId) {
        for id in self.store.of(peer) {
            self.try_route(id, None);
        }
    }

    /// No acknowledgement has come in time.
    pub(super) fn patience_over(&mut self, id: MessageId) {
        let now = self.now;
        let Some(held) = self.store.get_mut(&id).filter(|h| h.routed_until.is_some_and(|u| u <= now)) else {
            return;
        };
        held.routed_until = None;
        if !held.flying.is_empty() {
            // The link is still trying.
            let hops = held.route.len() as u8;
            held.tries = held.tries.saturating_sub(1);
            self.be_patient(id, hops);
            return;
        }
        let (tries, recipient) = (held.tries, held.bundle.recipient);
        // Another first hop than the one that would be taken again.
        let near: Vec<PeerId> = self.links.values().filter(|l| l.native).filter_map(|l| l.peer).collect();
        let first =
            self.peers.route(now, &near, recipient, None, true, MAX_ROUTE).and_then(|r| r.first().copied());
        let avoid = if tries % 2 == 1 { first } else { None };
        let again = tries < 4 && (self.try_route(id, avoid) || self.try_route(id, None));
        if tries >= 2 || !again {
            if let Some(held) = self.store.get_mut(&id) {
                held.passing = false;
                held.routed_until = held.routed_until.filter(|_| tries < 2);
            }
            let links: Vec<LinkId> = self.links.values().filter(|l| l.contact.proven).map(|l| l.id).collect();
            for link in links {
                if let Some(l) = self.links.get_mut(&link) {
                    l.contact.todo.push_back(id);
                }
                self.offer(link);
            }
        }
    }

    /// Copies that a neighbour gets under our own rule. None: nothing.
    pub(super) fn native_copies(
        &self,
        rule: &NativeCarry,
        held: &Held,
        contact: &Contact,
        copies: u16,
    ) -> Option<u16> {
        let recipient = held.bundle.recipient;
        let (ours, theirs) = (self.prophet.of(recipient), contact.p(recipient));
        if held.hops >= rule.max_hops {
            return None;
        }
        if copies > 1 {
            return Some(copies / 2);
        }
        // The last copy goes to who is likelier to meet the receiver. The sender keeps its own.
        let better = theirs >= rule.least && theirs > ours + rule.better_by;
        (copies == 1 && !held.own && better).then_some(1)
    }
}
