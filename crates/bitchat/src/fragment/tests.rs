use super::*;
use crate::peer::PeerId;
use proptest::prelude::*;

fn parent(sender: u8, len: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
    let mut packet = Packet::new(MessageType::FileTransfer, PeerId([sender; 8]), 1_000, payload);
    packet.version = Version::V2;
    packet.encode().unwrap()
}

fn push(r: &mut Reassembler, bytes: &[u8], now: u64) -> Result<Option<Vec<u8>>, ReassemblyError> {
    r.push(&PacketRef::decode(bytes).unwrap(), now)
}

fn fragment(sender: u8, id: u64, index: u16, total: u16, data: &[u8]) -> Vec<u8> {
    let fragment = Fragment {
        id: FragmentId(id.to_be_bytes()),
        index,
        total,
        original_type: MessageType::Message,
        data,
    };
    let mut packet = Packet::new(MessageType::Fragment, PeerId([sender; 8]), 5, Vec::new());
    packet.body = Body::Plain(fragment.encode());
    packet.encode().unwrap()
}

#[test]
fn codec_as_published() {
    let payload = hex::decode("00010203040506070001000302aabb").unwrap();
    let fragment = Fragment::decode(&payload).unwrap();
    assert_eq!(fragment.id, FragmentId([0, 1, 2, 3, 4, 5, 6, 7]));
    assert_eq!((fragment.index, fragment.total, fragment.original_type), (1, 3, MessageType::Message));
    assert_eq!(fragment.data, [0xaa, 0xbb]);
    assert_eq!(fragment.encode(), payload);
    for byte in [0, 1, 0xff] {
        assert!(Fragment::decode(&[byte; 12]).is_err());
    }
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let with = |index: u16, total: u16| {
        let f = Fragment {
            id: FragmentId([0; 8]),
            index,
            total,
            original_type: MessageType::Message,
            data: b"x",
        };
        Fragment::decode(&f.encode()).map(|_| ())
    };
    assert_eq!(with(0, 1), Ok(()));
    assert!(with(0, 0).is_err() && with(3, 3).is_err());
    assert!(matches!(with(0, 10_001), Err(DecodeError::TooLong { .. })));
}

#[test]
fn lost_doubled_and_shuffled_pieces() {
    let parent = parent(1, 10_000);
    let pieces = split(&parent, 469, FragmentId([9; 8])).unwrap();
    assert!(pieces.iter().all(|p| p.len() <= 512));
    let mut r = Reassembler::default();
    let mut order: Vec<usize> = (0..pieces.len()).rev().collect();
    order.extend(0..5);
    order.retain(|i| *i != 3);
    for i in order {
        assert_eq!(push(&mut r, &pieces[i], 10), Ok(None));
    }
    assert_eq!(r.stalled(10), []);
    assert_eq!(r.stalled(5_010), [(PeerId([1; 8]), FragmentId([9; 8]))]);
    let whole = push(&mut r, &pieces[3], 5_020).unwrap().unwrap();
    assert_eq!(whole[2], 0, "time to live");
    assert_eq!(whole[3..], parent[3..]);
    assert_eq!((r.len(), r.bytes()), (0, 0));
}

#[test]
fn waiting_ends() {
    let mut r = Reassembler::default();
    assert_eq!(push(&mut r, &fragment(1, 1, 0, 2, b"a"), 0), Ok(None));
    r.expire(30_000);
    assert_eq!(r.len(), 1);
    r.expire(30_001);
    assert_eq!((r.len(), r.bytes(), r.dropped()), (0, 0, 1));
}

#[test]
fn ten_thousand_sets_take_no_more_than_the_bounds() {
    let mut r = Reassembler::default();
    let limits = Limits::default();
    // An honest set of somebody else survives what one flooder does.
    let honest = split(&parent(7, 2_000), 469, FragmentId([7; 8])).unwrap();
    assert_eq!(push(&mut r, &honest[0], 0), Ok(None));
    for id in 0..10_000 {
        assert_eq!(push(&mut r, &fragment(1, id, 0, 10_000, &[0; 400]), 1), Ok(None));
        assert!(r.len() <= limits.sets && r.bytes() <= limits.bytes);
    }
    let (last, rest) = honest[1..].split_last().unwrap();
    for piece in rest {
        assert_eq!(push(&mut r, piece, 2), Ok(None));
    }
    assert!(push(&mut r, last, 2).unwrap().is_some());
}

