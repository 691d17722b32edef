//! Lanes: each rule by itself, and two nodes with outboxes and inboxes on which everything happens at once.

use super::*;
use std::collections::{BTreeMap, HashSet};

const PEER: PeerKey = KEYS[0];

fn message(id: u8, lane: u8, sequence: u64, priority: Priority) -> Waiting {
    Waiting { lane, sequence, priority, ..waiting(id, KEYS[1], 7) }
}

/// A message of one fragment as it comes from the peer.
fn single(id: u8, lane: u8, sequence: u64, after: u64, run: u32) -> Datagram {
    let place = Place { lane, sequence, after, run };
    Datagram::Fragment(Fragment {
        message: [id; 16],
        kind: 7,
        place,
        index: 0,
        count: 1,
        total: 1,
        data: vec![id],
    })
}

fn receiver() -> Sessions {
    let mut side = sessions();
    side.set_peer(PEER, Some(address()));
    side
}

/// The messages that are handed over now.
fn delivered(side: &mut Sessions, now: Instant) -> Vec<u8> {
    let mut ids = Vec::new();
    while let Some(output) = side.poll(now) {
        if let Output::Deliver { id, .. } = output {
            ids.push(id[0]);
        }
    }
    ids
}

/// The acknowledgements that are due by then: the message, and whether it took effect.
fn acknowledged(side: &mut Sessions, now: Instant) -> Vec<(u8, bool, Vec<u8>)> {
    let mut told = Vec::new();
    while let Some(output) = side.poll(now) {
        if let Output::Send { content: Datagram::Acks(acks), .. } = output {
            told.extend(acks.into_iter().map(|a| (a.message[0], a.complete, a.have)));
        }
    }
    told
}

#[test]
fn what_comes_too_early_waits_and_says_that_it_is_there() {
    let (mut side, now) = (receiver(), Instant::now());
    side.receive(now, PEER, single(2, 1, 2, 1, 1));
    side.receive(now, PEER, single(3, 1, 3, 2, 1));
    side.receive(now, PEER, single(9, 2, 5, 0, 1));
    side.receive(now, PEER, single(8, UNORDERED, 0, 0, 1));
    assert_eq!(delivered(&mut side, now), [9, 8], "other lanes do not wait");
    assert_eq!(acknowledged(&mut side, now + ACK_DELAY), [(2, false, vec![1]), (3, false, vec![1])]);
    side.receive(now, PEER, single(1, 1, 1, 0, 1));
    assert_eq!(delivered(&mut side, now), [1], "one at a time");
    side.confirm(now, &PEER, &[1; 16]);
    assert_eq!(delivered(&mut side, now), [2]);
    side.confirm(now, &PEER, &[2; 16]);
    side.confirm(now, &PEER, &[2; 16]);
    assert_eq!(delivered(&mut side, now), [3]);
    // Copies of all three, late: none has an effect, and those that took effect are acknowledged.
    let done = acknowledged(&mut side, now);
    assert!(done.iter().all(|a| a.1 || a.0 == 3));
    for i in 1..=3 {
        side.receive(now, PEER, single(i, 1, u64::from(i), u64::from(i) - 1, 1));
    }
    assert_eq!(delivered(&mut side, now), []);
    side.confirm(now, &PEER, &[3; 16]);
    assert_eq!(acknowledged(&mut side, now), [(3, true, vec![])]);
}

#[test]
fn what_cannot_take_effect_holds_up_its_lane_only() {
    let (mut side, now) = (receiver(), Instant::now());
    for lane in 1..=2 {
        side.receive(now, PEER, single(lane * 10, lane, 1, 0, 1));
        side.receive(now, PEER, single(lane * 10 + 1, lane, 2, 1, 1));
    }
    assert_eq!(delivered(&mut side, now), [10, 20]);
    side.reject(now, &PEER, &[10; 16]);
    side.confirm(now, &PEER, &[20; 16]);
    assert_eq!(delivered(&mut side, now), [21]);
    side.receive(now, PEER, single(10, 1, 1, 0, 1));
    assert_eq!(delivered(&mut side, now), [10]);
    side.confirm(now, &PEER, &[10; 16]);
    assert_eq!(delivered(&mut side, now), [11]);
}

