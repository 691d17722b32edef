//! Bundles: handed over with custody, carried, acknowledged.

use super::{Engine, Timer};
use crate::PeerId;
use crate::mesh::arq::Urgency;
use crate::mesh::bundle::{Ack, AckHash, Bundle, MAX_CARRIED, MAX_LIFETIME_MS, Secret};
use crate::mesh::config::CarryRule;
use crate::mesh::control::{Handover, Item, Part};
use crate::mesh::keys::Keys;
use crate::mesh::record::{Change, Content, Key};
use crate::mesh::store::{Held, Inserted};
use crate::mesh::types::{LinkId, MessageId, Millis, Output, SendError};

/// Acknowledgements that are remembered; the first learned makes room.
const MAX_ACKS: usize = 1024;
/// Names of bundles that were here.
const MAX_DONE: usize = 8192;
const MAX_TRAILS: usize = 2048;
const TRAIL_MS: Millis = 600_000;
/// Bundles that are on their way to one neighbour at once, beside urgent ones.
const IN_FLIGHT: usize = 8;
/// Acknowledgements in one frame, and told in one go.
const ACKS_EACH: usize = 11;
const ACKS_TOLD: usize = 256;
/// How long acknowledgements are gathered before the neighbours are told.
const ACKS_DELAY_MS: Millis = 1000;
/// Clocks may differ by this where a bundle's end is concerned.
const SLACK_MS: Millis = 3_600_000;

/// A bundle that was here, and is not taken again to carry.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) until: Millis,
    /// It was for this node: the packet's name, and the hash that its acknowledgement fits.
    pub(super) delivered: Option<(MessageId, AckHash)>,
    /// The caller was given it since the start. Before that it may have stopped before it could acknowledge.
    pub(super) told: bool,
}

/// From whom a bundle came, so that its acknowledgement goes back the same way.
#[derive(Debug)]
pub(super) struct Trail {
    pub(super) until: Millis,
    from: PeerId,
    /// It came along a known way, and nobody else was given it.
    routed: bool,
}

impl Trail {
    pub(super) fn from(&self) -> PeerId {
        self.from
    }
}

impl<K: Keys> Engine<K> {
    /// Takes an own message for one of our own nodes: it goes at once along a known way, or is carried, until the receiver
    /// has shown the secret or its time is over. The caller has put the secret into the sealed part of the packet.
    ///
    /// # Errors
    ///
    /// When it is no packet of this node to somebody else, too long, or too many wait already.
    pub fn carry(
        &mut self,
        now: Millis,
        packet: Vec<u8>,
        ack: AckHash,
        lifetime_ms: Millis,
    ) -> Result<MessageId, SendError> {
        self.begin(now);
        if packet.len() > MAX_CARRIED {
            return Err(SendError::TooLong { length: packet.len(), limit: MAX_CARRIED });
        }
        let expires = self.now + lifetime_ms.min(MAX_LIFETIME_MS);
        let view = crate::mesh::view::View::parse(&packet).ok_or(SendError::Malformed)?;
        if view.sender != self.me {
            return Err(SendError::NotMine);
        }
        view.recipient.filter(|r| *r != self.me).ok_or(SendError::NoRecipient)?;
        let bundle = Bundle::new(packet.into(), ack, (expires / 1000) as u32).ok_or(SendError::Malformed)?;
        let id = bundle.id;
        let held = self.held(bundle, self.first_copies(), 0, true);
        if self.store.insert(held) == Inserted::No {
            return Err(SendError::Full(self.store.own()));
        }
        self.save(id);
        self.dispatch(id);
        self.finish();
        Ok(id)
    }

    /// Gives an own message up.
    pub fn withdraw(&mut self, now: Millis, id: MessageId) {
        self.begin(now);
        if self.store.get(&id).is_some_and(|h| h.own) {
            self.drop_bundle(id);
        }
        self.finish();
    }

    /// The caller has opened a bundle that was delivered here, and found this secret in it. Call it when the message is on
    /// disk: the sender learns that it has arrived.
    pub fn acknowledge(&mut self, now: Millis, packet: MessageId, secret: Secret) {
        self.begin(now);
        let hash = AckHash::of(&secret);
        let fits = |d: &Done| d.delivered == Some((packet, hash));
        let ends: Vec<Millis> = self.done.values().filter(|d| fits(d)).map(|d| d.until).collect();
        if ends.is_empty() {
            self.counters.forged += 1;
        }
        for until in ends {
            self.learn_ack(Ack { packet_id: packet, secret, expires_s: (until / 1000) as u32 });
        }
        self.finish();
    }

