//! Token buckets: how often somebody may do something.

use crate::mesh::types::Millis;
use serde::{Deserialize, Serialize};

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// So many at once.
    pub burst: f32,
    /// And so many a second in the long run.
    pub per_s: f32,
}

/// What is left of a limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    tokens: f32,
    at: Millis,
}

impl Bucket {
    pub(crate) fn full(rate: Rate, now: Millis) -> Self {
        Self { tokens: rate.burst, at: now }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, rate: Rate, now: Millis) -> bool {
        // A clock that was set back gives nothing, and takes nothing away.
        let passed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        self.tokens = (self.tokens + passed as f32 / 1000.0 * rate.per_s).min(rate.burst);
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let rate = Rate { burst: 5.0, per_s: 2.0 };
        let mut bucket = Bucket::full(rate, 0);
        let taken = (0..10_000).filter(|ms| bucket.take(rate, *ms)).count();
        assert!((24..=25).contains(&taken), "{taken}");
        assert!(!bucket.take(rate, 0), "a clock set back gives nothing");
        assert!(bucket.take(rate, 11_000));
    }
}
