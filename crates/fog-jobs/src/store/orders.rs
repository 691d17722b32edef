//! The table `job_orders`.

use super::{MAX_PART_BYTES, StoreError, fixed, signed, unsigned};
use crate::orders::{Counts, Order, OrderId, OrderSpec, State, Target};
use crate::spec::{Hash, JobId, Outputs, decode, encode, old};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};
use std::collections::HashSet;
use std::sync::Arc;

const COLUMNS: &str = "o.id, o.version, COALESCE(o.template, p.template) AS template, o.parent, o.position, o.first, \
     o.last, o.state, o.note, o.copies, o.tries, o.due_ms, o.permille, o.checkpoint, o.result, o.winner, o.created_ms, \
     o.since_ms, o.started_ms, o.finished_ms, \
     CASE WHEN o.version = 1 THEN (SELECT peer FROM job_jobs j WHERE j.id = o.id) END AS old_peer, \
     CASE WHEN o.version = 1 THEN (SELECT output FROM job_jobs j WHERE j.id = o.id) END AS old_output, \
     CASE WHEN o.version = 1 THEN (SELECT receipt FROM job_jobs j WHERE j.id = o.id) END AS old_receipt";
const FROM: &str = "job_orders o LEFT JOIN job_orders p ON p.id = o.parent";

/// Writes a new order. Elements of an array do not repeat what is ordered.
pub(crate) async fn insert(conn: &mut SqliteConnection, order: &Order) -> Result<(), StoreError> {
    let template = if order.parent.is_some() { None } else { Some(order.spec.encode()?) };
    sqlx::query(
        "INSERT INTO job_orders (id, version, template, parent, position, first, last, local, state, note, copies, due_ms, \
         created_ms, since_ms) VALUES (?, 2, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&order.id[..])
    .bind(template)
    .bind(order.parent.map(|id| id.to_vec()))
    .bind(order.index)
    .bind(order.range.map(|r| r.0))
    .bind(order.range.map(|r| r.1))
    .bind(order.spec.target == Target::Here)
    .bind(order.state as i64)
    .bind(&order.note)
    .bind(order.copies)
    .bind(order.due_ms.map(signed))
    .bind(signed(order.created_ms))
    .bind(signed(order.since_ms))
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes what may have changed of an order.
pub(crate) async fn update(conn: &mut SqliteConnection, order: &Order) -> Result<(), StoreError> {
    let checkpoint =
        order.checkpoint.as_ref().map(|c| encode("checkpoint", c, MAX_PART_BYTES)).transpose()?;
    let result = order.result.as_ref().map(|r| encode("result", r, MAX_PART_BYTES)).transpose()?;
    sqlx::query(
        "UPDATE job_orders SET state = ?, note = ?, copies = ?, tries = ?, due_ms = ?, permille = ?, checkpoint = ?, \
         result = ?, winner = ?, since_ms = ?, started_ms = ?, finished_ms = ? WHERE id = ?",
    )
    .bind(order.state as i64)
    .bind(&order.note)
    .bind(order.copies)
    .bind(order.tries)
    .bind(order.due_ms.map(signed))
    .bind(order.permille.map(i64::from))
    .bind(checkpoint)
    .bind(result)
    .bind(order.winner.map(|id| id.to_vec()))
    .bind(signed(order.since_ms))
    .bind(order.started_ms.map(signed))
    .bind(order.finished_ms.map(signed))
    .bind(&order.id[..])
    .execute(conn)
    .await?;
    Ok(())
}

/// One order.
pub(crate) async fn get(conn: &mut SqliteConnection, id: &OrderId) -> Result<Option<Order>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {FROM} WHERE o.id = ?");
    let row = sqlx::query(AssertSqlSafe(sql)).bind(&id[..]).fetch_optional(conn).await?;
    row.as_ref().map(read).transpose()
}

/// An order's state alone.
pub(crate) async fn state(conn: &mut SqliteConnection, id: &OrderId) -> Result<Option<State>, StoreError> {
    let query = sqlx::query_scalar::<_, i64>("SELECT state FROM job_orders WHERE id = ?");
    let number = query.bind(&id[..]).fetch_optional(conn).await?;
    number.map(state_from).transpose()
}

fn state_from(number: i64) -> Result<State, StoreError> {
    State::from_number(number).ok_or_else(|| StoreError::Damaged(format!("there is no state {number}")))
}

/// The newest orders; an array is one.
pub(crate) async fn list(conn: &mut SqliteConnection, limit: u32) -> Result<Vec<Order>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {FROM} WHERE o.parent IS NULL ORDER BY o.number DESC LIMIT ?");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(limit).fetch_all(conn).await?;
    rows.iter().map(read).collect()
}

