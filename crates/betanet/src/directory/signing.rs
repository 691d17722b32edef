//! Ed25519 signatures over a domain and the encoded document.

use crate::Key;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// The bytes of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Signed64(#[serde(with = "halves")] pub(super) [u8; 64]);

fn message<T: Serialize>(domain: &str, document: &T) -> Vec<u8> {
    let mut bytes = domain.as_bytes().to_vec();
    bytes.push(0);
    bytes.extend(encode(document));
    bytes
}

/// The bytes of a document.
pub(super) fn encode<T: Serialize>(document: &T) -> Vec<u8> {
    postcard::to_allocvec(document).unwrap_or_default() // plain data: postcard cannot fail on it
}

/// What stands for a document: the hash of what is signed.
pub(super) fn digest<T: Serialize>(domain: &str, document: &T) -> Key {
    blake3::hash(&message(domain, document)).into()
}

pub(super) fn sign<T: Serialize>(domain: &str, document: &T, key: &SigningKey) -> Signed64 {
    Signed64(key.sign(&message(domain, document)).to_bytes())
}

/// True if the owner of `key` signed the document.
pub(super) fn verify<T: Serialize>(domain: &str, document: &T, key: &Key, signature: &Signed64) -> bool {
    VerifyingKey::from_bytes(key).is_ok_and(|key| {
        key.verify_strict(&message(domain, document), &Signature::from_bytes(&signature.0)).is_ok()
    })
}

/// serde knows arrays up to 32 elements only.
mod halves {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 64], s: S) -> Result<S::Ok, S::Error> {
        let (a, b) = bytes.split_at(32);
        (<[u8; 32]>::try_from(a).unwrap_or_default(), <[u8; 32]>::try_from(b).unwrap_or_default())
            .serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; 64], D::Error> {
        let (a, b) = <([u8; 32], [u8; 32])>::deserialize(d)?;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&a);
        bytes[32..].copy_from_slice(&b);
        Ok(bytes)
    }
}
