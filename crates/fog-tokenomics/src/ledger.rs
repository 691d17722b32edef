//! The ledger: accounts, and the operations that move FOG between them.
//!
//! Each operation has a stable id (`join:PERSON`, `lock:JOB`, `settle:JOB`, `refund:JOB`, `mix:RELAY:EPOCH`), so that repeating
//! it, after a crash or because two peers told us, changes nothing. A job is settled once: by
//! [`escrow_settle`] where its escrow is held, or by [`settle_direct`] where only its receipt was seen.
//!
//! SQLite itself holds the invariants: entries that do not balance cannot be committed, postings are
//! never changed, nobody goes below zero. [`check`] recounts everything.

mod account;
mod audit;
mod job;
pub(crate) mod journal;
mod reward;
mod snapshot;
mod view;

pub use account::{Account, account_balance, balance, escrow_of};
pub use audit::{Audit, check};
pub use job::{JobAccount, JobAccountState, escrow_lock, escrow_refund, escrow_settle, job, settle_direct};
pub use journal::EntryKind;
pub use reward::{
    MAX_MIXING_SECONDS, MIXING_PER_DAY, MIXING_PER_HOUR, Mixing, mixing_rewards, reward_mixing,
};
pub(crate) use snapshot::powers_at;
pub use view::{EntryLine, Totals, earned_by_day, earned_since, entries, totals};

use sqlx::SqliteConnection;

use crate::{Outcome, Person, db, error::Result, governance::Role, membership};
pub use membership::{Member, member, members};

/// Admits a person and pays the genesis' grant from the joiner fund, once.
///
/// # Errors
/// [`crate::Error::Insufficient`] once the joiner fund is spent.
pub async fn join(conn: &mut SqliteConnection, person: &Person, time_ms: u64) -> Result<Outcome> {
    let genesis = crate::genesis(conn).await?;
    let mut tx = db::begin(conn).await?;
    let outcome = membership::admit(&mut tx, person, Role::Citizen, time_ms, genesis.joiner_grant).await?;
    tx.commit().await?;
    Ok(outcome)
}