/// Elements of an array by index.
pub(crate) async fn elements(
    conn: &mut SqliteConnection,
    parent: &OrderId,
    from: u32,
    limit: u32,
) -> Result<Vec<Order>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {FROM} WHERE o.parent = ? AND o.position >= ? ORDER BY o.position LIMIT ?"
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(&parent[..]).bind(from).bind(limit);
    query.fetch_all(conn).await?.iter().map(read).collect()
}

/// Ids of an array's elements that are in one of the states from `from` to `to`.
pub(crate) async fn element_ids(
    conn: &mut SqliteConnection,
    parent: &OrderId,
    from: State,
    to: State,
) -> Result<Vec<OrderId>, StoreError> {
    let sql = "SELECT id FROM job_orders WHERE parent = ? AND state BETWEEN ? AND ? ORDER BY position";
    let query = sqlx::query_scalar::<_, Vec<u8>>(sql).bind(&parent[..]).bind(from as i64).bind(to as i64);
    query.fetch_all(conn).await?.iter().map(|id| fixed(id)).collect()
}

/// How an array's elements are.
pub(crate) async fn counts(conn: &mut SqliteConnection, parent: &OrderId) -> Result<Counts, StoreError> {
    let sql = "SELECT state, COUNT(*) FROM job_orders WHERE parent = ? GROUP BY state";
    let rows: Vec<(i64, u32)> = sqlx::query_as(sql).bind(&parent[..]).fetch_all(conn).await?;
    let mut counts = Counts::default();
    for (number, n) in rows {
        match state_from(number)? {
            State::Blocked | State::Pending => counts.pending += n,
            State::Scheduled => counts.scheduled += n,
            State::Running | State::Checkpointed | State::Array => counts.running += n,
            State::Completed => counts.completed += n,
            State::Failed => counts.failed += n,
            State::Cancelled => counts.cancelled += n,
        }
    }
    Ok(counts)
}

/// True if an element of the array is in a state from `from` to `to`.
pub(crate) async fn any_element(
    conn: &mut SqliteConnection,
    parent: &OrderId,
    from: State,
    to: State,
) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM job_orders WHERE parent = ? AND state BETWEEN ? AND ?)";
    Ok(sqlx::query_scalar(sql).bind(&parent[..]).bind(from as i64).bind(to as i64).fetch_one(conn).await?)
}

/// Lets the elements of an array begin that waited for other orders.
pub(crate) async fn unblock_elements(
    conn: &mut SqliteConnection,
    parent: &OrderId,
    now_ms: u64,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE job_orders SET state = 10, due_ms = ?1, since_ms = ?1, note = '' WHERE parent = ?2 AND state = 0")
        .bind(signed(now_ms))
        .bind(&parent[..])
        .execute(conn)
        .await?;
    Ok(())
}

/// Paid so far for the elements of an array, 10^-18 FOG.
pub(crate) async fn paid(conn: &mut SqliteConnection, array: &OrderId) -> Result<u128, StoreError> {
    let query = sqlx::query_scalar::<_, Option<Vec<u8>>>("SELECT paid FROM job_orders WHERE id = ?");
    let paid = query.bind(&array[..]).fetch_optional(conn).await?.flatten();
    Ok(paid.map(|bytes| fixed(&bytes).map(u128::from_be_bytes)).transpose()?.unwrap_or(0))
}

