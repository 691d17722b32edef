//! Heat: a stop with two thresholds and a wait, and below it a duty cycle in proportion.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The processor's temperature is held near this, °C.
const TARGET: f64 = 70.0;
/// Half the width of the band in which the duty falls from all to little, °C.
const BAND: f64 = 5.0;
/// The least duty below the stop.
const LEAST_DUTY: f64 = 0.1;
/// The processor stops this far below its trip point, °C.
const BELOW_TRIP: f64 = 10.0;
/// The processor stops here if its trip point is unknown, °C.
const DEFAULT_STOP: f64 = 85.0;
/// The battery stops here, °C.
pub(super) const BATTERY_STOP: f64 = 45.0;
/// Work resumes this far below the stop, °C.
pub(super) const RESUME_BELOW: f64 = 5.0;
/// And not before this long after the stop.
const REST: Duration = Duration::from_secs(60);
/// The share of the CPU without any temperature sensor.
pub(super) const BLIND_DUTY: f64 = 0.25;

/// The marks for one processor, °C.
pub(super) struct Limits {
    /// Held near this.
    pub(super) target: f64,
    /// Work stops here.
    pub(super) stop: f64,
}

/// The marks that follow from a trip point. One that no processor has is a broken sensor's and is ignored.
pub(super) fn cpu_limits(trip: Option<f64>) -> Limits {
    let stop =
        trip.filter(|trip| (50.0..=130.0).contains(trip)).map_or(DEFAULT_STOP, |trip| trip - BELOW_TRIP);
    Limits { target: TARGET.min(stop - BAND), stop }
}

impl Limits {
    /// The share of the cap at this temperature: all below the band around the target, a tenth above it.
    pub(super) fn duty(&self, celsius: f64) -> f64 {
        let fall = (self.target + BAND - celsius) / (2.0 * BAND);
        fall.clamp(LEAST_DUTY, 1.0)
    }
}

/// One sensor's past.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heat {
    /// The last moment at which it was not cool enough to work, since it reached its stop.
    #[serde(default)]
    stopped: Option<Stop>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stop {
    /// When it reached the stop.
    at_ms: u64,
    /// True until it is cool again.
    hot: bool,
}

impl Heat {
    /// The past with one more reading.
    pub(super) fn next(self, celsius: Option<f64>, stop: f64, now_ms: u64) -> Self {
        let celsius = celsius.filter(|t| t.is_finite());
        let stopped = match (celsius, self.stopped) {
            (Some(t), Some(old)) if t >= stop => {
                // Still hot since then; or hot again after it had cooled, which starts the rest anew.
                let at_ms = if old.hot { old.at_ms } else { now_ms };
                Some(Stop { at_ms, hot: true })
            }
            (Some(t), None) if t >= stop => Some(Stop { at_ms: now_ms, hot: true }),
            // Cool has to be the present, not some moment of the rest.
            (Some(t), Some(old)) => Some(Stop { hot: t > stop - RESUME_BELOW, ..old }),
            // A sensor that fell silent cannot hold the device back for ever; the rest is kept.
            (None, Some(old)) => Some(Stop { hot: false, ..old }),
            (_, None) => None,
        };
        Self { stopped: stopped.filter(|stop| stop.hot || stop.left(now_ms) > Duration::ZERO) }
    }

    /// None: cool enough to work. Else how long at least until it may be.
    pub(super) fn wait(&self, now_ms: u64) -> Option<Duration> {
        self.stopped.map(|stop| stop.left(now_ms))
    }
}

impl Stop {
    fn left(&self, now_ms: u64) -> Duration {
        REST.saturating_sub(Duration::from_millis(now_ms.saturating_sub(self.at_ms)))
    }
}
