//! X25519 (RFC 7748) for relays: many multiplications at once, two by the same point, and tables for the sender.
//!
//! ```text
//! Points ── multiply ──> groups of eight ──> ifma:    eight Montgomery ladders in one (AVX-512 IFMA)
//!                   ├──> groups of four  ──> avx2:    four in one
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

/// Points that the widest backend takes at once. Batches of a multiple of it cost least.
pub const LANES: usize = 8;
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
            Self::Ifma => in_groups(1, ifma::multiply, points, scalars, products),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => in_groups(1, avx2::multiply, points, scalars, products),
            _ => 0,
        };
        for i in done..n {
            products[i] = points[i].multiply(scalars[i]);
        }
    }
}

/// Multiplies `N` at once until at most `few` are left; returns how many it did.
#[cfg(target_arch = "x86_64")]
fn in_groups<const N: usize>(
    few: usize,
    multiply: impl Fn(&[&Key; N], &[&Key; N]) -> [Key; N],
    points: &[Point],
    scalars: &[&Key],
    products: &mut [Key],
) -> usize {
    let mut start = 0;
    while points.len() - start > few {
        let count = (points.len() - start).min(N);
        // Lanes for which there is no point take the last one's.
        let at = |lane: usize| start + lane.min(count - 1);
        let us: [&Key; N] = std::array::from_fn(|lane| &points[at(lane)].u);
        let by: [&Key; N] = std::array::from_fn(|lane| scalars[at(lane)]);
        products[start..start + count].copy_from_slice(&multiply(&us, &by)[..count]);
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use x25519_dalek::x25519;

    /// RFC 7748, section 5.2: scalar, u, product.
    const VECTORS: [[&str; 3]; 2] = [
        [
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ],
        [
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ],
    ];

    fn key(hex: &str) -> Key {
        data_encoding::HEXLOWER.decode(hex.as_bytes()).expect("hex").try_into().expect("32 bytes")
    }

    fn all(backend: Backend, us: &[Key], scalars: &[Key]) -> Vec<Key> {
        let mut points: Vec<_> = us.iter().map(|u| Point::new(*u)).collect();
        let by: Vec<_> = scalars.iter().collect();
        let mut products = vec![[0; 32]; us.len()];
        backend.multiply(&mut points, &by, &mut products);
        products
    }

    #[test]
    fn the_published_vectors_hold() {
        for backend in Backend::available() {
            for [scalar, u, product] in VECTORS {
                let products = all(backend, &[key(u); 3], &[key(scalar); 3]);
                assert_eq!(products, [key(product); 3], "{}", backend.name());
            }
            // The iterated vector: after a thousand rounds.
            let (mut k, mut u) = (Point::new([0; 32]).u, [0; 32]);
            (k[0], u[0]) = (9, 9);
            for _ in 0..1000 {
                let product = all(backend, &[u, u], &[k, k])[1];
                (u, k) = (k, product);
            }
            assert_eq!(k, key("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"));
        }
    }

    #[test]
    fn odd_points_are_multiplied_as_by_the_judge() {
        let p = "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
        let order_8 = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
        let mut us = vec![[0; 32], [0xff; 32], key(p), key(order_8)];
        for n in 0..60u8 {
            // Small numbers: about half are on the twist. Also the same above the prime and with the top bit.
            let mut u = [0; 32];
            u[0] = n;
            us.push(u);
            u[31] |= 0x80;
            us.push(u);
            let mut above = key(p);
            above[0] = above[0].wrapping_add(n % 18);
            us.push(above);
        }
        let scalars: Vec<Key> = (0..us.len()).map(|i| [i as u8 ^ 0xa5; 32]).collect();
        let expected: Vec<Key> = us.iter().zip(&scalars).map(|(u, k)| x25519(*k, *u)).collect();
        for backend in Backend::available() {
            assert_eq!(all(backend, &us, &scalars), expected, "{}", backend.name());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_number_of_points_is_multiplied_as_by_the_judge(
            pairs in proptest::collection::vec((any::<Key>(), any::<Key>()), 0..20)
        ) {
            let (us, scalars): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let expected: Vec<Key> = us.iter().zip(&scalars).map(|(u, k)| x25519(*k, *u)).collect();
            for backend in Backend::available() {
                prop_assert_eq!(&all(backend, &us, &scalars), &expected);
            }
        }
    }
}
