//! Means with their confidence, and quantiles.

/// Two-sided 95 % quantiles of Student's t distribution, by degrees of freedom from 1 on.
const T95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// A mean over seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mean {
    pub(crate) mean: f64,
    /// Half the width of the 95 % confidence interval; None for a single value.
    pub(crate) ci95: Option<f64>,
}

impl Mean {
    pub(crate) fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n.max(1.0);
        if values.len() < 2 {
            return Self { mean, ci95: None };
        }
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let t = T95.get(values.len() - 2).copied().unwrap_or(1.96);
        Self { mean, ci95: Some(t * (variance / n).sqrt()) }
    }
}

/// The value below which this share of the values lies (nearest rank). Infinite where fewer values than that are there:
/// `total` counts those that never came.
pub(crate) fn quantile(values: &[f64], share: f64, total: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = ((share * total.max(1) as f64).ceil() as usize).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_a_known_sample() {
        let m = Mean::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert_eq!(m.mean, 5.0);
        // Standard deviation 2.138, t(7) = 2.365, root of 8.
        assert!((m.ci95.unwrap() - 1.788).abs() < 0.001, "{m:?}");
        assert_eq!(Mean::of(&[3.0]), Mean { mean: 3.0, ci95: None });
    }

    #[test]
    fn quantiles_count_what_never_came() {
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5, 3), 2.0);
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.95, 3), 3.0);
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.95, 10), f64::INFINITY);
    }
}
