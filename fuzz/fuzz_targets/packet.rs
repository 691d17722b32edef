//! A stranger's Sphinx packet, at a relay.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let secret = x25519_dalek::StaticSecret::from([7; 32]);
    let secrets = [betanet::packet::EpochSecret { epoch: 0, secret }];
    // Random bytes rarely have the right length.
    let mut whole = vec![0; betanet::packet::PACKET_LEN];
    let n = bytes.len().min(whole.len());
    whole[..n].copy_from_slice(&bytes[..n]);
    let opened = betanet::packet::open(&secrets, vec![bytes.to_vec(), whole]);
    betanet::packet::unwrap(opened.into_iter().flatten().collect());
    if let Ok(block) = betanet::sphinx::Surb::from_bytes(bytes) {
        assert_eq!(block.to_bytes(), bytes);
    }
});
