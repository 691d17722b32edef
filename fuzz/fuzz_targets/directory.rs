//! What strangers send to an authority, and what they claim to be its answers.
#![no_main]
use betanet::directory::exchange::{Answer, Request};
use betanet::directory::vote::SignedVote;
use betanet::directory::{Network, Timing};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let network = Network::new(true, Vec::new(), Timing::BASELINE, 0);
    if let Some(Request::Publish(descriptor)) = Request::decode(bytes) {
        let _ = descriptor.verify_fresh(&network, 1_800_000_000);
    }
    let _ = Answer::decode(bytes);
    if let Ok(vote) = SignedVote::from_bytes(bytes) {
        let _ = vote.verify(&network);
    }
    let _ = betanet::guards::Guards::from_bytes(bytes);
});
