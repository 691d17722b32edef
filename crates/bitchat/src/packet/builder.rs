//! Packets of our own.

use super::{
    Flags, INITIAL_TTL, MAX_PAYLOAD, MessageType, SIGNATURE_LEN, Version, compression, padding, signature,
};
use crate::error::{EncodeError, fits};
use crate::peer::PeerId;
use ed25519_dalek::{Signer, SigningKey};
use std::borrow::Cow;

/// What a packet carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A payload that is compressed if that is worth it.
    Auto(Vec<u8>),
    /// A payload that travels as it is.
    Plain(Vec<u8>),
    /// Somebody's compressed payload, to be kept as it is.
    Compressed {
        /// The payload's length.
        original_size: u32,
        /// Raw DEFLATE data.
        data: Vec<u8>,
    },
}

/// Whether a packet is padded on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PaddingPolicy {
    /// As its type is.
    #[default]
    ByType,
    /// If there is padding for its length.
    Always,
    /// No.
    Never,
}

/// A packet to be encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The least version; a route or a large payload raise it.
    pub version: Version,
    /// What it is about.
    pub message_type: MessageType,
    /// How many hops it may take.
    pub ttl: u8,
    /// When it was made, milliseconds since 1970.
    pub timestamp: u64,
    /// Mark it as an answer to a sync request.
    pub sync_reply: bool,
    /// Flags that have no meaning here; normally 0.
    pub other_flags: u8,
    /// Who makes it.
    pub sender: PeerId,
    /// Whom it is for; none for everybody.
    pub recipient: Option<PeerId>,
    /// The hops between; none to let it find its way.
    pub route: Option<Vec<PeerId>>,
    /// What it carries.
    pub body: Body,
    /// A signature that was made before. [`encode_signed`](Self::encode_signed) replaces it.
    pub signature: Option<[u8; SIGNATURE_LEN]>,
    /// Whether it is padded.
    pub padding: PaddingPolicy,
}

impl Packet {
    /// A packet for everybody with [`INITIAL_TTL`]; `timestamp` in milliseconds since 1970.
    pub fn new(message_type: MessageType, sender: PeerId, timestamp: u64, payload: Vec<u8>) -> Self {
        Self {
            version: Version::V1,
            message_type,
            ttl: INITIAL_TTL,
            timestamp,
            sync_reply: false,
            other_flags: 0,
            sender,
            recipient: None,
            route: None,
            body: Body::Auto(payload),
            signature: None,
            padding: PaddingPolicy::ByType,
        }
    }

    /// The same for one recipient.
    #[must_use]
    pub fn to(self, recipient: PeerId) -> Self {
        Self { recipient: Some(recipient), ..self }
    }

    /// The packet's bytes.
    ///
    /// # Errors
    /// When the payload or the route is too long.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let packet = self.unsigned(self.signature.is_some())?;
        Ok(self.finish(packet, self.signature.as_ref()))
    }

    /// The packet's bytes, signed by `key`.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_signed(&self, key: &SigningKey) -> Result<Vec<u8>, EncodeError> {
        let packet = self.unsigned(true)?;
        let signature = key.sign(&signature::transcript(packet.clone())).to_bytes();
        Ok(self.finish(packet, Some(&signature)))
    }

    fn finish(&self, mut packet: Vec<u8>, signature: Option<&[u8; SIGNATURE_LEN]>) -> Vec<u8> {
        packet.extend_from_slice(signature.map_or(&[][..], |s| s));
        let pad = match self.padding {
            PaddingPolicy::ByType => self.message_type.is_padded(),
            PaddingPolicy::Always => true,
            PaddingPolicy::Never => false,
        };
        if pad {
            padding::pad(&mut packet);
        }
        packet
    }

    /// Everything up to the signature. Whether one follows stands in the flags.
    fn unsigned(&self, signed: bool) -> Result<Vec<u8>, EncodeError> {
        let (original_size, data) = match &self.body {
            Body::Plain(payload) => (None, Cow::Borrowed(payload)),
            Body::Auto(payload) => match compression::compress(payload) {
                Some(deflated) => (Some(payload.len()), Cow::Owned(deflated)),
                None => (None, Cow::Borrowed(payload)),
            },
            Body::Compressed { original_size, data } => (Some(*original_size as usize), Cow::Borrowed(data)),
        };
        if let Body::Auto(payload) | Body::Plain(payload) = &self.body {
            fits("the payload", payload.len(), MAX_PAYLOAD)?;
        }
        let hops = self.route.as_deref().unwrap_or_default();
        fits("the route (in hops)", hops.len(), 255)?;
        let longest = original_size.map_or(data.len(), |size| size.max(data.len() + Version::V1.size_len()));
        let version = match self.version {
            Version::V1 if self.route.is_none() && longest <= usize::from(u16::MAX) => Version::V1,
            _ => Version::V2,
        };
        let body_len = data.len() + original_size.map_or(0, |_| version.size_len());
        fits("the body", body_len, MAX_PAYLOAD)?;

        let mut flags = self.other_flags;
        let mut set = |on: bool, bit: u8| flags |= if on { bit } else { 0 };
        set(self.recipient.is_some(), Flags::RECIPIENT);
        set(signed, Flags::SIGNATURE);
        set(original_size.is_some(), Flags::COMPRESSED);
        set(self.route.is_some(), Flags::ROUTE);
        set(self.sync_reply, Flags::SYNC_REPLY);

        let room = version.header_len() + 16 + 1 + 8 * hops.len() + body_len + SIGNATURE_LEN + 255;
        let mut out = Vec::with_capacity(room);
        out.extend_from_slice(&[version.number(), self.message_type.into(), self.ttl]);
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.push(flags);
        match version {
            Version::V1 => out.extend_from_slice(&(body_len as u16).to_be_bytes()),
            Version::V2 => out.extend_from_slice(&(body_len as u32).to_be_bytes()),
        }
        out.extend_from_slice(&self.sender.0);
        if let Some(recipient) = self.recipient {
            out.extend_from_slice(&recipient.0);
        }
        if self.route.is_some() {
            out.push(hops.len() as u8);
            hops.iter().for_each(|hop| out.extend_from_slice(&hop.0));
        }
        if let Some(size) = original_size {
            match version {
                Version::V1 => out.extend_from_slice(&(size as u16).to_be_bytes()),
                Version::V2 => out.extend_from_slice(&(size as u32).to_be_bytes()),
            }
        }
        out.extend_from_slice(&data);
        Ok(out)
    }
}
