//! A stranger's consensus document.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(consensus) = betanet::directory::SignedConsensus::from_bytes(bytes) {
        let _ = consensus.verify(1_800_000_000);
    }
});
