//! What couriers carry.

use crate::error::{DecodeError, EncodeError, exact, fits};
use crate::identity;
use crate::tlv::{Fields, Width, Writer, once};
use subtle::ConstantTimeEq;

/// Bytes of a tag.
pub const TAG_LEN: usize = 16;
/// How long an envelope may be carried, milliseconds.
pub const MAX_LIFE_MS: u64 = 24 * 3_600_000;
/// How much longer it may claim because clocks differ, milliseconds.
pub const SLACK_MS: u64 = 3_600_000;
/// The longest ciphertext, bytes.
pub const MAX_CIPHERTEXT: usize = 16 << 10;
/// The most copies that one envelope stands for.
pub const MAX_COPIES: u8 = 8;
/// The copies that its sender gives it.
pub const INITIAL_COPIES: u8 = 4;

const TAG_CONTEXT: &[u8] = b"bitchat-courier-tag-v1";

/// A sealed message with what couriers need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Whom it is for, on one day: see [`tag`].
    pub tag: [u8; TAG_LEN],
    /// Until when it is carried, milliseconds since 1970.
    pub expiry: u64,
    /// The sealed message.
    pub ciphertext: &'a [u8],
    /// How many copies it stands for; 1 if nothing is said.
    pub copies: Option<u8>,
    /// The one-time key that it is sealed to, if it is.
    pub prekey_id: Option<u32>,
}

/// The day of a time: days since 1970, UTC.
pub fn utc_day(now_ms: u64) -> u32 {
    u32::try_from(now_ms / 86_400_000).unwrap_or(u32::MAX)
}

/// How envelopes for the owner of a static Noise key are marked on a day.
pub fn tag(noise_public: &[u8; 32], day: u32) -> [u8; TAG_LEN] {
    let mut tag = [0; TAG_LEN];
    let mac = identity::hmac_sha256(noise_public, &[TAG_CONTEXT, &day.to_be_bytes()]);
    tag.copy_from_slice(&mac[..TAG_LEN]);
    tag
}

impl<'a> Envelope<'a> {
    /// Reads the payload.
    ///
    /// # Errors
    /// When a field is cut off, missing, double, too long or out of its range.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let (mut tag, mut expiry, mut ciphertext, mut copies, mut prekey) = (None, None, None, None, None);
        let mut fields = Fields::new(payload, Width::Two);
        while let Some((kind, value)) = fields.next()? {
            match kind {
                1 => once(&mut tag, exact(value, "the tag")?, "the tag")?,
                2 => once(&mut expiry, u64::from_be_bytes(exact(value, "the expiry")?), "the expiry")?,
                3 => once(&mut ciphertext, value, "the ciphertext")?,
                4 => {
                    let [n] = exact(value, "the number of copies")?;
                    if n == 0 || n > MAX_COPIES {
                        return Err(DecodeError::Invalid { what: "the number of copies", why: "not 1 to 8" });
                    }
                    once(&mut copies, n, "the number of copies")?;
                }
                5 => once(
                    &mut prekey,
                    u32::from_be_bytes(exact(value, "the one-time key's id")?),
                    "the key's id",
                )?,
                _ => {}
            }
        }
        let ciphertext = ciphertext.ok_or(DecodeError::Missing("the ciphertext"))?;
        if ciphertext.len() > MAX_CIPHERTEXT {
            let len = ciphertext.len();
            return Err(DecodeError::TooLong { what: "the ciphertext", len, max: MAX_CIPHERTEXT });
        }
        Ok(Self {
            tag: tag.ok_or(DecodeError::Missing("the tag"))?,
            expiry: expiry.ok_or(DecodeError::Missing("the expiry"))?,
            ciphertext,
            copies,
            prekey_id: prekey,
        })
    }

    /// The payload.
    ///
    /// # Errors
    /// When the ciphertext is too long, or there are no or too many copies.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        fits("the ciphertext", self.ciphertext.len(), MAX_CIPHERTEXT)?;
        let mut out = Writer::new(Width::Two);
        out.field(1, &self.tag, "the tag")?;
        out.field(2, &self.expiry.to_be_bytes(), "the expiry")?;
        out.field(3, self.ciphertext, "the ciphertext")?;
        if let Some(copies) = self.copies {
            if copies == 0 || copies > MAX_COPIES {
                return Err(EncodeError::Invalid { what: "the number of copies", why: "not 1 to 8" });
            }
            out.field(4, &[copies], "the number of copies")?;
        }
        if let Some(id) = self.prekey_id {
            out.field(5, &id.to_be_bytes(), "the one-time key's id")?;
        }
        Ok(out.finish())
    }

    /// Whether it may be carried at `now` (milliseconds since 1970): it has not ended, and does not claim to last too
    /// long.
    pub fn is_current(&self, now: u64) -> bool {
        now < self.expiry && self.expiry - now <= MAX_LIFE_MS + SLACK_MS
    }

    /// Whether it is for the owner of this key. Days are tried around `now` (milliseconds since 1970).
    pub fn is_for(&self, noise_public: &[u8; 32], now: u64) -> bool {
        let day = utc_day(now);
        let days = [day.saturating_sub(1), day, day.saturating_add(1)];
        days.into_iter().any(|day| bool::from(tag(noise_public, day).ct_eq(&self.tag)))
    }

    /// Gives half of the copies to another courier: what stays, and what goes. `None` if there is one copy only, which is
    /// for the receiver.
    pub fn split(&self) -> Option<(Self, Self)> {
        let copies = self.copies.unwrap_or(1);
        let gone = copies / 2;
        let with = |n| Self { copies: Some(n), ..*self };
        (gone > 0).then(|| (with(copies - gone), with(gone)))
    }
}
