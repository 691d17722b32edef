//! Four Montgomery ladders at once (RFC 7748, section 5) with AVX2.
//!
//! Lane `l` of every vector belongs to point `l`. A field element is nine limbs of 29 bits, little end first, in
//! 64-bit lanes, of which `vpmuludq` multiplies the low 32 bits. Nine limbs hold 261 bits, so that six are to spare,
//! and 2^261 = 64 * 19 folds the upper half of a product onto the lower one.
//!
//! How large limbs get, in units of 2^29:
//!
//! ```text
//! tight     at most 1, the first 1 + 1/32       what mul, square and load give; of add_small_product the first 1.6
//! sum       2.1                                 of two tight ones
//! difference  3.1, the last 2.1                 of two tight ones, because 65 p is added
//! mul       a * b of a column: 9 * 2.1 * 3.1 < 64, so that it stays below 2^64; the last limbs' product below 8,
//!           so that its carry stays below 2^32
//! square    of a difference would be 9 * 3.1 * 3.1: `halve` carries every other limb first
//! ```

use super::AVX2_LANES as LANES;
use super::scalar::{self, Scalar};
use crate::Key;
use std::arch::x86_64::{
    __m256i, _mm256_add_epi64, _mm256_and_si256, _mm256_andnot_si256, _mm256_blendv_pd, _mm256_castpd_si256,
    _mm256_castsi256_pd, _mm256_mul_epu32, _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_slli_epi64,
    _mm256_srli_epi64, _mm256_sub_epi64,
};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Groups of [`LANES`] points that share one inversion, which is a tenth of a ladder.
pub(super) const GROUPS: usize = 8;

const LIMBS: usize = 9;
const BITS: i32 = 29;
const MASK: i64 = (1 << BITS) - 1;
/// 2^261 modulo the prime.
const FOLD: i64 = 64 * 19;
/// (486662 - 2) / 4, the curve's constant in the ladder.
const A24: i64 = 121_665;
/// 65 p, with limbs that are larger than any of a tight element.
const BIAS: [i64; LIMBS] = {
    let mut limbs = [2 * MASK; LIMBS];
    limbs[0] = 2 * (MASK + 1) - 65 * 19;
    limbs[LIMBS - 1] = MASK - 1 + (1 << 23);
    limbs
};

/// Four field elements.
type Field = [__m256i; LIMBS];

/// A field element, limb by limb. (A copy of one that is then changed costs a call to `memcpy`.)
macro_rules! limbs {
    ($i:ident => $limb:expr) => {
        limbs!($i => $limb, 0 1 2 3 4 5 6 7 8)
    };
    ($i:ident => $limb:expr, $($n:literal)*) => {
        [$({
            const $i: usize = $n;
            $limb
        }),*]
    };
}

/// A point of each lane, as x / z.
#[derive(Clone, Copy)]
struct Projective {
    x: Field,
    z: Field,
}

/// True if this processor can run [`multiply`].
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Multiplies each point by its clamped scalar; at most [`GROUPS`].
///
/// # Panics
/// Where [`available`] is false: the caller chose the wrong backend.
pub(super) fn multiply(us: &[[&Key; LANES]], scalars: &[[&Key; LANES]], products: &mut [[Key; LANES]]) {
    assert!(available(), "this processor has no AVX2");
    // SAFETY: the processor has the feature that `ladders` was compiled for; it asks for nothing else.
    #[allow(unsafe_code)]
    unsafe {
        ladders(us, scalars, products);
    }
}

#[target_feature(enable = "avx2")]
fn ladders(us: &[[&Key; LANES]], scalars: &[[&Key; LANES]], products: &mut [[Key; LANES]]) {
    let mut points = [Projective { x: constant(0), z: constant(1) }; GROUPS];
    let points = &mut points[..products.len()];
    for ((point, us), scalars) in points.iter_mut().zip(us).zip(scalars) {
        ladder(us, scalars, point);
    }
    divide(points);
    for (product, point) in products.iter_mut().zip(points) {
        *product = store(&point.x);
    }
}

