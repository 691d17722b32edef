//! What other nodes say about jobs.

use super::engine_error;
use super::perform::perform;
use crate::contacts::{self, Stored};
use crate::core::Core;
use crate::error::{Result, bad_input, database, refused};
use crate::records::api;
use crate::work::Work;
use fog_api::{ApiError, ContactState, ErrorKind};
use fog_jobs::JobMessage;
use fog_p2p::MessageId;

/// True if this person's jobs are taken.
pub(super) fn may_send_jobs(core: &Core, from: &Stored) -> bool {
    from.state == ContactState::Accepted || !core.settings.read().jobs_from_accepted_only
}

/// Stores and hashes the data that a message brings, before the database is locked for the rest: a slow disk must not
/// hold up those who wait for the lock. An error is met again by [`incoming`], which knows what follows.
pub(crate) async fn prepare(core: &Core, peer: &betanet::Key, body: &[u8]) -> Result<()> {
    let message = JobMessage::decode(body).map_err(|e| bad_input(e.to_string()))?;
    if !matches!(message, JobMessage::Chunk { .. } | JobMessage::Checkpoint { .. }) {
        return Ok(());
    }
    let mut conn = core.pool.acquire().await.map_err(database)?;
    let from = contacts::by_seal_key(&mut conn, peer).await?;
    let Some(from) = from.filter(|c| c.state != ContactState::Blocked) else { return Ok(()) };
    core.compute.engine.prepare(&mut conn, from.id, &message).await.map_err(engine_error)
}

/// A message about a job came. Commits by itself, because an offer whose escrow the ledger refuses is rolled
/// back and declined.
pub(crate) async fn incoming(mut work: Work, from: &Stored, id: &MessageId, body: &[u8]) -> Result<()> {
    let message = JobMessage::decode(body).map_err(|e| bad_input(e.to_string()))?;
    let core = work.core.clone();
    let offered = match &message {
        JobMessage::Offer(signed) => Some(signed.clone()),
        _ => None,
    };
    if offered.is_some() {
        let members = fog_tokenomics::membership::members(work.conn()).await.map_err(api)?;
        if !members.iter().any(|m| m.person == from.id) {
            // The sender's join is still on its way: take the offer when it comes again.
            return Err(ApiError::new(
                ErrorKind::Unavailable,
                "an offer from somebody who has not joined yet",
            ));
        }
    }
    let refusal = if offered.is_some() && !may_send_jobs(&core, from) {
        refused("jobs are taken from accepted contacts only")
    } else {
        let now = work.now();
        let actions =
            core.compute.engine.on_message(work.conn(), from.id, message, now).await.map_err(engine_error)?;
        match perform(&mut work, actions).await {
            Ok(_) => return work.commit().await,
            Err(e) if offered.is_some() && e.kind == ErrorKind::Refused => e,
            Err(e) => return Err(e),
        }
    };
    drop(work); // rolls back what the offer did
    let Some(signed) = offered else { return Err(refusal) };
    let mut work = Work::begin(&core).await?;
    let now = work.now_ms;
    fog_p2p::inbox::first_time(work.conn(), &from.seal_key, id, now).await.map_err(database)?;
    let decline = core.compute.engine.decline(from.id, &signed, &refusal.message);
    perform(&mut work, vec![decline]).await?;
    work.commit().await
}

/// A message about a job of the first version. Only payments are still understood.
pub(crate) async fn old(work: &mut Work, from: &Stored, body: &[u8]) -> Result<()> {
    let Some(settlement) = fog_jobs::message::old_settlement(body) else {
        return Err(bad_input("a job of an earlier version: its sender must update"));
    };
    let core = work.core.clone();
    let (now, message) = (work.now(), JobMessage::Settled(settlement));
    let actions =
        core.compute.engine.on_message(work.conn(), from.id, message, now).await.map_err(engine_error)?;
    perform(work, actions).await?;
    Ok(())
}
