//! Whom to believe: a worker's reputation, as this node saw it, and how often its results are checked.
//!
//! The score is the mean of a Beta distribution with the prior Beta(1, 1): weights of good events against weights of bad
//! ones, both fading by 0.001 a day. A result *is right* when the majority of independent runs says the same, or when it was
//! known before. After [`TRUSTED_AFTER`] right results in a row a worker is trusted: its results are then compared with
//! somebody else's with a probability that falls with the length of the row, as BOINC does it. One wrong result ends
//! the row. So a worker that turns bad is found, and one that was never checked is not believed.

#[cfg(test)]
mod tests;

/// Right results in a row after which a worker is trusted.
pub const TRUSTED_AFTER: u32 = 10;
/// A trusted worker's results are compared at least with this probability.
pub const LEAST_CHECK: f64 = 0.02;
/// A trusted worker gets a job whose result is known with this probability, beside one that is not compared.
pub const SPOT_CHECK: f64 = 0.02;
/// A trusted worker below this score is not trusted.
const LEAST_SCORE: f64 = 0.7;

const SUCCESS: u64 = 1000;
const FAILURE: u64 = 1000;
const QUALITY: u64 = 1500;
const AVAILABILITY: u64 = 500;
const FRAUD: u64 = 3000;
/// What remains of a weight after a day.
const DAILY: f64 = 0.999;
const DAY_MS: f64 = 86_400_000.0;

/// What is known of a worker. Weights are in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reputation {
    /// Weight of good events.
    pub good: u64,
    /// Weight of bad events.
    pub bad: u64,
    /// Events.
    pub samples: u32,
    /// Right results in a row.
    pub valid_in_row: u32,
    /// When it was last written, milliseconds since 1970.
    pub updated_ms: u64,
}

/// Something that says how good a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It delivered; nobody compared the result.
    Delivered,
    /// Its result is right.
    Right,
    /// Its result is wrong.
    Wrong,
    /// It took a job and failed through its own fault, or its receipt was not honest.
    Failed,
    /// It was not to be reached any more.
    Vanished,
}

impl Reputation {
    /// Takes in a deed.
    pub fn add(&mut self, deed: Deed, now_ms: u64) {
        let days = now_ms.saturating_sub(self.updated_ms) as f64 / DAY_MS;
        if self.samples > 0 && days > 0.0 {
            let rest = DAILY.powf(days);
            self.good = (self.good as f64 * rest) as u64;
            self.bad = (self.bad as f64 * rest) as u64;
        }
        self.updated_ms = self.updated_ms.max(now_ms);
        self.samples = self.samples.saturating_add(1);
        match deed {
            Deed::Delivered => self.good += SUCCESS,
            Deed::Right => {
                self.good += QUALITY;
                self.valid_in_row = self.valid_in_row.saturating_add(1);
            }
            Deed::Wrong => {
                self.bad += FRAUD;
                self.valid_in_row = 0;
            }
            Deed::Failed => {
                self.bad += FAILURE;
                self.valid_in_row = 0;
            }
            Deed::Vanished => self.bad += AVAILABILITY,
        }
    }

    fn alpha(&self) -> f64 {
        1.0 + self.good as f64 / 1000.0
    }

    fn beta(&self) -> f64 {
        1.0 + self.bad as f64 / 1000.0
    }

    /// The mean of the distribution, 0 to 1.
    pub fn score(&self) -> f64 {
        self.alpha() / (self.alpha() + self.beta())
    }

    /// A score drawn from the distribution (its normal approximation, cut at 0 and 1), so that little-known workers get
    /// their turn. `normal` is a draw from the standard normal distribution.
    pub fn sample(&self, normal: f64) -> f64 {
        let (a, b) = (self.alpha(), self.beta());
        let variance = a * b / ((a + b).powi(2) * (a + b + 1.0));
        (self.score() + normal * variance.sqrt()).clamp(0.0, 1.0)
    }

    /// True if its results are taken without a comparison, but for samples.
    pub fn is_trusted(&self) -> bool {
        self.valid_in_row >= TRUSTED_AFTER && self.score() >= LEAST_SCORE
    }

    /// The probability with which its next result is compared.
    pub fn check_probability(&self) -> f64 {
        if !self.is_trusted() {
            return 1.0;
        }
        (1.0 / f64::from(self.valid_in_row)).max(LEAST_CHECK)
    }

    /// The baseline's tier.
    pub fn tier(&self) -> &'static str {
        const TIERS: [(&str, f64, u32); 5] = [
            ("diamond", 0.95, 200),
            ("platinum", 0.90, 150),
            ("gold", 0.80, 100),
            ("silver", 0.70, 50),
            ("bronze", 0.60, 20),
        ];
        let reached =
            TIERS.iter().find(|(_, score, samples)| self.score() >= *score && self.samples >= *samples);
        reached.map_or("none", |(name, ..)| name)
    }
}
