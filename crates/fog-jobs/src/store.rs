//! The tables `job_*`. Every function works on the caller's connection, so that the caller's transaction covers it.

use crate::spec::{
    BlobRef, Hash, JobId, JobSpec, MAX_BLOB_BYTES, Person, Settlement, SignedReceipt, SignedSpec, SpecError,
    decode, encode,
};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

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

/// Which side of a job this node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It asked for the job and pays.
    Submitter,
    /// It runs the job and is paid.
    Worker,
}

/// How far a job is, as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Offered; nobody has taken it yet.
    Pending,
    /// Taken; data moves or the device waits.
    Scheduled,
    /// Runs, or its result is on the way.
    Running,
    /// Done and paid.
    Completed,
    /// Ended without a result; not paid.
    Failed,
    /// Stopped by its sender.
    Cancelled,
}

/// How far a job is, for the protocol. The numbers are in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Submitter: no answer yet.
    Offered = 0,
    /// Worker: module and input arrive. Submitter: taken.
    Fetching = 1,
    /// Worker: everything is here; waits for its turn.
    Ready = 2,
    /// Runs.
    Running = 3,
    /// Worker: waits for the submitter's confirmation. Submitter: the output arrives.
    Delivering = 4,
    /// Done and paid.
    Completed = 5,
    /// Ended without a result.
    Failed = 6,
    /// Stopped by its sender.
    Cancelled = 7,
}

impl Phase {
    const ALL: [Self; 8] = [
        Self::Offered,
        Self::Fetching,
        Self::Ready,
        Self::Running,
        Self::Delivering,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// True for the phases that a job does not leave.
    pub(crate) fn is_final(self) -> bool {
        self >= Self::Completed
    }
}

/// A job, sent or taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The submitter's signed order.
    pub signed: SignedSpec,
    /// Which side this node is.
    pub role: Role,
    /// The other side.
    pub peer: Person,
    pub(crate) phase: Phase,
    /// What happens or what went wrong, in plain words.
    pub note: String,
    /// The worker's statement, once it is done.
    pub receipt: Option<SignedReceipt>,
    /// The order to pay, once both have signed.
    pub settlement: Option<Settlement>,
    /// The output, once it is known; on the submitter's side it is here when the job is completed.
    pub output: Option<BlobRef>,
    pub(crate) cursor: u32,
    /// Bytes moved so far in the present direction.
    pub moved: u64,
    /// Bytes to move in the present direction.
    pub total: u64,
    /// When this node sent or took it, milliseconds since 1970.
    pub created_ms: u64,
    /// When it started to run.
    pub started_ms: Option<u64>,
    /// When it ended here.
    pub finished_ms: Option<u64>,
    pub(crate) touched_ms: u64,
    pub(crate) tries: u32,
    pub(crate) incarnation: i64,
    pub(crate) collected: bool,
}

impl Job {
    pub(crate) fn new(signed: SignedSpec, role: Role, peer: Person, phase: Phase, now_ms: u64) -> Self {
        let total = signed.spec.input_bytes();
        Self {
            signed,
            role,
            peer,
            phase,
            note: String::new(),
            receipt: None,
            settlement: None,
            output: None,
            cursor: 0,
            moved: 0,
            total,
            created_ms: now_ms,
            started_ms: None,
            finished_ms: None,
            touched_ms: now_ms,
            tries: 0,
            incarnation: 0,
            collected: false,
        }
    }

    /// The order.
    pub fn spec(&self) -> &JobSpec {
        &self.signed.spec
    }

    /// Its id.
    pub fn id(&self) -> JobId {
        self.signed.spec.id
    }

    /// How far it is.
    pub fn state(&self) -> JobState {
        match self.phase {
            Phase::Offered => JobState::Pending,
            Phase::Fetching | Phase::Ready => JobState::Scheduled,
            Phase::Running | Phase::Delivering => JobState::Running,
            Phase::Completed => JobState::Completed,
            Phase::Failed => JobState::Failed,
            Phase::Cancelled => JobState::Cancelled,
        }
    }