/// Puts x / z in the place of each x, 0 where z is 0, with one inversion for all (Montgomery 1987, section 10.3.1: one
/// inversion of the product of all gives each one's by three multiplications).
#[target_feature(enable = "avx2")]
fn divide(points: &mut [Projective]) {
    let mut before = [constant(1); GROUPS];
    let mut all = constant(1);
    for (before, point) in before.iter_mut().zip(points.iter_mut()) {
        // 0 / 1 in the place of x / 0.
        let none = zeros(&point.z);
        point.x = limbs!(I => _mm256_andnot_si256(none, point.x[I]));
        point.z = limbs!(I => _mm256_andnot_si256(none, point.z[I]));
        point.z[0] = _mm256_sub_epi64(point.z[0], none);
        *before = all;
        all = mul(&all, &point.z);
    }
    let mut inverse = invert(&all);
    for (before, point) in before.iter().zip(points).rev() {
        point.x = mul(&point.x, &mul(&inverse, before));
        inverse = mul(&inverse, &point.z);
    }
}

/// All ones in the lanes that are zero.
#[target_feature(enable = "avx2")]
fn zeros(a: &Field) -> __m256i {
    vector(store(a).map(|bytes| u64::from(bytes.ct_eq(&[0; 32]).unwrap_u8()).wrapping_neg()))
}

/// After each bit `b` of the scalar, `doubled` is R_b and `sum` the other one of the textbook's R_0 and R_1. So the
/// next bit doubles R_b again if it is the same, and the other one if it is not; the sum is the same in any case.
#[target_feature(enable = "avx2")]
fn ladder(us: &[&Key; LANES], scalars: &[&Key; LANES], doubled: &mut Projective) {
    let mut words = changes(scalars);
    let u = load(us);
    *doubled = Projective { x: constant(1), z: constant(0) };
    let mut sum = Projective { x: u, z: constant(1) };
    for (i, word) in words.iter().enumerate().rev() {
        // The bit to look at is the top one of each lane. The scalar's highest, 255, is always zero.
        let mut bits = vector(*word);
        let mut count = 64;
        if i == 3 {
            bits = _mm256_slli_epi64::<1>(bits);
            count = 63;
        }
        for _ in 0..count {
            step(bits, &u, doubled, &mut sum);
            bits = _mm256_slli_epi64::<1>(bits);
        }
    }
    words.zeroize();
    // The last bit is always zero, so that R_0 is the doubled one.
}

/// A function of its own: inlined, the compiler knows so much of the operands' upper bits in one pass that it forgets in
/// the next that they fit `vpmuludq`, and puts multiplications of 64 bits in their place.
#[inline(never)]
#[target_feature(enable = "avx2")]
fn step(bits: __m256i, u: &Field, doubled: &mut Projective, sum: &mut Projective) {
    let (a, b) = (add(&doubled.x, &doubled.z), sub(&doubled.x, &doubled.z));
    let (c, d) = (add(&sum.x, &sum.z), sub(&sum.x, &sum.z));
    let (da, cb) = (mul(&d, &a), mul(&b, &c));
    let (plus, minus) = (select(bits, &a, &c), select(bits, &b, &d));
    let (aa, bb) = (square(&plus), square(&halve(&minus)));
    square_to(&mut sum.x, &add(&da, &cb));
    mul_to(&mut sum.z, &square(&halve(&sub(&da, &cb))), u);
    let e = sub(&aa, &bb);
    mul_to(&mut doubled.x, &aa, &bb);
    mul_to(&mut doubled.z, &e, &add_small_product(&aa, &e));
}

/// Which bits of the scalars differ from those above them, in words of 64, lane by lane.
fn changes(scalars: &[&Key; LANES]) -> [[u64; LANES]; 4] {
    let mut words = [[0; LANES]; 4];
    for (lane, scalar) in scalars.iter().enumerate() {
        let scalar = Scalar::clamp(scalar);
        for (word, changes) in words.iter_mut().zip(scalar.changes()) {
            word[lane] = changes;
        }
    }
    words
}

