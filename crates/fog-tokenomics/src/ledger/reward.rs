//! Rewards: what the capped pool of the genesis pays for work whose evidence the caller has checked.
//!
//! A reward never mints: once the pool is spent, there are none. Its time is that of the work, not of its booking, so
//! that every ledger counts it to the same day, whenever and in whichever order it hears of rewards.

use sqlx::SqliteConnection;

use super::journal::{self, Entry};
use super::{Account, EntryKind};
use crate::{
    Outcome, Person, UNITS_PER_FOG,
    amount::{join_unsigned, signed},
    db::{begin, hex, time_in},
    error::{Error, Result},
    membership,
};

const DAY_MS: u64 = 86_400_000;
const HOUR_SECONDS: u128 = 3600;
/// Mixing: for an hour, before what comes on top.
pub const MIXING_PER_HOUR: u128 = 5 * UNITS_PER_FOG;
/// Mixing: at most this for all relays of one person in a day (UTC).
pub const MIXING_PER_DAY: u128 = 100 * UNITS_PER_FOG;
/// Mixing: longest time that one reward is for, seconds (the longest epoch of a network).
pub const MAX_MIXING_SECONDS: u32 = 24 * 3600;

/// A relay mixed for everybody during an epoch, as the network's authorities measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mixing {
    /// The relay's id.
    pub relay: [u8; 32],
    /// The epoch's number: a relay is rewarded once for each.
    pub epoch: u32,
    /// How long the epoch is, seconds.
    pub seconds: u32,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: u64,
    /// How reliable the relay was in the long run, in thousandths.
    pub uptime_permille: u16,
}

impl Mixing {
    /// What this is worth before the day's cap: 5 FOG an hour, and up to half as much again for uptime. (The baseline's
    /// part for bandwidth is not paid, because nobody measures it.) Smallest units.
    pub fn worth(&self) -> u128 {
        let base = MIXING_PER_HOUR * u128::from(self.seconds) / HOUR_SECONDS;
        base + base / 2 * u128::from(self.uptime_permille.min(1000)) / 1000
    }

    fn op(&self) -> String {
        format!("mix:{}:{}", hex(&self.relay), self.epoch)
    }
}

/// Pays for mixing, once for each relay and epoch, and not above the day's cap. What is above it is gone: it is not paid
/// on another day. Gives what was paid, too.
///
/// # Errors
/// [`Error::Invalid`] if the person is no member; [`Error::Insufficient`] once the rewards pool is
/// spent; [`Error::Invalid`] also for an epoch of impossible length.
pub async fn reward_mixing(
    conn: &mut SqliteConnection,
    person: &Person,
    mixing: &Mixing,
) -> Result<(Outcome, u128)> {
    if mixing.seconds == 0 || mixing.seconds > MAX_MIXING_SECONDS {
        return Err(Error::Invalid("an epoch lasts a day at most"));
    }
    let mut tx = begin(conn).await?;
    if membership::member(&mut tx, person).await?.is_none() {
        return Err(Error::Invalid("only a member is rewarded"));
    }
    let known: Option<(i64,)> = sqlx::query_as("SELECT id FROM ledger_entries WHERE op = ?")
        .bind(mixing.op())
        .fetch_optional(&mut *tx)
        .await?;
    if known.is_some() {
        return Ok((Outcome::Known, 0));
    }
    let day = mixing.ended_ms / DAY_MS * DAY_MS;
    let paid = between(&mut tx, person, day, day + DAY_MS).await?;
    let amount = mixing.worth().min(MIXING_PER_DAY.saturating_sub(paid));
    if amount == 0 {
        return Ok((Outcome::Known, 0));
    }
    let entry = Entry {
        op: mixing.op(),
        kind: EntryKind::MixingReward,
        time_ms: mixing.ended_ms,
        memo: "Mixing for the network",
        job: None,
        payer: None,
    };
    let units = signed(amount)?;
    journal::post(&mut tx, &entry, &[(Account::RewardsPool, -units), (Account::Person(*person), units)])
        .await?;
    tx.commit().await?;
    Ok((Outcome::New, amount))
}

/// What a person was paid for mixing, in all. Smallest units.
///
/// # Errors
/// [`Error::Database`].
pub async fn mixing_rewards(conn: &mut SqliteConnection, person: &Person) -> Result<u128> {
    between(conn, person, 0, i64::MAX as u64).await
}

/// Rewards with their times, from a time on.
pub(super) async fn since(
    conn: &mut SqliteConnection,
    person: &Person,
    from_ms: u64,
    before_ms: u64,
) -> Result<Vec<(u64, u128)>> {
    let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT e.time_ms, p.fog, p.atto FROM ledger_postings p JOIN ledger_entries e ON e.id = p.entry
         WHERE p.account = (SELECT id FROM ledger_accounts WHERE kind = 'person' AND key = ?)
             AND e.kind = ? AND e.time_ms >= ? AND e.time_ms < ?",
    )
    .bind(&person[..])
    .bind(EntryKind::MixingReward.name())
    .bind(time_in(from_ms)?)
    .bind(time_in(before_ms)?)
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|(ms, fog, atto)| Ok((ms.unsigned_abs(), join_unsigned((fog, atto))?))).collect()
}

async fn between(conn: &mut SqliteConnection, person: &Person, from_ms: u64, before_ms: u64) -> Result<u128> {
    Ok(since(conn, person, from_ms, before_ms).await?.iter().map(|(_, amount)| amount).sum())
}
