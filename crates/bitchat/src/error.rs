//! Why bytes could not be read, or a value could not be written.

/// Bytes from elsewhere that are not what they should be. Drop them; asking again brings the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("{what} takes {need} bytes, but only {have} are there")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// How many bytes it takes.
        need: usize,
        /// How many were there.
        have: usize,
    },
    /// A packet of a version that nobody speaks.
    #[error("packet version {0} is unknown; 1 and 2 are known")]
    Version(u8),
    /// Something is longer than this implementation takes.
    #[error("{what} has {len} bytes; at most {max} are taken")]
    TooLong {
        /// What.
        what: &'static str,
        /// How long it is, or says it is.
        len: usize,
        /// How long it may be.
        max: usize,
    },
    /// A field has another length than it must have.
    #[error("{what} has {len} bytes instead of {expected}")]
    Length {
        /// The field.
        what: &'static str,
        /// How long it is.
        len: usize,
        /// How long it must be.
        expected: usize,
    },
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field that may be there once came again.
    #[error("{0} comes twice")]
    Duplicate(&'static str),
    /// A text is not UTF-8.
    #[error("{0} is not UTF-8")]
    Utf8(&'static str),
    /// A value that means nothing.
    #[error("{what}: {why}")]
    Invalid {
        /// The field.
        what: &'static str,
        /// What is wrong with its value.
        why: &'static str,
    },
    /// Bytes remain where none should.
    #[error("{len} bytes follow after {what}")]
    Trailing {
        /// After what.
        what: &'static str,
        /// How many.
        len: usize,
    },
    /// A compressed payload is not DEFLATE data, or not of the length that it promised.
    #[error("the compressed payload is damaged, or not of the {0} bytes that it promises")]
    Compression(usize),
}

/// A value that the format cannot carry. Change the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Longer than the length field or the protocol's limit allows.
    #[error("{what} has {len} bytes; at most {max} fit")]
    TooLong {
        /// What.
        what: &'static str,
        /// How long it is.
        len: usize,
        /// How long it may be.
        max: usize,
    },
    /// A combination that does not exist on the wire.
    #[error("{what}: {why}")]
    Invalid {
        /// The field.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The first `N` bytes and the rest, or how many are missing.
pub(crate) fn chunk<'a, const N: usize>(
    bytes: &'a [u8],
    what: &'static str,
) -> Result<(&'a [u8; N], &'a [u8]), DecodeError> {
    bytes.split_first_chunk().ok_or(DecodeError::Truncated { what, need: N, have: bytes.len() })
}

/// The first `len` bytes and the rest, or how many are missing.
pub(crate) fn take<'a>(
    bytes: &'a [u8],
    len: usize,
    what: &'static str,
) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
    bytes.split_at_checked(len).ok_or(DecodeError::Truncated { what, need: len, have: bytes.len() })
}

/// A field that is exactly `N` bytes long.
pub(crate) fn exact<const N: usize>(bytes: &[u8], what: &'static str) -> Result<[u8; N], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::Length { what, len: bytes.len(), expected: N })
}

/// A text.
pub(crate) fn text<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::Utf8(what))
}

/// Refuses a value that is longer than `max` bytes.
pub(crate) fn fits(what: &'static str, len: usize, max: usize) -> Result<(), EncodeError> {
    if len > max { Err(EncodeError::TooLong { what, len, max }) } else { Ok(()) }
}
