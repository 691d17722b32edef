//! The structured message of old versions. Public text does not use it any more; bridges and old logs do.

use crate::error::{DecodeError, EncodeError, chunk, fits, text};
use crate::tlv::{get_len8, get_len16, put_len8, put_len16};

const RELAY: u8 = 0x01;
const PRIVATE: u8 = 0x02;
const ORIGINAL_SENDER: u8 = 0x04;
const RECIPIENT_NICKNAME: u8 = 0x08;
const SENDER_PEER_ID: u8 = 0x10;
const MENTIONS: u8 = 0x20;
/// One app means a channel's name by it, the other that the message came over a bridge, without a field.
const CHANNEL: u8 = 0x40;
const ENCRYPTED: u8 = 0x80;

/// A structured message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LegacyMessage {
    /// It was passed on.
    pub is_relay: bool,
    /// It is for one person.
    pub is_private: bool,
    /// The content is sealed with a channel's key.
    pub is_encrypted: bool,
    /// It came over a bridge, so nothing vouches for its sender.
    pub is_bridged: bool,
    /// When, milliseconds since 1970.
    pub timestamp: u64,
    /// Its name.
    pub id: String,
    /// The sender's nickname.
    pub sender: String,
    /// The text, or sealed bytes.
    pub content: Vec<u8>,
    /// Who wrote it, if it was passed on.
    pub original_sender: Option<String>,
    /// Whom it is for.
    pub recipient_nickname: Option<String>,
    /// The sender's id as text.
    pub sender_peer_id: Option<String>,
    /// Nicknames that it mentions.
    pub mentions: Option<Vec<String>>,
    /// The channel that it is in.
    pub channel: Option<String>,
}

impl LegacyMessage {
    /// Reads one.
    ///
    /// # Errors
    /// When fields are cut off, or bytes are left over.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let (flags, rest) = chunk::<1>(payload, "the flags")?;
        let flags = flags[0];
        let (timestamp, rest) = chunk(rest, "the timestamp")?;
        let (id, rest) = get_len8(rest, "the id")?;
        let (sender, rest) = get_len8(rest, "the sender")?;
        let (content, mut rest) = get_len16(rest, "the content")?;
        let mut optional = |bit: u8, what: &'static str| -> Result<Option<String>, DecodeError> {
            if flags & bit == 0 {
                return Ok(None);
            }
            let (value, after) = get_len8(rest, what)?;
            rest = after;
            Ok(Some(text(value, what)?.to_owned()))
        };
        let original_sender = optional(ORIGINAL_SENDER, "the original sender")?;
        let recipient_nickname = optional(RECIPIENT_NICKNAME, "the recipient's nickname")?;
        let sender_peer_id = optional(SENDER_PEER_ID, "the sender's id")?;
        let mentions = match flags & MENTIONS {
            0 => None,
            _ => {
                let (count, mut after) = chunk::<1>(rest, "the mentions")?;
                let mut mentions = Vec::new();
                for _ in 0..count[0] {
                    let (mention, next) = get_len8(after, "a mention")?;
                    mentions.push(text(mention, "a mention")?.to_owned());
                    after = next;
                }
                rest = after;
                Some(mentions)
            }
        };
        let is_bridged = flags & CHANNEL != 0 && rest.is_empty();
        let channel = match flags & CHANNEL != 0 && !is_bridged {
            true => {
                let (channel, after) = get_len8(rest, "the channel")?;
                rest = after;
                Some(text(channel, "the channel")?.to_owned())
            }
            false => None,
        };
        if !rest.is_empty() {
            return Err(DecodeError::Trailing { what: "the message", len: rest.len() });
        }
        Ok(Self {
            is_relay: flags & RELAY != 0,
            is_private: flags & PRIVATE != 0,
            is_encrypted: flags & ENCRYPTED != 0,
            is_bridged,
            timestamp: u64::from_be_bytes(*timestamp),
            id: text(id, "the id")?.to_owned(),
            sender: text(sender, "the sender")?.to_owned(),
            content: content.to_vec(),
            original_sender,
            recipient_nickname,
            sender_peer_id,
            mentions,
            channel,
        })
    }

    /// The bytes.
    ///
    /// # Errors
    /// When a field is too long for its length.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let flags = [
            (self.is_relay, RELAY),
            (self.is_private, PRIVATE),
            (self.is_encrypted, ENCRYPTED),
            (self.original_sender.is_some(), ORIGINAL_SENDER),
            (self.recipient_nickname.is_some(), RECIPIENT_NICKNAME),
            (self.sender_peer_id.is_some(), SENDER_PEER_ID),
            (self.mentions.is_some(), MENTIONS),
            (self.channel.is_some() || self.is_bridged, CHANNEL),
        ];
        let mut out = vec![flags.iter().filter(|(on, _)| *on).map(|(_, bit)| bit).sum()];
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        put_len8(&mut out, self.id.as_bytes(), "the id")?;
        put_len8(&mut out, self.sender.as_bytes(), "the sender")?;
        put_len16(&mut out, &self.content, "the content")?;
        for (value, what) in [
            (&self.original_sender, "the original sender"),
            (&self.recipient_nickname, "the recipient's nickname"),
            (&self.sender_peer_id, "the sender's id"),
        ] {
            if let Some(value) = value {
                put_len8(&mut out, value.as_bytes(), what)?;
            }
        }
        if let Some(mentions) = &self.mentions {
            fits("the mentions", mentions.len(), 255)?;
            out.push(mentions.len() as u8);
            for mention in mentions {
                put_len8(&mut out, mention.as_bytes(), "a mention")?;
            }
        }
        if let Some(channel) = &self.channel {
            put_len8(&mut out, channel.as_bytes(), "the channel")?;
        }
        Ok(out)
    }
}
