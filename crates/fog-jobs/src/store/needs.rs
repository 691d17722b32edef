//! The table `job_needs`: which order waits for which.

use super::{StoreError, fixed};
use crate::orders::OrderId;
use sqlx::sqlite::SqliteConnection;

/// `job` waits for `needs`.
pub(crate) async fn insert(
    conn: &mut SqliteConnection,
    job: &OrderId,
    needs: &OrderId,
) -> Result<(), StoreError> {
    sqlx::query("INSERT OR IGNORE INTO job_needs (job, needs) VALUES (?, ?)")
        .bind(&job[..])
        .bind(&needs[..])
        .execute(conn)
        .await?;
    Ok(())
}

/// What an order waits for, or waited for.
pub(crate) async fn of(conn: &mut SqliteConnection, job: &OrderId) -> Result<Vec<OrderId>, StoreError> {
    let query = sqlx::query_scalar::<_, Vec<u8>>("SELECT needs FROM job_needs WHERE job = ?");
    query.bind(&job[..]).fetch_all(conn).await?.iter().map(|id| fixed(id)).collect()
}

/// The orders that wait for this one.
pub(crate) async fn waiting_for(
    conn: &mut SqliteConnection,
    needs: &OrderId,
) -> Result<Vec<OrderId>, StoreError> {
    let sql =
        "SELECT n.job FROM job_needs n JOIN job_orders o ON o.id = n.job WHERE n.needs = ? AND o.state < 50";
    let query = sqlx::query_scalar::<_, Vec<u8>>(sql);
    query.bind(&needs[..]).fetch_all(conn).await?.iter().map(|id| fixed(id)).collect()
}

/// True if all that an order needs is completed.
pub(crate) async fn met(conn: &mut SqliteConnection, job: &OrderId) -> Result<bool, StoreError> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM job_needs n LEFT JOIN job_orders o ON o.id = n.needs \
               WHERE n.job = ? AND (o.state IS NULL OR o.state != 50))";
    Ok(sqlx::query_scalar(sql).bind(&job[..]).fetch_one(conn).await?)
}
