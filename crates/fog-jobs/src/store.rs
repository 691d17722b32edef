//! The tables `job_*`. Every function works on the caller's connection, so that the caller's transaction covers it.

mod job;
mod jobs;
pub(crate) mod needs;
pub(crate) mod orders;
pub(crate) mod reputation;
#[cfg(test)]
mod tests;

pub(crate) use job::Phase;
pub use job::{Job, JobState, Role};
pub(crate) use jobs::*;

use crate::spec::SpecError;
use sqlx::sqlite::SqliteConnection;

/// Creates or updates the tables. Keeps its own migration table, `_migrations_jobs`, since several crates share one
/// database.
///
/// # Errors
/// [`sqlx::migrate::MigrateError`] if the database refuses or was made by a newer version.
pub async fn migrate(conn: &mut SqliteConnection) -> Result<(), sqlx::migrate::MigrateError> {
    let mut migrator = sqlx::migrate!();
    migrator.dangerous_set_table_name("_migrations_jobs");
    migrator.run_direct(None, conn, false).await
}

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused.
    #[error("the job tables: {0}")]
    Db(#[from] sqlx::Error),
    /// A row does not hold what was written: the database is damaged.
    #[error("the job tables are damaged: {0}")]
    Damaged(String),
}

impl From<SpecError> for StoreError {
    fn from(error: SpecError) -> Self {
        Self::Damaged(error.to_string())
    }
}

pub(crate) fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Damaged(format!("{} bytes instead of {N}", bytes.len())))
}

pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
