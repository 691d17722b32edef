//! Asking for documents, and handing them over, on a link.
//!
//! A request and its answer are messages of any length up to [`MAX_MESSAGE`], cut into frames. Everything handed
//! over is signed, so it does not matter who hands it over.

use super::signing::encode;
use super::{MAX_DOCUMENT_LEN, SignedDescriptor};
use crate::Key;
use crate::link::Frame;
use serde::{Deserialize, Serialize};

/// The longest request or answer: a document, and what says which.
pub const MAX_MESSAGE: usize = MAX_DOCUMENT_LEN + 256;
/// The longest request that a relay reads; authorities read longer ones.
pub const MAX_REQUEST: usize = 16 * 1024;
/// Bytes of a message in one frame.
const PIECE: usize = 3072;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The newest consensus, if it begins later than this (Unix seconds). Authorities and relays answer.
    Consensus {
        /// What the asker has.
        newer_than: u64,
    },
    /// Take my descriptor: on a link that belongs to the relay that it describes. Authorities answer.
    Publish(SignedDescriptor),
    /// An authority's vote for a period, unless it is the one with this digest. Authorities answer.
    Vote {
        /// Which period.
        period: u64,
        /// Whose.
        authority: Key,
        /// What the asker has.
        unless: Option<Key>,
    },
    /// The document that you signed for a period. Authorities answer.
    Signed {
        /// Which period.
        period: u64,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// A consensus, a vote or a signed document: encoded, as it was asked for.
    Document(Vec<u8>),
    /// There is none, or none newer.
    Nothing,
    /// A descriptor was taken.
    Taken,
    /// It was not, and why.
    Refused(String),
}

impl Request {
    /// As frames.
    pub fn frames(&self) -> Vec<Frame> {
        frames(&encode(self))
    }

    /// Reads what [`Pieces`] put together.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        whole(bytes)
    }
}

impl Answer {
    /// As frames.
    pub fn frames(&self) -> Vec<Frame> {
        frames(&encode(self))
    }

    /// Reads what [`Pieces`] put together.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        whole(bytes)
    }
}

fn whole<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let last = bytes.len().div_ceil(PIECE).saturating_sub(1);
    let pieces = bytes.chunks(PIECE).enumerate();
    pieces.map(|(i, piece)| Frame::Document { last: i == last, piece: piece.to_vec() }).collect()
}

/// Puts a message together again.
pub struct Pieces {
    bytes: Vec<u8>,
    most: usize,
}

impl Pieces {
    /// For messages of at most this many bytes.
    pub fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), most }
    }

    /// Adds a piece; gives the message with its last one. An error: it is too long.
    ///
    /// # Errors
    /// Nothing to say about it: the message is too long.
    #[allow(clippy::result_unit_err, reason = "there is one way to fail")]
    pub fn add(&mut self, last: bool, piece: &[u8]) -> Result<Option<Vec<u8>>, ()> {
        if self.bytes.len() + piece.len() > self.most {
            self.bytes = Vec::new();
            return Err(());
        }
        self.bytes.extend_from_slice(piece);
        Ok(last.then(|| std::mem::take(&mut self.bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn documents_of_all_lengths_pass(bytes in proptest::collection::vec(any::<u8>(), 0..20_000)) {
            let answer = Answer::Document(bytes);
            let mut pieces = Pieces::new(MAX_MESSAGE);
            let mut got = Vec::new();
            for frame in answer.frames() {
                let Frame::Document { last, piece } = frame else { panic!("another frame") };
                got.extend(pieces.add(last, &piece).expect("fits"));
            }
            prop_assert_eq!(got.len(), 1);
            prop_assert_eq!(Answer::decode(&got[0]), Some(answer));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (Request::decode(&bytes), Answer::decode(&bytes));
        }
    }

    #[test]
    fn more_than_allowed_is_refused_and_forgotten() {
        let mut pieces = Pieces::new(10);
        assert_eq!(pieces.add(false, &[1; 8]), Ok(None));
        assert_eq!(pieces.add(false, &[1; 8]), Err(()));
        assert_eq!(pieces.add(true, &[2; 10]), Ok(Some(vec![2; 10])));
    }
}
