//! Fragments of strangers: the bounds hold, whatever comes in which order.
#![no_main]
use bitchat::PeerId;
use bitchat::fragment::{Fragment, FragmentId, Limits, Reassembler};
use bitchat::packet::{Body, MessageType, Packet, PacketRef};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { sets: 4, set_bytes: 200, bytes: 600, ..Limits::default() };
    let mut reassembler = Reassembler::new(limits);
    let mut now = 0;
    let mut rest = bytes;
    // Six bytes make a fragment: sender, id, index and total, length, delay; the type is 2 or any.
    while let Some(([sender, id, numbers, kind, len, later], more)) = rest.split_first_chunk::<6>() {
        let (data, more) = more.split_at(more.len().min(usize::from(*len)));
        rest = more;
        now += u64::from(*later) * 200;
        let fragment = Fragment {
            id: FragmentId([id % 4; 8]),
            index: u16::from(numbers >> 4),
            total: u16::from(numbers & 15),
            original_type: MessageType::from(*kind),
            data,
        };
        let mut packet = Packet::new(MessageType::Fragment, PeerId([sender % 3; 8]), 1, Vec::new());
        packet.body = Body::Plain(fragment.encode());
        let packet = packet.encode().expect("it is small");
        let packet = PacketRef::decode(&packet).expect("it is a packet");
        if let Ok(Some(whole)) = reassembler.push(&packet, now) {
            let whole = PacketRef::decode(&whole).expect("what comes out is a packet");
            assert!(whole.ttl == 0 && whole.sender == packet.sender);
        }
        assert!(reassembler.len() <= limits.sets && reassembler.bytes() <= limits.bytes);
        let _ = reassembler.stalled(now);
    }
    reassembler.expire(now + limits.lifetime_ms + 1);
    assert!(reassembler.is_empty() && reassembler.bytes() == 0);
    let _ = Fragment::decode(bytes);
});
