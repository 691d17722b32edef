//! Every backend that the processor has, against RFC 7748's vectors and `x25519-dalek`.

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

/// Points of low order and their neighbours, above the prime, on the twist; limbs of all ones and all zeros in each
/// of the radices that backends use.
fn odd_points() -> Vec<Key> {
    let mut us: Vec<Key> = [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "cdeb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880",
        "4c9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7",
        "d9ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ]
    .map(key)
    .to_vec();
    for n in 0..60u8 {
        // Small numbers: about half are on the twist. Also with the top bit, and just below and above the prime.
        let mut u = [0; 32];
        u[0] = n;
        us.push(u);
        u[31] |= 0x80;
        us.push(u);
        let mut near = [0xff; 32];
        near[0] = 0xed - 20 + n % 38;
        near[31] = 0x7f;
        us.push(near);
    }
    for radix in [26, 28, 29, 51, 64] {
        for pattern in 0..4 {
            let ones = |bit: usize| {
                [(bit / radix).is_multiple_of(2), !(bit / radix).is_multiple_of(2), true, bit < radix]
                    [pattern]
            };
            let mut u = [0; 32];
            for bit in (0..255).filter(|bit| ones(*bit)) {
                u[bit / 8] |= 1 << (bit % 8);
            }
            us.push(u);
        }
    }
    us
}

#[test]
fn odd_points_are_multiplied_as_by_the_judge() {
    let us = odd_points();
    for round in 0..7 {
        let scalars: Vec<Key> = (0..us.len())
            .map(|i| match (i + round) % 7 {
                0 => [0; 32],
                1 => [0xff; 32],
                2 => [0x55; 32],
                3 => [0xaa; 32],
                // A single bit, or all but one, beside those that are always set.
                4 => std::array::from_fn(|b| if b == i % 32 { 1 << (i % 8) } else { 0 }),
                5 => std::array::from_fn(|b| if b == i % 32 { !(1 << (i % 8)) } else { 0xff }),
                _ => [i as u8 ^ 0xa5; 32],
            })
            .collect();
        let expected: Vec<Key> = us.iter().zip(&scalars).map(|(u, k)| x25519(*k, *u)).collect();
        for backend in Backend::available() {
            assert_eq!(all(backend, &us, &scalars), expected, "{}", backend.name());
        }
    }
}

#[test]
fn the_best_backend_is_one_that_there_is() {
    assert_eq!(Backend::available().next(), Some(Backend::best()));
    assert!(Backend::available().any(|b| b == Backend::Edwards), "which every machine has");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_number_of_points_is_multiplied_as_by_the_judge(
        pairs in proptest::collection::vec((any::<Key>(), any::<Key>()), 0..70)
    ) {
        judge(&pairs)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_280))]
    #[test]
    fn ten_thousand_points_are_multiplied_as_by_the_judge(pairs: [(Key, Key); 8]) {
        judge(&pairs)?;
    }
}

fn judge(pairs: &[(Key, Key)]) -> Result<(), TestCaseError> {
    let (us, scalars): (Vec<Key>, Vec<Key>) = pairs.iter().copied().unzip();
    let expected: Vec<Key> = us.iter().zip(&scalars).map(|(u, k)| x25519(*k, *u)).collect();
    for backend in Backend::available() {
        prop_assert_eq!(&all(backend, &us, &scalars), &expected, "{}", backend.name());
    }
    Ok(())
}

/// Whether the time that a multiplication takes tells a fixed scalar from random ones (Reparaz, Balasch & Verbauwhede
/// 2017, "dudect"): the difference of the two means in units of its own error, Welch's t. Above 4.5 it does. This is the
/// check for backends that valgrind cannot run (`sphinx::constant_time`).
///
/// ```sh
/// cargo test -p betanet --release --lib time_tells_nothing -- --ignored --nocapture
/// ```
#[test]
#[ignore = "measures time; run it alone, on a quiet machine"]
#[allow(clippy::print_stdout, reason = "for whoever runs it by hand")]
fn time_tells_nothing_of_the_scalars() {
    use rand::{RngExt, SeedableRng};
    const ROUNDS: usize = 20_000;
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    // The scalars with the fewest and the most swaps, and one of all ones.
    let fixed: [Key; 3] = [[0; 32], [0x55; 32], [0xff; 32]];
    let points: Vec<Point> = (0..LANES).map(|_| Point::new(rng.random())).collect();
    for backend in Backend::available() {
        for fixed in fixed {
            let mut times: [Vec<f64>; 2] = Default::default();
            for _ in 0..ROUNDS {
                let class = usize::from(rng.random::<bool>());
                // Both classes draw numbers and copy them, so that only the scalars differ.
                let drawn: [Key; LANES] = rng.random();
                let scalars = if class == 1 { drawn } else { [fixed; LANES] };
                let by: Vec<&Key> = scalars.iter().collect();
                let (mut points, mut products) = (points.clone(), [[0; 32]; LANES]);
                let start = std::time::Instant::now();
                backend.multiply(&mut points, &by, &mut products);
                times[class].push(start.elapsed().as_nanos() as f64);
                std::hint::black_box(products);
            }
            let t = welch(&times);
            println!("{} against {:02x}: t = {t:.2}", backend.name(), fixed[0]);
            assert!(t.abs() < 4.5, "{} takes a time that depends on the scalar", backend.name());
        }
    }
}

/// Welch's t of the faster nine tenths, which whatever else the machine did has disturbed least.
fn welch(times: &[Vec<f64>; 2]) -> f64 {
    let mut all = times.concat();
    all.sort_by(f64::total_cmp);
    let most = all[all.len() * 9 / 10];
    let [(m0, v0), (m1, v1)] = times.each_ref().map(|times| {
        let kept: Vec<f64> = times.iter().copied().filter(|t| *t <= most).collect();
        let n = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / n;
        (mean, kept.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / (n - 1.0) / n)
    });
    (m0 - m1) / (v0 + v1).sqrt()
}
