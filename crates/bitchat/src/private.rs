//! What is said inside a Noise session: a type and a body.

mod message;
mod peer_state;

pub use message::{MAX_CONTENT, PrivateMessage, split_text};
pub use peer_state::PeerState;

use crate::error::{DecodeError, EncodeError, chunk, text};
use crate::file::File;
use crate::group::GroupState;
use crate::verification::{Challenge, Response};
use crate::voice::VoiceFrame;
use crate::vouch::{self, Attestation};

/// The body's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrivateType {
    /// A text.
    PrivateMessage,
    /// A text was read.
    ReadReceipt,
    /// A text arrived.
    Delivered,
    /// Come into a group.
    GroupInvite,
    /// A group's new key or members.
    GroupKeyUpdate,
    /// A piece of live voice.
    VoiceFrame,
    /// Prove that the key is yours.
    VerifyChallenge,
    /// The proof.
    VerifyResponse,
    /// Who vouches for whom.
    Vouch,
    /// A file.
    PrivateFile,
    /// What the peer says of itself.
    AuthenticatedPeerState,
    /// A number that has no meaning here.
    Unknown(u8),
}

impl From<u8> for PrivateType {
    fn from(number: u8) -> Self {
        match number {
            0x01 => Self::PrivateMessage,
            0x02 => Self::ReadReceipt,
            0x03 => Self::Delivered,
            0x06 => Self::GroupInvite,
            0x07 => Self::GroupKeyUpdate,
            0x08 => Self::VoiceFrame,
            0x10 => Self::VerifyChallenge,
            0x11 => Self::VerifyResponse,
            0x12 => Self::Vouch,
            // 0x09 is an old name of it that is read and never written.
            0x09 | 0x20 => Self::PrivateFile,
            0x21 => Self::AuthenticatedPeerState,
            other => Self::Unknown(other),
        }
    }
}

impl From<PrivateType> for u8 {
    fn from(kind: PrivateType) -> Self {
        match kind {
            PrivateType::PrivateMessage => 0x01,
            PrivateType::ReadReceipt => 0x02,
            PrivateType::Delivered => 0x03,
            PrivateType::GroupInvite => 0x06,
            PrivateType::GroupKeyUpdate => 0x07,
            PrivateType::VoiceFrame => 0x08,
            PrivateType::VerifyChallenge => 0x10,
            PrivateType::VerifyResponse => 0x11,
            PrivateType::Vouch => 0x12,
            PrivateType::PrivateFile => 0x20,
            PrivateType::AuthenticatedPeerState => 0x21,
            PrivateType::Unknown(other) => other,
        }
    }
}

impl PrivateType {
    /// All types that have a name.
    pub const ALL: [Self; 11] = [
        Self::PrivateMessage,
        Self::ReadReceipt,
        Self::Delivered,
        Self::GroupInvite,
        Self::GroupKeyUpdate,
        Self::VoiceFrame,
        Self::VerifyChallenge,
        Self::VerifyResponse,
        Self::Vouch,
        Self::PrivateFile,
        Self::AuthenticatedPeerState,
    ];

