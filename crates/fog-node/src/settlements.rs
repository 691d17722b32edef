//! Countersigned receipts of jobs, for everybody's ledger.
//!
//! Messages come in any order, so a settlement may be here before the join of its payer, or before the payment to the
//! payer that covers it. Such a one is kept and tried again whenever its payer gets something: so in the end every
//! ledger that has heard the same has booked the same. It is passed on once, as soon as its payer is a member:
//! what nobody of the network owes does not spread.

#[cfg(test)]
mod tests;

use crate::contacts::Stored;
use crate::error::{Result, bad_input, database, internal, refused};
use crate::records::{api, pass_on};
use crate::wire;
use crate::work::Work;
use betanet::Key;
use fog_api::ErrorKind;
use fog_jobs::{JobId, Settlement};
use fog_p2p::outbox::Priority;
use fog_tokenomics::{Error, Outcome, ledger, membership};

/// Settlements that wait. One whose payer never joined makes room for another; when only members' wait, more are
/// refused.
const MAX_PENDING: i64 = 1024;

/// What the ledger says to a settlement.
enum Booking {
    New,
    Known,
    /// Not yet: the payer has too little, or is no member at all.
    Waits {
        joined: bool,
    },
}

/// Keeps a settlement that is booked, for members who come later.
pub(crate) async fn keep(work: &mut Work, job: &JobId, bytes: &[u8]) -> Result<()> {
    // What is booked takes the place of one that waits: another payer may have made up the same job.
    sqlx::query(
        "INSERT INTO node_settlements (job, body) VALUES (?, ?) ON CONFLICT (job) DO UPDATE \
         SET body = excluded.body, applied = 1, passed_on = 1, payer = NULL WHERE applied = 0",
    )
    .bind(job.as_slice())
    .bind(bytes)
    .execute(work.conn())
    .await
    .map_err(database)?;
    Ok(())
}

/// Forgets all: they belong to a ledger that this node leaves.
pub(crate) async fn forget_all(work: &mut Work) -> Result<()> {
    sqlx::query("DELETE FROM node_settlements").execute(work.conn()).await.map_err(database)?;
    Ok(())
}

/// True if there are any, booked or waiting.
pub(crate) async fn any(work: &mut Work) -> Result<bool> {
    let query = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM node_settlements)");
    query.fetch_one(work.conn()).await.map_err(database)
}

/// Tells a new member. They get those that wait, too: they were passed on once, and will not be again.
pub(crate) async fn introduce(work: &mut Work, contact: &Stored) -> Result<()> {
    let query = "SELECT body FROM node_settlements WHERE passed_on = 1 ORDER BY applied DESC, rowid";
    let bodies: Vec<Vec<u8>> = sqlx::query_scalar(query).fetch_all(work.conn()).await.map_err(database)?;
    for body in bodies {
        work.send(contact.seal_key, wire::SETTLEMENT, Priority::Low, body).await?;
    }
    Ok(())
}

/// A job of mine was paid: everybody's ledger is to show it.
pub(crate) async fn publish(work: &mut Work, settlement: &Settlement, except: &Key) -> Result<()> {
    let bytes = settlement.encode().map_err(internal)?;
    pass_on(work, wire::SETTLEMENT, &bytes, Some(except)).await
}

/// A settlement between two others came.
pub(crate) async fn incoming(work: &mut Work, from: &Stored, body: &[u8]) -> Result<()> {
    let settlement = Settlement::decode(body).map_err(|e| bad_input(e.to_string()))?;
    settlement.verify().map_err(|e| bad_input(e.to_string()))?;
    let receipt = &settlement.receipt.receipt;
    if receipt.submitter == work.core.id || receipt.worker == work.core.id {
        return Ok(()); // mine comes by the job's own messages
    }
    match book(work, &settlement).await? {
        Booking::New => {
            keep(work, &receipt.job, body).await?;
            pass_on(work, wire::SETTLEMENT, body, Some(&from.seal_key)).await?;
            credited(work, &[receipt.worker]).await?;
        }
        Booking::Known => {}
        Booking::Waits { joined } => {
            if wait(work, &settlement, body, joined).await? && joined {
                pass_on(work, wire::SETTLEMENT, body, Some(&from.seal_key)).await?;
            }
        }
    }
    Ok(())
}

