//! Who vouches for whom: attestations that a key was verified, passed on inside sessions.

use crate::error::{DecodeError, EncodeError, chunk, exact, fits};
use crate::identity::{Identity, verify};
use crate::peer::Fingerprint;
use crate::tlv::{Fields, Width, Writer, get_len16, once, put_len16};

/// The most attestations of one payload.
pub const MAX_BATCH: usize = 16;
/// How long an attestation holds, milliseconds: thirty days.
pub const VALIDITY_MS: u64 = 30 * 86_400_000;
/// How far it may be from the future, milliseconds: an hour.
pub const SKEW_MS: u64 = 3_600_000;

const CONTEXT: &[u8] = b"bitchat-vouch-v1";

/// Somebody says: I verified that this fingerprint and this signing key belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// Of the Noise key.
    pub fingerprint: Fingerprint,
    /// The Ed25519 key.
    pub signing_public: [u8; 32],
    /// When, milliseconds since 1970.
    pub timestamp: u64,
    /// By who vouches. Nothing in it says who that is: the session does.
    pub signature: [u8; 64],
}

impl Attestation {
    /// Vouches for somebody.
    pub fn sign(
        voucher: &Identity,
        fingerprint: Fingerprint,
        signing_public: [u8; 32],
        timestamp: u64,
    ) -> Self {
        let signature = voucher.sign(&covered(&fingerprint, &signing_public, timestamp));
        Self { fingerprint, signing_public, timestamp, signature }
    }

    /// Whether the owner of `voucher` (an Ed25519 key) made it, and it holds at `now` (milliseconds since 1970).
    pub fn is_valid(&self, voucher: &[u8; 32], now: u64) -> bool {
        let in_time = self.timestamp <= now.saturating_add(SKEW_MS)
            && now.saturating_sub(self.timestamp) <= VALIDITY_MS;
        let bytes = covered(&self.fingerprint, &self.signing_public, self.timestamp);
        in_time && verify(voucher, &bytes, &self.signature)
    }
}

fn covered(fingerprint: &Fingerprint, signing_public: &[u8; 32], timestamp: u64) -> Vec<u8> {
    [CONTEXT, &fingerprint.0, signing_public, &timestamp.to_be_bytes()].concat()
}

/// Reads a payload of attestations.
///
/// # Errors
/// When there are too many, or one is cut off or lacks a field.
pub fn decode(body: &[u8]) -> Result<Vec<Attestation>, DecodeError> {
    let (count, mut rest) = chunk::<1>(body, "the number of attestations")?;
    let count = usize::from(count[0]);
    if count > MAX_BATCH {
        return Err(DecodeError::TooLong { what: "the list of attestations", len: count, max: MAX_BATCH });
    }
    let mut attestations = Vec::with_capacity(count);
    for _ in 0..count {
        let (one, after) = get_len16(rest, "an attestation")?;
        attestations.push(decode_one(one)?);
        rest = after;
    }
    match rest.len() {
        0 => Ok(attestations),
        len => Err(DecodeError::Trailing { what: "the attestations", len }),
    }
}

fn decode_one(bytes: &[u8]) -> Result<Attestation, DecodeError> {
    let (mut fingerprint, mut key, mut timestamp, mut signature) = (None, None, None, None);
    let mut fields = Fields::new(bytes, Width::One);
    while let Some((kind, value)) = fields.next()? {
        match kind {
            1 => once(&mut fingerprint, Fingerprint(exact(value, "the fingerprint")?), "the fingerprint")?,
            2 => once(&mut key, exact(value, "the signing key")?, "the signing key")?,
            3 => once(&mut timestamp, u64::from_be_bytes(exact(value, "the time")?), "the time")?,
            4 => once(&mut signature, exact(value, "the signature")?, "the signature")?,
            _ => {}
        }
    }
    Ok(Attestation {
        fingerprint: fingerprint.ok_or(DecodeError::Missing("the fingerprint"))?,
        signing_public: key.ok_or(DecodeError::Missing("the signing key"))?,
        timestamp: timestamp.ok_or(DecodeError::Missing("the time"))?,
        signature: signature.ok_or(DecodeError::Missing("the signature"))?,
    })
}

/// A payload of attestations.
///
/// # Errors
/// When there are more than [`MAX_BATCH`].
pub fn encode(attestations: &[Attestation]) -> Result<Vec<u8>, EncodeError> {
    fits("the list of attestations", attestations.len(), MAX_BATCH)?;
    let mut out = vec![attestations.len() as u8];
    for a in attestations {
        let mut one = Writer::new(Width::One);
        one.field(1, &a.fingerprint.0, "the fingerprint")?;
        one.field(2, &a.signing_public, "the signing key")?;
        one.field(3, &a.timestamp.to_be_bytes(), "the time")?;
        one.field(4, &a.signature, "the signature")?;
        put_len16(&mut out, &one.finish(), "an attestation")?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attestations_are_of_one_voucher_and_for_a_month() {
        let voucher = Identity::from_bytes(&[1; 32], &[2; 32]);
        let friend = Identity::from_bytes(&[3; 32], &[4; 32]);
        let at = 1_750_000_000_123;
        let one = Attestation::sign(&voucher, friend.fingerprint(), friend.signing_public(), at);
        let read = decode(&encode(std::slice::from_ref(&one)).unwrap()).unwrap();
        assert_eq!(read, std::slice::from_ref(&one));
        let key = voucher.signing_public();
        assert!(
            one.is_valid(&key, at)
                && one.is_valid(&key, at - SKEW_MS)
                && one.is_valid(&key, at + VALIDITY_MS)
        );
        assert!(!one.is_valid(&key, at - SKEW_MS - 1) && !one.is_valid(&key, at + VALIDITY_MS + 1));
        assert!(!one.is_valid(&friend.signing_public(), at));
        let other = Attestation { signing_public: [9; 32], ..one.clone() };
        assert!(!other.is_valid(&key, at));
        assert!(encode(&vec![one; 17]).is_err());
        assert!(decode(&[17]).is_err() && decode(&[1]).is_err() && decode(&[0, 0]).is_err());
    }
}
