//! Making sure that a key is the right person's: by a code that one shows and the other scans, and by a question inside
//! the session.

mod qr;

pub use qr::{MAX_TEXT, QrCode, QrError, VALIDITY_S};

use crate::error::{DecodeError, EncodeError, exact, text};
use crate::identity::{Identity, verify};
use crate::tlv::{Fields, Width, Writer, once};
use subtle::ConstantTimeEq;

const RESPONSE_CONTEXT: &[u8] = b"bitchat-verify-resp-v1";

/// Prove that you have the signing key that belongs to this Noise key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The Noise key in question, 64 hexadecimal digits: the one that is asked.
    pub noise_public_hex: String,
    /// What must be signed.
    pub nonce: [u8; 16],
}

/// The answer to a [`Challenge`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// As in the challenge.
    pub noise_public_hex: String,
    /// As in the challenge.
    pub nonce: [u8; 16],
    /// Over both, by the signing key.
    pub signature: [u8; 64],
}

impl Challenge {
    /// Asks the owner of a Noise key.
    pub fn new(noise_public: &[u8; 32], nonce: [u8; 16]) -> Self {
        Self { noise_public_hex: hex::encode(noise_public), nonce }
    }

    /// Answers. `None` if the question is about another key than ours: whoever signs for others could be used by them.
    pub fn answer(&self, identity: &Identity) -> Option<Response> {
        let Self { noise_public_hex, nonce } = self;
        let ours = noise_public_hex.eq_ignore_ascii_case(&hex::encode(identity.noise_public()));
        let covered = response_bytes(noise_public_hex, nonce).filter(|_| ours)?;
        let signature = identity.sign(&covered);
        Some(Response { noise_public_hex: noise_public_hex.clone(), nonce: *nonce, signature })
    }

    /// Whether `response` answers this question, by the owner of `signing_public`.
    pub fn accepts(&self, response: &Response, signing_public: &[u8; 32]) -> bool {
        let same = self.noise_public_hex.eq_ignore_ascii_case(&response.noise_public_hex)
            && bool::from(self.nonce.ct_eq(&response.nonce));
        let covered = response_bytes(&response.noise_public_hex, &response.nonce);
        same && covered.is_some_and(|bytes| verify(signing_public, &bytes, &response.signature))
    }

    /// Reads the body.
    ///
    /// # Errors
    /// When a field is cut off, missing or double.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let (noise_public_hex, nonce, _) = decode(body)?;
        Ok(Self { noise_public_hex, nonce })
    }

    /// The body.
    ///
    /// # Errors
    /// When the key's text is longer than 255 bytes.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        encode(&self.noise_public_hex, &self.nonce, None)
    }
}

impl Response {
    /// Reads the body.
    ///
    /// # Errors
    /// When a field is cut off, missing or double.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let (noise_public_hex, nonce, signature) = decode(body)?;
        let signature = signature.ok_or(DecodeError::Missing("the signature"))?;
        Ok(Self { noise_public_hex, nonce, signature })
    }

    /// The body.
    ///
    /// # Errors
    /// When the key's text is longer than 255 bytes.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        encode(&self.noise_public_hex, &self.nonce, Some(&self.signature))
    }
}

fn response_bytes(noise_public_hex: &str, nonce: &[u8; 16]) -> Option<Vec<u8>> {
    let len = u8::try_from(noise_public_hex.len()).ok()?;
    Some([RESPONSE_CONTEXT, &[len], noise_public_hex.as_bytes(), nonce].concat())
}

type Parts = (String, [u8; 16], Option<[u8; 64]>);

fn decode(body: &[u8]) -> Result<Parts, DecodeError> {
    let (mut key, mut nonce, mut signature) = (None, None, None);
    let mut fields = Fields::new(body, Width::One);
    while let Some((kind, value)) = fields.next()? {
        match kind {
            1 => once(&mut key, text(value, "the Noise key")?.to_owned(), "the Noise key")?,
            2 => once(&mut nonce, exact(value, "the nonce")?, "the nonce")?,
            3 => once(&mut signature, exact(value, "the signature")?, "the signature")?,
            _ => {}
        }
    }
    let key = key.ok_or(DecodeError::Missing("the Noise key"))?;
    Ok((key, nonce.ok_or(DecodeError::Missing("the nonce"))?, signature))
}

fn encode(key: &str, nonce: &[u8; 16], signature: Option<&[u8; 64]>) -> Result<Vec<u8>, EncodeError> {
    let mut out = Writer::new(Width::One);
    out.field(1, key.as_bytes(), "the Noise key")?;
    out.field(2, nonce, "the nonce")?;
    if let Some(signature) = signature {
        out.field(3, signature, "the signature")?;
    }
    Ok(out.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_owner_answers() {
        let alice = Identity::from_bytes(&[1; 32], &[2; 32]);
        let mallory = Identity::from_bytes(&[3; 32], &[4; 32]);
        let challenge = Challenge::new(alice.noise_public(), [7; 16]);
        let response = challenge.answer(&alice).unwrap();
        assert!(challenge.accepts(&response, &alice.signing_public()));
        assert!(!challenge.accepts(&response, &mallory.signing_public()));
        assert_eq!(challenge.answer(&mallory), None);
        let other = Challenge { nonce: [8; 16], ..challenge.clone() };
        assert!(!other.accepts(&response, &alice.signing_public()), "an old answer");
        assert_eq!(Challenge::decode(&challenge.encode().unwrap()), Ok(challenge));
        assert_eq!(Response::decode(&response.encode().unwrap()), Ok(response));
    }
}
