//! Handshakes and messages of strangers: nothing beyond the budget is kept, and an honest session stays.
#![no_main]
use bitchat::noise::{Config, HandshakeStep, Received, Sessions};
use bitchat::{Identity, PeerId};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let config = Config { pending: 4, peers: 6, ..Config::default() };
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let (alice, bob) = (Identity::from_bytes(&[1; 32], &[2; 32]), Identity::from_bytes(&[3; 32], &[4; 32]));
    let (a, b) = (alice.peer_id(), bob.peer_id());
    let (mut alice, mut bob) = (Sessions::new(alice, config), Sessions::new(bob, config));
    let m1 = alice.initiate(b, 0, &mut rng).expect("it begins");
    let Ok(HandshakeStep::Reply(m2)) = bob.handshake(a, &m1, 0, &mut rng) else { panic!("no answer") };
    let Ok(HandshakeStep::Opened(opened)) = alice.handshake(b, &m2, 0, &mut rng) else { panic!("no session") };
    bob.handshake(a, &opened.reply.expect("message 3"), 0, &mut rng).expect("a session");
    bob.keep(a, true);

    let mut now = 0;
    let mut rest = bytes;
    while let Some(([what, len, later], more)) = rest.split_first_chunk::<3>() {
        let lens = [32, 64, 96, usize::from(*len)];
        let (data, more) = more.split_at(more.len().min(lens[usize::from(what >> 6)]));
        rest = more;
        now += u64::from(*later) * 10;
        let peer = if what & 1 == 0 { a } else { PeerId([what >> 1 & 15; 8]) };
        if what & 32 == 0 {
            let _ = bob.handshake(peer, data, now, &mut rng);
        } else {
            assert!(!matches!(bob.decrypt(peer, data, now), Ok(Received::Payload(_))), "nobody could seal that");
        }
        assert!(bob.len() <= config.peers);
        let _ = bob.due(now);
    }
    now += 100_000;
    let sealed = alice.encrypt(b, b"still here", now).expect("a session");
    assert_eq!(bob.decrypt(a, &sealed, now), Ok(Received::Payload(b"still here".to_vec())));
});
