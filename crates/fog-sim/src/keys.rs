//! Identities of the simulated nodes: real announces and signatures, each checked once for the whole world.

use bitchat::PeerId;
use bitchat::mesh::{Announced, Keys, Millis};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Which signatures a world uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signatures {
    /// Ed25519, as the product.
    Real,
    /// A keyed hash that the world can check, where signatures are not what is measured and would only cost time.
    Quick,
}

/// What has been checked already, shared by all nodes of a world. Two generations, so that it stays small.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    new: HashMap<[u8; 32], bool>,
    old: HashMap<[u8; 32], bool>,
}

const GENERATION: usize = 100_000;

impl Checked {
    fn remember(&mut self, name: [u8; 32], check: impl FnOnce() -> bool) -> bool {
        if let Some(known) = self.new.get(&name).or_else(|| self.old.get(&name)) {
            return *known;
        }
        let holds = check();
        if self.new.len() >= GENERATION {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(name, holds);
        holds
    }
}

/// One node's keys.
pub(crate) struct NodeKeys {
    me: PeerId,
    noise: [u8; 32],
    key: SigningKey,
    public: [u8; 32],
    native: bool,
    signatures: Signatures,
    checked: Rc<RefCell<Checked>>,
}

/// The capability bit of our own nodes, as the announce's bit field carries it: bit 20, little-endian.
const NATIVE: [u8; 3] = [0, 0, 0x10];
const SIGNED: u8 = 0x02;

impl NodeKeys {
    pub(crate) fn new(
        seed: [u8; 32],
        native: bool,
        signatures: Signatures,
        checked: &Rc<RefCell<Checked>>,
    ) -> Self {
        let noise: [u8; 32] = Sha256::digest(seed).into();
        let hash: [u8; 32] = Sha256::digest(noise).into();
        let mut id = [0; 8];
        id.copy_from_slice(&hash[..8]);
        let key = SigningKey::from_bytes(&seed);
        let public = key.verifying_key().to_bytes();
        Self { me: PeerId(id), noise, key, public, native, signatures, checked: checked.clone() }
    }

    pub(crate) fn me(&self) -> PeerId {
        self.me
    }

    /// A signed packet of version 1.
    pub(crate) fn packet(
        &self,
        kind: u8,
        now: Millis,
        to: Option<PeerId>,
        payload: &[u8],
        ttl: u8,
    ) -> Vec<u8> {
        let mut packet = unsigned(self.me, kind, now, to, payload, ttl);
        let signature = self.sign(&packet);
        packet[11] |= SIGNED;
        packet.extend_from_slice(&signature);
        packet
    }

    fn sign(&self, packet: &[u8]) -> [u8; 64] {
        let text = transcript(packet, packet.len());
        match self.signatures {
            Signatures::Real => self.key.sign(&text).to_bytes(),
            Signatures::Quick => quick(&self.public, &text),
        }
    }
}

/// A packet of version 1 without a signature.
pub(crate) fn unsigned(
    me: PeerId,
    kind: u8,
    now: Millis,
    to: Option<PeerId>,
    payload: &[u8],
    ttl: u8,
) -> Vec<u8> {
    let mut packet = vec![1, kind, ttl];
    packet.extend_from_slice(&now.to_be_bytes());
    packet.push(u8::from(to.is_some()));
    packet.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend_from_slice(&me.0);
    packet.extend(to.iter().flat_map(|p| p.0));
    packet.extend_from_slice(payload);
    packet
}

/// What is signed: the packet without what relays change, padded.
fn transcript(packet: &[u8], end: usize) -> Vec<u8> {
    let mut text = packet[..end].to_vec();
    text[2] = 0;
    text[11] &= !(SIGNED | 0x10);
    if let Some(target) = [256, 512, 1024, 2048].into_iter().find(|t| *t >= end + 16)
        && let Ok(n) = u8::try_from(target - end)
        && n > 0
    {
        text.resize(target, n);
    }
    text
}

fn quick(public: &[u8; 32], text: &[u8]) -> [u8; 64] {
    let hash: [u8; 32] = Sha256::new().chain_update(public).chain_update(text).finalize().into();
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&hash);
    signature
}

impl Keys for NodeKeys {
    fn announce(&mut self, now: Millis, neighbours: &[PeerId]) -> Vec<u8> {
        let mut payload = vec![1, 4];
        payload.extend_from_slice(b"node");
        for (tag, key) in [(2, &self.noise), (3, &self.public)] {
            payload.extend_from_slice(&[tag, 32]);
            payload.extend_from_slice(key);
        }
        payload.extend_from_slice(&[4, (neighbours.len() * 8) as u8]);
        payload.extend(neighbours.iter().flat_map(|n| n.0));
        if self.native {
            payload.extend_from_slice(&[5, 3]);
            payload.extend_from_slice(&NATIVE);
        }
        self.packet(1, now, None, &payload, 7)
    }

    fn check_announce(&mut self, packet: &[u8]) -> Option<Announced> {
        let length = usize::from(u16::from_be_bytes([packet[12], packet[13]]));
        let mut rest = packet.get(22..22 + length)?;
        let (mut noise, mut signing, mut neighbours, mut native) = (None, None, Vec::new(), false);
        while let [tag, length, tail @ ..] = rest {
            let (value, tail) = tail.split_at_checked(usize::from(*length))?;
            match tag {
                2 => noise = Some(value),
                3 => signing = value.try_into().ok(),
                4 => neighbours = value.as_chunks().0.iter().map(|n| PeerId(*n)).collect(),
                5 => native = value == NATIVE,
                _ => {}
            }
            rest = tail;
        }
        let bound: [u8; 32] = Sha256::digest(noise?).into();
        let signing_key: [u8; 32] = signing?;
        let holds = bound[..8] == packet[14..22] && self.check(packet, &signing_key);
        holds.then_some(Announced { signing_key, neighbours, native })
    }

    fn check(&mut self, packet: &[u8], key: &[u8; 32]) -> bool {
        let Some(end) = packet.len().checked_sub(64).filter(|end| *end >= 22) else { return false };
        let text = transcript(packet, end);
        let given: &[u8] = &packet[end..];
        if self.signatures == Signatures::Quick {
            return given == quick(key, &text);
        }
        let name = Sha256::new().chain_update(key).chain_update(given).chain_update(&text).finalize().into();
        self.checked.borrow_mut().remember(name, || {
            let signature = Signature::from_slice(given);
            let key = VerifyingKey::from_bytes(key);
            matches!((key, signature), (Ok(key), Ok(signature)) if key.verify_strict(&text, &signature).is_ok())
        })
    }
}
