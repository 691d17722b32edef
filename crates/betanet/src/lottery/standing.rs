//! A relay's weight in the lottery, and the logarithms behind it, in integers: the same to the last bit everywhere.

use serde::{Deserialize, Serialize};

/// The stake whose logarithm counts in full, in whole FOG: more gives no more weight.
pub const FULL_STAKE: u64 = 1_000_000;
/// The weight 1 in the integers that the race compares.
pub const WEIGHT_ONE: u64 = 1 << 40;
/// What an eligible relay has at least: 0.001, so that who is new can be drawn at all.
const LEAST_WEIGHT: u64 = WEIGHT_ONE / 1000;
/// Shares of the three terms, per mille.
const REPUTATION: u64 = 500;
const PERFORMANCE: u64 = 300;
const STAKE: u64 = 200;
/// A reputation or performance of 1.
const MILLE: u64 = 1000;

/// Bits after the point of a logarithm here.
pub(super) const LOG_BITS: u32 = 56;

/// What the directory knows about a relay that stands for a seat. Values above their range count as its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Reputation, per mille (0 to 1000).
    pub reputation: u16,
    /// Measured performance, per mille (0 to 1000).
    pub performance: u16,
    /// What the relay's operator has staked for it, in whole FOG.
    pub stake: u64,
}

impl Standing {
    /// The weight in the race, in units of 1/[`WEIGHT_ONE`]: 0.5 reputation + 0.3 performance + 0.2 stake term, at
    /// least 0.001.
    ///
    /// The stake term is ln(1 + stake) / ln(1 + [`FULL_STAKE`]), at most 1. The logarithm makes a hundred times the
    /// stake worth a third of the term, not a hundred times the weight.
    pub fn weight(&self) -> u64 {
        let mille = |value: u16| u64::from(value).min(MILLE);
        let merit = REPUTATION * mille(self.reputation) + PERFORMANCE * mille(self.performance);
        // At most 1000 * 1000 * 2^40 < 2^60.
        let sum = merit * WEIGHT_ONE / MILLE + STAKE * stake_term(self.stake);
        (sum / MILLE).max(LEAST_WEIGHT)
    }
}

/// [`Standing::weight`] as a number between 0.001 and 1, for showing. Exact: a weight has fewer than 53 bits.
pub fn weight(standing: &Standing) -> f64 {
    standing.weight() as f64 / WEIGHT_ONE as f64
}

/// ln(1 + stake) / ln(1 + FULL_STAKE) in units of 1/WEIGHT_ONE, at most WEIGHT_ONE.
fn stake_term(stake: u64) -> u64 {
    let stake = stake.min(FULL_STAKE);
    let log = |n: u64| u128::from(log2(u128::from(n) + 1));
    let term = log(stake) * u128::from(WEIGHT_ONE) / log(FULL_STAKE);
    u64::try_from(term).unwrap_or(WEIGHT_ONE) // never more than WEIGHT_ONE
}

/// log2(n) with [`LOG_BITS`] bits after the point, rounded down by less than 2^-54; 0 for n = 0. Never falls as n
/// grows.
///
/// Digit by digit: squaring a number doubles its logarithm, so whether the square reaches 2 is the next binary digit.
pub(super) fn log2(n: u128) -> u64 {
    let Some(whole) = n.checked_ilog2() else { return 0 };
    // The number over its highest power of two, in [1, 2), as 64 bits with 63 after the point.
    let mut mantissa = (n << (127 - whole) >> 64) as u64;
    let mut log = u64::from(whole);
    for _ in 0..LOG_BITS {
        let square = u128::from(mantissa) * u128::from(mantissa); // 126 bits after the point
        let digit = square >> 127; // 1 if the square is 2 or more
        mantissa = (square >> (63 + digit)) as u64;
        log = log << 1 | digit as u64;
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn standing(reputation: u16, performance: u16, stake: u64) -> Standing {
        Standing { reputation, performance, stake }
    }

    #[test]
    fn weights_follow_the_three_terms() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} is not {b}");
        near(weight(&standing(1000, 1000, FULL_STAKE)), 1.0);
        near(weight(&standing(1000, 0, 0)), 0.5);
        near(weight(&standing(0, 1000, 0)), 0.3);
        near(weight(&standing(0, 0, FULL_STAKE)), 0.2);
        near(weight(&standing(0, 0, 1000)), 0.2 * 1001_f64.ln() / 1_000_001_f64.ln());
        near(weight(&standing(600, 500, 1000)), 0.3 + 0.15 + 0.2 * 1001_f64.ln() / 1_000_001_f64.ln());
        near(weight(&standing(0, 0, 0)), 0.001);
        // What is out of range counts as the end of the range.
        assert_eq!(standing(u16::MAX, u16::MAX, u64::MAX).weight(), WEIGHT_ONE);
    }

    /// These must never change: relays and clients of different builds compare them. Computed elsewhere, with integers
    /// of any length; the logarithms also are those of 80 decimal digits, rounded down.
    #[test]
    fn weights_and_logarithms_are_the_same_to_the_bit_everywhere() {
        assert_eq!(log2(1), 0);
        assert_eq!(log2(2), 1 << LOG_BITS);
        assert_eq!(log2(1 << 127), 127 << LOG_BITS);
        assert_eq!(log2(3), 114_208_584_442_304_135);
        assert_eq!(log2(10), 239_370_146_084_580_907);
        assert_eq!(log2(u128::MAX), (128 << LOG_BITS) - 1);
        assert_eq!(standing(900, 800, 1000).weight(), 868_630_087_091);
        assert_eq!(standing(1, 2, 3).weight(), 23_275_193_229);
    }

    proptest! {
        #[test]
        fn the_logarithm_is_right_and_never_falls(n in 1..=u128::MAX, m in 1..=u128::MAX, shift in 0..128u32) {
            let n = (n >> shift).max(1);
            let exact = (n as f64).log2();
            let ours = log2(n) as f64 / (1_u64 << LOG_BITS) as f64;
            prop_assert!((exact - ours).abs() <= 1e-13 * exact.max(1.0), "{n}: {ours} is not {exact}");
            prop_assert!(log2(n.min(m)) <= log2(n.max(m)));
            prop_assert!(log2(n) <= log2(n.saturating_add(1)));
        }

        #[test]
        fn a_weight_is_in_its_range_and_no_term_lowers_it(
            a: (u16, u16, u64), more: (u16, u16, u64), shift in 0..64u32
        ) {
            let low = standing(a.0, a.1, a.2 >> shift);
            let high = standing(
                a.0.saturating_add(more.0),
                a.1.saturating_add(more.1),
                low.stake.saturating_add(more.2 >> shift),
            );
            prop_assert!(low.weight() >= LEAST_WEIGHT && high.weight() <= WEIGHT_ONE);
            prop_assert!(low.weight() <= high.weight());
        }

        #[test]
        fn each_term_counts(reputation in 10..999u16, performance in 10..999u16, stake in 1..FULL_STAKE) {
            let base = standing(reputation, performance, stake).weight();
            prop_assert!(base < standing(reputation + 1, performance, stake).weight());
            prop_assert!(base < standing(reputation, performance + 1, stake).weight());
            prop_assert!(base < standing(reputation, performance, stake + 1).weight());
        }
    }
}
