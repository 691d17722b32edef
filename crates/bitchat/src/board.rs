//! Notices that stay for up to a week, and their withdrawal.

use crate::error::{DecodeError, EncodeError, exact, fits, text};
use crate::identity::{Identity, verify};
use crate::tlv::{Fields, Width, Writer, once, put_len8, put_len16};

/// The longest notice, bytes.
pub const MAX_CONTENT: usize = 512;
/// The longest nickname, bytes.
pub const MAX_NICKNAME: usize = 64;
/// The longest geohash.
pub const MAX_GEOHASH: usize = 12;
/// How long a notice may stay, milliseconds.
pub const MAX_LIFE_MS: u64 = 7 * 86_400_000;

const POST_CONTEXT: &[u8] = b"bitchat-board-v1";
const TOMBSTONE_CONTEXT: &[u8] = b"bitchat-board-del-v1";
const URGENT: u8 = 1;

/// What happens on the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoardEntry {
    /// A notice.
    Post(BoardPost),
    /// A notice is withdrawn.
    Tombstone(Tombstone),
}

/// A notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardPost {
    /// Its name.
    pub post_id: [u8; 16],
    /// Where it belongs; empty for who is near.
    pub geohash: String,
    /// The text.
    pub content: String,
    /// The author's Ed25519 key.
    pub author: [u8; 32],
    /// What the author calls themselves.
    pub nickname: String,
    /// When it was made, milliseconds since 1970.
    pub created_at: u64,
    /// When it ends, milliseconds since 1970.
    pub expires_at: u64,
    /// Bit 0: urgent.
    pub flags: u8,
    /// The author's.
    pub signature: [u8; 64],
}

/// The withdrawal of a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// Which.
    pub post_id: [u8; 16],
    /// The author's Ed25519 key.
    pub author: [u8; 32],
    /// When, milliseconds since 1970.
    pub deleted_at: u64,
    /// The author's.
    pub signature: [u8; 64],
}

impl BoardPost {
    /// Whether it goes as far as an announcement.
    pub fn is_urgent(&self) -> bool {
        self.flags & URGENT != 0
    }

    /// Signs it. The signature in it is replaced.
    ///
    /// # Errors
    /// When a text is too long.
    pub fn sign(mut self, author: &Identity) -> Result<Self, EncodeError> {
        self.signature = author.sign(&self.signing_bytes()?);
        Ok(self)
    }

    /// Whether the author signed it, and its times are possible at `now` (milliseconds since 1970).
    pub fn is_valid(&self, now: u64) -> bool {
        let life = self.expires_at.checked_sub(self.created_at);
        let in_time = life.is_some_and(|life| life <= MAX_LIFE_MS) && now < self.expires_at;
        in_time && self.signing_bytes().is_ok_and(|bytes| verify(&self.author, &bytes, &self.signature))
    }

    fn signing_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        put_len8(&mut out, POST_CONTEXT, "the context")?;
        out.extend_from_slice(&self.post_id);
        put_len16(&mut out, self.geohash.as_bytes(), "the geohash")?;
        put_len16(&mut out, self.content.as_bytes(), "the notice")?;
        out.extend_from_slice(&self.author);
        put_len16(&mut out, self.nickname.as_bytes(), "the nickname")?;
        out.extend_from_slice(&self.created_at.to_be_bytes());
        out.extend_from_slice(&self.expires_at.to_be_bytes());
        out.push(self.flags);
        Ok(out)
    }
}

impl Tombstone {
    /// Withdraws a notice; `deleted_at` in milliseconds since 1970.
    pub fn sign(author: &Identity, post_id: [u8; 16], deleted_at: u64) -> Self {
        let mut tombstone = Self { post_id, author: author.signing_public(), deleted_at, signature: [0; 64] };
        tombstone.signature = author.sign(&tombstone.signing_bytes());
        tombstone
    }

    /// Whether the author signed it. Whether that is the notice's author is for who keeps both to see.
    pub fn is_valid(&self) -> bool {
        verify(&self.author, &self.signing_bytes(), &self.signature)
    }

    fn signing_bytes(&self) -> Vec<u8> {
        let len = [TOMBSTONE_CONTEXT.len() as u8];
        [&len, TOMBSTONE_CONTEXT, &self.post_id, &self.deleted_at.to_be_bytes()].concat()
    }
}

