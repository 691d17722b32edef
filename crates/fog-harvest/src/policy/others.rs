//! Other programs' use of the processor, smoothed, with two thresholds and a wait: the owner's compiler comes first, and
//! a moment's pause of it is not yet an idle machine.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How fast the smoothed use follows the measured one.
const SMOOTH: Duration = Duration::from_secs(10);
/// Work resumes below this part of the limit.
const RESUME: f64 = 0.75;
/// And only when it has been below for this long.
pub(super) const WAIT: Duration = Duration::from_secs(60);

/// The past of other programs' use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Others {
    /// The smoothed use, 0 to 1, and when it was last brought up to date.
    average: Option<(f64, u64)>,
    /// True from the stop until work may resume.
    busy: bool,
    /// Since when the use has been below the lower mark.
    calm_ms: Option<u64>,
}

impl Others {
    /// The past with one more reading. `limit` is 0 to 1; 0 does not look.
    pub(super) fn next(mut self, load: Option<f64>, limit: f64, now_ms: u64) -> Self {
        if limit <= 0.0 {
            return Self::default();
        }
        let load = load.filter(|l| l.is_finite()).map(|l| l.clamp(0.0, 1.0));
        // Without any word of it nothing stops, and what stopped goes on after the wait.
        self.average = load.map(|load| match self.average {
            Some((before, then)) => {
                let step = now_ms.saturating_sub(then) as f64 / SMOOTH.as_millis() as f64;
                (before + (load - before) * (1.0 - (-step).exp()), now_ms)
            }
            None => (load, now_ms),
        });
        let average = self.average.map_or(0.0, |(average, _)| average);
        if average >= limit {
            (self.busy, self.calm_ms) = (true, None);
        } else if self.busy && average <= limit * RESUME {
            let since = *self.calm_ms.get_or_insert(now_ms);
            if now_ms.saturating_sub(since) >= WAIT.as_millis() as u64 {
                (self.busy, self.calm_ms) = (false, None);
            }
        } else {
            self.calm_ms = None;
        }
        self
    }

    /// None: they leave enough. Else their smoothed use, and how long at least until work may go on.
    pub(super) fn wait(&self, now_ms: u64) -> Option<(f64, Duration)> {
        let average = self.average.map_or(0.0, |(average, _)| average);
        let left = self
            .calm_ms
            .map_or(WAIT, |since| WAIT.saturating_sub(Duration::from_millis(now_ms.saturating_sub(since))));
        self.busy.then_some((average, left))
    }
}
