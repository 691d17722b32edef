//! What comes from other nodes: each message takes effect once, in one transaction with the note that it did.

#[cfg(test)]
mod tests;

use crate::core::Core;
use crate::error::{Result, bad_input, database};
use crate::paths::Path;
use crate::time::now_ms;
use crate::work::Work;
use crate::{chat, compute, contacts, direct, mixing, reach, records, settlements, wire};
use betanet::Key;
use fog_api::{ApiError, ContactState, ErrorKind};
use fog_p2p::endpoint::Event;
use fog_p2p::{MessageId, inbox, outbox};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Runs until the endpoint is gone.
pub(crate) async fn run(core: Arc<Core>, mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        let result = match event {
            Event::Incoming { peer, id, kind, body } => {
                incoming(&core, &peer, &id, kind, &body).await;
                Ok(())
            }
            Event::Sent(id) => moved(&core, &id, false).await,
            Event::Delivered(id) => moved(&core, &id, true).await,
            Event::Waiting(id, reason) => chat::waits(&core, &id, reason).await,
            Event::Heard(peer) => contacts::heard(&core, &peer).await,
            Event::Routed { message, index, count, route } => {
                let sent_ms = now_ms();
                core.paths.sent(Path { message, index, count, sent_ms, route, acknowledged_after: None });
                Ok(())
            }
            Event::Arrived { message, index, after } => {
                core.paths.acknowledged(&message, index, after);
                Ok(())
            }
        };
        if let Err(e) = result {
            if core.cancel.is_cancelled() {
                return;
            }
            tracing::error!("an event could not be stored: {e}");
        }
    }
}

async fn moved(core: &Arc<Core>, id: &MessageId, delivered: bool) -> Result<()> {
    let mut work = Work::begin(core).await?;
    if delivered {
        outbox::remove(work.conn(), id).await.map_err(database)?;
    }
    chat::advance(&mut work, id, delivered).await?;
    work.commit().await
}

async fn incoming(core: &Arc<Core>, peer: &Key, id: &MessageId, kind: u16, body: &[u8]) {
    match take(core, peer, id, kind, body).await {
        Ok(()) => core.endpoint.confirm(*peer, *id),
        Err(e) if matches!(e.kind, ErrorKind::Internal | ErrorKind::Unavailable) => {
            // This side has trouble: the sender keeps it and sends it again.
            tracing::error!("a message could not be stored: {e}");
            core.endpoint.reject(*peer, *id);
        }
        Err(e) => {
            // The message itself is bad: it will not get better, so it must not come again.
            tracing::warn!(peer = %betanet::short(peer), kind, "a message was refused: {e}");
            match dismiss(core, peer, id).await {
                Ok(()) => core.endpoint.confirm(*peer, *id),
                Err(_) => core.endpoint.reject(*peer, *id),
            }
        }
    }
}

async fn dismiss(core: &Arc<Core>, peer: &Key, id: &MessageId) -> Result<()> {
    let mut work = Work::begin(core).await?;
    let now = work.now_ms;
    inbox::first_time(work.conn(), peer, id, now).await.map_err(database)?;
    work.commit().await
}

async fn take(core: &Arc<Core>, peer: &Key, id: &MessageId, kind: u16, body: &[u8]) -> Result<()> {
    if kind == wire::WORK
        && let Err(e) = compute::prepare(core, peer, body).await
    {
        tracing::debug!("a job's data could not be stored ahead: {e}");
    }
    let mut work = Work::begin(core).await?;
    let now = work.now_ms;
    if !inbox::first_time(work.conn(), peer, id, now).await.map_err(database)? {
        return Ok(()); // it took effect before: only the acknowledgement was lost
    }
    if kind == wire::HELLO {
        contacts::hello(&mut work, peer, body).await?;
        return work.commit().await;
    }
    let from = contacts::by_seal_key(work.conn(), peer).await?;
    let from = from.ok_or_else(|| {
        // Their card is still on its way.
        ApiError::new(ErrorKind::Unavailable, "a message from somebody unknown")
    })?;
    if from.state == ContactState::Blocked {
        return Err(bad_input("a message from somebody blocked"));
    }
    match kind {
        wire::CHAT => chat::incoming(&mut work, &from, id, body).await?,
        wire::READ => chat::read_by_peer(&mut work, &from, body).await?,
        wire::RECORD => records::incoming(&mut work, &from, body).await?,
        wire::SETTLEMENT => settlements::incoming(&mut work, &from, body).await?,
        wire::DIRECT => direct::incoming(&mut work, &from, body).await?,
        wire::MIXING => mixing::incoming(&mut work, &from, body).await?,
        wire::REACH => reach::incoming(&mut work, &from, body).await?,
        wire::WORK => return compute::incoming(work, &from, id, body).await,
        wire::JOB => compute::old(&mut work, &from, body).await?,
        _ => return Err(bad_input("an unknown kind of message")),
    }
    work.commit().await
}
