//! The outbox: messages that the other side has not acknowledged yet.

use crate::{MAX_MESSAGE, MessageId, PeerKey};
use sqlx::{Row, SqliteConnection};

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
    /// How urgent.
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
    /// How urgent.
    pub priority: Priority,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Too long.
    #[error("a message has at most {MAX_MESSAGE} bytes, this one has {0}")]
    TooLong(usize),
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
    sqlx::query(
        "INSERT INTO p2p_outbox (id, peer, kind, priority, body, created_ms) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(message.id.as_slice())
    .bind(message.peer.as_slice())
    .bind(i64::from(message.kind))
    .bind(message.priority as i64)
    .bind(message.body.as_slice())
    .bind(now_ms)
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes an acknowledged (or given-up) message out. False if it was not there any more.
///
/// # Errors
/// Those of the database.
pub async fn remove(conn: &mut SqliteConnection, id: &MessageId) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM p2p_outbox WHERE id = ?").bind(id.as_slice()).execute(conn).await?;
    Ok(done.rows_affected() > 0)
}

/// All waiting messages, the most urgent and oldest first, without their bodies.
///
/// # Errors
/// Those of the database.
pub async fn waiting(conn: &mut SqliteConnection) -> sqlx::Result<Vec<Waiting>> {
    let rows =
        sqlx::query("SELECT id, peer, kind, priority FROM p2p_outbox ORDER BY priority, created_ms, rowid")
            .fetch_all(conn)
            .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            Some(Waiting {
                id: row.get::<Vec<u8>, _>(0).try_into().ok()?,
                peer: row.get::<Vec<u8>, _>(1).try_into().ok()?,
                kind: u16::try_from(row.get::<i64, _>(2)).ok()?,
                priority: Priority::from_number(row.get(3)),
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
