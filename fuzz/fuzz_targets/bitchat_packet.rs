//! What a stranger sends over the radio: packets, streams of them, and their payloads.
#![no_main]
use bitchat::json::{Keyring, build, describe};
use bitchat::packet::{MAX_PAYLOAD, MAX_STREAM_BUFFER, PacketRef, StreamDecoder};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let keys = Keyring::default();
    let description = describe(bytes, &keys);
    if let Ok(packet) = PacketRef::decode(bytes) {
        assert_eq!(packet.to_packet().encode().expect("what was read fits"), packet.wire());
        assert_eq!(packet.relayed(packet.ttl), packet.wire());
        if let Ok(payload) = packet.payload() {
            assert!(payload.len() <= MAX_PAYLOAD);
            assert_eq!(build(&description.json, &keys, 0).expect("a description is whole"), packet.wire());
        }
        let _ = packet.verify(&[9; 32]);
    }
    // The first byte says how the rest is cut.
    if let Some((len, rest)) = bytes.split_first() {
        let mut stream = StreamDecoder::new();
        for (n, piece) in rest.chunks(usize::from(*len).max(1)).enumerate() {
            stream.push(piece, n as u64, |packet| {
                assert!(!packet.is_empty() && packet.len() <= rest.len());
                let _ = PacketRef::decode(packet);
            });
            assert!(stream.waiting() <= MAX_STREAM_BUFFER);
        }
    }
});
