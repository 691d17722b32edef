//! Packets to everybody: checks, history, and how what was missed is fetched.

use super::relay::Flow;
use super::{Engine, Timer};
use crate::PeerId;
use crate::mesh::arq::Urgency;
use crate::mesh::config::RelayRule;
use crate::mesh::control::{Item, MAX_PARTS, Part};
use crate::mesh::keys::Keys;
use crate::mesh::link::{Class, Sending};
use crate::mesh::peers::CLASSES;
use crate::mesh::record::{Change, Content, Key};
use crate::mesh::types::{Frame, LinkId, MessageId, Millis};
use crate::mesh::view::{View, as_answer, kind, with_ttl};
use std::sync::Arc;

/// Packets whose sender is asked for.
const MAX_NAMELESS: usize = 64;
const NAMELESS_MS: Millis = 10_000;
/// The neighbour is asked again after this: its answer may have been lost.
const NAME_AGAIN_MS: Millis = 1500;
/// Packets that were asked for by name.
const MAX_ASKED: usize = 1024;
const ASKED_MS: Millis = 600;
const ASKED_TRIES: u8 = 4;
/// Names in one offer, so that it fits one frame.
const OFFERED: usize = 24;
/// Neighbours that are told in one round what this node has.
const COMPARED: usize = 2;
/// Packets younger than this are still on their way, and no reason to compare.
const SETTLED_MS: Millis = 3000;
/// What comes late is counted over so long before and after it.
const LATE_MS: Millis = 10_000;
/// The first wait before a neighbour that still has something else is asked again: what it sent may have been lost.
const ASK_AGAIN_MS: Millis = 2000;
/// The wait doubles so many times at most: what this node does not take is not asked for all the time.
const ASK_AGAIN_TIMES: u8 = 9;
/// A neighbour that does not answer for so long is asked no longer.
const ANSWER_MS: Millis = 10_000;
/// Answers are taken for so long after the last one.
const ANSWERS_MS: Millis = 30_000;
/// What one neighbour may have asked for at once.
const MAX_ANSWERS: usize = 4096;
/// The longest public packet that is kept for others.
const MAX_KEPT: usize = 64 * 1024;

/// A packet whose sender has not announced themselves here.
#[derive(Debug)]
pub(super) struct Nameless {
    pub(super) until: Millis,
    sender: PeerId,
    link: LinkId,
    id: MessageId,
    packet: Arc<[u8]>,
    late: bool,
}

/// A packet that was asked for by its name.
#[derive(Debug)]
pub(super) struct Asked {
    others: Vec<LinkId>,
    tries: u8,
}

impl<K: Keys> Engine<K> {
    /// Public packets that are kept for those who missed them.
    pub(super) fn keeps(&self, view: &View<'_>) -> bool {
        view.recipient.is_none()
            && matches!(view.kind, kind::MESSAGE | kind::GROUP | kind::BOARD)
            && view.payload.len() <= MAX_KEPT
    }

    /// A packet to everybody that is new here. `late`: an answer, which may be old and is not flooded.
    pub(super) fn public(
        &mut self,
        link: LinkId,
        view: &View<'_>,
        id: MessageId,
        packet: &Arc<[u8]>,
        late: bool,
    ) {
        let now = self.now;
        self.asked.remove(&id);
        if matches!(view.kind, kind::MESSAGE | kind::LEAVE | kind::FILE | kind::VOICE) {
            let Some(key) = self.peers.get(&view.sender).map(|p| p.key) else {
                self.name(link, view.sender, id, packet, late);
                return;
            };
            if !view.signed || !self.keys.check(packet, &key) {
                self.counters.forged += 1;
                return;
            }
        }
        let allowed = if late { self.admit_late(view) } else { self.admit(link, view) };
        if !allowed {
            self.seen.insert(now, id);
            return;
        }
        let keeps = self.keeps(view) && self.config.sync;
        if keeps && !self.keep(view, id, packet) {
            self.counters.duplicates += 1;
            return;
        }
        self.seen.insert(now, id);
        self.deliver(link, id, view.sender, packet.clone(), late);
        if !late {
            self.start(id, packet, Some(link));
        } else if keeps {
            self.offer_late(link, id, packet);
        }
    }

