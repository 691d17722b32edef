//! Random numbers that are the same everywhere: SplitMix64, a stream of its own for every row of every frame.

use crate::vector::{Vector, vector};

/// A stream of random numbers.
pub struct Random(u64);

impl Random {
    pub fn new(frame: u64, row: u64) -> Self {
        let mut seed = Self(frame << 32 ^ row);
        Self(seed.bits())
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1, without 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A direction, all alike likely.
    pub fn direction(&mut self) -> Vector {
        let z = 1.0 - 2.0 * self.unit();
        let turn = std::f64::consts::TAU * self.unit();
        let r = (1.0 - z * z).max(0.0).sqrt();
        vector(r * turn.cos(), r * turn.sin(), z)
    }
}