#[test]
fn a_receiver_that_starts_anew_waits_for_what_the_sender_still_has() {
    let (mut side, now) = (receiver(), Instant::now());
    // The first two were confirmed by the run before; the acknowledgement of the second was lost.
    side.receive(now, PEER, single(3, 1, 3, 2, 1));
    assert_eq!(delivered(&mut side, now), []);
    side.receive(now, PEER, single(2, 1, 2, 0, 1));
    assert_eq!(delivered(&mut side, now), [2], "the inbox knows that it took effect");
    side.confirm(now, &PEER, &[2; 16]);
    assert_eq!(delivered(&mut side, now), [3]);
}

#[test]
fn a_sender_that_starts_anew_is_believed_and_what_it_sent_before_is_not() {
    let (mut side, now) = (receiver(), Instant::now());
    side.receive(now, PEER, single(100, 1, 100, 0, 4));
    assert_eq!(delivered(&mut side, now), [100]);
    side.confirm(now, &PEER, &[100; 16]);
    // The backup of a while ago gives 60 again, and knows nothing of 61 to 100.
    side.receive(now, PEER, single(60, 1, 60, 0, 5));
    assert_eq!(delivered(&mut side, now), [60]);
    side.receive(now, PEER, single(101, 1, 101, 100, 4));
    side.confirm(now, &PEER, &[60; 16]);
    assert_eq!(delivered(&mut side, now), []);
    // Confirmed by this run of the receiver: a copy counts for its lane, too.
    side.receive(now, PEER, single(62, 1, 62, 61, 6));
    side.receive(now, PEER, single(60, 1, 60, 0, 6));
    side.receive(now, PEER, single(61, 1, 61, 60, 6));
    assert_eq!(delivered(&mut side, now), [61]);
}

#[test]
fn the_copy_of_a_withdrawn_message_has_no_effect_after_those_behind_it() {
    let (mut side, now) = (receiver(), Instant::now());
    side.receive(now, PEER, single(3, 1, 3, 2, 1));
    side.receive(now, PEER, single(2, 1, 2, 0, 1));
    assert_eq!(delivered(&mut side, now), [2], "the first was withdrawn");
    side.confirm(now, &PEER, &[2; 16]);
    assert_eq!(delivered(&mut side, now), [3]);
    side.confirm(now, &PEER, &[3; 16]);
    side.receive(now, PEER, single(1, 1, 1, 0, 1));
    assert_eq!(delivered(&mut side, now), []);
    assert!(side.peers[&PEER].incoming.is_empty());
}

#[test]
fn the_lowest_word_of_what_a_message_comes_after_counts() {
    let (mut side, now) = (receiver(), Instant::now());
    side.receive(now, PEER, single(3, 1, 3, 2, 1));
    side.receive(now, PEER, single(3, 1, 3, 1, 1));
    // The word that came late does not take back the one that came before: the second was withdrawn.
    side.receive(now, PEER, single(3, 1, 3, 2, 1));
    side.receive(now, PEER, single(1, 1, 1, 0, 1));
    assert_eq!(delivered(&mut side, now), [1]);
    side.confirm(now, &PEER, &[1; 16]);
    assert_eq!(delivered(&mut side, now), [3]);
}

#[test]
fn what_was_withdrawn_in_the_applications_hands_is_ended_before_the_next_begins() {
    let (mut side, now) = (receiver(), Instant::now());
    side.receive(now, PEER, single(1, 1, 1, 0, 1));
    side.receive(now, PEER, single(2, 1, 2, 0, 1));
    assert_eq!(delivered(&mut side, now), [1]);
    side.reject(now, &PEER, &[1; 16]);
    assert_eq!(delivered(&mut side, now), [2]);
}

#[test]
fn half_of_a_withdrawn_message_does_not_stay() {
    let (mut side, now) = (receiver(), Instant::now());
    let place = Place { lane: 1, sequence: 1, after: 0, run: 1 };
    let half = Fragment { message: [1; 16], kind: 7, place, index: 0, count: 2, total: 9, data: vec![1] };
    side.receive(now, PEER, Datagram::Fragment(half));
    side.receive(now, PEER, single(3, 1, 3, 0, 1));
    assert_eq!(delivered(&mut side, now), [3]);
    assert_eq!(side.peers[&PEER].incoming.len(), 1, "in the application's hands");
}

