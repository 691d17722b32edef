//! `sphinx-packet` is the judge: what this module builds, it unwraps, and the other way round.

use super::*;
use crate::x25519::{Backend, Table};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use sphinx_packet::header::delays::Delay;
use sphinx_packet::payload::Payload;
use sphinx_packet::route::{self, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::surb::{SURB, SURBMaterial, SurbReplyRecovery};
use sphinx_packet::{ProcessedPacketData, SphinxPacket, SphinxPacketBuilder, version};
use std::time::Duration;
use x25519_dalek::{PublicKey, StaticSecret};

/// A path of relays with its keys.
struct Way {
    secrets: Vec<Key>,
    tables: Vec<Table>,
    delays: Vec<Duration>,
}

impl Way {
    fn new(seed: u8, hops: usize) -> Self {
        let secrets: Vec<Key> = (0..hops).map(|i| [seed ^ (i as u8 * 17 + 1); 32]).collect();
        let public = |s: &Key| PublicKey::from(&StaticSecret::from(*s)).to_bytes();
        let tables = secrets.iter().map(|s| Table::new(&public(s)).expect("an honest key")).collect();
        let delays = (0..hops).map(|i| Duration::from_nanos(u64::from(seed) * 1_000 + i as u64)).collect();
        Self { secrets, tables, delays }
    }

    fn address(i: usize) -> Key {
        [i as u8 + 100; 32]
    }

    fn hops(&self) -> Vec<Hop<'_>> {
        let hop = |(i, key)| Hop { address: Self::address(i), key, delay: self.delays[i] };
        self.tables.iter().enumerate().map(hop).collect()
    }

    fn nodes(&self) -> Vec<Node> {
        let node = |(i, s): (usize, &Key)| {
            Node::new(
                NodeAddressBytes::from_bytes(Self::address(i)),
                PublicKey::from(&StaticSecret::from(*s)),
            )
        };
        self.secrets.iter().enumerate().map(node).collect()
    }

    fn crate_delays(&self) -> Vec<Delay> {
        self.delays.iter().map(|d| Delay::new_from_nanos(d.as_nanos() as u64)).collect()
    }
}

fn theirs(v: Version) -> version::Version {
    version::Version::new(v.number())
}

fn to(destination: &Destination) -> route::Destination {
    let address = DestinationAddressBytes::from_bytes(destination.address);
    route::Destination::new(address, destination.identifier)
}

/// One relay's work on one packet, by our code.
fn unwrap_ours(backend: Backend, secret: &Key, packet: &mut [u8]) -> Result<Routed, Error> {
    let opened = open(backend, secret, [&*packet]).next().expect("one")?;
    let routed = opened.route(packet)?;
    finish(backend, &mut [(&opened, routed, packet)]);
    Ok(routed)
}

/// The crate unwraps at every hop; checks what each relay learns and returns what the last one has.
fn follow_theirs(way: &Way, packet: &[u8]) -> (Key, Identifier, Payload) {
    let mut packet = SphinxPacket::from_bytes(packet).expect("a packet");
    for (i, secret) in way.secrets.iter().enumerate() {
        match packet.process(&StaticSecret::from(*secret)).expect("authentic").data {
            ProcessedPacketData::ForwardHop { next_hop_packet, next_hop_address, delay } => {
                assert_eq!(next_hop_address.to_bytes(), Way::address(i + 1));
                assert_eq!(delay.to_duration(), way.delays[i]);
                packet = next_hop_packet;
            }
            ProcessedPacketData::FinalHop { destination, identifier, payload } => {
                assert_eq!(i, way.secrets.len() - 1);
                return (destination.as_bytes(), identifier, payload);
            }
        }
    }
    panic!("the packet came to no end");
}

