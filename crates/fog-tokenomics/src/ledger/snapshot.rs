//! What each person owned at a time: the ground of voting power.

use std::collections::HashMap;

use sqlx::SqliteConnection;

use crate::{
    Person,
    amount::join,
    db::{array, time_in},
    error::{Error, Result},
};

/// What each person owned at `time_ms`, escrows for their own jobs included: they are the payer's until a job
/// is settled, and a node that saw only the settlement must come to the same number as one that held the
/// escrow. Counted backwards from the balances of now, as few entries are later.
pub(crate) async fn powers_at(conn: &mut SqliteConnection, time_ms: u64) -> Result<HashMap<Person, u128>> {
    let held: Vec<(Vec<u8>, i64, i64)> =
        sqlx::query_as("SELECT owner, fog, atto FROM ledger_accounts WHERE owner IS NOT NULL")
            .fetch_all(&mut *conn)
            .await?;
    let later: Vec<(Vec<u8>, i64, i64)> = sqlx::query_as(
        "SELECT a.owner, p.fog, p.atto FROM ledger_entries e
         JOIN ledger_postings p ON p.entry = e.id JOIN ledger_accounts a ON a.id = p.account
         WHERE e.time_ms > ? AND a.owner IS NOT NULL",
    )
    .bind(time_in(time_ms)?)
    .fetch_all(conn)
    .await?;
    let mut powers: HashMap<Person, i128> = HashMap::new();
    for (owner, fog, atto) in held {
        *powers.entry(array(&owner)?).or_default() += join((fog, atto));
    }
    for (owner, fog, atto) in later {
        *powers.entry(array(&owner)?).or_default() -= join((fog, atto));
    }
    powers
        .into_iter()
        .map(|(person, units)| {
            // Entries are dated by what they tell of, not by arrival: between two of them a person may
            // seem to have spent before they earned.
            u128::try_from(units.max(0)).map(|units| (person, units)).map_err(|_| Error::AmountTooLarge)
        })
        .collect()
}
