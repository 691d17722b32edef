//! Announcements, fragments, sync requests, couriers, groups, verification.

use crate::{Known, TIME, array, bytes, identity, number, peer_id, text, vectors};
use bitchat::PeerId;
use bitchat::announce::{Announcement, Roster};
use bitchat::capabilities::Capabilities;
use bitchat::courier::{Envelope, Target, open, open_with_prekey, seal, tag, utc_day};
use bitchat::file::File;
use bitchat::fragment::{FragmentId, Reassembler, split};
use bitchat::group::{GroupEnvelope, GroupMessage, GroupState};
use bitchat::message::{LegacyMessage, public_text, stable_id};
use bitchat::packet::{MessageType, PacketId, PacketRef};
use bitchat::ping::Ping;
use bitchat::private::{PrivateMessage, PrivatePayload};
use bitchat::sync::{GcsFilter, RequestSync, TypeFlags};
use bitchat::verification::{Challenge, QrCode};
use sha2::{Digest, Sha256};

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn alice_announces() -> Announcement {
    let alice = identity("alice");
    Announcement {
        nickname: "alice".into(),
        noise_public: *alice.noise_public(),
        signing_public: alice.signing_public(),
        neighbours: None,
        capabilities: Some(Capabilities::PRIVATE_MEDIA),
        bridge_geohash: None,
    }
}

#[test]
fn announcements() {
    let mut announcement = alice_announces();
    assert_eq!(announcement.encode().unwrap(), bytes("announce.payload"));
    assert_eq!(Announcement::decode(&bytes("announce.payload")), Ok(announcement.clone()));
    announcement.neighbours = Some(vec![peer_id("bob")]);
    assert_eq!(announcement.encode().unwrap(), bytes("announce_with_neighbor.payload"));
    assert_eq!(Announcement::decode(&bytes("announce_with_neighbor.payload")), Ok(announcement));

    let frame = bytes("announce.frame");
    let mut roster = Roster::new(1);
    roster.announced(&PacketRef::decode(&frame).unwrap(), TIME + 1, false).unwrap();
    let message = bytes("message_ios_style.frame");
    let message = PacketRef::decode(&message).unwrap();
    assert_eq!(roster.verify(&message, TIME + 1, None), Ok(()));
    assert_eq!(public_text(&message.payload().unwrap()), Ok("hello mesh"));
}

#[test]
fn announcement_as_published() {
    let payload = unhex(&format!("0103626f620220{}0320{}050200017f02cafe", "11".repeat(32), "22".repeat(32)));
    let bob = Announcement::decode(&payload).unwrap();
    assert_eq!(
        (bob.nickname.as_str(), bob.noise_public, bob.signing_public),
        ("bob", [0x11; 32], [0x22; 32])
    );
    assert_eq!(bob.capabilities, Some(Capabilities::PRIVATE_MEDIA));
    assert_eq!(bob.encode().unwrap(), payload[..payload.len() - 4]);
    assert!(Announcement::decode(&unhex("0103626f62022011")).is_err());
}

#[test]
fn stable_message_id() {
    assert_eq!(stable_id(peer_id("alice"), TIME, "hello mesh"), text("message_stable_id"));
}

#[test]
fn legacy_messages_as_published() {
    let short = unhex("00010203040506070802696403626f6200026869");
    let message = LegacyMessage::decode(&short).unwrap();
    let expected = LegacyMessage {
        timestamp: 0x0102_0304_0506_0708,
        id: "id".into(),
        sender: "bob".into(),
        content: b"hi".to_vec(),
        ..LegacyMessage::default()
    };
    assert_eq!(message, expected);
    assert_eq!(message.encode().unwrap(), short);

    let full = unhex("7f000000000000002a016d02c3a9000568656c6c6f016f0172017002016102ceb20163");
    let message = LegacyMessage::decode(&full).unwrap();
    let expected = LegacyMessage {
        is_relay: true,
        is_private: true,
        timestamp: 42,
        id: "m".into(),
        sender: "é".into(),
        content: b"hello".to_vec(),
        original_sender: Some("o".into()),
        recipient_nickname: Some("r".into()),
        sender_peer_id: Some("p".into()),
        mentions: Some(vec!["a".into(), "β".into()]),
        channel: Some("c".into()),
        ..LegacyMessage::default()
    };
    assert_eq!(message, expected);
    assert_eq!(message.encode().unwrap(), full);
    // The same flag without a field: over a bridge.
    let bridged = [&unhex("40010203040506070802696403626f6200026869")[..]].concat();
    let message = LegacyMessage::decode(&bridged).unwrap();
    assert!(message.is_bridged && message.channel.is_none());
    assert_eq!(message.encode().unwrap(), bridged);
}

