//! Finds and removes what crashed runs, or a crashed node, left on the engine.

use super::create::{LABEL_NODE, LABEL_RUN};
use super::{Inner, remove_container};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often leftovers are looked for.
const EVERY: Duration = Duration::from_secs(300);

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Containers.
    pub containers: usize,
    /// Images that were brought for jobs.
    pub images: usize,
}

/// The runs of this process.
#[derive(Debug, Default)]
pub(super) struct Runs {
    active: Mutex<HashSet<String>>,
    counter: AtomicU64,
}

/// A run, as long as this value.
pub(super) struct Active {
    runs: Arc<Runs>,
    id: String,
}

impl Runs {
    /// Begins a run: its container is to be left alone.
    pub(super) fn begin(self: &Arc<Self>) -> Active {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        // Unlike those of an earlier process, even one with the same id.
        let id = format!("{now:x}-{:x}-{number:x}", std::process::id());
        self.active.lock().insert(id.clone());
        Active { runs: Arc::clone(self), id }
    }
}

impl Active {
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.runs.active.lock().remove(&self.id);
    }
}

impl Inner {
    pub(super) async fn sweep(&self) -> Result<Swept, String> {
        let found = self
            .engine
            .labelled(&format!("{LABEL_NODE}={}", self.node))
            .await
            .map_err(|e| format!("the container engine does not list its containers: {e}"))?;
        let mut swept = Swept::default();
        let mut left = 0;
        for container in found {
            let labels = container.labels.unwrap_or_default();
            // The engine's filter is not trusted with removing what is not ours.
            let ours = labels.get(LABEL_NODE) == Some(&self.node);
            let active = labels.get(LABEL_RUN).is_some_and(|run| self.runs.active.lock().contains(run));
            let (true, false, Some(id)) = (ours, active, container.id) else { continue };
            if remove_container(&self.engine, &id).await { swept.containers += 1 } else { left += 1 }
        }
        if left > 0 {
            return Err(format!("{left} containers of earlier jobs cannot be removed"));
        }
        swept.images = self.images.sweep().await;
        if swept != Swept::default() {
            tracing::info!(
                containers = swept.containers,
                images = swept.images,
                "removed what jobs had left"
            );
        }
        Ok(swept)
    }
}

/// Sweeps every few minutes, as long as the runtime is used.
pub(super) fn keep_sweeping(inner: &Arc<Inner>) {
    let inner: Weak<Inner> = Arc::downgrade(inner);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(EVERY).await;
            let Some(inner) = inner.upgrade() else { return };
            if let Err(reason) = inner.sweep().await {
                tracing::warn!(reason, "leftovers of jobs stay for now");
            }
        }
    });
}
