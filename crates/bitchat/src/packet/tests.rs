use super::*;
use crate::error::{DecodeError, EncodeError};
use crate::peer::PeerId;
use ed25519_dalek::SigningKey;
use proptest::prelude::*;

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn id(text: &str) -> PeerId {
    text.parse().unwrap()
}

#[test]
fn version_1_as_published() {
    let bytes = unhex("01020701020304050607080000031011121314151617aabbcc");
    let packet = PacketRef::decode(&bytes).unwrap();
    assert_eq!((packet.version, packet.message_type, packet.ttl), (Version::V1, MessageType::Message, 7));
    assert_eq!(packet.timestamp, 0x0102030405060708);
    assert_eq!(packet.sender, id("1011121314151617"));
    assert_eq!(packet.body, [0xaa, 0xbb, 0xcc]);
    assert!(packet.is_broadcast() && packet.signature.is_none() && packet.recipient.is_none());
    assert_eq!(packet.to_packet().encode().unwrap(), bytes);
    let ours = Packet::new(MessageType::Message, packet.sender, packet.timestamp, vec![0xaa, 0xbb, 0xcc]);
    assert_eq!(ours.encode().unwrap(), bytes);
}

#[test]
fn version_2_as_published() {
    let start = "021105000000000000002a0b00000002010203040506070811121314151617180221222324252627283132333435363738dead";
    let bytes = unhex(&format!("{start}{}", "5a".repeat(64)));
    let packet = PacketRef::decode(&bytes).unwrap();
    assert_eq!(
        (packet.version, packet.message_type, packet.ttl),
        (Version::V2, MessageType::NoiseEncrypted, 5)
    );
    assert_eq!(packet.timestamp, 42);
    assert_eq!(packet.recipient, Some(id("1112131415161718")));
    let hops: Vec<PeerId> = packet.route.hops().collect();
    assert_eq!(hops, [id("2122232425262728"), id("3132333435363738")]);
    assert_eq!(packet.body, [0xde, 0xad]);
    assert_eq!(packet.signature, Some(&[0x5a; 64]));
    assert_eq!(packet.to_packet().encode().unwrap(), bytes);
}

#[test]
fn relays_change_one_byte() {
    for padded in [false, true] {
        let mut packet =
            Packet::new(MessageType::Unknown(0xe7), id("0102030405060708"), 5, b"whatever".to_vec());
        packet.other_flags = 0x60;
        packet.padding = if padded { PaddingPolicy::Always } else { PaddingPolicy::Never };
        let bytes = packet.encode().unwrap();
        let relayed = PacketRef::decode(&bytes).unwrap().relayed(3);
        let differing: Vec<usize> = (0..bytes.len()).filter(|i| bytes[*i] != relayed[*i]).collect();
        assert_eq!((relayed.len(), differing), (bytes.len(), vec![2]));
        assert_eq!(relayed[2], 3);
    }
}

#[test]
fn rubbish_after_a_packet_is_not_relayed() {
    let mut bytes =
        Packet::new(MessageType::Message, id("0102030405060708"), 5, b"hi".to_vec()).encode().unwrap();
    let len = bytes.len();
    bytes.extend_from_slice(b"rubbish");
    let packet = PacketRef::decode(&bytes).unwrap();
    assert_eq!(packet.trailing(), 7);
    assert_eq!(packet.wire().len(), len);
}

#[test]
fn signatures_survive_relays_and_nothing_else() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = key.verifying_key().to_bytes();
    let packet =
        Packet::new(MessageType::Message, id("0102030405060708"), 1_750_000_000_123, b"hello".to_vec());
    let bytes = packet.encode_signed(&key).unwrap();
    let received = PacketRef::decode(&bytes).unwrap();
    assert_eq!(received.verify(&public), Ok(()));
    assert_eq!(PacketRef::decode(&received.relayed(2)).unwrap().verify(&public), Ok(()));
    let reply = received.as_sync_reply();
    let reply = PacketRef::decode(&reply).unwrap();
    assert!(reply.is_sync_reply() && reply.ttl == 0);
    assert_eq!(reply.verify(&public), Ok(()));
    assert_eq!(reply.id(), received.id());

    for i in 0..bytes.len() {
        // Time to live, and what a change of makes another packet altogether: version, flags, length.
        if [0, 2, 11, 12, 13].contains(&i) {
            continue;
        }
        let mut bent = bytes.clone();
        bent[i] ^= 1;
        assert_eq!(PacketRef::decode(&bent).unwrap().verify(&public), Err(SignatureError::Wrong), "byte {i}");
    }
    assert!(received.verify(&[9; 32]).is_err());
    let unsigned = packet.encode().unwrap();
    assert_eq!(PacketRef::decode(&unsigned).unwrap().verify(&public), Err(SignatureError::Missing));
}

