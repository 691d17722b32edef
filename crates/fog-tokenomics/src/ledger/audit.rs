//! The recount of everything.

use std::collections::HashMap;

use sqlx::SqliteConnection;

use super::Account;
use crate::{
    amount::join,
    db::array,
    error::{Error, Result},
};

/// What a recount found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// Entries in the journal.
    pub entries: u64,
    /// Accounts.
    pub accounts: u64,
    /// The sum of all accounts but issuance, smallest units; it equals the genesis' supply.
    pub supply: u128,
}

/// Recounts the ledger from its postings: every entry sums to zero and is sealed; every balance is the sum
/// of its postings and not below zero; all balances sum to the supply; open escrows hold what their jobs say,
/// closed ones nothing.
///
/// # Errors
/// [`Error::Corrupt`] says what does not hold.
pub async fn check(conn: &mut SqliteConnection) -> Result<Audit> {
    let genesis = crate::genesis(conn).await?;
    let accounts: Vec<(i64, String, Vec<u8>, i64, i64)> =
        sqlx::query_as("SELECT id, kind, key, fog, atto FROM ledger_accounts").fetch_all(&mut *conn).await?;
    let postings: Vec<(i64, i64, i64, i64)> =
        sqlx::query_as("SELECT entry, account, fog, atto FROM ledger_postings").fetch_all(&mut *conn).await?;
    let entries: Vec<(i64, i64)> =
        sqlx::query_as("SELECT id, sealed FROM ledger_entries").fetch_all(&mut *conn).await?;
    let locked: Vec<(Vec<u8>, i64, i64)> =
        sqlx::query_as("SELECT job, escrow_fog, escrow_atto FROM ledger_jobs WHERE state = 'locked'")
            .fetch_all(&mut *conn)
            .await?;

    let fail = |what: String| Err(Error::Corrupt(what));
    let (mut by_entry, mut by_account) = (HashMap::new(), HashMap::new());
    for (entry, account, fog, atto) in postings {
        *by_entry.entry(entry).or_insert(0i128) += join((fog, atto));
        *by_account.entry(account).or_insert(0i128) += join((fog, atto));
    }
    for (id, sealed) in &entries {
        if *sealed != 1 || by_entry.get(id) != Some(&0) {
            return fail(format!("entry {id} does not balance"));
        }
    }
    let mut escrows = HashMap::new();
    for (job, fog, atto) in locked {
        escrows.insert(array(&job)?, join((fog, atto)));
    }
    let (mut supply, mut issued) = (0i128, 0i128);
    for (id, kind, key, fog, atto) in &accounts {
        let account = Account::parse(kind, key)?;
        let held = join((*fog, *atto));
        if by_account.get(id).copied().unwrap_or(0) != held {
            return fail(format!("the balance of {account} is not the sum of its postings"));
        }
        if account == Account::Issuance {
            issued = -held;
            continue;
        }
        if held < 0 {
            return fail(format!("{account} is below zero"));
        }
        if let Account::Escrow(job) = &account
            && escrows.remove(job).unwrap_or(0) != held
        {
            return fail(format!("{account} does not hold what its job says"));
        }
        supply += held;
    }
    if !escrows.is_empty() {
        return fail("a job's escrow has no account".into());
    }
    let supply = u128::try_from(supply).map_err(|_| Error::AmountTooLarge)?;
    if supply != genesis.supply || u128::try_from(issued) != Ok(supply) {
        return fail("the accounts do not sum to the supply".into());
    }
    Ok(Audit { entries: entries.len() as u64, accounts: accounts.len() as u64, supply })
}
