//! What relays of layer 3 do for those who want to be reached without being known: *boxes* and a store of sealed
//! descriptors. This is what is said; [`crate::mix::Boxes`] is what a relay does with it, and
//! [`Client::open_box`](crate::client::Client::open_box) is an owner's side.
//!
//! ```text
//!  owner ── Deposit: reply blocks ──▶ relay                        a message to the relay's own id as mailbox
//!  sender ── Put: box, payload ─────▶ relay ── Answer::Put ──▶ owner    by the next of the blocks
//!  service ── Store: descriptor ────▶ relay
//!  client ── Fetch: key, block ─────▶ relay ── Answer::Descriptor, or Nothing ──▶ client
//! ```
//!
//! The relay knows a box by its id, the hash of a key that its owner made for it, and takes deposits only with that
//! key's signature. It learns neither where the owner is nor who puts: requests come over a path, and answers leave by
//! reply blocks, after a delay that the relay draws. What it sees is how many payloads come for a box, and when.
//!
//! Every answer by a box tells how many blocks are left, so an owner never counts on blocks that got lost. A request
//! that makes no sense is counted, and nothing is answered.

use crate::Key;
use crate::packet::MAX_MESSAGE;
use crate::sealed::{DESCRIPTOR_LEN, SealedDescriptor};
use crate::sphinx::{HEADER_LEN, Surb};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// Bytes of a reply block in a request: header, first relay, one seed.
pub const BLOCK_LEN: usize = HEADER_LEN + 32 + 16;
/// The most reply blocks of one deposit.
pub const MAX_DEPOSIT: usize = 4;
/// The most bytes of a payload that is put into a box.
pub const MAX_PAYLOAD: usize = 1_950;

const BOX_ID: &str = "betanet 1 box id";
const DEPOSIT: &[u8] = b"betanet box deposit 1\0";

/// The id of the box that this Ed25519 key owns, at whichever relay.
pub fn box_id(owner: &Key) -> Key {
    blake3::derive_key(BOX_ID, owner)
}

/// A request to a relay: the whole of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Opens the owner's box, or replenishes it.
    #[serde(borrow)]
    Deposit(Deposit<'a>),
    /// For the owner of a box.
    Put {
        /// The box.
        id: Key,
        /// At most [`MAX_PAYLOAD`] bytes, sealed end to end.
        payload: &'a [u8],
    },
    /// A sealed descriptor to be kept for its day.
    Store(&'a [u8]),
    /// Asks for the descriptor of a blinded key.
    Fetch {
        /// The key.
        blinded: Key,
        /// By which it is answered: [`BLOCK_LEN`] bytes.
        block: &'a [u8],
    },
}

/// Reply blocks for a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deposit<'a> {
    /// The owner's Ed25519 key.
    pub owner: Key,
    /// Counts the owner's deposits at this relay from 1. The same number is taken once.
    pub number: u64,
    /// Unix seconds from which relays take the blocks no more.
    pub until: u64,
    /// True to be told at once, by one of the blocks, how many there are.
    pub tell: bool,
    /// One to [`MAX_DEPOSIT`] blocks of [`BLOCK_LEN`] bytes, one after the other.
    pub blocks: &'a [u8],
    /// The owner's signature over all of this and the relay's id: [`Deposit::sign`].
    pub signature: &'a [u8],
}

/// What a relay has checked: nothing of it can be wrong any more.
#[derive(Clone, PartialEq, Eq)]
pub enum Checked {
    /// See [`Request::Deposit`].
    Deposit(Deposited),
    /// See [`Request::Put`].
    Put {
        /// The box.
        id: Key,
        /// The payload.
        payload: Vec<u8>,
    },
    /// See [`Request::Store`].
    Store(SealedDescriptor),
    /// See [`Request::Fetch`].
    Fetch {
        /// The key.
        blinded: Key,
        /// By which it is answered.
        block: Box<Surb>,
    },
}

/// A deposit whose signature is right.
#[derive(Clone, PartialEq, Eq)]
pub struct Deposited {
    /// The box.
    pub id: Key,
    /// The deposit's number.
    pub number: u64,
    /// Unix seconds from which the blocks are of no use.
    pub until: u64,
    /// Tell at once how many blocks there are.
    pub tell: bool,
    /// The blocks.
    pub blocks: Vec<Surb>,
}

