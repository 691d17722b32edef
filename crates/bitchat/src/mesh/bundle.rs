//! Messages that nodes carry for one another until the receiver acknowledges them.
//!
//! A bundle is an ordinary packet for one receiver, with what carriers must know beside it: how long it is worth
//! carrying, and the hash of a secret. The secret is inside the sealed part of the packet. Who opens the packet can
//! show the secret, and that is the acknowledgement: anybody can check it with one hash, without knowing anybody's key,
//! and nobody but the receiver (and the sender) can make it. A carrier that claims delivery to be rid of a message, or to
//! have others drop it, is not believed.
//!
//! The bundle's name covers the packet, the hash and the end of its life. Who changes one of them has made another
//! bundle, which does the first no harm.

use crate::PeerId;
use crate::mesh::control::Reader;
use crate::mesh::types::{MessageId, Millis};
use crate::mesh::view::View;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The longest packet that is carried, bytes.
pub const MAX_CARRIED: usize = 16 * 1024;
/// The longest that a message is carried, milliseconds.
pub const MAX_LIFETIME_MS: Millis = 24 * 3_600_000;

/// What the receiver shows to prove that it has opened a message.
pub type Secret = [u8; 16];

/// The hash of a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AckHash(pub [u8; 16]);

impl AckHash {
    /// Of a secret.
    pub fn of(secret: &Secret) -> Self {
        Self(short(&[b"fog mesh acknowledgement", secret]))
    }
}

/// A packet with what carriers need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bundle {
    pub(crate) id: MessageId,
    /// The packet's own name.
    pub(crate) packet_id: MessageId,
    pub(crate) packet: Arc<[u8]>,
    pub(crate) sender: PeerId,
    pub(crate) recipient: PeerId,
    pub(crate) ack: AckHash,
    /// Seconds since 1970.
    pub(crate) expires_s: u32,
}

impl Bundle {
    /// None for what is no packet to somebody, or too long.
    pub(crate) fn new(packet: Arc<[u8]>, ack: AckHash, expires_s: u32) -> Option<Self> {
        if packet.len() > MAX_CARRIED {
            return None;
        }
        let view = View::parse(&packet)?;
        let (sender, recipient, packet_id) = (view.sender, view.recipient?, view.id());
        let id = bundle_id(&packet_id, &ack, expires_s);
        Some(Self { id, packet_id, packet, sender, recipient, ack, expires_s })
    }

    pub(crate) fn expires(&self) -> Millis {
        Millis::from(self.expires_s) * 1000
    }
}

/// The proof that a bundle has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ack {
    pub(crate) packet_id: MessageId,
    pub(crate) secret: Secret,
    pub(crate) expires_s: u32,
}

impl Ack {
    /// The bundle that it acknowledges: another bundle than the one whose secret it shows cannot be named.
    pub(crate) fn bundle(&self) -> MessageId {
        bundle_id(&self.packet_id, &AckHash::of(&self.secret), self.expires_s)
    }

    pub(crate) fn expires(&self) -> Millis {
        Millis::from(self.expires_s) * 1000
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.packet_id.0);
        out.extend_from_slice(&self.secret);
        out.extend_from_slice(&self.expires_s.to_be_bytes());
    }

    pub(crate) fn decode(input: &mut Reader<'_>) -> Option<Self> {
        Some(Self { packet_id: MessageId(input.array()?), secret: input.array()?, expires_s: input.u32()? })
    }
}

fn bundle_id(packet: &MessageId, ack: &AckHash, expires_s: u32) -> MessageId {
    MessageId(short(&[b"fog mesh bundle", &packet.0, &ack.0, &expires_s.to_be_bytes()]))
}

fn short(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|p| hash.update(p));
    let hash: [u8; 32] = hash.finalize().into();
    let mut out = [0; 16];
    out.copy_from_slice(&hash[..16]);
    out
}
