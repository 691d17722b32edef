//! The relay's side, for batches of packets.

use super::build::{FORWARD, LAST};
use super::keys::{HopKeys, STREAM_OUT_LEN};
use super::{
    ELEMENT_LEN, Error, HEADER_LEN, HOP_LEN, IDENTIFIER_LEN, Identifier, LAST_HOP_LEN, MAC_LEN, MIN_PACKET,
    ROUTING_LEN, VERSION_LEN, Version, element, header_of, payload, sealed_routing,
};
use crate::Key;
use crate::x25519::{BATCH, Backend, LANES, Point};
use std::time::Duration;
use zeroize::Zeroize;

/// Payloads that are hashed at once: as many as AVX2 has lanes for.
const HASHED_TOGETHER: usize = 4;

/// A packet whose key agreement is done. Nothing of the packet was changed.
pub struct Opened {
    point: Point,
    keys: HopKeys,
}

/// What a packet's header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routed {
    /// Hold it, then pass it on.
    Forward {
        /// To this address.
        next: Key,
        /// For this long.
        delay: Duration,
        /// Its wire version.
        version: Version,
    },
    /// This is the last relay.
    Last {
        /// Whose it is.
        destination: Key,
        /// The reply block that it answers, or zeros.
        identifier: Identifier,
        /// Its wire version.
        version: Version,
    },
}

impl Routed {
    /// The packet's wire version.
    pub fn version(&self) -> Version {
        match self {
            Self::Forward { version, .. } | Self::Last { version, .. } => *version,
        }
    }
}

/// Agrees on keys with the senders of all these packets. Groups of [`BATCH`] cost least. Packets that are too short
/// for that give none.
pub fn open<'a>(
    backend: Backend,
    secret: &Key,
    packets: impl IntoIterator<Item = &'a [u8]>,
) -> impl Iterator<Item = Result<Opened, Error>> {
    let secret = *secret;
    let mut packets = packets.into_iter();
    std::iter::from_fn(move || {
        let mut group = Group::default();
        for packet in packets.by_ref().take(BATCH) {
            group.push(packet);
        }
        (group.len > 0).then(|| group.open(backend, &secret))
    })
    .flatten()
}

/// Packets that are opened together.
#[derive(Default)]
struct Group {
    points: [Option<Point>; BATCH],
    lengths: [usize; BATCH],
    len: usize,
}

impl Group {
    fn push(&mut self, packet: &[u8]) {
        let long_enough = packet.len() >= MIN_PACKET;
        self.points[self.len] = header_of(packet).filter(|_| long_enough).map(|h| Point::new(element(h)));
        self.lengths[self.len] = packet.len();
        self.len += 1;
    }

    fn open(self, backend: Backend, secret: &Key) -> impl Iterator<Item = Result<Opened, Error>> + use<> {
        let mut shared = [[0; 32]; BATCH];
        // A packet that is too short takes a lane too: it is rare, and the lanes stay in order.
        let mut points = self.points.clone().map(|p| p.unwrap_or_else(|| Point::new([0; 32])));
        backend.multiply(&mut points[..self.len], &[secret; BATCH][..self.len], &mut shared[..self.len]);
        let eights = shared.as_chunks().0;
        let keys: [[HopKeys; LANES]; BATCH / LANES] = std::array::from_fn(|eight| {
            HopKeys::of_group(&eights[eight], self.len.saturating_sub(eight * LANES).min(LANES))
        });
        shared.zeroize();
        let valid = self.points.map(|p| p.is_some());
        points.into_iter().zip(keys.into_iter().flatten()).zip(valid).zip(self.lengths).take(self.len).map(
            |(((point, keys), valid), length)| {
                if valid { Ok(Opened { point, keys }) } else { Err(Error::Length(length)) }
            },
        )
    }
}

impl Opened {
    /// By which a replay is recognised. Only the tag of an authentic packet is worth remembering.
    pub fn replay_tag(&self) -> &Key {
        self.keys.replay_tag()
    }

    /// True if the header is as its sender made it.
    pub fn is_authentic(&self, packet: &[u8]) -> bool {
        header_of(packet).is_some_and(|header| {
            let (mac, routing) = sealed_routing(header);
            self.keys.is_authentic(mac, routing)
        })
    }

    /// Takes off the header's layer in place, but for the group element: [`finish`] does the rest.
    ///
    /// # Errors
    /// [`Error::Mac`], and what an authentic header can be wrong in. The packet is then of no more use.
    pub fn route(&self, packet: &mut [u8]) -> Result<Routed, Error> {
        if !self.is_authentic(packet) {
            return Err(Error::Mac);
        }
        self.route_authentic(packet)
    }

    /// [`Opened::route`] for a packet of which [`Opened::is_authentic`] is known.
    ///
    /// # Errors
    /// What an authentic header can be wrong in.
    pub(crate) fn route_authentic(&self, packet: &mut [u8]) -> Result<Routed, Error> {
        let length = packet.len();
        let header = packet.first_chunk_mut::<HEADER_LEN>().ok_or(Error::Length(length))?;
        self.decrypt(header).apply(header)
    }

