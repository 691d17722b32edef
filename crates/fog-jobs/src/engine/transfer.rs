//! Chunks in both directions. Whoever needs a blob asks for its chunks, [`WINDOW`] at a time; each is checked on arrival.
//!
//! All chunks of all blobs that a job fetches are numbered through; the number is a *slot*. Below the job's cursor every
//! slot is here or noted as asked for, so that a restart goes on where it was.

use super::{Action, Engine, EngineError, Result, WINDOW};
use crate::blobs::BlobError;
use crate::message::{Fault, JobMessage, Stage};
use crate::spec::{BlobRef, Hash, Person};
use crate::store::{self, Job, Phase, Role};
use sqlx::sqlite::SqliteConnection;
use std::collections::BTreeMap;

/// Most chunks that one message may ask for.
const MAX_WANT: usize = 16;

/// The blob and index of a slot.
fn locate<'a>(blobs: &[&'a BlobRef], slot: u32) -> Option<(&'a BlobRef, u32)> {
    let mut index = slot as usize;
    for blob in blobs {
        if index < blob.chunks.len() {
            return Some((blob, index as u32));
        }
        index -= blob.chunks.len();
    }
    None
}

/// The slots of chunk `index` of the blob with this hash; several if one blob is used twice.
fn slots(blobs: &[&BlobRef], hash: &Hash, index: u32) -> Vec<u32> {
    let mut first = 0;
    let mut found = Vec::new();
    for blob in blobs {
        if &blob.hash == hash && (index as usize) < blob.chunks.len() {
            found.push(first + index);
        }
        first += blob.chunks.len() as u32;
    }
    found
}

fn bytes(blobs: &[&BlobRef], slots: impl IntoIterator<Item = u32>) -> u64 {
    slots
        .into_iter()
        .filter_map(|slot| locate(blobs, slot))
        .filter_map(|(blob, index)| blob.chunk_len(index))
        .map(|len| len as u64)
        .sum()
}

/// Runs what blocks on the disk on a thread for that.
pub(super) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| BlobError::Io { path: Default::default(), source: std::io::Error::other(error) })?
}

impl Engine {
    /// The other side asks for chunks.
    pub(super) async fn serve(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        hash: Hash,
        chunks: &[u32],
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        if chunks.len() > MAX_WANT {
            return Err(EngineError::Refused(format!("{} chunks asked for at once", chunks.len())));
        }
        if job.phase.is_final() {
            // A late request for a job that has ended.
            return Ok(Vec::new());
        }
        let served = job.served();
        let Some(blob) = served.iter().find(|blob| blob.hash == hash) else {
            return Err(EngineError::Refused("this blob is not part of what the job moves now".into()));
        };
        let mut actions = Vec::new();
        for index in chunks {
            let data = match self.blobs.read_chunk(blob, *index) {
                Ok(data) => data,
                Err(error @ (BlobError::Missing { .. } | BlobError::WrongHash { .. })) => {
                    // Lost or damaged on our own disk: asking again will not bring it back.
                    let reason = format!("the job's data is no longer here: {error}");
                    return self.give_up(conn, job, &reason, now_ms).await;
                }
                Err(error) => return Err(error.into()),
            };
            let message = JobMessage::Chunk { job: job.id(), blob: hash, index: *index, data };
            actions.push(Self::send(&job, message));
        }
        // A checkpoint beside the run does not count: what is shown is the job's own course.
        let beside = job.phase >= Phase::Ready && job.phase <= Phase::Running;
        let reached = if beside { Vec::new() } else { chunks.to_vec() };
        let reached = reached.iter().flat_map(|index| slots(&served, &hash, *index)).max();
        if let Some(reached) = reached.filter(|slot| *slot >= job.cursor) {
            let moved = bytes(&served, 0..=reached);
            job.cursor = reached + 1;
            job.moved = moved;
            store::update(conn, &job).await?;
            actions.extend(Self::shown(&job));
            return Ok(actions);
        }
        store::update(conn, &job).await?;
        Ok(actions)
    }

