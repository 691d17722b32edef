//! The sender's side.

use super::keys::{HopKeys, STREAM_OUT_LEN};
use super::{
    ELEMENT_LEN, Error, HEADER_LEN, HOP_LEN, IDENTIFIER_LEN, Identifier, LAST_HOP_LEN, MAC_LEN, MAX_HOPS,
    MIN_PAYLOAD, ROUTING_LEN, VERSION_LEN, Version, payload,
};
use crate::Key;
use crate::x25519::{Table, clamped};
use curve25519_dalek::EdwardsPoint;
use rand::{CryptoRng, RngExt};
use std::time::Duration;
use zeroize::Zeroize;

pub(super) const FORWARD: u8 = 1;
pub(super) const LAST: u8 = 2;

/// One relay of the path.
#[derive(Clone, Copy)]
pub struct Hop<'a> {
    /// Its address.
    pub address: Key,
    /// Its key.
    pub key: &'a Table,
    /// How long it is to hold the packet (not of the last one).
    pub delay: Duration,
}

/// Whom the last relay gives the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// The address, which that relay knows.
    pub address: Key,
    /// All zero, unless the header is a reply block's.
    pub identifier: Identifier,
}

/// Builds packets of one version and size.
#[derive(Debug, Clone, Copy)]
pub struct Builder {
    version: Version,
    payload_len: usize,
}

/// A header, and the keys of the hops in order.
pub(super) struct Built {
    pub(super) header: [u8; HEADER_LEN],
    pub(super) keys: Vec<HopKeys>,
}

impl Builder {
    /// Packets with this many bytes of payload, at least [`MIN_PAYLOAD`] (more are taken for less).
    pub fn new(version: Version, payload_len: usize) -> Self {
        Self { version, payload_len: payload_len.max(MIN_PAYLOAD) }
    }

    /// Bytes of a whole packet.
    pub fn packet_len(&self) -> usize {
        HEADER_LEN + self.payload_len
    }

    /// The longest message.
    pub fn max_message(&self) -> usize {
        self.payload_len - super::PAYLOAD_OVERHEAD
    }

    /// Appends a packet with this message to `packets`.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Path`].
    pub fn build(
        &self,
        rng: &mut impl CryptoRng,
        message: &[u8],
        path: &[Hop<'_>],
        destination: &Destination,
        packets: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if message.len() > self.max_message() {
            return Err(Error::TooLong(self.max_message(), message.len()));
        }
        let built = header(rng, self.version, path, destination)?;
        let start = packets.len();
        packets.extend_from_slice(&built.header);
        packets.resize(start + self.packet_len(), 0);
        let sealed = &mut packets[start + HEADER_LEN..];
        payload::pad(message, sealed)?;
        for keys in built.keys.iter().rev() {
            payload::encrypt(&keys.payload_key(self.version), sealed);
        }
        Ok(())
    }
}

/// The header of a path, outermost layer last.
pub(super) fn header(
    rng: &mut impl CryptoRng,
    version: Version,
    path: &[Hop<'_>],
    destination: &Destination,
) -> Result<Built, Error> {
    if path.is_empty() || path.len() > MAX_HOPS {
        return Err(Error::Path(path.len()));
    }
    let (element, keys) = agree(rng, path);

    // Innermost: what the last relay reads, noise behind it, and the filler, which is what the relays' own
    // padding will have become by then.
    let forward = path.len() - 1;
    let mut routing = [0; ROUTING_LEN];
    let (last, filler) = routing.split_at_mut(ROUTING_LEN - forward * HOP_LEN);
    last[0] = LAST;
    last[1..1 + VERSION_LEN].copy_from_slice(&version.to_bytes());
    last[1 + VERSION_LEN..LAST_HOP_LEN - IDENTIFIER_LEN].copy_from_slice(&destination.address);
    last[LAST_HOP_LEN - IDENTIFIER_LEN..LAST_HOP_LEN].copy_from_slice(&destination.identifier);
    rng.fill(&mut last[LAST_HOP_LEN..]);
    keys[forward].apply_stream(last);
    fill(&keys[..forward], filler);
    let mut mac = keys[forward].mac(&routing);

    for i in (0..forward).rev() {
        routing.copy_within(..ROUTING_LEN - HOP_LEN, HOP_LEN);
        let nanos = u64::try_from(path[i].delay.as_nanos()).unwrap_or(u64::MAX);
        let mut hop = [0; HOP_LEN];
        hop[0] = FORWARD;
        hop[1..4].copy_from_slice(&version.to_bytes());
        hop[4..36].copy_from_slice(&path[i + 1].address);
        hop[36..44].copy_from_slice(&nanos.to_be_bytes());
        hop[44..].copy_from_slice(&mac);
        routing[..HOP_LEN].copy_from_slice(&hop);
        keys[i].apply_stream(&mut routing);
        mac = keys[i].mac(&routing);
    }
    let mut header = [0; HEADER_LEN];
    header[..ELEMENT_LEN].copy_from_slice(&element);
    header[ELEMENT_LEN..ELEMENT_LEN + MAC_LEN].copy_from_slice(&mac);
    header[ELEMENT_LEN + MAC_LEN..].copy_from_slice(&routing);
    Ok(Built { header, keys })
}

/// The first group element and each hop's keys. The hops' group elements differ by blinding factors, so that each
/// shared secret is one multiple of the relay's key, by the product of the secret and the factors before it.
fn agree(rng: &mut impl CryptoRng, path: &[Hop<'_>]) -> (Key, Vec<HopKeys>) {
    let mut secret: Key = rng.random();
    let mut scalar = clamped(secret);
    secret.zeroize();
    let element = EdwardsPoint::mul_base(&scalar).to_montgomery().0;
    let keys = path
        .iter()
        .map(|hop| {
            let mut shared = hop.key.multiply(&scalar);
            let keys = HopKeys::new(&shared);
            shared.zeroize();
            scalar *= clamped(*keys.blinding());
            keys
        })
        .collect();
    scalar.zeroize();
    (element, keys)
}

/// What the zeros that each relay appends will have become at the last one.
fn fill(keys: &[HopKeys], filler: &mut [u8]) {
    let mut stream = [0; STREAM_OUT_LEN];
    for (i, hop) in keys.iter().enumerate() {
        let filled = (i + 1) * HOP_LEN;
        stream.fill(0);
        hop.apply_stream(&mut stream);
        for (f, s) in filler[..filled].iter_mut().zip(&stream[STREAM_OUT_LEN - filled..]) {
            *f ^= s;
        }
    }
    stream.zeroize();
}
