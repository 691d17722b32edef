//! A message to a group, sealed and open.

use super::{GROUP_ID_LEN, GroupError, GroupState};
use crate::error::{DecodeError, EncodeError, exact, text};
use crate::identity::{Identity, verify};
use crate::tlv::{Fields, Width, Writer, once};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};

const CONTEXT: &[u8] = b"bitchat-group-msg-v1";

/// A sealed message as it travels. Which group it is for can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupEnvelope<'a> {
    /// The group.
    pub group_id: [u8; GROUP_ID_LEN],
    /// The epoch of the key.
    pub epoch: u32,
    /// What makes the cipher unique.
    pub nonce: [u8; 12],
    /// ChaCha20-Poly1305 with its tag.
    pub ciphertext: &'a [u8],
}

/// An open message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMessage {
    /// Its name.
    pub id: String,
    /// The sender's Ed25519 key.
    pub sender: [u8; 32],
    /// What they call themselves.
    pub nickname: String,
    /// When, milliseconds since 1970.
    pub timestamp: u64,
    /// The text.
    pub content: String,
    /// The sender's.
    pub signature: [u8; 64],
}

impl<'a> GroupEnvelope<'a> {
    /// Reads a sealed message's payload.
    ///
    /// # Errors
    /// When a field is cut off, missing, double or of another length.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let (mut group_id, mut epoch, mut nonce, mut ciphertext) = (None, None, None, None);
        let mut fields = Fields::new(payload, Width::Two);
        while let Some((kind, value)) = fields.next()? {
            match kind {
                1 => once(&mut group_id, exact(value, "the group's id")?, "the group's id")?,
                2 => once(&mut epoch, u32::from_be_bytes(exact(value, "the epoch")?), "the epoch")?,
                3 => once(&mut nonce, exact(value, "the nonce")?, "the nonce")?,
                4 => once(&mut ciphertext, value, "the ciphertext")?,
                _ => {}
            }
        }
        Ok(Self {
            group_id: group_id.ok_or(DecodeError::Missing("the group's id"))?,
            epoch: epoch.ok_or(DecodeError::Missing("the epoch"))?,
            nonce: nonce.ok_or(DecodeError::Missing("the nonce"))?,
            ciphertext: ciphertext.ok_or(DecodeError::Missing("the ciphertext"))?,
        })
    }

    /// The payload.
    ///
    /// # Errors
    /// When the ciphertext is longer than 65,535 bytes.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Writer::new(Width::Two);
        out.field(1, &self.group_id, "the group's id")?;
        out.field(2, &self.epoch.to_be_bytes(), "the epoch")?;
        out.field(3, &self.nonce, "the nonce")?;
        out.field(4, self.ciphertext, "the ciphertext")?;
        Ok(out.finish())
    }

    /// Opens the message, and checks that a member wrote it.
    ///
    /// # Errors
    /// When it is of another group or epoch, sealed with another key, or not by a member.
    pub fn open(&self, state: &GroupState) -> Result<GroupMessage, GroupError> {
        if self.group_id != state.group_id || self.epoch != state.epoch {
            return Err(GroupError::OtherEpoch);
        }
        let message = self.open_with(&state.key)?;
        if !state.roster.iter().any(|m| m.signing_public == message.sender) {
            return Err(GroupError::NotAMember);
        }
        Ok(message)
    }

    /// Opens the message with a key, and checks that whoever it names as its sender signed it. Whether that is a member
    /// is not checked.
    ///
    /// # Errors
    /// When the key is another, or the signature is wrong.
    pub fn open_with(&self, key: &[u8; 32]) -> Result<GroupMessage, GroupError> {
        let aad = associated(&self.group_id, self.epoch);
        let sealed = Payload { msg: self.ciphertext, aad: &aad };
        let plain = cipher(key).decrypt(&self.nonce.into(), sealed).map_err(|_| GroupError::Sealed)?;
        let message = GroupMessage::decode(&plain)?;
        let covered = message.signing_bytes(&self.group_id, self.epoch);
        if !verify(&message.sender, &covered, &message.signature) {
            return Err(GroupError::Signature);
        }
        Ok(message)
    }
}