    fn held(&self, bundle: Bundle, copies: u16, hops: u8, own: bool) -> Held {
        Held {
            bundle,
            copies,
            hops,
            own,
            given: 0,
            came: self.now,
            flying: Vec::new(),
            routed_until: None,
            passing: false,
            sprayed: false,
            tries: 0,
            route: Vec::new(),
        }
    }

    pub(super) fn first_copies(&self) -> u16 {
        match self.config.carry {
            CarryRule::Spray { copies } => copies.max(1),
            CarryRule::Native(rule) => rule.copies.max(1),
            _ => 1,
        }
    }

    /// Looks for a way for a bundle that is new here.
    pub(super) fn dispatch(&mut self, id: MessageId) {
        let Some(recipient) = self.store.get(&id).map(|h| h.bundle.recipient) else { return };
        if let Some(link) = self.link_to(recipient).filter(|l| self.speaks(*l)) {
            self.hand_over(link, id, 1, Vec::new(), true);
            self.be_patient(id, 1);
            return;
        }
        self.try_route(id, None);
        let links: Vec<LinkId> = self.links.values().filter(|l| l.contact.proven).map(|l| l.id).collect();
        for link in links {
            if let Some(l) = self.links.get_mut(&link) {
                l.contact.todo.push_back(id);
            }
            self.offer(link);
        }
    }

