//! What people do, and what bad nodes do.

use super::{Event, Node, World};
use crate::keys::unsigned;
use crate::log::Sent;
use bitchat::mesh::{AckHash, CarryRule, Config, Delivered, MessageId, Millis, RelayRule, Secret};
use std::sync::Arc;

const MESSAGE: u8 = 0x02;
const ENCRYPTED: u8 = 0x11;
/// What stands at the beginning of what would be sealed: the message's number and the secret.
const INNER: usize = 1 + 4 + 16;
/// A text of some 100 bytes with what its session adds.
const DIRECT_BYTES: usize = 140;
const IS_MESSAGE: u8 = 1;
const IS_RECEIPT: u8 = 2;

/// What kind of node it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Honest,
    /// Takes what it is given, and passes nothing on.
    BlackHole,
    /// Sends again what it has heard, as it was and changed.
    Replayer,
    /// Keeps to no limit.
    Flooder,
}

/// Something that happens in the simulated world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum App {
    /// Somebody says something to everybody: from whom, and how long it is.
    Public(u32, usize),
    /// A message for one: from, to, how long it is worth carrying.
    Direct(u32, u32, Millis),
    Flood {
        from: u32,
        every_ms: Millis,
        until: Millis,
    },
    Replay(u32),
}

impl Behaviour {
    pub(super) fn config(&self, config: &Config) -> Config {
        match self {
            Self::Honest | Self::Replayer => config.clone(),
            Self::BlackHole => {
                let (relay, carry) = quiet(config);
                Config { relay, carry, acks: false, sync: false, ..config.clone() }
            }
            Self::Flooder => Config { limits: None, ..config.clone() },
        }
    }
}

/// Speaks as one of ours, and relays nothing.
fn quiet(config: &Config) -> (RelayRule, CarryRule) {
    match config.carry {
        CarryRule::Never => (config.relay, CarryRule::Never),
        _ => (RelayRule::Never, CarryRule::Direct),
    }
}

impl Node {
    /// A replayer listens.
    pub(super) fn hear(&mut self, packet: &Arc<[u8]>) {
        if self.behaviour == Behaviour::Replayer && self.heard.len() < 2000 {
            self.heard.push(packet.clone());
        }
    }

    /// A black hole says that it has taken a bundle, and never hands one over.
    pub(super) fn withholds(&mut self) -> bool {
        let bundles = self.engine.counters().bundles_sent;
        let new = bundles > self.withheld;
        self.withheld = bundles;
        new && self.behaviour == Behaviour::BlackHole
    }

    pub(crate) fn is(&self, behaviour: &Behaviour) -> bool {
        self.behaviour == *behaviour
    }
}

impl World {
    /// Something will happen at this time after the beginning.
    pub(crate) fn plan(&mut self, elapsed: Millis, app: App) {
        self.schedule(self.at(elapsed), Event::App(app));
    }

    pub(super) fn app(&mut self, app: App) {
        let now = self.now;
        match app {
            App::Public(from, bytes) => self.say(from, bytes, false),
            App::Direct(from, to, lifetime) => self.send(from, to, lifetime),
            App::Flood { from, every_ms, until } => {
                self.say(from, 80, true);
                if now < until {
                    self.schedule(now + every_ms, Event::App(App::Flood { from, every_ms, until }));
                }
            }
            App::Replay(n) => {
                self.replay(n);
                self.schedule(now + 2000, Event::App(App::Replay(n)));
            }
        }
    }

    fn say(&mut self, from: u32, bytes: usize, attack: bool) {
        let number = self.log.sent.len() as u32;
        let mut text = number.to_be_bytes().to_vec();
        // Bytes that do not compress, as a text of so short a length does not.
        text.extend((text.len()..bytes).map(|n| (n as u32 * 37 + number) as u8));
        let node = &mut self.nodes[from as usize];
        let packet = node.keys.packet(MESSAGE, self.now, None, &text, node.engine.ttl());
        if let Ok(id) = node.engine.publish(self.now, packet) {
            self.log.add(Sent::new(from, None, self.now, id, attack));
        }
        self.drain(from);
    }

    fn send(&mut self, from: u32, to: u32, lifetime: Millis) {
        let number = self.log.sent.len() as u32;
        let secret: Secret = self.chance.bytes();
        let carries = self.config.carry != CarryRule::Never;
        if carries {
            let packet = self.direct(from, to, IS_MESSAGE, number, &secret);
            let Some(id) = MessageId::of_packet(&packet) else { return };
            let node = &mut self.nodes[from as usize];
            if let Ok(bundle) = node.engine.carry(self.now, packet, AckHash::of(&secret), lifetime) {
                let mut sent = Sent::new(from, Some(to), self.now, id, false);
                sent.bundle = Some(bundle);
                self.log.add(sent);
            }
        } else {
            // A phone keeps the text and seals it anew for each try.
            let mut sent = Sent::new(from, Some(to), self.now, MessageId([0; 16]), false);
            sent.secret = secret;
            self.log.add(sent);
            let receiver = self.nodes[to as usize].engine.me();
            let node = &mut self.nodes[from as usize];
            if self.config.acks {
                _ = node.engine.wait_for(self.now, u64::from(number), receiver, lifetime);
            } else {
                self.send_again(from, u64::from(number));
            }
        }
        self.drain(from);
    }

