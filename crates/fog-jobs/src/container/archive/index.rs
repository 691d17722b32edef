//! What a tar has, by name, without unpacking it.

use super::layers::Layer;
use super::{Refusal, io_reason, sha256};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Most entries of an image's archive. Only archives with a manifest are looked through to their end.
const MAX_ENTRIES: usize = 20_000;
/// Most bytes of a manifest or a configuration.
const MAX_SMALL: u64 = 1024 * 1024;
/// Most links from one name to another.
const MAX_LINKS: usize = 4;

enum Entry {
    File {
        offset: u64,
        size: u64,
    },
    /// `docker save` of old links equal layers to one another.
    Link(String),
}

/// The entries of a tar.
pub(super) struct Entries(HashMap<String, Entry>);

impl Entries {
    pub(super) fn read(file: &mut File) -> Result<Self, Refusal> {
        file.rewind().map_err(io_reason)?;
        let mut found = HashMap::new();
        let mut archive = tar::Archive::new(&mut *file);
        // Raw: extended headers, whose sizes nothing bounds, are passed over unread. The names in images' archives fit
        // into plain headers.
        let entries =
            archive.entries_with_seek().map_err(|e| format!("it is no tar archive: {e}"))?.raw(true);
        for (count, entry) in entries.enumerate() {
            let entry = entry.map_err(|e| format!("it is no tar archive, or a damaged one: {e}"))?;
            if count >= MAX_ENTRIES {
                // Of a plain root folder only the absence of a manifest matters.
                break;
            }
            let Ok(name) = std::str::from_utf8(&entry.path_bytes()).map(plain) else { continue };
            let kind = entry.header().entry_type();
            if kind.is_file() {
                found.insert(name, Entry::File { offset: entry.raw_file_position(), size: entry.size() });
            } else if let (true, Some(to)) =
                (kind.is_symlink() || kind.is_hard_link(), entry.link_name_bytes())
                && let Ok(to) = std::str::from_utf8(&to)
            {
                let from = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                let to = if kind.is_hard_link() { plain(to) } else { plain(&format!("{from}/{to}")) };
                found.insert(name, Entry::Link(to));
            }
        }
        if found.is_empty() {
            return Err("it is no tar archive, or an empty one".into());
        }
        Ok(Self(found))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn find(&self, name: &str) -> Result<Layer, Refusal> {
        let mut at = plain(name);
        for _ in 0..MAX_LINKS {
            match self.0.get(&at) {
                Some(Entry::File { offset, size }) => return Ok(Layer { offset: *offset, size: *size }),
                Some(Entry::Link(to)) => at.clone_from(to),
                None => break,
            }
        }
        Err(format!("it names {name}, which is not in it"))
    }

    /// A layer's place.
    pub(super) fn layer(&self, name: &str) -> Result<Layer, Refusal> {
        self.find(name)
    }

    /// The bytes of a manifest or a configuration.
    pub(super) fn small(&self, file: &mut File, name: &str) -> Result<Vec<u8>, Refusal> {
        let found = self.find(name)?;
        if found.size > MAX_SMALL {
            return Err(format!("its {name} has more than {MAX_SMALL} bytes"));
        }
        file.seek(SeekFrom::Start(found.offset)).map_err(io_reason)?;
        let mut bytes = Vec::new();
        file.take(found.size).read_to_end(&mut bytes).map_err(io_reason)?;
        Ok(bytes)
    }

    /// The same, checked against the digest in its name if it has one.
    pub(super) fn checked(&self, file: &mut File, name: &str) -> Result<Vec<u8>, Refusal> {
        let bytes = self.small(file, name)?;
        let expected = name.strip_prefix("blobs/sha256/");
        if expected.is_some_and(|hex| sha256(&bytes).trim_start_matches("sha256:") != hex) {
            return Err(format!("its {name} is damaged: the digest is another"));
        }
        Ok(bytes)
    }
}

/// A path without `.` and `..`.
fn plain(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.join("/")
}

/// Reads JSON.
pub(super) fn json<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|e| format!("{what} cannot be read: {e}"))
}
