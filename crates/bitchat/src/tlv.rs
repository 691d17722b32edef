//! Fields of a type, a length and a value, of which most payloads are made. Types that nobody knows are skipped.

use crate::error::{DecodeError, EncodeError, chunk, fits, take};

/// How long the length field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// One byte.
    One,
    /// Two bytes, big-endian.
    Two,
}

/// The fields of a payload, in order.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    width: Width,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8], width: Width) -> Self {
        Self { rest: bytes, width }
    }

    /// The next field, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, DecodeError> {
        let Some((kind, rest)) = self.rest.split_first() else { return Ok(None) };
        let (len, rest) = match self.width {
            Width::One => chunk::<1>(rest, "a field's length").map(|(n, rest)| (usize::from(n[0]), rest))?,
            Width::Two => chunk(rest, "a field's length")
                .map(|(n, rest)| (usize::from(u16::from_be_bytes(*n)), rest))?,
        };
        let (value, rest) = take(rest, len, "a field")?;
        self.rest = rest;
        Ok(Some((*kind, value)))
    }
}

/// Keeps a field's value, and refuses a second one.
pub(crate) fn once<T>(slot: &mut Option<T>, value: T, what: &'static str) -> Result<(), DecodeError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(DecodeError::Duplicate(what)),
    }
}

/// A payload that is being written.
pub(crate) struct Writer {
    out: Vec<u8>,
    width: Width,
}

impl Writer {
    pub(crate) fn new(width: Width) -> Self {
        Self { out: Vec::new(), width }
    }

    /// Appends a field. `what` names it in the error.
    pub(crate) fn field(&mut self, kind: u8, value: &[u8], what: &'static str) -> Result<(), EncodeError> {
        let max = match self.width {
            Width::One => usize::from(u8::MAX),
            Width::Two => usize::from(u16::MAX),
        };
        fits(what, value.len(), max)?;
        self.out.push(kind);
        match self.width {
            Width::One => self.out.push(value.len() as u8),
            Width::Two => self.out.extend_from_slice(&(value.len() as u16).to_be_bytes()),
        }
        self.out.extend_from_slice(value);
        Ok(())
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// Appends a text or bytes behind a one-byte length.
pub(crate) fn put_len8(out: &mut Vec<u8>, value: &[u8], what: &'static str) -> Result<(), EncodeError> {
    fits(what, value.len(), usize::from(u8::MAX))?;
    out.push(value.len() as u8);
    out.extend_from_slice(value);
    Ok(())
}

/// Appends a text or bytes behind a two-byte length.
pub(crate) fn put_len16(out: &mut Vec<u8>, value: &[u8], what: &'static str) -> Result<(), EncodeError> {
    fits(what, value.len(), usize::from(u16::MAX))?;
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
    Ok(())
}

/// What stands behind a one-byte length, and the rest.
pub(crate) fn get_len8<'a>(bytes: &'a [u8], what: &'static str) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
    let (len, rest) = chunk::<1>(bytes, what)?;
    take(rest, usize::from(len[0]), what)
}

/// What stands behind a two-byte length, and the rest.
pub(crate) fn get_len16<'a>(
    bytes: &'a [u8],
    what: &'static str,
) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
    let (len, rest) = chunk(bytes, what)?;
    take(rest, usize::from(u16::from_be_bytes(*len)), what)
}
