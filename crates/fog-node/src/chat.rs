//! Conversations.

use crate::contacts::{self, Stored};
use crate::core::Core;
use crate::error::{Result, bad_input, database, not_found, refused};
use crate::identity::{hex, unhex};
use crate::time::seconds;
use crate::wire::{self, Chat, MAX_READ, MAX_TEXT, Read};
use crate::work::Work;
use fog_api::{ContactState, EventBody, Hop, Message, MessageStatus, PacketPath};
use fog_p2p::MessageId;
use fog_p2p::outbox::Priority;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use std::sync::Arc;

/// A message from a clock that is ahead is shown as of now; this much is tolerated.
const CLOCK_TOLERANCE_MS: i64 = 60_000;

fn from_row(row: &SqliteRow, core: &Core) -> sqlx::Result<Message> {
    let id: Vec<u8> = row.try_get("id")?;
    let status = match row.try_get::<String, _>("status")?.as_str() {
        "pending" => MessageStatus::Pending,
        "sent" => MessageStatus::Sent,
        "delivered" => MessageStatus::Delivered,
        "read" => MessageStatus::Read,
        _ => MessageStatus::Failed,
    };
    let reason = (status == MessageStatus::Pending)
        .then(|| {
            <MessageId>::try_from(id.as_slice()).ok().and_then(|id| core.reasons.lock().get(&id).cloned())
        })
        .flatten();
    Ok(Message {
        id: hex(&id),
        peer: hex(&row.try_get::<Vec<u8>, _>("peer")?),
        outgoing: row.try_get("outgoing")?,
        text: row.try_get("text")?,
        time: seconds(row.try_get("time_ms")?),
        status,
        delivered: row.try_get::<Option<i64>, _>("delivered_ms")?.map(seconds),
        read: row.try_get::<Option<i64>, _>("read_ms")?.map(seconds),
        reason,
    })
}

async fn outgoing(conn: &mut SqliteConnection, core: &Core, id: &MessageId) -> Result<Option<Message>> {
    let query = sqlx::query("SELECT * FROM node_messages WHERE id = ? AND outgoing = 1");
    let row = query.bind(id.as_slice()).fetch_optional(conn).await.map_err(database)?;
    row.map(|r| from_row(&r, core)).transpose().map_err(database)
}

pub(crate) async fn list(core: &Core, peer: &str, before: Option<&str>, limit: u32) -> Result<Vec<Message>> {
    let mut conn = core.pool.acquire().await.map_err(database)?;
    let contact = contacts::named(&mut conn, peer).await?;
    let before: i64 = match before {
        None => i64::MAX,
        Some(id) => {
            let id = unhex::<16>(id).ok_or_else(|| bad_input("A message's id is 32 hexadecimal digits."))?;
            sqlx::query_scalar("SELECT number FROM node_messages WHERE peer = ? AND id = ?")
                .bind(contact.id.as_slice())
                .bind(id.as_slice())
                .fetch_optional(&mut *conn)
                .await
                .map_err(database)?
                .ok_or_else(|| not_found("There is no message with this id in the conversation."))?
        }
    };
    let rows =
        sqlx::query("SELECT * FROM node_messages WHERE peer = ? AND number < ? ORDER BY number DESC LIMIT ?")
            .bind(contact.id.as_slice())
            .bind(before)
            .bind(i64::from(limit.clamp(1, 500)))
            .fetch_all(&mut *conn)
            .await
            .map_err(database)?;
    rows.iter().rev().map(|r| from_row(r, core)).collect::<sqlx::Result<_>>().map_err(database)
}

pub(crate) async fn send(core: &Arc<Core>, peer: &str, text: String) -> Result<Message> {
    if text.trim().is_empty() {
        return Err(bad_input("The message is empty."));
    }
    if text.len() > MAX_TEXT {
        return Err(bad_input(format!("A message has at most {} KiB of text.", MAX_TEXT / 1024)));
    }
    let mut work = Work::begin(core).await?;
    let mut contact = contacts::named(work.conn(), peer).await?;
    match contact.state {
        ContactState::Blocked => {
            return Err(refused("You have blocked this person. Unblock them to write to them."));
        }
        ContactState::Accepted => {}
        // Answering somebody accepts them.
        ContactState::Asking => {
            sqlx::query("UPDATE node_contacts SET state = 'accepted' WHERE id = ?")
                .bind(contact.id.as_slice())
                .execute(work.conn())
                .await
                .map_err(database)?;
            contact.state = ContactState::Accepted;
            crate::records::introduce(&mut work, &contact).await?;
        }
    }
    let now = work.now_ms;
    let body = wire::encode(&Chat { text: text.clone(), time_ms: now });
    let id = work.send(contact.seal_key, wire::CHAT, Priority::High, body).await?;
    sqlx::query("INSERT INTO node_messages (id, peer, outgoing, text, time_ms, status) VALUES (?, ?, 1, ?, ?, 'pending')")
        .bind(id.as_slice())
        .bind(contact.id.as_slice())
        .bind(&text)
        .bind(now)
        .execute(work.conn())
        .await
        .map_err(database)?;
    let message = outgoing(work.conn(), core, &id).await?.ok_or_else(|| not_found("The message is gone."))?;
    work.emit(EventBody::Message(message.clone()));
    contacts::emit(&mut work, &contact).await?;
    work.commit().await?;
    Ok(message)
}

