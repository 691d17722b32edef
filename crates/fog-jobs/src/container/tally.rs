//! What a container has used, from the kernel's own books.
//!
//! An engine says it about once a second, and no more once the container has ended. The files of its control group are
//! there from before its first instruction until the engine clears up after its last, which takes an engine some
//! milliseconds: a thread waits for the end of the container's processes and reads them once more. Where there are no such
//! files (the engine runs in a virtual machine), what the engine says has to do.
//!
//! The sum over all containers of this process is kept as well: they are no children of this process, so nobody else can
//! tell their use of the processor from that of the owner's programs.

#[cfg(target_os = "linux")]
mod group;

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// All containers of this process.
static ALL: Mutex<All> = Mutex::new(All { ended: Duration::ZERO, live: Vec::new() });

struct All {
    ended: Duration,
    live: Vec<Arc<Used>>,
}

/// CPU time that all containers of this process have used, those that have ended included. It only grows. Cheap, but it
/// reads a file for each container that runs.
pub fn cpu_used() -> Duration {
    let all = ALL.lock();
    all.live.iter().fold(all.ended, |sum, used| {
        used.read();
        sum.saturating_add(used.cpu())
    })
}

/// What one container has used so far.
#[derive(Debug, Default)]
pub(super) struct Used {
    cpu_nanos: AtomicU64,
    memory_peak: AtomicU64,
    #[cfg(target_os = "linux")]
    group: std::sync::OnceLock<(Instant, group::Group)>,
}

impl Used {
    pub(super) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_nanos.load(Ordering::Relaxed))
    }

    pub(super) fn memory_peak(&self) -> u64 {
        self.memory_peak.load(Ordering::Relaxed)
    }

    /// When its files were seen for the first time, which is shortly before its first instruction.
    pub(super) fn began(&self) -> Option<Instant> {
        #[cfg(target_os = "linux")]
        return self.group.get().map(|(began, _)| *began);
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// Notes what somebody has read. Sums only grow, whoever was last.
    pub(super) fn note(&self, cpu_nanos: u64, memory_peak: u64) {
        self.cpu_nanos.fetch_max(cpu_nanos, Ordering::Relaxed);
        self.memory_peak.fetch_max(memory_peak, Ordering::Relaxed);
    }

    /// True if the files say all that is to be known; then the engine need not be asked.
    pub(super) fn is_complete(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.group.get().is_some() && self.memory_peak() > 0;
        #[cfg(not(target_os = "linux"))]
        false
    }

    /// Reads the files, if there are any. False if they are gone.
    fn read(&self) -> bool {
        #[cfg(target_os = "linux")]
        if let Some((_, group)) = self.group.get() {
            let (cpu, memory) = (group.cpu_nanos(), group.memory_peak());
            self.note(cpu.unwrap_or(0), memory.unwrap_or(0));
            return cpu.is_some();
        }
        true
    }
}

/// Follows one container.
pub(super) struct Tally {
    used: Arc<Used>,
    #[cfg(target_os = "linux")]
    watcher: Option<group::Watcher>,
}

impl Tally {
    /// Follows a container that was made and not yet started.
    pub(super) fn follow(container: &str) -> Self {
        let used = Arc::new(Used::default());
        ALL.lock().live.push(Arc::clone(&used));
        #[cfg(not(target_os = "linux"))]
        let _ = container;
        Self {
            #[cfg(target_os = "linux")]
            watcher: group::Watcher::start(container, &used),
            used,
        }
    }

    pub(super) fn used(&self) -> &Used {
        &self.used
    }

    /// Waits for the last reading of a container that has ended.
    pub(super) async fn finish(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(watcher) = self.watcher.take() {
            watcher.finish().await;
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let mut all = ALL.lock();
        all.live.retain(|used| !Arc::ptr_eq(used, &self.used));
        all.ended = all.ended.saturating_add(self.used.cpu());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_keeps_what_has_ended() {
        let before = cpu_used();
        let tally = Tally::follow("there-is-no-such-container");
        tally.used().note(5_000_000_000, 7);
        tally.used().note(3_000_000_000, 6);
        assert_eq!((tally.used().cpu(), tally.used().memory_peak()), (Duration::from_secs(5), 7));
        assert!(cpu_used() >= before + Duration::from_secs(5));
        drop(tally);
        assert!(cpu_used() >= before + Duration::from_secs(5));
    }
}
