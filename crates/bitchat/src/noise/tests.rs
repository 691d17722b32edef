use super::*;
use crate::identity::Identity;
use crate::peer::PeerId;
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

fn person(n: u8) -> Identity {
    Identity::from_bytes(&[n; 32], &[n.wrapping_add(100); 32])
}

struct Node {
    id: PeerId,
    sessions: Sessions,
    rng: ChaCha20Rng,
}

fn node(n: u8) -> Node {
    with(n, Config::default())
}

fn with(n: u8, config: Config) -> Node {
    let identity = person(n);
    Node {
        id: identity.peer_id(),
        sessions: Sessions::new(identity, config),
        rng: ChaCha20Rng::from_seed([n; 32]),
    }
}

impl Node {
    fn initiate(&mut self, peer: PeerId, now: u64) -> Vec<u8> {
        self.sessions.initiate(peer, now, &mut self.rng).unwrap()
    }

    fn step(&mut self, peer: PeerId, message: &[u8], now: u64) -> Result<HandshakeStep, SessionError> {
        self.sessions.handshake(peer, message, now, &mut self.rng)
    }

    fn reply(&mut self, peer: PeerId, message: &[u8], now: u64) -> Vec<u8> {
        match self.step(peer, message, now) {
            Ok(HandshakeStep::Reply(m)) => m,
            other => panic!("{other:?}"),
        }
    }

    fn opened(&mut self, peer: PeerId, message: &[u8], now: u64) -> SessionOpened {
        match self.step(peer, message, now) {
            Ok(HandshakeStep::Opened(o)) => o,
            other => panic!("{other:?}"),
        }
    }
}

/// Opens a session that `a` begins.
fn connect(a: &mut Node, b: &mut Node, now: u64) {
    let m1 = a.initiate(b.id, now);
    let m2 = b.reply(a.id, &m1, now);
    let m3 = a.opened(b.id, &m2, now).reply.unwrap();
    b.opened(a.id, &m3, now);
}

fn payload(received: Result<Received, SessionError>) -> Vec<u8> {
    match received {
        Ok(Received::Payload(p)) => p,
        other => panic!("{other:?}"),
    }
}

fn talk(a: &mut Node, b: &mut Node, now: u64) {
    for text in [&b"hello"[..], b"again"] {
        let sealed = a.sessions.encrypt(b.id, text, now).unwrap();
        assert_eq!(payload(b.sessions.decrypt(a.id, &sealed, now)), text);
        let sealed = b.sessions.encrypt(a.id, text, now).unwrap();
        assert_eq!(payload(a.sessions.decrypt(b.id, &sealed, now)), text);
    }
}

#[test]
fn two_talk() {
    let (mut a, mut b) = (node(1), node(2));
    assert_eq!(a.sessions.encrypt(b.id, b"x", 0), Err(SessionError::NoSession(b.id)));
    connect(&mut a, &mut b, 0);
    talk(&mut a, &mut b, 1);
    assert_eq!(a.sessions.remote_static(b.id), Some(person(2).noise_public()));
    a.sessions.close(b.id);
    assert!(!a.sessions.has_session(b.id) && a.sessions.is_empty());
}

#[test]
fn files_larger_than_a_noise_message_pass() {
    let (mut a, mut b) = (node(1), node(2));
    connect(&mut a, &mut b, 0);
    let file = vec![7; 1 << 20];
    let sealed = a.sessions.encrypt(b.id, &file, 0).unwrap();
    assert_eq!(payload(b.sessions.decrypt(a.id, &sealed, 0)), file);
    let too_long = a.sessions.encrypt(b.id, &vec![0; crate::packet::MAX_PAYLOAD], 0);
    assert!(matches!(too_long, Err(SessionError::Transport(TransportError::TooLong(_)))));
}