/// Everything received in the conversation is read; its sender learns so, if the settings say so.
pub(crate) async fn mark_read(core: &Arc<Core>, peer: &str) -> Result<()> {
    let mut work = Work::begin(core).await?;
    let contact = contacts::named(work.conn(), peer).await?;
    let rows = sqlx::query(
        "UPDATE node_messages SET status = 'read', read_ms = ? \
         WHERE peer = ? AND outgoing = 0 AND status != 'read' RETURNING *",
    )
    .bind(work.now_ms)
    .bind(contact.id.as_slice())
    .fetch_all(work.conn())
    .await
    .map_err(database)?;
    if rows.is_empty() {
        return Ok(());
    }
    let mut ids = Vec::new();
    for row in &rows {
        let message = from_row(row, core).map_err(database)?;
        ids.extend(unhex::<16>(&message.id));
        work.emit(EventBody::Message(message));
    }
    if core.settings.read().read_receipts && contact.state == ContactState::Accepted {
        for messages in ids.chunks(MAX_READ) {
            let body = wire::encode(&Read { messages: messages.to_vec() });
            work.send(contact.seal_key, wire::READ, Priority::High, body).await?;
        }
    }
    contacts::emit(&mut work, &contact).await?;
    work.commit().await
}

/// A chat message came.
pub(crate) async fn incoming(work: &mut Work, from: &Stored, id: &MessageId, body: &[u8]) -> Result<()> {
    let chat: Chat = wire::decode(body).ok_or_else(|| bad_input("a malformed chat message"))?;
    if chat.text.len() > MAX_TEXT {
        return Err(bad_input("a chat message that is too long"));
    }
    let time = if chat.time_ms > work.now_ms + CLOCK_TOLERANCE_MS || chat.time_ms < 0 {
        work.now_ms
    } else {
        chat.time_ms
    };
    let now = work.now_ms;
    let row = sqlx::query(
        "INSERT INTO node_messages (id, peer, outgoing, text, time_ms, status, delivered_ms) \
         VALUES (?, ?, 0, ?, ?, 'delivered', ?) RETURNING *",
    )
    .bind(id.as_slice())
    .bind(from.id.as_slice())
    .bind(&chat.text)
    .bind(time)
    .bind(now)
    .fetch_one(work.conn())
    .await
    .map_err(database)?;
    let message = from_row(&row, &work.core).map_err(database)?;
    work.emit(EventBody::Message(message));
    contacts::emit(work, from).await?;
    Ok(())
}

/// The other side read some of my messages.
pub(crate) async fn read_by_peer(work: &mut Work, from: &Stored, body: &[u8]) -> Result<()> {
    let read: Read = wire::decode(body).ok_or_else(|| bad_input("a malformed read receipt"))?;
    if read.messages.len() > MAX_READ {
        return Err(bad_input("a read receipt that is too long"));
    }
    for id in &read.messages {
        // It may overtake the acknowledgement of the message: then it is delivered, too.
        let row = sqlx::query(
            "UPDATE node_messages SET status = 'read', read_ms = ?1, delivered_ms = coalesce(delivered_ms, ?1) \
             WHERE id = ?2 AND peer = ?3 AND outgoing = 1 AND status != 'read' RETURNING *",
        )
        .bind(work.now_ms)
        .bind(id.as_slice())
        .bind(from.id.as_slice())
        .fetch_optional(work.conn())
        .await
        .map_err(database)?;
        if let Some(row) = row {
            let message = from_row(&row, &work.core).map_err(database)?;
            work.emit(EventBody::Message(message));
        }
    }
    Ok(())
}

/// All of a message of mine went out once, or is on the other side's disk.
pub(crate) async fn advance(work: &mut Work, id: &MessageId, delivered: bool) -> Result<()> {
    let sql = if delivered {
        "UPDATE node_messages SET status = 'delivered', delivered_ms = ? \
         WHERE id = ? AND outgoing = 1 AND status IN ('pending', 'sent') RETURNING *"
    } else {
        "UPDATE node_messages SET status = 'sent' WHERE ? > 0 AND id = ? AND outgoing = 1 AND status = 'pending' RETURNING *"
    };
    work.core.reasons.lock().remove(id);
    let query = sqlx::query(sql).bind(work.now_ms).bind(id.as_slice());
    if let Some(row) = query.fetch_optional(work.conn()).await.map_err(database)? {
        let message = from_row(&row, &work.core).map_err(database)?;
        work.emit(EventBody::Message(message));
    }
    Ok(())
}

/// A message of mine waits, for this reason.
pub(crate) async fn waits(core: &Core, id: &MessageId, reason: String) -> Result<()> {
    let mut conn = core.pool.acquire().await.map_err(database)?;
    core.reasons.lock().insert(*id, reason);
    if let Some(message) = outgoing(&mut conn, core, id).await? {
        core.bus.emit(EventBody::Message(message));
    } else {
        core.reasons.lock().remove(id);
    }
    Ok(())
}

/// The paths that the packets of a message took.
pub(crate) fn paths(core: &Core, message: &str) -> Result<Vec<PacketPath>> {
    let id = unhex::<16>(message).ok_or_else(|| bad_input("A message's id is 32 hexadecimal digits."))?;
    Ok(core
        .paths
        .of(&id)
        .into_iter()
        .map(|path| PacketPath {
            fragment: path.index.into(),
            fragments: path.count.into(),
            sent: seconds(path.sent_ms),
            acknowledged_after: path.acknowledged_after.map(|d| d.as_secs_f64()),
            hops: path
                .route
                .hops
                .iter()
                .map(|(relay, delay)| Hop {
                    relay: hex(relay),
                    name: betanet::short(relay),
                    layer: core.network.layer(relay).unwrap_or(0),
                    delay: delay.as_secs_f64(),
                })
                .collect(),
        })
        .collect())
}