    /// Keeps a public packet for those who miss it. False: it is not wanted.
    pub(super) fn keep(&mut self, view: &View<'_>, id: MessageId, packet: &Arc<[u8]>) -> bool {
        let gone = self.history.insert(self.now, id, view.sender, view.timestamp, packet.clone());
        let Some(gone) = gone else { return false };
        self.persist(Change::put(Key::Public(id), Content::Public { packet: packet.to_vec() }));
        for old in gone {
            self.persist(Change::remove(Key::Public(old)));
        }
        true
    }

    /// Within the sender's budget.
    pub(super) fn admit(&mut self, link: LinkId, view: &View<'_>) -> bool {
        let (now, Some(limits)) = (self.now, self.config.limits) else { return true };
        let known = self.peers.get(&view.sender).is_some();
        let rates: [_; CLASSES] =
            [limits.message, limits.fragment, limits.voice, limits.announce, limits.directed, limits.other];
        let class = match view.kind {
            kind::MESSAGE | kind::GROUP => 0,
            kind::FRAGMENT => 1,
            kind::VOICE => 2,
            kind::ANNOUNCE => 3,
            _ if view.recipient.is_some() => 4,
            _ => 5,
        };
        // Public messages are counted by their own time: so all nodes let the same ones pass, and one that floods cannot
        // have each neighbour pass on others.
        let clock = if class == 0 { view.timestamp } else { now };
        let allowed = match known {
            true => self.peers.take(clock, &view.sender, class, rates[class]),
            // New senders have a limit of their own.
            false if view.kind == kind::ANNOUNCE => true,
            false => {
                let bucket = self.links.get_mut(&link).and_then(|l| l.strangers.as_mut());
                bucket.is_none_or(|b| b.take(limits.strangers, now))
            }
        };
        self.counters.limited += u64::from(!allowed);
        allowed
    }

    /// The same for what comes late and in any order: no more of a sender in any stretch of time than would have been let
    /// pass then.
    fn admit_late(&mut self, view: &View<'_>) -> bool {
        let Some(limits) = self.config.limits else { return true };
        let most = limits.message.burst + limits.message.per_s * 2.0 * LATE_MS as f32 / 1000.0;
        let (from, to) = (view.timestamp.saturating_sub(LATE_MS), view.timestamp.saturating_add(LATE_MS));
        let allowed = (self.history.count(&view.sender, from, to) as f32) < most;
        self.counters.limited += u64::from(!allowed);
        allowed
    }

    /// A packet of somebody unknown waits a little while the neighbour is asked who that is.
    fn name(&mut self, link: LinkId, sender: PeerId, id: MessageId, packet: &Arc<[u8]>, late: bool) {
        self.counters.unknown += 1;
        let (now, limits) = (self.now, self.config.limits);
        let Some(l) = self.links.get_mut(&link).filter(|l| l.native) else { return };
        let allowed = match (limits, &mut l.strangers) {
            (Some(limits), Some(bucket)) => bucket.take(limits.strangers, now),
            _ => true,
        };
        if !allowed || self.nameless.iter().any(|n| n.id == id) {
            return;
        }
        l.say(Urgency::Now, &Item::WhoIs(sender));
        self.dirty.push(link);
        self.at(now + NAME_AGAIN_MS, Timer::Name(id));
        if self.nameless.len() >= MAX_NAMELESS {
            self.nameless.pop_front();
        }
        let until = now + NAMELESS_MS;
        self.nameless.push_back(Nameless { until, sender, link, id, packet: packet.clone(), late });
    }

    /// Who sent a packet is still not known here.
    pub(super) fn name_due(&mut self, id: MessageId) {
        let Some(n) = self.nameless.iter().find(|n| n.id == id && n.until > self.now) else { return };
        let (link, sender) = (n.link, n.sender);
        if let Some(l) = self.links.get_mut(&link) {
            l.say(Urgency::Now, &Item::WhoIs(sender));
            self.dirty.push(link);
            self.at(self.now + NAME_AGAIN_MS, Timer::Name(id));
        }
    }

