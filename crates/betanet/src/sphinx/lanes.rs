//! HKDF-SHA256 (RFC 5869, FIPS 180-4) of eight secrets at once with AVX2.
//!
//! Lane `l` of every vector is a word of hash `l`. All eight messages have one length, and differ in their secret
//! words only, which come first; what follows is the same public text. So nothing needs to be turned around but the
//! secrets at the start and the output at the end.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_andnot_si256, _mm256_or_si256, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_xor_si256,
};
use zeroize::Zeroize;

/// Secrets that are expanded at once.
pub(super) const LANES: usize = 8;

/// Bytes of a block; bytes of a hash.
const BLOCK: usize = 64;
const HASH: usize = 32;
/// Room for the text behind the secret words, its padding and its length.
const MOST_TEXT: usize = 4 * BLOCK;

/// The square roots' fractions, in which every hash begins.
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The cube roots' fractions, one for each round.
#[rustfmt::skip]
const ROUNDS: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// One word of each of the eight hashes.
type Word = __m256i;
type State = [Word; 8];

/// True if this processor can run [`hkdf`].
fn available() -> bool {
    is_x86_feature_detected!("avx2")
}

/// True if this processor can run [`hkdf`], and it costs less for so many secrets than one after the other. All lanes
/// cost as much as seven hashes by the instructions for SHA-256, or as two without them.
pub(super) fn worth(secrets: usize) -> bool {
    available() && secrets > if is_x86_feature_detected!("sha") { 6 } else { 1 }
}

/// Expands each secret into the output of its place, of one length. A secret's length is a multiple of four, at most
/// 32; the salt has at most 64 bytes.
///
/// # Panics
/// On a processor without AVX2, see [`worth`].
pub(super) fn hkdf<const SECRET: usize, const OUT: usize>(
    salt: &[u8],
    secrets: &[&[u8; SECRET]; LANES],
    label: &[u8],
    outputs: [&mut [u8; OUT]; LANES],
) {
    assert!(available(), "this processor has no AVX2");
    // SAFETY: the processor has the feature that `expand` was compiled for; it asks for nothing else.
    #[allow(unsafe_code)]
    unsafe {
        expand(salt, secrets, label, outputs);
    }
}

#[target_feature(enable = "avx2")]
fn expand<const SECRET: usize, const OUT: usize>(
    salt: &[u8],
    secrets: &[&[u8; SECRET]; LANES],
    label: &[u8],
    mut outputs: [&mut [u8; OUT]; LANES],
) {
    let mut first = [0; BLOCK];
    first[..salt.len()].copy_from_slice(salt);
    let extract = Hmac::new(&text_words(&first));
    let mut secret = [_mm256_setzero_si256(); HASH / 4];
    for (i, word) in secret.iter_mut().enumerate().take(SECRET / 4) {
        let mut lanes = secrets.map(|s| s[4 * i..].first_chunk().map_or(0, |four| u32::from_be_bytes(*four)));
        *word = vector(lanes);
        lanes.zeroize();
    }
    let key = extract.finish(&secret[..SECRET / 4], &[]);
    let mut padded = [_mm256_setzero_si256(); BLOCK / 4];
    padded[..8].copy_from_slice(&key);
    let expand = Hmac::new(&padded);
    let mut text = [0; MOST_TEXT];
    text[..label.len()].copy_from_slice(label);
    let text = &mut text[..=label.len()];
    let mut hash = key;
    for (number, start) in (1..).zip((0..OUT).step_by(HASH)) {
        text[label.len()] = number;
        let before = if number == 1 { &[][..] } else { &hash };
        hash = expand.finish(before, text);
        for (i, word) in hash.iter().enumerate() {
            let mut lanes = lanes(*word);
            for (output, word) in outputs.iter_mut().zip(lanes) {
                let end = (start + 4 * i + 4).min(OUT);
                let at = (start + 4 * i).min(end);
                output[at..end].copy_from_slice(&word.to_be_bytes()[..end - at]);
            }
            lanes.zeroize();
        }
    }
}

/// HMAC (RFC 2104) with a key of each lane.
struct Hmac {
    inner: State,
    outer: State,
}

impl Hmac {
    /// The keys, filled up with zeros.
    #[target_feature(enable = "avx2")]
    fn new(key: &[Word; 16]) -> Self {
        let state = |pad: u32| {
            let mut state = START.map(|word| every(word));
            compress(&mut state, key.map(|word| _mm256_xor_si256(word, every(pad))));
            state
        };
        Self { inner: state(0x3636_3636), outer: state(0x5c5c_5c5c) }
    }

    /// Of the lanes' words and the text behind them.
    #[target_feature(enable = "avx2")]
    fn finish(&self, words: &[Word], text: &[u8]) -> State {
        let inner = hash(self.inner, words, text);
        hash(self.outer, &inner, &[])
    }
}

