//! Keeps track of which page lies where, and writes what changed.

use super::{CheckpointError, Index, MAGIC, MAX_INDEX, Owner, State, bad};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

/// Bytes of a page.
pub const PAGE: usize = 4096;
const ZEROS: [u8; PAGE] = [0; PAGE];

/// A page's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Page {
    /// What it belongs to.
    pub owner: Owner,
    /// Its number there.
    pub number: u64,
}

/// Which page lies in which slot of a file, with its hash.
#[derive(Debug, Default)]
pub struct Book {
    slots: Vec<(Page, [u8; 32])>,
    places: BTreeMap<Page, u32>,
    /// False: nothing of it is in the file yet.
    written: bool,
}

/// What a checkpoint cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes that were written, since they are new.
    pub changed: u64,
}

impl Book {
    /// Goes on with the places of another file. Its pages are written anew, into the same slots.
    pub(super) fn with(slots: Vec<(Page, [u8; 32])>) -> Self {
        let places = slots.iter().zip(0..).map(|((page, _), place)| (*page, place)).collect();
        Self { slots, places, written: false }
    }

    /// Brings `file` up to date: pages that changed, and the index. `contents` are all things with pages, each with all
    /// its bytes; a last page may be short.
    ///
    /// # Errors
    /// [`CheckpointError`] if the file cannot be written, or the state is too large for a checkpoint.
    pub fn write<'a>(
        &mut self,
        file: &mut File,
        state: State,
        contents: impl Iterator<Item = (Owner, &'a [u8])>,
    ) -> Result<Written, CheckpointError> {
        let mut changed = 0;
        // Slots whose page is not met again (a removed file, zeros) keep their place and are filled with zeros.
        let mut met = vec![false; self.slots.len()];
        for (owner, bytes) in contents {
            for (number, part) in (0..).zip(bytes.chunks(PAGE)) {
                let page = Page { owner, number };
                let place = self.places.get(&page).copied();
                if part == &ZEROS[..part.len()] && place.is_none() {
                    continue;
                }
                let mut whole = ZEROS;
                whole[..part.len()].copy_from_slice(part);
                changed += self.put(file, page, place, &whole, &mut met)?;
            }
        }
        for place in (0..self.slots.len()).filter(|place| !met.get(*place).copied().unwrap_or(true)) {
            let hash = *blake3::hash(&ZEROS).as_bytes();
            if self.slots[place].1 != hash || !self.written {
                changed += write_at(file, place as u64, &ZEROS)?;
                self.slots[place].1 = hash;
            }
        }
        self.written = true;

        let index = Index { state, slots: std::mem::take(&mut self.slots) };
        let bytes = postcard::to_allocvec(&index);
        self.slots = index.slots;
        let bytes = bytes.map_err(|e| bad(format!("its index cannot be written: {e}")))?;
        if bytes.len() as u64 > MAX_INDEX {
            return Err(bad("the program holds too much to be moved"));
        }
        let slots_end = (self.slots.len() as u64 + 1) * PAGE as u64;
        file.seek(SeekFrom::Start(slots_end))?;
        file.write_all(&bytes)?;
        file.set_len(slots_end + bytes.len() as u64)?;
        let mut header = ZEROS;
        header[..8].copy_from_slice(MAGIC);
        header[8..16].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        header[16..48].copy_from_slice(blake3::hash(&bytes).as_bytes());
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header)?;
        Ok(Written { bytes: slots_end + bytes.len() as u64, changed: changed + (bytes.len() + PAGE) as u64 })
    }

    fn put(
        &mut self,
        file: &mut File,
        page: Page,
        place: Option<u32>,
        bytes: &[u8; PAGE],
        met: &mut [bool],
    ) -> Result<u64, CheckpointError> {
        let hash = *blake3::hash(bytes).as_bytes();
        let place = match place {
            Some(place) => {
                if let Some(met) = met.get_mut(place as usize) {
                    *met = true;
                }
                if self.written && self.slots[place as usize].1 == hash {
                    return Ok(0);
                }
                self.slots[place as usize].1 = hash;
                place
            }
            None => {
                let place = u32::try_from(self.slots.len()).map_err(|_| bad("it has too many pages"))?;
                self.slots.push((page, hash));
                self.places.insert(page, place);
                place
            }
        };
        write_at(file, place.into(), bytes)
    }
}

fn write_at(file: &mut File, place: u64, bytes: &[u8; PAGE]) -> Result<u64, CheckpointError> {
    file.seek(SeekFrom::Start((place + 1) * PAGE as u64))?;
    file.write_all(bytes)?;
    Ok(PAGE as u64)
}
