//! The outbox: messages that the other side has not acknowledged yet.
//!
//! A message is put into a *lane*, and gets the lane's next number in the same transaction. Those of one lane to one
//! peer take effect there in this order; lanes do not wait for each other.

use crate::datagram::MAX_SEQUENCE;
pub use crate::datagram::UNORDERED;
use crate::{MAX_MESSAGE, MessageId, PeerKey};
use sqlx::{Connection, Row, SqliteConnection};

/// How urgent a message is; a more urgent one overtakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Priority {
    /// Before everything.
    Critical = 0,
    /// Chat.
    High = 1,
    /// Most things.
    Normal = 2,
    /// When nothing else waits.
    Low = 3,
    /// Data of jobs.
    Bulk = 4,
}

impl Priority {
    fn from_number(n: i64) -> Self {
        match n {
            0 => Self::Critical,
            1 => Self::High,
            2 => Self::Normal,
            3 => Self::Low,
            _ => Self::Bulk,
        }
    }
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its id, random.
    pub id: MessageId,
    /// To whom.
    pub peer: PeerKey,
    /// The application's word for what it is.
    pub kind: u16,
    /// In which lane, or [`UNORDERED`].
    pub lane: u8,
    /// How urgent. Within a lane the order is that of putting: an urgent message makes those before it urgent.
    pub priority: Priority,
    /// At most [`MAX_MESSAGE`] bytes.
    pub body: Vec<u8>,
}

/// A waiting message without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its id.
    pub id: MessageId,
    /// To whom.
    pub peer: PeerKey,
    /// The application's word for what it is.
    pub kind: u16,
    /// In which lane, or [`UNORDERED`].
    pub lane: u8,
    /// Its number there, from 1; 0 in [`UNORDERED`].
    pub sequence: u64,
    /// How urgent.
    pub priority: Priority,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Too long.
    #[error("a message has at most {MAX_MESSAGE} bytes, this one has {0}")]
    TooLong(usize),
    /// The lane has given its last number.
    #[error("there are no more numbers in this lane")]
    Numbers,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Puts a message into the outbox. It is sent after the caller has committed and called
/// [`crate::endpoint::Endpoint::wake`].
///
/// # Errors
/// [`OutboxError`].
pub async fn put(conn: &mut SqliteConnection, message: &Outgoing, now_ms: i64) -> Result<(), OutboxError> {
    if message.body.len() > MAX_MESSAGE {
        return Err(OutboxError::TooLong(message.body.len()));
    }
    let sequence = next_number(conn, &message.peer, message.lane).await?;
    sqlx::query(
        "INSERT INTO p2p_outbox (id, peer, kind, lane, sequence, priority, body, created_ms) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(message.id.as_slice())
    .bind(message.peer.as_slice())
    .bind(i64::from(message.kind))
    .bind(i64::from(message.lane))
    .bind(sequence)
    .bind(message.priority as i64)
    .bind(message.body.as_slice())
    .bind(now_ms)
    .execute(conn)
    .await?;
    Ok(())
}

async fn next_number(conn: &mut SqliteConnection, peer: &PeerKey, lane: u8) -> Result<i64, OutboxError> {
    if lane == UNORDERED {
        return Ok(0);
    }
    let number: i64 = sqlx::query_scalar(
        "INSERT INTO p2p_lanes (peer, lane, last) VALUES (?, ?, 1) \
         ON CONFLICT (peer, lane) DO UPDATE SET last = last + 1 RETURNING last",
    )
    .bind(peer.as_slice())
    .bind(i64::from(lane))
    .fetch_one(conn)
    .await?;
    if number.unsigned_abs() > MAX_SEQUENCE { Err(OutboxError::Numbers) } else { Ok(number) }
}

/// Gives messages that were put by a version without lanes their lane, and the lanes their last number. To be called
/// after [`crate::migrate`] and before anything is put or sent; it does nothing when there are none.
///
/// # Errors
/// Those of the database.
pub async fn adopt(conn: &mut SqliteConnection, lane_of: impl Fn(u16) -> u8) -> sqlx::Result<()> {
    let kinds: Vec<i64> = sqlx::query_scalar("SELECT DISTINCT kind FROM p2p_outbox WHERE lane IS NULL")
        .fetch_all(&mut *conn)
        .await?;
    if kinds.is_empty() {
        return Ok(());
    }
    let mut tx = conn.begin().await?;
    for kind in kinds {
        let lane = u16::try_from(kind).map_or(UNORDERED, &lane_of);
        sqlx::query(
            "UPDATE p2p_outbox SET lane = ?1, sequence = iif(?1 = 0, 0, sequence) WHERE lane IS NULL AND kind = ?2",
        )
        .bind(i64::from(lane))
        .bind(kind)
        .execute(&mut *tx)
        .await?;
    }
    sqlx::query(
        "INSERT INTO p2p_lanes (peer, lane, last) \
         SELECT peer, lane, max(sequence) FROM p2p_outbox WHERE lane > 0 GROUP BY peer, lane \
         ON CONFLICT (peer, lane) DO UPDATE SET last = max(last, excluded.last)",
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Takes an acknowledged (or given-up) message out. False if it was not there any more.
///
/// # Errors
/// Those of the database.
pub async fn remove(conn: &mut SqliteConnection, id: &MessageId) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM p2p_outbox WHERE id = ?").bind(id.as_slice()).execute(conn).await?;
    Ok(done.rows_affected() > 0)
}

/// All waiting messages in the order in which they were put, without their bodies.
///
/// # Errors
/// Those of the database.
pub async fn waiting(conn: &mut SqliteConnection) -> sqlx::Result<Vec<Waiting>> {
    // The rowid is one more than the highest there is: it follows no clock.
    let query = sqlx::query(
        "SELECT id, peer, kind, priority, coalesce(lane, 0), iif(lane > 0, sequence, 0) \
             FROM p2p_outbox ORDER BY rowid",
    );
    let rows = query.fetch_all(conn).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            Some(Waiting {
                id: row.get::<Vec<u8>, _>(0).try_into().ok()?,
                peer: row.get::<Vec<u8>, _>(1).try_into().ok()?,
                kind: u16::try_from(row.get::<i64, _>(2)).ok()?,
                priority: Priority::from_number(row.get(3)),
                lane: u8::try_from(row.get::<i64, _>(4)).ok()?,
                sequence: u64::try_from(row.get::<i64, _>(5)).ok()?,
            })
        })
        .collect())
}

/// How many messages of this priority wait for a peer.
///
/// # Errors
/// Those of the database.
pub async fn queued(conn: &mut SqliteConnection, peer: &PeerKey, priority: Priority) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM p2p_outbox WHERE peer = ? AND priority = ?")
        .bind(peer.as_slice())
        .bind(priority as i64)
        .fetch_one(conn)
        .await
}

/// A waiting message's body.
///
/// # Errors
/// Those of the database.
pub async fn body(conn: &mut SqliteConnection, id: &MessageId) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar("SELECT body FROM p2p_outbox WHERE id = ?")
        .bind(id.as_slice())
        .fetch_optional(conn)
        .await
}
