use super::*;
use crate::packet::{MessageType, Packet, PacketRef, PaddingPolicy};
use crate::peer::PeerId;
use proptest::prelude::*;
use serde_json::{Value, json};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../vectors/bitchat.json")).unwrap()
}

fn bytes(path: &str) -> Vec<u8> {
    let value = vectors();
    let found = path.split('.').fold(&value, |v, name| &v[name]);
    hex::decode(found.as_str().unwrap()).unwrap()
}

fn keys(list: &[String]) -> Keyring {
    let mut keys = Keyring::default();
    list.iter().for_each(|key| keys.add(key).unwrap());
    keys
}

fn key(kind: &str, path: &str) -> String {
    format!("{kind}:{}", hex::encode(bytes(path)))
}

fn packet(kind: MessageType, payload: Vec<u8>) -> Packet {
    Packet::new(kind, PeerId([1; 8]), 5, payload)
}

/// One packet of each kind with what the vectors have for it.
fn samples() -> Vec<Vec<u8>> {
    let directed = |kind, path: &str| packet(kind, bytes(path)).to(PeerId([2; 8])).encode().unwrap();
    let broadcast = |kind, payload| packet(kind, payload).encode().unwrap();
    let mut all = vec![
        bytes("announce.frame"),
        bytes("message_ios_style.frame"),
        bytes("compress.frame_unsigned_l6"),
        bytes("hs1_frame.hex"),
        bytes("dm_frame.unpadded"),
        bytes("gcs.signed_frame"),
        bytes("ping"),
        directed(MessageType::CourierEnvelope, "courier.envelope"),
        broadcast(MessageType::RequestSync, bytes("gcs.request_ios")),
        broadcast(MessageType::GroupMessage, bytes("group.payload")),
        broadcast(MessageType::FileTransfer, bytes("file.tlv")),
        broadcast(MessageType::Leave, Vec::new()),
        broadcast(MessageType::Leave, b"#hills".to_vec()),
        broadcast(MessageType::Announce, bytes("announce_with_neighbor.payload")),
        broadcast(MessageType::NostrCarrier, [&[1, 0, 1, 2, 3, 0, 2][..], b"{}"].concat()),
        broadcast(MessageType::Unknown(0xe1), vec![1, 2, 3]),
    ];
    all.extend(
        vectors()["fragments"].as_array().unwrap().iter().map(|f| hex::decode(f.as_str().unwrap()).unwrap()),
    );
    for voice in
        ["010203040506070800000101", "01020304050607080001000003deadbe", "0102030405060708002a02002900000a80"]
    {
        all.push(broadcast(MessageType::VoiceFrame, hex::decode(voice).unwrap()));
    }
    let v2 = [&hex::decode("010401020304").unwrap()[..], &[2, 64], &[7; 64], &[3, 2, 0, 1]].concat();
    all.push(broadcast(MessageType::AnnounceV2, v2));
    let identity = crate::Identity::from_bytes(&[1; 32], &[2; 32]);
    let prekeys = vec![crate::courier::Prekey { id: 3, public: [4; 32] }];
    let bundle = crate::courier::PrekeyBundle::sign(&identity, prekeys, 5).unwrap();
    all.push(broadcast(MessageType::PrekeyBundle, bundle.encode().unwrap()));
    let tombstone = crate::board::Tombstone::sign(&identity, [7; 16], 5);
    all.push(broadcast(
        MessageType::BoardPost,
        crate::board::BoardEntry::Tombstone(tombstone).encode().unwrap(),
    ));
    let mut routed = packet(MessageType::Message, b"hi".to_vec()).to(PeerId([2; 8]));
    routed.route = Some(vec![PeerId([3; 8]), PeerId([4; 8])]);
    routed.sync_reply = true;
    routed.other_flags = 0x40;
    all.push(routed.encode().unwrap());
    all
}

