//! Received packets, read where they lie.

use super::{Body, Flags, MAX_PAYLOAD, MessageType, Packet, PacketId, PaddingPolicy, Version};
use super::{SIGNATURE_LEN, compression, padding};
use crate::error::{DecodeError, chunk, take};
use crate::peer::{PEER_ID_LEN, PeerId};
use std::borrow::Cow;

/// Where the time to live is.
const TTL_OFFSET: usize = 2;
/// Where the flags are.
const FLAGS_OFFSET: usize = 11;

/// A packet in received bytes. Nothing is copied; nothing but lengths has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketRef<'a> {
    /// The header's form.
    pub version: Version,
    /// What it is about.
    pub message_type: MessageType,
    /// How many more hops it may take. Not signed.
    pub ttl: u8,
    /// When it was made, milliseconds since 1970, by the sender's clock.
    pub timestamp: u64,
    /// What it carries.
    pub flags: Flags,
    /// Who says to have made it.
    pub sender: PeerId,
    /// Whom it is for. See [`is_broadcast`](Self::is_broadcast).
    pub recipient: Option<PeerId>,
    /// The hops that it is to take.
    pub route: Route<'a>,
    /// The length of the payload before it was compressed, if it was.
    pub original_size: Option<u32>,
    /// The payload as it travels: [`payload`](Self::payload) expands it.
    pub body: &'a [u8],
    /// The signature; see [`verify`](Self::verify).
    pub signature: Option<&'a [u8; SIGNATURE_LEN]>,
    wire: &'a [u8],
    len: usize,
    trailing: usize,
}

impl<'a> PacketRef<'a> {
    /// Reads the packet at the start of `bytes`. What follows it is left alone: padding belongs to
    /// [`wire`](Self::wire), anything else is counted by [`trailing`](Self::trailing) and dropped.
    ///
    /// # Errors
    /// When the bytes are not a whole packet of version 1 or 2, or it is longer than [`MAX_PAYLOAD`] allows.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let layout = Layout::read(bytes)?;
        let (packet, after) = take(bytes, layout.len, "the packet")?;
        let ([_, kind, ttl], rest) = chunk::<3>(packet, "the header")?;
        let (timestamp, _) = chunk(rest, "the timestamp")?;
        let (sender, rest) = chunk::<PEER_ID_LEN>(&packet[layout.version.header_len()..], "the sender")?;
        let (recipient, rest) = match layout.flags.has(Flags::RECIPIENT) {
            true => {
                chunk::<PEER_ID_LEN>(rest, "the recipient").map(|(id, rest)| (Some(PeerId(*id)), rest))?
            }
            false => (None, rest),
        };
        let (route, rest) = match layout.has_route() {
            true => take(&rest[1..], layout.hops * PEER_ID_LEN, "the route")?,
            false => (&[][..], rest),
        };
        let (body, rest) = take(rest, layout.body_len, "the body")?;
        let signature = match layout.flags.has(Flags::SIGNATURE) {
            true => Some(chunk(rest, "the signature")?.0),
            false => None,
        };
        let (original_size, body) = match (layout.flags.has(Flags::COMPRESSED), layout.version) {
            (false, _) => (None, body),
            (true, Version::V1) => {
                let (size, body) = chunk(body, "the original size")?;
                (Some(u32::from(u16::from_be_bytes(*size))), body)
            }
            (true, Version::V2) => {
                let (size, body) = chunk(body, "the original size")?;
                (Some(u32::from_be_bytes(*size)), body)
            }
        };
        // Padding is what it should be for this length, or no padding.
        let padding = usize::from(padding::padding_len(layout.len));
        let padded = padding > 0 && after.len() == padding && padding::trailing_padding(after) == padding;
        let wire_len = layout.len + if padded { padding } else { 0 };
        Ok(Self {
            version: layout.version,
            message_type: MessageType::from(*kind),
            ttl: *ttl,
            timestamp: u64::from_be_bytes(*timestamp),
            flags: layout.flags,
            sender: PeerId(*sender),
            recipient,
            route: Route(route),
            original_size,
            body,
            signature,
            wire: &bytes[..wire_len],
            len: layout.len,
            trailing: bytes.len() - wire_len,
        })
    }

    /// The packet's bytes with their padding, as they were received.
    pub fn wire(&self) -> &'a [u8] {
        self.wire
    }

    /// The packet's bytes without padding.
    pub fn unpadded(&self) -> &'a [u8] {
        &self.wire[..self.len]
    }

    /// How many bytes of padding follow.
    pub fn padding(&self) -> usize {
        self.wire.len() - self.len
    }

    /// How many bytes were there that belong neither to the packet nor to its padding.
    pub fn trailing(&self) -> usize {
        self.trailing
    }

    /// The packet up to its signature.
    pub(super) fn unsigned(&self) -> &'a [u8] {
        let signature = if self.signature.is_some() { SIGNATURE_LEN } else { 0 };
        &self.wire[..self.len - signature]
    }

    /// The payload, expanded if it was compressed.
    ///
    /// # Errors
    /// When the compressed data is damaged or promises too much.
    pub fn payload(&self) -> Result<Cow<'a, [u8]>, DecodeError> {
        match self.original_size {
            None => Ok(Cow::Borrowed(self.body)),
            Some(size) => compression::expand(self.body, size as usize, MAX_PAYLOAD).map(Cow::Owned),
        }
    }

    /// Whether it is for everybody: no recipient, or the one that means all.
    pub fn is_broadcast(&self) -> bool {
        self.recipient.is_none_or(|r| r == PeerId::BROADCAST)
    }

    /// Whether it is marked as an answer to a sync request. Anybody can set that mark.
    pub fn is_sync_reply(&self) -> bool {
        self.flags.has(Flags::SYNC_REPLY)
    }

    /// How far the packet's time is from `now`, milliseconds since 1970.
    pub fn skew_ms(&self, now: u64) -> u64 {
        self.timestamp.abs_diff(now)
    }

    /// The id that all copies of this packet share.
    ///
    /// # Errors
    /// As [`payload`](Self::payload).
    pub fn id(&self) -> Result<PacketId, DecodeError> {
        Ok(PacketId::of(self.message_type, self.sender, self.timestamp, &self.payload()?))
    }

    /// What a relay sends: the received bytes with another time to live.
    pub fn relayed(&self, ttl: u8) -> Vec<u8> {
        let mut bytes = self.wire.to_vec();
        set_ttl(&mut bytes, ttl);
        bytes
    }

    /// What answers a sync request: the received bytes with time to live 0, marked as an answer.
    pub fn as_sync_reply(&self) -> Vec<u8> {
        let mut bytes = self.relayed(0);
        if let Some(flags) = bytes.get_mut(FLAGS_OFFSET) {
            *flags |= Flags::SYNC_REPLY;
        }
        bytes
    }

    /// The same packet as one that can be changed and encoded again, byte for byte the same until it is changed.
    pub fn to_packet(&self) -> Packet {
        Packet {
            version: self.version,
            message_type: self.message_type,
            ttl: self.ttl,
            timestamp: self.timestamp,
            sync_reply: self.is_sync_reply(),
            other_flags: self.flags.0 & self.other_flags_mask(),
            sender: self.sender,
            recipient: self.recipient,
            route: (self.version == Version::V2 && self.flags.has(Flags::ROUTE))
                .then(|| self.route.hops().collect()),
            body: match self.original_size {
                Some(original_size) => Body::Compressed { original_size, data: self.body.to_vec() },
                None => Body::Plain(self.body.to_vec()),
            },
            signature: self.signature.copied(),
            padding: if self.padding() > 0 { PaddingPolicy::Always } else { PaddingPolicy::Never },
        }
    }

    fn other_flags_mask(&self) -> u8 {
        match self.version {
            // Without a meaning there.
            Version::V1 => !Flags::KNOWN | Flags::ROUTE,
            Version::V2 => !Flags::KNOWN,
        }
    }
}