/// An element's attempt was paid: its array's sum grows.
pub(crate) async fn add_paid(
    conn: &mut SqliteConnection,
    element: &OrderId,
    amount: u128,
) -> Result<(), StoreError> {
    let query = sqlx::query_scalar::<_, Option<Vec<u8>>>("SELECT parent FROM job_orders WHERE id = ?");
    let parent = query.bind(&element[..]).fetch_optional(&mut *conn).await?.flatten();
    let Some(array) = parent.map(|id| fixed(&id)).transpose()? else { return Ok(()) };
    let sum = paid(conn, &array).await?.saturating_add(amount);
    let query = sqlx::query("UPDATE job_orders SET paid = ? WHERE id = ?");
    query.bind(&sum.to_be_bytes()[..]).bind(&array[..]).execute(conn).await?;
    Ok(())
}

/// Ends all elements of an array that waited for other orders.
pub(crate) async fn fail_elements(
    conn: &mut SqliteConnection,
    parent: &OrderId,
    note: &str,
    now_ms: u64,
) -> Result<(), StoreError> {
    let sql = "UPDATE job_orders SET state = 60, note = ?, finished_ms = ?, due_ms = NULL WHERE parent = ? AND state = 0";
    sqlx::query(sql).bind(note).bind(signed(now_ms)).bind(&parent[..]).execute(conn).await?;
    Ok(())
}

/// Cancels all elements of an array that no device has.
pub(crate) async fn cancel_elements(
    conn: &mut SqliteConnection,
    parent: &OrderId,
    note: &str,
    now_ms: u64,
) -> Result<(), StoreError> {
    let sql = "UPDATE job_orders SET state = 70, note = ?, finished_ms = ?, due_ms = NULL WHERE parent = ? AND state < 50 \
               AND NOT EXISTS (SELECT 1 FROM job_jobs j WHERE j.order_id = job_orders.id AND j.phase < 50)";
    sqlx::query(sql).bind(note).bind(signed(now_ms)).bind(&parent[..]).execute(conn).await?;
    Ok(())
}

/// Lets all elements of an array begin anew that failed or were cancelled.
pub(crate) async fn retry_elements(
    conn: &mut SqliteConnection,
    parent: &OrderId,
    now_ms: u64,
) -> Result<(), StoreError> {
    let sql = "UPDATE job_orders SET state = 10, note = 'tried again', copies = 0, tries = 0, due_ms = ?1, since_ms = ?1, \
               finished_ms = NULL, result = NULL, winner = NULL WHERE parent = ?2 AND state IN (60, 70)";
    sqlx::query(sql).bind(signed(now_ms)).bind(&parent[..]).execute(conn).await?;
    Ok(())
}

/// Orders to look at now, those that are due longest first and then in the order of their submission.
pub(crate) async fn due(
    conn: &mut SqliteConnection,
    local: bool,
    now_ms: u64,
    limit: u32,
) -> Result<Vec<OrderId>, StoreError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let sql = "SELECT id FROM job_orders WHERE local = ? AND due_ms <= ? ORDER BY due_ms, number LIMIT ?";
    let query = sqlx::query_scalar::<_, Vec<u8>>(sql).bind(local).bind(signed(now_ms)).bind(limit);
    query.fetch_all(conn).await?.iter().map(|id| fixed(id)).collect()
}

/// Orders that others have confirmed or that ran here, whose outputs are known, for a check of somebody.
pub(crate) async fn known_results(
    conn: &mut SqliteConnection,
    since_ms: u64,
) -> Result<Vec<OrderId>, StoreError> {
    let sql = "SELECT id FROM job_orders WHERE state = 50 AND version = 2 AND result IS NOT NULL AND first IS NULL \
               AND (copies > 1 OR local = 1) AND finished_ms >= ? ORDER BY number DESC LIMIT 8";
    let query = sqlx::query_scalar::<_, Vec<u8>>(sql).bind(signed(since_ms));
    query.fetch_all(conn).await?.iter().map(|id| fixed(id)).collect()
}