#[test]
fn fragments() {
    let frames: Vec<Vec<u8>> =
        vectors()["fragments"].as_array().unwrap().iter().map(|f| unhex(f.as_str().unwrap())).collect();
    let parent = bytes("message_ios_style.frame");
    let id = FragmentId([0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7]);
    assert_eq!(split(&parent, 40, id).unwrap(), frames);
    let mut reassembler = Reassembler::default();
    let mut push = |i: usize| reassembler.push(&PacketRef::decode(&frames[i]).unwrap(), 0).unwrap();
    assert_eq!((push(2), push(0)), (None, None));
    let whole = push(1).unwrap();
    assert_eq!(whole[3..], parent[3..]);
    assert_eq!(PacketRef::decode(&whole).unwrap().verify(&identity("alice").signing_public()), Ok(()));
}

#[test]
fn sync_filters() {
    let ids: Vec<PacketId> = (0..5)
        .map(|i| {
            let time = TIME + i * 1_000;
            PacketId::of(MessageType::Message, peer_id("alice"), time, format!("msg {i}").as_bytes())
        })
        .collect();
    for (id, text) in ids.iter().zip(vectors()["gcs"]["ids"].as_array().unwrap()) {
        assert_eq!(id.to_string(), text.as_str().unwrap());
    }
    let p = number("gcs.P") as u8;
    let (filter, count) = GcsFilter::build(&ids, p, 400);
    assert_eq!((count, u64::from(filter.modulus())), (5, number("gcs.M")));
    let values: Vec<u64> =
        vectors()["gcs"]["values"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect();
    assert_eq!(filter.values(), values);
    assert_eq!(filter.data(), bytes("gcs.data"));

    let types = TypeFlags::of(&[MessageType::Announce, MessageType::Message, MessageType::GroupMessage]);
    let mut request = RequestSync { filter, types: None, since: None, fragments: None };
    assert_eq!(request.encode().unwrap(), bytes("gcs.request_legacy"));
    request.types = Some(types);
    assert_eq!(request.encode().unwrap(), bytes("gcs.request_ios"));
    assert_eq!(RequestSync::decode(&bytes("gcs.request_ios")), Ok(request));
    let (empty, _) = GcsFilter::build(&[], p, 400);
    let request = RequestSync { filter: empty, types: None, since: None, fragments: None };
    assert_eq!(request.encode().unwrap(), bytes("gcs.empty_request"));
}

#[test]
fn courier() {
    let (alice, bob) = (identity("alice"), identity("bob"));
    let day = number("courier.day") as u32;
    assert_eq!(utc_day(TIME), day);
    let tag = tag(bob.noise_public(), day);
    assert_eq!(tag, array("courier.tag"));
    let plain = bytes("noise_transport.plain");
    let mut ephemeral = Known(bytes("noise_xx.init_eph"));
    let ciphertext = seal(&alice, Target::Static(bob.noise_public()), &plain, &mut ephemeral).unwrap();
    assert_eq!(ciphertext, bytes("courier.seal"));
    let envelope = Envelope {
        tag,
        expiry: number("courier.expiry"),
        ciphertext: &ciphertext,
        copies: Some(4),
        prekey_id: None,
    };
    assert_eq!(envelope.encode().unwrap(), bytes("courier.envelope"));
    let read = bytes("courier.envelope");
    let read = Envelope::decode(&read).unwrap();
    assert_eq!(read, envelope);
    assert!(read.is_for(bob.noise_public(), TIME) && !read.is_for(alice.noise_public(), TIME));
    let opened = open(&bob, read.ciphertext).unwrap();
    assert_eq!((opened.sender_id(), opened.plain), (peer_id("alice"), plain));
}

#[test]
fn courier_to_a_one_time_key() {
    let id = number("prekey_seal.id") as u32;
    let plain = bytes("noise_transport.plain");
    let target = Target::Prekey { id, public: &array("prekey_seal.prekey_pub") };
    let mut ephemeral = Known(bytes("noise_xx.init_eph"));
    let sealed = seal(&identity("alice"), target, &plain, &mut ephemeral).unwrap();
    assert_eq!(sealed, bytes("prekey_seal.seal"));
    let opened = open_with_prekey(&array("prekey_seal.prekey_priv"), id, &sealed).unwrap();
    assert_eq!((opened.sender_id(), opened.plain), (peer_id("alice"), plain));
}

#[test]
fn files() {
    let payload = bytes("file.tlv");
    let file = File { name: Some("a"), size: Some(2), mime: Some("m"), content: &[0xde, 0xad] };
    assert_eq!(File::decode(&payload), Ok(file));
    assert_eq!(file.encode().unwrap(), payload);
    assert!(File::decode(&unhex("010001610400000002de")).is_err());
    let alias = PrivatePayload::decode(&[0x09, 4, 0, 0, 0, 2, 0xca, 0xfe]).unwrap();
    assert_eq!(alias.encode().unwrap(), unhex("200400000002cafe"));
}

#[test]
fn verification_code() {
    let url = text("qr.url");
    let code = QrCode::read(&url, 1_750_000_300).unwrap();
    assert_eq!((code.nickname.as_str(), code.timestamp), ("alice", 1_750_000_000));
    let canonical = code.signing_bytes().unwrap();
    assert_eq!(canonical.len() as u64, number("qr.canonical_len"));
    assert_eq!(hex::encode(Sha256::digest(canonical)), text("qr.canonical_sha256"));
    assert_eq!(code.sign(&identity("alice")).unwrap(), url);
}

#[test]
fn verification_in_the_session() {
    let (alice, plain) = (identity("alice"), bytes("verify.challenge"));
    let PrivatePayload::VerifyChallenge(challenge) = PrivatePayload::decode(&plain).unwrap() else {
        panic!()
    };
    assert_eq!(challenge.noise_public_hex, text("alice.noise_pub"));
    let nonce: [u8; 16] = plain[plain.len() - 16..].try_into().unwrap();
    let ours = Challenge::new(alice.noise_public(), nonce);
    assert_eq!(PrivatePayload::VerifyChallenge(ours).encode().unwrap(), plain);
    let response = challenge.answer(&alice).unwrap();
    assert_eq!(response.signature[..], bytes("verify.resp_sig"));
    assert!(challenge.accepts(&response, &alice.signing_public()));
}

#[test]
fn groups() {
    let alice = identity("alice");
    let plain = bytes("group_state.payload");
    let PrivatePayload::GroupInvite(state) = PrivatePayload::decode(&plain).unwrap() else { panic!() };
    assert_eq!(state.check(alice.fingerprint(), None), Ok(()));
    assert_eq!((state.name.as_str(), state.epoch, state.roster.len()), ("crew", 1, 1));
    let again = GroupState { signature: [0; 64], ..state.clone() }.sign(&alice).unwrap();
    assert_eq!(PrivatePayload::GroupInvite(again).encode().unwrap(), plain);

    assert_eq!((state.group_id, *state.key), (array("group.group_id"), array("group.key")));
    let payload = bytes("group.payload");
    let message = GroupEnvelope::decode(&payload).unwrap().open(&state).unwrap();
    assert_eq!((message.id.as_str(), message.content.as_str()), ("g1", "hey group"));
    assert_eq!((message.nickname.as_str(), message.timestamp), ("alice", TIME));
    let sealed =
        GroupMessage::seal(&alice, &state, array("group.nonce"), ("g1", "alice", "hey group"), TIME).unwrap();
    assert_eq!(sealed, payload);
}

#[test]
fn ping() {
    let frame = bytes("ping");
    let packet = PacketRef::decode(&frame).unwrap();
    let ping = Ping::decode(packet.body).unwrap();
    assert_eq!(ping.nonce, [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7]);
    assert_eq!((ping.origin_ttl, ping.hops(packet.ttl)), (7, Some(1)));
    assert_eq!(ping.encode(), packet.body);
}

#[test]
fn what_must_be_refused() {
    assert!(PrivateMessage::decode(&unhex("00026d31")).is_err());
    assert!(PrivateMessage::decode(&unhex("00026d3101036869")).is_err());
    assert!(RequestSync::decode(&unhex("0100011302000401020304")).is_err());
    assert_eq!(PeerId::BROADCAST.to_string(), "ffffffffffffffff");
}