#[test]
fn messages_come_once_and_out_of_order() {
    let (mut a, mut b) = (node(1), node(2));
    connect(&mut a, &mut b, 0);
    let sealed: Vec<Vec<u8>> = (0..50u8).map(|n| a.sessions.encrypt(b.id, &[n], 0).unwrap()).collect();
    for n in (0..50).rev() {
        assert_eq!(payload(b.sessions.decrypt(a.id, &sealed[n], 0)), [n as u8]);
    }
    let again = b.sessions.decrypt(a.id, &sealed[3], 0);
    assert_eq!(again, Err(SessionError::Transport(TransportError::Replayed(3))));
    let mut bent = a.sessions.encrypt(b.id, b"x", 0).unwrap();
    *bent.last_mut().unwrap() ^= 1;
    assert_eq!(b.sessions.decrypt(a.id, &bent, 0), Err(SessionError::Transport(TransportError::Sealed)));
    // A forged counter far ahead does not move the window.
    let mut ahead = a.sessions.encrypt(b.id, b"x", 0).unwrap();
    ahead[0] = 0xff;
    assert!(b.sessions.decrypt(a.id, &ahead, 0).is_err());
    let honest = a.sessions.encrypt(b.id, b"y", 0).unwrap();
    assert_eq!(payload(b.sessions.decrypt(a.id, &honest, 0)), b"y");
    assert!(b.sessions.decrypt(a.id, &[0; 19], 0).is_err());
}

#[test]
fn when_both_begin_the_lower_id_goes_on() {
    let (mut a, mut b) = (node(1), node(2));
    if a.id > b.id {
        std::mem::swap(&mut a, &mut b);
    }
    let from_a = a.initiate(b.id, 0);
    let from_b = b.initiate(a.id, 0);
    assert_eq!(a.step(b.id, &from_b, 0), Ok(HandshakeStep::Ignored));
    let m2 = b.reply(a.id, &from_a, 0);
    let m3 = a.opened(b.id, &m2, 0).reply.unwrap();
    b.opened(a.id, &m3, 0);
    talk(&mut a, &mut b, 0);
}

#[test]
fn a_peer_that_lost_its_state_comes_back() {
    let (mut a, mut b) = (node(1), node(2));
    connect(&mut a, &mut b, 0);
    let under_way = a.sessions.encrypt(b.id, b"under way", 10).unwrap();
    let mut again = node(1);
    again.rng = ChaCha20Rng::from_seed([77; 32]);
    let m1 = again.initiate(b.id, 1_000);
    let m2 = b.reply(again.id, &m1, 1_000);
    // The old session holds until the new one is proven.
    let old = b.sessions.encrypt(a.id, b"still the old one", 1_000).unwrap();
    assert_eq!(payload(a.sessions.decrypt(b.id, &old, 1_000)), b"still the old one");
    let m3 = again.opened(b.id, &m2, 1_000).reply.unwrap();
    b.opened(again.id, &m3, 1_000);
    talk(&mut again, &mut b, 1_001);
    // What was under way is still read, for a while.
    assert_eq!(payload(b.sessions.decrypt(a.id, &under_way, 2_000)), b"under way");
    let late = a.sessions.encrypt(b.id, b"late", 10).unwrap();
    assert!(b.sessions.decrypt(a.id, &late, 40_000).is_err());
}

#[test]
fn a_false_first_message_does_not_end_a_session() {
    let (mut a, mut b, mut mallory) = (node(1), node(2), node(3));
    connect(&mut a, &mut b, 0);
    let m1 = mallory.initiate(b.id, 0);
    // Under a's id.
    let m2 = b.reply(a.id, &m1, 0);
    let m3 = mallory.opened(b.id, &m2, 0).reply.unwrap();
    let stolen = b.step(a.id, &m3, 0);
    let binding = HandshakeError::Binding { expected: a.id, actual: mallory.id };
    assert_eq!(stolen, Err(SessionError::Handshake(binding)));
    talk(&mut a, &mut b, 1);
}

#[test]
fn an_initiator_sends_its_key_only_to_the_right_peer() {
    let (mut a, b, mut mallory) = (node(1), node(2), node(3));
    let m1 = a.initiate(b.id, 0);
    let m2 = mallory.reply(a.id, &m1, 0);
    let binding = HandshakeError::Binding { expected: b.id, actual: mallory.id };
    assert_eq!(a.step(b.id, &m2, 0), Err(SessionError::Handshake(binding)));
    assert!(a.sessions.is_empty());
}

