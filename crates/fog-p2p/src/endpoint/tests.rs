//! A peer that sends fragments to the driver and reads what it answers, over a road of memory.

use super::*;
use crate::datagram::{Ack, Fragment, Place};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use x25519_dalek::PublicKey;

const LEN: usize = 600;

/// What the driver sends goes into this queue.
struct Road(mpsc::UnboundedSender<Vec<u8>>);

impl Transport for Road {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn datagram_len(&self) -> usize {
        LEN
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn send(&self, _: &Address, datagram: &[u8]) -> Result<Route, TransportError> {
        _ = self.0.send(datagram.to_vec());
        Ok(Route::default())
    }

    fn feedback(&self, _: &Address, _: &Route, _: bool) {}
}

async fn pool() -> SqlitePool {
    // One connection, or else each would have a database of its own.
    let options = SqliteConnectOptions::new().in_memory(true);
    SqlitePoolOptions::new().max_connections(1).connect_with(options).await.expect("opens")
}

/// Starts an endpoint, sends it the first half of a message, and gives its acknowledgement.
async fn half_a_message(pool: &SqlitePool) -> Ack {
    let (me, peer) = (StaticSecret::from([1; 32]), StaticSecret::from([2; 32]));
    let (me_key, peer_key) = (PublicKey::from(&me).to_bytes(), PublicKey::from(&peer).to_bytes());
    let (sender, mut sent) = mpsc::unbounded_channel();
    let (inbound, receiver) = mpsc::channel(4);
    let road = Arc::new(Road(sender));
    let (endpoint, _events) =
        Endpoint::start(pool.clone(), me, road, Vec::new(), receiver).await.expect("starts");
    endpoint.set_peer(peer_key, Some(Address { road: "memory", bytes: Vec::new() }));
    let place = Place::default();
    let fragment = Fragment { message: [7; 16], kind: 1, place, index: 0, count: 2, total: 2, data: vec![0] };
    let content = Datagram::Fragment(fragment).encode();
    loop {
        // Again, as a sender does: the first may overtake the peer's address.
        let sealed = envelope::seal(&peer, &me_key, &content, LEN).expect("seals");
        inbound.send(Arrival { sealed, by_block: false }).await.expect("the driver runs");
        let answer = tokio::time::timeout(Duration::from_secs(1), sent.recv()).await;
        let Ok(Some(answer)) = answer else { continue };
        let (_, content) = envelope::open(&peer, &answer).expect("for the peer");
        if let Some(Datagram::Acks(acks)) = Datagram::decode(&content) {
            return acks.into_iter().next().expect("an acknowledgement");
        }
    }
}

#[tokio::test]
async fn attempts_rise_from_start_to_start_whatever_the_clock_says() {
    let pool = pool().await;
    crate::migrate(&pool).await.expect("migrates");
    let (first, second) = (half_a_message(&pool).await, half_a_message(&pool).await);
    assert_eq!((first.have.as_slice(), second.have.as_slice()), ([1].as_slice(), [1].as_slice()));
    // Counted, and not only read from a clock, which may be set back.
    assert!(second.attempt >> 32 > first.attempt >> 32);
    sqlx::query("UPDATE p2p_starts SET starts = 4000000000").execute(&pool).await.expect("a clock of 2096");
    assert_eq!(half_a_message(&pool).await.attempt >> 32, 4_000_000_001);
    // A backup of before is put back: the clock knows that time went on.
    sqlx::query("UPDATE p2p_starts SET starts = 5000").execute(&pool).await.expect("an older number");
    let now = unix_ms() / 1000;
    assert!(half_a_message(&pool).await.attempt >> 32 >= now);
}

#[tokio::test]
async fn a_database_of_the_version_before_keeps_its_messages_in_order_and_counts_from_above_its_attempts() {
    let pool = pool().await;
    let mut before = sqlx::migrate!();
    before.migrations.to_mut().retain(|m| m.version < 2);
    before.dangerous_set_table_name("_migrations_p2p");
    before.run(&pool).await.expect("the version before");
    for (id, kind) in [(3u8, 1), (4, 2), (5, 1), (6, 9)] {
        // The clock went back meanwhile: the order is that of putting.
        let insert =
            "INSERT INTO p2p_outbox (id, peer, kind, priority, body, created_ms) VALUES (?, ?, ?, 2, ?, ?)";
        let query = sqlx::query(insert).bind(vec![id; 16]).bind(vec![4; 32]).bind(kind);
        query.bind(vec![id]).bind(100 - i64::from(id)).execute(&pool).await.expect("puts");
    }
    crate::migrate(&pool).await.expect("migrates");
    let mut conn = pool.acquire().await.expect("a connection");
    for _ in 0..2 {
        outbox::adopt(&mut conn, |kind| if kind == 9 { 0 } else { kind as u8 }).await.expect("adopts");
    }
    let message = |id: u8, kind: u16| outbox::Outgoing {
        id: [id; 16],
        peer: [4; 32],
        kind,
        lane: kind as u8,
        priority: outbox::Priority::Normal,
        body: vec![id],
    };
    outbox::put(&mut conn, &message(7, 1), 0).await.expect("puts");
    outbox::put(&mut conn, &message(8, 2), 0).await.expect("puts");
    assert_eq!(outbox::body(&mut conn, &[3; 16]).await.expect("reads"), Some(vec![3]));
    let waiting = outbox::waiting(&mut conn).await.expect("reads");
    let numbers: Vec<_> = waiting.iter().map(|w| (w.id[0], w.lane, w.sequence)).collect();
    assert_eq!(numbers, [(3, 1, 1), (4, 2, 2), (5, 1, 3), (6, 0, 0), (7, 1, 4), (8, 2, 3)]);
    // A number is not given again when its message is gone.
    outbox::remove(&mut conn, &[8; 16]).await.expect("removes");
    outbox::put(&mut conn, &message(9, 2), 0).await.expect("puts");
    let waiting = outbox::waiting(&mut conn).await.expect("reads");
    assert_eq!(waiting.iter().find(|w| w.id[0] == 9).map(|w| w.sequence), Some(4));
    drop(conn);
    // That version numbered its attempts by Unix milliseconds.
    assert!(half_a_message(&pool).await.attempt > unix_ms());
}

/// Takes nothing for the addresses of one network, and all for the others.
#[derive(Default)]
struct HalfBusy {
    asked: AtomicU64,
    sent: AtomicU64,
}

const BUSY: u8 = 1;

impl Transport for HalfBusy {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn datagram_len(&self) -> usize {
        LEN
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn room(&self, to: &Address) -> Result<(), TransportError> {
        if to.bytes != [BUSY] {
            return Ok(());
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        Err(TransportError::Busy(Duration::from_secs(3600)))
    }

    fn send(&self, to: &Address, _: &[u8]) -> Result<Route, TransportError> {
        assert_ne!(to.bytes, [BUSY], "nothing is sealed for it");
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(Route::default())
    }

    fn feedback(&self, _: &Address, _: &Route, _: bool) {}
}

#[tokio::test]
async fn a_busy_road_is_left_alone_and_holds_up_no_other() {
    let pool = pool().await;
    crate::migrate(&pool).await.expect("migrates");
    let road = Arc::new(HalfBusy::default());
    let (_inbound, receiver) = mpsc::channel(1);
    let (endpoint, mut events) =
        Endpoint::start(pool.clone(), StaticSecret::from([1; 32]), road.clone(), Vec::new(), receiver)
            .await
            .expect("starts");
    let peers = [(BUSY, StaticSecret::from([2; 32])), (BUSY + 1, StaticSecret::from([3; 32]))];
    let began = Instant::now();
    for (network, secret) in &peers {
        let peer = PublicKey::from(secret).to_bytes();
        endpoint.set_peer(peer, Some(Address { road: "memory", bytes: vec![*network] }));
        let (id, lane, priority) = ([*network; 16], outbox::UNORDERED, outbox::Priority::Normal);
        let message = outbox::Outgoing { id, peer, kind: 1, lane, priority, body: vec![7; LEN * 8] };
        outbox::put(&mut pool.acquire().await.expect("a connection"), &message, 0).await.expect("puts");
    }
    endpoint.announce();
    endpoint.wake();
    loop {
        match events.recv().await.expect("the driver runs") {
            Event::Sent(id) => break assert_eq!(id, [BUSY + 1; 16]),
            Event::Waiting(..) => panic!("a busy road is no reason to tell of"),
            _ => {}
        }
    }
    assert!(road.sent.load(Ordering::Relaxed) > 8);
    let turns = 1 + began.elapsed().as_secs() / BUSY_PAUSE.1.as_secs();
    assert!((1..=turns).contains(&road.asked.load(Ordering::Relaxed)), "it was asked again and again");
}

#[test]
fn a_busy_road_is_asked_again_when_it_said() {
    let busy = |millis| pause(&TransportError::Busy(Duration::from_millis(millis)));
    assert_eq!(
        [busy(0), busy(312), busy(3_600_000)],
        [BUSY_PAUSE.0, Duration::from_millis(312), BUSY_PAUSE.1]
    );
    assert_eq!(pause(&TransportError::Later(String::new())), LATER_PAUSE);
}
