//! Nodes, links and the clock: a discrete-event simulation.
//!
//! Every event has a time and a number; events of one time happen in the order in which they were made. Nothing else
//! decides, so a seed gives the same run, bit for bit.

mod app;
mod links;

use crate::chance::Chance;
use crate::keys::{Checked, NodeKeys, Signatures};
use crate::log::Log;
use crate::mobility::{Movement, Places};
use crate::radio::{HANDSHAKE, Radio};

use bitchat::PeerId;
use bitchat::mesh::{Change, Config, Engine, Frame, Key, LinkId, Millis, Output, Record};
use links::Near;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

pub(crate) use app::{App, Behaviour};

/// When every simulation begins: a time in 2025.
pub(crate) const START: Millis = 1_750_000_000_000;

/// What a world is made of.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) movement: Movement,
    pub(crate) radio: Radio,
    pub(crate) config: Config,
    pub(crate) signatures: Signatures,
    /// Nodes that are not like the others.
    pub(crate) behaviours: Vec<(u32, Behaviour)>,
    /// What is written is kept, so that nodes can be restarted.
    pub(crate) disks: bool,
}

/// One node.
pub(crate) struct Node {
    pub(crate) engine: Engine<NodeKeys>,
    keys: NodeKeys,
    links: usize,
    wake: Millis,
    phase: f64,
    behaviour: Behaviour,
    /// To whom its links lead, as far as it knows.
    bound: BTreeMap<u64, PeerId>,
    disk: BTreeMap<Key, Record>,
    /// What a replayer has heard.
    heard: Vec<Arc<[u8]>>,
    /// Bundles that a black hole has put out so far; the frames with them are withheld.
    withheld: u64,
    lives: u64,
    seed: [u8; 32],
    away: bool,
    /// Bytes that came in.
    pub(crate) received: u64,
}

#[derive(Debug)]
struct Link {
    ends: [u32; 2],
    up: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Wake(u32),
    /// A frame reaches the other end: link, from, and to whom it was sealed.
    Arrive(u64, u32, Frame, Option<PeerId>),
    Ready(u64, u32),
    Step,
    App(App),
}

/// A simulated world.
pub(crate) struct World {
    pub(crate) now: Millis,
    pub(crate) nodes: Vec<Node>,
    pub(crate) log: Log,
    places: Places,
    radio: Radio,
    config: Config,
    signatures: Signatures,
    disks: bool,
    checked: Rc<RefCell<Checked>>,
    ids: HashMap<PeerId, u32>,
    queue: BinaryHeap<Reverse<(Millis, u64, EventBox)>>,
    count: u64,
    /// Events so far.
    pub(crate) events: u64,
    links: BTreeMap<u64, Link>,
    next_link: u64,
    near: BTreeMap<(u32, u32), Near>,
    pairs: Vec<(u32, u32)>,
    steps: u64,
    sessions: BTreeSet<(u32, u32)>,
    chance: Chance,
    seed: u64,
}

/// Events are ordered by time and number alone.
struct EventBox(Event);

impl PartialEq for EventBox {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for EventBox {}

impl PartialOrd for EventBox {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EventBox {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl World {
    pub(crate) fn new(setup: &Setup, seed: u64) -> Self {
        let places = Places::new(&setup.movement, seed);
        let checked = Rc::default();
        let mut chance = Chance::new(seed, 3);
        let mut world = Self {
            now: START,
            nodes: Vec::new(),
            log: Log::default(),
            radio: setup.radio.clone(),
            config: setup.config.clone(),
            signatures: setup.signatures,
            disks: setup.disks,
            checked,
            ids: HashMap::new(),
            queue: BinaryHeap::new(),
            count: 0,
            events: 0,
            links: BTreeMap::new(),
            next_link: 0,
            near: BTreeMap::new(),
            pairs: Vec::new(),
            steps: 0,
            sessions: BTreeSet::new(),
            seed,
            chance: Chance::new(seed, 4),
            places,
        };
        for n in 0..world.places.len() as u32 {
            let behaviour =
                setup.behaviours.iter().find(|(b, _)| *b == n).map_or(Behaviour::Honest, |(_, b)| b.clone());
            let node = world.node(chance.bytes(), behaviour, chance.unit(), 0);
            world.ids.insert(node.engine.me(), n);
            world.nodes.push(node);
        }
        for n in 0..world.nodes.len() as u32 {
            world.drain(n);
        }
        world.schedule(START, Event::Step);
        world
    }

    fn node(&self, seed: [u8; 32], behaviour: Behaviour, phase: f64, lives: u64) -> Node {
        let keys = || NodeKeys::new(seed, true, self.signatures, &self.checked);
        let config = behaviour.config(&self.config);
        let mut chance = Chance::new(
            self.seed ^ u64::from_le_bytes([seed[0], seed[1], seed[2], seed[3], seed[4], 0, 0, 0]),
            lives,
        );
        let engine = Engine::new(config, keys().me(), keys(), chance.bytes(), self.now);
        Node {
            engine,
            keys: keys(),
            links: 0,
            wake: Millis::MAX,
            phase: phase * self.radio.scan.period_ms,
            behaviour,
            bound: BTreeMap::new(),
            disk: BTreeMap::new(),
            heard: Vec::new(),
            withheld: 0,
            lives,
            seed,
            away: false,
            received: 0,
        }
    }

    fn schedule(&mut self, at: Millis, event: Event) {
        self.count += 1;
        self.queue.push(Reverse((at, self.count, EventBox(event))));
    }