impl BoardEntry {
    /// Reads the payload.
    ///
    /// # Errors
    /// When a field is cut off, missing, double or too long.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut f = Parts::default();
        let mut fields = Fields::new(payload, Width::Two);
        while let Some((kind, value)) = fields.next()? {
            let number = |what| exact(value, what).map(u64::from_be_bytes);
            match kind {
                1 => once(&mut f.kind, exact(value, "the kind")?, "the kind")?,
                2 => once(&mut f.post_id, exact(value, "the notice's id")?, "the notice's id")?,
                3 => once(&mut f.geohash, short(value, "the geohash", MAX_GEOHASH)?, "the geohash")?,
                4 => once(&mut f.content, short(value, "the notice", MAX_CONTENT)?, "the notice")?,
                5 => once(&mut f.author, exact(value, "the author's key")?, "the author's key")?,
                6 => once(&mut f.nickname, short(value, "the nickname", MAX_NICKNAME)?, "the nickname")?,
                7 => once(&mut f.created_at, number("the time")?, "the time")?,
                8 => once(&mut f.expires_at, number("the end")?, "the end")?,
                9 => once(&mut f.flags, exact(value, "the flags")?, "the flags")?,
                10 => once(&mut f.signature, exact(value, "the signature")?, "the signature")?,
                11 => once(&mut f.deleted_at, number("the time")?, "the time")?,
                _ => {}
            }
        }
        let post_id = f.post_id.ok_or(DecodeError::Missing("the notice's id"))?;
        let author = f.author.ok_or(DecodeError::Missing("the author's key"))?;
        let signature = f.signature.ok_or(DecodeError::Missing("the signature"))?;
        match f.kind.ok_or(DecodeError::Missing("the kind"))? {
            [1] => Ok(Self::Post(BoardPost {
                post_id,
                geohash: f.geohash.unwrap_or_default(),
                content: f.content.filter(|c| !c.is_empty()).ok_or(DecodeError::Missing("the notice"))?,
                author,
                nickname: f.nickname.unwrap_or_default(),
                created_at: f.created_at.ok_or(DecodeError::Missing("the time"))?,
                expires_at: f.expires_at.ok_or(DecodeError::Missing("the end"))?,
                flags: f.flags.map_or(0, |[flags]| flags),
                signature,
            })),
            [2] => {
                let deleted_at = f.deleted_at.ok_or(DecodeError::Missing("the time"))?;
                Ok(Self::Tombstone(Tombstone { post_id, author, deleted_at, signature }))
            }
            _ => Err(DecodeError::Invalid { what: "the kind", why: "neither notice nor withdrawal" }),
        }
    }

    /// The payload.
    ///
    /// # Errors
    /// When a text is too long.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Writer::new(Width::Two);
        match self {
            Self::Post(post) => {
                fits("the geohash", post.geohash.len(), MAX_GEOHASH)?;
                fits("the notice", post.content.len(), MAX_CONTENT)?;
                fits("the nickname", post.nickname.len(), MAX_NICKNAME)?;
                out.field(1, &[1], "the kind")?;
                out.field(2, &post.post_id, "the notice's id")?;
                out.field(3, post.geohash.as_bytes(), "the geohash")?;
                out.field(4, post.content.as_bytes(), "the notice")?;
                out.field(5, &post.author, "the author's key")?;
                out.field(6, post.nickname.as_bytes(), "the nickname")?;
                out.field(7, &post.created_at.to_be_bytes(), "the time")?;
                out.field(8, &post.expires_at.to_be_bytes(), "the end")?;
                out.field(9, &[post.flags], "the flags")?;
                out.field(10, &post.signature, "the signature")?;
            }
            Self::Tombstone(tombstone) => {
                out.field(1, &[2], "the kind")?;
                out.field(2, &tombstone.post_id, "the notice's id")?;
                out.field(5, &tombstone.author, "the author's key")?;
                out.field(11, &tombstone.deleted_at.to_be_bytes(), "the time")?;
                out.field(10, &tombstone.signature, "the signature")?;
            }
        }
        Ok(out.finish())
    }
}

#[derive(Default)]
struct Parts {
    kind: Option<[u8; 1]>,
    post_id: Option<[u8; 16]>,
    geohash: Option<String>,
    content: Option<String>,
    author: Option<[u8; 32]>,
    nickname: Option<String>,
    created_at: Option<u64>,
    expires_at: Option<u64>,
    flags: Option<[u8; 1]>,
    signature: Option<[u8; 64]>,
    deleted_at: Option<u64>,
}

fn short(value: &[u8], what: &'static str, max: usize) -> Result<String, DecodeError> {
    match value.len() {
        len if len > max => Err(DecodeError::TooLong { what, len, max }),
        _ => text(value, what).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_signed_and_end() {
        let author = Identity::from_bytes(&[1; 32], &[2; 32]);
        let post = BoardPost {
            post_id: [7; 16],
            geohash: "u33d".into(),
            content: "water at the gate".into(),
            author: author.signing_public(),
            nickname: "ann".into(),
            created_at: 1_000,
            expires_at: 1_000 + MAX_LIFE_MS,
            flags: 1,
            signature: [0; 64],
        };
        let post = post.sign(&author).unwrap();
        assert!(post.is_urgent() && post.is_valid(2_000) && !post.is_valid(1_000 + MAX_LIFE_MS));
        assert!(!BoardPost { content: "no water".into(), ..post.clone() }.is_valid(2_000));
        let long = BoardPost { expires_at: post.expires_at + 1, ..post.clone() }.sign(&author).unwrap();
        assert!(!long.is_valid(2_000));
        let entry = BoardEntry::Post(post);
        assert_eq!(BoardEntry::decode(&entry.encode().unwrap()), Ok(entry));

        let tombstone = Tombstone::sign(&author, [7; 16], 5_000);
        assert!(tombstone.is_valid() && !Tombstone { deleted_at: 5_001, ..tombstone.clone() }.is_valid());
        let entry = BoardEntry::Tombstone(tombstone);
        assert_eq!(BoardEntry::decode(&entry.encode().unwrap()), Ok(entry));
    }
}