/// These people got something: books what waited for that, and what that pays for in turn.
pub(crate) async fn credited(work: &mut Work, people: &[Key]) -> Result<()> {
    let mut people = people.to_vec();
    // Each round after the first follows a booking, and what is booked waits no more: it comes to an end.
    while let Some(payer) = people.pop() {
        let query = "SELECT job, body, passed_on FROM node_settlements WHERE applied = 0 AND payer = ? ORDER BY rowid";
        let waiting: Vec<(Vec<u8>, Vec<u8>, bool)> =
            sqlx::query_as(query).bind(payer.as_slice()).fetch_all(work.conn()).await.map_err(database)?;
        for (job, body, passed_on) in waiting {
            let Ok(settlement) = Settlement::decode(&body) else {
                forget(work, &job).await?; // damaged: it must not hold up what comes after it
                continue;
            };
            let joined = match book(work, &settlement).await {
                Ok(Booking::New) => {
                    people.push(settlement.receipt.receipt.worker);
                    mark(work, &job, "applied = 1, payer = NULL").await?;
                    true
                }
                Ok(Booking::Known) => {
                    mark(work, &job, "applied = 1, payer = NULL").await?;
                    true
                }
                Ok(Booking::Waits { joined }) => joined,
                Err(e) if matches!(e.kind, ErrorKind::Internal | ErrorKind::Unavailable) => return Err(e),
                Err(e) => {
                    tracing::warn!("a payment that waited is refused: {e}");
                    forget(work, &job).await?;
                    continue;
                }
            };
            if joined && !passed_on {
                mark(work, &job, "passed_on = 1").await?;
                pass_on(work, wire::SETTLEMENT, &body, None).await?;
            }
        }
    }
    Ok(())
}

/// After a start: whatever can be booked now.
pub(crate) async fn resume(work: &mut Work) -> Result<()> {
    let query = "SELECT DISTINCT payer FROM node_settlements WHERE applied = 0";
    let payers: Vec<Vec<u8>> = sqlx::query_scalar(query).fetch_all(work.conn()).await.map_err(database)?;
    let payers: Vec<Key> = payers.into_iter().filter_map(|p| p.try_into().ok()).collect();
    credited(work, &payers).await
}

async fn book(work: &mut Work, settlement: &Settlement) -> Result<Booking> {
    let receipt = &settlement.receipt.receipt;
    if membership::member(work.conn(), &receipt.submitter).await.map_err(api)?.is_none() {
        return Ok(Booking::Waits { joined: false });
    }
    let now = work.now();
    let outcome = ledger::settle_direct(
        work.conn(),
        &receipt.job,
        &receipt.submitter,
        &receipt.worker,
        receipt.price,
        now,
        "Job between other members",
    );
    match outcome.await {
        Ok(Outcome::New) => Ok(Booking::New),
        Ok(Outcome::Known) => Ok(Booking::Known),
        Err(Error::Insufficient { .. }) => Ok(Booking::Waits { joined: true }),
        Err(e) => Err(api(e)),
    }
}

/// Keeps a settlement until it can be booked. False: it waits already.
async fn wait(work: &mut Work, settlement: &Settlement, body: &[u8], joined: bool) -> Result<bool> {
    let receipt = &settlement.receipt.receipt;
    let known: Option<bool> = sqlx::query_scalar("SELECT passed_on FROM node_settlements WHERE job = ?")
        .bind(receipt.job.as_slice())
        .fetch_optional(work.conn())
        .await
        .map_err(database)?;
    match known {
        // A member's takes the place of a stranger's, who may have made up the same job.
        Some(passed_on) if passed_on || !joined => return Ok(false),
        Some(_) => {}
        None => make_room(work).await?,
    }
    sqlx::query(
        "INSERT OR REPLACE INTO node_settlements (job, body, applied, passed_on, payer) VALUES (?, ?, 0, ?, ?)",
    )
    .bind(receipt.job.as_slice())
    .bind(body)
    .bind(joined)
    .bind(receipt.submitter.as_slice())
    .execute(work.conn())
    .await
    .map_err(database)?;
    Ok(true)
}

async fn make_room(work: &mut Work) -> Result<()> {
    let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM node_settlements WHERE applied = 0")
        .fetch_one(work.conn())
        .await
        .map_err(database)?;
    if waiting < MAX_PENDING {
        return Ok(());
    }
    // One that was passed on is never dropped for another: it would come back from those who have it, again and again.
    let query = "SELECT job FROM node_settlements WHERE applied = 0 AND passed_on = 0 ORDER BY rowid LIMIT 1";
    let oldest: Option<Vec<u8>> =
        sqlx::query_scalar(query).fetch_optional(work.conn()).await.map_err(database)?;
    let oldest = oldest.ok_or_else(|| refused("too many payments wait for their payers' money"))?;
    forget(work, &oldest).await
}

async fn mark(work: &mut Work, job: &[u8], set: &'static str) -> Result<()> {
    let query = sqlx::AssertSqlSafe(format!("UPDATE node_settlements SET {set} WHERE job = ?"));
    sqlx::query(query).bind(job).execute(work.conn()).await.map_err(database)?;
    Ok(())
}

async fn forget(work: &mut Work, job: &[u8]) -> Result<()> {
    let query = sqlx::query("DELETE FROM node_settlements WHERE job = ?");
    query.bind(job).execute(work.conn()).await.map_err(database)?;
    Ok(())
}
