//! What a relay is asked for by messages to its own id: boxes and descriptors.
//!
//! Signatures are checked and answers are wrapped outside of the locks. Answers go through the relay's delay queue like
//! any packet, for a time of their own, so that nobody matches them with the requests by time.

use super::{Shared, unix_now};
use crate::boxes::{Checked, Request};
use crate::mix::Outgoing;
use crate::packet::{MESSAGE, Mail, PAYLOAD_LEN, PacketError, Unwrapped, exponential_delay};
use std::time::{Duration, Instant};

/// Mean of the delay of an answer.
const ANSWER_DELAY: Duration = Duration::from_millis(20);

/// Takes the requests out of a batch, and puts the answers in their place.
pub(super) fn serve(shared: &Shared, batch: &mut Vec<Result<Unwrapped, PacketError>>) {
    let id = shared.id;
    let is_request = |unwrapped: &Result<Unwrapped, PacketError>| matches!(unwrapped, Ok(Unwrapped::Deliver { mailbox, mail }) if *mailbox == id && mail.identifier == MESSAGE);
    if !batch.iter().any(is_request) {
        return;
    }
    let now_unix = unix_now();
    let (requests, others): (Vec<_>, Vec<_>) = std::mem::take(batch).into_iter().partition(is_request);
    *batch = others;
    let checked: Vec<Option<Checked>> = requests
        .into_iter()
        .map(|request| match request {
            Ok(Unwrapped::Deliver { mail: Mail { bytes, .. }, .. }) => Request::check(&bytes, &id, now_unix),
            _ => None,
        })
        .collect();
    let answers: Vec<Outgoing> = {
        let mut boxes = shared.boxes.lock();
        let now = Instant::now();
        checked.into_iter().flat_map(|request| boxes.take(now, now_unix, request)).collect()
    };
    let mut rng = rand::rng();
    batch.extend(answers.into_iter().filter_map(|Outgoing { block, message }| {
        let next = block.first_hop();
        // It fits: the answers' lengths are checked when this is built.
        let packet = block.answer(&message, PAYLOAD_LEN).ok()?;
        Some(Ok(Unwrapped::Forward { next, delay: exponential_delay(&mut rng, ANSWER_DELAY), packet }))
    }));
}
