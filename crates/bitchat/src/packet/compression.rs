//! Raw DEFLATE, as much as packets need of it.
//!
//! Compressors differ in what they make of the same bytes, and an iPhone checks a signature over what *its* compressor
//! makes of the payload. So signed packets for phones should stay below [`MIN_LEN`], or be of a kind that does not
//! shrink. Stock zlib at the level that Apple's compressor is said to have compresses here, since that comes closest;
//! strangers' data is expanded in Rust.

use crate::error::DecodeError;
use flate2::{Compress, Compression, FlushCompress, Status};
use miniz_oxide::inflate::{decompress_to_vec_with_limit, decompress_to_vec_zlib_with_limit};

/// Payloads shorter than this are never compressed.
pub const MIN_LEN: usize = 100;
/// A compressed payload that promises to grow by more than this is refused unread.
pub const MAX_RATIO: usize = 50_000;
/// The level of Apple's compressor.
const LEVEL: u32 = 5;

/// The DEFLATE form of a payload, if compressing it is worth it by the rules of the apps: long enough, not of too many
/// different bytes, and smaller afterwards.
pub fn compress(payload: &[u8]) -> Option<Vec<u8>> {
    if payload.len() < MIN_LEN || is_dense(payload) {
        return None;
    }
    // What does not fit into this would not be smaller.
    let mut deflated = Vec::with_capacity(payload.len());
    let mut zlib = Compress::new(Compression::new(LEVEL), false);
    let status = zlib.compress_vec(payload, &mut deflated, FlushCompress::Finish);
    (matches!(status, Ok(Status::StreamEnd)) && deflated.len() < payload.len()).then_some(deflated)
}

/// Whether nine tenths or more of the values that could occur do.
fn is_dense(payload: &[u8]) -> bool {
    let mut seen = [false; 256];
    payload.iter().for_each(|b| seen[usize::from(*b)] = true);
    let distinct = seen.iter().filter(|s| **s).count();
    distinct * 10 >= payload.len().min(256) * 9
}

/// Expands DEFLATE data that promises `original_size` bytes. Memory grows with what comes out and never beyond the
/// promise, which is at most `max`.
///
/// Data in a zlib wrapper is taken, too, as one of the apps does.
///
/// # Errors
/// When the promise is too large, absurd or not kept, or the data is damaged.
pub fn expand(deflated: &[u8], original_size: usize, max: usize) -> Result<Vec<u8>, DecodeError> {
    if original_size > max {
        return Err(DecodeError::TooLong { what: "the expanded payload", len: original_size, max });
    }
    if original_size > deflated.len().saturating_mul(MAX_RATIO) {
        return Err(DecodeError::Compression(original_size));
    }
    let whole = |out: &Vec<u8>| out.len() == original_size;
    let raw = decompress_to_vec_with_limit(deflated, original_size).ok().filter(whole);
    let out = match raw {
        None if has_zlib_header(deflated) => {
            decompress_to_vec_zlib_with_limit(deflated, original_size).ok().filter(whole)
        }
        other => other,
    };
    out.ok_or(DecodeError::Compression(original_size))
}

fn has_zlib_header(bytes: &[u8]) -> bool {
    matches!(bytes, [0x78, flags, ..] if (0x7800 + u16::from(*flags)) % 31 == 0)
}