/// Hashes that orders need: what is under way needs program, inputs and checkpoint; what is done keeps its outputs.
pub(crate) async fn needed(conn: &mut SqliteConnection) -> Result<HashSet<Hash>, StoreError> {
    let mut hashes = HashSet::new();
    let sql = "SELECT template FROM job_orders WHERE state < 50 AND template IS NOT NULL AND version = 2";
    for bytes in sqlx::query_scalar::<_, Vec<u8>>(sql).fetch_all(&mut *conn).await? {
        hashes.extend(OrderSpec::decode(&bytes)?.blobs().map(|blob| blob.hash));
    }
    let sql = "SELECT template FROM job_orders WHERE state < 50 AND version = 1";
    for bytes in sqlx::query_scalar::<_, Vec<u8>>(sql).fetch_all(&mut *conn).await? {
        hashes.extend(old::spec(&bytes)?.spec.blobs().map(|blob| blob.hash));
    }
    let sql = "SELECT checkpoint FROM job_orders WHERE state != 50 AND checkpoint IS NOT NULL";
    for bytes in sqlx::query_scalar::<_, Vec<u8>>(sql).fetch_all(&mut *conn).await? {
        let checkpoint: crate::spec::Checkpoint = decode("checkpoint", &bytes, MAX_PART_BYTES)?;
        hashes.insert(checkpoint.blob.hash);
    }
    let sql = "SELECT result FROM job_orders WHERE result IS NOT NULL";
    for bytes in sqlx::query_scalar::<_, Vec<u8>>(sql).fetch_all(&mut *conn).await? {
        let (outputs, _): (Outputs, i32) = decode("result", &bytes, MAX_PART_BYTES)?;
        hashes.extend(outputs.blobs().map(|blob| blob.hash));
    }
    Ok(hashes)
}

fn read(row: &SqliteRow) -> Result<Order, StoreError> {
    let paper = |name: &str| row.try_get::<Option<Vec<u8>>, _>(name);
    let time = |name: &str| row.try_get::<Option<i64>, _>(name).map(|t| t.map(unsigned));
    let id = |name: &str| paper(name)?.map(|b| fixed(&b)).transpose();
    let template =
        paper("template")?.ok_or_else(|| StoreError::Damaged("an order without its text".into()))?;
    let mut result =
        paper("result")?.map(|b| decode::<(Outputs, i32)>("result", &b, MAX_PART_BYTES)).transpose()?;
    let spec = if row.try_get::<i64, _>("version")? == 1 {
        let peer = paper("old_peer")?.unwrap_or_default();
        let done = row.try_get::<i64, _>("state")? == State::Completed as i64;
        if let (true, Some(output), Some(receipt)) = (done, paper("old_output")?, paper("old_receipt")?) {
            let receipt: crate::spec::SignedReceipt = decode("receipt", &receipt, 1024)?;
            result = Some((old::outputs(&output, MAX_PART_BYTES)?, receipt.receipt.exit_code));
        }
        OrderSpec::from_job(&old::spec(&template)?.spec, fixed(&peer)?)
    } else {
        OrderSpec::decode(&template)?
    };
    let first: Option<u32> = row.try_get("first")?;
    let last: Option<u32> = row.try_get("last")?;
    let winner: Option<JobId> = id("winner")?;
    Ok(Order {
        id: fixed(row.try_get("id")?)?,
        spec: Arc::new(spec),
        parent: id("parent")?,
        index: row.try_get("position")?,
        range: first.zip(last),
        state: state_from(row.try_get("state")?)?,
        note: row.try_get("note")?,
        copies: row.try_get("copies")?,
        tries: row.try_get("tries")?,
        due_ms: time("due_ms")?,
        permille: row.try_get("permille")?,
        checkpoint: paper("checkpoint")?.map(|b| decode("checkpoint", &b, MAX_PART_BYTES)).transpose()?,
        result,
        winner,
        created_ms: unsigned(row.try_get("created_ms")?),
        since_ms: unsigned(row.try_get("since_ms")?),
        started_ms: time("started_ms")?,
        finished_ms: time("finished_ms")?,
    })
}
