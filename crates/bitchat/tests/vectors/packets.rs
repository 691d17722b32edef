//! Header, padding, compression, signatures.

use crate::{TIME, array, bytes, peer_id, signing_key, text, vectors};
use bitchat::packet::{Body, MessageType, Packet, PacketId, PacketRef, compression, padding};
use bitchat::{Fingerprint, PeerId};
use sha2::{Digest, Sha256};

#[test]
fn identities() {
    for who in ["alice", "bob"] {
        let public = array(&format!("{who}.noise_pub"));
        assert_eq!(Fingerprint::of(&public).to_string(), text(&format!("{who}.fingerprint")));
        assert_eq!(PeerId::of(&public), peer_id(who));
        assert_eq!(signing_key(who).verifying_key().to_bytes(), array::<32>(&format!("{who}.ed_pub")));
    }
}

#[test]
fn padding_table() {
    for row in vectors()["padding"].as_array().unwrap() {
        let [len, padded, n] = [0, 1, 2].map(|i| row[i].as_u64().unwrap() as usize);
        assert_eq!(usize::from(padding::padding_len(len)), n, "{len}");
        let mut packet = vec![0; len];
        padding::pad(&mut packet);
        assert_eq!(packet.len(), padded, "{len}");
        assert_eq!(padding::trailing_padding(&packet), n, "{len}");
    }
}

#[test]
fn signed_announcement() {
    let frame = bytes("announce.frame");
    let packet = Packet::new(MessageType::Announce, peer_id("alice"), TIME, bytes("announce.payload"));
    assert_eq!(packet.encode_signed(&signing_key("alice")).unwrap(), frame);
    let read = PacketRef::decode(&frame).unwrap();
    assert_eq!(read.verify(&array("alice.ed_pub")), Ok(()));
    assert!(read.verify(&array("bob.ed_pub")).is_err());
    let covered = read.signing_bytes();
    assert_eq!(covered.len() as u64, vectors()["announce"]["preimage_len"].as_u64().unwrap());
    assert_eq!(hex::encode(Sha256::digest(&covered)), text("announce.preimage_sha256"));
    assert!(covered.ends_with(&bytes("announce.preimage_tail")));
    assert_eq!(read.signature.unwrap()[..], bytes("announce.sig"));
}

#[test]
fn signed_message() {
    let frame = bytes("message_ios_style.frame");
    let packet = Packet::new(MessageType::Message, peer_id("alice"), TIME, b"hello mesh".to_vec());
    assert_eq!(packet.encode_signed(&signing_key("alice")).unwrap(), frame);
    let read = PacketRef::decode(&frame).unwrap();
    assert_eq!(read.signing_bytes(), bytes("message_ios_style.preimage"));
    assert_eq!(read.signature.unwrap()[..], bytes("message_ios_style.sig"));
}

#[test]
fn compressed_message() {
    let payload = b"bitchat ".repeat(20);
    assert_eq!(compression::compress(&payload), Some(bytes("compress.deflate6")));
    let mut packet = Packet::new(MessageType::Message, peer_id("alice"), TIME, payload.clone());
    let frame = packet.encode().unwrap();
    assert_eq!(frame, bytes("compress.frame_unsigned_l6"));
    let read = PacketRef::decode(&frame).unwrap();
    assert_eq!(*read.payload().unwrap(), payload);
    assert_eq!(read.id().unwrap(), PacketId::of(MessageType::Message, peer_id("alice"), TIME, &payload));
    packet.body = Body::Plain(payload);
    assert_eq!(PacketRef::decode(&packet.encode().unwrap()).unwrap().id(), read.id());
}

#[test]
fn what_does_not_shrink_is_not_compressed() {
    // A stored block is five bytes longer than what it holds.
    let stored = vectors()["compress_stored_block_len"].as_u64().unwrap() as usize;
    let all_different: Vec<u8> = (0..stored - 5).map(|i| i as u8).collect();
    assert_eq!(compression::compress(&all_different), None);
    assert_eq!(compression::compress(&b"a".repeat(99)), None);
    assert!(compression::compress(&b"a".repeat(100)).is_some());
}

#[test]
fn ping() {
    let payload = bytes("ping").split_off(30);
    let packet = Packet::new(MessageType::Ping, peer_id("alice"), TIME, payload).to(peer_id("bob"));
    assert_eq!(packet.encode().unwrap(), bytes("ping"));
}

#[test]
fn noise_packets_are_padded() {
    let handshake = Packet::new(MessageType::NoiseHandshake, peer_id("alice"), TIME, bytes("noise_xx.m1"));
    assert_eq!(handshake.to(peer_id("bob")).encode().unwrap(), bytes("hs1_frame.hex"));

    let payload = bytes("noise_transport.cipher_n0");
    let packet = Packet::new(MessageType::NoiseEncrypted, peer_id("alice"), TIME, payload).to(peer_id("bob"));
    let frame = packet.encode().unwrap();
    assert_eq!(hex::encode(Sha256::digest(&frame)), text("dm_frame.sha256"));
    let read = PacketRef::decode(&frame).unwrap();
    assert_eq!(read.unpadded(), bytes("dm_frame.unpadded"));
    assert_eq!(u64::from(*frame.last().unwrap()), vectors()["dm_frame"]["pad_byte"].as_u64().unwrap());
    assert_eq!(frame.len() as u64, vectors()["dm_frame"]["len"].as_u64().unwrap());
}

#[test]
fn signed_sync_request() {
    let payload = bytes("gcs.request_legacy");
    let mut packet =
        Packet::new(MessageType::RequestSync, peer_id("alice"), TIME, payload).to(peer_id("bob"));
    packet.ttl = 0;
    assert_eq!(packet.encode_signed(&signing_key("alice")).unwrap(), bytes("gcs.signed_frame"));
}
