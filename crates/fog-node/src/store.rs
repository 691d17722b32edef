//! The database: one SQLite file, WAL, every commit on disk before it is acknowledged.

use crate::error::NodeError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, SqliteConnection};
use std::path::Path;
use std::time::Duration;

/// Opens (or creates) the database, checks it and brings all tables up to date.
pub(crate) async fn open(path: &Path) -> Result<SqlitePool, NodeError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10));
    let damaged = |e: &dyn std::fmt::Display| {
        NodeError::Database(format!(
            "the database {} cannot be used: {e}. Nothing was changed. Restore it from a backup, or move it away to \
             begin anew (messages, jobs and votes in it are then gone; the identity stays)",
            path.display()
        ))
    };
    let pool = SqlitePoolOptions::new()
        .max_connections(4)
        // A full disk makes SQLite roll back by itself, after which the connection counts a transaction that is
        // gone. Such a connection is closed. (The pool has pinged it before, which waits for a rollback.)
        .before_acquire(|conn, _| Box::pin(async move { Ok(!conn.is_in_transaction()) }))
        .connect_with(options)
        .await
        .map_err(|e| damaged(&e))?;
    let check: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&pool).await.map_err(|e| damaged(&e))?;
    if check != "ok" {
        return Err(damaged(&check));
    }
    migrate(&pool).await.map_err(|e| damaged(&e))?;
    Ok(pool)
}

async fn migrate(pool: &SqlitePool) -> Result<(), sqlx::migrate::MigrateError> {
    let mut migrator: sqlx::migrate::Migrator = sqlx::migrate!();
    migrator.dangerous_set_table_name("_migrations_node");
    migrator.run(pool).await?;
    fog_p2p::migrate(pool).await?;
    let mut conn = pool.acquire().await?;
    fog_p2p::outbox::adopt(&mut conn, crate::wire::lane).await?;
    fog_jobs::migrate(&mut conn).await
}

pub(crate) async fn meta(conn: &mut SqliteConnection, key: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT value FROM node_meta WHERE key = ?").bind(key).fetch_optional(conn).await
}

pub(crate) async fn set_meta(conn: &mut SqliteConnection, key: &str, value: &str) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO node_meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
        .bind(key)
        .bind(value)
        .execute(conn)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_damaged_file_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("fog.db");
        std::fs::write(&path, vec![0x5a; 8192]).expect("writes");
        let Err(NodeError::Database(text)) = open(&path).await else { panic!("must be refused") };
        assert!(text.contains("fog.db") && text.contains("backup"), "{text}");
        assert_eq!(std::fs::read(&path).expect("reads"), vec![0x5a; 8192]);
    }

    #[tokio::test]
    async fn meta_survives_reopening() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("fog.db");
        let pool = open(&path).await.expect("opens");
        set_meta(&mut pool.acquire().await.expect("conn"), "a", "1").await.expect("sets");
        pool.close().await;
        let pool = open(&path).await.expect("opens");
        assert_eq!(
            meta(&mut pool.acquire().await.expect("conn"), "a").await.expect("reads").as_deref(),
            Some("1")
        );
    }

    #[tokio::test]
    async fn messages_that_were_put_before_there_were_lanes_get_theirs() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("fog.db");
        let pool = open(&path).await.expect("opens");
        for kind in [crate::wire::CHAT, crate::wire::HELLO, crate::wire::JOB] {
            let insert = "INSERT INTO p2p_outbox (id, peer, kind, priority, body, created_ms, sequence) \
                          VALUES (randomblob(16), zeroblob(32), ?, 1, x'01', 0, 7)";
            sqlx::query(insert).bind(i64::from(kind)).execute(&pool).await.expect("writes");
        }
        pool.close().await;
        let pool = open(&path).await.expect("opens");
        let rows: Vec<(i64, i64)> = sqlx::query_as("SELECT lane, sequence FROM p2p_outbox ORDER BY rowid")
            .fetch_all(&pool)
            .await
            .expect("reads");
        assert_eq!(rows, [(i64::from(crate::wire::lane::CHAT), 7), (0, 0), (0, 0)]);
    }

    #[tokio::test]
    async fn settlements_of_the_version_before_are_booked_ones() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("fog.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let before = SqlitePool::connect_with(options).await.expect("opens");
        let mut migrator = sqlx::migrate!();
        migrator.migrations.to_mut().retain(|m| m.version < 2);
        migrator.dangerous_set_table_name("_migrations_node");
        migrator.run(&before).await.expect("the version before");
        let query = sqlx::query("INSERT INTO node_settlements (job, body) VALUES (randomblob(16), x'01')");
        query.execute(&before).await.expect("writes");
        before.close().await;
        let pool = open(&path).await.expect("opens");
        let row: (Vec<u8>, bool, bool, Option<Vec<u8>>) =
            sqlx::query_as("SELECT body, applied, passed_on, payer FROM node_settlements")
                .fetch_one(&pool)
                .await
                .expect("reads");
        assert_eq!(row, (vec![1], true, true, None));
    }

    #[tokio::test]
    async fn a_level_that_was_chosen_before_there_was_a_secret_one_stays() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("fog.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let before = SqlitePool::connect_with(options).await.expect("opens");
        let mut migrator = sqlx::migrate!();
        migrator.migrations.to_mut().retain(|m| m.version < 7);
        migrator.dangerous_set_table_name("_migrations_node");
        migrator.run(&before).await.expect("the version before");
        for level in ["private", "confidential"] {
            let insert = "INSERT INTO node_contacts (id, seal_key, name, state, network, home, mailbox, card_ms, created_ms, privacy) \
                          VALUES (randomblob(32), randomblob(32), 'x', 'accepted', x'01', x'01', x'01', 0, 0, ?)";
            sqlx::query(insert).bind(level).execute(&before).await.expect("writes");
        }
        before.close().await;
        let pool = open(&path).await.expect("opens");
        let rows: Vec<(String, String, i64)> =
            sqlx::query_as("SELECT privacy, asked, own_box_number FROM node_contacts ORDER BY rowid")
                .fetch_all(&pool)
                .await
                .expect("reads");
        let row = |level: &str| (level.to_string(), "private".to_string(), 0);
        assert_eq!(rows, [row("private"), row("confidential")]);
    }
}
