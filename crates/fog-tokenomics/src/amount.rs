//! Exact amounts: `u128` of the smallest unit outside, two 64-bit integers in SQLite.

use crate::error::{Error, Result};

/// Smallest units in one FOG: 10^18.
pub const UNITS_PER_FOG: u128 = 1_000_000_000_000_000_000;

const SCALE: i128 = UNITS_PER_FOG as i128;

/// A signed amount as SQLite keeps it: `fog * 10^18 + atto`, `0 <= atto < 10^18`.
pub(crate) type Pair = (i64, i64);

/// Splits a signed amount of smallest units.
pub(crate) fn split(units: i128) -> Result<Pair> {
    let fog = i64::try_from(units.div_euclid(SCALE)).map_err(|_| Error::AmountTooLarge)?;
    // The remainder is below 10^18, which an i64 holds.
    Ok((fog, units.rem_euclid(SCALE) as i64))
}

/// Splits an amount of smallest units.
pub(crate) fn split_unsigned(units: u128) -> Result<Pair> {
    split(signed(units)?)
}

/// Puts a pair together.
pub(crate) fn join((fog, atto): Pair) -> i128 {
    i128::from(fog) * SCALE + i128::from(atto)
}

/// Puts a pair together that must not be negative.
pub(crate) fn join_unsigned(pair: Pair) -> Result<u128> {
    u128::try_from(join(pair)).map_err(|_| Error::Corrupt("an amount is below zero".into()))
}

/// An amount as a signed number.
pub(crate) fn signed(units: u128) -> Result<i128> {
    i128::try_from(units).map_err(|_| Error::AmountTooLarge)
}

/// An amount of FOG for messages: `12.5 FOG`, without needless zeros.
pub(crate) struct Shown(pub(crate) u128);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / UNITS_PER_FOG, self.0 % UNITS_PER_FOG);
        if rest == 0 {
            return write!(f, "{whole} FOG");
        }
        let digits = format!("{rest:018}");
        write!(f, "{whole}.{} FOG", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shows_exactly() {
        assert_eq!(Shown(12 * UNITS_PER_FOG).to_string(), "12 FOG");
        assert_eq!(Shown(UNITS_PER_FOG / 2).to_string(), "0.5 FOG");
        assert_eq!(Shown(1).to_string(), "0.000000000000000001 FOG");
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert!(split(i128::MAX).is_err());
        assert!(split_unsigned(u128::MAX).is_err());
    }

    proptest! {
        #[test]
        fn split_and_join(units in -(10i128.pow(36))..10i128.pow(36)) {
            let pair = split(units).unwrap();
            prop_assert!((0..SCALE as i64).contains(&pair.1));
            prop_assert_eq!(join(pair), units);
        }
    }
}
