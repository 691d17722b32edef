//! What one hop's shared secret expands to (HKDF-SHA256, RFC 5869), and the ciphers of the header.

#[cfg(target_arch = "x86_64")]
use super::lanes;
use super::{HOP_LEN, MAC_LEN, ROUTING_LEN, Version};
use crate::Key;
use crate::x25519::LANES;
use aes::Aes128;
use ctr::Ctr64BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The format's label; the crate took it from the first Sphinx implementations.
const EXPAND_LABEL: &[u8] =
    b"Dwste mou enan moxlo arketa makru kai ena upomoxlio gia na ton topothetisw kai tha kinisw thn gh.";
const PAYLOAD_SALT: &[u8] = b"sphinx-payload-key-V01-CS01-HKDF:SHA256-SALT";
const PAYLOAD_LABEL: &[u8] = b"sphinx-payload-key-V01-CS01-HKDF:SHA256-INFO";

const STREAM_LEN: usize = 16;
const MAC_AT: usize = STREAM_LEN;
const PAYLOAD_AT: usize = MAC_AT + 16;
const BLINDING_AT: usize = PAYLOAD_AT + PAYLOAD_KEY_LEN;
const TAG_AT: usize = BLINDING_AT + 32;
const EXPANDED_LEN: usize = TAG_AT + 32;

/// Bytes of a payload key: two stream keys of 32 and two hash keys of 64.
pub(super) const PAYLOAD_KEY_LEN: usize = 192;
/// Bytes from which a payload key is derived.
pub(super) const SEED_LEN: usize = 16;
/// The key stream is as long as the routing information with one more hop behind it.
pub(super) const STREAM_OUT_LEN: usize = ROUTING_LEN + HOP_LEN;

/// A payload key, wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct PayloadKey(pub(super) [u8; PAYLOAD_KEY_LEN]);

/// A payload key's seed.
pub(super) type Seed = [u8; SEED_LEN];

impl PayloadKey {
    pub(super) fn from_seed(seed: &Seed) -> Self {
        let mut key = Self([0; PAYLOAD_KEY_LEN]);
        expand(Some(PAYLOAD_SALT), seed, PAYLOAD_LABEL, &mut key.0);
        key
    }
}

/// HKDF into an output that is far below its limit of 255 blocks.
fn expand(salt: Option<&[u8]>, secret: &[u8], label: &[u8], output: &mut [u8]) {
    let written = Hkdf::<Sha256>::new(salt, secret).expand(label, output);
    debug_assert!(written.is_ok(), "the output is shorter than 8,160 bytes");
}

/// [`expand`] for the first `count` of these.
fn expand_group<const SECRET: usize, const OUT: usize>(
    salt: &[u8],
    secrets: &[&[u8; SECRET]; LANES],
    label: &[u8],
    outputs: [&mut [u8; OUT]; LANES],
    count: usize,
) {
    #[cfg(target_arch = "x86_64")]
    if lanes::worth(count) {
        return lanes::hkdf(salt, secrets, label, outputs);
    }
    for (secret, output) in secrets.iter().zip(outputs).take(count) {
        expand(Some(salt), *secret, label, output);
    }
}

/// All that follows from one hop's shared secret. Wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct HopKeys([u8; EXPANDED_LEN]);

impl HopKeys {
    pub(super) fn new(shared_secret: &Key) -> Self {
        let mut keys = Self([0; EXPANDED_LEN]);
        expand(None, shared_secret, EXPAND_LABEL, &mut keys.0);
        keys
    }

    /// For the first `count` of these secrets; the others' keys are zeros.
    pub(super) fn of_group(shared_secrets: &[Key; LANES], count: usize) -> [Self; LANES] {
        let mut keys = [const { Self([0; EXPANDED_LEN]) }; LANES];
        let outputs = keys.each_mut().map(|keys| &mut keys.0);
        expand_group(&[], &shared_secrets.each_ref(), EXPAND_LABEL, outputs, count);
        keys
    }

    /// The payload keys of the first `count` hops, whose packets are of these versions; the others' are zeros.
    pub(super) fn payload_keys(
        hops: &[&Self; LANES],
        versions: &[Version; LANES],
        count: usize,
    ) -> [PayloadKey; LANES] {
        let mut keys = [const { PayloadKey([0; PAYLOAD_KEY_LEN]) }; LANES];
        if versions.iter().take(count).all(|version| version.has_payload_seeds()) {
            let outputs = keys.each_mut().map(|key| &mut key.0);
            expand_group(PAYLOAD_SALT, &hops.map(Self::payload_seed), PAYLOAD_LABEL, outputs, count);
        } else {
            for (i, key) in keys.iter_mut().enumerate().take(count) {
                *key = hops[i].payload_key(versions[i]);
            }
        }
        keys
    }

    fn part<const N: usize>(&self, at: usize) -> &[u8; N] {
        // The offsets are constants, so this folds away.
        self.0[at..].first_chunk().unwrap_or(&[0; N])
    }

    /// The key of the next hop's group element.
    pub(super) fn blinding(&self) -> &Key {
        self.part(BLINDING_AT)
    }

    pub(super) fn replay_tag(&self) -> &Key {
        self.part(TAG_AT)
    }

    pub(super) fn payload_seed(&self) -> &Seed {
        self.part(PAYLOAD_AT)
    }

    pub(super) fn payload_key(&self, version: Version) -> PayloadKey {
        if version.has_payload_seeds() {
            PayloadKey::from_seed(self.payload_seed())
        } else {
            PayloadKey(*self.part(PAYLOAD_AT))
        }
    }

    /// Combines `data` with the hop's key stream from its start (AES-128 in counter mode).
    pub(super) fn apply_stream(&self, data: &mut [u8]) {
        let key: &[u8; STREAM_LEN] = self.part(0);
        Ctr64BE::<Aes128>::new(key.into(), &[0; 16].into()).apply_keystream(data);
    }

    /// The MAC over routing information (HMAC-SHA256, RFC 2104, cut to 16 bytes).
    pub(super) fn mac(&self, routing: &[u8]) -> [u8; MAC_LEN] {
        let key: &[u8; 16] = self.part(MAC_AT);
        let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(key) else {
            return [0; MAC_LEN]; // HMAC takes keys of every length
        };
        hmac.update(routing);
        let mut mac = [0; MAC_LEN];
        mac.copy_from_slice(&hmac.finalize().as_bytes()[..MAC_LEN]);
        mac
    }

    pub(super) fn is_authentic(&self, mac: &[u8], routing: &[u8]) -> bool {
        self.mac(routing).ct_eq(mac).into()
    }
}
