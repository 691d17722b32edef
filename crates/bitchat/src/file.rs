//! Files: for everybody in a packet of their own, for one person inside a Noise session.

use crate::error::{DecodeError, EncodeError, chunk, fits, take, text};
use crate::peer::PeerId;
use crate::tlv::{once, put_len16};
use sha2::{Digest, Sha256};

/// The largest file.
pub const MAX_CONTENT: usize = 1 << 20;
/// How far the apps' screens go with pictures and voice.
pub const MAX_MEDIA: usize = 512 << 10;

/// A file in its fields. Name and type are a stranger's words: see [`safe_name`](Self::safe_name) and
/// [`check`](Self::check).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File<'a> {
    /// Its name, if it has one.
    pub name: Option<&'a str>,
    /// How large it says it is, bytes.
    pub size: Option<u64>,
    /// Its MIME type.
    pub mime: Option<&'a str>,
    /// What is in it.
    pub content: &'a [u8],
}

/// A file that should not be shown or stored as what it says it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Larger than [`MAX_CONTENT`].
    #[error("the file has {0} bytes; at most {MAX_CONTENT} are taken")]
    TooLarge(usize),
    /// It says another size than it has.
    #[error("the file says {said} bytes and has {actual}")]
    Size {
        /// What it says.
        said: u64,
        /// What it has.
        actual: usize,
    },
    /// Of a type that the apps do not take.
    #[error("files of the type {0:?} are not taken")]
    Type(String),
    /// The content begins otherwise than files of its type.
    #[error("the content is not of the type {0:?}")]
    Content(String),
}

impl<'a> File<'a> {
    /// Reads a file's payload.
    ///
    /// # Errors
    /// When fields are cut off or missing.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let (mut name, mut size, mut mime, mut content) = (None, None, None, None);
        let mut rest = payload;
        while let Some((kind, after)) = rest.split_first() {
            // Only the content has a length of four bytes.
            let (len, after) = match kind {
                4 => chunk(after, "a field's length").map(|(n, r)| (u32::from_be_bytes(*n) as usize, r))?,
                _ => {
                    let (n, r) = chunk(after, "a field's length")?;
                    (usize::from(u16::from_be_bytes(*n)), r)
                }
            };
            let (value, after) = take(after, len, "a field")?;
            rest = after;
            match kind {
                1 => once(&mut name, text(value, "the file's name")?, "the file's name")?,
                2 => once(&mut size, number(value)?, "the file's size")?,
                3 => once(&mut mime, text(value, "the file's type")?, "the file's type")?,
                4 => once(&mut content, value, "the file's content")?,
                _ => {}
            }
        }
        let content = content.ok_or(DecodeError::Missing("the file's content"))?;
        Ok(Self { name, size, mime, content })
    }

    /// The payload.
    ///
    /// # Errors
    /// When the content is larger than [`MAX_CONTENT`], or a field is too long for its length.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        fits("the file", self.content.len(), MAX_CONTENT)?;
        let mut out = Vec::with_capacity(self.content.len() + 64);
        let mut field = |kind: u8, value: &[u8], what: &'static str| {
            out.push(kind);
            put_len16(&mut out, value, what)
        };
        if let Some(name) = self.name {
            field(1, name.as_bytes(), "the file's name")?;
        }
        match self.size {
            Some(size) if size > u64::from(u32::MAX) => field(2, &size.to_be_bytes(), "the file's size")?,
            Some(size) => field(2, &(size as u32).to_be_bytes(), "the file's size")?,
            None => {}
        }
        if let Some(mime) = self.mime {
            field(3, mime.as_bytes(), "the file's type")?;
        }
        out.push(4);
        out.extend_from_slice(&(self.content.len() as u32).to_be_bytes());
        out.extend_from_slice(self.content);
        Ok(out)
    }

    /// Whether it is what the iPhone app takes: not too large, of a type that it knows, and beginning as such files do.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), FileError> {
        if self.content.len() > MAX_CONTENT {
            return Err(FileError::TooLarge(self.content.len()));
        }
        if let Some(said) = self.size.filter(|said| *said != self.content.len() as u64) {
            return Err(FileError::Size { said, actual: self.content.len() });
        }
        let mime = self.mime.unwrap_or("application/octet-stream").to_ascii_lowercase();
        match begins_as(&mime, self.content) {
            None => Err(FileError::Type(mime.chars().take(80).collect())),
            Some(false) => Err(FileError::Content(mime)),
            Some(true) => Ok(()),
        }
    }

    /// A name that is safe in a folder: the last part of the path that it says, without control characters, not hidden,
    /// at most 120 characters; `file` if nothing is left.
    pub fn safe_name(&self) -> String {
        let name = self.name.unwrap_or_default();
        let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let clean = last.chars().filter(|c| !c.is_control() && !"<>:\"|?*".contains(*c));
        let clean: String =
            clean.collect::<String>().trim_start_matches(['.', ' ']).chars().take(120).collect();
        let clean = clean.trim_end_matches(['.', ' ']);
        if clean.is_empty() { "file".into() } else { clean.into() }
    }
}

