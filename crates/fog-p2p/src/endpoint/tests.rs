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
        inbound.send(sealed).await.expect("the driver runs");
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
    assert!(half_a_message(&pool).await.attempt >> 32 >= second.attempt >> 32);
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
