//! Two sides, a road that loses, doubles and reorders, a simulated clock.

mod ordered;

use super::*;
use crate::datagram::Place;
use crate::outbox::Priority;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const PATIENCE: Duration = Duration::from_millis(500);
const LEN: usize = 600;

fn sessions() -> Sessions {
    Sessions::new(LEN, PATIENCE, vec![1], 1)
}

fn address() -> Address {
    Address { road: "test", bytes: vec![] }
}

fn waiting(id: u8, peer: PeerKey, kind: u16) -> Waiting {
    Waiting { id: [id; 16], peer, kind, lane: UNORDERED, sequence: 0, priority: Priority::Normal }
}

struct World {
    now: Instant,
    rng: StdRng,
    /// Due time, receiver (0 or 1), content.
    air: Vec<(Instant, usize, Datagram)>,
    sides: [Sessions; 2],
    delivered: Vec<(MessageId, Vec<u8>)>,
    acknowledged: Vec<MessageId>,
    loss: f64,
    confirm: bool,
    slow: Duration,
    /// Messages bring reply blocks, of which this part gets lost.
    block_loss: Option<f64>,
    /// The blocks made, by number: for which message, and how often used.
    blocks: Vec<(MessageId, u32)>,
    /// Messages acknowledged by a block.
    by_block: usize,
}

const KEYS: [PeerKey; 2] = [[10; 32], [20; 32]];

impl World {
    fn new(seed: u64, loss: f64) -> Self {
        let mut sides = [sessions(), sessions()];
        sides[0].set_peer(KEYS[1], Some(address()));
        sides[1].set_peer(KEYS[0], Some(address()));
        Self {
            now: Instant::now(),
            rng: StdRng::seed_from_u64(seed),
            air: Vec::new(),
            sides,
            delivered: Vec::new(),
            acknowledged: Vec::new(),
            loss,
            confirm: true,
            slow: Duration::ZERO,
            block_loss: None,
            blocks: Vec::new(),
            by_block: 0,
        }
    }

