//! What is inside an envelope.

use crate::{MAX_MESSAGE, MessageId};
use serde::{Deserialize, Serialize};

/// The most fragments of a message.
pub const MAX_FRAGMENTS: u16 = 1024;
/// Bytes that a fragment's header takes at most.
pub const FRAGMENT_HEADER: usize = 1 + 16 + 2 + 3 + 3 + 5 + 3;
/// The most acknowledgements in one datagram.
const MAX_ACKS: usize = 64;

/// The content of one envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Datagram {
    /// A piece of a message.
    Fragment(Fragment),
    /// What arrived.
    Acks(Vec<Ack>),
    /// I am here: send what waits for me. With the sender's time, Unix milliseconds, because a mailbox or a
    /// dishonest relay may hold it back.
    Presence(u64),
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fragment {
    /// Of which message.
    pub message: MessageId,
    /// The application's word for what it is.
    pub kind: u16,
    /// Which piece, from 0.
    pub index: u16,
    /// Of how many.
    pub count: u16,
    /// Bytes of the whole message.
    pub total: u32,
    /// The piece.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

/// How much of a message has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Which message.
    pub message: MessageId,
    /// True once it has taken effect and is on disk.
    pub complete: bool,
    /// The receiver's attempt at putting the message together. It rises when it had to begin anew (after a
    /// restart, say): then what it does not list in `have` is not there any more.
    pub attempt: u64,
    /// While it is not complete: a bit for each fragment that is here, lowest first.
    #[serde(with = "serde_bytes")]
    pub have: Vec<u8>,
}

impl Datagram {
    /// The bytes to seal.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default() // plain data: postcard cannot fail on it
    }

    /// Reads and checks what came out of an envelope.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (datagram, rest) = postcard::take_from_bytes::<Self>(bytes).ok()?;
        let valid = match &datagram {
            Self::Fragment(f) => {
                f.count > 0
                    && f.count <= MAX_FRAGMENTS
                    && f.index < f.count
                    && f.total as usize <= MAX_MESSAGE
                    && f.data.len() <= f.total as usize
            }
            Self::Acks(acks) => {
                acks.len() <= MAX_ACKS
                    && acks.iter().all(|a| a.have.len() <= usize::from(MAX_FRAGMENTS).div_ceil(8))
            }
            Self::Presence(_) => true,
        };
        (valid && rest.is_empty()).then_some(datagram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fragments_survive_coding_within_their_header(
            message: [u8; 16], kind: u16, count in 1..=MAX_FRAGMENTS, data in proptest::collection::vec(any::<u8>(), 0..1800)
        ) {
            let f = Fragment { message, kind, index: count - 1, count, total: MAX_MESSAGE as u32, data };
            let len = f.data.len();
            let bytes = Datagram::Fragment(f.clone()).encode();
            prop_assert!(bytes.len() <= len + FRAGMENT_HEADER);
            prop_assert_eq!(Datagram::decode(&bytes), Some(Datagram::Fragment(f)));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Datagram::decode(&bytes);
        }
    }

    #[test]
    fn impossible_fragments_are_refused() {
        let good = Fragment { message: [0; 16], kind: 0, index: 0, count: 1, total: 3, data: vec![1, 2, 3] };
        for bad in [
            Fragment { index: 1, ..good.clone() },
            Fragment { count: 0, ..good.clone() },
            Fragment { count: MAX_FRAGMENTS + 1, ..good.clone() },
            Fragment { total: MAX_MESSAGE as u32 + 1, ..good.clone() },
            Fragment { total: 2, ..good.clone() },
        ] {
            assert_eq!(Datagram::decode(&Datagram::Fragment(bad).encode()), None);
        }
    }
}
