//! Padding to a few sizes, in the manner of PKCS #7: `n` bytes of value `n`.
//!
//! Only Noise packets are padded on the wire; what is signed is always padded. The scheme has gaps: a single byte tells
//! the length, so whatever would need more than 255 bytes gets none.

/// Sizes that packets are padded to.
pub const BLOCKS: [usize; 4] = [256, 512, 1024, 2048];
/// At least so many bytes are added, or none.
pub const MIN_PADDING: usize = 16;

/// How many bytes of padding a packet of `len` bytes gets; 0 for none.
pub fn padding_len(len: usize) -> u8 {
    let target = BLOCKS.into_iter().find(|b| *b >= len + MIN_PADDING);
    target.and_then(|t| u8::try_from(t - len).ok()).unwrap_or(0)
}

/// Appends the padding.
pub fn pad(bytes: &mut Vec<u8>) {
    let n = padding_len(bytes.len());
    bytes.resize(bytes.len() + usize::from(n), n);
}

/// How many bytes of padding are at the end; 0 if what is there is no padding.
pub fn trailing_padding(bytes: &[u8]) -> usize {
    match bytes.last() {
        Some(&n) if n > 0 && bytes.len() >= usize::from(n) => {
            let tail = &bytes[bytes.len() - usize::from(n)..];
            if tail.iter().all(|b| *b == n) { usize::from(n) } else { 0 }
        }
        _ => 0,
    }
}
