//! What happened to each message.

use bitchat::mesh::{MessageId, Millis, Secret};
use std::collections::HashMap;

/// A message and its fate.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) from: u32,
    pub(crate) to: Option<u32>,
    pub(crate) at: Millis,
    pub(crate) id: MessageId,
    pub(crate) bundle: Option<MessageId>,
    pub(crate) secret: Secret,
    /// Part of an attack.
    pub(crate) attack: bool,
    /// Who has got it, and after how many milliseconds.
    pub(crate) reached: Vec<(u32, Millis)>,
    pub(crate) acknowledged: Option<Millis>,
}

impl Sent {
    pub(crate) fn new(from: u32, to: Option<u32>, at: Millis, id: MessageId, attack: bool) -> Self {
        let (bundle, secret, reached, acknowledged) = (None, [0; 16], Vec::new(), None);
        Self { from, to, at, id, bundle, secret, attack, reached, acknowledged }
    }

    /// Seconds until its receiver had it.
    pub(crate) fn latency(&self) -> Option<f64> {
        let (_, ms) = self.reached.iter().find(|(n, _)| Some(*n) == self.to)?;
        Some(*ms as f64 / 1000.0)
    }
}

/// All messages of a world.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) sent: Vec<Sent>,
    by_packet: HashMap<MessageId, usize>,
    by_bundle: HashMap<MessageId, usize>,
    /// Deliveries of a message that the node had already.
    pub(crate) doubled: u64,
    /// Deliveries of what nobody sent.
    pub(crate) forged: u64,
    /// Bytes on the air.
    pub(crate) bytes: u64,
    /// Bytes of public packets that were delivered.
    pub(crate) delivered_bytes: u64,
    /// Seconds from coming into range to a link.
    pub(crate) discoveries: Vec<f64>,
}

impl Log {
    pub(crate) fn add(&mut self, sent: Sent) {
        let number = self.sent.len();
        self.by_packet.insert(sent.id, number);
        if let Some(bundle) = sent.bundle {
            self.by_bundle.insert(bundle, number);
        }
        self.sent.push(sent);
    }

    /// Another packet with the same message.
    pub(crate) fn also(&mut self, number: usize, id: MessageId) {
        self.by_packet.insert(id, number);
    }

    pub(crate) fn reached(&mut self, node: u32, id: &MessageId, now: Millis, bytes: usize) {
        let Some(number) = self.by_packet.get(id) else {
            self.forged += 1;
            return;
        };
        let sent = &mut self.sent[*number];
        // A message that the outbox sealed anew is another packet; the layer above tells them apart.
        let again = sent.reached.iter().any(|(n, _)| *n == node);
        if again && sent.id == *id {
            self.doubled += 1;
        }
        if !again {
            sent.reached.push((node, now - sent.at));
            self.delivered_bytes += bytes as u64;
        }
    }

    pub(crate) fn acknowledged(&mut self, node: u32, bundle: &MessageId, now: Millis) {
        if let Some(number) = self.by_bundle.get(bundle)
            && self.sent[*number].from == node
        {
            self.receipt(*number, now);
        }
    }

    pub(crate) fn receipt(&mut self, number: usize, now: Millis) {
        let sent = &mut self.sent[number];
        sent.acknowledged.get_or_insert(now - sent.at);
    }
}
