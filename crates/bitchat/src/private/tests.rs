use super::*;
use crate::capabilities::Capabilities;
use proptest::prelude::*;

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

#[test]
fn texts_as_published() {
    let message = PrivateMessage { id: "m1", content: "hi" };
    assert_eq!(message.encode().unwrap(), unhex("00026d3101026869"));
    assert_eq!(PrivateMessage::decode(&unhex("00026d3101026869")), Ok(message));
    let payload = PrivatePayload::PrivateMessage(message);
    assert_eq!(payload.encode().unwrap(), unhex("0100026d3101026869"));
    assert_eq!(PrivateMessage::decode(&unhex("00026d31")), Err(DecodeError::Missing("the message")));
    let cut = unhex("00026d3101036869");
    assert_eq!(
        PrivateMessage::decode(&cut),
        Err(DecodeError::Truncated { what: "a field", need: 3, have: 2 })
    );
}

#[test]
fn the_old_file_type_is_read_and_not_written() {
    assert_eq!(PrivateType::from(0x09), PrivateType::PrivateFile);
    assert_eq!(u8::from(PrivateType::from(0x09)), 0x20);
    let old = [&[0x09][..], &unhex("01000161020004000000020300016d0400000002dead")].concat();
    let file = PrivatePayload::decode(&old).unwrap();
    assert_eq!(file.encode().unwrap()[0], 0x20);
}

#[test]
fn peer_states_as_published() {
    let key = [0x77; 32];
    let key_hex = hex::encode(key);
    for (bits, form) in [(1 << 8, "01010200010220"), (1 << 5 | 1 << 8, "01010220010220")] {
        let bytes = unhex(&format!("{form}{key_hex}"));
        let state = PeerState { capabilities: Capabilities(bits), signing_public: key };
        assert_eq!(PeerState::decode(&bytes), Ok(state));
        assert_eq!(state.encode().unwrap(), bytes);
    }
    for wrong in [
        format!("02010200010220{key_hex}"),   // another version
        format!("0101030001000220{key_hex}"), // not the shortest form
        format!("01010200010102000102 20{key_hex}").replace(' ', ""), // twice
        "010102000102 02abcd".replace(' ', ""), // a short key
        "0101020001".into(),                  // no key
    ] {
        assert!(PeerState::decode(&unhex(&wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn favourites() {
    let of = |content| PrivateMessage { id: "1", content }.favourite();
    assert_eq!(of("[FAVORITED]:npub1abc"), Some((true, "npub1abc")));
    assert_eq!(of("[UNFAVORITED]:"), Some((false, "")));
    assert_eq!(of("I like [FAVORITED]:"), None);
}

#[test]
fn unknown_types_are_kept() {
    let payload = PrivatePayload::decode(&[0x42, 1, 2]).unwrap();
    assert_eq!(payload, PrivatePayload::Unknown { number: 0x42, body: &[1, 2] });
    assert_eq!(payload.encode().unwrap(), [0x42, 1, 2]);
    for number in 0..=255u8 {
        let kind = PrivateType::from(number);
        assert!(number == 0x09 || u8::from(kind) == number);
    }
}

#[test]
fn receipts_name_something() {
    assert!(PrivatePayload::decode(&[3]).is_err());
    assert_eq!(PrivatePayload::decode(b"\x03m1"), Ok(PrivatePayload::Delivered("m1")));
    assert!(PrivatePayload::decode(&[&[2][..], &[b'a'; 256]].concat()).is_err());
    assert!(PrivatePayload::decode(&[2, 0xff]).is_err());
    assert!(PrivatePayload::decode(&[]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn split_texts_are_whole(text in "(\\PC|[ \n]){0,900}") {
        let parts = split_text(&text);
        prop_assert_eq!(parts.concat(), text.clone());
        prop_assert!(parts.iter().all(|p| p.len() <= MAX_CONTENT));
        prop_assert!(parts.len() <= text.len() / (MAX_CONTENT / 2) + 1);
    }

    #[test]
    fn any_bytes_are_read_or_refused(kind in 0u8..0x25, body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [&[kind][..], &body].concat();
        if let Ok(payload) = PrivatePayload::decode(&bytes) {
            let again = payload.encode().unwrap();
            prop_assert_eq!(PrivatePayload::decode(&again).unwrap(), payload);
        }
    }
}