    pub(super) fn speaks(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|l| l.native)
    }

    /// Looks at all bundles for a neighbour that has told more of itself.
    pub(super) fn offer_all(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let offered = &link.contact.offered;
        let mut todo: Vec<_> = self
            .store
            .iter()
            .filter(|(b, _)| !offered.contains(b))
            .map(|(b, h)| (!h.own, h.given, h.came, *b))
            .collect();
        todo.sort_unstable();
        link.contact.todo = todo.into_iter().map(|(_, _, _, b)| b).collect();
        self.offer(id);
    }

    /// The neighbour may be the one whom bundles are for.
    pub(super) fn offer_to_receiver(&mut self, id: LinkId) {
        let Some(peer) = self.links.get(&id).and_then(|l| l.peer) else { return };
        for bundle in self.store.of(&peer) {
            self.hand_over(id, bundle, 1, Vec::new(), true);
        }
    }

    /// Hands over what is to go to a neighbour, a few at a time.
    pub(super) fn offer(&mut self, id: LinkId) {
        loop {
            let Some(link) = self.links.get_mut(&id) else { return };
            if link.arq.bundles() >= IN_FLIGHT {
                return;
            }
            let Some(bundle) = link.contact.todo.pop_front() else { return };
            if let Some(copies) = self.consider(id, &bundle) {
                self.hand_over(id, bundle, copies, Vec::new(), false);
            }
        }
    }

    /// How many copies of a bundle a neighbour gets. None: nothing.
    fn consider(&self, id: LinkId, bundle: &MessageId) -> Option<u16> {
        let (link, held) = (self.links.get(&id)?, self.store.get(bundle)?);
        let (peer, contact) = (link.peer?, &link.contact);
        let recipient = held.bundle.recipient;
        if !contact.proven || contact.offered.contains(bundle) || held.bundle.expires() <= self.now {
            return None;
        }
        if peer == recipient {
            return Some(1);
        }
        // The neighbour told what it has; what it did not speak of is not offered.
        let lacks = contact.has(bundle) == Some(false);
        if peer == held.bundle.sender || !contact.carries || !lacks {
            return None;
        }
        let flying: u16 = held.flying.iter().map(|(_, n)| *n).sum();
        let copies = held.copies.saturating_sub(flying);
        match self.config.carry {
            CarryRule::Never | CarryRule::Direct => None,
            CarryRule::Epidemic => Some(1),
            CarryRule::Spray { .. } => (copies > 1).then_some(copies / 2),
            CarryRule::Prophet => (contact.p(recipient) > self.prophet.of(recipient)).then_some(1),
            CarryRule::Native(rule) => {
                if held.routed_until.is_some_and(|until| until > self.now) {
                    return None;
                }
                self.native_copies(&rule, held, contact, copies)
            }
        }
    }

    /// A bundle goes to a neighbour.
    pub(super) fn hand_over(
        &mut self,
        id: LinkId,
        bundle: MessageId,
        copies: u16,
        route: Vec<PeerId>,
        routed: bool,
    ) {
        let (Some(link), Some(held)) = (self.links.get_mut(&id), self.store.get_mut(&bundle)) else { return };
        if !routed && !link.contact.offered.insert(bundle) {
            return;
        }
        if held.flying.iter().any(|(l, _)| *l == id) {
            return;
        }
        link.contact.offered.insert(bundle);
        let hops = held.hops.saturating_add(1);
        let item =
            Item::Bundle(Box::new(Handover { bundle: held.bundle.clone(), copies, hops, route, routed }));
        let urgency = if routed { Urgency::Now } else { Urgency::Bulk };
        if link.say(urgency, &item) {
            held.sprayed |= !routed;
            held.flying.push((id, copies));
            self.dirty.push(id);
        }
    }

    /// A neighbour hands a bundle over.
    pub(super) fn handed(&mut self, id: LinkId, peer: PeerId, handover: Handover) {
        let Handover { bundle, copies, hops, route, routed } = handover;
        let (now, name) = (self.now, bundle.id);
        let Some(link) = self.links.get_mut(&id) else { return };
        link.contact.offered.insert(name);
        let within = match (self.config.limits, &mut link.bundles) {
            (Some(limits), Some(bucket)) => bucket.take(limits.bundles, now),
            _ => true,
        };
        if let Some(ack) = self.acks.get(&name).copied() {
            // It has arrived already.
            link.say(Urgency::Now, &Item::Acks(vec![ack]));
            self.reply(id, name, true);
            return;
        }
        let ends = bundle.expires();
        if !within || !self.carries() || ends <= now || ends > now + MAX_LIFETIME_MS + SLACK_MS {
            self.counters.limited += u64::from(!within);
            self.reply(id, name, false);
            return;
        }
        self.trail(name, peer, routed);
        if bundle.recipient == self.me {
            self.arrived(id, &bundle);
            self.reply(id, name, true);
            return;
        }
        let here = self.store.get(&name).is_some();
        if here || (self.done.contains_key(&name) && !routed) || bundle.sender == self.me || copies == 0 {
            // Along a known way it may come again, since somebody had to try another one.
            self.reply(id, name, here && routed);
            return;
        }
        let mut held = self.held(bundle, copies, hops, false);
        (held.passing, held.route) = (routed, route);
        match self.store.insert(held) {
            Inserted::No => {
                self.reply(id, name, false);
                return;
            }
            Inserted::InsteadOf(old) => {
                self.counters.evicted += 1;
                self.persist(Change::remove(Key::Bundle(old)));
            }
            Inserted::Yes => {}
        }
        self.save(name);
        self.reply(id, name, true);
        self.dispatch(name);
    }

    fn reply(&mut self, id: LinkId, bundle: MessageId, took: bool) {
        self.counters.refused += u64::from(!took);
        let item = if took { Item::Took(bundle) } else { Item::Refuse(bundle) };
        if let Some(link) = self.links.get_mut(&id) {
            link.say(Urgency::Now, &item);
            self.dirty.push(id);
        }
    }

    /// A bundle for this node has come. A packet is delivered once, whatever bundles it came in.
    fn arrived(&mut self, link: LinkId, bundle: &Bundle) {
        let name = bundle.packet_id;
        if let Some(done) = self.done.get_mut(&bundle.id) {
            // What the caller was given before a restart, and has not acknowledged, it is given again.
            if !std::mem::replace(&mut done.told, true) && done.delivered.is_some() {
                self.deliver(link, name, bundle.sender, bundle.packet.clone(), true);
            }
            return;
        }
        let before = self.done.values().any(|d| d.delivered.is_some_and(|(packet, _)| packet == name));
        let done = Done { until: bundle.expires(), delivered: Some((name, bundle.ack)), told: true };
        self.mark_done(bundle.id, done);
        if !before {
            self.deliver(link, name, bundle.sender, bundle.packet.clone(), true);
        }
    }

    /// A neighbour has taken custody.
    pub(super) fn took(&mut self, id: LinkId, peer: PeerId, bundle: MessageId) {
        let Some(held) = self.store.get_mut(&bundle) else { return };
        let Some(at) = held.flying.iter().position(|(l, _)| *l == id) else { return };
        let (_, copies) = held.flying.swap_remove(at);
        held.given += 1;
        let (own, given, arrived) = (held.own, held.given, held.bundle.recipient == peer);
        let keeps = match self.config.carry {
            _ if own => true,
            // The receiver has it on its disk.
            _ if arrived => false,
            CarryRule::Epidemic | CarryRule::Prophet => true,
            _ => !held.passing && held.copies > copies,
        };
        if matches!(self.config.carry, CarryRule::Spray { .. } | CarryRule::Native(_)) && !arrived {
            held.copies = held.copies.saturating_sub(copies).max(1);
        }
        if own {
            self.out.push_back(Output::Carried { id: bundle, by: given });
        }
        let finished = own && arrived && !self.config.acks;
        if keeps && !finished {
            self.save(bundle);
        } else {
            if finished {
                self.out.push_back(Output::Acknowledged { id: bundle });
            }
            self.drop_bundle(bundle);
        }
        self.offer(id);
    }

    /// A bundle did not get over a link: refused, or the link is too bad.
    pub(super) fn lost(&mut self, id: LinkId, bundle: MessageId) {
        if let Some(held) = self.store.get_mut(&bundle) {
            held.flying.retain(|(l, _)| *l != id);
        }
        self.offer(id);
    }

    /// A link is gone: what was on its way over it is still here. Whether the other end has got it is not known, so the
    /// copies are not counted as given.
    pub(super) fn landed(&mut self, id: LinkId) {
        let flies = |h: &Held| h.flying.iter().any(|(l, _)| *l == id);
        let stranded: Vec<MessageId> = self.store.iter().filter(|(_, h)| flies(h)).map(|(b, _)| *b).collect();
        for bundle in &stranded {
            if let Some(held) = self.store.get_mut(bundle) {
                held.flying.retain(|(l, _)| *l != id);
                held.routed_until = None;
            }
        }
        for bundle in stranded {
            self.try_route(bundle, None);
        }
    }

    /// Removes a bundle, and remembers its name.
    fn drop_bundle(&mut self, id: MessageId) {
        if let Some(held) = self.store.remove(&id) {
            self.mark_done(id, Done { until: held.bundle.expires(), delivered: None, told: true });
            self.persist(Change::remove(Key::Bundle(id)));
        }
    }

    fn mark_done(&mut self, id: MessageId, done: Done) {
        while self.done.len() >= MAX_DONE {
            let Some(first) = self.done.iter().min_by_key(|(_, d)| d.until).map(|(id, _)| *id) else { break };
            self.done.remove(&first);
            self.persist(Change::remove(Key::Done(first)));
        }
        let content = Content::Done { until: done.until, delivered: done.delivered };
        self.done.insert(id, done);
        self.persist(Change::put(Key::Done(id), content));
    }

    /// Writes a bundle's state to disk.
    pub(super) fn save(&mut self, id: MessageId) {
        let Some(held) = self.store.get(&id) else { return };
        let content = Content::Bundle {
            packet: held.bundle.packet.to_vec(),
            ack: held.bundle.ack,
            expires_s: held.bundle.expires_s,
            copies: held.copies,
            hops: held.hops,
            own: held.own,
            given: held.given,
        };
        self.persist(Change::put(Key::Bundle(id), content));
    }

    fn trail(&mut self, bundle: MessageId, from: PeerId, routed: bool) {
        if self.trails.len() >= MAX_TRAILS
            && let Some(old) = self.trails.iter().min_by_key(|(_, t)| t.until).map(|(id, _)| *id)
        {
            self.trails.remove(&old);
        }
        let trail = Trail { until: self.now + TRAIL_MS, from, routed };
        // What comes by a second way is acknowledged by all ways.
        self.trails.entry(bundle).and_modify(|t| t.routed &= t.from == from).or_insert(trail);
    }

    /// A neighbour tells that a message has arrived.
    pub(super) fn told_ack(&mut self, id: LinkId, ack: Ack) {
        let (now, limits) = (self.now, self.config.limits);
        let bundle = ack.bundle();
        if let Some(link) = self.links.get_mut(&id) {
            link.contact.told_ack(&bundle);
            if let (Some(limits), Some(bucket)) = (limits, &mut link.ack_rate)
                && self.store.get(&bundle).is_none()
                && !bucket.take(limits.acks, now)
            {
                self.counters.limited += 1;
                return;
            }
        }
        if self.config.acks {
            self.learn_ack(ack);
        }
    }

    /// A message has arrived: nobody needs to carry it any longer.
    fn learn_ack(&mut self, ack: Ack) {
        let (now, id) = (self.now, ack.bundle());
        let outside = ack.expires() <= now || ack.expires() > now + MAX_LIFETIME_MS + SLACK_MS;
        if outside || self.acks.contains_key(&id) {
            return;
        }
        if self.config.acks {
            while self.acks.len() >= MAX_ACKS {
                let Some(old) = self.ack_order.pop_front() else { break };
                self.acks.remove(&old);
                self.persist(Change::remove(Key::Ack(old)));
            }
            self.acks.insert(id, ack);
            self.ack_order.push_back(id);
            self.persist(Change::put(Key::Ack(id), Content::Ack(ack)));
        }
        let held = self.store.get(&id);
        let (own, sprayed) = held.map_or((false, false), |h| (h.own, h.sprayed));
        if own {
            self.out.push_back(Output::Acknowledged { id });
        }
        self.drop_bundle(id);
        if !self.config.acks {
            return;
        }
        let trail = self.trails.get(&id);
        let back = trail.and_then(|t| self.link_to(t.from));
        // What went along a known way only is acknowledged along that way only.
        let narrow = !sprayed && (own || (back.is_some() && trail.is_some_and(|t| t.routed)));
        let links: Vec<LinkId> = self.links.values().filter(|l| l.native).map(|l| l.id).collect();
        for link in links {
            let Some(l) = self.links.get_mut(&link) else { continue };
            if l.contact.knows(&id) || (narrow && Some(link) != back) {
                continue;
            }
            l.contact.told_ack(&id);
            if Some(link) == back {
                l.say(Urgency::Now, &Item::Acks(vec![ack]));
            } else if l.acks.len() < MAX_ACKS {
                l.acks.push(id);
                l.acks_due.get_or_insert(now + ACKS_DELAY_MS);
            }
            self.dirty.push(link);
        }
    }

    /// The gathered acknowledgements of a link go.
    pub(super) fn acks_due(&mut self, id: LinkId) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id).filter(|l| l.acks_due.is_some_and(|due| due <= now)) else {
            return;
        };
        link.acks_due = None;
        let acks: Vec<Ack> =
            std::mem::take(&mut link.acks).iter().filter_map(|id| self.acks.get(id)).copied().collect();
        for chunk in acks.chunks(ACKS_EACH) {
            link.say(Urgency::Bulk, &Item::Acks(chunk.to_vec()));
        }
    }

    /// A neighbour has told which acknowledgements it knows: it gets those that it lacks, the newest first.
    pub(super) fn tell_acks(&mut self, id: LinkId, part: &Part) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let lacks = |bundle: &&MessageId| part.has(bundle) && !part.filter.contains(bundle);
        let names: Vec<MessageId> =
            self.ack_order.iter().rev().filter(lacks).take(ACKS_TOLD).copied().collect();
        names.iter().for_each(|name| link.contact.told_ack(name));
        let acks: Vec<Ack> = names.iter().filter_map(|name| self.acks.get(name)).copied().collect();
        for chunk in acks.chunks(ACKS_EACH) {
            link.say(Urgency::Bulk, &Item::Acks(chunk.to_vec()));
        }
        self.dirty.push(id);
    }

    /// Drops what has expired.
    pub(super) fn forget_bundles(&mut self) {
        let now = self.now;
        for id in self.store.expired(now) {
            if self.store.get(&id).is_some_and(|h| h.own) {
                self.out.push_back(Output::Expired { id });
            }
            self.store.remove(&id);
            self.persist(Change::remove(Key::Bundle(id)));
        }
        let over: Vec<MessageId> =
            self.done.iter().filter(|(_, d)| d.until <= now).map(|(id, _)| *id).collect();
        for id in over {
            self.done.remove(&id);
            self.persist(Change::remove(Key::Done(id)));
        }
        let over: Vec<MessageId> =
            self.acks.iter().filter(|(_, a)| a.expires() <= now).map(|(id, _)| *id).collect();
        for id in over {
            self.acks.remove(&id);
            self.persist(Change::remove(Key::Ack(id)));
        }
        self.ack_order.retain(|id| self.acks.contains_key(id));
    }

    /// From now on other ways are tried only if no acknowledgement comes in time.
    pub(super) fn be_patient(&mut self, id: MessageId, hops: u8) {
        let CarryRule::Native(rule) = self.config.carry else { return };
        let now = self.now;
        let Some(held) = self.store.get_mut(&id) else { return };
        let until = now + rule.patience_ms + Millis::from(hops) * rule.patience_ms / 4;
        held.routed_until = Some(until);
        held.tries = held.tries.saturating_add(1);
        self.at(until, Timer::Patience(id));
    }
}
