//! `vectors/sphinx.json`: packets that the `sphinx-packet` crate built, with what each relay makes of them. Whoever
//! writes another implementation can check it against them.

use super::*;
use crate::x25519::Backend;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sphinx_packet::header::delays::Delay;
use sphinx_packet::route::{self, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::{ProcessedPacketData, SphinxPacket, SphinxPacketBuilder, version};
use x25519_dalek::{PublicKey, StaticSecret};

#[derive(Serialize, Deserialize)]
struct Vector {
    version: u16,
    /// Hexadecimal, as all that follows but numbers.
    message: String,
    destination: String,
    identifier: String,
    relays: Vec<At>,
}

/// One relay of the path.
#[derive(Serialize, Deserialize)]
struct At {
    secret: String,
    address: String,
    delay_nanos: u64,
    /// The packet as it comes to this relay.
    packet: String,
    replay_tag: String,
}

fn path() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/sphinx.json")
}

fn key(hex: &str) -> Key {
    bytes(hex).try_into().expect("32 bytes")
}

fn bytes(hex: &str) -> Vec<u8> {
    HEXLOWER.decode(hex.as_bytes()).expect("hex")
}

#[test]
fn the_vectors_hold() {
    let text = std::fs::read(path()).expect("the vectors");
    let vectors: Vec<Vector> = serde_json::from_slice(&text).expect("as written");
    assert_eq!(vectors.len(), Version::ALL.len() * MAX_HOPS);
    for vector in &vectors {
        let version = Version::new(vector.version).expect("known");
        let last = vector.relays.len() - 1;
        for (i, relay) in vector.relays.iter().enumerate() {
            for backend in Backend::available() {
                let mut packet = bytes(&relay.packet);
                let opened = open(backend, &key(&relay.secret), [&packet[..]]).next().expect("one");
                let opened = opened.expect("long enough");
                assert_eq!(*opened.replay_tag(), key(&relay.replay_tag));
                let routed = opened.route(&mut packet).expect("authentic");
                finish(backend, &mut [(&opened, routed, &mut packet)]);
                if i == last {
                    let destination = key(&vector.destination);
                    let identifier = bytes(&vector.identifier).try_into().expect("16 bytes");
                    assert_eq!(routed, Routed::Last { destination, identifier, version });
                    assert_eq!(message(&packet).expect("unaltered"), bytes(&vector.message));
                } else {
                    let delay = std::time::Duration::from_nanos(relay.delay_nanos);
                    let next = key(&vector.relays[i + 1].address);
                    assert_eq!(routed, Routed::Forward { next, delay, version });
                    assert_eq!(packet, bytes(&vector.relays[i + 1].packet));
                }
            }
        }
    }
}

/// Writes the vectors anew: `cargo test -p betanet --lib write_the_vectors -- --ignored`.
#[test]
#[ignore = "writes a file"]
fn write_the_vectors() {
    let mut vectors = Vec::new();
    for version in Version::ALL {
        for hops in 1..=MAX_HOPS {
            vectors.push(by_crate(version, hops as u8));
        }
    }
    let text = serde_json::to_string_pretty(&vectors).expect("plain data");
    std::fs::write(path(), text + "\n").expect("writes");
}

fn by_crate(version: Version, hops: u8) -> Vector {
    let secrets: Vec<StaticSecret> =
        (1..=hops).map(|i| StaticSecret::from([i * 16 + version.number() as u8; 32])).collect();
    let address = |i: u8| [0xa0 + i; 32];
    let nodes: Vec<Node> = (0..hops)
        .zip(&secrets)
        .map(|(i, s)| Node::new(NodeAddressBytes::from_bytes(address(i)), PublicKey::from(s)))
        .collect();
    let nanos: Vec<u64> = (0..hops).map(|i| 1_000_003 * u64::from(i + 1)).collect();
    let delays: Vec<Delay> = nanos.iter().map(|n| Delay::new_from_nanos(*n)).collect();
    let (to, identifier, text) = ([0xd5; 32], [hops; IDENTIFIER_LEN], b"seven relays and a message");
    let mut packet = SphinxPacketBuilder::new()
        .with_version(version::Version::new(version.number()))
        .with_payload_size(64)
        .build_packet(
            text,
            &nodes,
            &route::Destination::new(DestinationAddressBytes::from_bytes(to), identifier),
            &delays,
        )
        .expect("builds");
    let mut relays = Vec::new();
    for (i, secret) in (0..hops).zip(&secrets) {
        let tag = *packet.header.compute_expanded_shared_secret(secret).replay_tag();
        relays.push(At {
            secret: HEXLOWER.encode(secret.as_bytes()),
            address: HEXLOWER.encode(&address(i)),
            delay_nanos: nanos[usize::from(i)],
            packet: HEXLOWER.encode(&packet.to_bytes()),
            replay_tag: HEXLOWER.encode(&tag),
        });
        match packet.process(secret).expect("authentic").data {
            ProcessedPacketData::ForwardHop { next_hop_packet, .. } => packet = next_hop_packet,
            ProcessedPacketData::FinalHop { .. } => break,
        }
    }
    Vector {
        version: version.number(),
        message: HEXLOWER.encode(text),
        destination: HEXLOWER.encode(&to),
        identifier: HEXLOWER.encode(&identifier),
        relays,
    }
}

#[test]
fn every_version_is_one_of_the_crates() {
    let ours: Vec<u16> = Version::ALL.iter().map(|v| v.number()).collect();
    let theirs: Vec<u16> = version::KNOWN_VERSIONS.iter().map(version::Version::value).collect();
    assert_eq!(ours, theirs);
    // A hop's packet is as long as the last hop's: nothing tells a relay where on the path it is.
    assert_eq!(HEADER_LEN, sphinx_packet::header::HEADER_SIZE);
    assert!(SphinxPacket::from_bytes(&[0; HEADER_LEN + MIN_PAYLOAD]).is_ok());
}