/// Lets the sender send what it can, and gives the fragments.
fn sent(side: &mut Sessions, now: Instant) -> Vec<(u8, u64)> {
    let mut fragments = Vec::new();
    while let Some(output) = side.poll(now) {
        if let Output::Send { peer, content: Datagram::Fragment(f), .. } = output {
            side.sent(now, &peer, &f.message, f.index, Route::default());
            fragments.push((f.message[0], f.place.after));
        }
    }
    fragments
}

fn sender(messages: &[Waiting]) -> Sessions {
    let mut side = sessions();
    side.set_peer(KEYS[1], Some(address()));
    for message in messages {
        side.enqueue(message.clone());
    }
    for id in side.wants() {
        side.load(&id, Some(vec![id[0]]));
    }
    side
}

fn arrived(id: u8, complete: bool, attempt: u64) -> Datagram {
    let have = if complete { vec![] } else { vec![1] };
    Datagram::Acks(vec![Ack { message: [id; 16], complete, attempt, have }])
}

#[test]
fn the_receiver_hears_at_once_that_a_message_was_withdrawn() {
    let now = Instant::now();
    let queue: Vec<_> = (1..=4).map(|i| message(i, 1, i.into(), Priority::High)).collect();
    let mut side = sender(&queue);
    assert_eq!(sent(&mut side, now), [(1, 0), (2, 1), (3, 2), (4, 3)]);
    side.receive(now, KEYS[1], arrived(3, false, 1));
    side.withdraw(&[2; 16]);
    assert_eq!(sent(&mut side, now), [(3, 1)], "it is there, so it is told again");
    side.withdraw(&[3; 16]);
    assert_eq!(sent(&mut side, now), [], "the fourth is under way with the old word");
    side.receive(now, KEYS[1], arrived(4, false, 1));
    assert_eq!(sent(&mut side, now), [(4, 1)]);
    side.receive(now, KEYS[1], arrived(4, false, 1));
    assert_eq!(sent(&mut side, now), [], "once");
    // That one was delivered takes no word: the receiver knows.
    side.receive(now, KEYS[1], arrived(1, true, 0));
    side.receive(now, KEYS[1], arrived(4, false, 1));
    assert_eq!(sent(&mut side, now), []);
    // But its answer may get lost.
    sent(&mut side, now);
    assert_eq!(sent(&mut side, now + PATIENCE), [(4, 0)]);
}

#[test]
fn the_receivers_new_start_is_answered_at_once() {
    let now = Instant::now();
    let queue: Vec<_> = (1..=3).map(|i| message(i, 1, i.into(), Priority::High)).collect();
    let mut side = sender(&queue);
    sent(&mut side, now);
    for id in 1..=3 {
        side.receive(now, KEYS[1], arrived(id, false, 5 << 32 | u64::from(id)));
    }
    sent(&mut side, now);
    // What waits for others at the receiver is not asked after like the first.
    assert_eq!(sent(&mut side, now + PATIENCE), [(1, 0)]);
    side.receive(now + PATIENCE, KEYS[1], arrived(1, false, 6 << 32));
    assert_eq!(sent(&mut side, now + PATIENCE), [(2, 1), (3, 2)]);
}

#[test]
fn the_next_of_a_lane_is_loaded_whatever_fills_the_places() {
    let mut queue: Vec<_> = (0..20).map(|i| message(i, 1, u64::from(i) + 10, Priority::Bulk)).collect();
    let mut side = sender(&queue);
    let active = |side: &Sessions| side.peers[&KEYS[1]].active.iter().map(|m| m.id[0]).collect::<Vec<_>>();
    assert_eq!(active(&side), [0, 1, 2, 3, 4, 5, 6, 7]);
    // Delivered before, and still on disk: read again, with a lower number than what is on its way.
    side.enqueue(message(50, 1, 5, Priority::Bulk));
    assert_eq!(side.wants(), [[50; 16]]);
    // An urgent message takes those before it in its lane along, and does not wait for other lanes.
    queue.push(message(60, 1, 60, Priority::High));
    side.enqueue(queue[20].clone());
    side.load(&[50; 16], Some(vec![1]));
    assert_eq!(side.peers[&KEYS[1]].active[0].urgency, Priority::High as u8);
    side.enqueue(message(70, 2, 1, Priority::Critical));
    assert_eq!(side.wants(), [[70; 16]]);
    side.load(&[70; 16], Some(vec![1]));
    assert_eq!(active(&side)[0], 70);
}