    /// True while the job's process runs on this node.
    pub fn runs_here(&self) -> bool {
        self.role == Role::Worker && self.phase == Phase::Running
    }

    /// The blobs that this side fetches from the other in the present phase, in slot order.
    pub(crate) fn fetched(&self) -> Vec<&BlobRef> {
        match (self.role, self.phase) {
            (Role::Worker, Phase::Fetching) => {
                let spec = self.spec();
                std::iter::once(&spec.module).chain(&spec.input).collect()
            }
            (Role::Submitter, Phase::Delivering) => self.output.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// The blobs that this side gives the other.
    pub(crate) fn served(&self) -> Vec<&BlobRef> {
        match (self.role, self.phase) {
            (Role::Submitter, phase) if phase < Phase::Delivering => {
                let spec = self.spec();
                std::iter::once(&spec.module).chain(&spec.input).collect()
            }
            (Role::Worker, Phase::Delivering) => self.output.iter().collect(),
            _ => Vec::new(),
        }
    }
}

const COLUMNS: &str = "id, role, peer, phase, note, spec, receipt, settlement, output, cursor, moved, total, \
     created_ms, started_ms, finished_ms, touched_ms, tries, incarnation, collected";

/// Writes a new job.
pub(crate) async fn insert(conn: &mut SqliteConnection, job: &Job) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO job_jobs (id, role, peer, phase, note, spec, created_ms, touched_ms) \
         VALUES (?, ?, ?, ?, '', ?, ?, ?)",
    )
    .bind(&job.id()[..])
    .bind(i64::from(job.role == Role::Worker))
    .bind(&job.peer[..])
    .bind(job.phase as i64)
    .bind(job.signed.encode()?)
    .bind(signed(job.created_ms))
    .bind(signed(job.touched_ms))
    .execute(&mut *conn)
    .await?;
    update(conn, job).await
}

/// Writes what may have changed of a job.
pub(crate) async fn update(conn: &mut SqliteConnection, job: &Job) -> Result<(), StoreError> {
    let receipt = job.receipt.as_ref().map(|r| encode("receipt", r, 1024)).transpose()?;
    let settlement = job.settlement.as_ref().map(Settlement::encode).transpose()?;
    let output = job.output.as_ref().map(|o| encode("output", o, MAX_REF_BYTES)).transpose()?;
    sqlx::query(
        "UPDATE job_jobs SET phase = ?, note = ?, receipt = ?, settlement = ?, output = ?, cursor = ?, moved = ?, \
         total = ?, started_ms = ?, finished_ms = ?, touched_ms = ?, tries = ?, incarnation = ?, collected = ? \
         WHERE id = ?",
    )
    .bind(job.phase as i64)
    .bind(&job.note)
    .bind(receipt)
    .bind(settlement)
    .bind(output)
    .bind(i64::from(job.cursor))
    .bind(signed(job.moved))
    .bind(signed(job.total))
    .bind(job.started_ms.map(signed))
    .bind(job.finished_ms.map(signed))
    .bind(signed(job.touched_ms))
    .bind(i64::from(job.tries))
    .bind(job.incarnation)
    .bind(job.collected)
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

/// The newest jobs.
pub(crate) async fn list(conn: &mut SqliteConnection, limit: u32) -> Result<Vec<Job>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM job_jobs ORDER BY created_ms DESC, id LIMIT ?");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(limit).fetch_all(conn).await?;
    rows.iter().map(read).collect()
}

/// Ids of the jobs that are under way, the oldest first.
pub(crate) async fn open_jobs(conn: &mut SqliteConnection) -> Result<Vec<JobId>, StoreError> {
    ids(conn, "SELECT id FROM job_jobs WHERE phase < 5 ORDER BY created_ms, id", 0).await
}

