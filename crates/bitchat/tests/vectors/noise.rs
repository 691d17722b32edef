//! Handshakes and sessions, byte for byte.

use crate::{Known, array, bytes, identity, peer_id};
use bitchat::capabilities::Capabilities;
use bitchat::noise::{Handshake, HandshakeStep, Received, Sessions, Transport, open_with_key};
use bitchat::private::{PeerState, PrivateMessage, PrivatePayload};
use serde_json::Value;

#[test]
fn handshake_and_session() {
    let (alice, bob) = (identity("alice"), identity("bob"));
    let mut ephemeral = (Known(bytes("noise_xx.init_eph")), Known(bytes("noise_xx.resp_eph")));
    let (mut initiator, m1) = Handshake::initiate(&alice, &mut ephemeral.0).unwrap();
    assert_eq!(m1, bytes("noise_xx.m1"));
    let (mut responder, m2) = Handshake::respond(&bob, &m1, &mut ephemeral.1).unwrap();
    assert_eq!(m2, bytes("noise_xx.m2"));
    let (m3, mut a) = initiator.finish_initiator(&m2, peer_id("bob")).unwrap();
    assert_eq!(m3, bytes("noise_xx.m3"));
    let mut b = responder.finish_responder(&m3, peer_id("alice")).unwrap();
    assert_eq!(a.handshake_hash, array("noise_xx.handshake_hash"));
    assert_eq!(b.handshake_hash, a.handshake_hash);
    assert_eq!((&a.remote_static, &b.remote_static), (bob.noise_public(), alice.noise_public()));

    let plain = |name: &str| bytes(&format!("noise_transport.{name}"));
    let say = |t: &mut Transport, plain_name: &str, cipher_name: &str| {
        assert_eq!(t.seal(&plain(plain_name)).unwrap(), plain(cipher_name), "{plain_name}");
    };
    say(&mut a.transport, "plain", "cipher_n0");
    say(&mut a.transport, "peerstate_plain", "peerstate_cipher_n1");
    say(&mut b.transport, "ack_plain", "ack_cipher_n0");
    say(&mut b.transport, "read_plain", "read_cipher_n1");
    assert_eq!(b.transport.open(&plain("peerstate_cipher_n1")).unwrap(), plain("peerstate_plain"));
    assert_eq!(b.transport.open(&plain("cipher_n0")).unwrap(), plain("plain"));
    assert_eq!(a.transport.open(&plain("read_cipher_n1")).unwrap(), plain("read_plain"));

    let opened = open_with_key(&array("noise_xx.k_init_to_resp"), &plain("cipher_n0")).unwrap();
    assert_eq!(opened, (0, plain("plain")));
    let opened = open_with_key(&array("noise_xx.k_resp_to_init"), &plain("read_cipher_n1")).unwrap();
    assert_eq!(opened, (1, plain("read_plain")));
}

#[test]
fn what_is_said_in_the_session() {
    let message = PrivatePayload::PrivateMessage(PrivateMessage { id: "m1", content: "hi" });
    let state = PeerState {
        capabilities: Capabilities::PRIVATE_MEDIA,
        signing_public: identity("alice").signing_public(),
    };
    let payloads = [
        (message, "plain"),
        (PrivatePayload::Delivered("m1"), "ack_plain"),
        (PrivatePayload::ReadReceipt("m1"), "read_plain"),
        (PrivatePayload::AuthenticatedPeerState(state), "peerstate_plain"),
    ];
    for (payload, name) in payloads {
        let plain = bytes(&format!("noise_transport.{name}"));
        assert_eq!(payload.encode().unwrap(), plain);
        assert_eq!(PrivatePayload::decode(&plain).unwrap(), payload);
    }
}

#[test]
fn the_same_by_sessions() {
    let mut alice = Sessions::new(identity("alice"), Default::default());
    let mut bob = Sessions::new(identity("bob"), Default::default());
    let (a, b) = (peer_id("alice"), peer_id("bob"));
    let mut none = Known(Vec::new());
    let m1 = alice.initiate(b, 0, &mut Known(bytes("noise_xx.init_eph"))).unwrap();
    let m2 = match bob.handshake(a, &m1, 0, &mut Known(bytes("noise_xx.resp_eph"))).unwrap() {
        HandshakeStep::Reply(m2) => m2,
        other => panic!("{other:?}"),
    };
    let HandshakeStep::Opened(opened) = alice.handshake(b, &m2, 0, &mut none).unwrap() else { panic!() };
    assert_eq!(opened.reply, Some(bytes("noise_xx.m3")));
    bob.handshake(a, &opened.reply.unwrap(), 0, &mut none).unwrap();
    let sealed = alice.encrypt(b, &bytes("noise_transport.plain"), 0).unwrap();
    assert_eq!(sealed, bytes("noise_transport.cipher_n0"));
    assert_eq!(bob.decrypt(a, &sealed, 0), Ok(Received::Payload(bytes("noise_transport.plain"))));
}

