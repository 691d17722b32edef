//! Eight Montgomery ladders at once (RFC 7748, section 5) with AVX-512 IFMA.
//!
//! Lane `l` of every vector belongs to point `l`. A field element is five limbs of 51 bits, little end first, in
//! 64-bit lanes. IFMA multiplies the low 52 bits of its operands and adds either the low or the high 52 bits of
//! the product, so every operand of [`mul`] must have limbs below 2^52: each operation here carries once at its
//! end, which leaves limbs below 2^51 + 2^14. A high half weighs 2^52, that is 2 in the next limb.

use super::LANES;
use crate::Key;
use std::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_and_si512, _mm512_madd52hi_epu64, _mm512_madd52lo_epu64,
    _mm512_mask_blend_epi64, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_slli_epi64, _mm512_srli_epi64,
    _mm512_sub_epi64,
};
use zeroize::Zeroize;

const LIMBS: usize = 5;
const MASK: u64 = (1 << 51) - 1;
/// (486662 - 2) / 4, the curve's constant in the ladder.
const A24: i64 = 121_665;

/// Eight field elements.
type Field = [__m512i; LIMBS];

/// True if this processor can run [`multiply`].
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma")
}

/// Multiplies each point by its clamped scalar.
///
/// # Panics
/// Where [`available`] is false: the caller chose the wrong backend.
pub(super) fn multiply(us: &[&Key; LANES], scalars: &[&Key; LANES]) -> [Key; LANES] {
    assert!(available(), "this processor has no AVX-512 IFMA");
    // SAFETY: the processor has the features that `ladder` was compiled for; it asks for nothing else.
    #[allow(unsafe_code)]
    unsafe {
        ladder(us, scalars)
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn ladder(us: &[&Key; LANES], scalars: &[&Key; LANES]) -> [Key; LANES] {
    let mut bits = bit_masks(scalars);
    let x1 = load(us);
    let (mut x2, mut z2) = (constant(1), constant(0));
    let (mut x3, mut z3) = (x1, constant(1));
    let mut swapped = 0;
    for &bit in bits.iter().rev() {
        swap(swapped ^ bit, &mut x2, &mut x3);
        swap(swapped ^ bit, &mut z2, &mut z3);
        swapped = bit;

        let (a, b) = (add(&x2, &z2), sub(&x2, &z2));
        let (c, d) = (add(&x3, &z3), sub(&x3, &z3));
        let (da, cb) = (mul(&d, &a), mul(&c, &b));
        let (aa, bb) = (square(&a), square(&b));
        x3 = square(&add(&da, &cb));
        z3 = mul(&x1, &square(&sub(&da, &cb)));
        let e = sub(&aa, &bb);
        x2 = mul(&aa, &bb);
        z2 = mul(&e, &add_small_product(&aa, &e, A24));
    }
    swap(swapped, &mut x2, &mut x3);
    swap(swapped, &mut z2, &mut z3);
    bits.zeroize();
    store(&mul(&x2, &invert(&z2)))
}

/// Bit `t` of the clamped scalar of lane `l` as bit `l` of entry `t`.
fn bit_masks(scalars: &[&Key; LANES]) -> [u8; 255] {
    let mut masks = [0; 255];
    for (lane, scalar) in scalars.iter().enumerate() {
        let mut clamped = **scalar;
        clamped[0] &= 248;
        clamped[31] = (clamped[31] & 127) | 64;
        for (t, mask) in masks.iter_mut().enumerate() {
            *mask |= ((clamped[t / 8] >> (t % 8)) & 1) << lane;
        }
        clamped.zeroize();
    }
    masks
}

#[inline]
#[target_feature(enable = "avx512f")]
fn constant(value: i64) -> Field {
    let zero = _mm512_setzero_si512();
    [_mm512_set1_epi64(value), zero, zero, zero, zero]
}

/// Swaps the lanes that the mask names.
#[inline]
#[target_feature(enable = "avx512f")]
fn swap(mask: u8, a: &mut Field, b: &mut Field) {
    for (a, b) in a.iter_mut().zip(b) {
        let (x, y) = (*a, *b);
        *a = _mm512_mask_blend_epi64(mask, x, y);
        *b = _mm512_mask_blend_epi64(mask, y, x);
    }
}

/// Hands each limb's excess over 51 bits to the next one; that of the last comes back 19-fold (2^255 = 19).
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn carry(z: &Field) -> Field {
    let mask = _mm512_set1_epi64(MASK as i64);
    let over: Field = [
        _mm512_srli_epi64::<51>(z[0]),
        _mm512_srli_epi64::<51>(z[1]),
        _mm512_srli_epi64::<51>(z[2]),
        _mm512_srli_epi64::<51>(z[3]),
        _mm512_srli_epi64::<51>(z[4]),
    ];
    [
        _mm512_madd52lo_epu64(_mm512_and_si512(z[0], mask), over[4], _mm512_set1_epi64(19)),
        _mm512_add_epi64(_mm512_and_si512(z[1], mask), over[0]),
        _mm512_add_epi64(_mm512_and_si512(z[2], mask), over[1]),
        _mm512_add_epi64(_mm512_and_si512(z[3], mask), over[2]),
        _mm512_add_epi64(_mm512_and_si512(z[4], mask), over[3]),
    ]
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add(a: &Field, b: &Field) -> Field {
    let mut sum = *a;
    for (s, b) in sum.iter_mut().zip(b) {
        *s = _mm512_add_epi64(*s, *b);
    }
    carry(&sum)
}

/// a - b; twice the prime is added first, so that no limb goes below zero.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn sub(a: &Field, b: &Field) -> Field {
    let first = _mm512_set1_epi64((1 << 52) - 38);
    let other = _mm512_set1_epi64((1 << 52) - 2);
    let mut difference = *a;
    for (i, d) in difference.iter_mut().enumerate() {
        let bias = if i == 0 { first } else { other };
        *d = _mm512_sub_epi64(_mm512_add_epi64(*d, bias), b[i]);
    }
    carry(&difference)
}

/// From the sums of the low halves and of the high halves of a product, both below 2^55.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn reduce(low: &[__m512i; 10], high: &[__m512i; 10]) -> Field {
    // z[k] = low[k] + 2 high[k-1] is below 2^56, so that 20 of them stay below 2^61.
    let mut z = *low;
    for k in 1..10 {
        z[k] = _mm512_add_epi64(low[k], _mm512_slli_epi64::<1>(high[k - 1]));
    }
    let mut folded: Field = [z[0], z[1], z[2], z[3], z[4]];
    for k in 0..LIMBS {
        let upper = z[k + LIMBS];
        let times_19 = _mm512_add_epi64(
            upper,
            _mm512_add_epi64(_mm512_slli_epi64::<4>(upper), _mm512_slli_epi64::<1>(upper)),
        );
        folded[k] = _mm512_add_epi64(folded[k], times_19);
    }
    carry(&folded)
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn mul(a: &Field, b: &Field) -> Field {
    let mut low = [_mm512_setzero_si512(); 10];
    let mut high = [_mm512_setzero_si512(); 10];
    for i in 0..LIMBS {
        for j in 0..LIMBS {
            low[i + j] = _mm512_madd52lo_epu64(low[i + j], a[i], b[j]);
            high[i + j] = _mm512_madd52hi_epu64(high[i + j], a[i], b[j]);
        }
    }
    reduce(&low, &high)
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn square(a: &Field) -> Field {
    let mut low = [_mm512_setzero_si512(); 10];
    let mut high = [_mm512_setzero_si512(); 10];
    for i in 0..LIMBS {
        for j in i + 1..LIMBS {
            low[i + j] = _mm512_madd52lo_epu64(low[i + j], a[i], a[j]);
            high[i + j] = _mm512_madd52hi_epu64(high[i + j], a[i], a[j]);
        }
    }
    for k in 1..8 {
        low[k] = _mm512_slli_epi64::<1>(low[k]);
        high[k] = _mm512_slli_epi64::<1>(high[k]);
    }
    for i in 0..LIMBS {
        low[2 * i] = _mm512_madd52lo_epu64(low[2 * i], a[i], a[i]);
        high[2 * i] = _mm512_madd52hi_epu64(high[2 * i], a[i], a[i]);
    }
    reduce(&low, &high)
}

/// a + small * b, for a constant below 2^18.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_small_product(a: &Field, b: &Field, small: i64) -> Field {
    let small = _mm512_set1_epi64(small);
    let mut high = [_mm512_setzero_si512(); LIMBS];
    let mut sum = *a;
    for i in 0..LIMBS {
        sum[i] = _mm512_madd52lo_epu64(sum[i], b[i], small);
        high[i] = _mm512_madd52hi_epu64(high[i], b[i], small);
    }
    // The last high half comes back 2 * 19-fold; it is below 2^18.
    sum[0] = _mm512_madd52lo_epu64(sum[0], high[4], _mm512_set1_epi64(38));
    for i in 1..LIMBS {
        sum[i] = _mm512_add_epi64(sum[i], _mm512_slli_epi64::<1>(high[i - 1]));
    }
    carry(&sum)
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn square_times(a: &Field, times: u32) -> Field {
    let mut product = *a;
    for _ in 0..times {
        product = square(&product);
    }
    product
}

/// a^(p - 2), the inverse (0 for 0), by the usual chain of 254 squarings and 11 multiplications.
#[target_feature(enable = "avx512f,avx512ifma")]
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
#[target_feature(enable = "avx512f")]
fn load(us: &[&Key; LANES]) -> Field {
    let mut lanes = [[0u64; LANES]; LIMBS];
    for (l, u) in us.iter().enumerate() {
        let word = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&u[at..at + 8]);
            u64::from_le_bytes(eight)
        };
        lanes[0][l] = word(0) & MASK;
        lanes[1][l] = (word(6) >> 3) & MASK;
        lanes[2][l] = (word(12) >> 6) & MASK;
        lanes[3][l] = (word(19) >> 1) & MASK;
        lanes[4][l] = (word(24) >> 12) & MASK;
    }
    lanes.map(|limb| {
        // SAFETY: both are 64 bytes in which every bit pattern is a value.
        #[allow(unsafe_code)]
        unsafe {
            std::mem::transmute::<[u64; LANES], __m512i>(limb)
        }
    })
}

#[target_feature(enable = "avx512f")]
fn store(a: &Field) -> [Key; LANES] {
    let lanes = a.map(|limb| {
        // SAFETY: both are 64 bytes in which every bit pattern is a value.
        #[allow(unsafe_code)]
        unsafe {
            std::mem::transmute::<__m512i, [u64; LANES]>(limb)
        }
    });
    std::array::from_fn(|l| to_bytes(std::array::from_fn(|i| lanes[i][l])))
}

/// The one representation below the prime.
fn to_bytes(mut limbs: [u64; LIMBS]) -> Key {
    let mut over = 0;
    for limb in &mut limbs {
        *limb += over;
        over = *limb >> 51;
        *limb &= MASK;
    }
    limbs[0] += 19 * over;
    // The value is below 2 p now. If it is p or more, adding 19 carries out of the top.
    let mut quotient = 19;
    for limb in limbs {
        quotient = (limb + quotient) >> 51;
    }
    over = 19 * quotient;
    for limb in &mut limbs {
        *limb += over;
        over = *limb >> 51;
        *limb &= MASK;
    }
    let mut bytes = [0; 32];
    let mut shift = 0;
    for limb in limbs {
        for bit in 0..51 {
            bytes[(shift + bit) / 8] |= (((limb >> bit) & 1) as u8) << ((shift + bit) % 8);
        }
        shift += 51;
    }
    bytes
}