/// We unwrap at every hop; checks what each relay learns and leaves the last one's packet.
fn follow_ours(backend: Backend, way: &Way, packet: &mut [u8], v: Version) -> (Key, Identifier) {
    for (i, secret) in way.secrets.iter().enumerate() {
        match unwrap_ours(backend, secret, packet).expect("authentic") {
            Routed::Forward { next, delay, version } => {
                assert_eq!((next, delay, version), (Way::address(i + 1), way.delays[i], v));
            }
            Routed::Last { destination, identifier, version } => {
                assert_eq!((i, version), (way.secrets.len() - 1, v));
                return (destination, identifier);
            }
        }
    }
    panic!("the packet came to no end");
}

fn backends() -> impl Strategy<Value = Backend> {
    proptest::sample::select(Backend::available().collect::<Vec<_>>())
}

fn versions() -> impl Strategy<Value = Version> {
    proptest::sample::select(Version::ALL.to_vec())
}

/// A payload's length and a message that fits.
fn payloads() -> impl Strategy<Value = (usize, Vec<u8>)> {
    (MIN_PAYLOAD..3000)
        .prop_flat_map(|len| (Just(len), proptest::collection::vec(any::<u8>(), 0..=len - PAYLOAD_OVERHEAD)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_judge_unwraps_what_we_build(
        v in versions(), (len, message) in payloads(), hops in 1usize..=MAX_HOPS, seed: u8, address: Key
    ) {
        let way = Way::new(seed, hops);
        let destination = Destination { address, identifier: [seed; IDENTIFIER_LEN] };
        let builder = Builder::new(v, len);
        let mut packet = Vec::new();
        builder.build(&mut ChaCha20Rng::from_seed(address), &message, &way.hops(), &destination, &mut packet)?;
        prop_assert_eq!(packet.len(), builder.packet_len());
        let (to, identifier, payload) = follow_theirs(&way, &packet);
        prop_assert_eq!((to, identifier), (address, destination.identifier));
        prop_assert_eq!(payload.recover_plaintext().expect("unaltered"), message);
    }

    #[test]
    fn we_unwrap_what_the_judge_builds(
        v in versions(), (len, message) in payloads(), hops in 1usize..=MAX_HOPS, seed: u8, address: Key,
        backend in backends()
    ) {
        let way = Way::new(seed, hops);
        let destination = Destination { address, identifier: [seed; IDENTIFIER_LEN] };
        let mut packet = SphinxPacketBuilder::new()
            .with_version(theirs(v))
            .with_payload_size(len)
            .build_packet(&message, &way.nodes(), &to(&destination), &way.crate_delays())
            .expect("builds")
            .to_bytes();
        prop_assert_eq!(follow_ours(backend, &way, &mut packet, v), (address, destination.identifier));
        prop_assert_eq!(super::message(&packet)?, &message[..]);
    }

    #[test]
    fn each_hop_has_the_same_bytes_as_the_judges(
        v in versions(), (len, message) in payloads(), hops in 2usize..=MAX_HOPS, seed: u8, backend in backends()
    ) {
        let way = Way::new(seed, hops);
        let destination = Destination { address: [1; 32], identifier: [0; IDENTIFIER_LEN] };
        let mut ours = Vec::new();
        Builder::new(v, len).build(&mut rand::rng(), &message, &way.hops(), &destination, &mut ours)?;
        for secret in &way.secrets[..hops - 1] {
            let expected = SphinxPacket::from_bytes(&ours).expect("a packet");
            let tag = expected.header.compute_expanded_shared_secret(&StaticSecret::from(*secret));
            let opened = open(backend, secret, [&ours[..]]).next().expect("one")?;
            prop_assert_eq!(opened.replay_tag(), tag.replay_tag());
            unwrap_ours(backend, secret, &mut ours)?;
            match expected.process(&StaticSecret::from(*secret)).expect("authentic").data {
                ProcessedPacketData::ForwardHop { next_hop_packet, .. } => {
                    prop_assert_eq!(&ours, &next_hop_packet.to_bytes());
                }
                ProcessedPacketData::FinalHop { .. } => prop_assert!(false, "not the last hop"),
            }
        }
    }

    #[test]
    fn reply_blocks_work_in_both_directions(
        hops in 1usize..=MAX_HOPS, seed: u8, (len, message) in payloads(), backend in backends(), ours_builds: bool,
        ours_answers: bool
    ) {
        let way = Way::new(seed, hops);
        let destination = Destination { address: [3; 32], identifier: [seed | 1; IDENTIFIER_LEN] };
        let (block, recovery) = if ours_builds {
            let (block, recovery) = Surb::new(&mut rand::rng(), &way.hops(), &destination)?;
            (block.to_bytes(), recovery.to_bytes())
        } else {
            let material = SURBMaterial::new(
                way.nodes(), way.crate_delays(), to(&destination), theirs(Version::SINGLE_SEED),
            );
            let (block, recovery) = material.construct_recoverable_SURB().expect("builds");
            (block.to_bytes(), recovery.to_bytes())
        };
        let mut packet = if ours_answers {
            let block = Surb::from_bytes(&block)?;
            prop_assert_eq!(block.first_hop(), Way::address(0));
            block.answer(&message, len)?
        } else {
            let block = SURB::from_bytes(&block).expect("reads");
            block.use_surb(&message, len).expect("fits").0.to_bytes()
        };
        let (_, identifier, their_payload) = follow_theirs(&way, &packet);
        prop_assert_eq!(identifier, destination.identifier);
        prop_assert_eq!(follow_ours(backend, &way, &mut packet, Version::SINGLE_SEED), ([3; 32], identifier));
        prop_assert_eq!(&packet[HEADER_LEN..], their_payload.as_bytes());
        // The last relay cannot read it (where it is not the first one too); the maker can, in either code.
        prop_assert_eq!(super::message(&packet).is_err(), hops > 1);
        let theirs = SurbReplyRecovery::from_bytes(&recovery).expect("reads");
        prop_assert_eq!(&theirs.recover_plaintext(their_payload).expect("unaltered"), &message);
        let recovery = Recovery::from_bytes(&recovery)?;
        prop_assert_eq!(recovery.identifier(), destination.identifier);
        prop_assert_eq!(recovery.open(&mut packet[HEADER_LEN..])?, &message[..]);
    }

    #[test]
    fn reply_blocks_of_version_259_are_read_at_the_last_hop(
        hops in 1usize..=MAX_HOPS, seed: u8, (len, message) in payloads()
    ) {
        let way = Way::new(seed, hops);
        let destination = Destination { address: [3; 32], identifier: [0; IDENTIFIER_LEN] };
        let block = Surb::open_at_last_hop(&mut rand::rng(), &way.hops(), &destination)?;
        prop_assert_eq!(block.to_bytes().len(), HEADER_LEN + 32 + 16 * hops);
        let again = SURB::from_bytes(&block.to_bytes()).expect("reads");
        let by_them = again.use_surb(&message, len).expect("fits").0.to_bytes();
        let mut packet = block.answer(&message, len)?;
        prop_assert_eq!(&packet, &by_them);
        follow_ours(Backend::best(), &way, &mut packet, Version::SEEDS);
        prop_assert_eq!(super::message(&packet)?, &message[..]);
    }

    #[test]
    fn a_batch_is_as_each_alone(
        count in 1usize..20, bad in 0usize..20, seed: u8, backend in backends()
    ) {
        let way = Way::new(seed, 3);
        let destination = Destination { address: [1; 32], identifier: [0; IDENTIFIER_LEN] };
        let builder = Builder::new(Version::default(), 200);
        let mut packets: Vec<Vec<u8>> = Vec::new();
        for i in 0..count {
            let mut packet = Vec::new();
            builder.build(&mut rand::rng(), &[i as u8; 50], &way.hops(), &destination, &mut packet)?;
            packets.push(packet);
        }
        if let Some(packet) = packets.get_mut(bad) {
            packet.truncate(100);
        }
        let secret = &way.secrets[0];
        let opened: Vec<_> = open(backend, secret, packets.iter().map(Vec::as_slice)).collect();
        prop_assert_eq!(opened.len(), count);
        let mut batch = packets.clone();
        let mut jobs = Vec::new();
        for (i, (opened, packet)) in opened.iter().zip(&mut batch).enumerate() {
            let opened = match opened {
                Ok(opened) => opened,
                Err(e) => {
                    prop_assert_eq!((i, *e), (bad, Error::Length(100)));
                    continue;
                }
            };
            let routed = opened.route(packet)?;
            jobs.push((opened, routed, &mut packet[..]));
        }
        finish(backend, &mut jobs);
        for (i, mut packet) in packets.into_iter().enumerate().filter(|(i, _)| *i != bad) {
            unwrap_ours(Backend::Edwards, secret, &mut packet)?;
            prop_assert_eq!(&packet, &batch[i]);
        }
    }

    #[test]
    fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..800)) {
        let mut packet = bytes.clone();
        prop_assert!(unwrap_ours(Backend::best(), &[7; 32], &mut packet).is_err());
        prop_assert_eq!(&packet, &bytes);
        match Surb::from_bytes(&bytes) {
            Ok(block) => prop_assert_eq!(block.to_bytes(), bytes),
            Err(e) => prop_assert_eq!(e, Error::Surb),
        }
    }

    #[test]
    fn an_altered_header_is_refused(bit in 0..HEADER_LEN * 8, hops in 1usize..=MAX_HOPS) {
        let way = Way::new(9, hops);
        let destination = Destination { address: [1; 32], identifier: [0; IDENTIFIER_LEN] };
        let mut packet = Vec::new();
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        Builder::new(Version::default(), 64).build(&mut rng, b"x", &way.hops(), &destination, &mut packet)?;
        packet[bit / 8] ^= 1 << (bit % 8);
        let refused = unwrap_ours(Backend::best(), &way.secrets[0], &mut packet);
        // The top bit of a coordinate is ignored (RFC 7748), so it changes nothing.
        if bit != 32 * 8 - 1 {
            prop_assert_eq!(refused, Err(Error::Mac));
        }
    }
}

