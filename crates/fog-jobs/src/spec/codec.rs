//! Bytes and signatures of the papers.

use super::{Person, SpecError};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Serialize, de::DeserializeOwned};

/// Encodes, refusing more than `max` bytes.
pub(crate) fn encode<T: Serialize>(what: &'static str, value: &T, max: usize) -> Result<Vec<u8>, SpecError> {
    let bytes = postcard::to_allocvec(value)
        .map_err(|error| SpecError::Malformed { what, reason: error.to_string() })?;
    if bytes.len() > max {
        return Err(SpecError::TooLong { what, bytes: bytes.len(), max });
    }
    Ok(bytes)
}

/// Decodes all of `bytes`. The length is checked first; every element of a list costs at least a byte of it, so what is
/// allocated stays in proportion.
pub(crate) fn decode<T: DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
    max: usize,
) -> Result<T, SpecError> {
    if bytes.len() > max {
        return Err(SpecError::TooLong { what, bytes: bytes.len(), max });
    }
    let (value, rest) = postcard::take_from_bytes(bytes)
        .map_err(|error| SpecError::Malformed { what, reason: error.to_string() })?;
    if !rest.is_empty() {
        return Err(SpecError::Malformed { what, reason: format!("{} bytes follow its end", rest.len()) });
    }
    Ok(value)
}

fn signed_bytes<T: Serialize>(domain: &[u8], value: &T) -> Result<Vec<u8>, SpecError> {
    postcard::to_extend(value, domain.to_vec())
        .map_err(|error| SpecError::Malformed { what: "content to sign", reason: error.to_string() })
}

pub(super) fn sign<T: Serialize>(key: &SigningKey, domain: &[u8], value: &T) -> Result<[u8; 64], SpecError> {
    Ok(key.sign(&signed_bytes(domain, value)?).to_bytes())
}

pub(super) fn verify<T: Serialize>(
    what: &'static str,
    person: &Person,
    domain: &[u8],
    value: &T,
    signature: &[u8; 64],
) -> Result<(), SpecError> {
    let key = VerifyingKey::from_bytes(person).map_err(|_| SpecError::Signature { what })?;
    let bytes = signed_bytes(domain, value)?;
    // Strict: weak keys and the two encodings of one signature are refused.
    key.verify_strict(&bytes, &Signature::from_bytes(signature)).map_err(|_| SpecError::Signature { what })
}
