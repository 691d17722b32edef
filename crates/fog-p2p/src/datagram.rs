//! What is inside an envelope.

use crate::{MAX_MESSAGE, MessageId};
use serde::{Deserialize, Serialize};

/// The most fragments of a message.
pub const MAX_FRAGMENTS: u16 = 1024;
/// The highest number of a message in its lane: seven bytes as postcard writes it.
pub const MAX_SEQUENCE: u64 = (1 << 49) - 1;
/// The lane whose messages have no order.
pub const UNORDERED: u8 = 0;
/// Bytes that a fragment's header takes at most: the datagram's tag, message, kind, place, index, count, total and
/// the length of the data, as postcard writes them.
pub const FRAGMENT_HEADER: usize = 1 + 16 + 3 + Place::LEN + 2 + 2 + 3 + 2;
/// The longest reply block.
pub const MAX_BLOCK: usize = 512;
/// Bytes that the tag and the length of a reply block take at most.
pub const BLOCK_HEADER: usize = 2;
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
    /// A piece of a message, with a reply block by which the message can be acknowledged once it took effect.
    Answerable(Fragment, #[serde(with = "serde_bytes")] Vec<u8>),
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fragment {
    /// Of which message.
    pub message: MessageId,
    /// The application's word for what it is.
    pub kind: u16,
    /// Where it stands among the others.
    pub place: Place,
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

impl Fragment {
    fn is_valid(&self) -> bool {
        self.count > 0
            && self.count <= MAX_FRAGMENTS
            && self.index < self.count
            && self.total as usize <= MAX_MESSAGE
            && self.data.len() <= self.total as usize
            && self.place.is_valid()
    }
}

/// Where a message stands among its sender's messages to the same receiver.
///
/// It takes effect once `after` has. What lay in between was delivered or withdrawn when this was written, and never
/// comes again: so the receiver waits for nothing that the sender no longer has, and a number may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// Of which lane; [`UNORDERED`] stands alone, and the rest is 0 then.
    pub lane: u8,
    /// Its number in the lane, from 1. Higher ones were put into the outbox later.
    pub sequence: u64,
    /// The message before it that was still in the sender's outbox; 0 if there was none.
    pub after: u64,
    /// The sender's start. Numbers of different starts are not compared: after a backup was put back, a sender gives
    /// some again.
    pub run: u32,
}

impl Place {
    /// Bytes that it takes at most.
    const LEN: usize = 1 + 7 + 7 + 5;

    /// True if it has its turn; false if it may take effect at any time.
    pub fn is_ordered(&self) -> bool {
        self.lane != UNORDERED
    }

    fn is_valid(&self) -> bool {
        if self.is_ordered() {
            self.after < self.sequence && self.sequence <= MAX_SEQUENCE
        } else {
            self.sequence == 0 && self.after == 0
        }
    }
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
            Self::Fragment(f) => f.is_valid(),
            Self::Answerable(f, block) => f.is_valid() && block.len() <= MAX_BLOCK,
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

    fn place() -> impl Strategy<Value = Place> {
        let ordered = (1u8.., 1..=MAX_SEQUENCE, any::<prop::sample::Index>(), any::<u32>()).prop_map(
            |(lane, sequence, after, run)| {
                let after = after.index(sequence as usize) as u64;
                Place { lane, sequence, after, run }
            },
        );
        prop_oneof![ordered, any::<u32>().prop_map(|run| Place { run, ..Place::default() })]
    }

    #[test]
    fn the_longest_header_is_as_long_as_said() {
        let place = Place { lane: 255, sequence: MAX_SEQUENCE, after: MAX_SEQUENCE - 1, run: u32::MAX };
        let (count, data) = (MAX_FRAGMENTS, vec![7; 16_383]);
        let total = MAX_MESSAGE as u32;
        let f = Fragment { message: [9; 16], kind: u16::MAX, place, index: count - 1, count, total, data };
        assert_eq!(Datagram::Fragment(f).encode().len(), 16_383 + FRAGMENT_HEADER);
    }

    proptest! {
        #[test]
        fn fragments_survive_coding_within_their_header(
            message: [u8; 16], kind: u16, place in place(), count in 1..=MAX_FRAGMENTS,
            data in proptest::collection::vec(any::<u8>(), 0..1800), block in 0..=MAX_BLOCK * 2
        ) {
            let f = Fragment { message, kind, place, index: count - 1, count, total: MAX_MESSAGE as u32, data };
            let len = f.data.len();
            let bytes = Datagram::Fragment(f.clone()).encode();
            prop_assert!(bytes.len() <= len + FRAGMENT_HEADER);
            prop_assert_eq!(Datagram::decode(&bytes), Some(Datagram::Fragment(f.clone())));
            let answerable = Datagram::Answerable(f, vec![3; block]);
            prop_assert!(answerable.encode().len() <= bytes.len() + BLOCK_HEADER + block);
            let good = block <= MAX_BLOCK;
            prop_assert_eq!(Datagram::decode(&answerable.encode()), good.then_some(answerable));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Datagram::decode(&bytes);
        }
    }

    #[test]
    fn impossible_fragments_are_refused() {
        let place = Place { lane: 1, sequence: 5, after: 4, run: 1 };
        let good =
            Fragment { message: [0; 16], kind: 0, place, index: 0, count: 1, total: 3, data: vec![1, 2, 3] };
        assert!(Datagram::decode(&Datagram::Fragment(good.clone()).encode()).is_some());
        for bad in [
            Fragment { index: 1, ..good.clone() },
            Fragment { count: 0, ..good.clone() },
            Fragment { count: MAX_FRAGMENTS + 1, ..good.clone() },
            Fragment { total: MAX_MESSAGE as u32 + 1, ..good.clone() },
            Fragment { total: 2, ..good.clone() },
            Fragment { place: Place { after: 5, ..place }, ..good.clone() },
            Fragment { place: Place { sequence: 0, after: 0, ..place }, ..good.clone() },
            Fragment { place: Place { sequence: MAX_SEQUENCE + 1, ..place }, ..good.clone() },
            Fragment { place: Place { lane: UNORDERED, ..place }, ..good.clone() },
        ] {
            assert_eq!(Datagram::decode(&Datagram::Fragment(bad.clone()).encode()), None);
            assert_eq!(Datagram::decode(&Datagram::Answerable(bad, vec![1]).encode()), None);
        }
    }
}