    /// The protocol's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrivateMessage => "privateMessage",
            Self::ReadReceipt => "readReceipt",
            Self::Delivered => "delivered",
            Self::GroupInvite => "groupInvite",
            Self::GroupKeyUpdate => "groupKeyUpdate",
            Self::VoiceFrame => "voiceFrame",
            Self::VerifyChallenge => "verifyChallenge",
            Self::VerifyResponse => "verifyResponse",
            Self::Vouch => "vouch",
            Self::PrivateFile => "privateFile",
            Self::AuthenticatedPeerState => "authenticatedPeerState",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// A type and its body, read. Large parts stay where they lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrivatePayload<'a> {
    /// A text.
    PrivateMessage(PrivateMessage<'a>),
    /// The text with this id was read.
    ReadReceipt(&'a str),
    /// The text with this id arrived.
    Delivered(&'a str),
    /// Come into this group.
    GroupInvite(GroupState),
    /// The group is now like this.
    GroupKeyUpdate(GroupState),
    /// A piece of live voice.
    VoiceFrame(VoiceFrame<'a>),
    /// Prove that the key is yours.
    VerifyChallenge(Challenge),
    /// The proof.
    VerifyResponse(Response),
    /// Attestations.
    Vouch(Vec<Attestation>),
    /// A file.
    PrivateFile(File<'a>),
    /// What the peer says of itself.
    AuthenticatedPeerState(PeerState),
    /// Of a type that has no meaning here: to be ignored.
    Unknown {
        /// The number.
        number: u8,
        /// The body.
        body: &'a [u8],
    },
}

impl<'a> PrivatePayload<'a> {
    /// Reads a decrypted payload.
    ///
    /// # Errors
    /// When it is empty, or the body is not one of its type.
    pub fn decode(plain: &'a [u8]) -> Result<Self, DecodeError> {
        let (kind, body) = chunk::<1>(plain, "the private payload")?;
        Ok(match PrivateType::from(kind[0]) {
            PrivateType::PrivateMessage => Self::PrivateMessage(PrivateMessage::decode(body)?),
            PrivateType::ReadReceipt => Self::ReadReceipt(message_id(body)?),
            PrivateType::Delivered => Self::Delivered(message_id(body)?),
            PrivateType::GroupInvite => Self::GroupInvite(GroupState::decode(body)?),
            PrivateType::GroupKeyUpdate => Self::GroupKeyUpdate(GroupState::decode(body)?),
            PrivateType::VoiceFrame => Self::VoiceFrame(VoiceFrame::decode(body)?),
            PrivateType::VerifyChallenge => Self::VerifyChallenge(Challenge::decode(body)?),
            PrivateType::VerifyResponse => Self::VerifyResponse(Response::decode(body)?),
            PrivateType::Vouch => Self::Vouch(vouch::decode(body)?),
            PrivateType::PrivateFile => Self::PrivateFile(File::decode(body)?),
            PrivateType::AuthenticatedPeerState => Self::AuthenticatedPeerState(PeerState::decode(body)?),
            PrivateType::Unknown(number) => Self::Unknown { number, body },
        })
    }

    /// The payload to be encrypted.
    ///
    /// # Errors
    /// When a field is too long.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let body = match self {
            Self::PrivateMessage(message) => message.encode()?,
            Self::ReadReceipt(id) | Self::Delivered(id) => id.as_bytes().to_vec(),
            Self::GroupInvite(state) | Self::GroupKeyUpdate(state) => state.encode()?,
            Self::VoiceFrame(frame) => frame.encode()?,
            Self::VerifyChallenge(challenge) => challenge.encode()?,
            Self::VerifyResponse(response) => response.encode()?,
            Self::Vouch(attestations) => vouch::encode(attestations)?,
            Self::PrivateFile(file) => file.encode()?,
            Self::AuthenticatedPeerState(state) => state.encode()?,
            Self::Unknown { body, .. } => body.to_vec(),
        };
        let mut out = Vec::with_capacity(1 + body.len());
        out.push(self.kind().into());
        out.extend_from_slice(&body);
        Ok(out)
    }

    /// The type.
    pub fn kind(&self) -> PrivateType {
        match self {
            Self::PrivateMessage(_) => PrivateType::PrivateMessage,
            Self::ReadReceipt(_) => PrivateType::ReadReceipt,
            Self::Delivered(_) => PrivateType::Delivered,
            Self::GroupInvite(_) => PrivateType::GroupInvite,
            Self::GroupKeyUpdate(_) => PrivateType::GroupKeyUpdate,
            Self::VoiceFrame(_) => PrivateType::VoiceFrame,
            Self::VerifyChallenge(_) => PrivateType::VerifyChallenge,
            Self::VerifyResponse(_) => PrivateType::VerifyResponse,
            Self::Vouch(_) => PrivateType::Vouch,
            Self::PrivateFile(_) => PrivateType::PrivateFile,
            Self::AuthenticatedPeerState(_) => PrivateType::AuthenticatedPeerState,
            Self::Unknown { number, .. } => PrivateType::Unknown(*number),
        }
    }
}

/// A receipt's body is the id of the text exactly as it came, upper and lower case included.
fn message_id(body: &[u8]) -> Result<&str, DecodeError> {
    if body.is_empty() {
        return Err(DecodeError::Missing("the message's id"));
    }
    if body.len() > 255 {
        return Err(DecodeError::TooLong { what: "the message's id", len: body.len(), max: 255 });
    }
    text(body, "the message's id")
}

#[cfg(test)]
mod tests;
