//! The table `job_reputation`.

use super::{StoreError, fixed, signed, unsigned};
use crate::spec::Person;
use crate::trust::Reputation;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use std::collections::HashMap;

/// What is known of a person.
pub(crate) async fn get(conn: &mut SqliteConnection, person: &Person) -> Result<Reputation, StoreError> {
    let sql =
        "SELECT person, good, bad, samples, valid_in_row, updated_ms FROM job_reputation WHERE person = ?";
    let row = sqlx::query(sql).bind(&person[..]).fetch_optional(conn).await?;
    Ok(row.as_ref().map(read).transpose()?.map_or_else(Reputation::default, |(_, reputation)| reputation))
}

/// What is known of everybody.
pub(crate) async fn all(conn: &mut SqliteConnection) -> Result<HashMap<Person, Reputation>, StoreError> {
    let sql = "SELECT person, good, bad, samples, valid_in_row, updated_ms FROM job_reputation";
    sqlx::query(sql).fetch_all(conn).await?.iter().map(read).collect()
}

/// Writes it.
pub(crate) async fn put(
    conn: &mut SqliteConnection,
    person: &Person,
    reputation: &Reputation,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT OR REPLACE INTO job_reputation (person, good, bad, samples, valid_in_row, updated_ms) \
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(&person[..])
    .bind(signed(reputation.good))
    .bind(signed(reputation.bad))
    .bind(reputation.samples)
    .bind(reputation.valid_in_row)
    .bind(signed(reputation.updated_ms))
    .execute(conn)
    .await?;
    Ok(())
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<(Person, Reputation), StoreError> {
    let reputation = Reputation {
        good: unsigned(row.try_get("good")?),
        bad: unsigned(row.try_get("bad")?),
        samples: row.try_get("samples")?,
        valid_in_row: row.try_get("valid_in_row")?,
        updated_ms: unsigned(row.try_get("updated_ms")?),
    };
    Ok((fixed(row.try_get("person")?)?, reputation))
}