    /// Does the slow part of taking in a chunk before [`Engine::on_message`] does the rest: hashes and stores it and, if it
    /// is the last one, puts the blobs together. For this the database is only read, so no transaction is needed, and
    /// nobody else has to wait for the disk. Files are named by their content, so whatever comes of it is no half
    /// thing: `on_message` finds it done, or does it itself and says what follows from an error.
    ///
    /// # Errors
    /// [`EngineError`], which may be ignored.
    pub async fn prepare(
        &self,
        conn: &mut SqliteConnection,
        from: Person,
        message: &JobMessage,
    ) -> Result<()> {
        if let JobMessage::Checkpoint { job, checkpoint } = message {
            let job = store::get(conn, job).await?;
            let job =
                job.filter(|job| job.peer == from && job.role == Role::Submitter && !job.phase.is_final());
            if let Some(job) = job
                && checkpoint.blob.validate().is_ok()
            {
                self.reuse_chunks(&job, checkpoint).await;
            }
            return Ok(());
        }
        let JobMessage::Chunk { job, blob: hash, index, data } = message else { return Ok(()) };
        let Some(job) = store::get(conn, job).await?.filter(|job| job.peer == from) else { return Ok(()) };
        let fetched = job.fetched();
        let places = slots(&fetched, hash, *index);
        let asked = store::wants(conn, &job.id()).await?;
        let place = places.iter().find(|slot| asked.contains(slot)).and_then(|slot| locate(&fetched, *slot));
        let Some((blob, index)) = place else { return Ok(()) };
        let count: usize = fetched.iter().map(|blob| blob.chunks.len()).sum();
        let last = job.cursor as usize >= count && asked.iter().all(|slot| places.contains(slot));
        let (store, blob, data) = (self.blobs.clone(), blob.clone(), data.clone());
        on_disk(move || store.put_chunk(&blob, index, &data)).await?;
        if last {
            self.assemble(&fetched).await?;
        }
        Ok(())
    }

    /// A chunk arrives.
    pub(super) async fn on_chunk(
        &self,
        conn: &mut SqliteConnection,
        job: Job,
        hash: Hash,
        index: u32,
        data: &[u8],
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let id = job.id();
        let fetched = job.fetched();
        let mut wanted = false;
        let places = slots(&fetched, &hash, index);
        let asked = store::wants(conn, &id).await?;
        if let Some((blob, index)) = places.first().and_then(|slot| locate(&fetched, *slot))
            && places.iter().any(|slot| asked.contains(slot))
        {
            match self.blobs.put_chunk(blob, index, data) {
                Ok(()) => {}
                Err(error @ (BlobError::WrongHash { .. } | BlobError::NoSuchChunk { .. })) => {
                    return Err(error.into());
                }
                Err(error) => return self.no_room(conn, job, &error, now_ms).await,
            }
            for slot in places {
                wanted |= store::unwant(conn, &id, slot).await?;
            }
        }
        // What was not asked for, or has come before, is not even written.
        if wanted { self.fetch(conn, job, false, now_ms).await } else { Ok(Vec::new()) }
    }