/// Changes the time to live of an encoded packet, and nothing else.
pub fn set_ttl(packet: &mut [u8], ttl: u8) {
    if let Some(byte) = packet.get_mut(TTL_OFFSET) {
        *byte = ttl;
    }
}

/// The hops between sender and recipient that a version 2 packet is to take, in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Route<'a>(&'a [u8]);

impl<'a> Route<'a> {
    /// How many hops.
    pub fn len(&self) -> usize {
        self.0.len() / PEER_ID_LEN
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The hops.
    pub fn hops(&self) -> impl Iterator<Item = PeerId> + 'a {
        self.0.as_chunks::<PEER_ID_LEN>().0.iter().map(|id| PeerId(*id))
    }
}

/// How long the packet at the start of some bytes is, and why.
pub(super) struct Layout {
    version: Version,
    flags: Flags,
    body_len: usize,
    hops: usize,
    /// The packet's length without padding.
    pub(super) len: usize,
}

impl Layout {
    /// Looks only at the header and, in version 2 with a route, at its count.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let version = match bytes.first() {
            Some(1) => Version::V1,
            Some(2) => Version::V2,
            Some(other) => return Err(DecodeError::Version(*other)),
            None => return Err(DecodeError::Truncated { what: "the header", need: super::MIN_LEN, have: 0 }),
        };
        let (header, rest) = take(bytes, version.header_len(), "the header")?;
        let flags = Flags(header[FLAGS_OFFSET]);
        let body_len = match header[FLAGS_OFFSET + 1..] {
            [a, b] => usize::from(u16::from_be_bytes([a, b])),
            [a, b, c, d] => u32::from_be_bytes([a, b, c, d]) as usize,
            _ => return Err(DecodeError::Missing("the body length")),
        };
        if body_len > MAX_PAYLOAD {
            return Err(DecodeError::TooLong { what: "the body", len: body_len, max: MAX_PAYLOAD });
        }
        let mut layout = Self { version, flags, body_len, hops: 0, len: 0 };
        let ids = if flags.has(Flags::RECIPIENT) { 2 * PEER_ID_LEN } else { PEER_ID_LEN };
        let mut len = version.header_len() + ids;
        if layout.has_route() {
            let count = rest.get(ids).ok_or(DecodeError::Truncated {
                what: "the route",
                need: len + 1,
                have: bytes.len(),
            })?;
            layout.hops = usize::from(*count);
            len += 1 + layout.hops * PEER_ID_LEN;
        }
        layout.len = len + body_len + if flags.has(Flags::SIGNATURE) { SIGNATURE_LEN } else { 0 };
        Ok(layout)
    }

    fn has_route(&self) -> bool {
        self.version == Version::V2 && self.flags.has(Flags::ROUTE)
    }
}