#[test]
fn what_is_described_is_built_again() {
    let kinds: std::collections::HashSet<u8> = samples().iter().map(|s| s[1]).collect();
    assert!(
        MessageType::ALL.iter().all(|t| kinds.contains(&u8::from(*t)) || *t == MessageType::Pong),
        "one of each"
    );
    for sample in samples() {
        let description = describe(&sample, &Keyring::default());
        let again = build(&description.json, &Keyring::default(), 0).unwrap();
        assert_eq!(hex::encode(again), hex::encode(&sample), "{}", description.json);
    }
}

#[test]
fn contents_alone_are_enough() {
    for sample in samples() {
        let mut description = describe(&sample, &Keyring::default()).json;
        if description["content"].is_null() {
            continue;
        }
        let object = description.as_object_mut().unwrap();
        object.remove("payload");
        object.remove("compression");
        let again = build(&description, &Keyring::default(), 0).unwrap();
        assert_eq!(hex::encode(again), hex::encode(&sample), "{description}");
    }
}

#[test]
fn a_few_words_make_a_signed_packet() {
    let alice = key("signing", "alice.ed_seed");
    let said = json!({
        "type": "message",
        "sender": "aaa8fff703b50b22",
        "timestamp_ms": 1_750_000_000_123u64,
        "content": {"text": "hello mesh"},
    });
    assert_eq!(build(&said, &keys(&[alice]), 0).unwrap(), bytes("message_ios_style.frame"));
}

#[test]
fn signatures_are_checked_by_what_is_given() {
    let frame = bytes("message_ios_style.frame");
    let check = |list: &[String]| describe(&frame, &keys(list));
    assert_eq!(check(&[]).json["signature_check"], "unchecked");
    assert_eq!(check(&[key("public", "alice.ed_pub")]).json["signature_check"], "valid");
    let wrong = check(&[key("public", "bob.ed_pub")]);
    assert_eq!(wrong.json["signature_check"], "wrong");
    assert_eq!(wrong.problems.len(), 1);
    let announce = describe(&bytes("announce.frame"), &Keyring::default());
    assert_eq!((&announce.json["signature_check"], announce.problems.len()), (&json!("valid"), 0));
}

#[test]
fn keys_open_what_is_sealed() {
    let session = key("session", "noise_xx.k_init_to_resp");
    let opened = describe(&bytes("dm_frame.unpadded"), &keys(&[session])).json["opened"].clone();
    assert_eq!(opened["private"]["type"], "privateMessage");
    assert_eq!(opened["private"]["content"], json!({"id": "m1", "content": "hi"}));

    let envelope = packet(MessageType::CourierEnvelope, bytes("courier.envelope")).to(PeerId([2; 8]));
    let envelope = envelope.encode().unwrap();
    let opened = describe(&envelope, &keys(&[key("noise", "bob.noise_priv")])).json["opened"].clone();
    assert_eq!(opened["sender"], "aaa8fff703b50b22");
    assert_eq!(opened["private"]["content"]["content"], "hi");
    assert!(describe(&envelope, &keys(&[key("noise", "alice.noise_priv")])).json["opened"].is_null());

    let seal = bytes("prekey_seal.seal");
    let sealed = crate::courier::Envelope {
        tag: [0; 16],
        expiry: 9,
        ciphertext: &seal,
        copies: None,
        prekey_id: Some(7),
    };
    let to_key = packet(MessageType::CourierEnvelope, sealed.encode().unwrap()).encode().unwrap();
    let prekey = key("prekey:7", "prekey_seal.prekey_priv");
    assert_eq!(describe(&to_key, &keys(&[prekey])).json["opened"]["private"]["content"]["id"], "m1");

    let group = packet(MessageType::GroupMessage, bytes("group.payload")).encode().unwrap();
    let opened = describe(&group, &keys(&[key("group", "group.key")])).json["opened"].clone();
    assert_eq!((&opened["content"], &opened["id"]), (&json!("hey group"), &json!("g1")));
}