#[test]
fn an_altered_payload_shows_at_the_end() {
    let way = Way::new(1, 3);
    let destination = Destination { address: [1; 32], identifier: [0; IDENTIFIER_LEN] };
    let mut packet = Vec::new();
    Builder::new(Version::default(), 500)
        .build(&mut rand::rng(), b"hello", &way.hops(), &destination, &mut packet)
        .expect("builds");
    packet[HEADER_LEN + 400] ^= 1;
    follow_ours(Backend::best(), &way, &mut packet, Version::default());
    assert_eq!(message(&packet), Err(Error::Payload));
}

#[test]
fn a_reply_blocks_length_is_checked() {
    for (len, valid) in
        [(0, false), (380, false), (395, false), (396, true), (397, false), (460, true), (476, false)]
    {
        assert_eq!(Surb::from_bytes(&vec![1; len]).is_ok(), valid, "{len} bytes");
        assert_eq!(Recovery::from_bytes(&vec![1; len.saturating_sub(364)]).is_ok(), valid, "{len} bytes");
    }
}

#[test]
fn what_cannot_be_built_says_why() {
    let way = Way::new(1, 5);
    let destination = Destination { address: [1; 32], identifier: [0; IDENTIFIER_LEN] };
    let mut rng = rand::rng();
    let mut out = Vec::new();
    let builder = Builder::new(Version::default(), 100);
    let six = [way.hops(), way.hops()].concat()[..6].to_vec();
    assert_eq!(
        builder.build(&mut rng, &[0; 84], &way.hops(), &destination, &mut out),
        Err(Error::TooLong(83, 84))
    );
    assert_eq!(builder.build(&mut rng, b"", &[], &destination, &mut out), Err(Error::Path(0)));
    assert_eq!(builder.build(&mut rng, b"", &six, &destination, &mut out), Err(Error::Path(6)));
    assert!(out.is_empty());
    assert!(matches!(Surb::new(&mut rng, &way.hops(), &destination), Err(Error::Surb)));
}
