//! Amounts of FOG: integers of the smallest unit, 18 decimals, never floats.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Smallest units in one FOG: 10^18.
pub const UNITS_PER_FOG: u128 = 1_000_000_000_000_000_000;

/// An amount of FOG in smallest units. In JSON a decimal string, because JSON numbers lose digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(pub u128);

impl Amount {
    /// A whole number of FOG.
    pub const fn fog(n: u64) -> Self {
        Self(n as u128 * UNITS_PER_FOG)
    }

    /// The exact amount in FOG, without needless zeros: `12.5`, `0.000000000000000001`.
    pub fn exact(self) -> String {
        let (whole, rest) = (self.0 / UNITS_PER_FOG, self.0 % UNITS_PER_FOG);
        if rest == 0 {
            return whole.to_string();
        }
        let digits = format!("{rest:018}");
        format!("{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// A reader-friendly form: thousands separated, up to six decimals, or as many as it takes to show four digits
/// of a small amount. What lies beyond is cut, so that nothing looks like more than it is. For bookkeeping use [`Amount::exact`].
impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / UNITS_PER_FOG, self.0 % UNITS_PER_FOG);
        let digits = format!("{rest:018}");
        let keep = if whole > 0 || rest == 0 {
            6
        } else {
            (digits.len() - digits.trim_start_matches('0').len() + 4).min(18)
        };
        let decimals = digits[..keep].trim_end_matches('0');
        let text = whole.to_string();
        for (i, c) in text.chars().enumerate() {
            if i > 0 && (text.len() - i).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{c}")?;
        }
        if !decimals.is_empty() {
            write!(f, ".{decimals}")?;
        }
        Ok(())
    }
}

/// The text is not an amount of FOG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseAmountError;

impl std::fmt::Display for ParseAmountError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not an amount of FOG: write digits and at most 18 decimals, such as 12.5")
    }
}

impl std::error::Error for ParseAmountError {}

/// Parses FOG with a decimal point (`12.5`), not smallest units.
impl std::str::FromStr for Amount {
    type Err = ParseAmountError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (whole, decimals) = s.split_once('.').unwrap_or((s, ""));
        let digits = |t: &str| t.chars().all(|c| c.is_ascii_digit());
        if s.is_empty() || s == "." || decimals.len() > 18 || !digits(whole) || !digits(decimals) {
            return Err(ParseAmountError);
        }
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| ParseAmountError)? };
        let rest: u128 = format!("{decimals:0<18}").parse().map_err(|_| ParseAmountError)?;
        whole.checked_mul(UNITS_PER_FOG).and_then(|w| w.checked_add(rest)).map(Self).ok_or(ParseAmountError)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_small_and_large_amounts() {
        assert_eq!(Amount::fog(10_000).to_string(), "10,000");
        assert_eq!(Amount(UNITS_PER_FOG / 2).to_string(), "0.5");
        assert_eq!(Amount(Amount::fog(10_000).0 - 1).to_string(), "9,999.999999");
        assert_eq!(Amount(2_777_777_777_777).to_string(), "0.000002777");
        assert_eq!(Amount(1).to_string(), "0.000000000000000001");
        assert_eq!(Amount(1).exact(), "0.000000000000000001");
        assert_eq!(Amount(0).to_string(), "0");
    }

    #[test]
    fn parses_what_it_prints_and_refuses_the_rest() {
        for units in [0, 1, UNITS_PER_FOG, UNITS_PER_FOG * 12 + 5 * UNITS_PER_FOG / 10] {
            assert_eq!(Amount(units).exact().parse(), Ok(Amount(units)));
        }
        for bad in ["", ".", "-1", "1e3", "1.0000000000000000001", "340282366920938463463374607431768211456"]
        {
            assert!(bad.parse::<Amount>().is_err(), "{bad}");
        }
    }

    #[test]
    fn json_is_a_string_of_units() {
        assert_eq!(serde_json::to_string(&Amount(u128::MAX)).ok(), Some(format!("\"{}\"", u128::MAX)));
        assert_eq!(serde_json::from_str::<Amount>("\"7\"").ok(), Some(Amount(7)));
        assert!(serde_json::from_str::<Amount>("7.5").is_err());
    }
}
