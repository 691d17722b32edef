//! Who I am: an Ed25519 key that signs and names me, and an X25519 key to which messages are sealed.

use betanet::Key;
use betanet::relay::RelayKeys;
use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The two secret keys.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Identity {
    sign: [u8; 32],
    seal: [u8; 32],
}

impl Identity {
    pub(crate) fn generate() -> Self {
        let mut rng = rand::rng();
        Self { sign: rng.random(), seal: rng.random() }
    }

    pub(crate) fn signing(&self) -> SigningKey {
        SigningKey::from_bytes(&self.sign)
    }

    pub(crate) fn sealing(&self) -> StaticSecret {
        StaticSecret::from(self.seal)
    }

    /// My id: the public signing key.
    pub(crate) fn id(&self) -> Key {
        self.signing().verifying_key().to_bytes()
    }

    pub(crate) fn seal_key(&self) -> Key {
        PublicKey::from(&self.sealing()).to_bytes()
    }

    /// The keys of a mixnode on this device. They cannot be linked to the identity by others, but last as long as it.
    pub(crate) fn mixnode(&self) -> RelayKeys {
        let mut keys = Zeroizing::new([0; 64]);
        // 64 bytes are within HKDF's limit.
        _ = Hkdf::<Sha256>::new(Some(b"fog mixnode 1"), &self.seal).expand(b"", keys.as_mut());
        RelayKeys::from_bytes(&keys)
    }

    /// The key of a box that a contact puts messages into. Each has its own: nobody can link it to another, nor to me.
    pub(crate) fn own_box(&self, contact: &Key, number: u64) -> SigningKey {
        let mut key = Zeroizing::new([0; 32]);
        let info = [&contact[..], &number.to_be_bytes()].concat();
        // 32 bytes are always within HKDF's limit.
        _ = Hkdf::<Sha256>::new(Some(b"fog box 1"), &self.seal).expand(&info, key.as_mut());
        SigningKey::from_bytes(&key)
    }

    /// The key of this device on direct connections.
    pub(crate) fn direct(&self) -> StaticSecret {
        let mut key = Zeroizing::new([0; 32]);
        // 32 bytes are always within HKDF's limit.
        _ = Hkdf::<Sha256>::new(Some(b"fog direct 1"), &self.seal).expand(b"", key.as_mut());
        StaticSecret::from(*key)
    }

    /// The mailbox's key in a network. Its home relay sees this key and cannot link it to the identity, nor to
    /// the mailbox in another network.
    pub(crate) fn mailbox(&self, network: &Key) -> StaticSecret {
        let mut key = Zeroizing::new([0; 32]);
        // 32 bytes are always within HKDF's limit.
        _ = Hkdf::<Sha256>::new(Some(b"fog mailbox 1"), &self.seal).expand(network, key.as_mut());
        StaticSecret::from(*key)
    }
}

/// A short form of an id for comparing aloud: 6 groups of 4 letters or digits of its BLAKE3 hash (120 bits).
pub(crate) fn fingerprint(id: &Key) -> String {
    let hash = blake3::derive_key("fog identity fingerprint 1", id);
    let text = data_encoding::BASE32_NOPAD.encode(&hash[..15]);
    text.as_bytes().chunks(4).map(|c| String::from_utf8_lossy(c).into_owned()).collect::<Vec<_>>().join(" ")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Reads `N` bytes of hexadecimal text.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_differ_by_network_and_are_stable() {
        let me = Identity::generate();
        let key = |n: u8| PublicKey::from(&me.mailbox(&[n; 32])).to_bytes();
        assert_eq!(key(1), key(1));
        assert_ne!(key(1), key(2));
        assert_ne!(key(1), me.seal_key());
    }

    #[test]
    fn every_box_has_a_key_of_its_own() {
        let me = Identity::generate();
        let key = |contact: u8, number| me.own_box(&[contact; 32], number).verifying_key().to_bytes();
        assert_eq!(key(1, 1), key(1, 1));
        assert_ne!(key(1, 1), key(1, 2));
        assert_ne!(key(1, 1), key(2, 1));
        assert_ne!(key(1, 1), me.id());
    }

    #[test]
    fn fingerprints_are_readable() {
        let f = fingerprint(&[1; 32]);
        assert_eq!(f.split(' ').map(str::len).collect::<Vec<_>>(), [4; 6]);
        assert_ne!(f, fingerprint(&[2; 32]));
    }
}