#[test]
fn the_one_for_which_all_wait_finds_room() {
    let (mut side, now) = (receiver(), Instant::now());
    let total = crate::MAX_MESSAGE as u32;
    let first = |id: u8, lane, sequence: u64, after| {
        let place = Place { lane, sequence, after, run: 1 };
        let data = vec![0; 400];
        Datagram::Fragment(Fragment { message: [id; 16], kind: 7, place, index: 0, count: 1024, total, data })
    };
    let held = |side: &Sessions| {
        let mut ids: Vec<_> = side.peers[&PEER].incoming.keys().map(|id| id[0]).collect();
        ids.sort_unstable();
        ids
    };
    // Six take all bytes, and a seventh, for which others are missing, takes nobody's.
    for id in 2..=8 {
        side.receive(now, PEER, first(id, 1, id.into(), u64::from(id) - 1));
    }
    assert_eq!(held(&side), [2, 3, 4, 5, 6, 7]);
    side.receive(now, PEER, first(1, 1, 1, 0));
    assert_eq!(held(&side), [1, 2, 3, 4, 5, 6]);
    // So it does for another lane; what is as far from its turn takes nobody's room.
    side.receive(now, PEER, first(21, 2, 1, 0));
    side.receive(now, PEER, first(22, 2, 2, 1));
    assert_eq!(held(&side), [1, 2, 3, 4, 21, 22]);
    side.receive(now, PEER, first(5, 1, 5, 4));
    side.receive(now, PEER, first(23, 2, 3, 2));
    assert_eq!(held(&side), [1, 2, 3, 21, 22, 23]);
    side.receive(now, PEER, first(24, 2, 4, 3));
    assert_eq!(held(&side), [1, 2, 3, 21, 22, 23]);
    // As many messages as there may be: again the last of all makes room.
    let mut side = receiver();
    for id in 2..=100 {
        side.receive(now, PEER, single(id, 1, id.into(), u64::from(id) - 1, 1));
    }
    assert_eq!(held(&side).len(), incoming::MAX_PARTIAL);
    side.receive(now, PEER, single(1, 1, 1, 0, 1));
    for id in 1..=20 {
        assert_eq!(delivered(&mut side, now), [id]);
        side.confirm(now, &PEER, &[id; 16]);
    }
}

#[test]
fn a_stranger_has_no_lanes() {
    let (mut side, now) = (sessions(), Instant::now());
    let Datagram::Fragment(hello) = single(3, 1, 3, 2, 1) else { unreachable!() };
    side.receive(now, [9; 32], Datagram::Fragment(Fragment { kind: 1, ..hello }));
    assert_eq!(delivered(&mut side, now), [3]);
}

/// One side of the world: what is on disk, and what is lost with a restart.
struct Node {
    sessions: Sessions,
    starts: u32,
    // On disk.
    outbox: Vec<(Waiting, usize)>,
    numbers: BTreeMap<u8, u64>,
    seen: HashSet<MessageId>,
    effects: Vec<(u8, u64, MessageId, usize)>,
    // In memory.
    hands: VecDeque<(Instant, MessageId, u16, usize)>,
}

/// What becomes of a message.
#[derive(Default)]
struct Fate {
    lane: u8,
    sequence: u64,
    len: usize,
    to: usize,
    withdrawn: bool,
    /// How often the receiver had started when it was withdrawn.
    at_start: u32,
}

#[derive(Debug, Clone)]
enum Op {
    Put(u8, usize),
    Withdraw(prop::sample::Index),
    Restart,
    Nothing,
}

struct Pair {
    now: Instant,
    rng: StdRng,
    air: Vec<(Instant, usize, Datagram)>,
    nodes: [Node; 2],
    fates: HashMap<MessageId, Fate>,
    loss: f64,
    /// Bytes of a datagram.
    len: usize,
    /// How probable it is that the application is killed while it works on a message.
    kills: f64,
}

