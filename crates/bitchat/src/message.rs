//! Public text, and the words of somebody who goes.

mod legacy;

pub use legacy::LegacyMessage;

use crate::error::{DecodeError, text};
use crate::peer::PeerId;
use sha2::{Digest, Sha256};

/// The longest public message, in characters.
pub const MAX_CHARACTERS: usize = 60_000;
/// How old a public message may be that comes in answer to a sync request: six hours, in milliseconds.
pub const MAX_AGE_MS: u64 = 6 * 3_600_000;

/// Reads a public message: its payload is the text.
///
/// # Errors
/// When it is not UTF-8, or too long.
pub fn public_text(payload: &[u8]) -> Result<&str, DecodeError> {
    let text = text(payload, "the message")?;
    // Each character takes at least a byte, so counting is rarely needed.
    let len = if text.len() > MAX_CHARACTERS { text.chars().count() } else { 0 };
    if len > MAX_CHARACTERS {
        return Err(DecodeError::TooLong { what: "the message (in characters)", len, max: MAX_CHARACTERS });
    }
    Ok(text)
}

/// The name under which the apps know a public message again, whichever way it came: 32 hexadecimal digits.
/// `timestamp` in milliseconds since 1970.
pub fn stable_id(sender: PeerId, timestamp: u64, text: &str) -> String {
    let mut id = hex::encode(Sha256::digest(format!("{sender}|{timestamp}|{}", text.trim())));
    id.truncate(32);
    id
}

/// What a `leave` says: somebody goes, or only leaves a channel (one of the apps names it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave<'a> {
    /// Goes altogether.
    Mesh,
    /// Leaves the channel of this name, which begins with `#`.
    Channel(&'a str),
}

impl<'a> Leave<'a> {
    /// Reads the payload.
    ///
    /// # Errors
    /// When it is neither empty nor a channel's name.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        match payload {
            [] => Ok(Self::Mesh),
            [b'#', _, ..] => text(payload, "the channel").map(Self::Channel),
            _ => Err(DecodeError::Invalid { what: "the leave", why: "neither empty nor a channel's name" }),
        }
    }

    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Mesh => Vec::new(),
            Self::Channel(name) => name.as_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_id_as_published() {
        let sender: PeerId = "0011223344556677".parse().unwrap();
        assert_eq!(stable_id(sender, 1_750_000_000_123, "hello mesh"), "b83f94d81dcdd1b0c0048f6645995dd4");
        let spaced = stable_id(sender, 1_750_000_000_123, " hello mesh\n");
        assert_eq!(spaced, "b83f94d81dcdd1b0c0048f6645995dd4");
    }

    #[test]
    fn texts_have_a_limit() {
        assert_eq!(public_text("é".repeat(MAX_CHARACTERS).as_bytes()).map(str::len), Ok(2 * MAX_CHARACTERS));
        assert!(public_text(&[b'a'; MAX_CHARACTERS + 1]).is_err());
        assert_eq!(public_text(&[0xff]), Err(DecodeError::Utf8("the message")));
    }

    #[test]
    fn leaving() {
        assert_eq!(Leave::decode(b""), Ok(Leave::Mesh));
        assert_eq!(Leave::decode(b"#a"), Ok(Leave::Channel("#a")));
        assert_eq!(Leave::Channel("#a").encode(), b"#a");
        assert!(Leave::decode(b"#").is_err() && Leave::decode(b"a").is_err());
    }
}
