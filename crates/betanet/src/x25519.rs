//! X25519 (RFC 7748) for relays: many multiplications at once, two by the same point, and tables for the sender.
//!
//! ```text
//! Points ── multiply ──> groups of eight ──> ifma:    eight Montgomery ladders in one (AVX-512 IFMA)
//!                   ├──> groups of four  ──> avx2:    four in one, one inversion for eight groups
//!                   └──> what is left    ──> Edwards: converted once, multiplied twice (curve25519-dalek)
//! relay's key ── Table (once per directory) ──> multiply by the sender's scalars
//! ```
//!
//! The bytes are those of `x25519-dalek`, also for points on the twist, of low order and above the prime. The
//! ladders neither branch on a secret nor use one as an index; which backend runs depends on the processor and on
//! how many points there are, which anybody may know.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod ifma;
#[cfg(target_arch = "x86_64")]
mod scalar;
mod table;

pub use table::Table;
pub(crate) use table::clamped;

use crate::Key;
use curve25519_dalek::{EdwardsPoint, MontgomeryPoint};
use std::sync::OnceLock;

/// Points that the widest backend takes at once.
pub const LANES: usize = 8;
/// Batches of a multiple of so many points cost least with every backend.
pub const BATCH: usize = 32;
/// Points that [`Backend::Avx2`] takes at once.
#[cfg(target_arch = "x86_64")]
const AVX2_LANES: usize = 4;

/// How points are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Eight at once with AVX-512 IFMA.
    Ifma,
    /// Four at once with AVX2.
    Avx2,
    /// One after the other with `curve25519-dalek`, which uses AVX2 where there is some.
    Edwards,
}

impl Backend {
    /// Those that this processor has, the fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        [Self::Ifma, Self::Avx2, Self::Edwards].into_iter().filter(|backend| match backend {
            #[cfg(target_arch = "x86_64")]
            Self::Ifma => ifma::available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Ifma | Self::Avx2 => false,
            Self::Edwards => true,
        })
    }

    /// The fastest that this processor has.
    pub fn best() -> Self {
        static BEST: OnceLock<Backend> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().next().unwrap_or(Self::Edwards))
    }

    /// Its name for logs and benchmarks.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ifma => "ifma",
            Self::Avx2 => "avx2",
            Self::Edwards => "edwards",
        }
    }

    /// Multiplies each point by the (clamped) scalar of the same place.
    ///
    /// The three slices have one length; what is beyond the shortest is left alone.
    ///
    /// # Panics
    /// This processor does not have this backend ([`Backend::available`]).
    pub fn multiply(self, points: &mut [Point], scalars: &[&Key], products: &mut [Key]) {
        let n = points.len().min(scalars.len()).min(products.len());
        let (points, scalars, products) = (&mut points[..n], &scalars[..n], &mut products[..n]);
        let done = match self {
            // Of so few points, each costs less with the other backend: all lanes cost as much as one.
            #[cfg(target_arch = "x86_64")]
            Self::Ifma => in_groups::<LANES, 1>(
                1,
                |us, by, products| products[0] = ifma::multiply(&us[0], &by[0]),
                points,
                scalars,
                products,
            ),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                in_groups::<AVX2_LANES, { avx2::GROUPS }>(1, avx2::multiply, points, scalars, products)
            }
            _ => 0,
        };
        for i in done..n {
            products[i] = points[i].multiply(scalars[i]);
        }
    }
}

/// Multiplies `N` at once, in up to `G` groups that are handed over together, until at most `few` are left; returns how
/// many it did.
#[cfg(target_arch = "x86_64")]
fn in_groups<const N: usize, const G: usize>(
    few: usize,
    multiply: impl Fn(&[[&Key; N]], &[[&Key; N]], &mut [[Key; N]]),
    points: &[Point],
    scalars: &[&Key],
    products: &mut [Key],
) -> usize {
    let mut start = 0;
    while points.len() - start > few {
        let left = (points.len() - start).min(N * G);
        let groups = left / N + usize::from(left % N > few);
        let count = left.min(groups * N);
        // Lanes for which there is no point take the last one's.
        let at = |group: usize, lane: usize| start + (group * N + lane).min(count - 1);
        let us: [[&Key; N]; G] =
            std::array::from_fn(|group| std::array::from_fn(|lane| &points[at(group, lane)].u));
        let by: [[&Key; N]; G] =
            std::array::from_fn(|group| std::array::from_fn(|lane| scalars[at(group, lane)]));
        let mut multiplied = [[[0; 32]; N]; G];
        multiply(&us[..groups], &by[..groups], &mut multiplied[..groups]);
        products[start..start + count].copy_from_slice(&multiplied.as_flattened()[..count]);
        start += count;
    }
    start
}

/// A point by its u coordinate. It remembers its Edwards form, so that the second multiplication costs less.
#[derive(Clone)]
pub struct Point {
    u: Key,
    edwards: Option<Option<EdwardsPoint>>,
}

impl Point {
    /// From the 32 bytes on the wire; every value is a point of the curve or of its twist.
    pub fn new(u: Key) -> Self {
        Self { u, edwards: None }
    }

    fn multiply(&mut self, scalar: &Key) -> Key {
        let montgomery = MontgomeryPoint(self.u);
        match self.edwards.get_or_insert_with(|| montgomery.to_edwards(0)) {
            Some(point) => point.mul_clamped(*scalar).to_montgomery().0,
            // On the twist there is no Edwards form.
            None => montgomery.mul_clamped(*scalar).0,
        }
    }
}

#[cfg(test)]
mod tests;
