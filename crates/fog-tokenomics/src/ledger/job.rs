//! What a job holds and pays.

use sqlx::SqliteConnection;

use super::{
    Account, EntryKind, balance,
    journal::{Entry, post},
};
use crate::{
    JobId, Outcome, Person,
    amount::{Pair, join_unsigned, signed, split_unsigned},
    db::{array, begin, hex, time_in},
    error::{Error, Result},
};

/// A job as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobAccount {
    /// Who pays.
    pub payer: Person,
    /// What was locked, smallest units; nothing where only the settlement was seen.
    pub escrow: Option<u128>,
    /// How far it is.
    pub state: JobAccountState,
}

/// How far a job's payment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobAccountState {
    /// Its escrow is held.
    Locked,
    /// It is paid.
    Settled {
        /// Who was paid.
        worker: Person,
        /// How much, smallest units.
        price: u128,
    },
    /// Its escrow went back.
    Refunded,
}

type JobRow = (Vec<u8>, Option<Vec<u8>>, String, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

/// A job's payment, if the ledger knows the job.
///
/// # Errors
/// [`Error::Database`].
pub async fn job(conn: &mut SqliteConnection, job: &JobId) -> Result<Option<JobAccount>> {
    let row: Option<JobRow> = sqlx::query_as(
        "SELECT payer, worker, state, escrow_fog, escrow_atto, price_fog, price_atto
         FROM ledger_jobs WHERE job = ?",
    )
    .bind(&job[..])
    .fetch_optional(conn)
    .await?;
    let Some((payer, worker, state, escrow_fog, escrow_atto, price_fog, price_atto)) = row else {
        return Ok(None);
    };
    let state = match (state.as_str(), worker, price_fog.zip(price_atto)) {
        ("locked", ..) => JobAccountState::Locked,
        ("refunded", ..) => JobAccountState::Refunded,
        ("settled", Some(worker), Some(price)) => {
            JobAccountState::Settled { worker: array(&worker)?, price: join_unsigned(price)? }
        }
        _ => return Err(Error::Corrupt("a job in an unknown state".into())),
    };
    let escrow = escrow_fog.zip(escrow_atto).map(join_unsigned).transpose()?;
    Ok(Some(JobAccount { payer: array(&payer)?, escrow, state }))
}

/// Holds `amount` of the payer's FOG for a job.
///
/// # Errors
/// [`Error::Insufficient`]; [`Error::EscrowDiffers`] if the job has an escrow with other terms;
/// [`Error::AlreadySettled`] or [`Error::AlreadyRefunded`] if the job is closed and this was not its escrow.
pub async fn escrow_lock(
    conn: &mut SqliteConnection,
    job_id: &JobId,
    from: &Person,
    amount: u128,
    time_ms: u64,
) -> Result<Outcome> {
    let mut tx = begin(conn).await?;
    if let Some(known) = job(&mut tx, job_id).await? {
        if known.payer == *from && known.escrow == Some(amount) {
            return Ok(Outcome::Known);
        }
        return Err(match known.state {
            JobAccountState::Locked => Error::EscrowDiffers,
            JobAccountState::Settled { .. } => Error::AlreadySettled,
            JobAccountState::Refunded => Error::AlreadyRefunded,
        });
    }
    require(&mut tx, from, amount).await?;
    let entry = Entry {
        op: format!("lock:{}", hex(job_id)),
        kind: EntryKind::EscrowLock,
        time_ms,
        memo: "Held in escrow for a job",
        job: Some(*job_id),
        payer: Some(*from),
    };
    let units = signed(amount)?;
    post(&mut tx, &entry, &[(Account::Person(*from), -units), (Account::Escrow(*job_id), units)]).await?;
    let (fog, atto) = split_unsigned(amount)?;
    sqlx::query(
        "INSERT INTO ledger_jobs (job, payer, state, escrow_fog, escrow_atto) VALUES (?, ?, 'locked', ?, ?)",
    )
    .bind(&job_id[..])
    .bind(&from[..])
    .bind(fog)
    .bind(atto)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Outcome::New)
}

/// Pays a job from its escrow: `price` to the worker, the rest back to the payer.
///
/// # Errors
/// [`Error::PriceAboveEscrow`], [`Error::NoEscrow`], [`Error::AlreadyRefunded`]; [`Error::AlreadySettled`] if the
/// job was settled with another worker or price (with the same ones it is [`Outcome::Known`]).
pub async fn escrow_settle(
    conn: &mut SqliteConnection,
    job_id: &JobId,
    to: &Person,
    price: u128,
    time_ms: u64,
    memo: &str,
) -> Result<Outcome> {
    let mut tx = begin(conn).await?;
    let known = job(&mut tx, job_id).await?.ok_or(Error::NoEscrow)?;
    let escrow = match (known.state, known.escrow) {
        (JobAccountState::Locked, Some(escrow)) => escrow,
        (state, _) => return closed(state, to, price),
    };
    if price > escrow {
        return Err(Error::PriceAboveEscrow { price, escrow });
    }
    let entry = Entry {
        op: format!("settle:{}", hex(job_id)),
        kind: EntryKind::EscrowSettle,
        time_ms,
        memo,
        job: Some(*job_id),
        payer: None,
    };
    let mut lines =
        vec![(Account::Escrow(*job_id), -signed(escrow)?), (Account::Person(*to), signed(price)?)];
    if price < escrow {
        lines.push((Account::Person(known.payer), signed(escrow - price)?));
    }
    post(&mut tx, &entry, &lines).await?;
    let (fog, atto) = split_unsigned(price)?;
    close(&mut tx, job_id, Some((to, (fog, atto))), time_ms).await?;
    tx.commit().await?;
    Ok(Outcome::New)
}