impl GroupMessage {
    /// A message's payload: signed and sealed. The nonce must never come again under the same key: draw it.
    /// `timestamp` in milliseconds since 1970.
    ///
    /// # Errors
    /// When a text is too long.
    pub fn seal(
        identity: &Identity,
        state: &GroupState,
        nonce: [u8; 12],
        (id, nickname, content): (&str, &str, &str),
        timestamp: u64,
    ) -> Result<Vec<u8>, EncodeError> {
        let mut message = Self {
            id: id.into(),
            sender: identity.signing_public(),
            nickname: nickname.into(),
            timestamp,
            content: content.into(),
            signature: [0; 64],
        };
        message.signature = identity.sign(&message.signing_bytes(&state.group_id, state.epoch));
        let plain = message.encode()?;
        let aad = associated(&state.group_id, state.epoch);
        let sealed = cipher(&state.key).encrypt(&nonce.into(), Payload { msg: &plain, aad: &aad });
        let too_long = EncodeError::Invalid { what: "the message", why: "too long to be sealed" };
        let ciphertext = &sealed.map_err(|_| too_long)?;
        GroupEnvelope { group_id: state.group_id, epoch: state.epoch, nonce, ciphertext }.encode()
    }

    fn signing_bytes(&self, group_id: &[u8; GROUP_ID_LEN], epoch: u32) -> Vec<u8> {
        [
            CONTEXT,
            group_id,
            &epoch.to_be_bytes(),
            self.id.as_bytes(),
            &self.timestamp.to_be_bytes(),
            self.content.as_bytes(),
        ]
        .concat()
    }

    fn decode(plain: &[u8]) -> Result<Self, DecodeError> {
        let (mut id, mut sender, mut nickname) = (None, None, None);
        let (mut timestamp, mut content, mut signature) = (None, None, None);
        let mut fields = Fields::new(plain, Width::Two);
        while let Some((kind, value)) = fields.next()? {
            match kind {
                1 => once(&mut id, text(value, "the message's id")?.to_owned(), "the message's id")?,
                2 => once(&mut sender, exact(value, "the sender's key")?, "the sender's key")?,
                3 => once(&mut nickname, text(value, "the nickname")?.to_owned(), "the nickname")?,
                4 => once(&mut timestamp, u64::from_be_bytes(exact(value, "the time")?), "the time")?,
                5 => once(&mut content, text(value, "the message")?.to_owned(), "the message")?,
                6 => once(&mut signature, exact(value, "the signature")?, "the signature")?,
                _ => {}
            }
        }
        Ok(Self {
            id: id.ok_or(DecodeError::Missing("the message's id"))?,
            sender: sender.ok_or(DecodeError::Missing("the sender's key"))?,
            nickname: nickname.ok_or(DecodeError::Missing("the nickname"))?,
            timestamp: timestamp.ok_or(DecodeError::Missing("the time"))?,
            content: content.ok_or(DecodeError::Missing("the message"))?,
            signature: signature.ok_or(DecodeError::Missing("the signature"))?,
        })
    }

    fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Writer::new(Width::Two);
        out.field(1, self.id.as_bytes(), "the message's id")?;
        out.field(2, &self.sender, "the sender's key")?;
        out.field(3, self.nickname.as_bytes(), "the nickname")?;
        out.field(4, &self.timestamp.to_be_bytes(), "the time")?;
        out.field(5, self.content.as_bytes(), "the message")?;
        out.field(6, &self.signature, "the signature")?;
        Ok(out.finish())
    }
}

#[cfg(test)]
impl GroupMessage {
    pub(super) fn signing_bytes_for_test(&self, state: &GroupState) -> Vec<u8> {
        self.signing_bytes(&state.group_id, state.epoch)
    }

    pub(super) fn seal_for_test(&self, state: &GroupState) -> Vec<u8> {
        let aad = associated(&state.group_id, state.epoch);
        let plain = self.encode().unwrap();
        let sealed = cipher(&state.key).encrypt(&[0; 12].into(), Payload { msg: &plain, aad: &aad }).unwrap();
        let (group_id, epoch) = (state.group_id, state.epoch);
        GroupEnvelope { group_id, epoch, nonce: [0; 12], ciphertext: &sealed }.encode().unwrap()
    }
}

fn cipher(key: &[u8; 32]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(key.into())
}

fn associated(group_id: &[u8; GROUP_ID_LEN], epoch: u32) -> Vec<u8> {
    [&group_id[..], &epoch.to_be_bytes()].concat()
}