    /// Somebody is known now: their packets are looked at again.
    pub(super) fn release_nameless(&mut self, sender: &PeerId) {
        if !self.nameless.iter().any(|n| n.sender == *sender) {
            return;
        }
        for n in std::mem::take(&mut self.nameless) {
            if n.sender != *sender {
                self.nameless.push_back(n);
            } else if let Some(view) = View::parse(&n.packet)
                && !self.seen.contains(self.now, &n.id)
            {
                self.public(n.link, &view, n.id, &n.packet, n.late);
            }
        }
    }

    /// A neighbour asks for somebody's announce.
    pub(super) fn who_is(&mut self, link: LinkId, peer: PeerId) {
        let known = if peer == self.me {
            self.announce.as_ref().map(|(_, a)| a.clone())
        } else {
            self.peers.get(&peer).map(|p| p.announce.clone())
        };
        if let Some(announce) = known {
            self.queue(link, Class::Direct, as_answer(&announce), MessageId([0; 16]));
        }
    }

    /// A packet came as the answer to a request.
    pub(super) fn answered(&mut self, link: LinkId, view: &View<'_>, id: MessageId, packet: &Arc<[u8]>) {
        let now = self.now;
        let Some(l) = self.links.get_mut(&link) else { return };
        let invited = l.answers_until > now;
        if view.kind == kind::ANNOUNCE {
            if self.nameless.iter().any(|n| n.sender == view.sender) || invited {
                self.hear_announce(link, view, packet, false);
            } else {
                self.counters.unasked += 1;
            }
            return;
        }
        let kept = self.config.sync && self.keeps(view);
        let Some(l) = self.links.get_mut(&link).filter(|_| kept && (invited || self.asked.contains_key(&id)))
        else {
            self.counters.unasked += 1;
            return;
        };
        let future = view.timestamp > now + self.config.max_skew_ms;
        if future || view.timestamp.saturating_add(self.config.history_ms) <= now {
            self.counters.stale += 1;
            return;
        }
        if invited {
            l.answers_until = now + ANSWERS_MS;
            if let Some((_, at)) = &mut l.contact.asked {
                *at = now;
            }
        }
        self.public(link, view, id, packet, true);
    }

    /// What was fetched late is offered to the other neighbours.
    fn offer_late(&mut self, from: LinkId, id: MessageId, packet: &Arc<[u8]>) {
        let RelayRule::Native(rule) = self.config.relay else { return };
        let known = self.links.get(&from).map_or(0, |l| l.bit);
        let until = self.now + 60_000;
        let flow =
            Flow { packet: packet.clone(), ingress: Some(from), known, heard: 1, ttl: 0, fired: true, until };
        self.flows.insert(id, flow);
        let others: Vec<LinkId> =
            self.links.values().filter(|l| l.native && l.bit & known == 0).map(|l| l.id).collect();
        for link in others {
            self.offer_later(link, id, rule.offer_ms);
        }
    }

    /// The packet's name goes to a neighbour soon, unless the neighbour shows that it has it.
    pub(super) fn offer_later(&mut self, link: LinkId, id: MessageId, after: Millis) {
        let now = self.now;
        if let Some(l) = self.links.get_mut(&link).filter(|l| l.offers.len() < MAX_ANSWERS) {
            l.offers.push(id);
            l.offers_due.get_or_insert(now + after);
            self.dirty.push(link);
        }
    }

    /// The gathered names of a link go.
    pub(super) fn offer_names(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let mut names = std::mem::take(&mut link.offers);
        let bit = link.bit;
        names.retain(|name| self.flows.get(name).is_none_or(|f| f.known & bit == 0));
        for chunk in names.chunks(OFFERED) {
            link.say(Urgency::Now, &Item::Have(chunk.to_vec()));
        }
    }

