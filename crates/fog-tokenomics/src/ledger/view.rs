//! The journal from one person's side, and sums over their jobs.

use sqlx::SqliteConnection;

use super::{Account, EntryKind, mixing_rewards, reward};
use crate::{
    JobId, Person,
    amount::{join, join_unsigned},
    db::{array, time_in, unsigned},
    error::{Error, Result},
};

const DAY_MS: u64 = 86_400_000;
/// Days that [`earned_by_day`] gives at most.
const MAX_DAYS: u32 = 3660;

/// One line of the journal, from a person's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryLine {
    /// The entry's number in this ledger.
    pub id: i64,
    /// When, milliseconds since 1970.
    pub time_ms: u64,
    /// What it is about.
    pub kind: EntryKind,
    /// What for, in words.
    pub memo: String,
    /// True if the person received.
    pub credit: bool,
    /// How much, smallest units.
    pub amount: u128,
    /// The account on the other side.
    pub other: Account,
    /// The person on the other side of the job, where there is one and it is known.
    pub counterparty: Option<Person>,
    /// The job.
    pub job: Option<JobId>,
}

/// What a person earned, by jobs and by mixing, and spent with jobs, smallest units. Paying oneself counts as neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Earned in all.
    pub earned: u128,
    /// Spent in all.
    pub spent: u128,
}

type LineRow = (i64, i64, String, String, Option<Vec<u8>>, i64, i64, i64);
type OtherRow = (i64, i64, String, Vec<u8>, i64, i64);
type PartiesRow = (Vec<u8>, Vec<u8>, Option<Vec<u8>>);

/// The person's lines of the journal, the newest first, at most `limit`.
///
/// # Errors
/// [`Error::Database`].
pub async fn entries(conn: &mut SqliteConnection, person: &Person, limit: u32) -> Result<Vec<EntryLine>> {
    let rows: Vec<LineRow> = sqlx::query_as(
        "SELECT e.id, e.time_ms, e.kind, e.memo, e.job, p.line, p.fog, p.atto
         FROM ledger_postings p JOIN ledger_entries e ON e.id = p.entry
         WHERE p.account = (SELECT id FROM ledger_accounts WHERE kind = 'person' AND key = ?)
         ORDER BY p.entry DESC, p.line DESC LIMIT ?",
    )
    .bind(&person[..])
    .bind(i64::from(limit))
    .fetch_all(&mut *conn)
    .await?;
    let mut lines = Vec::with_capacity(rows.len());
    for (id, time_ms, kind, memo, job, line, fog, atto) in rows {
        let units = join((fog, atto));
        let job: Option<JobId> = job.as_deref().map(array).transpose()?;
        let other = other_side(conn, id, line, units).await?;
        let counterparty = match other {
            Account::Person(other) => Some(other),
            _ => counterparty(conn, job, person).await?,
        };
        lines.push(EntryLine {
            id,
            time_ms: unsigned(time_ms)?,
            kind: EntryKind::parse(&kind)?,
            memo,
            credit: units >= 0,
            amount: units.unsigned_abs(),
            other,
            counterparty,
            job,
        });
    }
    Ok(lines)
}

/// The account of the entry's line with the opposite sign.
async fn other_side(conn: &mut SqliteConnection, entry: i64, line: i64, units: i128) -> Result<Account> {
    let rows: Vec<OtherRow> = sqlx::query_as(
        "SELECT p.entry, p.line, a.kind, a.key, p.fog, p.atto FROM ledger_postings p
         JOIN ledger_accounts a ON a.id = p.account WHERE p.entry = ? AND p.line <> ? ORDER BY p.line",
    )
    .bind(entry)
    .bind(line)
    .fetch_all(conn)
    .await?;
    let (_, _, kind, key, ..) = rows
        .iter()
        .find(|(.., fog, atto)| join((*fog, *atto)).signum() == -units.signum())
        .or_else(|| rows.first())
        .ok_or_else(|| Error::Corrupt("an entry with one side".into()))?;
    Account::parse(kind, key)
}

/// The other party of a job.
async fn counterparty(
    conn: &mut SqliteConnection,
    job: Option<JobId>,
    person: &Person,
) -> Result<Option<Person>> {
    let Some(job) = job else { return Ok(None) };
    let row: Option<PartiesRow> = sqlx::query_as("SELECT job, payer, worker FROM ledger_jobs WHERE job = ?")
        .bind(&job[..])
        .fetch_optional(conn)
        .await?;
    let Some((_, payer, worker)) = row else { return Ok(None) };
    let payer: Person = array(&payer)?;
    if payer != *person {
        return Ok(Some(payer));
    }
    worker.as_deref().map(array).transpose()
}

/// What a person earned, by jobs and by mixing, on each of the last `days` days (UTC), oldest first; the last is the day of
/// `now_ms`. Smallest units.
///
/// # Errors
/// [`Error::Database`].
pub async fn earned_by_day(
    conn: &mut SqliteConnection,
    person: &Person,
    now_ms: u64,
    days: u32,
) -> Result<Vec<u128>> {
    let days = days.min(MAX_DAYS);
    let today = now_ms / DAY_MS;
    // Negative in the first days of 1970, where tests live.
    let first = today as i64 + 1 - i64::from(days);
    let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT closed_ms, price_fog, price_atto FROM ledger_jobs
         WHERE worker = ? AND payer <> worker AND closed_ms >= ?",
    )
    .bind(&person[..])
    .bind(time_in(u64::try_from(first).unwrap_or(0) * DAY_MS)?)
    .fetch_all(&mut *conn)
    .await?;
    let start = u64::try_from(first).unwrap_or(0) * DAY_MS;
    let rewards = reward::since(&mut *conn, person, start, i64::MAX as u64).await?;
    let mut sums = vec![0u128; days as usize];
    let mut add = |ms: i64, amount: u128| {
        let day = usize::try_from(ms / DAY_MS as i64 - first).ok();
        if let Some(sum) = day.and_then(|day| sums.get_mut(day)) {
            *sum += amount;
        }
    };
    for (closed_ms, fog, atto) in rows {
        add(closed_ms, join_unsigned((fog, atto))?);
    }
    for (ms, amount) in rewards {
        add(time_in(ms)?, amount);
    }
    Ok(sums)
}

/// What a person earned by jobs since this moment. Smallest units.
///
/// # Errors
/// [`Error::Database`].
pub async fn earned_since(conn: &mut SqliteConnection, person: &Person, since_ms: u64) -> Result<u128> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT price_fog, price_atto FROM ledger_jobs
         WHERE worker = ? AND payer <> worker AND state = 'settled' AND closed_ms >= ?",
    )
    .bind(&person[..])
    .bind(time_in(since_ms)?)
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(join_unsigned).sum()
}

/// What a person earned and spent.
///
/// # Errors
/// [`Error::Database`].
pub async fn totals(conn: &mut SqliteConnection, person: &Person) -> Result<Totals> {
    let earned: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT price_fog, price_atto FROM ledger_jobs
         WHERE worker = ? AND payer <> worker AND state = 'settled'",
    )
    .bind(&person[..])
    .fetch_all(&mut *conn)
    .await?;
    let spent: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT price_fog, price_atto FROM ledger_jobs
         WHERE payer = ? AND payer <> worker AND state = 'settled'",
    )
    .bind(&person[..])
    .fetch_all(&mut *conn)
    .await?;
    Ok(Totals {
        earned: earned.into_iter().map(join_unsigned).sum::<Result<u128>>()?
            + mixing_rewards(conn, person).await?,
        spent: spent.into_iter().map(join_unsigned).sum::<Result<u128>>()?,
    })
}
