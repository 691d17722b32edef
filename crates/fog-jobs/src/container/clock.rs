//! Time and CPU that a run has used.

use super::engine::Engine;
use super::tally::Used;
use bollard::query_parameters::StatsOptions;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::time::Instant;

/// Running time: wall time in proportion to the share that the owner gives, as for WASM.
#[derive(Debug)]
pub(super) struct RunningTime {
    used: Duration,
    since: Instant,
    share: u32,
}

impl RunningTime {
    /// Starts with what was used before, at a moment that may have passed, at a share in thousandths.
    pub(super) fn start(used: Duration, since: Instant, share: u32) -> Self {
        Self { used, since, share }
    }

    /// From now on with this share; 0 stands still.
    pub(super) fn set_share(&mut self, share: u32) {
        self.used = self.used();
        self.since = Instant::now();
        self.share = share;
    }

    /// Used so far.
    pub(super) fn used(&self) -> Duration {
        self.used + self.since.elapsed() * self.share / 1000
    }
}

/// Asks the engine what a container uses, where the system's own files do not say it ([`super::tally`]). The last answer
/// counts: what a program uses after it, for less than a second, is its own.
#[derive(Debug)]
pub(super) struct Meter {
    next: Instant,
    every: Duration,
}

/// The first questions follow one another quickly, so that short runs have an answer.
const FIRST: Duration = Duration::from_millis(50);
/// Later ones take turns of this length.
const LATER: Duration = Duration::from_secs(1);
/// An engine that is busy is asked again later.
const PATIENCE: Duration = Duration::from_secs(5);

impl Meter {
    pub(super) fn new() -> Self {
        Self { next: Instant::now(), every: FIRST }
    }

    /// Asks, if it is time and nobody else knows.
    pub(super) async fn read(&mut self, engine: &Engine, container: &str, used: &Used) {
        if Instant::now() < self.next || used.is_complete() {
            return;
        }
        self.every = (self.every * 2).min(LATER);
        let options = StatsOptions { stream: false, one_shot: true };
        let mut stats = engine.docker.stats(container, Some(options));
        if let Ok(Some(Ok(stats))) = tokio::time::timeout(PATIENCE, stats.next()).await {
            let nanos = stats.cpu_stats.and_then(|c| c.cpu_usage).and_then(|u| u.total_usage).unwrap_or(0);
            let memory = stats.memory_stats.unwrap_or_default();
            let most = memory.max_usage.unwrap_or(0).max(memory.usage.unwrap_or(0));
            used.note(nanos, most);
        }
        self.next = Instant::now() + self.every;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_cost_no_time() {
        let mut time = RunningTime::start(Duration::from_secs(1), Instant::now(), 1000);
        tokio::time::advance(Duration::from_secs(2)).await;
        time.set_share(250);
        tokio::time::advance(Duration::from_secs(4)).await;
        time.set_share(0);
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(time.used(), Duration::from_secs(4));
    }
}
