//! Engines, joined by links that lose, double, delay and break.

use crate::PeerId;
use crate::mesh::view::{View, kind};
use crate::mesh::{
    AckHash, Announced, Config, Engine, Frame, Key, Keys, LinkId, LinkRole, MessageId, Millis, Output,
    Record, Secret,
};
use crate::packet::{MessageType, Packet};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) const START: Millis = 1_750_000_000_000;

/// Keys whose signatures are keyed hashes: what is tested here is what the engine does with the answer.
pub(super) struct TestKeys(pub(super) PeerId);

impl TestKeys {
    fn key(&self) -> [u8; 32] {
        Sha256::digest(self.0.0).into()
    }

    pub(super) fn signed(
        &self,
        message: MessageType,
        now: Millis,
        to: Option<PeerId>,
        payload: Vec<u8>,
        ttl: u8,
    ) -> Vec<u8> {
        let mut packet = Packet::new(message, self.0, now, payload);
        (packet.recipient, packet.ttl) = (to, ttl);
        packet.signature = Some(mark(&self.key(), &packet.encode().unwrap()));
        packet.encode().unwrap()
    }
}

/// A signature over what relays do not change.
fn mark(key: &[u8; 32], packet: &[u8]) -> [u8; 64] {
    let view = View::parse(packet).unwrap();
    let hash: [u8; 32] = Sha256::new().chain_update(key).chain_update(view.id().0).finalize().into();
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&hash);
    signature
}

impl Keys for TestKeys {
    fn announce(&mut self, now: Millis, neighbours: &[PeerId]) -> Vec<u8> {
        let payload = neighbours.iter().flat_map(|n| n.0).collect();
        self.signed(MessageType::Announce, now, None, payload, 7)
    }

    fn check_announce(&mut self, packet: &[u8]) -> Option<Announced> {
        let view = View::parse(packet)?;
        let signing_key: [u8; 32] = Sha256::digest(view.sender.0).into();
        let neighbours = view.payload.as_chunks().0.iter().map(|n| PeerId(*n)).collect();
        self.check(packet, &signing_key).then_some(Announced { signing_key, neighbours, native: true })
    }

    fn check(&mut self, packet: &[u8], key: &[u8; 32]) -> bool {
        packet.len() > 64 && packet.ends_with(&mark(key, packet))
    }
}

pub(super) struct Node {
    pub(super) engine: Engine<TestKeys>,
    pub(super) keys: TestKeys,
    disk: BTreeMap<Key, Record>,
    /// What the layers above have on their disk.
    pub(super) has: BTreeSet<MessageId>,
    /// Delivered in this life.
    pub(super) delivered: Vec<MessageId>,
    pub(super) acknowledged: BTreeSet<MessageId>,
    to_acknowledge: Vec<(MessageId, Secret)>,
    /// The highest TTL with which each packet came.
    came: BTreeMap<MessageId, u8>,
    lives: u8,
}

pub(super) struct Net {
    pub(super) now: Millis,
    pub(super) nodes: Vec<Node>,
    links: BTreeMap<LinkId, (usize, usize)>,
    next_link: u64,
    air: Vec<(Millis, u64, LinkId, usize, Frame)>,
    ready: Vec<(Millis, LinkId, usize)>,
    count: u64,
    config: Config,
    /// Percent.
    pub(super) loss: u64,
    pub(super) double: u64,
    pub(super) rng: ChaCha8Rng,
}

