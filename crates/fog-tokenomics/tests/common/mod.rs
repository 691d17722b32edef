//! What the tests share: databases and persons.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use ed25519_dalek::SigningKey;
use fog_tokenomics::{Genesis, Person, UNITS_PER_FOG, ledger, open};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

pub const NETWORK: [u8; 32] = [7; 32];
pub const FOG: u128 = UNITS_PER_FOG;
/// A time of the year 2027.
pub const NOW: u64 = 1_800_000_000_000;

/// A person's key.
pub fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

/// A person.
pub fn person(number: u8) -> Person {
    key(number).verifying_key().to_bytes()
}

/// A job's id.
pub fn job(number: u8) -> [u8; 16] {
    [number; 16]
}

/// An opened ledger in memory.
pub async fn memory() -> SqliteConnection {
    memory_with(&Genesis::test(NETWORK)).await
}

/// A ledger in memory, opened with a genesis.
pub async fn memory_with(genesis: &Genesis) -> SqliteConnection {
    let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    open(&mut conn, genesis).await.unwrap();
    conn
}

/// A ledger in memory with the members 1 to `count`.
pub async fn with_members(count: u8) -> SqliteConnection {
    let mut conn = memory().await;
    for number in 1..=count {
        ledger::join(&mut conn, &person(number), NOW).await.unwrap();
    }
    conn
}

/// A connection to a file.
pub async fn file(path: &std::path::Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .busy_timeout(std::time::Duration::from_secs(60))
        .connect()
        .await
        .unwrap()
}
