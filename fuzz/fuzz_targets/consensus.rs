//! A stranger's consensus document, and what one says of a relay.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(consensus) = betanet::directory::SignedConsensus::from_bytes(bytes) {
        let _ = consensus.verify(1_800_000_000);
    }
    if let Ok(excerpt) = betanet::directory::Excerpt::from_bytes(bytes) {
        assert!(betanet::directory::Excerpt::from_bytes(&excerpt.to_bytes()).is_ok());
        let _ = excerpt.verify();
    }
});
