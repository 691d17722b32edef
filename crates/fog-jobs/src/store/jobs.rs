//! The table `job_jobs`, and `job_wants` beside it.

use super::job::{Job, Phase, Role};
use super::{StoreError, fixed, signed, unsigned};
use crate::message::{Fault, Stage};
use crate::orders::OrderId;
use crate::spec::{Hash, JobId, MAX_SPEC_BYTES, Person, Settlement, SignedSpec, decode, encode, old};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

const COLUMNS: &str = "id, role, peer, phase, note, spec, receipt, settlement, output, cursor, moved, total, \
     created_ms, started_ms, finished_ms, touched_ms, tries, incarnation, collected, version, order_id, spot, stage, \
     fault, commitment, nonce, revealed, checkpoint, offered, permille, heard_ms, since_ms";

/// Most bytes of encoded outputs or of an encoded checkpoint.
pub(crate) const MAX_PART_BYTES: usize = MAX_SPEC_BYTES;

fn role_number(role: Role) -> i64 {
    match role {
        Role::Submitter => 0,
        Role::Worker => 1,
        Role::Local => 2,
    }
}

fn stage_number(stage: Stage) -> i64 {
    match stage {
        Stage::Fetching => 0,
        Stage::Waiting => 1,
        Stage::Running => 2,
        Stage::Paused => 3,
        Stage::Done => 4,
    }
}

fn fault_number(fault: Fault) -> i64 {
    match fault {
        Fault::Program => 0,
        Fault::Device => 1,
        Fault::Owner => 2,
    }
}

/// Writes a new job.
pub(crate) async fn insert(conn: &mut SqliteConnection, job: &Job) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO job_jobs (id, role, peer, spec, created_ms, version, order_id, spot, phase, note, touched_ms, \
         stage, total, heard_ms, since_ms, started_ms, incarnation) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    query
        .bind(&job.id()[..])
        .bind(role_number(job.role))
        .bind(&job.peer[..])
        .bind(job.signed.encode()?)
        .bind(signed(job.created_ms))
        .bind(i64::from(job.version))
        .bind(job.order.map(|id| id.to_vec()))
        .bind(job.spot)
        .bind(job.phase as i64)
        .bind(&job.note)
        .bind(signed(job.touched_ms))
        .bind(stage_number(job.stage))
        .bind(signed(job.total))
        .bind(signed(job.heard_ms))
        .bind(signed(job.since_ms))
        .bind(job.started_ms.map(signed))
        .bind(job.incarnation)
        .execute(conn)
        .await?;
    Ok(())
}

/// Writes what may have changed of a job.
pub(crate) async fn update(conn: &mut SqliteConnection, job: &Job) -> Result<(), StoreError> {
    let receipt = job.receipt.as_ref().map(|r| encode("receipt", r, 1024)).transpose()?;
    let settlement = job.settlement.as_ref().map(Settlement::encode).transpose()?;
    let outputs = match &job.outputs {
        Some(outputs) if job.version == 1 => Some(encode("output", &outputs.stdout, MAX_PART_BYTES)?),
        outputs => outputs.as_ref().map(|o| encode("outputs", o, MAX_PART_BYTES)).transpose()?,
    };
    let checkpoint = |c: &Option<_>| c.as_ref().map(|c| encode("checkpoint", c, MAX_PART_BYTES)).transpose();
    sqlx::query(
        "UPDATE job_jobs SET phase = ?, note = ?, receipt = ?, settlement = ?, output = ?, cursor = ?, moved = ?, \
         total = ?, started_ms = ?, finished_ms = ?, touched_ms = ?, tries = ?, incarnation = ?, collected = ?, \
         stage = ?, fault = ?, commitment = ?, nonce = ?, revealed = ?, checkpoint = ?, offered = ?, permille = ?, \
         heard_ms = ?, since_ms = ? WHERE id = ?",
    )
    .bind(job.phase as i64)
    .bind(&job.note)
    .bind(receipt)
    .bind(settlement)
    .bind(outputs)
    .bind(i64::from(job.cursor))
    .bind(signed(job.moved))
    .bind(signed(job.total))
    .bind(job.started_ms.map(signed))
    .bind(job.finished_ms.map(signed))
    .bind(signed(job.touched_ms))
    .bind(i64::from(job.tries))
    .bind(job.incarnation)
    .bind(job.collected)
    .bind(stage_number(job.stage))
    .bind(job.fault.map(fault_number))
    .bind(job.commitment.map(|c| c.to_vec()))
    .bind(job.nonce.map(|n| n.to_vec()))
    .bind(job.revealed)
    .bind(checkpoint(&job.checkpoint)?)
    .bind(checkpoint(&job.offered)?)
    .bind(job.permille.map(i64::from))
    .bind(signed(job.heard_ms))
    .bind(signed(job.since_ms))
    .bind(&job.id()[..])
    .execute(conn)
    .await?;
    Ok(())
}

