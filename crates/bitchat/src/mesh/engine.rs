//! The state machine: its parts, its clock, and the way in and out.

mod announce;
mod carry;
mod contact;
mod public;
mod relay;
mod restart;
mod route;

use crate::PeerId;
use crate::mesh::bundle::Ack;
use crate::mesh::config::{Config, RelayRule};
use crate::mesh::counters::Counters;
use crate::mesh::history::History;
use crate::mesh::keys::Keys;
use crate::mesh::link::{Class, Link, LinkRole, Sending};
use crate::mesh::outbox::{Outbox, Wish};
use crate::mesh::peers::Peers;
use crate::mesh::prophet::Prophet;
use crate::mesh::record::{Change, Content, Key};
use crate::mesh::seen::Seen;
use crate::mesh::store::Store;
use crate::mesh::types::{Delivered, Frame, LinkId, MessageId, Millis, Output, SendError};
use crate::mesh::view::{self, View};
use carry::Done;
use public::Asked;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use relay::Flow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

/// Links at once.
const MAX_LINKS: u32 = 64;
/// The longest packet that is taken.
const MAX_PACKET: usize = 1_200_000;
/// Names of packets that are remembered, and for how long: longer than a packet's time may differ from ours.
const MAX_SEEN: usize = 16_384;
const SEEN_MS: Millis = 300_000;
const UPKEEP_MS: Millis = 10_000;
const SAVE_PROPHET_MS: Millis = 60_000;

/// One node of the mesh.
pub struct Engine<K> {
    config: Config,
    me: PeerId,
    keys: K,
    rng: ChaCha8Rng,
    now: Millis,
    links: BTreeMap<LinkId, Link>,
    bits: u64,
    peers: Peers,
    seen: Seen,
    flows: BTreeMap<MessageId, Flow>,
    history: History,
    /// Public packets whose sender is not known yet.
    nameless: VecDeque<public::Nameless>,
    asked: BTreeMap<MessageId, Asked>,
    store: Store,
    done: BTreeMap<MessageId, Done>,
    acks: BTreeMap<MessageId, Ack>,
    ack_order: VecDeque<MessageId>,
    trails: BTreeMap<MessageId, carry::Trail>,
    prophet: Prophet,
    prophet_saved: Millis,
    outbox: Outbox,
    spool: VecDeque<relay::Spooled>,
    announce: Option<(Millis, Arc<[u8]>)>,
    announces: Option<crate::mesh::bucket::Bucket>,
    /// Peers that were there at the last upkeep.
    crowd: usize,
    timers: BinaryHeap<Reverse<(Millis, u64, Timer)>>,
    timer_count: u64,
    dirty: Vec<LinkId>,
    out: VecDeque<Output>,
    counters: Counters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A packet's back-off is over.
    Relay(MessageId),
    /// Something of a link is due.
    Link(LinkId),
    Announce,
    Upkeep,
    Compare,
    /// A message has taken too long on a known way.
    Patience(MessageId),
    /// A packet that was asked for has not come.
    Asked(MessageId),
    /// A neighbour may have something that did not come when it was asked for.
    Ask,
    /// Who sent a packet is not known yet.
    Name(MessageId),
}

/// Somebody on the mesh, for the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearby {
    /// Who.
    pub peer: PeerId,
    /// One for a neighbour.
    pub hops: u8,
    /// Signal strength of a neighbour, dBm.
    pub rssi: Option<i8>,
    /// The last announce came then.
    pub heard: Millis,
    /// One of our own nodes.
    pub native: bool,
}