#[test]
fn rubbish_between_the_messages_does_no_harm() {
    let (mut a, mut b) = (node(1), node(2));
    let m1 = a.initiate(b.id, 0);
    let mut rubbish = m1.clone();
    rubbish.resize(96, 9);
    assert!(a.step(b.id, &rubbish, 0).is_err());
    let m2 = b.reply(a.id, &m1, 0);
    assert!(b.step(a.id, &[5; 64], 0).is_err());
    let m3 = a.opened(b.id, &m2, 0).reply.unwrap();
    for len in [0, 31, 33, 65, 97, 1_000] {
        assert!(b.step(a.id, &vec![1; len], 0).is_err());
    }
    b.opened(a.id, &m3, 0);
    talk(&mut a, &mut b, 0);
    assert!(b.step(a.id, &m3, 0).is_err(), "message 3 again");
}

#[test]
fn the_same_first_message_gets_the_same_answer() {
    let (mut a, mut b) = (node(1), node(2));
    let m1 = a.initiate(b.id, 0);
    assert_eq!(a.initiate(b.id, 1), m1);
    let m2 = b.reply(a.id, &m1, 0);
    assert_eq!(b.reply(a.id, &m1, 5), m2);
    let m3 = a.opened(b.id, &m2, 5).reply.unwrap();
    b.opened(a.id, &m3, 5);
    talk(&mut a, &mut b, 5);
}

#[test]
fn low_order_keys_are_refused() {
    let (mut a, mut b) = (node(1), node(2));
    let zero = b.step(a.id, &[0; 32], 0);
    assert_eq!(zero, Err(SessionError::Handshake(HandshakeError::LowOrderKey)));
    a.initiate(b.id, 0);
    let zero = a.step(b.id, &[0; 96], 0);
    assert_eq!(zero, Err(SessionError::Handshake(HandshakeError::LowOrderKey)));
}

#[test]
fn messages_that_overtake_the_handshake_wait() {
    let (mut a, mut b) = (node(1), node(2));
    let m1 = a.initiate(b.id, 0);
    let m2 = b.reply(a.id, &m1, 0);
    let m3 = a.opened(b.id, &m2, 0).reply.unwrap();
    for n in 0..4u8 {
        let sealed = a.sessions.encrypt(b.id, &[n], 0).unwrap();
        assert_eq!(b.sessions.decrypt(a.id, &sealed, 0), Ok(Received::Early));
    }
    let fifth = a.sessions.encrypt(b.id, b"x", 0).unwrap();
    assert_eq!(b.sessions.decrypt(a.id, &fifth, 0), Err(SessionError::TooMuch(a.id)));
    assert_eq!(b.opened(a.id, &m3, 0).early, [[0], [1], [2], [3]]);
    assert_eq!(payload(b.sessions.decrypt(a.id, &fifth, 0)), b"x");
}

#[test]
fn handshakes_time_out() {
    let (mut a, mut b) = (node(1), node(2));
    let m1 = a.initiate(b.id, 0);
    let m2 = b.reply(a.id, &m1, 0);
    assert_eq!(a.sessions.expire(10_000), []);
    assert_eq!(a.sessions.expire(10_001), [b.id]);
    assert!(a.step(b.id, &m2, 10_001).is_err());
    assert_eq!(b.sessions.expire(20_001), []);
    assert!(b.step(a.id, &[1; 64], 20_001).is_err());
    b.sessions.expire(100_000);
    assert!(b.sessions.is_empty());
}

#[test]
fn sessions_are_renewed_when_old_or_out_of_step() {
    let (mut a, mut b) = (node(1), node(2));
    connect(&mut a, &mut b, 0);
    let day = 24 * 3_600_000;
    assert_eq!(a.sessions.due(day / 10 * 9 - 1), []);
    assert_eq!(a.sessions.due(day / 10 * 9), [b.id]);
    for _ in 0..3 {
        assert!(a.sessions.decrypt(b.id, &[0; 40], 100).is_err());
    }
    assert_eq!(a.sessions.due(100), [b.id]);
    for _ in 0..3 {
        assert!(a.sessions.decrypt(b.id, &[0; 40], 200).is_err());
    }
    assert_eq!(a.sessions.due(200), [], "not again at once");
    let m1 = a.initiate(b.id, 300);
    let m2 = b.reply(a.id, &m1, 300);
    let m3 = a.opened(b.id, &m2, 300).reply.unwrap();
    b.opened(a.id, &m3, 300);
    talk(&mut a, &mut b, 400);
}