    /// A message of the outbox goes once more.
    pub(super) fn send_again(&mut self, n: u32, number: u64) {
        let Some(sent) = self.log.sent.get(number as usize) else { return };
        let (Some(to), secret) = (sent.to, sent.secret) else { return };
        let packet = self.direct(n, to, IS_MESSAGE, number as u32, &secret);
        if let Some(id) = MessageId::of_packet(&packet) {
            self.log.also(number as usize, id);
        }
        _ = self.nodes[n as usize].engine.publish(self.now, packet);
    }

    /// A packet for one receiver. Its content would be sealed; no engine looks at it.
    fn direct(&mut self, from: u32, to: u32, what: u8, number: u32, secret: &Secret) -> Vec<u8> {
        let mut inner = vec![what];
        inner.extend_from_slice(&number.to_be_bytes());
        inner.extend_from_slice(secret);
        // Ciphertext differs each time.
        while inner.len() < DIRECT_BYTES {
            inner.extend_from_slice(&self.chance.u64().to_be_bytes());
        }
        let (me, receiver) = (self.nodes[from as usize].engine.me(), self.nodes[to as usize].engine.me());
        let mut packet =
            unsigned(me, ENCRYPTED, self.now, Some(receiver), &inner, self.nodes[from as usize].engine.ttl());
        let padding = 256 - packet.len();
        packet.resize(256, padding as u8);
        packet
    }

    /// Something was delivered to a node's own layers.
    pub(super) fn delivered(&mut self, n: u32, delivered: &Delivered) {
        let now = self.now;
        let header = if delivered.packet.get(11).is_some_and(|f| f & 1 != 0) { 30 } else { 22 };
        let kind = delivered.packet[1];
        if kind == MESSAGE {
            if self.nodes[n as usize].is(&Behaviour::Honest) {
                self.log.reached(n, &delivered.id, now, delivered.packet.len());
            }
            return;
        }
        let Some(inner) = delivered.packet.get(header..header + INNER).filter(|_| kind == ENCRYPTED) else {
            return;
        };
        let number = u32::from_be_bytes([inner[1], inner[2], inner[3], inner[4]]);
        let mut secret: Secret = [0; 16];
        secret.copy_from_slice(&inner[5..21]);
        if inner[0] == IS_RECEIPT {
            let real = self.log.sent.get(number as usize).is_some_and(|s| s.secret == secret && s.from == n);
            if real {
                self.log.receipt(number as usize, now);
                self.nodes[n as usize].engine.settled(now, u64::from(number));
            }
            return;
        }
        self.log.reached(n, &delivered.id, now, delivered.packet.len());
        if self.nodes[n as usize].is(&Behaviour::BlackHole) {
            return;
        }
        if self.config.carry == CarryRule::Never {
            let Some(&from) = self.ids.get(&delivered.sender) else { return };
            let receipt = self.direct(n, from, IS_RECEIPT, number, &secret);
            _ = self.nodes[n as usize].engine.publish(now, receipt);
        } else {
            self.nodes[n as usize].engine.acknowledge(now, delivered.id, secret);
        }
    }

    /// A replayer sends something that it has heard: as it was, with a full TTL, with another time, or with another text.
    fn replay(&mut self, n: u32) {
        let heard = self.nodes[n as usize].heard.len();
        if heard == 0 {
            return;
        }
        let mut packet = self.nodes[n as usize].heard[self.chance.below(heard)].to_vec();
        match self.chance.below(4) {
            0 => {}
            1 => packet[2] = 7,
            2 => packet[3..11].copy_from_slice(&self.now.to_be_bytes()),
            _ => {
                packet[3..11].copy_from_slice(&self.now.to_be_bytes());
                let at = 22 + self.chance.below(packet.len().saturating_sub(22).max(1));
                if let Some(byte) = packet.get_mut(at) {
                    *byte ^= 1;
                }
            }
        }
        let packet: Arc<[u8]> = packet.into();
        let links: Vec<u64> =
            self.links.iter().filter(|(_, l)| l.ends.contains(&n)).map(|(id, _)| *id).collect();
        for link in links {
            self.schedule(
                self.now + 20,
                Event::Arrive(link, n, bitchat::mesh::Frame::Packet(packet.clone()), None),
            );
        }
    }

    /// Plans replays of all replayers.
    pub(crate) fn plan_replays(&mut self, from: Millis) {
        for n in 0..self.nodes.len() as u32 {
            if self.nodes[n as usize].is(&Behaviour::Replayer) {
                self.plan(from + u64::from(n % 20) * 100, App::Replay(n));
            }
        }
    }
}
