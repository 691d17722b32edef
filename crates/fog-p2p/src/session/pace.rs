//! How fast a peer is sent to: a window that grows with acknowledgements and shrinks with losses (RFC 5681 in
//! spirit), and a time-out from measured round trips (RFC 6298). A slow machine or a crowded relay is given
//! time instead of more copies of the same fragments.

use std::time::{Duration, Instant};

/// Fragments in flight at first.
const START: f64 = 32.0;
/// The least: relays may lose a few per cent for reasons that are no crowding.
const LEAST: f64 = 16.0;
/// The most.
const MOST: f64 = 128.0;
const MOST_BACKOFF: f64 = 8.0;
const LAST: Duration = Duration::from_secs(15);

pub(super) struct Pace {
    window: f64,
    /// Below it the window grows by one an acknowledgement, above it by one a window.
    threshold: f64,
    smoothed: Option<Duration>,
    variation: Duration,
    backoff: f64,
    last_cut: Option<Instant>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            window: START,
            threshold: MOST,
            smoothed: None,
            variation: Duration::ZERO,
            backoff: 1.0,
            last_cut: None,
        }
    }
}

impl Pace {
    pub(super) fn window(&self) -> usize {
        self.window as usize
    }

    /// How long to wait for an acknowledgement; never less than the road's own patience.
    pub(super) fn time_out(&self, patience: Duration) -> Duration {
        let measured = self.smoothed.map_or(patience, |s| (s + self.variation * 4).max(patience));
        measured.mul_f64(self.backoff).min(LAST.max(patience))
    }

    pub(super) fn acknowledged(&mut self, fragments: usize, round_trips: &[Duration]) {
        for _ in 0..fragments {
            self.window += if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
        }
        self.window = self.window.min(MOST);
        for sample in round_trips {
            match self.smoothed {
                None => (self.smoothed, self.variation) = (Some(*sample), *sample / 2),
                Some(smoothed) => {
                    self.variation = (self.variation * 3 + smoothed.abs_diff(*sample)) / 4;
                    self.smoothed = Some((smoothed * 7 + *sample) / 8);
                }
            }
            self.backoff = 1.0;
        }
    }

    /// Fragments were not acknowledged in time. Those of one time-out count once.
    pub(super) fn lost(&mut self, now: Instant, time_out: Duration) {
        if self.last_cut.is_some_and(|t| now.saturating_duration_since(t) < time_out) {
            return;
        }
        self.last_cut = Some(now);
        self.window = (self.window / 2.0).max(LEAST);
        self.threshold = self.window;
        self.backoff = (self.backoff * 1.5).min(MOST_BACKOFF);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(500);

    #[test]
    fn waits_longer_on_a_slow_road_and_recovers_on_a_fast_one() {
        let mut pace = Pace::default();
        assert_eq!(pace.time_out(PATIENCE), PATIENCE);
        let now = Instant::now();
        pace.lost(now, PATIENCE);
        pace.lost(now, PATIENCE); // the same time-out
        assert_eq!(pace.window(), 16);
        assert_eq!(pace.time_out(PATIENCE), PATIENCE.mul_f64(1.5));
        pace.acknowledged(1, &[Duration::from_secs(3)]);
        assert!(pace.time_out(PATIENCE) > Duration::from_secs(3));
        for _ in 0..100 {
            pace.acknowledged(8, &[Duration::from_millis(100)]);
        }
        assert_eq!(pace.time_out(PATIENCE), PATIENCE);
        assert!(pace.window() > 30 && pace.window() <= 128);
        for i in 1..100 {
            pace.lost(now + PATIENCE * 100 * i, PATIENCE);
        }
        assert_eq!(pace.window(), 16);
        assert!(pace.time_out(PATIENCE) <= LAST);
    }
}