#[test]
fn strangers_get_a_fixed_budget() {
    let mut b = node(200);
    let m1 = |n: u32| {
        let mut rng = ChaCha20Rng::seed_from_u64(u64::from(n));
        Handshake::initiate(&person(1), &mut rng).unwrap().1
    };
    let stranger = |n: u32| PeerId((u64::from(n) + 1).to_be_bytes());
    // One stranger: ten a minute.
    let answered = (0..20).filter(|n| b.step(stranger(0), &m1(*n), 1_000_000).is_ok()).count();
    assert_eq!(answered, 10);
    // Many strangers: thirty a minute together.
    let answered = (1..100).filter(|n| b.step(stranger(*n), &m1(*n), 1_000_000).is_ok()).count();
    assert_eq!(answered, 20);

    // However long it goes on, a bounded number waits.
    let mut b = with(200, Config { handshakes: (10, u32::MAX), pending: 8, peers: 16, ..Config::default() });
    for n in 0..200 {
        assert!(b.step(stranger(n), &m1(n), 1_000 + u64::from(n)).is_ok());
        assert!(b.sessions.len() <= 16);
    }
}

#[test]
fn contacts_keep_their_session_among_strangers() {
    let (mut a, mut b) =
        (node(1), with(2, Config { handshakes: (10, 1_000), peers: 4, ..Config::default() }));
    connect(&mut a, &mut b, 0);
    b.sessions.keep(a.id, true);
    for n in 10..30 {
        let mut stranger = node(n);
        connect(&mut stranger, &mut b, 1_000 * u64::from(n));
        assert!(b.sessions.len() <= 4);
    }
    talk(&mut a, &mut b, 40_000);
}

#[test]
fn a_flood_of_messages_is_cut_off() {
    let (mut a, mut b) = (node(1), node(2));
    connect(&mut a, &mut b, 0);
    let sealed: Vec<Vec<u8>> = (0..150u8).map(|n| a.sessions.encrypt(b.id, &[n], 0).unwrap()).collect();
    let read = sealed.iter().filter(|m| b.sessions.decrypt(a.id, m, 5_000).is_ok()).count();
    assert_eq!(read, 100);
    assert!(b.sessions.decrypt(a.id, &sealed[149], 6_000).is_ok());
}

#[test]
fn nobody_talks_to_themselves() {
    let mut a = node(1);
    let id = a.id;
    assert_eq!(a.sessions.initiate(id, 0, &mut a.rng), Err(SessionError::Oneself));
    assert_eq!(a.step(id, &[1; 32], 0), Err(SessionError::Oneself));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is lost, doubled or reordered between two nodes, a handshake on a quiet line works afterwards.
    #[test]
    fn after_any_mess_two_can_talk(moves in proptest::collection::vec((0u8..6, any::<u8>()), 0..60)) {
        let generous = Config { handshakes: (1_000, 1_000), ..Config::default() };
        let (mut a, mut b) = (with(1, generous), with(2, generous));
        // What is in the air: from a to b or back, handshake or message.
        let mut air: Vec<(bool, bool, Vec<u8>)> = Vec::new();
        let mut now = 0;
        for (what, which) in moves {
            now += 500;
            match what {
                0 => air.push((true, true, a.initiate(b.id, now))),
                1 => air.push((false, true, b.initiate(a.id, now))),
                2 => air.extend(a.sessions.encrypt(b.id, &[which], now).ok().map(|m| (true, false, m))),
                3 => air.extend(b.sessions.encrypt(a.id, &[which], now).ok().map(|m| (false, false, m))),
                _ if air.is_empty() => {}
                _ => {
                    let at = usize::from(which) % air.len();
                    // Delivered, and by chance still there.
                    let (to_b, is_handshake, m) = if what == 4 { air.swap_remove(at) } else { air[at].clone() };
                    let (to, from) = if to_b { (&mut b, a.id) } else { (&mut a, b.id) };
                    if is_handshake {
                        let reply = match to.step(from, &m, now) {
                            Ok(HandshakeStep::Reply(m)) => Some(m),
                            Ok(HandshakeStep::Opened(o)) => o.reply,
                            _ => None,
                        };
                        air.extend(reply.map(|m| (!to_b, true, m)));
                    } else {
                        _ = to.sessions.decrypt(from, &m, now);
                    }
                }
            }
        }
        now += 100_000;
        a.sessions.expire(now);
        b.sessions.expire(now);
        connect(&mut a, &mut b, now);
        talk(&mut a, &mut b, now + 10_000);
    }
}