pub(super) fn peer(n: usize) -> PeerId {
    PeerId((n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())
}

impl Net {
    pub(super) fn new(nodes: usize, config: Config, seed: u64) -> Self {
        let mut net = Self {
            now: START,
            nodes: Vec::new(),
            links: BTreeMap::new(),
            next_link: 0,
            air: Vec::new(),
            ready: Vec::new(),
            count: 0,
            config,
            loss: 0,
            double: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        };
        for n in 0..nodes {
            let node = net.node(n, 0, BTreeMap::new(), BTreeSet::new());
            net.nodes.push(node);
        }
        net
    }

    fn node(&self, n: usize, lives: u8, disk: BTreeMap<Key, Record>, has: BTreeSet<MessageId>) -> Node {
        let mut engine =
            Engine::new(self.config.clone(), peer(n), TestKeys(peer(n)), [n as u8 ^ lives; 32], self.now);
        engine.restore(self.now, disk.clone());
        Node {
            engine,
            keys: TestKeys(peer(n)),
            disk,
            has,
            delivered: Vec::new(),
            acknowledged: BTreeSet::new(),
            to_acknowledge: Vec::new(),
            came: BTreeMap::new(),
            lives,
        }
    }

    pub(super) fn chance(&mut self, n: u64) -> u64 {
        self.rng.next_u64() % n
    }

    pub(super) fn join(&mut self, a: usize, b: usize) {
        if a == b || self.links.values().any(|l| *l == (a, b) || *l == (b, a)) {
            return;
        }
        self.next_link += 1;
        let link = LinkId(self.next_link);
        self.links.insert(link, (a, b));
        self.nodes[a].engine.link_up(self.now, link, LinkRole::Central, -70);
        self.nodes[b].engine.link_up(self.now, link, LinkRole::Peripheral, -75);
        self.drain(a);
        self.drain(b);
    }

    pub(super) fn part(&mut self, a: usize, b: usize) {
        let found = self.links.iter().find(|(_, l)| **l == (a, b) || **l == (b, a)).map(|(id, _)| *id);
        if let Some(link) = found {
            self.links.remove(&link);
            for n in [a, b] {
                self.nodes[n].engine.link_down(self.now, link);
                self.drain(n);
            }
        }
    }

    /// Stops a node and starts it again from its disk. What it was about to do is lost.
    pub(super) fn restart(&mut self, n: usize) {
        let neighbours: Vec<usize> = self
            .links
            .values()
            .filter_map(|(a, b)| {
                if *a == n {
                    Some(*b)
                } else if *b == n {
                    Some(*a)
                } else {
                    None
                }
            })
            .collect();
        let old = &self.nodes[n];
        let acknowledged = old.acknowledged.clone();
        let mut node = self.node(n, old.lives + 1, old.disk.clone(), old.has.clone());
        node.acknowledged = acknowledged;
        self.nodes[n] = node;
        for other in neighbours {
            self.part(n, other);
        }
    }

    /// Does what an engine asks for. Everything up to the next frame is one transaction.
    pub(super) fn drain(&mut self, n: usize) {
        while let Some(output) = self.nodes[n].engine.poll() {
            match output {
                Output::Transmit { link, frame } => self.transmit(n, link, frame),
                Output::Persist(change) => {
                    let disk = &mut self.nodes[n].disk;
                    match change.record {
                        Some(record) => disk.insert(change.key, record),
                        None => disk.remove(&change.key),
                    };
                }
                Output::Deliver(d) => {
                    let node = &mut self.nodes[n];
                    node.delivered.push(d.id);
                    node.has.insert(d.id);
                    let view = View::parse(&d.packet).unwrap();
                    if view.kind == kind::ENCRYPTED && view.payload.len() >= 16 {
                        node.to_acknowledge.push((d.id, view.payload[..16].try_into().unwrap()));
                    }
                }
                Output::Acknowledged { id } => {
                    self.nodes[n].acknowledged.insert(id);
                }
                Output::Expired { id } => panic!("{id:?} expired"),
                _ => {}
            }
        }
    }

    fn transmit(&mut self, n: usize, link: LinkId, frame: Frame) {
        self.ready.push((self.now + 10, link, n));
        if let Frame::Packet(packet) = &frame {
            let view = View::parse(packet).expect("only whole packets go out");
            if view.sender != peer(n) {
                let came = self.nodes[n].came.get(&view.id()).copied();
                // What a restarted node has on its disk it sends as an answer only.
                let most = came.unwrap_or(1);
                assert!(view.ttl < most.max(1), "the TTL went from {came:?} to {}", view.ttl);
            }
        }
        if self.chance(100) < self.loss {
            return;
        }
        let copies = if self.chance(100) < self.double { 2 } else { 1 };
        for _ in 0..copies {
            self.count += 1;
            let at = self.now + 10 + self.chance(40);
            self.air.push((at, self.count, link, n, frame.clone()));
        }
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, ms: Millis) {
        let end = self.now + ms;
        while self.now < end {
            self.now += 10;
            let now = self.now;
            let mut due: Vec<_> = self.air.extract_if(.., |(at, ..)| *at <= now).collect();
            due.sort_by_key(|(at, count, ..)| (*at, *count));
            for (_, _, link, from, frame) in due {
                self.arrive(link, from, &frame);
            }
            let ready: Vec<_> = self.ready.extract_if(.., |(at, ..)| *at <= now).collect();
            for (_, link, n) in ready {
                if self.links.contains_key(&link) {
                    self.nodes[n].engine.link_ready(now, link);
                    self.drain(n);
                }
            }
            for n in 0..self.nodes.len() {
                if self.nodes[n].engine.wake().is_some_and(|wake| wake <= now) {
                    self.nodes[n].engine.tick(now);
                    self.drain(n);
                }
                // Some time after the commit, and perhaps not before a crash.
                if self.chance(20) == 0 {
                    for (id, secret) in std::mem::take(&mut self.nodes[n].to_acknowledge) {
                        self.nodes[n].engine.acknowledge(now, id, secret);
                    }
                    self.drain(n);
                }
            }
        }
    }

    fn arrive(&mut self, link: LinkId, from: usize, frame: &Frame) {
        let Some((a, b)) = self.links.get(&link).copied() else { return };
        let to = if a == from { b } else { a };
        let node = &mut self.nodes[to];
        match frame {
            Frame::Packet(packet) => {
                let view = View::parse(packet).unwrap();
                let came = node.came.entry(view.id()).or_default();
                *came = view.ttl.max(*came);
                node.engine.receive(self.now, link, packet);
            }
            Frame::Control(bytes) => node.engine.receive_control(self.now, link, peer(from), bytes),
        }
        self.drain(to);
    }

    /// Somebody says something to everybody.
    pub(super) fn say(&mut self, n: usize, text: &str) -> MessageId {
        let node = &mut self.nodes[n];
        let packet = node.keys.signed(MessageType::Message, self.now, None, text.into(), node.engine.ttl());
        let id = node.engine.publish(self.now, packet).unwrap();
        self.drain(n);
        id
    }

    /// A message for one: the packet's name and the bundle's.
    pub(super) fn send(&mut self, from: usize, to: usize, number: u8) -> (MessageId, MessageId) {
        let secret: Secret = [number; 16];
        let mut payload = secret.to_vec();
        // Too short to be compressed: the secret is looked up in it as it is.
        payload.resize(90, number);
        let packet =
            self.nodes[from].keys.signed(MessageType::NoiseEncrypted, self.now, Some(peer(to)), payload, 7);
        let id = MessageId::of_packet(&packet).unwrap();
        let bundle =
            self.nodes[from].engine.carry(self.now, packet, AckHash::of(&secret), 24 * 3_600_000).unwrap();
        self.drain(from);
        (id, bundle)
    }

    /// A packet comes in over a link, from nowhere.
    pub(super) fn inject(&mut self, n: usize, link: LinkId, packet: &[u8]) {
        let packet: Arc<[u8]> = packet.into();
        if let Some(view) = View::parse(&packet) {
            let came = self.nodes[n].came.entry(view.id()).or_default();
            *came = view.ttl.max(*came);
        }
        self.nodes[n].engine.receive(self.now, link, &packet);
        self.drain(n);
    }
}
