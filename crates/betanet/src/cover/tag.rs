//! Messages that are no mail: loops, which only their sender recognises, and drop messages, which nobody does.
//!
//! ```text
//!   32 bytes              len - 48 bytes                                         16
//!   fresh X25519 key E    ChaCha20Poly1305( number (8, big-endian), zeros )      tag
//! ```
//!
//! The cipher's key is BLAKE3 of E, keyed with the tag's secret: each message has a key of its own, so the nonce is 0.
//! A sealed envelope looks the same from outside: an ephemeral key in the clear, then bytes that look random.

use crate::packet::MAX_MESSAGE;
use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, Key as CipherKey, KeyInit, Nonce, Tag};
use rand::{CryptoRng, RngExt};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const DOMAIN: &str = "betanet cover 1 loops";
const KEY_LEN: usize = 32;
const NUMBER_LEN: usize = 8;
const TAG_LEN: usize = 16;
/// The least bytes of a loop or drop message; a lesser length counts as this. Use the length of the envelopes of mail.
pub const MIN_MESSAGE: usize = KEY_LEN + NUMBER_LEN + TAG_LEN;

/// Makes a client's loop messages, and recognises them when they come back. Without state but its secret, which is
/// zeroised when dropped. The secret may be one for each start of the program: loops of before are then unknown
/// messages.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct LoopTag {
    key: [u8; 32],
}

impl LoopTag {
    /// Loops under a secret of 32 uniform bytes.
    pub fn new(secret: [u8; 32]) -> Self {
        let secret = Zeroizing::new(secret);
        Self { key: blake3::derive_key(DOMAIN, secret.as_slice()) }
    }

    /// The message of the loop with this number, `len` bytes long (at least [`MIN_MESSAGE`], and at most
    /// [`MAX_MESSAGE`]).
    pub fn message<R: CryptoRng>(&self, rng: &mut R, number: u64, len: usize) -> Vec<u8> {
        let mut message = vec![0; len.clamp(MIN_MESSAGE, MAX_MESSAGE)];
        let ephemeral = fresh_key(rng);
        let (start, rest) = message.split_at_mut(KEY_LEN);
        start.copy_from_slice(&ephemeral);
        let (body, end) = rest.split_at_mut(rest.len() - TAG_LEN);
        body[..NUMBER_LEN].copy_from_slice(&number.to_be_bytes());
        // It fails beyond 256 GiB only. Then the message is one that nobody recognises.
        if let Ok(tag) = self.cipher(&ephemeral).encrypt_in_place_detached(&Nonce::default(), b"", body) {
            end.copy_from_slice(&tag);
        }
        message
    }

    /// The number of a loop that came back; none if the message is anything else, or was altered anywhere. The tag is
    /// compared in constant time.
    pub fn recognise(&self, message: &[u8]) -> Option<u64> {
        if !(MIN_MESSAGE..=MAX_MESSAGE).contains(&message.len()) {
            return None;
        }
        let (ephemeral, rest) = message.split_first_chunk::<KEY_LEN>()?;
        let (body, tag) = rest.split_last_chunk::<TAG_LEN>()?;
        let mut body = body.to_vec();
        self.cipher(ephemeral)
            .decrypt_in_place_detached(&Nonce::default(), b"", &mut body, Tag::from_slice(tag))
            .ok()?;
        body.first_chunk().map(|number| u64::from_be_bytes(*number))
    }

    fn cipher(&self, ephemeral: &[u8; KEY_LEN]) -> ChaCha20Poly1305 {
        let key = Zeroizing::new(<[u8; 32]>::from(blake3::keyed_hash(&self.key, ephemeral)));
        ChaCha20Poly1305::new(CipherKey::from_slice(key.as_slice()))
    }
}

impl std::fmt::Debug for LoopTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoopTag")
    }
}

/// A message that looks like a loop or like mail, and that nobody can read. `len` as for [`LoopTag::message`].
pub fn drop_message<R: CryptoRng>(rng: &mut R, len: usize) -> Vec<u8> {
    let mut message = vec![0; len.clamp(MIN_MESSAGE, MAX_MESSAGE)];
    rng.fill_bytes(&mut message);
    message[..KEY_LEN].copy_from_slice(&fresh_key(rng));
    message
}