impl Deposit<'_> {
    fn signed(relay: &Key, owner: &Key, number: u64, until: u64, tell: bool, blocks: &[u8]) -> Vec<u8> {
        let numbers = [number.to_le_bytes(), until.to_le_bytes()].concat();
        [DEPOSIT, relay, owner, &numbers, &[u8::from(tell)], blocks].concat()
    }

    /// The owner's signature, which goes into [`Deposit::signature`].
    pub fn sign(
        key: &SigningKey,
        relay: &Key,
        number: u64,
        until: u64,
        tell: bool,
        blocks: &[u8],
    ) -> [u8; 64] {
        let owner = key.verifying_key().to_bytes();
        key.sign(&Self::signed(relay, &owner, number, until, tell, blocks)).to_bytes()
    }

    fn check(&self, relay: &Key) -> Option<Checked> {
        let Self { owner, number, until, tell, blocks, signature } = self;
        let (each, rest) = blocks.as_chunks::<BLOCK_LEN>();
        if !rest.is_empty() || !(1..=MAX_DEPOSIT).contains(&each.len()) || *number == 0 {
            return None;
        }
        let signature = Signature::from_slice(signature).ok()?;
        let signed = Self::signed(relay, owner, *number, *until, *tell, blocks);
        VerifyingKey::from_bytes(owner).ok()?.verify_strict(&signed, &signature).ok()?;
        let blocks = each.iter().map(|b| Surb::from_bytes(b).ok()).collect::<Option<Vec<_>>>()?;
        Some(Checked::Deposit(Deposited {
            id: box_id(owner),
            number: *number,
            until: *until,
            tell: *tell,
            blocks,
        }))
    }
}

impl Request<'_> {
    /// The message to send to the relay.
    pub fn encode(&self) -> Vec<u8> {
        // Into a vector it cannot fail.
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// Reads a request and checks all of it that needs no state. None if anything is wrong.
    pub fn check(message: &[u8], relay: &Key, now_unix: u64) -> Option<Checked> {
        let (request, rest) = postcard::take_from_bytes::<Request<'_>>(message).ok()?;
        if !rest.is_empty() {
            return None;
        }
        match request {
            Request::Deposit(deposit) => deposit.check(relay),
            Request::Put { id, payload } => {
                (payload.len() <= MAX_PAYLOAD).then(|| Checked::Put { id, payload: payload.to_vec() })
            }
            Request::Store(bytes) => {
                let descriptor = SealedDescriptor::from_bytes(bytes).ok()?;
                descriptor.check(now_unix).ok()?;
                Some(Checked::Store(descriptor))
            }
            Request::Fetch { blinded, block } => {
                let block = <&[u8; BLOCK_LEN]>::try_from(block).ok()?;
                Some(Checked::Fetch { blinded, block: Box::new(Surb::from_bytes(block).ok()?) })
            }
        }
    }
}

/// What a relay knows of a box when it answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Counts what the relay sent for this box: the higher is the newer report.
    pub sent: u64,
    /// The highest number of a deposit that came.
    pub number: u64,
    /// Blocks that are left, of those that are good for longest.
    pub left: u16,
    /// Payloads that wait for blocks.
    pub waiting: u16,
}