    fn step(&mut self) {
        for side in 0..2 {
            while let Some(output) = self.sides[side].poll(self.now) {
                match output {
                    Output::Send { peer, mut content, .. } => {
                        if let Datagram::Fragment(f) = &content {
                            let id = f.message;
                            self.sides[side].sent(self.now, &peer, &id, f.index, Route::default());
                            if f.index + 1 == f.count && self.block_loss.is_some() && f.data.len() < 400 {
                                let block = (self.blocks.len() as u32).to_be_bytes().to_vec();
                                self.blocks.push((id, 0));
                                content = Datagram::Answerable(f.clone(), block);
                            }
                        }
                        assert!(content.encode().len() <= envelope::capacity(LEN));
                        let copies = 1 + usize::from(self.rng.random_bool(0.05));
                        for _ in 0..copies {
                            if !self.rng.random_bool(self.loss) {
                                let delay = Duration::from_millis(self.rng.random_range(10..150));
                                self.air.push((self.now + delay + self.slow / 2, 1 - side, content.clone()));
                            }
                        }
                    }
                    Output::Answer { peer, reply, acks, .. } => {
                        assert!(acks.iter().all(|a| a.complete) && peer == KEYS[1 - side]);
                        let number = u32::from_be_bytes(reply.block().try_into().expect("a block"));
                        let (id, used) = &mut self.blocks[number as usize];
                        *used += 1;
                        assert!(acks[0].message == *id && *used == 1, "once, for its own message");
                        self.by_block += 1;
                        if !self.rng.random_bool(self.block_loss.unwrap_or(1.0)) {
                            let due = self.now + Duration::from_millis(self.rng.random_range(10..150));
                            self.air.push((due, 1 - side, Datagram::Acks(acks)));
                        }
                    }
                    Output::Deliver { peer, id, body, .. } => {
                        self.delivered.push((id, body));
                        if self.confirm {
                            self.sides[side].confirm(self.now, &peer, &id);
                        }
                    }
                    Output::Delivered(id) => self.acknowledged.push(id),
                    _ => {}
                }
            }
        }
        self.now += Duration::from_millis(10);
        let (due, later) = std::mem::take(&mut self.air).into_iter().partition(|(t, ..)| *t <= self.now);
        self.air = later;
        let due: Vec<(Instant, usize, Datagram)> = due;
        for (_, to, content) in due {
            self.sides[to].receive(self.now, KEYS[1 - to], content);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_message_arrives_whole_over_a_road_that_loses_a_fifth(
        seed: u64, lens in proptest::collection::vec(0usize..20_000, 1..12)
    ) {
        let mut world = World::new(seed, 0.2);
        let bodies: Vec<Vec<u8>> = lens.iter().enumerate().map(|(i, n)| vec![i as u8; *n]).collect();
        for i in 0..bodies.len() {
            world.sides[0].enqueue(waiting(i as u8, KEYS[1], 7));
        }
        for _ in 0..20_000 {
            for id in world.sides[0].wants() {
                world.sides[0].load(&id, Some(bodies[usize::from(id[0])].clone()));
            }
            world.step();
            if world.acknowledged.len() == bodies.len() {
                break;
            }
        }
        prop_assert_eq!(world.acknowledged.len(), bodies.len());
        // A copy can be delivered again only if it was never confirmed, and here each was.
        prop_assert_eq!(world.delivered.len(), bodies.len());
        for (id, body) in &world.delivered {
            prop_assert_eq!(body, &bodies[usize::from(id[0])]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_message_is_acknowledged_whether_reply_blocks_work_or_not(
        seed: u64, lens in proptest::collection::vec(0usize..3_000, 1..12), works in 0usize..4
    ) {
        let mut world = World::new(seed, 0.2);
        world.block_loss = Some([0.0, 0.2, 0.9, 1.0][works]);
        for (i, n) in (0..).zip(&lens) {
            world.sides[0].enqueue(waiting(i, KEYS[1], 7));
            world.sides[0].wants();
            world.sides[0].load(&[i; 16], Some(vec![i; *n]));
        }
        for _ in 0..20_000 {
            for id in world.sides[0].wants() {
                world.sides[0].load(&id, Some(vec![id[0]; lens[usize::from(id[0])]]));
            }
            world.step();
            if world.acknowledged.len() == lens.len() {
                break;
            }
        }
        prop_assert_eq!(world.acknowledged.len(), lens.len());
        prop_assert_eq!(world.delivered.len(), lens.len());
        prop_assert!(world.by_block <= lens.len(), "one answer for each message that was put together");
    }
}

#[test]
fn who_lives_nowhere_known_is_answered_by_block() {
    let mut world = World::new(3, 0.0);
    world.block_loss = Some(0.0);
    world.sides[1].set_peer(KEYS[0], None);
    for id in 1..=40 {
        world.sides[0].enqueue(waiting(id, KEYS[1], 7));
    }
    for _ in 0..2_000 {
        for id in world.sides[0].wants() {
            world.sides[0].load(&id, Some(vec![id[0]; 100]));
        }
        world.step();
    }
    assert_eq!((world.acknowledged.len(), world.sides[0].resent()), (40, 0));
    assert!(world.by_block > 0);
}

/// What comes with a reply block, and what the side answers to it, as (by block, messages).
fn answers(side: &mut Sessions, now: Instant) -> Vec<(bool, Vec<u8>)> {
    let mut answers = Vec::new();
    let messages = |acks: Vec<Ack>| acks.iter().map(|a| a.message[0]).collect();
    while let Some(output) = side.poll(now) {
        match output {
            Output::Deliver { peer, id, .. } => side.confirm(now, &peer, &id),
            Output::Answer { acks, .. } => answers.push((true, messages(acks))),
            Output::Send { content: Datagram::Acks(acks), .. } => answers.push((false, messages(acks))),
            _ => {}
        }
    }
    answers
}

#[test]
fn a_block_is_used_once_while_it_is_fresh_and_never_a_strangers() {
    let mut side = sessions();
    side.set_peer(KEYS[0], Some(address()));
    let mut now = Instant::now();
    let fragment = |id: u8, index: u16, count: u16| {
        let place = Place::default();
        let (total, data) = (u32::from(count), vec![1]);
        let f = Fragment { message: [id; 16], kind: 1, place, index, count, total, data };
        Datagram::Answerable(f, vec![id; 400])
    };
    side.receive(now, KEYS[0], fragment(1, 0, 1));
    assert_eq!(answers(&mut side, now), [(true, vec![1])]);
    // A copy brings another block: it is not used, whatever became of the first answer.
    side.receive(now, KEYS[0], fragment(1, 0, 1));
    assert_eq!(answers(&mut side, now), [(false, vec![1])]);
    // Half a message is acknowledged the ordinary way.
    side.receive(now, KEYS[0], fragment(2, 1, 2));
    now += ACK_DELAY;
    assert_eq!(answers(&mut side, now), [(false, vec![2])]);
    // Its first half comes much later: the block is old.
    now += Duration::from_secs(200);
    side.receive(
        now,
        KEYS[0],
        Datagram::Fragment(match fragment(2, 0, 2) {
            Datagram::Answerable(f, _) => f,
            other => panic!("{other:?}"),
        }),
    );
    assert_eq!(answers(&mut side, now), [(false, vec![2])]);
    // Several at once share a block.
    for id in 3..=5 {
        side.receive(now, KEYS[0], fragment(id, 0, 1));
    }
    let (ways, messages): (Vec<bool>, Vec<Vec<u8>>) = answers(&mut side, now).into_iter().unzip();
    assert!(ways.iter().all(|by_block| *by_block));
    assert_eq!(messages.concat().len(), 3);
    // A stranger is not answered at all.
    side.receive(now, [77; 32], fragment(6, 0, 1));
    assert_eq!(answers(&mut side, now), []);
}

#[test]
fn a_block_that_cannot_be_used_is_tried_again_or_given_up() {
    let mut side = sessions();
    side.set_peer(KEYS[0], Some(address()));
    let mut now = Instant::now();
    let place = Place::default();
    let f = Fragment { message: [1; 16], kind: 1, place, index: 0, count: 1, total: 1, data: vec![1] };
    side.receive(now, KEYS[0], Datagram::Answerable(f, vec![9; 400]));
    let answer = |side: &mut Sessions, now: Instant| loop {
        match side.poll(now) {
            Some(Output::Deliver { peer, id, .. }) => side.confirm(now, &peer, &id),
            Some(Output::Answer { reply, acks, .. }) => break Some((reply, acks)),
            Some(Output::Heard(_)) => {}
            _ => break None,
        }
    };
    let (reply, acks) = answer(&mut side, now).expect("by block");
    side.answer_not_sent(now, &KEYS[0], acks, reply, Some(PATIENCE));
    assert!(answer(&mut side, now).is_none() && side.next_due(now) == Some(now + PATIENCE));
    now += PATIENCE;
    let (reply, acks) = answer(&mut side, now).expect("by the same block");
    assert_eq!(reply.block(), [9; 400]);
    side.answer_not_sent(now, &KEYS[0], acks, reply, None);
    assert_eq!(answers(&mut side, now), [(false, vec![1])]);
}

#[test]
fn an_unconfirmed_message_is_not_acknowledged_and_comes_again() {
    let mut world = World::new(1, 0.0);
    world.confirm = false;
    world.sides[0].enqueue(waiting(1, KEYS[1], 7));
    world.sides[0].load(&[1; 16], Some(vec![5; 2000]));
    for _ in 0..500 {
        world.step();
    }
    assert!(world.acknowledged.is_empty());
    assert_eq!(world.delivered.len(), 1);
    // The application failed (disk full, say) and works again later.
    world.confirm = true;
    for _ in 0..8000 {
        world.step();
    }
    assert_eq!(world.acknowledged, vec![[1; 16]]);
    assert_eq!(world.delivered.len(), 2);
}

#[test]
fn an_absent_peer_is_probed_rarely_and_flushed_when_heard() {
    let mut world = World::new(1, 1.0);
    world.sides[0].enqueue(waiting(1, KEYS[1], 7));
    world.sides[0].load(&[1; 16], Some(vec![5; 50_000]));
    let hour = world.now + Duration::from_secs(3600);
    let mut sent = 0;
    while world.now < hour {
        while let Some(output) = world.sides[0].poll(world.now) {
            if let Output::Send { peer, content: Datagram::Fragment(f), .. } = output {
                sent += 1;
                world.sides[0].sent(world.now, &peer, &f.message, f.index, Route::default());
            }
        }
        world.now += Duration::from_millis(500);
    }
    assert!((25..500).contains(&sent), "{sent} fragments in an hour of silence");
    world.loss = 0.0;
    world.sides[0].receive(world.now, KEYS[1], Datagram::Presence(0));
    let back = world.now;
    while world.acknowledged.is_empty() && world.now < back + Duration::from_secs(5) {
        world.step();
    }
    assert_eq!(world.acknowledged.len(), 1, "flushed within 5 s of the first sign of life");
}

#[test]
fn strangers_get_almost_nothing() {
    let mut s = sessions();
    let now = Instant::now();
    let fragment = |kind, count, id: u8| Fragment {
        message: [id; 16],
        kind,
        place: Place::default(),
        index: 0,
        count,
        total: 10,
        data: vec![0; 10],
    };
    s.receive(now, [9; 32], Datagram::Fragment(fragment(7, 1, 1)));
    s.receive(now, [9; 32], Datagram::Fragment(fragment(1, 5, 2)));
    s.receive(now, [9; 32], Datagram::Presence(0));
    assert!(s.peers.is_empty() && s.poll(now).is_none());
    s.receive(now, [9; 32], Datagram::Fragment(fragment(1, 1, 3)));
    assert!(matches!(s.poll(now), Some(Output::Deliver { kind: 1, .. })));
    for i in 0..=255u8 {
        for j in 0..4u8 {
            s.receive(now, [i; 32], Datagram::Fragment(fragment(1, 2, j)));
        }
    }
    assert!(s.peers.len() <= MAX_STRANGERS + 1, "{} strangers", s.peers.len());
    let held: usize = s.peers.values().flat_map(|p| p.incoming.values()).map(Incoming::reserved).sum();
    assert!(held <= (MAX_STRANGERS + 1) * incoming::STRANGER_BYTES);
}

#[test]
fn memory_for_a_known_peer_is_bounded() {
    let mut s = sessions();
    s.set_peer([1; 32], Some(address()));
    let now = Instant::now();
    for i in 0..10_000u32 {
        let mut message = [0; 16];
        message[..4].copy_from_slice(&i.to_le_bytes());
        let total = crate::MAX_MESSAGE as u32;
        let data = vec![0; 400];
        s.receive(
            now,
            [1; 32],
            Datagram::Fragment(Fragment {
                message,
                kind: 7,
                place: Place::default(),
                index: 0,
                count: 1024,
                total,
                data,
            }),
        );
    }
    let held: usize = s.peers[&[1; 32]].incoming.values().map(Incoming::reserved).sum();
    assert!(held <= incoming::KNOWN_BYTES);
}

#[test]
fn urgent_messages_overtake() {
    let mut s = sessions();
    s.set_peer([1; 32], Some(address()));
    for i in 0..20 {
        s.enqueue(Waiting { priority: Priority::Bulk, ..waiting(i, [1; 32], 7) });
    }
    for id in s.wants() {
        s.load(&id, Some(vec![0; 100_000]));
    }
    s.enqueue(Waiting { priority: Priority::High, ..waiting(99, [1; 32], 7) });
    assert_eq!(s.wants(), vec![[99; 16]]);
    s.load(&[99; 16], Some(vec![1]));
    match s.poll(Instant::now()) {
        Some(Output::Send { content: Datagram::Fragment(f), .. }) => assert_eq!(f.message, [99; 16]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_receiver_that_lost_its_half_message_in_a_restart_gets_it_again() {
    let mut world = World::new(5, 0.0);
    world.sides[0].enqueue(waiting(1, KEYS[1], 7));
    world.sides[0].load(&[1; 16], Some(vec![5; 100_000]));
    for _ in 0..25 {
        world.step();
    }
    assert!(world.delivered.is_empty(), "half way");
    world.sides[1] = Sessions::new(LEN, PATIENCE, vec![1], 1_000_000);
    world.sides[1].set_peer(KEYS[0], Some(address()));
    for _ in 0..2000 {
        world.step();
    }
    assert_eq!(world.acknowledged, vec![[1; 16]]);
    assert_eq!(world.delivered, vec![([1; 16], vec![5; 100_000])]);
}

/// A road on which everything takes three times as long as its patience: copies would only make it slower.
#[test]
fn a_slow_road_is_given_time() {
    let mut world = World::new(9, 0.0);
    world.slow = Duration::from_millis(1500);
    for i in 0..8 {
        world.sides[0].enqueue(waiting(i, KEYS[1], 7));
    }
    for id in world.sides[0].wants() {
        world.sides[0].load(&id, Some(vec![id[0]; 100_000]));
    }
    for _ in 0..20_000 {
        world.step();
        if world.acknowledged.len() == 8 {
            break;
        }
    }
    assert_eq!(world.acknowledged.len(), 8);
    let fragments = 8 * 100_000 / 460;
    assert!(
        world.sides[0].resent() < fragments / 4,
        "{} of {fragments} went out again",
        world.sides[0].resent()
    );
}

/// A node that only listens learns which relays lose its acknowledgements: the message comes again.
#[test]
fn lost_acknowledgements_speak_against_their_route() {
    let route = |n: u8| Route { hops: vec![([n; 32], Duration::ZERO)] };
    let mut side = sessions();
    side.set_peer(KEYS[0], Some(address()));
    let mut now = Instant::now();
    let fragment = |id: u8| {
        let data = vec![1];
        let place = Place::default();
        Datagram::Fragment(Fragment { message: [id; 16], kind: 1, place, index: 0, count: 1, total: 1, data })
    };
    let drain = |side: &mut Sessions, now: Instant, way: u8| {
        let mut told = Vec::new();
        while let Some(output) = side.poll(now) {
            match output {
                Output::Deliver { peer, id, .. } => side.confirm(now, &peer, &id),
                Output::Send { peer, content: Datagram::Acks(acks), .. } => {
                    side.acks_sent(now, &peer, &acks, route(way));
                }
                Output::Feedback(_, route, arrived) => told.push((route.hops[0].0[0], arrived)),
                _ => {}
            }
        }
        told
    };
    for id in 1..=3 {
        side.receive(now, KEYS[0], fragment(id));
        assert_eq!(drain(&mut side, now, id), []);
    }
    // The first comes again at once: it crossed its acknowledgement, which says nothing.
    side.receive(now, KEYS[0], fragment(1));
    assert_eq!(drain(&mut side, now, 4), []);
    // The second comes again when its sender's patience is over; the third does not.
    now += PATIENCE;
    side.receive(now, KEYS[0], fragment(2));
    assert_eq!(drain(&mut side, now, 5), [(2, false)]);
    now += PATIENCE * ACK_ARRIVED;
    assert_eq!(drain(&mut side, now, 6), [(3, true), (4, true), (5, true)]);
}

/// A road with room for one datagram in 300 ms, as under cover traffic.
#[test]
fn peers_share_a_road_that_has_little_room() {
    const GAP: Duration = Duration::from_millis(300);
    let mut side = sessions();
    let peers: Vec<PeerKey> = (1..=3).map(|n| [n; 32]).collect();
    for (n, peer) in (1..).zip(&peers) {
        side.set_peer(*peer, Some(address()));
        side.enqueue(waiting(n, *peer, 7));
        side.load(&[n; 16], Some(vec![n; 100_000]));
    }
    let mut now = Instant::now();
    side.announce(now, None);
    // Something of the first peer is to be acknowledged, too.
    let place = Place::default();
    let whole = Fragment { message: [99; 16], kind: 7, place, index: 0, count: 1, total: 1, data: vec![1] };
    side.receive(now, peers[0], Datagram::Fragment(whole));
    side.confirm(now, &peers[0], &[99; 16]);
    let (mut free_from, mut polls) = (now, 0);
    let mut sent: HashMap<PeerKey, Vec<Datagram>> = HashMap::new();
    for _ in 0..3000 {
        while let Some(output) = side.poll(now) {
            let Output::Send { peer, content, .. } = output else { continue };
            polls += 1;
            let free = now >= free_from;
            if free {
                free_from = now + GAP;
                sent.entry(peer).or_default().push(content.clone());
            }
            match content {
                Datagram::Fragment(f) if free => side.sent(now, &peer, &f.message, f.index, Route::default()),
                Datagram::Fragment(f) => side.not_sent(now, &peer, &f.message, f.index, GAP),
                Datagram::Acks(acks) if free => side.acks_sent(now, &peer, &acks, Route::default()),
                Datagram::Acks(acks) => side.acks_not_sent(now, &peer, acks, GAP),
                Datagram::Presence(_) if free => {}
                Datagram::Presence(_) => side.presence_not_sent(now, &peer, GAP),
                Datagram::Answerable(..) => panic!("the driver adds blocks"),
            }
        }
        now += Duration::from_millis(10);
        side.receive(now, peers[0], Datagram::Presence(0)); // they are there
        side.receive(now, peers[1], Datagram::Presence(0));
        side.receive(now, peers[2], Datagram::Presence(0));
    }
    let all: usize = sent.values().map(Vec::len).sum();
    assert!((95..=101).contains(&all), "{all} datagrams in 30 s");
    assert!(polls <= all + 3 * 101, "{polls} times something was to be sent");
    for peer in &peers {
        assert!(sent[peer].len() >= all / 4, "{} of {all}", sent[peer].len());
        let presence = sent[peer].iter().filter(|d| matches!(d, Datagram::Presence(_))).count();
        assert_eq!(presence, 1);
    }
    assert!(matches!(&sent[&peers[0]][..2], [Datagram::Acks(_), _] | [_, Datagram::Acks(_)]));
}

#[test]
fn acknowledgements_that_wait_are_bounded_and_the_newest_counts() {
    let mut side = sessions();
    side.set_peer(KEYS[0], Some(address()));
    let now = Instant::now();
    for n in 0..1000u16 {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&n.to_be_bytes());
        side.confirm(now, &KEYS[0], &id);
    }
    assert_eq!(side.peers[&KEYS[0]].acks.len(), MAX_ACKS);
    let ack = |attempt| Ack { message: [255; 16], complete: false, attempt, have: vec![1] };
    side.peers.get_mut(&KEYS[0]).expect("known").acknowledge(ack(2), None, now);
    side.acks_not_sent(now, &KEYS[0], vec![ack(1)], PATIENCE);
    let state = &side.peers[&KEYS[0]];
    assert_eq!(state.acks.len(), MAX_ACKS);
    let about: Vec<_> = state.acks.iter().map(|d| &d.ack).filter(|a| a.message == [255; 16]).collect();
    assert_eq!(about, [&ack(2)]);
}