#[test]
fn many_bytes_take_no_more_than_the_bounds() {
    let mut r = Reassembler::default();
    let limits = Limits::default();
    for index in 0..9_000 {
        for id in 0..2 {
            _ = push(&mut r, &fragment(id as u8, id, index, 10_000, &[0; 450]), 1);
            assert!(r.bytes() <= limits.bytes);
        }
    }
    let mut small = Reassembler::new(Limits { set_bytes: 1_000, ..limits });
    assert_eq!(push(&mut small, &fragment(1, 1, 0, 9, &[0; 600]), 1), Ok(None));
    let second = push(&mut small, &fragment(1, 1, 1, 9, &[0; 600]), 1);
    assert_eq!(second, Err(ReassemblyError::TooLarge(1_000)));
    assert_eq!((small.len(), small.bytes()), (0, 0));
}

#[test]
fn pieces_that_do_not_fit_are_refused() {
    let mut r = Reassembler::default();
    assert_eq!(push(&mut r, &fragment(1, 1, 0, 2, b"a"), 0), Ok(None));
    assert_eq!(push(&mut r, &fragment(1, 1, 1, 3, b"a"), 0), Err(ReassemblyError::Conflict));
    // The same id from somebody else is another packet.
    assert_eq!(push(&mut r, &fragment(2, 1, 1, 3, b"a"), 0), Ok(None));
    // The whole claims another sender than its pieces.
    let stolen = split(&parent(3, 50), 469, FragmentId([1; 8])).unwrap();
    let mut bent = stolen[0].clone();
    bent[14..22].copy_from_slice(&[4; 8]);
    assert_eq!(push(&mut r, &bent, 0), Err(ReassemblyError::NotAPacket));
    assert!(split(&stolen[0], 100, FragmentId([1; 8])).is_err(), "a fragment is not cut again");
    let mut nested = Packet::new(MessageType::Fragment, PeerId([1; 8]), 5, Vec::new());
    let inner = Fragment {
        id: FragmentId([0; 8]),
        index: 0,
        total: 1,
        original_type: MessageType::Fragment,
        data: b"x",
    };
    nested.body = Body::Plain(inner.encode());
    assert_eq!(push(&mut r, &nested.encode().unwrap(), 0), Err(ReassemblyError::Nested));
}

#[test]
fn fragments_fit_the_link() {
    let plain = parent(1, 5_000);
    for limit in [185, 247, 512] {
        let len = data_len(&PacketRef::decode(&plain).unwrap(), limit);
        let pieces = split(&plain, len, FragmentId([0; 8])).unwrap();
        assert!(pieces.iter().all(|p| p.len() <= limit), "{limit}");
    }
    let mut routed = PacketRef::decode(&plain).unwrap().to_packet();
    routed.recipient = Some(PeerId([2; 8]));
    routed.route = Some(vec![PeerId([3; 8]); 4]);
    let routed = routed.encode().unwrap();
    let len = data_len(&PacketRef::decode(&routed).unwrap(), 512);
    let pieces = split(&routed, len, FragmentId([0; 8])).unwrap();
    for piece in &pieces {
        assert!(piece.len() <= 512);
        let piece = PacketRef::decode(piece).unwrap();
        assert_eq!((piece.version, piece.route.len(), piece.ttl), (Version::V2, 4, 7));
    }
    assert_eq!(data_len(&PacketRef::decode(&plain).unwrap(), 20), MIN_DATA_LEN);
}

proptest! {
    #[test]
    fn what_is_cut_is_put_together(len in 0usize..5_000, data_len in 1usize..600, seed in any::<u64>()) {
        let parent = parent(1, len);
        let mut pieces = split(&parent, data_len, FragmentId(seed.to_be_bytes())).unwrap();
        // A shuffle by the seed.
        let mut x = seed | 1;
        for i in (1..pieces.len()).rev() {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            pieces.swap(i, (x >> 33) as usize % (i + 1));
        }
        let mut r = Reassembler::default();
        let mut whole = None;
        for piece in &pieces {
            whole = push(&mut r, piece, 0).unwrap();
        }
        prop_assert_eq!(&whole.unwrap()[3..], &parent[3..]);
    }

    #[test]
    fn any_fragments_leave_the_books_right(
        pieces in proptest::collection::vec((0u8..3, 0u64..4, 0u16..5, 1u16..5, 1usize..40, 0u64..40_000), 0..80),
    ) {
        let limits = Limits { sets: 3, set_bytes: 100, bytes: 300, ..Limits::default() };
        let mut r = Reassembler::new(limits);
        let mut now = 0;
        for (sender, id, index, total, len, later) in pieces {
            now += later;
            _ = push(&mut r, &fragment(sender, id, index, total, &vec![1; len]), now);
            prop_assert!(r.len() <= limits.sets && r.bytes() <= limits.bytes);
        }
        r.expire(now + limits.lifetime_ms + 1);
        prop_assert_eq!((r.len(), r.bytes()), (0, 0));
    }
}
