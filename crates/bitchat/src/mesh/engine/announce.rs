//! Announces: who is there. They bind links to peers, and tell ways.

use super::{Engine, Timer};
use crate::PeerId;
use crate::mesh::config::RelayRule;
use crate::mesh::keys::Keys;
use crate::mesh::link::Class;
use crate::mesh::peers::{Heard, Hearing};
use crate::mesh::types::{LinkId, MessageId, Millis, Output};
use crate::mesh::view::{self, View};
use std::sync::Arc;

/// An announce that is no older than this is used again for a new link.
const FRESH_MS: Millis = 10_000;
/// A link is bound to another peer at most this often.
const REBIND_MS: Millis = 60_000;
/// Neighbours that an announce names.
const MAX_NEIGHBOURS: usize = 10;
/// Somebody not heard of for this long is back when heard again.
pub(super) const AWAY_MS: Millis = 60_000;
/// In a crowd each announces more rarely: this much for each peer that is there.
const CROWD_MS: Millis = 60;

impl<K: Keys> Engine<K> {
    /// It is time for an announce over all links.
    pub(super) fn announce_due(&mut self) {
        let base = match self.links.len() {
            0 => self.config.announce_ms[0],
            1..6 => self.config.announce_ms[1],
            _ => self.config.announce_ms[2],
        };
        let base = match self.config.relay {
            RelayRule::Native(_) => {
                let crowd = self.crowd as Millis * CROWD_MS;
                base.max(crowd)
            }
            _ => base,
        };
        let next = base - base / 4 + self.below(base / 2 + 1);
        self.at(self.now + next.max(1), Timer::Announce);
        if self.links.is_empty() {
            return;
        }
        let (packet, id) = self.new_announce();
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.send_announce(link, packet.clone(), id);
        }
    }

    /// Tells a new neighbour who this is, before anything else.
    pub(super) fn announce_on(&mut self, link: LinkId) {
        let now = self.now;
        let recent = self.announce.clone().filter(|(at, _)| now.saturating_sub(*at) < FRESH_MS);
        let (packet, id) = match recent {
            Some((_, packet)) => {
                let id = View::parse(&packet).map(|v| v.id());
                (packet, id.unwrap_or(MessageId([0; 16])))
            }
            None => self.new_announce(),
        };
        self.send_announce(link, packet, id);
    }

    fn new_announce(&mut self) -> (Arc<[u8]>, MessageId) {
        let neighbours: Vec<PeerId> =
            self.links.values().filter_map(|l| l.peer).take(MAX_NEIGHBOURS).collect();
        let packet: Arc<[u8]> = self.keys.announce(self.now, &neighbours).into();
        let id = View::parse(&packet).map_or(MessageId([0; 16]), |v| v.id());
        self.seen.insert(self.now, id);
        self.announce = Some((self.now, packet.clone()));
        (packet, id)
    }

    fn send_announce(&mut self, id: LinkId, packet: Arc<[u8]>, message: MessageId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.announced = Some(self.now);
        }
        self.queue(id, Class::Direct, packet, message);
    }

    /// An announce came in that was not seen before. True if it holds.
    pub(super) fn hear_announce(
        &mut self,
        link: LinkId,
        view: &View<'_>,
        packet: &Arc<[u8]>,
        direct: bool,
    ) -> bool {
        let now = self.now;
        if self.peers.get(&view.sender).is_none() && !self.allow_new_peer(link) {
            self.counters.limited += 1;
            return false;
        }
        let Some(said) = self.keys.check_announce(packet) else {
            self.counters.forged += 1;
            return false;
        };
        let (native, hops) = (said.native, view::TTL.saturating_sub(view.ttl.min(view::TTL)) + 1);
        let (peer, timestamp) = (view.sender, view.timestamp);
        // An old one, handed on by somebody else, tells who that was, not that they are here.
        let at = if view.ttl == 0 { timestamp.min(now) } else { now };
        let heard = Heard { peer, said, timestamp, at, hops, link, announce: packet.clone() };
        let back = match self.peers.hear(heard, AWAY_MS) {
            Hearing::OtherKey => {
                self.counters.forged += 1;
                return false;
            }
            Hearing::Old => {
                self.counters.duplicates += 1;
                return false;
            }
            Hearing::Again => false,
            Hearing::Back => true,
        };
        if direct {
            self.bind(link, peer, native);
        }
        if back {
            self.outbox.back(now, &peer);
            self.serve_outbox();
        }
        self.release_nameless(&peer);
        if !self.store.of(&peer).is_empty() {
            self.reachable(&peer);
        }
        true
    }

    /// The link leads to this peer.
    pub(super) fn bind(&mut self, id: LinkId, peer: PeerId, native: bool) {
        let now = self.now;
        let native_rule = matches!(self.config.relay, RelayRule::Native(_)) || self.carries();
        let Some(link) = self.links.get_mut(&id) else { return };
        // Who has spoken in a session is who they are, whatever announces come over the link.
        let settled = link.contact.proven || now.saturating_sub(link.bound_at) < REBIND_MS;
        if link.peer.is_some_and(|p| p != peer) && settled {
            return;
        }
        let (new, say_again) = (link.peer != Some(peer), link.announced.is_none_or(|at| now - at > 300));
        link.native = native && native_rule;
        if new {
            (link.peer, link.bound_at) = (Some(peer), now);
            let native = link.native;
            self.out.push_back(Output::Bound { link: id, peer, native });
            if say_again {
                self.announce_on(id);
            }
            self.unspool(id, peer);
        }
        if self.links.get(&id).is_some_and(|l| l.native && !l.contact.begun) {
            self.begin_contact(id);
        }
    }

    fn allow_new_peer(&mut self, id: LinkId) -> bool {
        let (now, Some(limits)) = (self.now, self.config.limits) else { return true };
        let bucket = self.links.get_mut(&id).and_then(|l| l.new_peers.as_mut());
        bucket.is_none_or(|b| b.take(limits.new_peers, now))
    }
}
