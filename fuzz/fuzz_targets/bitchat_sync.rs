//! Sync requests of strangers: filters stay small, and are written as they were read.
#![no_main]
use bitchat::packet::PacketId;
use bitchat::sync::{GcsFilter, RequestSync};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = RequestSync::decode(bytes) {
        assert!(request.filter.values().len() <= 4096);
        let written = request.encode().expect("what was read fits");
        assert_eq!(RequestSync::decode(&written).expect("what was written is read"), request);
        let _ = request.filter.contains(&PacketId([1; 16]));
    }
    if let Some(([p, a, b, c, d], data)) = bytes.split_first_chunk::<5>() {
        let modulus = u32::from_be_bytes([*a, *b, *c, *d]);
        if let Ok(filter) = GcsFilter::decode(*p, modulus, data) {
            assert!(filter.values().iter().all(|v| *v > 0 && *v < u64::from(modulus)));
            assert!(filter.values().is_sorted());
            let _ = filter.is_saturated();
        }
        let ids: Vec<PacketId> = data.as_chunks::<16>().0.iter().map(|id| PacketId(*id)).collect();
        let (filter, count) = GcsFilter::build(&ids, *p, 400);
        assert!(ids[..count].iter().all(|id| filter.contains(id)) && filter.data().len() <= 400);
    }
});