impl<K: Keys> Engine<K> {
    /// A node that knows nobody yet. `seed` decides all chance; take it from the system's random numbers.
    pub fn new(config: Config, me: PeerId, keys: K, seed: [u8; 32], now: Millis) -> Self {
        let limits = config.limits;
        let mut engine = Self {
            me,
            keys,
            rng: ChaCha8Rng::from_seed(seed),
            now,
            links: BTreeMap::new(),
            bits: 0,
            peers: Peers::default(),
            seen: Seen::new(MAX_SEEN, SEEN_MS),
            flows: BTreeMap::new(),
            history: History::new(config.max_history, config.history_ms),
            nameless: VecDeque::new(),
            asked: BTreeMap::new(),
            store: Store::new(config.max_carried, config.max_own),
            done: BTreeMap::new(),
            acks: BTreeMap::new(),
            ack_order: VecDeque::new(),
            trails: BTreeMap::new(),
            prophet: Prophet::new(now),
            prophet_saved: now,
            outbox: Outbox::default(),
            spool: VecDeque::new(),
            announce: None,
            crowd: 0,
            announces: limits.map(|l| crate::mesh::bucket::Bucket::full(l.announces, now)),
            timers: BinaryHeap::new(),
            timer_count: 0,
            dirty: Vec::new(),
            out: VecDeque::new(),
            counters: Counters::default(),
            config,
        };
        let first = engine.below(engine.config.announce_ms[0].max(1));
        engine.at(now + first, Timer::Announce);
        let first = engine.below(UPKEEP_MS);
        engine.at(now + first, Timer::Upkeep);
        if let RelayRule::Native(rule) = engine.config.relay
            && engine.config.sync
        {
            let first = engine.below(rule.compare_ms.max(1));
            engine.at(now + first, Timer::Compare);
        }
        engine
    }

    /// Who this node is.
    pub fn me(&self) -> PeerId {
        self.me
    }

