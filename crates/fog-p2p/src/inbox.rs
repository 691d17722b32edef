//! The inbox: which messages took effect already.

use crate::{MessageId, PeerKey};
use sqlx::SqliteConnection;

/// Ids are kept this long; an older copy would have to come from an outbox that was asleep for a month.
const KEEP_MS: i64 = 30 * 24 * 3600 * 1000;

/// Notes that this message takes effect in the caller's transaction. False: it did before, do nothing.
///
/// # Errors
/// Those of the database.
pub async fn first_time(
    conn: &mut SqliteConnection,
    peer: &PeerKey,
    id: &MessageId,
    now_ms: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query("INSERT OR IGNORE INTO p2p_seen (peer, id, seen_ms) VALUES (?, ?, ?)")
        .bind(peer.as_slice())
        .bind(id.as_slice())
        .bind(now_ms)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets ids that are older than any copy can be.
///
/// # Errors
/// Those of the database.
pub async fn prune(conn: &mut SqliteConnection, now_ms: i64) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM p2p_seen WHERE seen_ms < ?").bind(now_ms - KEEP_MS).execute(conn).await?;
    Ok(())
}