#[test]
fn private_payloads_are_sealed_again() {
    let state = bytes("group_state.payload");
    let file = [&[0x20][..], &bytes("file.tlv")].concat();
    let response = {
        let challenge = bytes("verify.challenge");
        let signature = bytes("verify.resp_sig");
        [&[0x11][..], &challenge[1..], &[3, 64], &signature].concat()
    };
    let identity = crate::Identity::from_bytes(&[1; 32], &[2; 32]);
    let one = crate::vouch::Attestation::sign(&identity, identity.fingerprint(), [3; 32], 5);
    let vouch = [&[0x12][..], &crate::vouch::encode(&[one]).unwrap()].concat();
    let update = [&[0x07][..], &state[1..]].concat();
    let mut plains = vec![state, update, file, response, vouch, bytes("verify.challenge"), vec![0x42, 1, 2]];
    plains.push(hex::decode("08010203040506070800000101").unwrap());
    for name in ["plain", "ack_plain", "read_plain", "peerstate_plain"] {
        plains.push(bytes(&format!("noise_transport.{name}")));
    }
    let session = || keys(&[format!("session:{}", "07".repeat(32))]);
    for plain in plains {
        let sealed = crate::noise::seal_with_key(&[7; 32], 9, &plain).unwrap();
        let sample = packet(MessageType::NoiseEncrypted, sealed).to(PeerId([2; 8])).encode().unwrap();
        let mut description = describe(&sample, &session()).json;
        let private = description["opened"]["private"].clone();
        assert!(!private.is_null(), "{}", hex::encode(&plain));
        let object = description.as_object_mut().unwrap();
        object.remove("payload");
        object.insert("content".into(), json!({"counter": 9, "private": private}));
        assert_eq!(build(&description, &session(), 0).unwrap(), sample, "{description}");
        let without = build(&description, &Keyring::default(), 0);
        assert!(matches!(without, Err(BuildError::NoSessionKey)));
    }
}

#[test]
fn what_is_wrong_is_said() {
    let problems = |bytes: &[u8]| describe(bytes, &Keyring::default()).problems.join("; ");
    let has = |bytes: &[u8], text: &str| {
        let said = problems(bytes);
        assert!(said.contains(text), "{said:?} lacks {text:?}");
    };
    has(&[], "this is no packet");
    has(&[9; 30], "version 9 is unknown");
    has(&bytes("announce.frame")[..60], "only 60 are there");
    has(&[&bytes("announce.frame")[..], b"xyz"].concat(), "3 bytes follow");
    has(
        &packet(MessageType::Message, b"hi".to_vec()).encode().unwrap(),
        "nobody believes an unsigned message",
    );
    has(&packet(MessageType::Message, vec![0xff]).encode().unwrap(), "is not UTF-8");
    has(
        &packet(MessageType::Announce, bytes("announce.payload")).encode().unwrap(),
        "belongs to aaa8fff703b50b22",
    );
    let mut far = packet(MessageType::Message, b"hi".to_vec());
    far.ttl = 200;
    has(&far.encode().unwrap(), "time to live is 200");
    has(
        &packet(MessageType::RequestSync, bytes("gcs.request_ios")).encode().unwrap(),
        "must have time to live 0",
    );
    has(&packet(MessageType::Ping, vec![0; 9]).encode().unwrap(), "need a recipient");
    let saturated = hex::decode("01000101020004000000020300 0100".replace(' ', "")).unwrap();
    has(&packet(MessageType::RequestSync, saturated).encode().unwrap(), "a quarter of all packets");
    let mut damaged = bytes("compress.frame_unsigned_l6");
    *damaged.last_mut().unwrap() ^= 0xff;
    let last = damaged.len() - 4;
    damaged[last] ^= 0xff;
    has(&damaged, "the compressed payload is damaged");
    assert_eq!(problems(&bytes("hs1_frame.hex")), "");
    assert_eq!(problems(&packet(MessageType::Unknown(0xe0), vec![1]).encode().unwrap()), "");
}