    /// A neighbour offers packets by their names.
    pub(super) fn offered(&mut self, link: LinkId, names: Vec<MessageId>) {
        if !self.config.sync {
            return;
        }
        let bit = self.links.get(&link).map_or(0, |l| l.bit);
        let mut wanted = Vec::new();
        for id in names {
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.known |= bit;
            }
            if self.seen.contains(self.now, &id) || self.history.contains(&id) {
                continue;
            }
            if let Some(asked) = self.asked.get_mut(&id) {
                if asked.others.len() < 8 {
                    asked.others.push(link);
                }
            } else if self.asked.len() < MAX_ASKED {
                self.asked.insert(id, Asked { others: Vec::new(), tries: 1 });
                self.at(self.now + ASKED_MS, Timer::Asked(id));
                wanted.push(id);
            }
        }
        self.want(link, wanted);
    }

    /// What was asked for has not come: the next neighbour that offered it is asked.
    pub(super) fn asked_due(&mut self, id: MessageId) {
        let Some(asked) = self.asked.get_mut(&id) else { return };
        asked.tries += 1;
        let next = asked.others.pop().filter(|_| asked.tries <= ASKED_TRIES);
        match next {
            Some(link) => {
                self.want(link, vec![id]);
                self.at(self.now + ASKED_MS, Timer::Asked(id));
            }
            None => drop(self.asked.remove(&id)),
        }
    }

    fn want(&mut self, link: LinkId, names: Vec<MessageId>) {
        if let Some(l) = self.links.get_mut(&link).filter(|_| !names.is_empty()) {
            l.say(Urgency::Now, &Item::Want(names));
            self.dirty.push(link);
        }
    }

    /// A neighbour asks for packets by their names.
    pub(super) fn wanted(&mut self, link: LinkId, names: Vec<MessageId>) {
        let bit = self.links.get(&link).map_or(0, |l| l.bit);
        for id in names {
            let packet = match self.flows.get_mut(&id) {
                Some(flow) if flow.ttl > 0 => {
                    flow.known |= bit;
                    Some(with_ttl(&flow.packet, flow.ttl))
                }
                _ => self.history.get(&id).map(|p| as_answer(p)),
            };
            if let Some(packet) = packet {
                self.queue(link, Class::Public, packet, id);
            }
        }
    }

    /// It is time to compare with the neighbours.
    pub(super) fn compare_due(&mut self) {
        let RelayRule::Native(rule) = self.config.relay else { return };
        let next = rule.compare_ms - rule.compare_ms / 4 + self.below(rule.compare_ms / 2 + 1);
        self.at(self.now + next.max(1), Timer::Compare);
        let links: Vec<LinkId> =
            self.links.values().filter(|l| l.native && l.contact.begun).map(|l| l.id).collect();
        let first = self.below(links.len() as u64) as usize;
        for link in links.iter().cycle().skip(first).take(COMPARED.min(links.len())) {
            self.tell_digest(*link);
        }
        self.ask_next();
    }

    pub(super) fn tell_digest(&mut self, id: LinkId) {
        let until_s = (self.now.saturating_sub(SETTLED_MS) / 1000) as u32;
        let (sum, count) = self.history.digest(Millis::from(until_s) * 1000);
        let Some(link) = self.links.get_mut(&id) else { return };
        let state = Some((sum, count));
        if count > 0 && link.contact.told != state && link.contact.heard != state {
            link.contact.told = Some((sum, count));
            link.say(Urgency::Bulk, &Item::Digest { sum, count, until_s });
            self.dirty.push(id);
        }
    }

    /// A neighbour tells what it has, in one number.
    pub(super) fn digest(&mut self, link: LinkId, sum: MessageId, count: u32, until_s: u32) {
        let mine = self.history.digest(Millis::from(until_s) * 1000);
        if let Some(l) = self.links.get_mut(&link) {
            if l.contact.heard != Some((sum, count)) {
                l.contact.ask_again = (0, 0);
            }
            (l.contact.heard, l.contact.heard_until) = (Some((sum, count)), Millis::from(until_s) * 1000);
            l.contact.differs = count > 0 && mine != (sum, count);
        }
        self.ask_next();
    }

    /// Asks one neighbour that has something else than this node; one at a time, so that nothing comes twice.
    pub(super) fn ask_next(&mut self) {
        let now = self.now;
        if !self.config.sync {
            return;
        }
        for l in self.links.values_mut() {
            if l.contact.asked.is_some_and(|(_, at)| now.saturating_sub(at) > ANSWER_MS) {
                l.contact.asked = None;
            }
        }
        if self.links.values().any(|l| l.contact.asked.is_some()) {
            return;
        }
        let Some(id) =
            self.links.values().find(|l| l.contact.differs && l.contact.ask_again.0 <= now).map(|l| l.id)
        else {
            return;
        };
        let most = MAX_PARTS * 200;
        let names: Vec<MessageId> = self.history.newest().take(most).map(|(_, id)| id).collect();
        let salt = self.below(u64::from(u32::MAX)) as u32;
        let since_s = (now.saturating_sub(self.config.history_ms) / 1000) as u32;
        let parts = Part::split(salt, &names);
        let Some(link) = self.links.get_mut(&id) else { return };
        link.contact.asked = Some((parts.len(), now));
        link.answers_until = now + ANSWERS_MS;
        for part in parts {
            link.say(Urgency::Now, &Item::Missing { part, since_s });
        }
        self.dirty.push(id);
    }

    /// A neighbour asks for all that it misses.
    pub(super) fn missing(&mut self, id: LinkId, part: &Part, since_s: u32) {
        let since = Millis::from(since_s) * 1000;
        let lacks =
            |(at, name): &(Millis, MessageId)| *at >= since && part.has(name) && !part.filter.contains(name);
        let mut names: Vec<MessageId> = self.history.newest().filter(lacks).map(|(_, name)| name).collect();
        // The oldest first, as they came.
        names.reverse();
        let Some(link) = self.links.get_mut(&id) else { return };
        names.truncate(MAX_ANSWERS.saturating_sub(link.answers.len()));
        if link.completes.len() >= MAX_PARTS {
            return;
        }
        let count = names.len();
        link.answers.extend(names);
        link.completes.push_back((count, count as u32));
        self.dirty.push(id);
    }

    /// The next packet that a neighbour asked for.
    pub(super) fn answer(&mut self, id: LinkId) -> Option<Sending> {
        let (now, link) = (self.now, self.links.get_mut(&id)?);
        loop {
            if link.completes.front()?.0 == 0 {
                let (_, count) = link.completes.pop_front()?;
                link.say(Urgency::Now, &Item::Complete(count));
                return link.next(now);
            }
            link.completes.front_mut()?.0 -= 1;
            let name = link.answers.pop_front()?;
            let Some(packet) = self.history.get(&name) else { continue };
            let frame = |packet: &[u8]| {
                Some(Sending {
                    frame: Frame::Packet(as_answer(packet)),
                    bundles: 0,
                    acks: false,
                    items: false,
                })
            };
            let sender = View::parse(packet).map(|v| v.sender);
            // Who asks may not know the sender, and then could not check the packet.
            if let Some(sender) = sender.filter(|s| link.introduced.insert(*s))
                && let Some(peer) = self.peers.get(&sender)
            {
                link.answers.push_front(name);
                if let Some(front) = link.completes.front_mut() {
                    front.0 += 1;
                }
                return frame(&peer.announce);
            }
            return frame(packet);
        }
    }

    /// A part of what was missing is complete.
    pub(super) fn complete(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        // Who was not asked has nothing to complete, and no timer is set for it.
        let Some((parts, at)) = link.contact.asked else { return };
        link.contact.asked = (parts > 1).then(|| (parts - 1, at));
        if link.contact.asked.is_none() {
            // Some may have been lost, or not been taken: they are asked for again, ever more rarely.
            let (_, times) = link.contact.ask_again;
            let wait = ASK_AGAIN_MS << times.min(ASK_AGAIN_TIMES);
            link.contact.ask_again = (self.now + wait, times.saturating_add(1));
            let heard = link.contact.heard;
            let (sum, count) = self.history.digest(link.contact.heard_until);
            link.contact.differs = heard != Some((sum, count));
            if link.contact.differs {
                self.at(self.now + wait, Timer::Ask);
            }
            self.ask_next();
        }
    }
}