#[test]
fn a_key_of_small_order_signs_nothing() {
    let mut packet = Packet::new(MessageType::Message, id("0102030405060708"), 5, b"forged".to_vec());
    let mut signature = [0; 64];
    signature[0] = 1; // R is the identity, S is 0
    packet.signature = Some(signature);
    let bytes = packet.encode().unwrap();
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(PacketRef::decode(&bytes).unwrap().verify(&identity), Err(SignatureError::Wrong));
}

#[test]
fn a_compression_bomb_stays_small() {
    // 1 GiB is promised; 100 KiB of zeros, compressed, promise a byte more than they hold, and one less.
    let deflated = miniz_oxide::deflate::compress_to_vec(&vec![0; 100 << 10], 9);
    let frame = |size: u32| {
        let mut packet = Packet::new(MessageType::Message, id("0102030405060708"), 5, Vec::new());
        packet.body = Body::Compressed { original_size: size, data: deflated.clone() };
        packet.encode().unwrap()
    };
    let payload = |size: u32| PacketRef::decode(&frame(size)).unwrap().payload().map(|p| p.len());
    assert_eq!(payload(100 << 10), Ok(100 << 10));
    let damaged = |size: usize| Err(DecodeError::Compression(size));
    assert_eq!(payload((100 << 10) + 1), damaged((100 << 10) + 1));
    assert_eq!(payload((100 << 10) - 1), damaged((100 << 10) - 1));
    let too_long = DecodeError::TooLong { what: "the expanded payload", len: 1 << 30, max: MAX_PAYLOAD };
    assert_eq!(payload(1 << 30), Err(too_long));
    // Two bytes cannot become a hundred thousand and one.
    assert_eq!(compression::expand(&[3, 0], 100_001, MAX_PAYLOAD), Err(DecodeError::Compression(100_001)));
}

#[test]
fn zlib_wrapped_payloads_are_read() {
    let payload = b"bitchat ".repeat(20);
    let wrapped = miniz_oxide::deflate::compress_to_vec_zlib(&payload, 6);
    assert_eq!(compression::expand(&wrapped, payload.len(), MAX_PAYLOAD), Ok(payload));
}

#[test]
fn large_payloads_and_routes_take_version_2() {
    let sender = id("0102030405060708");
    let mut random = vec![0u8; 65_536];
    let mut x = 1u32;
    random.iter_mut().for_each(|b| {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *b = (x >> 24) as u8;
    });
    let version = |packet: &Packet| packet.encode().unwrap()[0];
    let mut packet = Packet::new(MessageType::FileTransfer, sender, 1, random.clone());
    assert_eq!(version(&packet), 2);
    packet.body = Body::Auto(random[..65_535].to_vec());
    assert_eq!(version(&packet), 1);
    packet.route = Some(vec![sender]);
    assert_eq!(version(&packet), 2);
    packet.body = Body::Auto(vec![0; MAX_PAYLOAD + 1]);
    assert!(matches!(packet.encode(), Err(EncodeError::TooLong { .. })));
}

#[test]
fn impossible_packets_are_refused() {
    assert!(matches!(PacketRef::decode(&[]), Err(DecodeError::Truncated { .. })));
    assert_eq!(PacketRef::decode(&[3; 40]), Err(DecodeError::Version(3)));
    let huge = unhex("0202070102030405060708000fffffff1011121314151617");
    assert!(matches!(PacketRef::decode(&huge), Err(DecodeError::TooLong { .. })));
    let bytes = unhex("01020701020304050607080000031011121314151617aabbcc");
    for len in 0..bytes.len() {
        assert!(matches!(PacketRef::decode(&bytes[..len]), Err(DecodeError::Truncated { .. })), "{len}");
    }
}

