//! What runs, and the files that it finds.

use super::{BlobRef, Hash, MAX_ARGS, MAX_ARGS_BYTES, SpecError, invalid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most files below `/in`.
pub const MAX_INPUTS: usize = 256;
/// Most bytes of an input's path.
const MAX_PATH_BYTES: usize = 1024;
/// Most bytes of an image's name.
const MAX_IMAGE_BYTES: usize = 512;

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    /// A WASM module, a WASI command (`_start`).
    Wasm {
        /// The module.
        module: BlobRef,
        /// Clock, random numbers and floats are the same everywhere, so that two honest workers agree bit for bit.
        deterministic: bool,
    },
    /// A container.
    Container {
        /// Its image.
        image: Image,
        /// Replaces the image's entry point; the job's arguments replace its command.
        entrypoint: Option<Vec<String>>,
    },
}

/// A container's image, fixed by content: by its registry's digest, or by an archive of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `name@sha256:` and 64 hexadecimal digits; with an archive, any name.
    pub reference: String,
    /// The image as `docker save` writes it.
    pub archive: Option<BlobRef>,
}

impl Program {
    /// What of it must be moved to the worker; an image by digest comes from its registry.
    pub fn blob(&self) -> Option<&BlobRef> {
        match self {
            Self::Wasm { module, .. } => Some(module),
            Self::Container { image, .. } => image.archive.as_ref(),
        }
    }

    /// True if two honest runs give the same output.
    pub fn is_deterministic(&self) -> bool {
        matches!(self, Self::Wasm { deterministic: true, .. })
    }

    /// `wasm` or `container`.
    pub fn runtime(&self) -> &'static str {
        match self {
            Self::Wasm { .. } => "wasm",
            Self::Container { .. } => "container",
        }
    }

    /// Its hash, for receipts: a module's content, or image and entry point of a container.
    pub fn hash(&self) -> Hash {
        match self {
            Self::Wasm { module, .. } => module.hash,
            Self::Container { image, entrypoint } => {
                let mut hasher = blake3::Hasher::new_derive_key("fog-jobs 2 container");
                let archive = image.archive.as_ref().map(|a| a.hash);
                // Plain data, which postcard writes without fail.
                let bytes = postcard::to_allocvec(&(&image.reference, archive, entrypoint));
                hasher.update(&bytes.unwrap_or_default());
                *hasher.finalize().as_bytes()
            }
        }
    }

    /// Checks it without its blob.
    ///
    /// # Errors
    /// [`SpecError::Invalid`].
    pub fn validate(&self) -> Result<(), SpecError> {
        match self {
            Self::Wasm { module, .. } if module.size == 0 => Err(invalid("the module is empty".into())),
            Self::Wasm { .. } => Ok(()),
            Self::Container { image, entrypoint } => {
                check_image(image)?;
                let words = entrypoint.as_deref().unwrap_or_default();
                let bytes: usize = words.iter().map(String::len).sum();
                if words.len() > MAX_ARGS || bytes > MAX_ARGS_BYTES || words.iter().any(|w| w.contains('\0'))
                {
                    return Err(invalid("the entry point is too long or contains a zero byte".into()));
                }
                Ok(())
            }
        }
    }
}

fn check_image(image: &Image) -> Result<(), SpecError> {
    let name = &image.reference;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if name.is_empty() || name.len() > MAX_IMAGE_BYTES || !name.chars().all(plain) {
        return Err(invalid(format!("{name:?} cannot be the name of an image")));
    }
    let digest = name.split_once("@sha256:").map(|(_, digest)| digest);
    let fixed = digest.is_some_and(|d| d.len() == 64 && d.bytes().all(|b| b.is_ascii_hexdigit()));
    if fixed || image.archive.as_ref().is_some_and(|archive| archive.size > 0) {
        return Ok(());
    }
    Err(invalid(format!(
        "{name:?} does not say which image it is: give NAME@sha256:DIGEST, or an archive of the image"
    )))
}

/// A file below `/in`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Its path, relative, with `/` between the parts.
    pub name: String,
    /// Its content.
    pub blob: BlobRef,
}

/// Checks the paths of files below `/in`: relative, within it, each once, and none both a file and a folder.
///
/// # Errors
/// [`SpecError::Invalid`] names the path.
pub fn check_input_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(), SpecError> {
    let mut files = BTreeSet::new();
    let mut folders = BTreeSet::new();
    for name in names {
        let part = |part: &str| {
            !part.is_empty()
                && part.len() <= 255
                && part != "."
                && part != ".."
                && !part.contains(['\\', ':'])
                && !part.chars().any(char::is_control)
        };
        if name.len() > MAX_PATH_BYTES || !name.split('/').all(part) {
            return Err(invalid(format!(
                "{name:?} cannot be an input's path: use plain names with / between"
            )));
        }
        if !files.insert(name) {
            return Err(invalid(format!("two inputs have the path {name:?}")));
        }
        folders.extend(name.match_indices('/').map(|(at, _)| &name[..at]));
        if files.len() > MAX_INPUTS {
            return Err(invalid(format!("at most {MAX_INPUTS} input files are allowed")));
        }
    }
    match files.intersection(&folders).next() {
        Some(both) => Err(invalid(format!("the input {both:?} is a file and a folder at once"))),
        None => Ok(()),
    }
}
