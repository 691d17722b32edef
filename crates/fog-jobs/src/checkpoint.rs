//! The file of a checkpoint of a WASM program.
//!
//! ```text
//!   0      magic "fogckpt\x01", bytes of the index (u64), BLAKE3 of the index; zeros up to 4096
//!   4096   slots of 4096 bytes: pages of memory, of standard output and of the files of /out
//!   ...    the index (postcard): which slot is which page of what, its BLAKE3, and the rest of the state
//! ```
//!
//! Only pages that are not zero have a slot. A page keeps its slot from one checkpoint to the next, also across devices, and
//! its hash tells whether it changed. So a checkpoint is written in place with the changed pages only, and two checkpoints
//! of one run are equal byte for byte wherever nothing changed: whoever moves them in chunks moves what is new.
//!
//! A file comes from a stranger. [`Reader::open`] believes nothing: lengths are bounded before anything is allocated, the
//! index is hashed, each page is hashed when it is read, and what the state says is checked where it is used.

mod book;
mod state;
#[cfg(test)]
mod tests;

pub use book::{Book, PAGE, Page};
pub use state::{Said, State, Totals};

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

const MAGIC: &[u8; 8] = b"fogckpt\x01";
/// Bytes of the header: magic, length, hash.
const HEADER: usize = 48;
/// Most bytes of the index: 16 GiB of pages would need more, but no blob carries so much.
pub const MAX_INDEX: u64 = 32 * 1024 * 1024;

/// What a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Owner {
    /// Linear memory.
    Memory,
    /// Standard output.
    Stdout,
    /// A file of `/out`, by id.
    File(u64),
}

/// Why a file is no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Damaged, forged, or of another version.
    #[error("{0}")]
    Bad(String),
    /// The file cannot be read or written.
    #[error("the file cannot be read or written: {0}")]
    Io(#[from] io::Error),
}

fn bad(what: impl Into<String>) -> CheckpointError {
    CheckpointError::Bad(what.into())
}

/// The index as it is on disk.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    state: State,
    /// For each slot, in order.
    slots: Vec<(Page, [u8; 32])>,
}

/// Reads a checkpoint.
#[derive(Debug)]
pub struct Reader<R = File> {
    file: R,
    state: State,
    slots: Vec<(Page, [u8; 32])>,
}

impl<R: Read + Seek> Reader<R> {
    /// Reads and checks header and index.
    ///
    /// # Errors
    /// [`CheckpointError`] says what is wrong.
    pub fn open(mut file: R) -> Result<Self, CheckpointError> {
        let len = file.seek(SeekFrom::End(0))?;
        if len < PAGE as u64 {
            return Err(bad("it is too short"));
        }
        let mut header = [0u8; HEADER];
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut header)?;
        let (magic, rest) = header.split_at(MAGIC.len());
        let (index_len, hash) = rest.split_at(8);
        if magic != MAGIC {
            return Err(bad("it does not start as a checkpoint of this version does"));
        }
        let index_len = u64::from_le_bytes(index_len.try_into().map_err(|_| bad("its header is damaged"))?);
        let slots_end = len.checked_sub(index_len).filter(|_| index_len <= MAX_INDEX);
        let slots_end = slots_end.filter(|end| *end >= PAGE as u64 && end % PAGE as u64 == 0);
        let slots_end =
            slots_end.ok_or_else(|| bad("it has been cut off or its index has a wrong length"))?;
        let mut bytes = vec![0; index_len as usize];
        file.seek(SeekFrom::Start(slots_end))?;
        file.read_exact(&mut bytes)?;
        if blake3::hash(&bytes).as_bytes() != hash {
            return Err(bad("its index is damaged"));
        }
        let index: Index = postcard::from_bytes(&bytes).map_err(|_| bad("its index cannot be read"))?;
        if index.slots.len() as u64 != slots_end / PAGE as u64 - 1 {
            return Err(bad("its index does not fit its pages"));
        }
        let mut seen = BTreeSet::new();
        if !index.slots.iter().all(|(page, _)| seen.insert(*page)) {
            return Err(bad("it has a page twice"));
        }
        Ok(Self { file, state: index.state, slots: index.slots })
    }

    /// Everything but the pages.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Gives every page, checked against its hash, to `take`, which may refuse it.
    ///
    /// # Errors
    /// [`CheckpointError`] if a page is damaged or refused.
    pub fn pages(
        &mut self,
        mut take: impl FnMut(Page, &[u8; PAGE]) -> Result<(), String>,
    ) -> Result<(), CheckpointError> {
        self.file.seek(SeekFrom::Start(PAGE as u64))?;
        let mut input = io::BufReader::with_capacity(256 * 1024, &mut self.file);
        let mut bytes = [0u8; PAGE];
        for (page, hash) in &self.slots {
            input.read_exact(&mut bytes)?;
            if blake3::hash(&bytes).as_bytes() != hash {
                return Err(bad(format!("page {} of {:?} is damaged", page.number, page.owner)));
            }
            take(*page, &bytes).map_err(CheckpointError::Bad)?;
        }
        Ok(())
    }

    /// The places and hashes, for a [`Book`] that goes on with the same slots.
    pub fn into_book(self) -> Book {
        Book::with(self.slots)
    }
}
