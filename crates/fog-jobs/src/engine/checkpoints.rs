//! Checkpoints on their way from a worker to the submitter, beside the run.
//!
//! The worker offers one at a time, and the next one only when the submitter has said that it has the one before. The
//! submitter asks only for chunks that it does not have: what has not changed since the checkpoint before keeps its place,
//! so those chunks are copied from that. The newest whole one belongs to the order: whichever device goes on starts there.

use super::{Action, Engine, Result};
use crate::message::JobMessage;
use crate::orders::OrderId;
use crate::run;
use crate::spec::{Checkpoint, JobId};
use crate::store::{self, Job, Phase, Role};
use sqlx::sqlite::SqliteConnection;
use std::collections::HashMap;

impl Engine {
    /// Puts a checkpoint's file into the blob store. Blocks on the disk on a thread for that; no transaction is needed.
    ///
    /// # Errors
    /// [`super::EngineError::Blob`] if it cannot be stored, for instance because it is larger than a blob may be.
    pub async fn store_checkpoint(&self, checkpoint: &run::Checkpoint) -> Result<Checkpoint> {
        let (store, path) = (self.blobs.clone(), checkpoint.file.clone());
        let blob = super::transfer::on_disk(move || store.put_file(&path)).await?;
        Ok(Checkpoint {
            number: checkpoint.number,
            blob,
            fuel: checkpoint.fuel,
            cpu_ms: checkpoint.cpu_ms,
            wall_ms: checkpoint.wall_ms,
        })
    }

    /// A run on this device has taken a checkpoint.
    ///
    /// # Errors
    /// [`super::EngineError::Store`].
    pub async fn on_checkpoint(
        &self,
        conn: &mut SqliteConnection,
        id: &JobId,
        checkpoint: Checkpoint,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let mut job = self.get(conn, id).await?;
        if !job.runs_here() || job.newest_checkpoint().is_some_and(|c| c.wall_ms > checkpoint.wall_ms) {
            return Ok(Vec::new());
        }
        let before = job.checkpoint.replace(checkpoint);
        let mut actions = Vec::new();
        match job.role {
            Role::Local => {
                if let (Some(order), Some(checkpoint)) = (job.order, &job.checkpoint) {
                    self.keep_for_order(conn, &order, checkpoint).await?;
                    actions.push(Action::Ordered { order });
                }
            }
            _ if job.spec().sealed => {}
            _ => actions.extend(Self::offer_checkpoint(&mut job)),
        }
        store::update(conn, &job).await?;
        self.drop_checkpoint(&job, before);
        let _ = now_ms;
        Ok(actions)
    }

    /// Offers the newest one, if none is on its way.
    pub(super) fn offer_checkpoint(job: &mut Job) -> Option<Action> {
        if job.offered.is_some() {
            return None;
        }
        let checkpoint = job.checkpoint.clone()?;
        job.offered = Some(checkpoint.clone());
        Some(Self::send(job, JobMessage::Checkpoint { job: job.id(), checkpoint }))
    }

    /// Worker: the submitter has this one.
    pub(super) async fn on_kept(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        number: u32,
    ) -> Result<Vec<Action>> {
        let Some(offered) = job.offered.take_if(|offered| offered.number <= number) else {
            return Ok(Vec::new());
        };
        let newer = job.checkpoint.as_ref().is_some_and(|c| c.number > number);
        let action = if newer { Self::offer_checkpoint(&mut job) } else { None };
        store::update(conn, &job).await?;
        self.drop_checkpoint(&job, Some(offered));
        Ok(action.into_iter().collect())
    }

    /// Worker: says the offer again after silence.
    pub(super) fn offer_again(job: &Job) -> Option<Action> {
        let checkpoint = job.offered.clone()?;
        Some(Self::send(job, JobMessage::Checkpoint { job: job.id(), checkpoint }))
    }

    /// Submitter: the worker has one to fetch.
    pub(super) async fn on_checkpoint_offered(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        checkpoint: Checkpoint,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        checkpoint.blob.validate()?;
        let id = job.id();
        let limit_ms = u64::from(job.spec().limits.seconds) * 1000;
        if job.spec().sealed || checkpoint.wall_ms > limit_ms || checkpoint.number == 0 {
            return Err(super::EngineError::Refused("this checkpoint does not fit the job".into()));
        }
        if job.phase >= Phase::Committed {
            store::update(conn, &job).await?;
            return Ok(Vec::new());
        }
        if job.newest_checkpoint().is_some_and(|c| c.number >= checkpoint.number) {
            store::update(conn, &job).await?;
            let number = checkpoint.number;
            return Ok(vec![Self::send(&job, JobMessage::Kept { job: id, number })]);
        }
        if job.phase < Phase::Ready {
            // It overtook the word that the job runs.
            job.phase = Phase::Running;
            job.since_ms = now_ms;
            store::unwant_all(conn, &id).await?;
        }
        if job.offered.as_ref() == Some(&checkpoint) {
            return self.fetch(conn, job, true, now_ms).await;
        }
        store::unwant_all(conn, &id).await?;
        let before = job.offered.replace(checkpoint);
        job.cursor = 0;
        store::update(conn, &job).await?;
        self.drop_checkpoint(&job, before);
        self.fetch(conn, job, false, now_ms).await
    }

