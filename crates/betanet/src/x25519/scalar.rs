//! What the backends do lane by lane, before and after their ladders.

use crate::Key;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A clamped scalar (RFC 7748, section 5) as four words, little end first. Wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Scalar([u64; 4]);

impl Scalar {
    pub(super) fn clamp(bytes: &Key) -> Self {
        let mut words = [0; 4];
        for (word, eight) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*eight);
        }
        words[0] &= !7;
        words[3] = (words[3] & (u64::MAX >> 1)) | (1 << 62);
        Self(words)
    }

    /// Bit `t` is set where bits `t` and `t + 1` of the scalar differ.
    pub(super) fn changes(&self) -> [u64; 4] {
        let [a, b, c, d] = self.0;
        [a ^ (a >> 1 | b << 63), b ^ (b >> 1 | c << 63), c ^ (c >> 1 | d << 63), d ^ (d >> 1)]
    }
}

/// The number below the prime that is congruent to these limbs of `bits` bits, little end first. All are below 2^63,
/// and the number that they stand for below 2^(255 + 32).
pub(super) fn to_bytes<const LIMBS: usize>(bits: u32, mut limbs: [u64; LIMBS]) -> Key {
    let top = 255 - bits * (LIMBS as u32 - 1);
    let mut over = 0;
    for limb in &mut limbs {
        *limb += over;
        over = *limb >> bits;
        *limb &= (1 << bits) - 1;
    }
    // 2^255 = 19. Of the last limb only the bits below that stay.
    let last = limbs[LIMBS - 1];
    limbs[LIMBS - 1] = last & ((1 << top) - 1);
    let excess = 19 * ((last >> top) + (over << (bits - top)));
    let mut words = [0; 5];
    for (i, limb) in (0..).zip(limbs) {
        let wide = u128::from(limb) << (i * bits % 64);
        let word = (i * bits / 64) as usize;
        words[word] |= wide as u64;
        words[word + 1] |= (wide >> 64) as u64;
    }
    let [a, b, c, d, _] = words;
    let (words, _) = add([a, b, c, d], excess);
    // Below 2 p now. If it is p or more, adding 19 reaches bit 255.
    let (_, above) = add(words, 19);
    let (mut words, _) = add(words, 19 * above);
    words[3] &= u64::MAX >> 1;
    let mut bytes = [0; 32];
    for (eight, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *eight = word.to_le_bytes();
    }
    bytes
}

/// The sum, and its bit 255.
fn add(mut words: [u64; 4], small: u64) -> ([u64; 4], u64) {
    let mut over = small;
    for word in &mut words {
        let sum = u128::from(*word) + u128::from(over);
        (*word, over) = (sum as u64, (sum >> 64) as u64);
    }
    (words, words[3] >> 63)
}