/// Returns a job's escrow whole to its payer.
///
/// # Errors
/// [`Error::NoEscrow`]; [`Error::AlreadySettled`].
pub async fn escrow_refund(conn: &mut SqliteConnection, job_id: &JobId, time_ms: u64) -> Result<Outcome> {
    let mut tx = begin(conn).await?;
    let known = job(&mut tx, job_id).await?.ok_or(Error::NoEscrow)?;
    let escrow = match (known.state, known.escrow) {
        (JobAccountState::Locked, Some(escrow)) => escrow,
        (JobAccountState::Refunded, _) => return Ok(Outcome::Known),
        _ => return Err(Error::AlreadySettled),
    };
    let entry = Entry {
        op: format!("refund:{}", hex(job_id)),
        kind: EntryKind::EscrowRefund,
        time_ms,
        memo: "Escrow returned",
        job: Some(*job_id),
        payer: None,
    };
    let units = signed(escrow)?;
    post(&mut tx, &entry, &[(Account::Escrow(*job_id), -units), (Account::Person(known.payer), units)])
        .await?;
    close(&mut tx, job_id, None, time_ms).await?;
    tx.commit().await?;
    Ok(Outcome::New)
}

/// Books a job's payment as a node does that saw the signed receipt but holds no escrow for it. Where the
/// payer's escrow for the job is held here after all, it is settled from that.
///
/// # Errors
/// [`Error::Insufficient`] if the payer's balance, as far as this ledger knows, is too small (try again when
/// more receipts have come); [`Error::AlreadySettled`] and [`Error::AlreadyRefunded`] as in [`escrow_settle`];
/// [`Error::EscrowDiffers`] if an escrow is held here for another payer.
pub async fn settle_direct(
    conn: &mut SqliteConnection,
    job_id: &JobId,
    from: &Person,
    to: &Person,
    price: u128,
    time_ms: u64,
    memo: &str,
) -> Result<Outcome> {
    let mut tx = begin(conn).await?;
    if let Some(known) = job(&mut tx, job_id).await? {
        if known.payer != *from {
            return Err(match known.state {
                JobAccountState::Locked => Error::EscrowDiffers,
                JobAccountState::Settled { .. } => Error::AlreadySettled,
                JobAccountState::Refunded => Error::AlreadyRefunded,
            });
        }
        let outcome = escrow_settle(&mut tx, job_id, to, price, time_ms, memo).await?;
        tx.commit().await?;
        return Ok(outcome);
    }
    require(&mut tx, from, price).await?;
    let entry = Entry {
        op: format!("settle:{}", hex(job_id)),
        kind: EntryKind::SettleDirect,
        time_ms,
        memo,
        job: Some(*job_id),
        payer: None,
    };
    let units = signed(price)?;
    post(&mut tx, &entry, &[(Account::Person(*from), -units), (Account::Person(*to), units)]).await?;
    let (fog, atto) = split_unsigned(price)?;
    sqlx::query(
        "INSERT INTO ledger_jobs (job, payer, worker, state, price_fog, price_atto, closed_ms)
         VALUES (?, ?, ?, 'settled', ?, ?, ?)",
    )
    .bind(&job_id[..])
    .bind(&from[..])
    .bind(&to[..])
    .bind(fog)
    .bind(atto)
    .bind(time_in(time_ms)?)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Outcome::New)
}

/// A settlement of a closed job: the same one again, or another.
fn closed(state: JobAccountState, to: &Person, price: u128) -> Result<Outcome> {
    match state {
        JobAccountState::Settled { worker, price: paid } if worker == *to && paid == price => {
            Ok(Outcome::Known)
        }
        JobAccountState::Refunded => Err(Error::AlreadyRefunded),
        _ => Err(Error::AlreadySettled),
    }
}

/// Refuses early what the payer cannot pay, before an amount of any size is put into the ledger's integers.
async fn require(conn: &mut SqliteConnection, person: &Person, needed: u128) -> Result<()> {
    let available = balance(conn, person).await?;
    if available < needed {
        return Err(Error::Insufficient { account: Account::Person(*person).to_string(), available, needed });
    }
    Ok(())
}

async fn close(
    conn: &mut SqliteConnection,
    job_id: &JobId,
    paid: Option<(&Person, Pair)>,
    time_ms: u64,
) -> Result<()> {
    sqlx::query(
        "UPDATE ledger_jobs SET state = ?, worker = ?, price_fog = ?, price_atto = ?, closed_ms = ? WHERE job = ?",
    )
    .bind(if paid.is_some() { "settled" } else { "refunded" })
    .bind(paid.map(|(worker, _)| &worker[..]))
    .bind(paid.map(|(_, (fog, _))| fog))
    .bind(paid.map(|(_, (_, atto))| atto))
    .bind(time_in(time_ms)?)
    .bind(&job_id[..])
    .execute(conn)
    .await?;
    Ok(())
}