/// One job.
pub(crate) async fn get(conn: &mut SqliteConnection, id: &JobId) -> Result<Option<Job>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM job_jobs WHERE id = ?");
    let row = sqlx::query(AssertSqlSafe(sql)).bind(&id[..]).fetch_optional(conn).await?;
    row.as_ref().map(read).transpose()
}

/// The newest jobs that this device took.
pub(crate) async fn taken(conn: &mut SqliteConnection, limit: u32) -> Result<Vec<Job>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM job_jobs WHERE role = 1 ORDER BY created_ms DESC, id LIMIT ?");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(limit).fetch_all(conn).await?;
    rows.iter().map(read).collect()
}

/// The attempts of an order, the oldest first.
pub(crate) async fn attempts(conn: &mut SqliteConnection, order: &OrderId) -> Result<Vec<Job>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM job_jobs WHERE order_id = ? ORDER BY created_ms, rowid");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(&order[..]).fetch_all(conn).await?;
    rows.iter().map(read).collect()
}

/// True if any job is under way or was done and paid.
pub(crate) async fn any_history(conn: &mut SqliteConnection) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM job_jobs WHERE role < 2 AND (phase <= 50 OR phase = 80))";
    Ok(sqlx::query_scalar(sql).fetch_one(conn).await?)
}

/// How many jobs were done: of this person's own, and for others.
pub(crate) async fn done(conn: &mut SqliteConnection) -> Result<u32, StoreError> {
    let sql = "SELECT (SELECT COUNT(*) FROM job_orders WHERE state = 50 AND parent IS NULL) \
               + (SELECT COUNT(*) FROM job_jobs WHERE role = 1 AND phase = 50)";
    Ok(sqlx::query_scalar(sql).fetch_one(conn).await?)
}

/// Jobs that are under way, the oldest first.
pub(crate) async fn open_jobs(conn: &mut SqliteConnection) -> Result<Vec<Job>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM job_jobs WHERE phase < 50 ORDER BY created_ms, rowid");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(conn).await?;
    rows.iter().map(read).collect()
}

/// A job that waits for its turn on this device.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) id: JobId,
    pub(crate) peer: Person,
    pub(crate) local: bool,
}

/// Jobs that wait for their turn on this device, the oldest first.
pub(crate) async fn ready(conn: &mut SqliteConnection) -> Result<Vec<Waiting>, StoreError> {
    let sql = "SELECT id, peer, role FROM job_jobs WHERE phase = 20 AND role > 0 ORDER BY created_ms, rowid";
    let rows = sqlx::query(sql).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            Ok(Waiting {
                id: fixed(row.try_get("id")?)?,
                peer: fixed(row.try_get("peer")?)?,
                local: row.try_get::<i64, _>("role")? == 2,
            })
        })
        .collect()
}