    /// Runs until this many milliseconds after the beginning.
    pub(crate) fn run_until(&mut self, elapsed: Millis) {
        let end = START + elapsed;
        while self.queue.peek().is_some_and(|Reverse((at, _, _))| *at <= end) {
            let Some(Reverse((at, _, EventBox(event)))) = self.queue.pop() else { break };
            self.now = at;
            self.events += 1;
            self.handle(event);
        }
        self.now = end;
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Wake(n) => {
                let node = &mut self.nodes[n as usize];
                if node.wake == now {
                    node.wake = Millis::MAX;
                    node.engine.tick(now);
                    self.drain(n);
                }
            }
            Event::Ready(link, n) => {
                if self.links.get(&link).is_some_and(|l| l.up) {
                    self.nodes[n as usize].engine.link_ready(now, LinkId(link));
                    self.drain(n);
                }
            }
            Event::Arrive(link, from, frame, sealed_to) => self.arrive(link, from, &frame, sealed_to),
            Event::Step => self.step(),
            Event::App(app) => self.app(app),
        }
    }

    fn arrive(&mut self, link: u64, from: u32, frame: &Frame, sealed_to: Option<PeerId>) {
        let Some(state) = self.links.get(&link).filter(|l| l.up) else { return };
        let to = if state.ends[0] == from { state.ends[1] } else { state.ends[0] };
        let speaker = self.nodes[from as usize].engine.me();
        let (bytes, _) = Radio::on_air(frame);
        let node = &mut self.nodes[to as usize];
        node.received += bytes as u64;
        match frame {
            Frame::Packet(bytes) => {
                node.hear(bytes);
                node.engine.receive(self.now, LinkId(link), bytes);
            }
            // What is sealed to somebody else cannot be opened.
            Frame::Control(_) if sealed_to != Some(node.engine.me()) => return,
            Frame::Control(bytes) => node.engine.receive_control(self.now, LinkId(link), speaker, bytes),
        }
        self.drain(to);
    }

    /// Does what a node's engine asks for.
    pub(crate) fn drain(&mut self, n: u32) {
        let silent = self.nodes[n as usize].withholds();
        while let Some(output) = self.nodes[n as usize].engine.poll() {
            match output {
                Output::Transmit { link, frame } => self.transmit(n, link.0, frame, silent),
                Output::Persist(change) if self.disks => self.write(n, change),
                Output::Bound { link, peer, .. } => drop(self.nodes[n as usize].bound.insert(link.0, peer)),
                Output::Deliver(delivered) => self.delivered(n, &delivered),
                Output::Acknowledged { id } => self.log.acknowledged(n, &id, self.now),
                Output::SendAgain { id, .. } => self.send_again(n, id),
                _ => {}
            }
        }
        let node = &mut self.nodes[n as usize];
        if let Some(wake) = node.engine.wake()
            && wake < node.wake
        {
            let at = wake.max(self.now);
            node.wake = at;
            self.schedule(at, Event::Wake(n));
        }
    }

    fn write(&mut self, n: u32, Change { key, record }: Change) {
        let disk = &mut self.nodes[n as usize].disk;
        match record {
            Some(record) => drop(disk.insert(key, record)),
            None => drop(disk.remove(&key)),
        }
    }

    /// Puts a frame on the air.
    fn transmit(&mut self, n: u32, link: u64, frame: Frame, silent: bool) {
        let Some(state) = self.links.get(&link).filter(|l| l.up) else { return };
        let pair = (state.ends[0], state.ends[1]);
        let (mut bytes, operations) = Radio::on_air(&frame);
        let mut latency = self.chance.between(self.radio.latency_ms.0, self.radio.latency_ms.1);
        if matches!(frame, Frame::Control(_)) && self.sessions.insert(pair) {
            // The session's handshake goes before the first words of a pair.
            bytes += HANDSHAKE;
            latency += 2.0 * self.radio.latency_ms.1;
        }
        self.log.bytes += bytes as u64;
        let takes = bytes as f64 / self.radio.rate * 1000.0;
        let ready = self.now + (takes.round() as Millis).max(1);
        let arrives = self.now + ((takes + latency).round() as Millis).max(1);
        self.schedule(ready, Event::Ready(link, n));
        let lost = (0..operations).any(|_| self.radio.loss > 0.0 && self.chance.unit() < self.radio.loss);
        let withheld = silent && matches!(frame, Frame::Control(_));
        if !lost && !withheld {
            let sealed_to = self.nodes[n as usize].bound.get(&link).copied();
            self.schedule(arrives, Event::Arrive(link, n, frame, sealed_to));
        }
    }

    /// Kills a node and starts it again from what it has written.
    pub(crate) fn restart(&mut self, n: u32) {
        let of_node: Vec<u64> =
            self.links.iter().filter(|(_, l)| l.up && l.ends.contains(&n)).map(|(id, _)| *id).collect();
        for link in of_node {
            self.disconnect(link);
        }
        let old = &self.nodes[n as usize];
        let (seed, behaviour, lives) = (old.seed, old.behaviour.clone(), old.lives + 1);
        let (phase, disk) = (old.phase / self.radio.scan.period_ms, old.disk.clone());
        let mut node = self.node(seed, behaviour, phase, lives);
        node.engine.restore(self.now, disk.clone());
        node.disk = disk;
        self.nodes[n as usize] = node;
        self.drain(n);
    }
}
