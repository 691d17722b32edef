//! A stop with two thresholds and a wait: what stopped the work has to be over, and for a while, before work resumes.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Work does not resume before this long after a stop.
pub(super) const REST: Duration = Duration::from_secs(60);

/// Where one measured quantity stops the work, and where it may resume. More is worse.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    /// Work stops at this or more.
    pub(super) stop: f64,
    /// It may resume at this or less.
    pub(super) resume: f64,
}

/// One quantity's past.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rest {
    #[serde(default)]
    stopped: Option<Stop>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stop {
    /// When it reached the stop.
    at_ms: u64,
    /// True until it is down at the resume mark.
    high: bool,
}

impl Rest {
    /// The past with one more reading.
    pub(super) fn next(self, value: Option<f64>, marks: Marks, now_ms: u64) -> Self {
        let value = value.filter(|v| v.is_finite());
        let stopped = match (value, self.stopped) {
            (Some(v), Some(old)) if v >= marks.stop => {
                // Still high since then; or high again after it had come down, which starts the rest anew.
                let at_ms = if old.high { old.at_ms } else { now_ms };
                Some(Stop { at_ms, high: true })
            }
            (Some(v), None) if v >= marks.stop => Some(Stop { at_ms: now_ms, high: true }),
            // Low has to be the present, not some moment of the rest.
            (Some(v), Some(old)) => Some(Stop { high: v > marks.resume, ..old }),
            // A sensor that fell silent cannot hold the device back for ever; the rest is kept.
            (None, Some(old)) => Some(Stop { high: false, ..old }),
            (_, None) => None,
        };
        Self { stopped: stopped.filter(|stop| stop.high || stop.left(now_ms) > Duration::ZERO) }
    }

    /// None: low enough to work. Else how long at least until it may be.
    pub(super) fn wait(&self, now_ms: u64) -> Option<Duration> {
        self.stopped.map(|stop| stop.left(now_ms))
    }
}

impl Stop {
    fn left(&self, now_ms: u64) -> Duration {
        REST.saturating_sub(Duration::from_millis(now_ms.saturating_sub(self.at_ms)))
    }
}