/// For each person whose jobs run here or did: how many run, and when the last one started.
pub(crate) async fn served_people(
    conn: &mut SqliteConnection,
) -> Result<std::collections::HashMap<Person, (i64, i64)>, StoreError> {
    let sql = "SELECT peer, COALESCE(SUM(phase = 30), 0) AS runs, COALESCE(MAX(started_ms), 0) AS last \
               FROM job_jobs WHERE role = 1 GROUP BY peer";
    let rows = sqlx::query(sql).fetch_all(conn).await?;
    rows.iter()
        .map(|row| Ok((fixed(row.try_get("peer")?)?, (row.try_get("runs")?, row.try_get("last")?))))
        .collect()
}

/// Ended jobs whose files may be removed: those that ended before `before_ms`.
pub(crate) async fn collectable(
    conn: &mut SqliteConnection,
    before_ms: u64,
) -> Result<Vec<JobId>, StoreError> {
    let sql = "SELECT id FROM job_jobs WHERE phase >= 50 AND collected = 0 AND finished_ms <= ? LIMIT 1000";
    let ids = sqlx::query_scalar::<_, Vec<u8>>(sql).bind(signed(before_ms)).fetch_all(conn).await?;
    ids.iter().map(|id| fixed(id)).collect()
}

/// How many jobs are under way for `peer` as their worker, and for everyone.
pub(crate) async fn open_counts(
    conn: &mut SqliteConnection,
    peer: &Person,
) -> Result<(u32, u32), StoreError> {
    let row = sqlx::query(
        "SELECT COALESCE(SUM(peer = ?), 0), COUNT(*) FROM job_jobs WHERE role = 1 AND phase < 50",
    )
    .bind(&peer[..])
    .fetch_one(conn)
    .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// How many of my jobs are under way at each peer.
pub(crate) async fn in_flight(
    conn: &mut SqliteConnection,
) -> Result<std::collections::HashMap<Person, u32>, StoreError> {
    let sql = "SELECT peer, COUNT(*) AS n FROM job_jobs WHERE role = 0 AND phase < 50 GROUP BY peer";
    let rows = sqlx::query(sql).fetch_all(conn).await?;
    rows.iter().map(|row| Ok((fixed(row.try_get("peer")?)?, row.try_get("n")?))).collect()
}

/// Hashes that jobs which are under way, or whose output is this node's, still need.
pub(crate) async fn needed(
    conn: &mut SqliteConnection,
) -> Result<std::collections::HashSet<Hash>, StoreError> {
    let mut hashes = std::collections::HashSet::new();
    for job in open_jobs(conn).await? {
        hashes.extend(job.spec().blobs().map(|blob| blob.hash));
        hashes.extend(job.outputs.iter().flat_map(|o| o.blobs()).map(|blob| blob.hash));
        hashes.extend(job.checkpoint.iter().chain(&job.offered).map(|c| c.blob.hash));
    }
    // Of the first version: its orders do not hold their results.
    let sql = format!("SELECT {COLUMNS} FROM job_jobs WHERE role = 0 AND version = 1 AND output IS NOT NULL");
    for row in &sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *conn).await? {
        hashes.extend(read(row)?.outputs.iter().flat_map(|o| o.blobs()).map(|blob| blob.hash));
    }
    Ok(hashes)
}

/// Slots asked for and not here.
pub(crate) async fn wants(conn: &mut SqliteConnection, id: &JobId) -> Result<Vec<u32>, StoreError> {
    Ok(sqlx::query_scalar("SELECT slot FROM job_wants WHERE job = ? ORDER BY slot")
        .bind(&id[..])
        .fetch_all(conn)
        .await?)
}

