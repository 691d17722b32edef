//! What comes out of an envelope, and a session that receives it.
#![no_main]
use fog_p2p::datagram::Datagram;
use fog_p2p::session::Sessions;
use std::time::{Duration, Instant};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(datagram) = Datagram::decode(bytes) {
        let mut sessions = Sessions::new(2031, Duration::from_secs(1), vec![1], 1);
        sessions.set_peer([1; 32], None);
        let now = Instant::now();
        for peer in [[1; 32], [2; 32]] {
            sessions.receive(now, peer, datagram.clone());
        }
        while sessions.poll(now).is_some() {}
    }
});
