//! What every table of the crate shares: migrations, transactions, conversions.

use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};

use crate::error::{Error, Result};

/// Brings the tables `ledger_*` and `dao_*` up to date. Harmless to repeat.
///
/// The crate keeps its own list of migrations, `_migrations_tokenomics`, as several crates share one
/// database.
///
/// # Errors
/// [`Error::Migrate`] if the file is damaged, read-only or was written by a newer version.
pub async fn migrate(conn: &mut SqliteConnection) -> Result<()> {
    let mut migrator = sqlx::migrate!("./migrations");
    migrator.dangerous_set_table_name("_migrations_tokenomics");
    // Under the write lock, as two connections may open a new file at once.
    let mut tx = begin(conn).await?;
    // Not `run`, whose future is not `Send` for every lifetime: callers could not spawn what calls this.
    migrator.run_direct(None, &mut *tx, false).await?;
    tx.commit().await?;
    Ok(())
}

/// Begins what is to happen whole or not at all: a savepoint inside of the caller's transaction, or else a
/// transaction that takes the write lock at once (one that reads first and writes later can lose its
/// snapshot to another writer).
pub(crate) async fn begin(conn: &mut SqliteConnection) -> Result<Transaction<'_, Sqlite>> {
    let tx = if conn.is_in_transaction() {
        conn.begin().await?
    } else {
        conn.begin_with("BEGIN IMMEDIATE").await?
    };
    Ok(tx)
}

/// A time for SQLite.
pub(crate) fn time_in(ms: u64) -> Result<i64> {
    i64::try_from(ms).map_err(|_| Error::TimeOutOfRange)
}

/// A number from SQLite that cannot be negative.
pub(crate) fn unsigned(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| Error::Corrupt("a number is below zero".into()))
}

/// Bytes of a fixed length from SQLite.
pub(crate) fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| Error::Corrupt(format!("{} bytes where {N} belong", bytes.len())))
}

/// Lower-case hexadecimal digits, for operation ids and messages.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;

    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
