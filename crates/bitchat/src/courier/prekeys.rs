//! One-time keys, given out in advance: a message to one of them can be read only until its private half is deleted.

use crate::error::{DecodeError, EncodeError, chunk, exact, fits};
use crate::identity::{Identity, verify};
use crate::tlv::{Fields, Width, Writer, once, put_len8};

/// The most keys of a bundle.
pub const MAX_PREKEYS: usize = 8;
const ENTRY_LEN: usize = 4 + 32;
const CONTEXT: &[u8] = b"bitchat-prekey-bundle-v1";

/// A one-time key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prekey {
    /// Its number.
    pub id: u32,
    /// Its public half, X25519.
    pub public: [u8; 32],
}

/// Somebody's one-time keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrekeyBundle {
    /// Whose they are: the static Noise key.
    pub noise_public: [u8; 32],
    /// The keys.
    pub prekeys: Vec<Prekey>,
    /// When the bundle was made, milliseconds since 1970.
    pub generated_at: u64,
    /// By the owner's signing key.
    pub signature: [u8; 64],
}

impl PrekeyBundle {
    /// The own bundle; `generated_at` in milliseconds since 1970.
    ///
    /// # Errors
    /// When there are too many keys.
    pub fn sign(identity: &Identity, prekeys: Vec<Prekey>, generated_at: u64) -> Result<Self, EncodeError> {
        let noise_public = *identity.noise_public();
        let mut bundle = Self { noise_public, prekeys, generated_at, signature: [0; 64] };
        bundle.signature = identity.sign(&bundle.signing_bytes()?);
        Ok(bundle)
    }

    /// Whether the owner of `signing_public` (an Ed25519 key) made it. That this key belongs to the Noise key in the
    /// bundle must be known from elsewhere: an announcement, or better a session.
    pub fn is_valid(&self, signing_public: &[u8; 32]) -> bool {
        self.signing_bytes().is_ok_and(|bytes| verify(signing_public, &bytes, &self.signature))
    }

    fn signing_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        fits("the bundle (in keys)", self.prekeys.len(), MAX_PREKEYS)?;
        let mut out = Vec::new();
        put_len8(&mut out, CONTEXT, "the context")?;
        out.extend_from_slice(&self.noise_public);
        out.push(self.prekeys.len() as u8);
        out.extend_from_slice(&self.entries());
        out.extend_from_slice(&self.generated_at.to_be_bytes());
        Ok(out)
    }

    fn entries(&self) -> Vec<u8> {
        let entry = |key: &Prekey| [&key.id.to_be_bytes()[..], &key.public].concat();
        self.prekeys.iter().flat_map(entry).collect()
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// When a field is cut off, missing, double or of another length, or there are too many keys.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let (mut noise, mut prekeys, mut generated_at, mut signature) = (None, None, None, None);
        let mut fields = Fields::new(payload, Width::Two);
        while let Some((kind, value)) = fields.next()? {
            match kind {
                1 => once(&mut noise, exact(value, "the Noise key")?, "the Noise key")?,
                2 => once(&mut prekeys, decode_entries(value)?, "the list of keys")?,
                3 => once(&mut generated_at, u64::from_be_bytes(exact(value, "the time")?), "the time")?,
                4 => once(&mut signature, exact(value, "the signature")?, "the signature")?,
                _ => {}
            }
        }
        Ok(Self {
            noise_public: noise.ok_or(DecodeError::Missing("the Noise key"))?,
            prekeys: prekeys.ok_or(DecodeError::Missing("the list of keys"))?,
            generated_at: generated_at.ok_or(DecodeError::Missing("the time"))?,
            signature: signature.ok_or(DecodeError::Missing("the signature"))?,
        })
    }

    /// The payload.
    ///
    /// # Errors
    /// When there are too many keys.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        fits("the bundle (in keys)", self.prekeys.len(), MAX_PREKEYS)?;
        let mut out = Writer::new(Width::Two);
        out.field(1, &self.noise_public, "the Noise key")?;
        out.field(2, &self.entries(), "the list of keys")?;
        out.field(3, &self.generated_at.to_be_bytes(), "the time")?;
        out.field(4, &self.signature, "the signature")?;
        Ok(out.finish())
    }
}

fn decode_entries(bytes: &[u8]) -> Result<Vec<Prekey>, DecodeError> {
    let what = "the list of keys";
    if !bytes.len().is_multiple_of(ENTRY_LEN) {
        return Err(DecodeError::Invalid { what, why: "not a whole number of keys" });
    }
    let len = bytes.len() / ENTRY_LEN;
    if len > MAX_PREKEYS {
        return Err(DecodeError::TooLong { what: "the list of keys (in keys)", len, max: MAX_PREKEYS });
    }
    let mut prekeys: Vec<Prekey> = Vec::with_capacity(len);
    let mut rest = bytes;
    while !rest.is_empty() {
        let (id, after) = chunk(rest, what)?;
        let (public, after) = chunk(after, what)?;
        let id = u32::from_be_bytes(*id);
        if prekeys.iter().any(|key| key.id == id) {
            return Err(DecodeError::Duplicate("a key's id"));
        }
        prekeys.push(Prekey { id, public: *public });
        rest = after;
    }
    Ok(prekeys)
}