/// Goes on from a state that has one block in it, to the message's end.
#[target_feature(enable = "avx2")]
fn hash(mut state: State, words: &[Word], text: &[u8]) -> State {
    let len = 4 * words.len() + text.len();
    let blocks = (len + 1 + 8).div_ceil(BLOCK);
    let mut rest = [0; MOST_TEXT];
    let end = blocks * BLOCK - 4 * words.len();
    rest[..text.len()].copy_from_slice(text);
    rest[text.len()] = 0x80;
    let bits = ((BLOCK + len) * 8) as u64;
    rest[end - 8..end].copy_from_slice(&bits.to_be_bytes());
    let mut all = words.iter().copied().chain(rest.as_chunks::<4>().0.iter().map(|four| {
        let word = u32::from_be_bytes(*four);
        every(word)
    }));
    for _ in 0..blocks {
        compress(&mut state, std::array::from_fn(|_| all.next().unwrap_or(_mm256_setzero_si256())));
    }
    state
}

#[inline]
#[target_feature(enable = "avx2")]
fn every(word: u32) -> Word {
    _mm256_set1_epi32(word.cast_signed())
}

#[target_feature(enable = "avx2")]
fn text_words(text: &[u8; BLOCK]) -> [Word; 16] {
    let mut words = [_mm256_setzero_si256(); 16];
    for (word, four) in words.iter_mut().zip(text.as_chunks::<4>().0) {
        *word = every(u32::from_be_bytes(*four));
    }
    words
}

#[inline]
#[target_feature(enable = "avx2")]
fn vector(lanes: [u32; LANES]) -> Word {
    // SAFETY: both are 32 bytes in which every bit pattern is a value.
    #[allow(unsafe_code)]
    unsafe {
        std::mem::transmute::<[u32; LANES], __m256i>(lanes)
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn lanes(word: Word) -> [u32; LANES] {
    // SAFETY: both are 32 bytes in which every bit pattern is a value.
    #[allow(unsafe_code)]
    unsafe {
        std::mem::transmute::<__m256i, [u32; LANES]>(word)
    }
}

macro_rules! rotate {
    ($x:expr, $right:literal) => {
        _mm256_or_si256(_mm256_srli_epi32::<$right>($x), _mm256_slli_epi32::<{ 32 - $right }>($x))
    };
}

macro_rules! add {
    ($a:expr, $b:expr) => { _mm256_add_epi32($a, $b) };
    ($a:expr, $b:expr, $($more:expr),+) => { add!(_mm256_add_epi32($a, $b), $($more),+) };
}

macro_rules! xor {
    ($a:expr, $b:expr, $c:expr) => {
        _mm256_xor_si256(_mm256_xor_si256($a, $b), $c)
    };
}

/// One block into the state, by the standard's names.
#[target_feature(enable = "avx2")]
fn compress(state: &mut State, mut w: [Word; 16]) {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (start, constants) in ROUNDS.as_chunks::<16>().0.iter().enumerate() {
        for t in 0..16 {
            if start > 0 {
                let (x, y) = (w[(t + 1) % 16], w[(t + 14) % 16]);
                let s0 = xor!(rotate!(x, 7), rotate!(x, 18), _mm256_srli_epi32::<3>(x));
                let s1 = xor!(rotate!(y, 17), rotate!(y, 19), _mm256_srli_epi32::<10>(y));
                w[t] = add!(w[t], s0, w[(t + 9) % 16], s1);
            }
            let s1 = xor!(rotate!(e, 6), rotate!(e, 11), rotate!(e, 25));
            let choice = _mm256_xor_si256(_mm256_and_si256(e, f), _mm256_andnot_si256(e, g));
            let t1 = add!(h, s1, choice, every(constants[t]), w[t]);
            let s0 = xor!(rotate!(a, 2), rotate!(a, 13), rotate!(a, 22));
            // The majority of three: where a and b agree it is theirs, else it is c's.
            let majority =
                _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(c, _mm256_or_si256(a, b)));
            (h, g, f, e) = (g, f, e, add!(d, t1));
            (d, c, b, a) = (c, b, a, add!(t1, s0, majority));
        }
    }
    for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = _mm256_add_epi32(*word, new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hkdf::Hkdf;
    use proptest::prelude::*;
    use sha2::Sha256;

    fn check<const SECRET: usize, const OUT: usize>(
        salt: &[u8],
        secrets: &[[u8; SECRET]; LANES],
        label: &[u8],
    ) -> Result<(), TestCaseError> {
        if !available() {
            return Ok(());
        }
        let mut outputs = [[0; OUT]; LANES];
        hkdf(salt, &secrets.each_ref(), label, outputs.each_mut());
        for (secret, output) in secrets.iter().zip(outputs) {
            let mut expected = [0; OUT];
            Hkdf::<Sha256>::new(Some(salt), secret).expand(label, &mut expected).expect("short enough");
            prop_assert_eq!(output, expected);
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn eight_secrets_expand_as_each_alone(
            salt in proptest::collection::vec(any::<u8>(), 0..=64),
            label in proptest::collection::vec(any::<u8>(), 0..=150),
            long: [[u8; 32]; LANES], short: [[u8; 16]; LANES],
        ) {
            check::<32, 304>(&salt, &long, &label)?;
            check::<16, 192>(&salt, &short, &label)?;
            // Outputs that end within a hash and within a word.
            check::<32, 5>(&salt, &long, &label)?;
            check::<16, 70>(&salt, &short, &label)?;
        }
    }
}
