//! Worker processes that wait for their job, so that a job starts at once.
//!
//! A warm process has done what takes time and needs no job: it is started, has closed what it inherited, and has a compiler
//! ready. It serves one job and ends, so the next is started while that one runs. A process that waited in vain for a
//! while is let go: an idle device keeps none.

use super::spawn::spawn;
use std::ffi::OsString;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::process::Child;
use tokio::runtime::{Handle, Id};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a process waits for a job.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub(super) struct Pool {
    command: Arc<[OsString]>,
    warm: Arc<Mutex<Warm>>,
}

#[derive(Debug, Default)]
struct Warm {
    child: Option<(Child, Instant)>,
    /// The runtime that the child's pipes belong to, in which a task looks after it.
    home: Option<Id>,
}

impl Pool {
    pub(super) fn new(command: Arc<[OsString]>) -> Self {
        Self { command, warm: Arc::default() }
    }

    /// A process for one job: the warm one, or a new one.
    pub(super) async fn take(&self) -> io::Result<Child> {
        let warm = self.warm.lock().await.at_home().child.take();
        if let Some((mut child, _)) = warm
            && matches!(child.try_wait(), Ok(None))
        {
            return Ok(child);
        }
        spawn(&self.command).await
    }

    /// Makes one ready, unless there is one.
    pub(super) async fn warm(&self) {
        let mut slot = self.warm.lock().await;
        let warm = slot.at_home();
        let alive = warm.child.as_mut().is_some_and(|(child, _)| matches!(child.try_wait(), Ok(None)));
        if alive {
            if let Some((_, since)) = warm.child.as_mut() {
                *since = Instant::now();
            }
        } else {
            match spawn(&self.command).await {
                Ok(child) => warm.child = Some((child, Instant::now())),
                Err(error) => return tracing::debug!(%error, "no worker process could be kept ready"),
            }
        }
        let here = Handle::current().id();
        if warm.home.replace(here).is_none() {
            tokio::spawn(watch(Arc::downgrade(&self.warm), here));
        }
    }
}

impl Warm {
    /// Without what another runtime has left here: that one may be gone, and then nobody answers on the child's pipes.
    fn at_home(&mut self) -> &mut Self {
        if self.home.is_some_and(|home| home != Handle::current().id()) {
            // Dropping it kills it.
            *self = Self::default();
        }
        self
    }
}

/// Lets go of a process that has waited for too long, and ends when there is none.
async fn watch(slot: Weak<Mutex<Warm>>, home: Id) {
    loop {
        tokio::time::sleep(PATIENCE).await;
        let Some(slot) = slot.upgrade() else { return };
        let mut warm = slot.lock().await;
        if warm.home != Some(home) {
            return;
        }
        if warm.child.as_ref().is_none_or(|(_, since)| since.elapsed() >= PATIENCE) {
            // Dropping it kills it.
            *warm = Warm::default();
            return;
        }
    }
}
