//! How late packets leave: a histogram with the bounds that Prometheus gets.

use std::time::Duration;

/// Counts by upper bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lateness {
    counts: [u64; Self::BOUNDS.len() + 1],
    total: Duration,
}

impl Lateness {
    /// Upper bounds, inclusive; what is above the last counts as more.
    pub const BOUNDS: [Duration; 8] = [
        Duration::from_micros(250),
        Duration::from_micros(500),
        Duration::from_millis(1),
        Duration::from_millis(2),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(50),
        Duration::from_millis(250),
    ];

    pub(super) fn add(&mut self, late: Duration) {
        self.counts[Self::BOUNDS.partition_point(|b| *b < late)] += 1;
        self.total += late;
    }

    /// All packets' lateness together.
    pub fn total(&self) -> Duration {
        self.total
    }

    /// Packets that were at most this late, for each bound and without one.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = Self::BOUNDS.into_iter().map(Some).chain([None]);
        let sums = self.counts.into_iter().scan(0, |sum, n| {
            *sum += n;
            Some(*sum)
        });
        bounds.zip(sums)
    }

    /// The bound below which this share of the packets is (none: above the last, or no packets).
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let all: u64 = self.counts.iter().sum();
        self.cumulative()
            .find(|(_, n)| *n > 0 && *n as f64 >= all as f64 * share)
            .and_then(|(bound, _)| bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_counted_below_their_bounds() {
        let mut late = Lateness::default();
        assert_eq!(late.quantile(0.5), None);
        for ms in [0, 1, 1, 2, 1000] {
            late.add(Duration::from_millis(ms));
        }
        let counts: Vec<u64> = late.cumulative().map(|(_, n)| n).collect();
        assert_eq!(counts, [1, 1, 3, 4, 4, 4, 4, 4, 5]);
        assert_eq!(late.total(), Duration::from_millis(1004));
        assert_eq!(late.quantile(0.5), Some(Duration::from_millis(1)));
        assert_eq!(late.quantile(0.99), None);
    }
}
