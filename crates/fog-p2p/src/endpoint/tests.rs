//! A peer that sends fragments to the driver and reads what it answers, over a road of memory.

use super::*;
use crate::datagram::{Ack, Fragment};
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
    let fragment = Fragment { message: [7; 16], kind: 1, index: 0, count: 2, total: 2, data: vec![0] };
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
    // Counted, not read from a clock: the next start is the next number.
    assert_eq!(second.attempt >> 32, (first.attempt >> 32) + 1);
}

#[tokio::test]
async fn a_database_of_the_version_before_keeps_its_messages_and_counts_from_above_its_attempts() {
    let pool = pool().await;
    let mut before = sqlx::migrate!();
    before.migrations.to_mut().retain(|m| m.version < 2);
    before.dangerous_set_table_name("_migrations_p2p");
    before.run(&pool).await.expect("the version before");
    let message = outbox::Outgoing {
        id: [3; 16],
        peer: [4; 32],
        kind: 1,
        priority: outbox::Priority::Normal,
        body: vec![5],
    };
    let mut conn = pool.acquire().await.expect("a connection");
    outbox::put(&mut conn, &message, 0).await.expect("puts");
    drop(conn);
    crate::migrate(&pool).await.expect("migrates");
    let mut conn = pool.acquire().await.expect("a connection");
    assert_eq!(outbox::body(&mut conn, &[3; 16]).await.expect("reads"), Some(vec![5]));
    drop(conn);
    // That version numbered its attempts by Unix milliseconds.
    assert!(half_a_message(&pool).await.attempt > unix_ms());
}
