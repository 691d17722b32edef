//! A look into an encoded packet, without copying: all that a relay needs to know of it.
//!
//! A relay keeps the bytes as they came and changes the TTL alone, since another encoder's compression would break the
//! sender's signature.

use crate::PeerId;
use crate::mesh::types::MessageId;
use crate::packet::{INITIAL_TTL, PacketRef, Route, set_ttl};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The TTL that packets begin with.
pub(crate) const TTL: u8 = INITIAL_TTL;

/// The types that the relay rules tell apart.
pub(crate) mod kind {
    pub(crate) const ANNOUNCE: u8 = 0x01;
    pub(crate) const MESSAGE: u8 = 0x02;
    pub(crate) const LEAVE: u8 = 0x03;
    pub(crate) const COURIER: u8 = 0x04;
    pub(crate) const HANDSHAKE: u8 = 0x10;
    pub(crate) const ENCRYPTED: u8 = 0x11;
    pub(crate) const FRAGMENT: u8 = 0x20;
    pub(crate) const REQUEST_SYNC: u8 = 0x21;
    pub(crate) const FILE: u8 = 0x22;
    pub(crate) const BOARD: u8 = 0x23;
    pub(crate) const GROUP: u8 = 0x25;
    pub(crate) const PING: u8 = 0x26;
    pub(crate) const PONG: u8 = 0x27;
    pub(crate) const CARRIER: u8 = 0x28;
    pub(crate) const VOICE: u8 = 0x29;
}

/// What a relay looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) kind: u8,
    pub(crate) ttl: u8,
    pub(crate) timestamp: u64,
    pub(crate) sender: PeerId,
    /// None for everybody.
    pub(crate) recipient: Option<PeerId>,
    /// The hops between sender and recipient, where the sender chose them.
    pub(crate) route: Route<'a>,
    /// As on the wire: compressed if it is.
    pub(crate) payload: &'a [u8],
    original_size: Option<u32>,
    pub(crate) signed: bool,
    pub(crate) answer: bool,
}

impl<'a> View<'a> {
    /// None for what is no complete packet of version 1 or 2. Bytes that follow it are padding.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let packet = PacketRef::decode(bytes).ok()?;
        Some(Self {
            kind: packet.message_type.into(),
            ttl: packet.ttl,
            timestamp: packet.timestamp,
            sender: packet.sender,
            recipient: packet.recipient.filter(|_| !packet.is_broadcast()),
            route: packet.route,
            payload: packet.body,
            original_size: packet.original_size,
            signed: packet.signature.is_some(),
            answer: packet.is_sync_reply(),
        })
    }

    /// The packet's name, the same on every hop: [`PacketId`](crate::packet::PacketId) where nothing is compressed. What is
    /// compressed is not expanded for it.
    pub(crate) fn id(&self) -> MessageId {
        let mut hash = Sha256::new();
        hash.update([self.kind]);
        hash.update(self.sender.0);
        hash.update(self.timestamp.to_be_bytes());
        hash.update(self.payload);
        if let Some(size) = self.original_size {
            hash.update(size.to_be_bytes());
        }
        let hash: [u8; 32] = hash.finalize().into();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        MessageId(id)
    }
}

/// The same packet with another TTL; never a higher one.
pub(crate) fn with_ttl(packet: &[u8], ttl: u8) -> Arc<[u8]> {
    let mut copy: Arc<[u8]> = packet.into();
    if let Some(bytes) = Arc::get_mut(&mut copy) {
        let old = bytes.get(2).copied().unwrap_or(0);
        set_ttl(bytes, ttl.min(old));
    }
    copy
}

/// The same packet as the answer to a request for what was missed.
pub(crate) fn as_answer(packet: &[u8]) -> Arc<[u8]> {
    PacketRef::decode(packet).map_or_else(|_| packet.into(), |p| p.as_sync_reply().into())
}