fn number(value: &[u8]) -> Result<u64, DecodeError> {
    match value.len() {
        4 | 8 => Ok(value.iter().fold(0, |n, b| n << 8 | u64::from(*b))),
        len => Err(DecodeError::Length { what: "the file's size", len, expected: 4 }),
    }
}

/// Whether `content` begins as files of this type do; `None` for a type that is not taken.
fn begins_as(mime: &str, content: &[u8]) -> Option<bool> {
    let at = |offset: usize, magic: &[u8]| content.get(offset..).is_some_and(|c| c.starts_with(magic));
    Some(match mime {
        "image/jpeg" | "image/jpg" => at(0, &[0xff, 0xd8, 0xff]),
        "image/png" => at(0, b"\x89PNG\r\n\x1a\n"),
        "image/gif" => at(0, b"GIF87a") || at(0, b"GIF89a"),
        "image/webp" => at(0, b"RIFF") && at(8, b"WEBP"),
        "audio/mp4" | "audio/m4a" | "audio/x-m4a" => at(4, b"ftyp"),
        // ADTS frames begin with twelve set bits and layer 0.
        "audio/aac" => at(4, b"ftyp") || matches!(content, [0xff, b, ..] if b & 0xf6 == 0xf0),
        "audio/mpeg" | "audio/mp3" => at(0, b"ID3") || matches!(content, [0xff, b, ..] if b & 0xe0 == 0xe0),
        "audio/wav" | "audio/x-wav" => at(0, b"RIFF") && at(8, b"WAVE"),
        "audio/ogg" => at(0, b"OggS"),
        "application/pdf" => at(0, b"%PDF"),
        "application/octet-stream" => true,
        _ => return None,
    })
}

/// The name under which a private picture or voice note is acknowledged. There is one only for names that the apps make
/// (`img_….jpg`, `voice_….m4a`); both sides compute it from what they know.
pub fn media_id(sender: PeerId, recipient: PeerId, file_name: &str) -> Option<String> {
    if !is_media_name(file_name) {
        return None;
    }
    let mut hash = Sha256::new().chain_update(b"bitchat-private-media-message-v1");
    for part in [sender.to_string(), recipient.to_string(), file_name.to_owned()] {
        hash.update((part.len() as u32).to_be_bytes());
        hash.update(part);
    }
    let mut digest = hex::encode(hash.finalize());
    digest.truncate(32);
    Some(format!("media-{digest}"))
}

fn is_media_name(name: &str) -> bool {
    let picture = name.strip_prefix("img_").and_then(|n| n.strip_suffix(".jpg"));
    if let Some(stem) = picture {
        let hex = |s: &str, len: usize| s.len() == len && s.bytes().all(|b| b.is_ascii_hexdigit());
        let uuid =
            stem.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && stem.split('-').all(|p| hex(p, p.len()));
        return uuid || hex(stem, 16);
    }
    name.strip_prefix("voice_").and_then(|n| n.strip_suffix(".m4a")).is_some_and(|stem| !stem.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file<'a>(name: &'a str, mime: &'a str, content: &'a [u8]) -> File<'a> {
        File { name: Some(name), size: Some(content.len() as u64), mime: Some(mime), content }
    }

    #[test]
    fn types_must_fit_the_content() {
        assert_eq!(file("a.png", "image/png", b"\x89PNG\r\n\x1a\n...").check(), Ok(()));
        assert_eq!(file("a.png", "image/png", b"MZ").check(), Err(FileError::Content("image/png".into())));
        let html = file("a.html", "text/html", b"<script>").check();
        assert_eq!(html, Err(FileError::Type("text/html".into())));
        let lying = File { size: Some(3), ..file("a", "application/octet-stream", b"ab") };
        assert_eq!(lying.check(), Err(FileError::Size { said: 3, actual: 2 }));
        let large = vec![0; MAX_CONTENT + 1];
        assert_eq!(file("a", "application/pdf", &large).check(), Err(FileError::TooLarge(MAX_CONTENT + 1)));
        assert!(file("a", "application/pdf", &large).encode().is_err());
    }

    #[test]
    fn names_stay_in_their_folder() {
        for (said, safe) in [
            ("../../.ssh/id", "id"),
            ("C:\\x\\..\\con.txt", "con.txt"),
            ("..", "file"),
            (".bashrc", "bashrc"),
            ("a\u{0}b\n.jpg", "ab.jpg"),
            ("", "file"),
            ("good name.png", "good name.png"),
        ] {
            assert_eq!(file(said, "", b"").safe_name(), safe, "{said:?}");
        }
    }

    #[test]
    fn sizes_of_eight_bytes_are_read() {
        let payload = [&[2, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 1][..], b"x"].concat();
        assert_eq!(File::decode(&payload).unwrap().size, Some(1));
    }

    #[test]
    fn media_ids_are_for_media() {
        let id = |name| media_id(PeerId([1; 8]), PeerId([2; 8]), name);
        assert_eq!(id("img_0123456789abcdef.jpg").unwrap().len(), 38);
        assert!(id("img_123E4567-E89B-12D3-A456-426614174000.jpg").is_some());
        assert!(id("voice_20260101.m4a").is_some());
        assert!(id("img_x.jpg").is_none() && id("a.jpg").is_none() && id("voice_.m4a").is_none());
    }
}
