use super::*;
use crate::fragment::FragmentId;
use crate::packet::{MessageType, PACKET_ID_LEN, PacketId};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn id(n: u64) -> PacketId {
    let mut id = [0; PACKET_ID_LEN];
    id.copy_from_slice(&Sha256::digest(n.to_be_bytes())[..PACKET_ID_LEN]);
    PacketId(id)
}

fn ids(range: std::ops::Range<u64>) -> Vec<PacketId> {
    range.map(id).collect()
}

#[test]
fn requests_as_published() {
    let payload = hex::decode("0100011302000401020304030002aabb").unwrap();
    let request = RequestSync::decode(&payload).unwrap();
    assert_eq!((request.filter.p(), request.filter.modulus()), (19, 0x0102_0304));
    assert_eq!(request.filter.data(), [0xaa, 0xbb]);
    assert_eq!(request.encode().unwrap(), payload);
    let unknown = [&hex::decode("7f0002cafe").unwrap()[..], &payload].concat();
    assert_eq!(RequestSync::decode(&unknown), Ok(request));
    assert!(RequestSync::decode(&hex::decode("0100011302000401020304").unwrap()).is_err());
}

#[test]
fn type_flags_as_published() {
    let both = TypeFlags::of(&[MessageType::Announce, MessageType::Message]);
    assert_eq!(both.encode(), [0x03]);
    let group = TypeFlags::of(&[MessageType::Announce, MessageType::Message, MessageType::GroupMessage]);
    assert_eq!(group.encode(), [0x03, 0x04]);
    assert_eq!(TypeFlags::of(&[MessageType::BoardPost]).encode(), [0x00, 0x01]);
    assert_eq!(TypeFlags::decode(&[0x03, 0xf8]), both);
    assert_eq!(TypeFlags::decode(&[0x00, 0xf8]), TypeFlags::default());
    assert!(group.has(MessageType::GroupMessage) && !both.has(MessageType::GroupMessage));
    assert_eq!(TypeFlags::of(&[MessageType::Ping]), TypeFlags::default());
}

#[test]
fn one_in_a_hundred_seems_to_be_there() {
    let (filter, count) = GcsFilter::build(&ids(0..300), DEFAULT_P, 400);
    assert_eq!(count, 300);
    assert!(filter.data().len() <= 400);
    let read = GcsFilter::decode(filter.p(), filter.modulus(), filter.data()).unwrap();
    assert_eq!(read, filter);
    assert!(ids(0..300).iter().all(|id| read.contains(id)));
    let wrong = (1_000..101_000).filter(|n| read.contains(&id(*n))).count();
    assert!(wrong <= 1_200, "{wrong} of 100,000");
    assert!(!filter.is_saturated());
}

#[test]
fn what_does_not_fit_is_left_out_from_the_end() {
    let all = ids(0..5_000);
    let (filter, count) = GcsFilter::build(&all, DEFAULT_P, 256);
    assert!(filter.data().len() <= 256 && count > 150 && count < 300, "{count}");
    assert!(all[..count].iter().all(|id| filter.contains(id)));
}

#[test]
fn a_filter_that_claims_everything_is_known() {
    // M = 2: every packet has the value 1.
    let all = GcsFilter::decode(1, 2, &[0x00]).unwrap();
    assert!(all.contains(&id(1)) && all.contains(&id(2)) && all.is_saturated());
    // The longest data with the shortest codes.
    let dense = GcsFilter::decode(1, 4_097, &[0; MAX_DATA]).unwrap();
    assert_eq!(dense.values().len(), 4_096);
    assert!(dense.is_saturated());
    // Nothing is claimed by M = 1.
    let none = GcsFilter::decode(7, 1, &[]).unwrap();
    assert!(!none.contains(&id(1)) && !none.is_saturated());
}

#[test]
fn impossible_filters_are_refused() {
    assert!(GcsFilter::decode(0, 5, &[]).is_err() && GcsFilter::decode(33, 5, &[]).is_err());
    assert!(GcsFilter::decode(7, 0, &[]).is_err());
    assert!(GcsFilter::decode(7, 5, &[0; MAX_DATA + 1]).is_err());
    // All ones: a quotient without an end. With 32 bits of remainder nothing overflows.
    assert!(GcsFilter::decode(32, u32::MAX, &[0xff; MAX_DATA]).unwrap().values().is_empty());
    let mut ends = [0xff; MAX_DATA];
    ends[MAX_DATA - 6] = 0x7f;
    assert!(GcsFilter::decode(32, u32::MAX, &ends).unwrap().values().is_empty());
}

#[test]
fn fragments_are_asked_for_by_name() {
    let (filter, _) = GcsFilter::build(&[], DEFAULT_P, 400);
    let fragments = Some(vec![FragmentId([1; 8]), FragmentId([0xab; 8])]);
    let mut request = RequestSync { filter, types: None, since: Some(5), fragments };
    let payload = request.encode().unwrap();
    assert!(payload.ends_with(b"0101010101010101,abababababababab"));
    assert_eq!(RequestSync::decode(&payload), Ok(request.clone()));
    assert!(request.wants(MessageType::Message) && !request.wants(MessageType::FileTransfer));
    request.fragments = Some(vec![FragmentId([0; 8]); 61]);
    assert!(request.encode().is_err());
    let with = |ids: &str| {
        let empty = hex::decode("0100010702000400000001030000").unwrap();
        let field = [&[6, 0, ids.len() as u8][..], ids.as_bytes()].concat();
        RequestSync::decode(&[empty, field].concat()).map(|r| r.fragments.map_or(0, |f| f.len()))
    };
    assert_eq!(with("0101010101010101"), Ok(1));
    assert_eq!(with(""), Ok(0));
    assert!(with("01").is_err() && with("zz01010101010101").is_err());
}

proptest! {
    #[test]
    fn filters_contain_what_they_were_made_of(n in 0u64..400, p in 1u8..=32, bytes in 1usize..1_100) {
        let all = ids(0..n);
        let (filter, count) = GcsFilter::build(&all, p, bytes);
        prop_assert!(filter.data().len() <= bytes);
        let read = GcsFilter::decode(filter.p(), filter.modulus(), filter.data()).unwrap();
        // M of the largest filters does not fit into 32 bits; then values are merely more crowded.
        prop_assert!(all[..count].iter().all(|id| read.contains(id)));
        prop_assert_eq!(read.values(), filter.values());
    }

    #[test]
    fn any_request_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(request) = RequestSync::decode(&bytes) {
            let again = request.encode().unwrap();
            prop_assert_eq!(RequestSync::decode(&again).unwrap(), request);
        }
    }
}