fn packets() -> impl Strategy<Value = Packet> {
    let ids = || any::<[u8; 8]>().prop_map(PeerId);
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..700).prop_map(Body::Plain),
        (0u8..3, 0usize..3000).prop_map(|(b, n)| Body::Auto(vec![b; n])),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Body::Auto),
    ];
    let fixed = (any::<bool>(), any::<u8>(), any::<u8>(), any::<u64>(), any::<bool>(), ids());
    let optional =
        (proptest::option::of(ids()), proptest::option::of(proptest::collection::vec(ids(), 0..5)));
    (fixed, optional, body, any::<bool>()).prop_map(|(fixed, (recipient, route), body, pad)| {
        let (v2, kind, ttl, timestamp, sync_reply, sender) = fixed;
        Packet {
            version: if v2 { Version::V2 } else { Version::V1 },
            message_type: kind.into(),
            ttl,
            timestamp,
            sync_reply,
            other_flags: 0,
            sender,
            recipient,
            route,
            body,
            signature: None,
            padding: if pad { PaddingPolicy::Always } else { PaddingPolicy::Never },
        }
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(packet in packets(), sign in any::<bool>()) {
        let key = SigningKey::from_bytes(&[1; 32]);
        let bytes = if sign { packet.encode_signed(&key) } else { packet.encode() }.unwrap();
        let read = PacketRef::decode(&bytes).unwrap();
        prop_assert_eq!(read.trailing(), 0);
        prop_assert_eq!(read.sender, packet.sender);
        prop_assert_eq!(read.recipient, packet.recipient);
        prop_assert_eq!(read.route.hops().collect::<Vec<_>>(), packet.route.clone().unwrap_or_default());
        let (Body::Auto(payload) | Body::Plain(payload)) = &packet.body else { unreachable!() };
        prop_assert_eq!(&*read.payload().unwrap(), payload.as_slice());
        prop_assert_eq!(read.signature.is_some(), sign);
        if sign {
            prop_assert_eq!(read.verify(&key.verifying_key().to_bytes()), Ok(()));
        }
        prop_assert_eq!(read.to_packet().encode().unwrap(), bytes);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400), version in 0u8..4) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = version;
        }
        if let Ok(packet) = PacketRef::decode(&bytes) {
            _ = packet.payload();
            prop_assert_eq!(&packet.to_packet().encode().unwrap()[..], packet.wire());
        }
    }

    #[test]
    fn a_stream_is_cut_into_its_packets(
        packets in proptest::collection::vec(packets(), 1..6),
        pieces in proptest::collection::vec(1usize..200, 1..20),
    ) {
        let encoded: Vec<Vec<u8>> = packets.iter().map(|p| p.encode().unwrap()).collect();
        let stream = encoded.concat();
        let mut decoder = StreamDecoder::new();
        let mut got: Vec<Vec<u8>> = Vec::new();
        let mut rest = &stream[..];
        let mut pieces = pieces.iter().cycle();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*pieces.next().unwrap()).min(rest.len()));
            decoder.push(piece, 0, |p| got.push(PacketRef::decode(p).unwrap().unpadded().to_vec()));
            rest = after;
        }
        let plain: Vec<Vec<u8>> =
            encoded.iter().map(|p| PacketRef::decode(p).unwrap().unpadded().to_vec()).collect();
        prop_assert_eq!(got, plain);
        prop_assert_eq!(decoder.waiting(), 0);
    }
}

#[test]
fn a_stalled_packet_is_given_up() {
    let bytes = unhex("01020701020304050607080000031011121314151617aabbcc");
    let mut decoder = StreamDecoder::new();
    let mut got = 0;
    decoder.push(&bytes[..10], 1000, |_| got += 1);
    assert_eq!(decoder.waiting(), 10);
    decoder.push(&bytes, 1000 + STALL + 1, |_| got += 1);
    assert_eq!((got, decoder.waiting(), decoder.skipped()), (1, 0, 10));
}