/// Remembers that a slot was asked for.
pub(crate) async fn want(conn: &mut SqliteConnection, id: &JobId, slot: u32) -> Result<(), StoreError> {
    sqlx::query("INSERT OR IGNORE INTO job_wants (job, slot) VALUES (?, ?)")
        .bind(&id[..])
        .bind(slot)
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets that a slot was asked for. True if it was.
pub(crate) async fn unwant(conn: &mut SqliteConnection, id: &JobId, slot: u32) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM job_wants WHERE job = ? AND slot = ?")
        .bind(&id[..])
        .bind(slot)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets all slots of a job.
pub(crate) async fn unwant_all(conn: &mut SqliteConnection, id: &JobId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM job_wants WHERE job = ?").bind(&id[..]).execute(conn).await?;
    Ok(())
}

fn read(row: &SqliteRow) -> Result<Job, StoreError> {
    let number = |name: &str| row.try_get::<i64, _>(name);
    let damaged = |what: &str, n: i64| StoreError::Damaged(format!("there is no {what} {n}"));
    let paper = |name: &str| row.try_get::<Option<Vec<u8>>, _>(name);
    let phase = number("phase")?;
    let version = number("version")?;
    let spec: &[u8] = row.try_get("spec")?;
    let checkpoint = |name: &str| -> Result<_, StoreError> {
        Ok(paper(name)?.map(|b| decode("checkpoint", &b, MAX_PART_BYTES)).transpose()?)
    };
    let hash = |name: &str| paper(name)?.map(|b| fixed(&b)).transpose();
    Ok(Job {
        signed: if version == 1 { old::spec(spec)? } else { SignedSpec::decode(spec)? },
        version: u8::try_from(version).map_err(|_| damaged("version", version))?,
        role: match number("role")? {
            0 => Role::Submitter,
            1 => Role::Worker,
            2 => Role::Local,
            n => return Err(damaged("role", n)),
        },
        peer: fixed(row.try_get("peer")?)?,
        order: hash_of_order(row)?,
        spot: row.try_get("spot")?,
        phase: Phase::from_number(phase).ok_or_else(|| damaged("phase", phase))?,
        stage: match number("stage")? {
            0 => Stage::Fetching,
            1 => Stage::Waiting,
            2 => Stage::Running,
            3 => Stage::Paused,
            4 => Stage::Done,
            n => return Err(damaged("stage", n)),
        },
        note: row.try_get("note")?,
        fault: match row.try_get::<Option<i64>, _>("fault")? {
            None => None,
            Some(0) => Some(Fault::Program),
            Some(1) => Some(Fault::Device),
            Some(2) => Some(Fault::Owner),
            Some(n) => return Err(damaged("fault", n)),
        },
        permille: row.try_get("permille")?,
        receipt: paper("receipt")?.map(|b| decode("receipt", &b, 1024)).transpose()?,
        settlement: paper("settlement")?.map(|b| Settlement::decode(&b)).transpose()?,
        outputs: match paper("output")? {
            Some(bytes) if version == 1 => Some(old::outputs(&bytes, MAX_PART_BYTES)?),
            bytes => bytes.map(|b| decode("outputs", &b, MAX_PART_BYTES)).transpose()?,
        },
        commitment: hash("commitment")?,
        nonce: hash("nonce")?,
        revealed: row.try_get("revealed")?,
        checkpoint: checkpoint("checkpoint")?,
        offered: checkpoint("offered")?,
        cursor: row.try_get("cursor")?,
        moved: unsigned(row.try_get("moved")?),
        total: unsigned(row.try_get("total")?),
        created_ms: unsigned(row.try_get("created_ms")?),
        started_ms: row.try_get::<Option<i64>, _>("started_ms")?.map(unsigned),
        finished_ms: row.try_get::<Option<i64>, _>("finished_ms")?.map(unsigned),
        touched_ms: unsigned(row.try_get("touched_ms")?),
        heard_ms: unsigned(row.try_get("heard_ms")?),
        since_ms: unsigned(row.try_get("since_ms")?),
        tries: row.try_get("tries")?,
        incarnation: row.try_get("incarnation")?,
        collected: row.try_get("collected")?,
    })
}

fn hash_of_order(row: &SqliteRow) -> Result<Option<OrderId>, StoreError> {
    row.try_get::<Option<Vec<u8>>, _>("order_id")?.map(|id| fixed(&id)).transpose()
}
