//! Prices: by Black and Scholes' formula where there is one, and by simulation.

use crate::random::Random;

/// What is priced. The underlying follows a geometric Brownian motion.
#[derive(Clone, Copy, Debug)]
pub struct Contract {
    pub kind: Kind,
    pub spot: f64,
    pub strike: f64,
    /// A year's interest, continuously compounded: 0.03 is 3 %.
    pub rate: f64,
    /// A year's standard deviation of the logarithm: 0.2 is 20 %.
    pub volatility: f64,
    pub years: f64,
    /// Days on which the mean of an Asian option is taken.
    pub dates: u32,
}

/// What it pays at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What the price is above the strike.
    Call,
    /// What it is below.
    Put,
    /// What the arithmetic mean of the prices is above the strike.
    Asian,
}

/// A mean and how far it may be off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    pub mean: f64,
    /// The standard deviation of the mean.
    pub standard_error: f64,
    pub paths: u64,
}

fn normal_below(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

/// The exact price; none for an Asian option, which has no formula.
pub fn black_scholes(c: &Contract) -> Option<f64> {
    let spread = c.volatility * c.years.sqrt();
    let d1 = (libm::log(c.spot / c.strike) + (c.rate + c.volatility * c.volatility / 2.0) * c.years) / spread;
    let d2 = d1 - spread;
    let paid_then = c.strike * libm::exp(-c.rate * c.years);
    match c.kind {
        Kind::Call => Some(c.spot * normal_below(d1) - paid_then * normal_below(d2)),
        Kind::Put => Some(paid_then * normal_below(-d2) - c.spot * normal_below(-d1)),
        Kind::Asian => None,
    }
}

/// Simulates pairs of mirrored paths; each pair is one sample. `told` hears how many paths are done.
pub fn simulate(c: &Contract, paths: u64, random: &mut Random, mut told: impl FnMut(u64)) -> Estimate {
    let dates = if c.kind == Kind::Asian { c.dates } else { 1 };
    let step = c.years / f64::from(dates);
    let drift = (c.rate - c.volatility * c.volatility / 2.0) * step;
    let spread = c.volatility * step.sqrt();
    let discount = libm::exp(-c.rate * c.years);
    let pairs = paths.div_ceil(2);
    // Welford's way: a sum of squares would lose digits.
    let (mut mean, mut squares) = (0.0, 0.0);
    for pair in 0..pairs {
        let mut logs = [libm::log(c.spot); 2];
        let mut sums = [0.0; 2];
        let mut last = [0.0; 2];
        for _ in 0..dates {
            let shock = spread * random.normal();
            for (way, sign) in [1.0, -1.0].into_iter().enumerate() {
                logs[way] += drift + sign * shock;
                last[way] = libm::exp(logs[way]);
                sums[way] += last[way];
            }
        }
        let pays = |way: usize| match c.kind {
            Kind::Call => (last[way] - c.strike).max(0.0),
            Kind::Put => (c.strike - last[way]).max(0.0),
            Kind::Asian => (sums[way] / f64::from(dates) - c.strike).max(0.0),
        };
        let sample = discount * (pays(0) + pays(1)) / 2.0;
        let off = sample - mean;
        mean += off / (pair + 1) as f64;
        squares += off * (sample - mean);
        if (pair + 1) % 16_384 == 0 {
            told(2 * (pair + 1));
        }
    }
    let variance = squares / pairs.saturating_sub(1).max(1) as f64;
    Estimate { mean, standard_error: (variance / pairs as f64).sqrt(), paths: 2 * pairs }
}

/// One estimate out of several, weighted by their paths.
pub fn combine(parts: &[Estimate]) -> Estimate {
    let paths: u64 = parts.iter().map(|p| p.paths).sum();
    let share = |p: &Estimate| p.paths as f64 / paths as f64;
    Estimate {
        mean: parts.iter().map(|p| share(p) * p.mean).sum(),
        standard_error: parts.iter().map(|p| (share(p) * p.standard_error).powi(2)).sum::<f64>().sqrt(),
        paths,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Contract = Contract {
        kind: Kind::Call,
        spot: 42.0,
        strike: 40.0,
        rate: 0.1,
        volatility: 0.2,
        years: 0.5,
        dates: 12,
    };

    #[test]
    fn the_formula_gives_the_textbook_prices() {
        // Hull, Options, Futures and Other Derivatives, example of the Black-Scholes-Merton formula: 4.76 and 0.81.
        assert!((black_scholes(&CALL).unwrap() - 4.7594).abs() < 1e-4);
        assert!((black_scholes(&Contract { kind: Kind::Put, ..CALL }).unwrap() - 0.8086).abs() < 1e-4);
    }

    #[test]
    fn simulation_agrees_with_the_formula() {
        for kind in [Kind::Call, Kind::Put] {
            let contract = Contract { kind, ..CALL };
            let estimate = simulate(&contract, 200_000, &mut Random::new(1, 0), |_| {});
            let off = estimate.mean - black_scholes(&contract).unwrap();
            assert!(off.abs() < 4.0 * estimate.standard_error, "{estimate:?} is off by {off}");
            assert!(estimate.standard_error < 0.02);
        }
    }

    #[test]
    fn an_asian_option_is_cheaper_than_a_european_one_and_the_same_with_one_date() {
        let price = |dates| {
            let contract = Contract { kind: Kind::Asian, dates, ..CALL };
            simulate(&contract, 100_000, &mut Random::new(1, 0), |_| {})
        };
        let (one, many) = (price(1), price(12));
        assert!((one.mean - black_scholes(&CALL).unwrap()).abs() < 4.0 * one.standard_error);
        assert!(many.mean + 10.0 * many.standard_error < one.mean);
    }

    #[test]
    fn parts_of_an_array_add_up() {
        let parts: Vec<_> = (0..8).map(|n| simulate(&CALL, 20_000, &mut Random::new(1, n), |_| {})).collect();
        let all = combine(&parts);
        assert_eq!(all.paths, 160_000);
        let smaller = parts[0].standard_error / all.standard_error;
        assert!((smaller - 8f64.sqrt()).abs() < 0.3, "{smaller}");
        assert!((all.mean - black_scholes(&CALL).unwrap()).abs() < 4.0 * all.standard_error);
    }
}
