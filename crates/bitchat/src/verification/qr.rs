//! The code that one shows and the other scans.

use crate::error::EncodeError;
use crate::error::fits;
use crate::identity::{Identity, verify};
use crate::tlv::put_len8;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt::Write;

/// How long a code may be used, seconds.
pub const VALIDITY_S: u64 = 300;
/// The longest text that is read.
pub const MAX_TEXT: usize = 2_048;

const CONTEXT: &[u8] = b"bitchat-verify-v1";
const PREFIX: &str = "bitchat://verify?";

/// Why a code is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QrError {
    /// Not such a code at all.
    #[error("this is no bitchat verification code: it should begin with {PREFIX}")]
    NotACode,
    /// A field is missing, comes twice or cannot be read.
    #[error("the code's field {0:?} is missing, comes twice or cannot be read")]
    Field(&'static str),
    /// A version that nobody speaks.
    #[error("the code is of an unknown version")]
    Version,
    /// Too old, or from the future.
    #[error("the code was made {0} s from now; it holds for {VALIDITY_S} s: show a new one")]
    Expired(u64),
    /// Somebody changed it.
    #[error("the code's signature is wrong")]
    Signature,
}

/// What such a code says. Text and signature are made by [`sign`](Self::sign).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QrCode {
    /// The Noise key.
    pub noise_public: [u8; 32],
    /// The Ed25519 key.
    pub signing_public: [u8; 32],
    /// The Nostr key, if there is one.
    pub npub: Option<String>,
    /// What its owner calls themselves.
    pub nickname: String,
    /// When it was made, seconds since 1970.
    pub timestamp: u64,
    /// What makes it different from the last.
    pub nonce: [u8; 16],
}

impl QrCode {
    /// The own code; `timestamp` in seconds since 1970.
    pub fn new(identity: &Identity, nickname: &str, timestamp: u64, nonce: [u8; 16]) -> Self {
        Self {
            noise_public: *identity.noise_public(),
            signing_public: identity.signing_public(),
            npub: None,
            nickname: nickname.into(),
            timestamp,
            nonce,
        }
    }

    /// The bytes that are signed.
    ///
    /// # Errors
    /// When a text is longer than 255 bytes.
    pub fn signing_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        put_len8(&mut out, CONTEXT, "the context")?;
        put_len8(&mut out, b"1", "the version")?;
        put_len8(&mut out, hex::encode(self.noise_public).as_bytes(), "the Noise key")?;
        put_len8(&mut out, hex::encode(self.signing_public).as_bytes(), "the signing key")?;
        put_len8(&mut out, self.npub.as_deref().unwrap_or_default().as_bytes(), "the Nostr key")?;
        put_len8(&mut out, self.nickname.as_bytes(), "the nickname")?;
        put_len8(&mut out, self.timestamp.to_string().as_bytes(), "the time")?;
        put_len8(&mut out, URL_SAFE_NO_PAD.encode(self.nonce).as_bytes(), "the nonce")?;
        Ok(out)
    }

    /// The code's text, signed by its owner.
    ///
    /// # Errors
    /// When a text is too long.
    pub fn sign(&self, identity: &Identity) -> Result<String, EncodeError> {
        let signature = identity.sign(&self.signing_bytes()?);
        let mut text = format!(
            "{PREFIX}v=1&noise={}&sign={}&nick={}&ts={}&nonce={}&sig={}",
            hex::encode(self.noise_public),
            hex::encode(self.signing_public),
            percent_encode(&self.nickname),
            self.timestamp,
            URL_SAFE_NO_PAD.encode(self.nonce),
            hex::encode(signature),
        );
        if let Some(npub) = &self.npub {
            text.push_str("&npub=");
            text.push_str(&percent_encode(npub));
        }
        fits("the code", text.len(), MAX_TEXT)?;
        Ok(text)
    }

    /// Reads a scanned code and checks it; `now` in seconds since 1970.
    ///
    /// # Errors
    /// When it is no code, damaged, too old, or not signed by the key in it.
    pub fn read(text: &str, now: u64) -> Result<Self, QrError> {
        let (code, signature) = Self::parse(text)?;
        let bytes = code.signing_bytes().map_err(|_| QrError::Field("nick"))?;
        if !verify(&code.signing_public, &bytes, &signature) {
            return Err(QrError::Signature);
        }
        match code.timestamp.abs_diff(now) {
            age if age > VALIDITY_S => Err(QrError::Expired(age)),
            _ => Ok(code),
        }
    }

    /// Reads a code without believing it. Also returns its signature.
    ///
    /// # Errors
    /// When it is no code, or a field is missing or damaged.
    pub fn parse(text: &str) -> Result<(Self, [u8; 64]), QrError> {
        let text = text.trim();
        let query = text.strip_prefix(PREFIX).filter(|_| text.len() <= MAX_TEXT).ok_or(QrError::NotACode)?;
        let field = |name: &'static str| {
            let mut found =
                query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(n, _)| *n == name);
            match (found.next(), found.next()) {
                (Some((_, value)), None) => Ok(value),
                _ => Err(QrError::Field(name)),
            }
        };
        if field("v")? != "1" {
            return Err(QrError::Version);
        }
        let key = |name: &'static str| -> Result<[u8; 32], QrError> {
            let mut key = [0; 32];
            hex::decode_to_slice(field(name)?, &mut key).map_err(|_| QrError::Field(name))?;
            Ok(key)
        };
        let mut signature = [0; 64];
        hex::decode_to_slice(field("sig")?, &mut signature).map_err(|_| QrError::Field("sig"))?;
        let nonce = URL_SAFE_NO_PAD.decode(field("nonce")?).ok().and_then(|n| n.try_into().ok());
        let npub = match field("npub") {
            Ok(npub) => Some(percent_decode(npub).ok_or(QrError::Field("npub"))?),
            Err(_) if query.contains("npub=") => return Err(QrError::Field("npub")),
            Err(_) => None,
        };
        let code = Self {
            noise_public: key("noise")?,
            signing_public: key("sign")?,
            npub: npub.filter(|npub| !npub.is_empty()),
            nickname: percent_decode(field("nick")?).ok_or(QrError::Field("nick"))?,
            timestamp: field("ts")?.parse().map_err(|_| QrError::Field("ts"))?,
            nonce: nonce.ok_or(QrError::Field("nonce"))?,
        };
        Ok((code, signature))
    }
}