#[inline]
#[target_feature(enable = "avx2")]
fn vector(lanes: [u64; LANES]) -> __m256i {
    // SAFETY: both are 32 bytes in which every bit pattern is a value.
    #[allow(unsafe_code)]
    unsafe {
        std::mem::transmute::<[u64; LANES], __m256i>(lanes)
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn lanes(vector: __m256i) -> [u64; LANES] {
    // SAFETY: both are 32 bytes in which every bit pattern is a value.
    #[allow(unsafe_code)]
    unsafe {
        std::mem::transmute::<__m256i, [u64; LANES]>(vector)
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn constant(value: i64) -> Field {
    let mut field = [_mm256_setzero_si256(); LIMBS];
    field[0] = _mm256_set1_epi64x(value);
    field
}

/// Of each lane `b` where the top bit is set, else `a`.
#[inline]
#[target_feature(enable = "avx2")]
fn select(bits: __m256i, a: &Field, b: &Field) -> Field {
    let mask = _mm256_castsi256_pd(bits);
    limbs!(I => {
        let (x, y) = (_mm256_castsi256_pd(a[I]), _mm256_castsi256_pd(b[I]));
        _mm256_castpd_si256(_mm256_blendv_pd(x, y, mask))
    })
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(a: &Field, b: &Field) -> Field {
    limbs!(I => _mm256_add_epi64(a[I], b[I]))
}

/// a - b, of tight ones; a multiple of the prime is added, so that no limb goes below zero.
#[inline]
#[target_feature(enable = "avx2")]
fn sub(a: &Field, b: &Field) -> Field {
    limbs!(I => _mm256_sub_epi64(_mm256_add_epi64(a[I], _mm256_set1_epi64x(BIAS[I])), b[I]))
}

/// Makes a difference small enough to be squared: the odd limbs hand on what is above 29 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn halve(a: &Field) -> Field {
    let mask = _mm256_set1_epi64x(MASK);
    limbs!(I => match I {
        0 => a[0],
        _ if I % 2 == 1 => _mm256_and_si256(a[I], mask),
        _ => _mm256_add_epi64(a[I], _mm256_srli_epi64::<BITS>(a[I - 1])),
    })
}

/// The sum of the products of these pairs of limbs.
macro_rules! sum {
    ($a:ident[$i:literal] * $b:ident[$j:literal] $(, $as:ident[$is:literal] * $bs:ident[$js:literal])*) => {{
        let sum = _mm256_mul_epu32($a[$i], $b[$j]);
        $(let sum = _mm256_add_epi64(sum, _mm256_mul_epu32($as[$is], $bs[$js]));)*
        sum
    }};
}

/// Folds the columns 8 to 16 of a product onto the columns 0 to 8: what to add to each of them; the last is column 8
/// itself. They are carried first, so that they have the 32 bits that can be multiplied.
#[inline]
#[target_feature(enable = "avx2")]
fn fold(columns: [__m256i; LIMBS]) -> Field {
    let (mask, by) = (_mm256_set1_epi64x(MASK), _mm256_set1_epi64x(FOLD));
    let [c8, c9, c10, c11, c12, c13, c14, c15, c16] = columns;
    let c9 = _mm256_add_epi64(c9, _mm256_srli_epi64::<BITS>(c8));
    let c10 = _mm256_add_epi64(c10, _mm256_srli_epi64::<BITS>(c9));
    let c13 = _mm256_add_epi64(c13, _mm256_srli_epi64::<BITS>(c12));
    let c11 = _mm256_add_epi64(c11, _mm256_srli_epi64::<BITS>(c10));
    let c12 = _mm256_add_epi64(_mm256_and_si256(c12, mask), _mm256_srli_epi64::<BITS>(c11));
    let c14 = _mm256_add_epi64(c14, _mm256_srli_epi64::<BITS>(c13));
    let c15 = _mm256_add_epi64(c15, _mm256_srli_epi64::<BITS>(c14));
    let c16 = _mm256_add_epi64(c16, _mm256_srli_epi64::<BITS>(c15));
    let c17 = _mm256_mul_epu32(_mm256_srli_epi64::<BITS>(c16), by);
    [
        _mm256_mul_epu32(_mm256_and_si256(c9, mask), by),
        _mm256_mul_epu32(_mm256_and_si256(c10, mask), by),
        _mm256_mul_epu32(_mm256_and_si256(c11, mask), by),
        _mm256_mul_epu32(_mm256_and_si256(c12, mask), by),
        _mm256_mul_epu32(_mm256_add_epi64(_mm256_and_si256(c13, mask), _mm256_srli_epi64::<BITS>(c12)), by),
        _mm256_mul_epu32(_mm256_and_si256(c14, mask), by),
        _mm256_mul_epu32(_mm256_and_si256(c15, mask), by),
        _mm256_mul_epu32(_mm256_and_si256(c16, mask), by),
        _mm256_add_epi64(_mm256_and_si256(c8, mask), c17),
    ]
}

/// Hands each limb's excess over 29 bits to the next one; that of the last, at most 32 bits, is folded.
#[inline]
#[target_feature(enable = "avx2")]
fn tighten(limbs: Field) -> Field {
    let mask = _mm256_set1_epi64x(MASK);
    let [z0, z1, z2, z3, z4, z5, z6, z7, z8] = limbs;
    let z1 = _mm256_add_epi64(z1, _mm256_srli_epi64::<BITS>(z0));
    let z2 = _mm256_add_epi64(z2, _mm256_srli_epi64::<BITS>(z1));
    let z5 = _mm256_add_epi64(z5, _mm256_srli_epi64::<BITS>(z4));
    let z3 = _mm256_add_epi64(z3, _mm256_srli_epi64::<BITS>(z2));
    let z4 = _mm256_add_epi64(_mm256_and_si256(z4, mask), _mm256_srli_epi64::<BITS>(z3));
    let z6 = _mm256_add_epi64(z6, _mm256_srli_epi64::<BITS>(z5));
    let z7 = _mm256_add_epi64(z7, _mm256_srli_epi64::<BITS>(z6));
    let z8 = _mm256_add_epi64(z8, _mm256_srli_epi64::<BITS>(z7));
    let over = _mm256_mul_epu32(_mm256_srli_epi64::<BITS>(z8), _mm256_set1_epi64x(FOLD));
    [
        _mm256_add_epi64(_mm256_and_si256(z0, mask), over),
        _mm256_and_si256(z1, mask),
        _mm256_and_si256(z2, mask),
        _mm256_and_si256(z3, mask),
        _mm256_and_si256(z4, mask),
        _mm256_add_epi64(_mm256_and_si256(z5, mask), _mm256_srli_epi64::<BITS>(z4)),
        _mm256_and_si256(z6, mask),
        _mm256_and_si256(z7, mask),
        _mm256_and_si256(z8, mask),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn mul(a: &Field, b: &Field) -> Field {
    let mut product = [_mm256_setzero_si256(); LIMBS];
    mul_to(&mut product, a, b);
    product
}

/// Into its place: the compiler would not see that what is returned can be written there at once, and copy it.
#[inline(never)]
#[target_feature(enable = "avx2")]
fn mul_to(product: &mut Field, a: &Field, b: &Field) {
    let upper = fold([
        sum!(
            a[0] * b[8],
            a[1] * b[7],
            a[2] * b[6],
            a[3] * b[5],
            a[4] * b[4],
            a[5] * b[3],
            a[6] * b[2],
            a[7] * b[1],
            a[8] * b[0]
        ),
        sum!(
            a[1] * b[8],
            a[2] * b[7],
            a[3] * b[6],
            a[4] * b[5],
            a[5] * b[4],
            a[6] * b[3],
            a[7] * b[2],
            a[8] * b[1]
        ),
        sum!(a[2] * b[8], a[3] * b[7], a[4] * b[6], a[5] * b[5], a[6] * b[4], a[7] * b[3], a[8] * b[2]),
        sum!(a[3] * b[8], a[4] * b[7], a[5] * b[6], a[6] * b[5], a[7] * b[4], a[8] * b[3]),
        sum!(a[4] * b[8], a[5] * b[7], a[6] * b[6], a[7] * b[5], a[8] * b[4]),
        sum!(a[5] * b[8], a[6] * b[7], a[7] * b[6], a[8] * b[5]),
        sum!(a[6] * b[8], a[7] * b[7], a[8] * b[6]),
        sum!(a[7] * b[8], a[8] * b[7]),
        sum!(a[8] * b[8]),
    ]);
    *product = tighten([
        _mm256_add_epi64(sum!(a[0] * b[0]), upper[0]),
        _mm256_add_epi64(sum!(a[0] * b[1], a[1] * b[0]), upper[1]),
        _mm256_add_epi64(sum!(a[0] * b[2], a[1] * b[1], a[2] * b[0]), upper[2]),
        _mm256_add_epi64(sum!(a[0] * b[3], a[1] * b[2], a[2] * b[1], a[3] * b[0]), upper[3]),
        _mm256_add_epi64(sum!(a[0] * b[4], a[1] * b[3], a[2] * b[2], a[3] * b[1], a[4] * b[0]), upper[4]),
        _mm256_add_epi64(
            sum!(a[0] * b[5], a[1] * b[4], a[2] * b[3], a[3] * b[2], a[4] * b[1], a[5] * b[0]),
            upper[5],
        ),
        _mm256_add_epi64(
            sum!(a[0] * b[6], a[1] * b[5], a[2] * b[4], a[3] * b[3], a[4] * b[2], a[5] * b[1], a[6] * b[0]),
            upper[6],
        ),
        _mm256_add_epi64(
            sum!(
                a[0] * b[7],
                a[1] * b[6],
                a[2] * b[5],
                a[3] * b[4],
                a[4] * b[3],
                a[5] * b[2],
                a[6] * b[1],
                a[7] * b[0]
            ),
            upper[7],
        ),
        upper[8],
    ]);
}

#[inline]
#[target_feature(enable = "avx2")]
fn square(a: &Field) -> Field {
    let mut product = [_mm256_setzero_si256(); LIMBS];
    square_to(&mut product, a);
    product
}

#[inline(never)]
#[target_feature(enable = "avx2")]
fn square_to(product: &mut Field, a: &Field) {
    let d = add(a, a);
    let upper = fold([
        sum!(d[0] * a[8], d[1] * a[7], d[2] * a[6], d[3] * a[5], a[4] * a[4]),
        sum!(d[1] * a[8], d[2] * a[7], d[3] * a[6], d[4] * a[5]),
        sum!(d[2] * a[8], d[3] * a[7], d[4] * a[6], a[5] * a[5]),
        sum!(d[3] * a[8], d[4] * a[7], d[5] * a[6]),
        sum!(d[4] * a[8], d[5] * a[7], a[6] * a[6]),
        sum!(d[5] * a[8], d[6] * a[7]),
        sum!(d[6] * a[8], a[7] * a[7]),
        sum!(d[7] * a[8]),
        sum!(a[8] * a[8]),
    ]);
    *product = tighten([
        _mm256_add_epi64(sum!(a[0] * a[0]), upper[0]),
        _mm256_add_epi64(sum!(d[0] * a[1]), upper[1]),
        _mm256_add_epi64(sum!(d[0] * a[2], a[1] * a[1]), upper[2]),
        _mm256_add_epi64(sum!(d[0] * a[3], d[1] * a[2]), upper[3]),
        _mm256_add_epi64(sum!(d[0] * a[4], d[1] * a[3], a[2] * a[2]), upper[4]),
        _mm256_add_epi64(sum!(d[0] * a[5], d[1] * a[4], d[2] * a[3]), upper[5]),
        _mm256_add_epi64(sum!(d[0] * a[6], d[1] * a[5], d[2] * a[4], a[3] * a[3]), upper[6]),
        _mm256_add_epi64(sum!(d[0] * a[7], d[1] * a[6], d[2] * a[5], d[3] * a[4]), upper[7]),
        upper[8],
    ]);
}

/// a + A24 * b.
#[inline]
#[target_feature(enable = "avx2")]
fn add_small_product(a: &Field, b: &Field) -> Field {
    let small = _mm256_set1_epi64x(A24);
    tighten(limbs!(I => _mm256_add_epi64(a[I], _mm256_mul_epu32(b[I], small))))
}

#[target_feature(enable = "avx2")]
fn square_times(a: &Field, times: u32) -> Field {
    let mut product = *a;
    for _ in 0..times {
        product = square(&product);
    }
    product
}

/// a^(p - 2), the inverse (0 for 0), by the usual chain of 254 squarings and 11 multiplications.
#[target_feature(enable = "avx2")]
fn invert(a: &Field) -> Field {
    let a2 = square(a);
    let a9 = mul(a, &square_times(&a2, 2));
    let a11 = mul(&a9, &a2);
    let p5 = mul(&a9, &square(&a11)); // a^(2^5 - 1), and so on
    let p10 = mul(&square_times(&p5, 5), &p5);
    let p20 = mul(&square_times(&p10, 10), &p10);
    let p40 = mul(&square_times(&p20, 20), &p20);
    let p50 = mul(&square_times(&p40, 10), &p10);
    let p100 = mul(&square_times(&p50, 50), &p50);
    let p200 = mul(&square_times(&p100, 100), &p100);
    let p250 = mul(&square_times(&p200, 50), &p50);
    mul(&square_times(&p250, 5), &a11)
}

/// The top bit of a coordinate is ignored (RFC 7748, section 5).
#[target_feature(enable = "avx2")]
fn load(us: &[&Key; LANES]) -> Field {
    let mut lanes = [[0; LANES]; LIMBS];
    for (l, u) in us.iter().enumerate() {
        let mut bytes = [0; 40];
        bytes[..32].copy_from_slice(*u);
        bytes[31] &= 127;
        for (i, limb) in lanes.iter_mut().enumerate() {
            let at = i * BITS as usize;
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[at / 8..at / 8 + 8]);
            limb[l] = (u64::from_le_bytes(eight) >> (at % 8)) & MASK as u64;
        }
    }
    lanes.map(|limb| vector(limb))
}

#[target_feature(enable = "avx2")]
fn store(a: &Field) -> [Key; LANES] {
    let limbs = a.map(|limb| lanes(limb));
    std::array::from_fn(|l| scalar::to_bytes::<LIMBS>(BITS as u32, std::array::from_fn(|i| limbs[i][l])))
}

#[cfg(test)]
mod tests;