impl Pair {
    fn new(seed: u64, loss: f64, len: usize, kills: f64) -> Self {
        let node = || Node {
            sessions: sessions(),
            starts: 0,
            outbox: Vec::new(),
            numbers: BTreeMap::new(),
            seen: HashSet::new(),
            effects: Vec::new(),
            hands: VecDeque::new(),
        };
        let rng = StdRng::seed_from_u64(seed);
        let nodes = [node(), node()];
        let mut pair = Self {
            now: Instant::now(),
            rng,
            air: Vec::new(),
            nodes,
            fates: HashMap::new(),
            loss,
            len,
            kills,
        };
        pair.restart(0);
        pair.restart(1);
        pair
    }

    fn restart(&mut self, side: usize) {
        let node = &mut self.nodes[side];
        node.starts += 1;
        node.sessions = Sessions::new(self.len, PATIENCE, vec![1], node.starts);
        node.sessions.set_peer(KEYS[1 - side], Some(address()));
        node.hands.clear();
        for (waiting, _) in &node.outbox {
            node.sessions.enqueue(waiting.clone());
        }
    }

    fn act(&mut self, side: usize, op: &Op) {
        let starts = self.nodes[1 - side].starts;
        let node = &mut self.nodes[side];
        match op {
            Op::Put(lane, len) => {
                let id: MessageId = self.rng.random();
                let sequence = node.numbers.entry(*lane).and_modify(|n| *n += 1).or_insert(1);
                let sequence = if *lane == UNORDERED { 0 } else { *sequence };
                let priority = if *lane == 1 { Priority::High } else { Priority::Normal };
                let message = Waiting { id, ..message(0, *lane, sequence, priority) };
                let message = Waiting { peer: KEYS[1 - side], ..message };
                node.outbox.push((message.clone(), *len));
                node.sessions.enqueue(message);
                let fate = Fate { lane: *lane, sequence, len: *len, to: 1 - side, ..Fate::default() };
                self.fates.insert(id, fate);
            }
            Op::Withdraw(index) if !node.outbox.is_empty() => {
                let (message, _) = node.outbox.remove(index.index(node.outbox.len()));
                node.sessions.withdraw(&message.id);
                let fate = self.fates.get_mut(&message.id).expect("was put");
                (fate.withdrawn, fate.at_start) = (true, starts);
            }
            Op::Restart => self.restart(side),
            Op::Withdraw(_) | Op::Nothing => {}
        }
    }

    /// The application: some of its work takes time, some of it fails, and now and then all of it is killed half way.
    fn apply(&mut self, side: usize) {
        while let Some((due, id, kind, len)) = self.nodes[side].hands.front().copied()
            && due <= self.now
        {
            let (peer, now) = (KEYS[1 - side], self.now);
            let node = &mut self.nodes[side];
            node.hands.pop_front();
            if self.rng.random_bool(0.05) {
                node.sessions.reject(now, &peer, &id);
                continue;
            }
            if node.seen.insert(id) {
                let fate = &self.fates[&id];
                assert_eq!(kind, 7);
                node.effects.push((fate.lane, fate.sequence, id, len));
                // Withdrawn, it has lost its place once the receiver has forgotten how far it was.
                if fate.withdrawn && node.starts > fate.at_start {
                    node.effects.pop();
                }
            }
            if self.rng.random_bool(self.kills) {
                return self.restart(side);
            }
            node.sessions.confirm(now, &peer, &id);
        }
    }

