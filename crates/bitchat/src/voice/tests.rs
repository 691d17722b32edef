use super::*;
use crate::peer::PeerId;

#[test]
fn pieces_as_published() {
    let id = [1, 2, 3, 4, 5, 6, 7, 8];
    let frames: [(&str, u16, VoiceBody<'_>); 4] = [
        ("010203040506070800000101", 0, VoiceBody::Start { codec: CODEC_AAC_LC_16K }),
        ("01020304050607080001000003deadbe", 1, VoiceBody::Data(vec![&[0xde, 0xad, 0xbe]])),
        ("0102030405060708002a02002900000a80", 42, VoiceBody::End { packets: 41, duration_ms: 2688 }),
        ("0102030405060708000304", 3, VoiceBody::Cancel),
    ];
    for (text, sequence, body) in frames {
        let bytes = hex::decode(text).unwrap();
        let frame = VoiceFrame { burst_id: id, sequence, body };
        assert_eq!(VoiceFrame::decode(&bytes), Ok(frame.clone()));
        assert_eq!(frame.encode(), Ok(bytes));
    }
}

#[test]
fn wrong_pieces_are_refused() {
    for text in [
        "0102030405060708000001",           // start without a codec
        "0102030405060708000100",           // data without frames
        "01020304050607080001000004deadbe", // a frame cut off
        "0102030405060708002a02002900000a", // an end cut off
        "010203040506070800030400",         // more than a withdrawal
        "0102030405060708000308",           // an unknown kind
    ] {
        let bytes = hex::decode(text).unwrap();
        assert!(VoiceFrame::decode(&bytes).is_err(), "{text}");
    }
    let frames = vec![&[0u8; 20][..]; 9];
    assert!(VoiceFrame { burst_id: [0; 8], sequence: 0, body: VoiceBody::Data(frames) }.encode().is_err());
    let long = vec![&[0u8; 198][..]];
    assert!(VoiceFrame { burst_id: [0; 8], sequence: 0, body: VoiceBody::Data(long) }.encode().is_err());
}

fn data(burst: u8, sequence: u16, len: usize) -> (VoiceFrame<'static>, usize) {
    const SOUND: [u8; 197] = [0; 197];
    let body = VoiceBody::Data(vec![&SOUND[..len]]);
    (VoiceFrame { burst_id: [burst; 8], sequence, body }, len)
}

#[test]
fn listening_is_bounded() {
    let mut bursts = Bursts::new();
    for n in 0..8 {
        assert_eq!(bursts.hear(PeerId([n; 8]), &data(n, 0, 10).0, 0), Ok(()));
    }
    assert_eq!(bursts.hear(PeerId([9; 8]), &data(9, 0, 10).0, 0), Err(BurstError::TooMany));
    assert_eq!(bursts.hear(PeerId([1; 8]), &data(1, 0, 10).0, 0), Err(BurstError::Repeated));
    // Silence makes room.
    assert_eq!(bursts.hear(PeerId([9; 8]), &data(9, 0, 10).0, 3_001), Ok(()));
    assert_eq!(bursts.len(), 1);
    let end = VoiceFrame { burst_id: [9; 8], sequence: 1, body: VoiceBody::Cancel };
    assert_eq!(bursts.hear(PeerId([9; 8]), &end, 3_001), Ok(()));
    assert!(bursts.is_empty());
    let odd = VoiceFrame { burst_id: [9; 8], sequence: 0, body: VoiceBody::Start { codec: 9 } };
    assert_eq!(bursts.hear(PeerId([9; 8]), &odd, 3_001), Err(BurstError::Codec(9)));
}

#[test]
fn a_sender_may_not_outrun_speech() {
    let mut bursts = Bursts::new();
    let (mut heard, rate) = (0, u64::from(MAX_RATE));
    for sequence in 0..20_000 {
        let (frame, len) = data(sequence as u8 % 4, sequence / 4, 197);
        // Ten times the rate.
        let now = u64::from(sequence) * 197 / 60;
        if bursts.hear(PeerId([1; 8]), &frame, now).is_ok() {
            heard += len as u64;
        }
        assert!(heard <= rate + now * rate / 1000);
    }
}
