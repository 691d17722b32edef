//! Signed statements: Ed25519 over a domain prefix and the postcard bytes of the content.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::{
    Person,
    error::{Error, Result},
};

/// Something that a person signs.
pub trait Statement: Serialize {
    /// Goes before the signed bytes, so that a signature of one kind never passes for another. Ends in a
    /// zero byte, which none of them holds elsewhere: no prefix starts another.
    const DOMAIN: &'static [u8];

    /// Who must have signed it.
    fn signer(&self) -> &Person;
}

/// A statement and its signer's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed<T> {
    /// What was signed.
    pub content: T,
    /// Ed25519, 64 bytes.
    #[serde(with = "serde_bytes")]
    pub signature: [u8; 64],
}

impl<T: Statement> Signed<T> {
    /// Signs.
    ///
    /// # Errors
    /// [`Error::WrongKey`] if the key is not the signer's.
    pub fn sign(content: T, key: &SigningKey) -> Result<Self> {
        if key.verifying_key().as_bytes() != content.signer() {
            return Err(Error::WrongKey);
        }
        let signature = key.sign(&message(&content)?).to_bytes();
        Ok(Self { content, signature })
    }

    /// Checks the signature, strictly (RFC 8032 with no weak keys and no second form of a signature).
    ///
    /// # Errors
    /// [`Error::WrongSignature`].
    pub fn verify(&self) -> Result<()> {
        let key = VerifyingKey::from_bytes(self.content.signer()).map_err(|_| Error::WrongSignature)?;
        key.verify_strict(&message(&self.content)?, &Signature::from_bytes(&self.signature))
            .map_err(|_| Error::WrongSignature)
    }
}

fn message<T: Statement>(content: &T) -> Result<Vec<u8>> {
    postcard::to_extend(content, T::DOMAIN.to_vec()).map_err(|_| Error::MalformedRecord)
}