/// Ids of ended jobs whose files may be removed: those that ended before `before_ms`.
pub(crate) async fn collectable(
    conn: &mut SqliteConnection,
    before_ms: u64,
) -> Result<Vec<JobId>, StoreError> {
    let sql = "SELECT id FROM job_jobs WHERE phase >= 5 AND collected = 0 AND finished_ms <= ? LIMIT 16";
    ids(conn, sql, before_ms).await
}

async fn ids(conn: &mut SqliteConnection, sql: &'static str, bound: u64) -> Result<Vec<JobId>, StoreError> {
    let query = sqlx::query_scalar::<_, Vec<u8>>(sql);
    let query = if sql.contains('?') { query.bind(signed(bound)) } else { query };
    query.fetch_all(conn).await?.into_iter().map(|id| fixed(&id)).collect()
}

/// How many jobs are under way for `peer` as their worker, and for everyone.
pub(crate) async fn open_counts(
    conn: &mut SqliteConnection,
    peer: &Person,
) -> Result<(u32, u32), StoreError> {
    let row =
        sqlx::query("SELECT COALESCE(SUM(peer = ?), 0), COUNT(*) FROM job_jobs WHERE role = 1 AND phase < 5")
            .bind(&peer[..])
            .fetch_one(conn)
            .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Hashes that jobs which are under way, or whose output is this node's, still need.
pub(crate) async fn needed(conn: &mut SqliteConnection) -> Result<Vec<Hash>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM job_jobs WHERE phase < 5 OR (role = 0 AND output IS NOT NULL)");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(conn).await?;
    let mut hashes = Vec::new();
    for row in &rows {
        let job = read(row)?;
        hashes.extend(job.output.as_ref().map(|output| output.hash));
        if !job.phase.is_final() {
            hashes.push(job.spec().module.hash);
            hashes.extend(job.spec().input.as_ref().map(|input| input.hash));
        }
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

/// Most bytes of an encoded [`BlobRef`].
const MAX_REF_BYTES: usize = 64 + (MAX_BLOB_BYTES / crate::spec::CHUNK_BYTES) as usize * 32;

fn read(row: &SqliteRow) -> Result<Job, StoreError> {
    let phase: i64 = row.try_get("phase")?;
    let phase = usize::try_from(phase)
        .ok()
        .and_then(|n| Phase::ALL.get(n).copied())
        .ok_or_else(|| StoreError::Damaged(format!("there is no phase {phase}")))?;
    let paper = |name: &str| row.try_get::<Option<Vec<u8>>, _>(name);
    Ok(Job {
        signed: SignedSpec::decode(row.try_get("spec")?)?,
        role: if row.try_get::<i64, _>("role")? == 0 { Role::Submitter } else { Role::Worker },
        peer: fixed(row.try_get("peer")?)?,
        phase,
        note: row.try_get("note")?,
        receipt: paper("receipt")?.map(|b| decode("receipt", &b, 1024)).transpose()?,
        settlement: paper("settlement")?.map(|b| Settlement::decode(&b)).transpose()?,
        output: paper("output")?.map(|b| decode("output", &b, MAX_REF_BYTES)).transpose()?,
        cursor: row.try_get("cursor")?,
        moved: unsigned(row.try_get("moved")?),
        total: unsigned(row.try_get("total")?),
        created_ms: unsigned(row.try_get("created_ms")?),
        started_ms: row.try_get::<Option<i64>, _>("started_ms")?.map(unsigned),
        finished_ms: row.try_get::<Option<i64>, _>("finished_ms")?.map(unsigned),
        touched_ms: unsigned(row.try_get("touched_ms")?),
        tries: row.try_get("tries")?,
        incarnation: row.try_get("incarnation")?,
        collected: row.try_get("collected")?,
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Damaged(format!("{} bytes instead of {N}", bytes.len())))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