    /// Asks for the next chunks, or, once all are here, goes on to what they are for. With `again`, what was asked for is
    /// asked for once more.
    pub(super) async fn fetch(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        again: bool,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let id = job.id();
        let blobs: Vec<BlobRef> = job.fetched().into_iter().cloned().collect();
        let blobs: Vec<&BlobRef> = blobs.iter().collect();
        let count: u32 = blobs.iter().map(|blob| blob.chunks.len() as u32).sum();
        let mut wants = store::wants(conn, &id).await?;
        let mut ask = if again { wants.clone() } else { Vec::new() };
        while wants.len() < WINDOW && job.cursor < count {
            let slot = job.cursor;
            job.cursor += 1;
            if locate(&blobs, slot).is_some_and(|(blob, index)| !self.blobs.has_chunk(blob, index)) {
                store::want(conn, &id, slot).await?;
                wants.push(slot);
                ask.push(slot);
            }
        }
        if wants.is_empty() {
            match self.assemble(&blobs).await {
                Ok(()) => {
                    if !job.fetches_checkpoint() {
                        job.moved = job.total;
                    }
                    return self.fetched_all(conn, job, now_ms).await;
                }
                Err(BlobError::Missing { hash, missing, .. }) => {
                    // Damaged on disk, or removed with another job's files: they must come again.
                    for slot in missing.iter().flat_map(|index| slots(&blobs, &hash, *index)) {
                        store::want(conn, &id, slot).await?;
                        wants.push(slot);
                    }
                    ask = wants.iter().copied().take(MAX_WANT).collect();
                }
                Err(BlobError::WrongHash { .. }) if job.fetches_checkpoint() => {
                    return self.forget_checkpoint(conn, job).await;
                }
                Err(error @ BlobError::WrongHash { .. }) => {
                    let reason = format!("the data is not what was announced: {error}");
                    return self.give_up(conn, job, &reason, now_ms).await;
                }
                Err(error) => return self.no_room(conn, job, &error, now_ms).await,
            }
        }
        if !job.fetches_checkpoint() {
            job.moved = bytes(&blobs, 0..job.cursor).saturating_sub(bytes(&blobs, wants.iter().copied()));
        }
        store::update(conn, &job).await?;

        let mut by_blob: BTreeMap<Hash, Vec<u32>> = BTreeMap::new();
        for (blob, index) in ask.into_iter().filter_map(|slot| locate(&blobs, slot)) {
            by_blob.entry(blob.hash).or_default().push(index);
        }
        let mut actions = Vec::new();
        for (blob, chunks) in by_blob {
            for chunks in chunks.chunks(MAX_WANT) {
                let message = JobMessage::Want { job: id, blob, chunks: chunks.to_vec() };
                actions.push(Self::send(&job, message));
            }
        }
        actions.extend(Self::shown(&job));
        Ok(actions)
    }

    async fn assemble(&self, blobs: &[&BlobRef]) -> Result<(), BlobError> {
        for blob in blobs {
            let (store, blob) = (self.blobs.clone(), (*blob).clone());
            on_disk(move || store.assemble(&blob)).await?;
        }
        Ok(())
    }

    async fn fetched_all(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        match (job.role, job.phase) {
            (Role::Submitter, Phase::Delivering) => self.delivered(conn, job, now_ms).await,
            (Role::Submitter, _) => self.checkpoint_arrived(conn, job, now_ms).await,
            _ => {
                Self::set_stage(&mut job, Phase::Ready, Stage::Waiting, now_ms);
                job.note = "program and inputs are here; waiting for its turn".into();
                store::update(conn, &job).await?;
                Ok(vec![Action::Changed { job: job.id() }])
            }
        }
    }

    /// Whoever shows the job, or its order, looks again.
    pub(super) fn shown(job: &Job) -> Option<Action> {
        match job.order {
            Some(_) if job.spot => None,
            Some(order) => Some(Action::Ordered { order }),
            None => Some(Action::Changed { job: job.id() }),
        }
    }

    /// This device cannot store what arrives. A worker gives the job back; a submitter, whose result it is, waits until
    /// there is room.
    async fn no_room(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        error: &BlobError,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        if job.role == Role::Worker {
            tracing::warn!(%error, "a job's data cannot be stored");
            let reason = match error {
                BlobError::DiskFull(_) => "the worker's disk is full",
                _ => "the worker cannot store the job's data",
            };
            return self.give_up(conn, job, reason, now_ms).await;
        }
        if job.fetches_checkpoint() {
            // The job goes on without it.
            return self.forget_checkpoint(conn, job).await;
        }
        job.note = super::short(&format!("the result cannot be stored here: {error}"));
        store::update(conn, &job).await?;
        Ok(Self::shown(&job).into_iter().collect())
    }

    /// Ends a job from either side for a reason that the other side hears.
    pub(super) async fn give_up(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        reason: &str,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let id = job.id();
        let reason = super::short(reason);
        let message = match job.role {
            Role::Submitter => JobMessage::Cancel { job: id, reason: reason.clone() },
            _ => JobMessage::Failed { job: id, fault: Fault::Device, reason: reason.clone() },
        };
        job.fault = Some(Fault::Device);
        self.end(conn, job, Phase::Failed, &reason, Some(message), now_ms).await
    }
}
