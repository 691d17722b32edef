//! What a peer says of itself right after a handshake, where nobody else could have said it.

use crate::capabilities::Capabilities;
use crate::error::{DecodeError, EncodeError, chunk, exact};
use crate::tlv::{Fields, Width, Writer, once};

const VERSION: u8 = 1;

/// Capabilities and signing key, authenticated by the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerState {
    /// What the peer can do.
    pub capabilities: Capabilities,
    /// Its Ed25519 key: it wins over one that was merely announced.
    pub signing_public: [u8; 32],
}

impl PeerState {
    /// Reads the body. It has one form only, since it is a promise.
    ///
    /// # Errors
    /// When the version is another, a field is missing, double, or not in its shortest form.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let (version, rest) = chunk::<1>(body, "the peer state")?;
        if version[0] != VERSION {
            return Err(DecodeError::Invalid { what: "the peer state", why: "of another version than 1" });
        }
        let (mut capabilities, mut signing) = (None, None);
        let mut fields = Fields::new(rest, Width::One);
        while let Some((kind, value)) = fields.next()? {
            match kind {
                1 => once(&mut capabilities, Capabilities::decode_minimal(value)?, "the capabilities")?,
                2 => once(&mut signing, exact(value, "the signing key")?, "the signing key")?,
                _ => {}
            }
        }
        Ok(Self {
            capabilities: capabilities.ok_or(DecodeError::Missing("the capabilities"))?,
            signing_public: signing.ok_or(DecodeError::Missing("the signing key"))?,
        })
    }

    /// The body.
    ///
    /// # Errors
    /// None in practice: all fields are short.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Writer::new(Width::One);
        out.field(1, &self.capabilities.encode(), "the capabilities")?;
        out.field(2, &self.signing_public, "the signing key")?;
        Ok([&[VERSION][..], &out.finish()].concat())
    }
}