    /// Copies what an arriving checkpoint has in common with the one before. Called before the transaction.
    pub(super) async fn reuse_chunks(&self, job: &Job, arriving: &Checkpoint) {
        let Some(before) = job.newest_checkpoint().map(|c| c.blob.clone()) else { return };
        let (store, blob) = (self.blobs.clone(), arriving.blob.clone());
        let copied = super::transfer::on_disk(move || {
            let places: HashMap<_, _> = (0u32..).zip(&before.chunks).map(|(i, hash)| (*hash, i)).collect();
            for (index, hash) in (0u32..).zip(&blob.chunks) {
                if let Some(place) = places.get(hash)
                    && !store.has_chunk(&blob, index)
                {
                    store.put_chunk(&blob, index, &store.read_chunk(&before, *place)?)?;
                }
            }
            Ok(())
        });
        if let Err(error) = copied.await {
            tracing::debug!(%error, "a checkpoint's old parts must come again");
        }
    }

    /// Submitter: the offered one is here.
    pub(super) async fn checkpoint_arrived(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let Some(checkpoint) = job.offered.take() else {
            store::update(conn, &job).await?;
            return Ok(Vec::new());
        };
        let number = checkpoint.number;
        let before = job.checkpoint.replace(checkpoint.clone());
        store::update(conn, &job).await?;
        let mut actions = vec![Self::send(&job, JobMessage::Kept { job: job.id(), number })];
        if let Some(order) = job.order {
            self.keep_for_order(conn, &order, &checkpoint).await?;
        }
        self.drop_checkpoint(&job, before);
        actions.extend(self.changed(conn, &job, now_ms).await?);
        Ok(actions)
    }

    /// Submitter: it cannot be had. The job goes on, and the worker may offer another.
    pub(super) async fn forget_checkpoint(
        &self,
        conn: &mut SqliteConnection,
        mut job: Job,
    ) -> Result<Vec<Action>> {
        store::unwant_all(conn, &job.id()).await?;
        let Some(checkpoint) = job.offered.take() else {
            store::update(conn, &job).await?;
            return Ok(Vec::new());
        };
        store::update(conn, &job).await?;
        let number = checkpoint.number;
        self.drop_checkpoint(&job, Some(checkpoint));
        Ok(vec![Self::send(&job, JobMessage::Kept { job: job.id(), number })])
    }

    /// The order goes on from here, if that is further than what it has.
    pub(super) async fn keep_for_order(
        &self,
        conn: &mut SqliteConnection,
        order: &OrderId,
        checkpoint: &Checkpoint,
    ) -> Result<()> {
        let mut order = self.order(conn, order).await?;
        if order.checkpoint.as_ref().is_some_and(|c| c.wall_ms >= checkpoint.wall_ms) {
            return Ok(());
        }
        let before = order.checkpoint.replace(checkpoint.clone());
        store::orders::update(conn, &order).await?;
        let Some(before) = before.filter(|before| before.blob.hash != checkpoint.blob.hash) else {
            return Ok(());
        };
        // Another attempt may be fetching that one still; then it goes with that attempt's files.
        let attempts = store::attempts(conn, &order.id).await?;
        let resumes = |job: &Job| job.spec().resume.as_ref().is_some_and(|c| c.blob.hash == before.blob.hash);
        if !attempts.iter().any(|job| !job.is_final() && resumes(job)) {
            self.remove_blob(&before);
        }
        Ok(())
    }

    /// Removes one that nothing of this job needs any more.
    fn drop_checkpoint(&self, job: &Job, dropped: Option<Checkpoint>) {
        let Some(dropped) = dropped else { return };
        let needed = [job.checkpoint.as_ref(), job.offered.as_ref(), job.spec().resume.as_ref()];
        // A submitter's order may hold it.
        let held = job.role == Role::Submitter || job.role == Role::Local;
        if !held && needed.into_iter().flatten().all(|c| c.blob.hash != dropped.blob.hash) {
            self.remove_blob(&dropped);
        } else if held && job.offered.is_none() && !self.blobs.has(&dropped.blob.hash) {
            // Half of one that was given up.
            self.remove_blob(&dropped);
        }
    }

    fn remove_blob(&self, checkpoint: &Checkpoint) {
        if let Err(error) = self.blobs.remove(&checkpoint.blob) {
            tracing::warn!(%error, "an old checkpoint cannot be removed");
        }
    }
}
