//! Does what the engine asks for, within the same transaction.

use super::workers;
use crate::contacts;
use crate::error::{Result, database, internal};
use crate::records::api;
use crate::settlements;
use crate::wallet;
use crate::wire;
use crate::work::{After, Work};
use fog_api::PrivacyLevel;
use fog_jobs::{Action, JobMessage, RunPlan};
use fog_p2p::outbox::{self, Priority};
use fog_tokenomics::ledger;
use std::collections::HashSet;

/// Chunks that wait for one person: 16 MiB. More are asked for again once these have arrived.
const MAX_QUEUED_CHUNKS: i64 = 64;
/// Parts of logs and other small words that wait for one person; more are left out.
const MAX_QUEUED_LOGS: i64 = 64;

/// The level's number in the job protocol.
pub(super) fn level_number(level: PrivacyLevel) -> u8 {
    match level {
        // Nothing more than the conversation has is asked for.
        PrivacyLevel::Public => 0,
        PrivacyLevel::Private => 1,
        PrivacyLevel::Confidential => 2,
        PrivacyLevel::Secret => 3,
    }
}

/// Carries out what the engine asks for; the runs are for after the commit.
pub(super) async fn perform(work: &mut Work, actions: Vec<Action>) -> Result<Vec<RunPlan>> {
    let mut runs = Vec::new();
    let (mut orders, mut jobs, mut people) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut money = false;
    let (core, now) = (work.core.clone(), work.now());
    for action in actions {
        match action {
            Action::Send { to, message, privacy } => send(work, to, &message, privacy).await?,
            Action::LockEscrow { job, from, amount } => {
                ledger::escrow_lock(work.conn(), &job, &from, amount, now).await.map_err(api)?;
                money = true;
            }
            Action::Settle { job, settlement } => {
                let receipt = settlement.receipt.receipt.clone();
                ledger::escrow_settle(work.conn(), &job, &receipt.worker, receipt.price, now, "Compute job")
                    .await
                    .map_err(api)?;
                money = true;
                let bytes = settlement.encode().map_err(internal)?;
                settlements::keep(work, &job, &bytes).await?;
                // The worker hears it by the job's own messages; the submitter tells the others.
                if receipt.submitter == core.id
                    && let Some(worker) = contacts::by_id(work.conn(), &receipt.worker).await?
                {
                    settlements::publish(work, &settlement, &worker.seal_key).await?;
                }
                settlements::credited(work, &[receipt.worker, receipt.submitter]).await?;
            }
            Action::Refund { job } => match ledger::escrow_refund(work.conn(), &job, now).await {
                Ok(_) => {
                    money = true;
                    if let Some(account) = ledger::job(work.conn(), &job).await.map_err(api)? {
                        settlements::credited(work, &[account.payer]).await?;
                    }
                }
                // A declined offer never had an escrow on the worker's side.
                Err(fog_tokenomics::Error::NoEscrow) => {}
                Err(e) => return Err(api(e)),
            },
            Action::Run(plan) => runs.push(plan),
            Action::Kill { job } => work.after(After::Kill(job)),
            Action::Preempt { job } => work.after(After::Preempt(job)),
            Action::Changed { job } => _ = jobs.insert(job),
            Action::Ordered { order } => _ = orders.insert(order),
            Action::Worker { person } => _ = people.insert(person),
            Action::Log { order, job, offset, data } => work.after(After::Log { order, job, offset, data }),
            Action::Ended { order } => work.after(After::LogEnds(order)),
            Action::Asked { by } => workers::answer(work, by).await?,
        }
    }
    if !(orders.is_empty() && jobs.is_empty() && people.is_empty()) {
        work.after(After::Changed { orders, jobs, people });
    }
    if money {
        wallet::emit(work).await?;
    }
    work.after(After::Jobs);
    Ok(runs)
}

/// Puts a message about jobs into the outbox.
pub(super) async fn send(work: &mut Work, to: [u8; 32], message: &JobMessage, privacy: u8) -> Result<()> {
    let Some(contact) = contacts::by_id(work.conn(), &to).await? else { return Ok(()) };
    if level_number(contact.level()) < privacy {
        // The level between us was lowered since: nothing of the job goes out below the level that it asks for.
        tracing::warn!("a job's message waits: the level chosen for the contact is below the job's");
        return Ok(());
    }
    let (lane, priority, most) = match message {
        JobMessage::Chunk { .. } => (wire::lane::DATA, Priority::Bulk, Some(MAX_QUEUED_CHUNKS)),
        JobMessage::Offer(_) | JobMessage::Cancel { .. } => (wire::lane::OFFERS, Priority::Normal, None),
        JobMessage::Ask | JobMessage::Offers(_) => (outbox::UNORDERED, Priority::Normal, None),
        JobMessage::Log { .. } => (wire::lane::JOBS, Priority::Low, Some(MAX_QUEUED_LOGS)),
        _ => (wire::lane::JOBS, Priority::Normal, None),
    };
    if let Some(most) = most {
        // Whoever asks for the same data again and again, or does not fetch it, does not fill this disk with it.
        let queued = outbox::queued(work.conn(), &contact.seal_key, priority).await.map_err(database)?;
        if queued >= most {
            return Ok(());
        }
    }
    let body = message.encode().map_err(internal)?;
    work.send_in(lane, contact.seal_key, wire::WORK, priority, body).await?;
    Ok(())
}