    /// What it has done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The next thing that the driver has to do. Call it until there is nothing left, after every other call.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`tick`](Self::tick) has something to do at the latest.
    pub fn wake(&self) -> Option<Millis> {
        self.timers.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Time has passed. A clock that was set back stands still here until it has caught up.
    pub fn tick(&mut self, now: Millis) {
        self.begin(now);
        self.finish();
    }

    /// A link has come up, with a number that was not used before.
    pub fn link_up(&mut self, now: Millis, id: LinkId, role: LinkRole, rssi: i8) {
        self.begin(now);
        let free = (!self.bits).trailing_zeros();
        if free < MAX_LINKS && !self.links.contains_key(&id) {
            let bit = 1 << free;
            self.bits |= bit;
            let now = self.now;
            self.links.insert(id, Link::new(id, bit, role, rssi, now, self.config.limits.as_ref()));
            self.announce_on(id);
        }
        self.finish();
    }

    /// A link is gone.
    pub fn link_down(&mut self, now: Millis, id: LinkId) {
        self.begin(now);
        if let Some(link) = self.links.remove(&id) {
            self.bits &= !link.bit;
            self.flows.values_mut().for_each(|f| f.forget(link.bit));
            self.landed(id);
        }
        self.finish();
    }

    /// A link's signal strength has changed.
    pub fn signal(&mut self, id: LinkId, rssi: i8) {
        if let Some(link) = self.links.get_mut(&id) {
            link.rssi = rssi;
        }
    }

    /// A packet came in: the bytes of one packet as they came, possibly padded.
    pub fn receive(&mut self, now: Millis, link: LinkId, packet: &Arc<[u8]>) {
        self.begin(now);
        if self.links.contains_key(&link) {
            self.packet(link, packet);
        }
        self.finish();
    }

    /// Words of a neighbour came in, out of the Noise session with `peer`.
    pub fn receive_control(&mut self, now: Millis, link: LinkId, peer: PeerId, bytes: &[u8]) {
        self.begin(now);
        if self.links.contains_key(&link) {
            self.control(link, peer, bytes);
        }
        self.finish();
    }

    /// The link can take the next frame.
    pub fn link_ready(&mut self, now: Millis, id: LinkId) {
        self.begin(now);
        if let Some(link) = self.links.get_mut(&id) {
            link.busy = false;
            self.dirty.push(id);
        }
        self.finish();
    }

    /// The TTL that an own packet should begin with: more than seven where the network reaches further than that.
    pub fn ttl(&self) -> u8 {
        match self.config.relay {
            RelayRule::Native(rule) if self.peers.furthest(self.now.saturating_sub(120_000)) >= 6 => {
                rule.far_ttl.max(view::TTL)
            }
            _ => view::TTL,
        }
    }

    /// Sends an own packet at once, to everybody or to one receiver, and forgets it.
    ///
    /// # Errors
    ///
    /// When it is no packet, or not this node's.
    pub fn publish(&mut self, now: Millis, packet: Vec<u8>) -> Result<MessageId, SendError> {
        self.begin(now);
        let view = View::parse(&packet).ok_or(SendError::Malformed)?;
        if view.sender != self.me {
            return Err(SendError::NotMine);
        }
        let id = view.id();
        self.seen.insert(self.now, id);
        let packet: Arc<[u8]> = packet.into();
        if let Some(view) = View::parse(&packet)
            && self.keeps(&view)
            && self.config.sync
        {
            self.keep(&view, id, &packet);
        }
        self.start(id, &packet, None);
        self.finish();
        Ok(id)
    }

    /// Puts a message for a phone into the outbox. The caller keeps its text and seals it each time that
    /// [`Output::SendAgain`] asks for it, at first now if the receiver is there.
    ///
    /// # Errors
    ///
    /// When too many wait already.
    pub fn wait_for(
        &mut self,
        now: Millis,
        id: u64,
        to: PeerId,
        lifetime_ms: Millis,
    ) -> Result<(), SendError> {
        self.begin(now);
        let expires = self.now + lifetime_ms.min(crate::mesh::bundle::MAX_LIFETIME_MS);
        if !self.outbox.insert(self.now, id, to, expires, 0) {
            return Err(SendError::Full(self.outbox.len()));
        }
        self.persist(Change::put(Key::Outbox(id), Content::Outbox { to, expires, tries: 0 }));
        self.serve_outbox();
        self.finish();
        Ok(())
    }

    /// The receiver has acknowledged a message of the outbox, or the caller gives it up.
    pub fn settled(&mut self, now: Millis, id: u64) {
        self.begin(now);
        if self.outbox.remove(id) {
            self.persist(Change::remove(Key::Outbox(id)));
        }
        self.finish();
    }

    /// Who is there: everybody who was heard of within a while, neighbours first.
    pub fn nearby(&self, now: Millis, within_ms: Millis) -> Vec<Nearby> {
        let since = now.saturating_sub(within_ms);
        let mut all = self.peers.since(since);
        for link in self.links.values() {
            if let Some(one) = all.iter_mut().find(|n| Some(n.peer) == link.peer) {
                (one.hops, one.rssi) = (1, Some(link.rssi));
            }
        }
        all.sort_by_key(|n| (n.hops, std::cmp::Reverse(n.rssi), n.peer));
        all
    }

    /// How much it holds: links, peers, names of packets, public packets, bundles, own bundles among them.
    pub fn sizes(&self) -> [usize; 6] {
        let (links, peers, seen) = (self.links.len(), self.peers.len(), self.seen.len());
        [links, peers, seen, self.history.len(), self.store.len(), self.store.own()]
    }

    fn begin(&mut self, now: Millis) {
        self.now = self.now.max(now);
        while let Some(Reverse((at, _, timer))) = self.timers.peek().copied()
            && at <= self.now
        {
            self.timers.pop();
            self.fire(timer, at);
        }
    }

    fn fire(&mut self, timer: Timer, at: Millis) {
        match timer {
            Timer::Relay(id) => self.back_off_over(id),
            Timer::Link(id) => {
                if let Some(link) = self.links.get_mut(&id)
                    && link.timer.is_some_and(|t| t <= at)
                {
                    link.timer = None;
                    self.link_due(id);
                }
            }
            Timer::Announce => self.announce_due(),
            Timer::Upkeep => self.upkeep(),
            Timer::Compare => self.compare_due(),
            Timer::Patience(id) => self.patience_over(id),
            Timer::Asked(id) => self.asked_due(id),
            Timer::Ask => self.ask_next(),
            Timer::Name(id) => self.name_due(id),
        }
    }

    fn finish(&mut self) {
        while let Some(id) = self.dirty.pop() {
            self.pump(id);
        }
    }

    /// Gives a link what it can take.
    fn pump(&mut self, id: LinkId) {
        let now = self.now;
        loop {
            let Some(link) = self.links.get_mut(&id) else { return };
            if link.busy {
                break;
            }
            let next = link.next(now).or_else(|| self.answer(id));
            let Some(link) = self.links.get_mut(&id) else { return };
            let Some(sending) = next else { break };
            link.busy = true;
            self.count(&sending);
            self.out.push_back(Output::Transmit { link: id, frame: sending.frame });
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        if let Some(wake) = link.wake()
            && link.timer.is_none_or(|t| t > wake)
        {
            // While the link is busy, what is due cannot go anyway; it is looked at again when the link is ready.
            let wake = wake.max(now + 1);
            link.timer = Some(wake);
            self.at(wake, Timer::Link(id));
        }
    }

    fn count(&mut self, sending: &Sending) {
        let c = &mut self.counters;
        match &sending.frame {
            Frame::Control(bytes) => {
                c.control_sent += 1;
                c.control_bytes += bytes.len() as u64;
                c.bundles_sent += sending.bundles as u64;
                c.acks_sent += u64::from(sending.acks);
                c.bare_sent += u64::from(!sending.items);
            }
            Frame::Packet(bytes) => match View::parse(bytes) {
                Some(v) if v.kind == view::kind::ANNOUNCE => c.announces_sent += 1,
                Some(v) if v.recipient.is_some() => c.directed_sent += 1,
                _ => c.public_sent += 1,
            },
        }
    }

    /// What of a link is due.
    fn link_due(&mut self, id: LinkId) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        let lost = link.arq.tick(now);
        if link.offers_due.is_some_and(|due| due <= now) {
            link.offers_due = None;
            self.offer_names(id);
        }
        self.acks_due(id);
        for bundle in lost {
            self.lost(id, bundle);
        }
        self.dirty.push(id);
    }

    fn upkeep(&mut self) {
        let now = self.now;
        self.flows.retain(|_, f| f.until > now || !f.fired);
        self.spool.retain(|s| s.until > now);
        self.nameless.retain(|n| n.until > now);
        self.trails.retain(|_, t| t.until > now);
        for id in self.history.forget(now) {
            self.persist(Change::remove(Key::Public(id)));
        }
        self.forget_bundles();
        self.serve_outbox();
        self.crowd = self.peers.present(now.saturating_sub(120_000));
        if now.saturating_sub(self.prophet_saved) >= SAVE_PROPHET_MS && self.prophet.len() > 0 {
            self.prophet_saved = now;
            self.prophet.age(now, &self.config.prophet);
            self.persist(Change::put(Key::Prophet, Content::Prophet(self.prophet.clone())));
        }
        self.at(now + UPKEEP_MS, Timer::Upkeep);
    }

    fn serve_outbox(&mut self) {
        let since = self.now.saturating_sub(60_000);
        let (peers, links) = (&self.peers, &self.links);
        let there = |peer: &PeerId| {
            let known = peers.get(peer).filter(|p| p.heard >= since);
            known.and_then(|p| p.via).is_some_and(|via| links.contains_key(&via))
        };
        for wish in self.outbox.due(self.now, there) {
            match wish {
                Wish::Send(id, to) => {
                    if let Some(w) = self.outbox.get(id) {
                        let content = Content::Outbox { to, expires: w.expires, tries: w.tries };
                        self.persist(Change::put(Key::Outbox(id), content));
                    }
                    self.out.push_back(Output::SendAgain { id, to });
                }
                Wish::GiveUp(id) => {
                    self.persist(Change::remove(Key::Outbox(id)));
                    self.out.push_back(Output::GivenUp { id });
                }
            }
        }
    }

    fn deliver(&mut self, link: LinkId, id: MessageId, sender: PeerId, packet: Arc<[u8]>, late: bool) {
        self.counters.delivered += 1;
        self.out.push_back(Output::Deliver(Delivered { id, packet, sender, link, late }));
    }

    fn persist(&mut self, change: Change) {
        self.out.push_back(Output::Persist(change));
    }

    fn at(&mut self, at: Millis, timer: Timer) {
        self.timer_count += 1;
        self.timers.push(Reverse((at, self.timer_count, timer)));
    }

    /// A random number below another one.
    fn below(&mut self, n: u64) -> u64 {
        use rand_chacha::rand_core::Rng;
        self.rng.next_u64() % n.max(1)
    }

    /// A random number within a range of milliseconds.
    fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from) + 1)
    }

    /// Queues a packet on a link.
    fn queue(&mut self, id: LinkId, class: Class, packet: Arc<[u8]>, message: MessageId) {
        let most = self.config.max_queued;
        if let Some(link) = self.links.get_mut(&id) {
            link.push(class, packet, message, most);
            self.dirty.push(id);
        }
    }

    /// The link to a neighbour.
    fn link_to(&self, peer: PeerId) -> Option<LinkId> {
        self.links.values().find(|l| l.peer == Some(peer)).map(|l| l.id)
    }
}
