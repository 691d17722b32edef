//! Content-addressed data.

use super::{Hash, SpecError, invalid};
use serde::{Deserialize, Serialize};

/// Bytes of a chunk; a blob's last chunk may be shorter.
pub const CHUNK_BYTES: u64 = 256 * 1024;
/// Most bytes of one blob.
pub const MAX_BLOB_BYTES: u64 = 256 * 1024 * 1024;

/// A content-addressed piece of data: a program, an input, an output or a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlobRef {
    /// BLAKE3 of the whole content.
    pub hash: Hash,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of each chunk of [`CHUNK_BYTES`], in order.
    pub chunks: Vec<Hash>,
}

impl BlobRef {
    /// How many chunks `size` bytes make.
    pub fn chunk_count(size: u64) -> u64 {
        size.div_ceil(CHUNK_BYTES)
    }

    /// Bytes of chunk `index`; none if there is no such chunk.
    pub fn chunk_len(&self, index: u32) -> Option<usize> {
        let start = u64::from(index).checked_mul(CHUNK_BYTES)?;
        if start >= self.size {
            return None;
        }
        usize::try_from((self.size - start).min(CHUNK_BYTES)).ok()
    }

    /// Checks that size and chunk list agree and stay under the cap.
    ///
    /// # Errors
    /// [`SpecError::Invalid`] says which number is wrong.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.size > MAX_BLOB_BYTES {
            return Err(invalid(format!(
                "a blob of {} bytes is larger than the {MAX_BLOB_BYTES} allowed",
                self.size
            )));
        }
        let expected = Self::chunk_count(self.size);
        if self.chunks.len() as u64 != expected {
            return Err(invalid(format!(
                "a blob of {} bytes has {expected} chunks, not {}",
                self.size,
                self.chunks.len()
            )));
        }
        Ok(())
    }
}
