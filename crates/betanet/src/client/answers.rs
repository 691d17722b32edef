//! Reply blocks that are out, and what is needed to read their answers.

use super::boxes::BoxLink;
use crate::sphinx::{Identifier, Recovery};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Blocks that are remembered at once; the oldest make room. Some 150 bytes each.
const MAX_BLOCKS: usize = 16_384;

/// Who waits for the answer by a block.
pub(super) enum Claim {
    /// Whoever reads [`super::Inbound`].
    Inbound,
    /// One of this client's boxes.
    Box(Arc<BoxLink>),
    /// One who asked.
    Once(oneshot::Sender<Vec<u8>>),
}

/// The blocks by identifier.
#[derive(Default)]
pub(super) struct Answers {
    blocks: HashMap<Identifier, (Recovery, Claim)>,
    /// By age, with the Unix second from which relays take the block no more.
    order: VecDeque<(Identifier, u64)>,
}

impl Answers {
    pub(super) fn add(&mut self, recovery: Recovery, until: u64, claim: Claim) {
        if self.order.len() >= MAX_BLOCKS {
            self.forget_oldest();
        }
        self.order.push_back((recovery.identifier(), until));
        self.blocks.insert(recovery.identifier(), (recovery, claim));
    }

    /// Reads an answer. Each block is good for one; an answer that cannot be read uses it up, too: relays let no
    /// second one through.
    pub(super) fn open(&mut self, identifier: &Identifier, mut answer: Vec<u8>) -> Option<(Vec<u8>, Claim)> {
        let (recovery, claim) = self.blocks.remove(identifier)?;
        let message = recovery.open(&mut answer).ok()?.to_vec();
        Some((message, claim))
    }

    pub(super) fn expire(&mut self, now_unix: u64) {
        while self.order.front().is_some_and(|(_, until)| *until <= now_unix) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((identifier, _)) = self.order.pop_front() {
            self.blocks.remove(&identifier);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::EpochSecret;
    use crate::packet::{Hop, Tables, Unwrapped, answer, open, unwrap};
    use std::time::Duration;
    use x25519_dalek::{PublicKey, StaticSecret};

    #[test]
    fn a_block_is_good_for_one_answer_and_not_for_ever() {
        let secret = StaticSecret::random();
        let sphinx_key = PublicKey::from(&secret).to_bytes();
        let hop = Hop { relay: [1; 32], sphinx_key, delay: Duration::ZERO };
        let mut answers = Answers::default();
        let mut delivered = Vec::new();
        for n in 1..=3 {
            let (block, recovery) =
                Tables::default().reply_block(&[hop, hop], &[9; 32], [n; 16]).expect("builds");
            answers.add(recovery, 100 * u64::from(n), Claim::Inbound);
            let (_, packet) = answer(&block.to_bytes(), &[n]).expect("answers");
            let at_relay = |packet| {
                let opened = open(&[EpochSecret { epoch: 0, secret: secret.clone() }], vec![packet]);
                unwrap(opened.into_iter().collect::<Result<Vec<_>, _>>().expect("opens")).pop()
            };
            let Some(Ok(Unwrapped::Forward { packet, .. })) = at_relay(packet) else { panic!("forwards") };
            let Some(Ok(Unwrapped::Deliver { mail, .. })) = at_relay(packet) else { panic!("delivers") };
            delivered.push(mail);
        }
        answers.expire(100);
        let mut open = |i: usize| {
            let opened = answers.open(&delivered[i].identifier, delivered[i].bytes.clone());
            opened.map(|(message, _)| message)
        };
        assert_eq!([open(0), open(1), open(1)], [None, Some(vec![2]), None]);
        assert!(answers.open(&[3; 16], vec![0; 2048]).is_none(), "not an answer to it");
        assert!(answers.open(&[7; 16], Vec::new()).is_none(), "nobody's");
    }

    #[test]
    fn as_many_blocks_as_may_be_are_remembered() {
        let mut answers = Answers::default();
        let secret = StaticSecret::random();
        let hop =
            Hop { relay: [1; 32], sphinx_key: PublicKey::from(&secret).to_bytes(), delay: Duration::ZERO };
        let (_, recovery) = Tables::default().reply_block(&[hop, hop], &[9; 32], [1; 16]).expect("builds");
        for _ in 0..=MAX_BLOCKS {
            answers.add(recovery.clone(), 1, Claim::Inbound);
        }
        assert_eq!(answers.order.len(), MAX_BLOCKS);
    }
}