    /// What the sender tells this relay, and the next one's header.
    pub(super) fn decrypt(&self, header: &[u8; HEADER_LEN]) -> Told {
        let mut plain = [0; STREAM_OUT_LEN];
        plain[..ROUTING_LEN].copy_from_slice(&header[ELEMENT_LEN + MAC_LEN..]);
        self.keys.apply_stream(&mut plain);
        Told(plain)
    }
}

/// Decrypted routing information. The relay acts on what it says, so whoever watches the relay may learn that.
pub(super) struct Told(pub(super) [u8; STREAM_OUT_LEN]);

impl Told {
    /// What is to be done. The next hop's MAC and routing information take the place of this one's in the header.
    pub(super) fn apply(&self, header: &mut [u8; HEADER_LEN]) -> Result<Routed, Error> {
        let plain = &self.0;
        let flag = plain[0];
        if flag != FORWARD && flag != LAST {
            return Err(Error::Flag(flag));
        }
        let version = plain[1..].first_chunk::<VERSION_LEN>().and_then(|v| Version::from_bytes(*v));
        let version = version.ok_or(Error::Version)?;
        let mut address = [0; 32];
        address.copy_from_slice(&plain[1 + VERSION_LEN..1 + VERSION_LEN + 32]);
        if flag == LAST {
            let mut identifier = [0; IDENTIFIER_LEN];
            identifier.copy_from_slice(&plain[LAST_HOP_LEN - IDENTIFIER_LEN..LAST_HOP_LEN]);
            return Ok(Routed::Last { destination: address, identifier, version });
        }
        let mut nanos = [0; 8];
        nanos.copy_from_slice(&plain[HOP_LEN - MAC_LEN - 8..HOP_LEN - MAC_LEN]);
        header[ELEMENT_LEN..].copy_from_slice(&plain[HOP_LEN - MAC_LEN..]);
        let delay = Duration::from_nanos(u64::from_be_bytes(nanos));
        Ok(Routed::Forward { next: address, delay, version })
    }
}

/// A packet of a batch with what is known of it.
pub type Job<'a> = (&'a Opened, Routed, &'a mut [u8]);

/// Does the rest for packets that were routed: blinds the group elements of those that go on, and takes a layer
/// off every payload.
pub fn finish(backend: Backend, jobs: &mut [Job<'_>]) {
    jobs.chunks_mut(LANES).for_each(decrypt);
    let mut group = [0; BATCH];
    let mut len = 0;
    for i in 0..jobs.len() {
        if matches!(jobs[i].1, Routed::Forward { .. }) {
            group[len] = i;
            len += 1;
        }
        if len == BATCH {
            blind(backend, jobs, &group);
            len = 0;
        }
    }
    blind(backend, jobs, &group[..len]);
}

/// Takes a layer off the payloads of these jobs, at most eight and at least one.
fn decrypt(jobs: &mut [Job<'_>]) {
    let job = |lane: usize| &jobs[lane.min(jobs.len() - 1)];
    let hops: [&HopKeys; LANES] = std::array::from_fn(|lane| &job(lane).0.keys);
    let versions = std::array::from_fn(|lane| job(lane).1.version());
    let keys = HopKeys::payload_keys(&hops, &versions, jobs.len());
    let mut fours = jobs.chunks_exact_mut(HASHED_TOGETHER);
    let mut left = &keys[..];
    for four in &mut fours {
        if let ([a, b, c, d], Some((keys, rest))) = (four, left.split_first_chunk()) {
            payload::decrypt_group::<HASHED_TOGETHER>(keys, [a, b, c, d].map(sealed));
            left = rest;
        }
    }
    for (job, key) in fours.into_remainder().iter_mut().zip(left) {
        payload::decrypt(key, sealed(job));
    }
}

fn sealed<'a>(job: &'a mut Job<'_>) -> &'a mut [u8] {
    &mut job.2[HEADER_LEN..]
}

/// Blinds the group elements of these jobs, at most [`BATCH`].
fn blind(backend: Backend, jobs: &mut [Job<'_>], group: &[usize]) {
    let Some(&first) = group.first() else { return };
    let job = |lane: usize| jobs[group.get(lane).copied().unwrap_or(first)].0;
    let mut points: [Point; BATCH] = std::array::from_fn(|lane| job(lane).point.clone());
    let factors: [&Key; BATCH] = std::array::from_fn(|lane| job(lane).keys.blinding());
    let mut blinded = [[0; 32]; BATCH];
    let n = group.len();
    backend.multiply(&mut points[..n], &factors[..n], &mut blinded[..n]);
    for (i, element) in group.iter().zip(blinded) {
        jobs[*i].2[..ELEMENT_LEN].copy_from_slice(&element);
    }
}

/// The message of a packet at its last relay, after [`finish`].
///
/// # Errors
/// [`Error::Payload`]: it was altered, or answers a reply block of one seed, which only its maker can read.
pub fn message(packet: &[u8]) -> Result<&[u8], Error> {
    payload::unpad(packet.get(HEADER_LEN..).ok_or(Error::Payload)?)
}