fn percent_encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        if *byte == b'%' {
            let (digits, after) = after.split_first_chunk::<2>()?;
            out.extend(hex::decode(digits).ok()?);
            rest = after;
        } else {
            out.push(*byte);
            rest = after;
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> (Identity, String) {
        let alice = Identity::from_bytes(&[1; 32], &[2; 32]);
        let mut code = QrCode::new(&alice, "Zoë & co=100%", 1_000_000, [9; 16]);
        code.npub = Some("npub1xyz".into());
        let text = code.sign(&alice).unwrap();
        (alice, text)
    }

    #[test]
    fn codes_hold_for_five_minutes() {
        let (alice, text) = code();
        let read = QrCode::read(&text, 1_000_300).unwrap();
        assert_eq!(read.nickname, "Zoë & co=100%");
        assert_eq!(read.noise_public, *alice.noise_public());
        assert_eq!(read.npub.as_deref(), Some("npub1xyz"));
        assert_eq!(QrCode::read(&text, 1_000_301), Err(QrError::Expired(301)));
    }

    #[test]
    fn changed_codes_are_refused() {
        let (_, text) = code();
        let other = hex::encode([3; 32]);
        let noise = hex::encode(Identity::from_bytes(&[1; 32], &[2; 32]).noise_public());
        assert_eq!(QrCode::read(&text.replace(&noise, &other), 1_000_000), Err(QrError::Signature));
        assert_eq!(QrCode::read(&text.replace("npub1xyz", "npub1xyy"), 1_000_000), Err(QrError::Signature));
        assert_eq!(QrCode::read(&text.replace("v=1", "v=2"), 1_000_000), Err(QrError::Version));
        assert_eq!(QrCode::read(&format!("{text}&ts=1"), 1_000_000), Err(QrError::Field("ts")));
        assert_eq!(QrCode::read(&format!("{text}&npub=x"), 1_000_000), Err(QrError::Field("npub")));
        assert_eq!(QrCode::read("https://example.org", 1_000_000), Err(QrError::NotACode));
        assert_eq!(QrCode::read(&text.replace("%26", "%2"), 1_000_000), Err(QrError::Field("nick")));
    }
}
