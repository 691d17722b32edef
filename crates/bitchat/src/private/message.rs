//! A text for one person.

use crate::error::{DecodeError, EncodeError, text};
use crate::tlv::{Fields, Width, Writer, once};

/// The longest content, bytes: its length is one byte. Longer texts are [split](split_text).
pub const MAX_CONTENT: usize = 255;

const FAVORITED: &str = "[FAVORITED]:";
const UNFAVORITED: &str = "[UNFAVORITED]:";

/// A text with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateMessage<'a> {
    /// What receipts name: normally a UUID in upper case.
    pub id: &'a str,
    /// The text.
    pub content: &'a str,
}

impl<'a> PrivateMessage<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When a field is cut off, missing or double, or not UTF-8.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let (mut id, mut content) = (None, None);
        let mut fields = Fields::new(body, Width::One);
        while let Some((kind, value)) = fields.next()? {
            match kind {
                0 => once(&mut id, text(value, "the message's id")?, "the message's id")?,
                1 => once(&mut content, text(value, "the message")?, "the message")?,
                _ => {}
            }
        }
        Ok(Self {
            id: id.ok_or(DecodeError::Missing("the message's id"))?,
            content: content.ok_or(DecodeError::Missing("the message"))?,
        })
    }

    /// The body.
    ///
    /// # Errors
    /// When the id or the content is longer than [`MAX_CONTENT`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Writer::new(Width::One);
        out.field(0, self.id.as_bytes(), "the message's id")?;
        out.field(1, self.content.as_bytes(), "the message")?;
        Ok(out.finish())
    }

    /// Whether the text says that the sender made the receiver a favourite, or no longer, and with which Nostr key (which
    /// may be empty).
    pub fn favourite(&self) -> Option<(bool, &'a str)> {
        let yes = self.content.strip_prefix(FAVORITED).map(|key| (true, key));
        yes.or_else(|| self.content.strip_prefix(UNFAVORITED).map(|key| (false, key)))
    }
}

/// Cuts a text into contents of messages, between characters, and after a space or a line's end where there is one in the
/// second half.
pub fn split_text(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while rest.len() > MAX_CONTENT {
        let end = rest.floor_char_boundary(MAX_CONTENT);
        let space = rest[..end].rfind([' ', '\n']).map(|at| at + 1).filter(|at| *at > MAX_CONTENT / 2);
        let (part, after) = rest.split_at(space.unwrap_or(end));
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}
