//! A stranger's Sphinx packet, at a relay.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let secret = x25519_dalek::StaticSecret::from([7; 32]);
    let _ = betanet::packet::open(&secret, bytes).and_then(betanet::packet::Opened::unwrap_layer);
    // Random bytes rarely have the right length.
    let mut whole = vec![0; betanet::packet::PACKET_LEN];
    let n = bytes.len().min(whole.len());
    whole[..n].copy_from_slice(&bytes[..n]);
    let _ = betanet::packet::open(&secret, &whole).and_then(betanet::packet::Opened::unwrap_layer);
});
