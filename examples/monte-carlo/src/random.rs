//! Normally distributed random numbers that are the same everywhere.

/// xoshiro256++ (Blackman and Vigna), whose streams are seeded by SplitMix64 as its authors advise.
pub struct Random {
    state: [u64; 4],
    spare: Option<f64>,
}

impl Random {
    /// The stream `number` of a seed.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut seeds = SplitMix(seed);
        let mut seeds = SplitMix(seeds.next() ^ number.wrapping_mul(0xd129_0d3a_1f0b_7c4d));
        Self { state: std::array::from_fn(|_| seeds.next()), spare: None }
    }

    fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// From 0 to 1, without 0.
    fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Mean 0, variance 1 (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * libm::log(self.unit())).sqrt();
        let (sin, cos) = libm::sincos(std::f64::consts::TAU * self.unit());
        self.spare = Some(radius * sin);
        radius * cos
    }
}

struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_normal_distribution() {
        let mut random = Random::new(7, 0);
        let n = 400_000;
        let (mut sums, mut beyond) = ([0.0; 4], 0);
        for _ in 0..n {
            let x = random.normal();
            let mut power = 1.0;
            for sum in &mut sums {
                power *= x;
                *sum += power;
            }
            beyond += u32::from(x.abs() > 1.959_964);
        }
        let moments = sums.map(|s| s / f64::from(n));
        for (got, (expected, tolerance)) in
            moments.iter().zip([(0.0, 0.01), (1.0, 0.01), (0.0, 0.03), (3.0, 0.1)])
        {
            assert!((got - expected).abs() < tolerance, "{moments:?}");
        }
        assert!((f64::from(beyond) / f64::from(n) - 0.05).abs() < 0.002);
    }

    #[test]
    fn streams_differ() {
        let first = |seed, number| Random::new(seed, number).bits();
        let all = [first(1, 0), first(1, 1), first(2, 0), first(2, 1)];
        assert!((0..4).all(|i| (0..i).all(|j| all[i] != all[j])), "{all:?}");
        assert_eq!(first(1, 1), first(1, 1));
    }
}
