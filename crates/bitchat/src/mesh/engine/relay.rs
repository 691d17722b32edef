//! Which packets go on, when, and over which links.

use super::{Engine, MAX_PACKET, Timer};
use crate::PeerId;
use crate::mesh::config::{NativeRelay, RelayRule};
use crate::mesh::keys::Keys;
use crate::mesh::link::{Class, LinkRole};
use crate::mesh::types::{LinkId, MessageId, Millis};
use crate::mesh::view::{self, View, kind, with_ttl};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Packets that wait or are remembered for their duplicates.
const MAX_FLOWS: usize = 4096;
const FLOW_MS: Millis = 60_000;
/// Packets for one receiver that wait for any link.
const MAX_SPOOL: usize = 64;
const SPOOL_MS: Millis = 60_000;

/// A packet on its way through this node.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) packet: Arc<[u8]>,
    pub(super) ingress: Option<LinkId>,
    /// Links whose other end has it.
    pub(super) known: u64,
    /// How often it was heard.
    pub(super) heard: u8,
    /// The TTL that it goes on with.
    pub(super) ttl: u8,
    pub(super) fired: bool,
    pub(super) until: Millis,
}

impl Flow {
    /// The link with this bit is gone.
    pub(super) fn forget(&mut self, bit: u64) {
        self.known &= !bit;
    }
}

/// A packet that had no link to go over.
#[derive(Debug)]
pub(super) struct Spooled {
    pub(super) until: Millis,
    recipient: PeerId,
    packet: Arc<[u8]>,
    id: MessageId,
}