    fn step(&mut self) {
        for side in 0..2 {
            let node = &mut self.nodes[side];
            for id in node.sessions.wants() {
                let len = node.outbox.iter().find(|(w, _)| w.id == id).map(|(_, len)| *len);
                node.sessions.load(&id, len.map(|n| vec![id[0]; n]));
            }
            while let Some(output) = self.nodes[side].sessions.poll(self.now) {
                let node = &mut self.nodes[side];
                match output {
                    Output::Send { peer, content, .. } => {
                        if let Datagram::Fragment(f) = &content {
                            if self.rng.random_bool(0.02) {
                                let pause = Duration::from_millis(50);
                                node.sessions.not_sent(self.now, &peer, &f.message, f.index, pause);
                                continue;
                            }
                            node.sessions.sent(self.now, &peer, &f.message, f.index, Route::default());
                        }
                        for _ in 0..1 + usize::from(self.rng.random_bool(0.05)) {
                            if !self.rng.random_bool(self.loss) {
                                // A mailbox may keep one for long.
                                let most = if self.rng.random_bool(0.02) { 5_000 } else { 150 };
                                let delay = Duration::from_millis(self.rng.random_range(10..most));
                                self.air.push((self.now + delay, 1 - side, content.clone()));
                            }
                        }
                    }
                    Output::Deliver { id, kind, body, .. } => {
                        assert!(body.iter().all(|b| *b == id[0]));
                        let due = self.now + Duration::from_millis(self.rng.random_range(0..60));
                        node.hands.push_back((due, id, kind, body.len()));
                    }
                    Output::Delivered(id) => {
                        if self.rng.random_bool(self.kills) {
                            self.restart(side); // before it could be noted
                        } else {
                            node.outbox.retain(|(w, _)| w.id != id);
                        }
                    }
                    _ => {}
                }
            }
            self.apply(side);
        }
        self.now += Duration::from_millis(10);
        let (due, later) = std::mem::take(&mut self.air).into_iter().partition(|(t, ..)| *t <= self.now);
        self.air = later;
        let due: Vec<(Instant, usize, Datagram)> = due;
        for (_, to, content) in due {
            let content = Datagram::decode(&content.encode()).expect("what is sent is valid");
            self.nodes[to].sessions.receive(self.now, KEYS[1 - to], content);
        }
    }

    fn ended(&self) -> bool {
        self.nodes.iter().all(|n| n.outbox.is_empty())
    }

    fn check(&self) {
        for (side, node) in self.nodes.iter().enumerate() {
            let mut last = BTreeMap::new();
            for (lane, sequence, id, len) in &node.effects {
                assert_eq!(*len, self.fates[id].len);
                if *lane != UNORDERED {
                    let before = last.insert(*lane, *sequence).unwrap_or(0);
                    assert!(before < *sequence, "lane {lane}: {sequence} after {before}");
                }
            }
            for (id, fate) in self.fates.iter().filter(|(_, f)| f.to == side && !f.withdrawn) {
                let times = node.effects.iter().filter(|e| e.2 == *id).count();
                assert_eq!(times, 1, "lane {}, number {}", fate.lane, fate.sequence);
            }
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u8..4, prop_oneof![0usize..400, 0usize..20_000]).prop_map(|(lane, len)| Op::Put(lane, len)),
        1 => any::<prop::sample::Index>().prop_map(Op::Withdraw),
        1 => Just(Op::Restart),
        2 => Just(Op::Nothing),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn each_lane_takes_effect_once_and_in_order_whatever_happens(
        seed: u64, ops in proptest::collection::vec((0usize..2, 0u32..30, op()), 1..60)
    ) {
        let mut pair = Pair::new(seed, 0.1, LEN, 0.03);
        for (side, steps, op) in &ops {
            pair.act(*side, op);
            for _ in 0..*steps {
                pair.step();
            }
        }
        let most = pair.now + Duration::from_secs(900);
        while !pair.ended() {
            prop_assert!(pair.now < most, "it does not end");
            pair.step();
        }
        pair.check();
    }
}

/// The longest message, and lines of another lane before, during and after it.
#[test]
fn a_mebibyte_arrives_once_in_order_over_a_road_that_loses_a_twentieth() {
    let mut pair = Pair::new(4, 0.05, 2031, 0.0);
    pair.act(0, &Op::Put(2, crate::MAX_MESSAGE));
    pair.act(0, &Op::Put(2, 100));
    for _ in 0..20 {
        pair.act(0, &Op::Put(1, 100));
        for _ in 0..5 {
            pair.step();
        }
    }
    let most = pair.now + Duration::from_secs(120);
    while !pair.ended() {
        assert!(pair.now < most, "it does not end");
        pair.step();
    }
    pair.check();
    let effects: Vec<_> = pair.nodes[1].effects.iter().map(|e| (e.0, e.3)).collect();
    assert_eq!(effects[20..], [(2, crate::MAX_MESSAGE), (2, 100)], "no line waited for the long one");
}