/// Runs a published handshake with payloads and prologue through the library and the split keys that sessions use.
fn published(vector: &Value) {
    let get = |name: &str| hex::decode(vector[name].as_str().unwrap_or_default()).unwrap();
    let side = |who: &str| {
        let pattern: snow::params::NoiseParams = vector["protocol_name"].as_str().unwrap().parse().unwrap();
        let statics = get(&format!("{who}_static"));
        let ephemeral = get(&format!("{who}_ephemeral"));
        let prologue = get(&format!("{who}_prologue"));
        let builder = snow::Builder::new(pattern)
            .prologue(&prologue)
            .unwrap()
            .local_private_key(&statics)
            .unwrap()
            .fixed_ephemeral_key_for_testing_only(&ephemeral);
        match who {
            "init" => builder.build_initiator().unwrap(),
            _ => builder.build_responder().unwrap(),
        }
    };
    let mut sides = [side("init"), side("resp")];
    let messages = vector["messages"].as_array().unwrap();
    let part = |i: usize, name: &str| hex::decode(messages[i][name].as_str().unwrap()).unwrap();
    for i in 0..3 {
        let [first, second] = &mut sides;
        let (from, to) = if i % 2 == 0 { (first, second) } else { (second, first) };
        let mut buffer = vec![0; 65_535];
        let len = from.write_message(&part(i, "payload"), &mut buffer).unwrap();
        assert_eq!(buffer[..len], part(i, "ciphertext"), "message {i}");
        let mut plain = vec![0; 65_535];
        let len = to.read_message(&part(i, "ciphertext"), &mut plain).unwrap();
        assert_eq!(plain[..len], part(i, "payload"));
    }
    let [mut initiator, responder] = sides;
    assert_eq!(initiator.get_handshake_hash(), responder.get_handshake_hash());
    if vector["handshake_hash"].is_string() {
        assert_eq!(initiator.get_handshake_hash(), get("handshake_hash"));
    }
    let (first, second) = initiator.dangerously_get_raw_split();
    let mut transports = [Transport::new(&first, &second), Transport::new(&second, &first)];
    for i in 3..messages.len() {
        // After three messages it is the responder's turn.
        let from = usize::from(i % 2 == 1);
        let sealed = transports[from].seal(&part(i, "payload")).unwrap();
        assert_eq!(sealed[4..], part(i, "ciphertext"), "message {i}");
        assert_eq!(transports[1 - from].open(&sealed).unwrap(), part(i, "payload"));
    }
}

#[test]
fn cacophony() {
    let value: Value = serde_json::from_str(include_str!("../../vectors/noise-xx-cacophony.json")).unwrap();
    let vectors = value["vectors"].as_array().unwrap();
    assert!(!vectors.is_empty());
    vectors.iter().for_each(published);
}

#[test]
fn snow() {
    let value: Value = serde_json::from_str(include_str!("../../vectors/noise-xx-snow.json")).unwrap();
    let vectors = value["vectors"].as_array().unwrap();
    assert!(!vectors.is_empty());
    vectors.iter().for_each(published);
}

/// A transcript by an independent implementation; see `vectors/README.md`.
#[test]
fn dissononce() {
    let value: Value = serde_json::from_str(include_str!("../../vectors/noise-xx-dissononce.json")).unwrap();
    for run in value["runs"].as_array().unwrap() {
        let get = |name: &str| hex::decode(run[name].as_str().unwrap()).unwrap();
        let key = |name: &str| <[u8; 32]>::try_from(get(name)).unwrap();
        let initiator = bitchat::Identity::from_bytes(&key("init_static"), &[0; 32]);
        let responder = bitchat::Identity::from_bytes(&key("resp_static"), &[0; 32]);
        let (mut a, m1) = Handshake::initiate(&initiator, &mut Known(get("init_ephemeral"))).unwrap();
        assert_eq!(m1, get("m1"));
        let (mut b, m2) = Handshake::respond(&responder, &m1, &mut Known(get("resp_ephemeral"))).unwrap();
        assert_eq!(m2, get("m2"));
        let (m3, mut a) = a.finish_initiator(&m2, responder.peer_id()).unwrap();
        assert_eq!(m3, get("m3"));
        let mut b = b.finish_responder(&m3, initiator.peer_id()).unwrap();
        assert_eq!(a.handshake_hash, key("handshake_hash"));
        let said = |run: &Value, who: &str| -> Vec<(Vec<u8>, Vec<u8>)> {
            let part = |m: &Value, name: &str| hex::decode(m[name].as_str().unwrap()).unwrap();
            run[who].as_array().unwrap().iter().map(|m| (part(m, "plain"), part(m, "sealed"))).collect()
        };
        for (n, (plain, sealed)) in said(run, "from_initiator").into_iter().enumerate() {
            let ours = a.transport.seal(&plain).unwrap();
            assert_eq!(ours[..4], (n as u32).to_be_bytes());
            assert_eq!(ours[4..], sealed);
            assert_eq!(b.transport.open(&ours).unwrap(), plain);
        }
        for (plain, sealed) in said(run, "from_responder") {
            let ours = b.transport.seal(&plain).unwrap();
            assert_eq!(ours[4..], sealed);
            assert_eq!(a.transport.open(&ours).unwrap(), plain);
        }
    }
}