#[test]
fn contradictions_and_slips_are_refused() {
    let none = Keyring::default();
    let error = |change: fn(&mut serde_json::Map<String, Value>)| {
        let mut description = describe(&bytes("announce.frame"), &none).json;
        change(description.as_object_mut().unwrap());
        build(&description, &none, 0).unwrap_err().to_string()
    };
    let contains = |text: String, part: &str| assert!(text.contains(part), "{text:?} lacks {part:?}");
    contains(
        error(|d| {
            d["content"]["nickname"] = json!("eve");
        }),
        "payload and content differ",
    );
    contains(
        error(|d| {
            d.insert("type".into(), json!("ping"));
        }),
        "different types",
    );
    contains(
        error(|d| {
            d.insert("type".into(), json!("pnig"));
            d.remove("type_number");
        }),
        "there is no type \"pnig\"",
    );
    contains(
        error(|d| {
            d.remove("sender");
        }),
        "missing field `sender`",
    );
    contains(
        error(|d| {
            d.insert("sender".into(), json!("abc"));
        }),
        "16 hexadecimal digits",
    );
    contains(
        error(|d| {
            d.insert("tll".into(), json!(3));
        }),
        "unknown field `tll`",
    );
    contains(
        error(|d| {
            d.insert("version".into(), json!(3));
        }),
        "version 3 is unknown",
    );
    contains(
        error(|d| {
            d.remove("payload");
            d.remove("content");
        }),
        "both missing",
    );
    contains(
        error(|d| {
            d.remove("payload");
            d["content"]["noise_public"] = json!("00");
        }),
        "content: ",
    );
    contains(
        error(|d| {
            d.remove("payload");
            d["content"]["capabilities"] = json!(["flying"]);
        }),
        "no capability \"flying\"",
    );
    let other = json!({"original_size": 3, "data": "030000"});
    let mut description = describe(&bytes("message_ios_style.frame"), &none).json;
    description["compression"] = other;
    assert!(build(&description, &none, 0).is_err());
}

#[test]
fn keys_are_read_or_refused() {
    let mut keys = Keyring::default();
    let hex = "07".repeat(32);
    for good in ["noise:", "prekey:7:", "group:", "session:", "public:", "signing:"] {
        assert_eq!(keys.add(&format!("{good}{hex}\n")), Ok(()));
    }
    assert_eq!(keys.add(&format!("signing:{hex}")), Err(KeyError::TwoSigningKeys));
    assert_eq!(keys.add("noise:12"), Err(KeyError::Hex("noise")));
    assert_eq!(keys.add(&format!("prekey:{hex}")), Err(KeyError::PrekeyId));
    // Nothing of a key that was given without its kind is repeated but its start.
    assert_eq!(keys.add(&hex), Err(KeyError::Kind("070707070707".into())));
    assert_eq!(format!("{keys:?}"), "Keyring");
}

proptest! {
    #[test]
    fn any_bytes_are_described_and_built_again(
        kind in any::<u8>(),
        payload in proptest::collection::vec(any::<u8>(), 0..200),
        sample in any::<prop::sample::Index>(),
        bends in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        pad in any::<bool>(),
    ) {
        let all = samples();
        let mut bent = all[sample.index(all.len())].clone();
        for (at, with) in bends {
            let at = at.index(bent.len());
            bent[at] = with;
        }
        let mut made = packet(MessageType::from(kind), payload);
        made.padding = if pad { PaddingPolicy::Always } else { PaddingPolicy::Never };
        for bytes in [bent, made.encode().unwrap()] {
            let description = describe(&bytes, &Keyring::default());
            let Ok(packet) = PacketRef::decode(&bytes) else {
                prop_assert!(!description.problems.is_empty());
                continue;
            };
            match build(&description.json, &Keyring::default(), 0) {
                Ok(again) => prop_assert_eq!(hex::encode(again), hex::encode(packet.wire())),
                Err(error) => prop_assert!(packet.payload().is_err(), "{error}: {}", description.json),
            }
        }
    }
}
