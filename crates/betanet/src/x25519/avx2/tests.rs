//! The field's arithmetic against whole numbers, with limbs as large as they get.

use super::*;
use num_bigint::BigUint;
use proptest::prelude::*;

type Limbs = [u64; LIMBS];

/// What the module's documentation calls tight: at most this.
const TIGHT: Limbs = {
    let mut limbs = [MASK as u64; LIMBS];
    limbs[0] = (1 << 29) + (1 << 24);
    limbs[5] = (1 << 29) + (1 << 7);
    limbs
};
/// The only operand beyond that: what [`add_small_product`] gives.
const NEARLY_TIGHT: u64 = (1 << 29) + (1 << 29) * 5 / 8;

fn prime() -> BigUint {
    (BigUint::from(1u8) << 255) - BigUint::from(19u8)
}

fn number(limbs: &Limbs) -> BigUint {
    limbs.iter().rev().fold(BigUint::ZERO, |n, limb| (n << 29) + limb)
}

fn key(n: &BigUint) -> Key {
    let mut key = [0; 32];
    let bytes = (n % prime()).to_bytes_le();
    key[..bytes.len()].copy_from_slice(&bytes);
    key
}

#[target_feature(enable = "avx2")]
fn field(lanes: &[Limbs; LANES]) -> Field {
    std::array::from_fn(|i| vector(std::array::from_fn(|l| lanes[l][i])))
}

#[target_feature(enable = "avx2")]
fn limbs(a: &Field) -> [Limbs; LANES] {
    let lanes = a.map(|limb| lanes(limb));
    std::array::from_fn(|l| std::array::from_fn(|i| lanes[i][l]))
}

/// Each of a step's operations on tight operands, in the order and with the bounds of the ladder.
#[target_feature(enable = "avx2")]
fn check(x: [Limbs; LANES], z: [Limbs; LANES], bits: [u64; LANES]) {
    let n = |f: &Field, l: usize| number(&limbs(f)[l]);
    let (p, a24) = (prime(), BigUint::from(A24 as u64));
    let tight = |f: &Field| {
        for lane in limbs(f) {
            assert!(lane.iter().zip(TIGHT).all(|(limb, most)| *limb <= most), "{lane:?}");
        }
    };
    let (fx, fz) = (field(&x), field(&z));
    let (plus, minus) = (add(&fx, &fz), sub(&fx, &fz));
    let halved = halve(&minus);
    let (cross, aa, bb) = (mul(&minus, &plus), square(&plus), square(&halved));
    [&cross, &aa, &bb].into_iter().for_each(tight);
    let e = sub(&aa, &bb);
    let small = add_small_product(&aa, &e);
    assert!(limbs(&small).iter().all(|lane| lane[0] <= NEARLY_TIGHT && lane[1..] <= TIGHT[1..]));
    let last = mul(&e, &small);
    tight(&last);
    let chosen = limbs(&select(vector(bits), &fx, &fz));
    let stored = store(&last);
    for l in 0..LANES {
        let (nx, nz) = (number(&x[l]), number(&z[l]));
        assert_eq!(n(&plus, l), &nx + &nz);
        assert_eq!(n(&minus, l) + &nz, &nx + &p * 65u8);
        assert_eq!(n(&halved, l), n(&minus, l));
        let (difference, sum) = (n(&minus, l), n(&plus, l));
        assert_eq!(n(&cross, l) % &p, (&difference * &sum) % &p);
        assert_eq!(n(&aa, l) % &p, (&sum * &sum) % &p);
        assert_eq!(n(&bb, l) % &p, (&difference * &difference) % &p);
        let tripled = n(&aa, l) + &a24 * n(&e, l);
        assert_eq!(n(&small, l) % &p, &tripled % &p);
        assert_eq!(key(&n(&last, l)), key(&(n(&e, l) * tripled)));
        assert_eq!(stored[l], key(&n(&last, l)));
        assert_eq!(chosen[l], if bits[l] >> 63 == 1 { z[l] } else { x[l] });
    }
    let inverse = invert(&fx);
    tight(&inverse);
    for (l, x) in x.iter().enumerate() {
        let product = n(&inverse, l) * number(x) % &p;
        assert_eq!(product, if number(x) % &p == BigUint::ZERO { BigUint::ZERO } else { 1u8.into() });
    }
}

fn run(x: [Limbs; LANES], z: [Limbs; LANES], bits: [u64; LANES]) {
    if available() {
        // SAFETY: the processor has the feature.
        #[allow(unsafe_code)]
        unsafe {
            check(x, z, bits);
        }
    }
}

/// The limbs of a whole number below 2^261.
fn split(n: &BigUint) -> Limbs {
    std::array::from_fn(|i| {
        let limb = (n >> (29 * i)) & BigUint::from(MASK as u64);
        limb.iter_u64_digits().next().unwrap_or(0)
    })
}

#[test]
fn the_largest_and_the_smallest_limbs_do_not_overflow() {
    let p = prime();
    let mut odd = [0; LIMBS];
    let mut even = TIGHT;
    for i in (1..LIMBS).step_by(2) {
        (odd[i], even[i]) = (TIGHT[i], 0);
    }
    let mut values = vec![TIGHT, [0; LIMBS], [MASK as u64; LIMBS], odd, even];
    for i in 0..LIMBS {
        let mut one = [0; LIMBS];
        one[i] = TIGHT[i];
        values.push(one);
    }
    // The prime's multiples and their neighbours, and 2^255 - 1.
    for times in [0u8, 1, 2, 3, 32, 63, 64] {
        for off in 0..40u8 {
            values.push(split(&(&p * times + off)));
            if times > 0 {
                values.push(split(&(&p * times - off)));
            }
        }
    }
    values.push(split(&((BigUint::from(1u8) << 255) - 1u8)));
    for (i, x) in values.iter().enumerate() {
        let z = |j: usize| values[(i * 7 + j) % values.len()];
        run([*x, TIGHT, z(1), [0; LIMBS]], [TIGHT, *x, z(2), *x], [u64::MAX, 0, 1 << 63, !(1 << 63)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn tight_operands_give_tight_and_right_results(
        seeds in proptest::collection::vec(any::<[u64; LIMBS]>(), 8), bits: [u64; LANES]
    ) {
        // A limb in four is as large as it may be.
        let limbs = |lane: usize| -> Limbs {
            let limb = |i: usize, s: u64| if s >> 62 == 3 { TIGHT[i] } else { s % (TIGHT[i] + 1) };
            std::array::from_fn(|i| limb(i, seeds[lane][i]))
        };
        run(std::array::from_fn(limbs), std::array::from_fn(|l| limbs(l + 4)), bits);
    }
}