impl<K: Keys> Engine<K> {
    /// A packet came in.
    pub(super) fn packet(&mut self, link: LinkId, packet: &Arc<[u8]>) {
        self.counters.packets += 1;
        let view = View::parse(packet).filter(|_| packet.len() <= MAX_PACKET);
        let Some(view) = view else {
            self.counters.malformed += 1;
            return;
        };
        let id = view.id();
        let bit = self.links.get(&link).map_or(0, |l| l.bit);
        if view.sender == self.me {
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.known |= bit;
            }
            return;
        }
        if self.seen.contains(self.now, &id) || self.history.contains(&id) {
            self.duplicate(link, bit, &view, &id);
            return;
        }
        if view.kind == kind::REQUEST_SYNC {
            // For the link alone, never relayed. Its content is the caller's.
            if view.ttl == 0 {
                self.seen.insert(self.now, id);
                self.deliver(link, id, view.sender, packet.clone(), false);
            }
            return;
        }
        if view.ttl == 0 || view.answer {
            self.answered(link, &view, id, packet);
            return;
        }
        if view.timestamp.abs_diff(self.now) > self.config.max_skew_ms {
            self.counters.stale += 1;
            return;
        }
        if view.kind == kind::ANNOUNCE {
            if self.admit(link, &view) && self.hear_announce(link, &view, packet, view.ttl == view::TTL) {
                self.seen.insert(self.now, id);
                self.start(id, packet, Some(link));
            }
            return;
        }
        match view.recipient {
            None => self.public(link, &view, id, packet, false),
            Some(recipient) => {
                if !self.admit(link, &view) {
                    return;
                }
                self.seen.insert(self.now, id);
                if recipient == self.me {
                    self.deliver(link, id, view.sender, packet.clone(), false);
                } else {
                    self.start(id, packet, Some(link));
                }
            }
        }
    }

    fn duplicate(&mut self, link: LinkId, bit: u64, view: &View<'_>, id: &MessageId) {
        self.counters.duplicates += 1;
        if view.kind == kind::ANNOUNCE {
            let hops = view::TTL.saturating_sub(view.ttl.min(view::TTL)) + 1;
            self.peers.hear_again(&view.sender, view.timestamp, hops, link);
            if view.ttl == view::TTL && self.links.get(&link).is_some_and(|l| l.peer.is_none()) {
                // The neighbour's own announce came by a detour first. It was checked then.
                if let Some(native) =
                    self.peers.get(&view.sender).filter(|p| p.announced == view.timestamp).map(|p| p.native)
                {
                    self.bind(link, view.sender, native);
                }
            }
        }
        if let Some(flow) = self.flows.get_mut(id) {
            flow.known |= bit;
            flow.heard = flow.heard.saturating_add(1);
        }
        if matches!(self.config.relay, RelayRule::Native(_))
            && let Some(link) = self.links.get_mut(&link)
        {
            link.cancel(id);
            link.offers.retain(|o| o != id);
        }
    }

    /// Decides what becomes of a packet that is new here, or an own one.
    pub(super) fn start(&mut self, id: MessageId, packet: &Arc<[u8]>, ingress: Option<LinkId>) {
        let Some(view) = View::parse(packet) else { return };
        if let Some(to) = view.recipient
            && self.shortcut(id, &view, packet, to, ingress)
        {
            return;
        }
        let plan = if ingress.is_none() { Some((view.ttl, 0)) } else { self.plan(&view, ingress) };
        let Some((ttl, delay)) = plan else { return };
        if self.flows.len() >= MAX_FLOWS {
            self.counters.limited += 1;
            return;
        }
        let known = ingress.and_then(|l| self.links.get(&l)).map_or(0, |l| l.bit);
        let until = self.now + FLOW_MS;
        let flow = Flow { packet: packet.clone(), ingress, known, heard: 1, ttl, fired: false, until };
        self.flows.insert(id, flow);
        if delay == 0 {
            self.back_off_over(id);
        } else {
            self.at(self.now + delay, Timer::Relay(id));
        }
    }

    /// A packet whose receiver is a neighbour goes there and nowhere else; one with a route goes to the next hop.
    fn shortcut(
        &mut self,
        id: MessageId,
        view: &View<'_>,
        packet: &Arc<[u8]>,
        to: PeerId,
        from: Option<LinkId>,
    ) -> bool {
        if matches!(self.config.relay, RelayRule::Flood | RelayRule::Never) && from.is_some() {
            return false;
        }
        let next = match view.route.hops().position(|hop| hop == self.me) {
            Some(at) => view.route.hops().nth(at + 1).unwrap_or(to),
            None if from.is_none() => view.route.hops().next().unwrap_or(to),
            None => to,
        };
        let Some(link) = self.link_to(next).or_else(|| self.link_to(to)) else { return false };
        if from == Some(link) {
            return false;
        }
        let ttl = if from.is_some() { view.ttl.saturating_sub(1) } else { view.ttl };
        if ttl == 0 && from.is_some() {
            return true;
        }
        self.queue(link, Class::Direct, with_ttl(packet, ttl), id);
        true
    }

    /// The TTL that a packet goes on with, and after how long. None: it does not go on.
    fn plan(&mut self, view: &View<'_>, ingress: Option<LinkId>) -> Option<(u8, Millis)> {
        let degree = self.links.len();
        let capped = view.ttl.min(view::TTL);
        match self.config.relay {
            RelayRule::Never => None,
            RelayRule::Flood => (view.ttl > 1).then(|| (view.ttl - 1, self.between(1, 20))),
            RelayRule::Apple => {
                if capped <= 1 {
                    return None;
                }
                let directed = view.recipient.is_some();
                let (ttl, from, to) = match view.kind {
                    kind::HANDSHAKE => (capped, 10, 35),
                    kind::ENCRYPTED | kind::COURIER | kind::PING | kind::PONG => (capped, 20, 60),
                    kind::CARRIER | kind::FRAGMENT if directed => (capped, 20, 60),
                    kind::FRAGMENT | kind::VOICE => (capped.min(if degree >= 6 { 5 } else { 7 }), 8, 25),
                    _ => match degree {
                        0..=2 => (capped, 10, 40),
                        3..=5 => (capped.min(if view.kind == kind::ANNOUNCE { 7 } else { 6 }), 60, 150),
                        6..=9 => (capped.min(5), 80, 180),
                        _ => (capped.min(5), 100, 220),
                    },
                };
                Some((ttl - 1, self.between(from, to)))
            }
            RelayRule::Android => {
                let size = self.crowd;
                let chance = match size {
                    0..=10 => 100,
                    11..=30 => 85,
                    31..=50 => 70,
                    51..=100 => 55,
                    _ => 40,
                };
                let goes = capped > 1 && (capped >= 4 || size <= 3 || self.below(100) < chance);
                let delay = if view.kind == kind::VOICE { self.between(8, 25) } else { 1 };
                goes.then_some((capped - 1, delay))
            }
            RelayRule::Native(rule) => self.native_plan(&rule, view, ingress),
        }
    }

    fn native_plan(
        &mut self,
        rule: &NativeRelay,
        view: &View<'_>,
        ingress: Option<LinkId>,
    ) -> Option<(u8, Millis)> {
        let rssi = ingress.and_then(|l| self.links.get(&l)).map_or(rule.weak_dbm, |l| l.rssi);
        // Who hears the sender weakly is far from it, reaches more who have not heard it, and so goes first.
        let span = f32::from(rule.strong_dbm) - f32::from(rule.weak_dbm);
        let near = ((f32::from(rssi) - f32::from(rule.weak_dbm)) / span.max(1.0)).clamp(0.0, 1.0);
        let wait = (near * rule.back_off_ms as f32) as Millis + 1 + self.below(rule.jitter_ms + 1);
        match view.kind {
            kind::ANNOUNCE => {
                let (now, limits) = (self.now, self.config.limits);
                let allowed = match (limits, &mut self.announces) {
                    (Some(limits), Some(bucket)) => bucket.take(limits.announces, now),
                    _ => true,
                };
                (view.ttl > 1 && allowed).then_some((view.ttl.min(view::TTL) - 1, 2 * wait + 20))
            }
            kind::HANDSHAKE => (view.ttl > 1).then_some((view.ttl - 1, 1 + wait / 4)),
            _ if view.recipient.is_some() => (view.ttl > 1).then_some((view.ttl - 1, 1 + wait / 2)),
            // Names go further than the TTL lets the packet go.
            _ => Some((view.ttl.saturating_sub(1), wait)),
        }
    }

    /// A packet's back-off is over: it goes to those who may not have it.
    pub(super) fn back_off_over(&mut self, id: MessageId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        flow.fired = true;
        let (packet, ttl, ingress, known, heard) =
            (flow.packet.clone(), flow.ttl, flow.ingress, flow.known, flow.heard);
        let Some(view) = View::parse(&packet) else { return };
        let class = match (ingress, view.kind) {
            (None, _) => Class::Direct,
            (_, kind::ANNOUNCE) => Class::Announce,
            _ if view.recipient.is_some() => Class::Direct,
            _ => Class::Public,
        };
        let out = if ingress.is_some() { with_ttl(&packet, ttl) } else { packet.clone() };
        let from_peer = ingress.and_then(|l| self.links.get(&l)).and_then(|l| l.peer);
        let others = |l: &&crate::mesh::link::Link| {
            Some(l.id) != ingress && (from_peer.is_none() || l.peer != from_peer)
        };
        let all: Vec<(LinkId, LinkRole)> =
            self.links.values().filter(others).map(|l| (l.id, l.role)).collect();
        if all.is_empty() && matches!(view.kind, kind::HANDSHAKE | kind::ENCRYPTED) {
            self.spool(&view, &packet, id);
        }
        let targets: Vec<LinkId> = match self.config.relay {
            RelayRule::Native(rule) => {
                self.native_fire(&rule, id, &view, ttl, known, heard, ingress.is_none());
                let keep = self.keeps(&view);
                self.close(id, keep);
                return;
            }
            RelayRule::Never if ingress.is_some() => Vec::new(),
            RelayRule::Apple if ingress.is_some() && heard > 1 && self.links.len() > 2 => Vec::new(),
            RelayRule::Apple if ingress.is_some() && view.recipient.is_none() => match view.kind {
                kind::ANNOUNCE | kind::FRAGMENT => all.into_iter().map(|(l, _)| l).collect(),
                _ => part_of(&id, &all),
            },
            _ => all.into_iter().map(|(l, _)| l).collect(),
        };
        for link in targets {
            self.queue(link, class, out.clone(), id);
        }
        self.close(id, false);
    }

    #[expect(clippy::too_many_arguments, reason = "one packet's fate, read from its flow")]
    fn native_fire(
        &mut self,
        rule: &NativeRelay,
        id: MessageId,
        view: &View<'_>,
        ttl: u8,
        known: u64,
        heard: u8,
        own: bool,
    ) {
        let public = self.keeps(view);
        let mut lacking: Vec<_> =
            self.links.values().filter(|l| known & l.bit == 0).map(|l| (l.rssi, l.id)).collect();
        // The weakest first: furthest away, so they reach most. Equal ones by the packet's name, so that not the same
        // neighbours are first for all packets.
        lacking.sort_by_key(|(rssi, l)| (*rssi / 4, l.0 ^ u64::from(id.0[0])));
        let silent = !own && heard > rule.silent_after;
        let mut eager = match view.kind {
            _ if own => lacking.len(),
            kind::ANNOUNCE | kind::HANDSHAKE | kind::ENCRYPTED if heard > 2 && self.links.len() > 2 => 0,
            kind::ANNOUNCE => rule.eager,
            _ if !public => lacking.len(),
            _ if silent => 0,
            _ => rule.eager,
        };
        let Some(packet) = self.flows.get(&id).map(|f| f.packet.clone()) else { return };
        let out = if own { packet } else { with_ttl(&packet, ttl) };
        let class = match view.kind {
            _ if own || view.recipient.is_some() => Class::Direct,
            kind::ANNOUNCE => Class::Announce,
            _ => Class::Public,
        };
        for (_, link) in lacking {
            let native = self.links.get(&link).is_some_and(|l| l.native);
            let goes = own || ttl > 0;
            if goes && (eager > 0 || (!native && !silent)) {
                eager = eager.saturating_sub(1);
                self.queue(link, class, out.clone(), id);
                self.mark(&id, link);
            } else if public && native && self.config.sync {
                self.offer_later(link, id, rule.offer_ms);
            }
        }
    }

    fn mark(&mut self, id: &MessageId, link: LinkId) {
        let bit = self.links.get(&link).map_or(0, |l| l.bit);
        if let Some(flow) = self.flows.get_mut(id) {
            flow.known |= bit;
        }
    }

    /// Forgets a flow, unless its duplicates still matter.
    fn close(&mut self, id: MessageId, keep: bool) {
        if !keep {
            self.flows.remove(&id);
        }
    }

    fn spool(&mut self, view: &View<'_>, packet: &Arc<[u8]>, id: MessageId) {
        let Some(recipient) = view.recipient else { return };
        if self.spool.len() >= MAX_SPOOL {
            self.spool.pop_front();
        }
        let until = self.now + SPOOL_MS;
        self.spool.push_back(Spooled { until, recipient, packet: packet.clone(), id });
    }

    /// A neighbour is there: what waited for it, or for any way at all, goes.
    pub(super) fn unspool(&mut self, link: LinkId, peer: PeerId) {
        let now = self.now;
        for s in std::mem::take(&mut self.spool).into_iter().filter(|s| s.until > now) {
            if s.recipient == peer {
                self.queue(link, Class::Direct, s.packet, s.id);
            } else {
                self.spool.push_back(s);
            }
        }
    }
}

/// The part of the links that the iPhone app relays a public packet over: a number that grows with the logarithm,
/// chosen by a hash, apart for the two roles.
fn part_of(id: &MessageId, links: &[(LinkId, LinkRole)]) -> Vec<LinkId> {
    let mut chosen = Vec::new();
    for role in [LinkRole::Central, LinkRole::Peripheral] {
        let mut of_role: Vec<_> = links.iter().filter(|(_, r)| *r == role).map(|(l, _)| *l).collect();
        let n = of_role.len();
        if n > 2 {
            of_role.sort_by_cached_key(|l| -> [u8; 32] {
                Sha256::new()
                    .chain_update(id.0)
                    .chain_update(b"::")
                    .chain_update(l.0.to_be_bytes())
                    .finalize()
                    .into()
            });
            of_role.truncate(n.next_power_of_two().trailing_zeros() as usize + 1);
        }
        chosen.extend(of_role);
    }
    chosen
}