/// The public half of a key pair, whose secret half is thrown away. Random bytes would do only half the time: the other
/// half of them is on no point of the curve, and a home relay would tell mail from cover by it.
fn fresh_key<R: CryptoRng>(rng: &mut R) -> [u8; KEY_LEN] {
    PublicKey::from(&StaticSecret::from(rng.random::<[u8; 32]>())).to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::montgomery::MontgomeryPoint;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn rng(seed: u64) -> StdRng {
        StdRng::seed_from_u64(seed)
    }

    /// Mail as the layer above seals it: Noise X to a key that is not ours.
    fn mail(rng: &mut StdRng, len: usize) -> Vec<u8> {
        let mut sealed = vec![0; len];
        let (ours, theirs) = (rng.random::<[u8; 32]>(), fresh_key(rng));
        let params = "Noise_X_25519_ChaChaPoly_BLAKE2s".parse().expect("a pattern");
        let mut noise = snow::Builder::new(params)
            .local_private_key(&ours)
            .and_then(|b| b.remote_public_key(&theirs))
            .and_then(snow::Builder::build_initiator)
            .expect("builds");
        let n = noise.write_message(&vec![0; len - 96], &mut sealed).expect("seals");
        assert_eq!(n, len);
        sealed
    }

    /// What a home relay could look at: the length, whether the first bytes are a key of the prime-order group, and
    /// whether the rest looks random (chi-square over the values of bytes: 255 degrees of freedom, of which 400 is
    /// exceeded once in a hundred million times; the mail differs in each run).
    #[test]
    fn loops_drops_and_mail_look_the_same() {
        const N: usize = 200;
        let tag = LoopTag::new([1; 32]);
        let mut rng = rng(1);
        let kinds: [Vec<Vec<u8>>; 3] = [
            (0..N as u64).map(|n| tag.message(&mut rng, n, MAX_MESSAGE)).collect(),
            (0..N).map(|_| drop_message(&mut rng, MAX_MESSAGE)).collect(),
            (0..N).map(|_| mail(&mut rng, MAX_MESSAGE)).collect(),
        ];
        let is_key = |message: &[u8]| {
            let point = MontgomeryPoint(*message.first_chunk().expect("32 bytes"));
            message[31] & 0x80 == 0 && point.to_edwards(0).is_some_and(|p| p.is_torsion_free())
        };
        for messages in &kinds {
            assert!(messages.iter().all(|m| m.len() == MAX_MESSAGE && is_key(m)));
            let mut values = [0_u32; 256];
            messages.iter().flat_map(|m| &m[KEY_LEN..]).for_each(|byte| values[usize::from(*byte)] += 1);
            let expected = (N * (MAX_MESSAGE - KEY_LEN)) as f64 / 256.0;
            let fit: f64 = values.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
            assert!(fit < 400.0, "chi-square {fit}");
            for place in 0..MAX_MESSAGE {
                assert!(
                    messages.iter().any(|m| m[place] != messages[0][place]),
                    "byte {place} never changes"
                );
            }
        }
        let random = (0..N).map(|_| rng.random::<[u8; 32]>());
        assert!(random.filter(|bytes| is_key(bytes)).count() < N / 2, "random bytes would show");
    }

    #[test]
    fn lengths_are_kept_within_a_message() {
        let tag = LoopTag::new([1; 32]);
        for (asked, len) in [(0, MIN_MESSAGE), (100, 100), (usize::MAX, MAX_MESSAGE)] {
            let message = tag.message(&mut rng(2), 7, asked);
            assert_eq!((message.len(), tag.recognise(&message)), (len, Some(7)));
            assert_eq!(drop_message(&mut rng(2), asked).len(), len);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_loop_is_recognised_by_its_sender_alone(
            secret: [u8; 32], bit in 0..256_usize, number: u64, seed: u64, len in MIN_MESSAGE..=MAX_MESSAGE
        ) {
            let mut other = secret;
            other[bit / 8] ^= 1 << (bit % 8);
            let (ours, theirs) = (LoopTag::new(secret), LoopTag::new(other));
            let mut rng = rng(seed);
            let message = ours.message(&mut rng, number, len);
            prop_assert_eq!(ours.recognise(&message), Some(number));
            prop_assert_eq!(theirs.recognise(&message), None);
            prop_assert_eq!(ours.recognise(&drop_message(&mut rng, len)), None);
            prop_assert_eq!(ours.recognise(&mail(&mut rng, len.max(96))), None);
            let again = ours.message(&mut rng, number, len);
            prop_assert!(message != again, "two loops of one number differ");
        }

        #[test]
        fn an_altered_loop_is_not_recognised(
            number: u64, seed: u64, len in MIN_MESSAGE..=MAX_MESSAGE,
            place: prop::sample::Index, bit in 0..8_u8, other_place: prop::sample::Index
        ) {
            let tag = LoopTag::new([3; 32]);
            let mut rng = rng(seed);
            let message = tag.message(&mut rng, number, len);
            let mut altered = message.clone();
            altered[place.index(len)] ^= 1 << bit;
            prop_assert_eq!(tag.recognise(&altered), None);
            prop_assert_eq!(tag.recognise(&message[..len - 1]), None);
            prop_assert_eq!(tag.recognise(&[message.as_slice(), &[0]].concat()), None);
            // The start of one loop and the end of another.
            let other = tag.message(&mut rng, number.wrapping_add(1), len);
            let cut = 1 + other_place.index(len - 1);
            let spliced = [&message[..cut], &other[cut..]].concat();
            prop_assert_eq!(tag.recognise(&spliced), None);
        }

        #[test]
        fn garbage_is_not_recognised(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(LoopTag::new([3; 32]).recognise(&bytes), None);
        }
    }
}
