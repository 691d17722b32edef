//! JSON to bytes.

use super::forms::{self, FormError};
use super::hex_fields::{Bytes, Fixed, Id};
use super::{Keyring, private};
use crate::error::{DecodeError, EncodeError};
use crate::noise::{TransportError, seal_with_key};
use crate::packet::{
    Body, INITIAL_TTL, MAX_PAYLOAD, MessageType, Packet, PaddingPolicy, Version, compression,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Why a description gives no packet.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Fields are missing, unknown, or of the wrong kind.
    #[error("{0}")]
    Fields(#[from] serde_json::Error),
    /// The content is not one of the packet's type.
    #[error("content: {0}")]
    Content(FormError),
    /// What is to be sealed is not right.
    #[error("content.private: {0}")]
    Private(FormError),
    /// Type and number differ.
    #[error("type and type_number are of different types: remove one of them")]
    TypeMismatch,
    /// A type that nobody knows.
    #[error("there is no type {0:?}: give a type_number, or one of {types}", types = type_names())]
    UnknownType(String),
    /// Neither type nor number.
    #[error("type is missing")]
    NoType,
    /// Neither payload nor content.
    #[error("payload and content are both missing")]
    NoPayload,
    /// Payload and content say different things.
    #[error("payload and content differ: to change the content, remove payload, compression and signature")]
    Contradiction,
    /// The compressed payload says something else.
    #[error("payload and compression differ: remove one of them")]
    OtherCompression,
    /// The compressed payload cannot be expanded to compare.
    #[error("compression: {0}")]
    Compression(DecodeError),
    /// A version that nobody speaks.
    #[error("version {0} is unknown; 1 and 2 are known")]
    Version(u8),
    /// A private content needs a session's key.
    #[error("content.private is sealed with a session key: give one, as session:HEX")]
    NoSessionKey,
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] TransportError),
    /// A value does not fit.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