/// What comes back by a reply block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer<'a> {
    /// Somebody put this into the box.
    Put(Report, &'a [u8]),
    /// How the box is: the answer to a deposit that asked for it.
    Told(Report),
    /// The descriptor that was asked for.
    Descriptor(&'a [u8]),
    /// There is no descriptor of this key here.
    Nothing,
}

impl<'a> Answer<'a> {
    /// The message for the reply block.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// Reads it. None if it makes no sense: whoever has a block can send anything.
    pub fn decode(message: &'a [u8]) -> Option<Self> {
        let (answer, rest) = postcard::take_from_bytes(message).ok()?;
        rest.is_empty().then_some(answer)
    }
}

// The longest of each fits: ten bytes at most for a number of 64 bits, three for a length.
const _: () = assert!(1 + 32 + 10 + 10 + 1 + 3 + MAX_DEPOSIT * BLOCK_LEN + 3 + 64 <= MAX_MESSAGE);
const _: () =
    assert!(1 + 32 + 3 + MAX_PAYLOAD <= MAX_MESSAGE && 1 + 10 + 10 + 3 + 3 + 3 + MAX_PAYLOAD <= MAX_MESSAGE);
const _: () = assert!(1 + 3 + DESCRIPTOR_LEN <= MAX_MESSAGE);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Hop, Tables};
    use proptest::prelude::*;
    use std::time::Duration;
    use x25519_dalek::{PublicKey, StaticSecret};

    fn block() -> Vec<u8> {
        let sphinx_key = PublicKey::from(&StaticSecret::random()).to_bytes();
        let hop = Hop { relay: [1; 32], sphinx_key, delay: Duration::ZERO };
        Tables::default().reply_block(&[hop, hop], &[9; 32], [3; 16]).expect("builds").0.to_bytes()
    }

    fn deposit(blocks: &[u8], number: u64) -> Vec<u8> {
        let key = SigningKey::from_bytes(&[7; 32]);
        let signature = Deposit::sign(&key, &[5; 32], number, u64::MAX, true, blocks);
        Request::Deposit(Deposit {
            owner: key.verifying_key().to_bytes(),
            number,
            until: u64::MAX,
            tell: true,
            blocks,
            signature: &signature,
        })
        .encode()
    }

    #[test]
    fn a_deposit_is_taken_as_it_was_signed_and_fits() {
        let blocks = block().repeat(MAX_DEPOSIT);
        assert_eq!(blocks.len(), MAX_DEPOSIT * BLOCK_LEN);
        let message = deposit(&blocks, u64::MAX);
        assert!(message.len() <= MAX_MESSAGE);
        match Request::check(&message, &[5; 32], 0) {
            Some(Checked::Deposit(Deposited { id, number, tell, blocks, .. })) => {
                let owner = SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes();
                assert_eq!((id, number, tell, blocks.len()), (box_id(&owner), u64::MAX, true, MAX_DEPOSIT));
            }
            _ => panic!("refused"),
        }
        assert!(Request::check(&message, &[6; 32], 0).is_none(), "signed for another relay");
        assert!(Request::check(&deposit(&blocks, 0), &[5; 32], 0).is_none());
        assert!(Request::check(&deposit(&[], 1), &[5; 32], 0).is_none());
        assert!(Request::check(&deposit(&blocks[1..], 1), &[5; 32], 0).is_none());
        assert!(Request::check(&deposit(&block().repeat(5), 1), &[5; 32], 0).is_none());
        for at in 0..message.len() {
            let mut altered = message.clone();
            altered[at] ^= 1;
            assert!(Request::check(&altered, &[5; 32], 0).is_none(), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn puts_and_answers_come_through(
            payload in proptest::collection::vec(any::<u8>(), 0..=MAX_PAYLOAD), sent in any::<u64>(), left in any::<u16>()
        ) {
            let message = Request::Put { id: [4; 32], payload: &payload }.encode();
            prop_assert!(message.len() <= MAX_MESSAGE);
            let checked = Request::check(&message, &[5; 32], 0);
            let expected = Checked::Put { id: [4; 32], payload: payload.clone() };
            prop_assert!(checked == Some(expected));
            let report = Report { sent, number: sent, left, waiting: left };
            let answer = Answer::Put(report, &payload);
            let encoded = answer.encode();
            prop_assert!(encoded.len() <= MAX_MESSAGE);
            prop_assert_eq!(Answer::decode(&encoded), Some(answer));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..MAX_MESSAGE), kind in 0u8..5) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            match Request::check(&bytes, &[5; 32], 0) {
                None => {}
                Some(Checked::Put { payload, .. }) => prop_assert!(payload.len() <= MAX_PAYLOAD),
                Some(_) => prop_assert!(false, "nobody signed this, and no block has such a length"),
            }
            let _ = Answer::decode(&bytes);
        }
    }

    #[test]
    fn too_long_a_payload_and_a_damaged_block_are_refused() {
        let long = Request::Put { id: [4; 32], payload: &[0; MAX_PAYLOAD + 1] }.encode();
        assert!(Request::check(&long, &[5; 32], 0).is_none());
        let fetch =
            |block: &[u8]| Request::check(&Request::Fetch { blinded: [1; 32], block }.encode(), &[5; 32], 0);
        assert!(fetch(&block()).is_some());
        assert!(fetch(&block()[1..]).is_none() && fetch(&[0; BLOCK_LEN + 1]).is_none());
        assert!(Request::check(&Request::Store(&[1; DESCRIPTOR_LEN]).encode(), &[5; 32], 0).is_none());
    }
}
