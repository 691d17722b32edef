//! A budget that refills with time.

/// Up to `size` at once, and `size` in each `period_ms`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    size: u32,
    period_ms: u64,
    /// In parts of which each millisecond brings `size`, and one unit takes `period_ms`: so nothing is rounded.
    left: u64,
    last: u64,
}

impl Bucket {
    pub(crate) fn new(size: u32, period_ms: u64) -> Self {
        let period_ms = period_ms.max(1);
        Self { size, period_ms, left: u64::from(size).saturating_mul(period_ms), last: 0 }
    }

    /// Takes `n`, if there are as many.
    pub(crate) fn take(&mut self, n: u32, now: u64) -> bool {
        let full = u64::from(self.size).saturating_mul(self.period_ms);
        let passed = now.saturating_sub(self.last).min(self.period_ms);
        self.left = (self.left + passed * u64::from(self.size)).min(full);
        self.last = self.last.max(now);
        let cost = u64::from(n).saturating_mul(self.period_ms);
        let enough = self.left >= cost;
        if enough {
            self.left -= cost;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_refill() {
        let mut bucket = Bucket::new(10, 60_000);
        assert_eq!((0..20).filter(|_| bucket.take(1, 1_000_000)).count(), 10);
        assert!(!bucket.take(1, 1_005_999) && bucket.take(1, 1_006_000));
        assert_eq!((0..20).filter(|_| bucket.take(1, 9_000_000)).count(), 10);
        assert!(!bucket.take(11, 99_000_000) && bucket.take(10, 99_000_000));
    }
}