fn type_names() -> String {
    MessageType::ALL.iter().map(|t| t.name()).collect::<Vec<_>>().join(", ")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PacketForm {
    #[serde(rename = "type")]
    kind: Option<String>,
    type_number: Option<u8>,
    version: Option<u8>,
    ttl: Option<u8>,
    timestamp_ms: Option<u64>,
    sender: Id,
    recipient: Option<Id>,
    route: Option<Vec<Id>>,
    #[serde(default)]
    sync_reply: bool,
    #[serde(default)]
    other_flags: u8,
    compression: Option<Compression>,
    payload: Option<Bytes>,
    content: Option<Value>,
    signature: Option<Fixed<64>>,
    padded: Option<bool>,
    // What `describe` adds, and what follows from the rest.
    #[serde(rename = "broadcast")]
    _broadcast: Option<IgnoredAny>,
    #[serde(rename = "length")]
    _length: Option<IgnoredAny>,
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "derived")]
    _derived: Option<IgnoredAny>,
    #[serde(rename = "opened")]
    _opened: Option<IgnoredAny>,
    #[serde(rename = "signature_check")]
    _signature_check: Option<IgnoredAny>,
    #[serde(rename = "notes")]
    _notes: Option<IgnoredAny>,
    #[serde(rename = "problems")]
    _problems: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Compression {
    Given(CompressedForm),
    Named(CompressionName),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CompressedForm {
    original_size: u32,
    data: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum CompressionName {
    None,
    Auto,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToSeal {
    counter: u32,
    private: Value,
}

/// Makes a packet from a description. `now` (milliseconds since 1970) is its time if it says none. A signing key in `keys`
/// signs it; otherwise the signature that it gives is kept, whether or not it is right.
///
/// # Errors
/// When fields are missing, unknown or contradict one another, or a value does not fit.
pub fn build(description: &Value, keys: &Keyring, now: u64) -> Result<Vec<u8>, BuildError> {
    let form = PacketForm::deserialize(description)?;
    let message_type = message_type(&form)?;
    let body = body(&form, message_type, keys)?;
    let default_ttl = if message_type == MessageType::RequestSync { 0 } else { INITIAL_TTL };
    let packet = Packet {
        version: match form.version {
            None | Some(1) => Version::V1,
            Some(2) => Version::V2,
            Some(other) => return Err(BuildError::Version(other)),
        },
        message_type,
        ttl: form.ttl.unwrap_or(default_ttl),
        timestamp: form.timestamp_ms.unwrap_or(now),
        sync_reply: form.sync_reply,
        other_flags: form.other_flags,
        sender: form.sender.0,
        recipient: form.recipient.map(|id| id.0),
        route: form.route.map(|hops| hops.iter().map(|id| id.0).collect()),
        body,
        signature: form.signature.map(|s| s.0),
        padding: match form.padded {
            None => PaddingPolicy::ByType,
            Some(true) => PaddingPolicy::Always,
            Some(false) => PaddingPolicy::Never,
        },
    };
    Ok(match &keys.signing {
        Some(key) => packet.encode_signed(key)?,
        None => packet.encode()?,
    })
}

fn message_type(form: &PacketForm) -> Result<MessageType, BuildError> {
    let by_number = form.type_number.map(MessageType::from);
    let by_name = match form.kind.as_deref() {
        None => None,
        // As `describe` names what has no name; the number says more.
        Some("unknown") if matches!(by_number, Some(MessageType::Unknown(_))) => None,
        Some(name) => {
            let known = MessageType::ALL.iter().copied().find(|t| t.name() == name);
            Some(known.ok_or_else(|| BuildError::UnknownType(name.chars().take(40).collect()))?)
        }
    };
    match (by_name, by_number) {
        (Some(name), Some(number)) if name != number => Err(BuildError::TypeMismatch),
        (name, number) => name.or(number).ok_or(BuildError::NoType),
    }
}

fn body(form: &PacketForm, kind: MessageType, keys: &Keyring) -> Result<Body, BuildError> {
    let content = form.content.as_ref().filter(|content| !content.is_null());
    let payload = match (&form.payload, content) {
        (Some(payload), Some(content)) => {
            let same = forms::content(kind, &payload.0).is_ok_and(|read| read.as_ref() == Some(content));
            Some(if same { Ok(payload.0.clone()) } else { Err(BuildError::Contradiction) }?)
        }
        (Some(payload), None) => Some(payload.0.clone()),
        (None, Some(content)) => Some(encode_content(kind, content, keys)?),
        (None, None) => None,
    };
    match (&form.compression, payload) {
        (Some(Compression::Given(given)), payload) => {
            if let Some(payload) = payload {
                let size = given.original_size as usize;
                let expanded = compression::expand(&given.data.0, size, MAX_PAYLOAD);
                if expanded.map_err(BuildError::Compression)? != payload {
                    return Err(BuildError::OtherCompression);
                }
            }
            Ok(Body::Compressed { original_size: given.original_size, data: given.data.0.clone() })
        }
        (_, None) => Err(BuildError::NoPayload),
        (Some(Compression::Named(CompressionName::None)), Some(payload)) => Ok(Body::Plain(payload)),
        (Some(Compression::Named(CompressionName::Auto)) | None, Some(payload)) => Ok(Body::Auto(payload)),
    }
}

fn encode_content(kind: MessageType, content: &Value, keys: &Keyring) -> Result<Vec<u8>, BuildError> {
    if kind == MessageType::NoiseEncrypted && content.get("private").is_some() {
        let form = ToSeal::deserialize(content)?;
        let plain = private::build(form.private).map_err(BuildError::Private)?;
        let key = keys.sessions.first().ok_or(BuildError::NoSessionKey)?;
        return Ok(seal_with_key(key, form.counter, &plain)?);
    }
    forms::payload(kind, content.clone()).map_err(BuildError::Content)
}
