//! Each payload's fields.
//!
//! A form has the fields of a payload and nothing that follows from them, so it can be turned into the payload again.

mod addressed;
mod broadcast;

pub(super) use addressed::{EnvelopeForm, HandshakeForm, SealedForm};
pub(super) use broadcast::{AnnounceForm, FileForm, GroupEnvelopeForm, VoiceForm};

use crate::error::{DecodeError, EncodeError};
use crate::packet::MessageType;
use addressed::{FragmentForm, PingForm, SyncForm};
use broadcast::{AnnounceV2Form, BoardForm, BundleForm, CarrierForm, LeaveForm, MessageForm};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A payload's fields.
pub(super) trait Form: Serialize + DeserializeOwned {
    /// From the payload.
    fn read(payload: &[u8]) -> Result<Self, DecodeError>;
    /// To the payload.
    fn write(&self) -> Result<Vec<u8>, EncodeError>;
}

/// Why a content gives no payload.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// Fields are missing, unknown, or of the wrong kind.
    #[error("{0}")]
    Fields(#[from] serde_json::Error),
    /// A value does not fit into the format.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Nothing is known of this type's content.
    #[error("nothing is known of the content of this type: give its payload")]
    UnknownType,
}

macro_rules! forms {
    ($($kind:pat => $form:ty,)*) => {
        /// A payload's fields; `None` for a type of which none are known.
        pub(super) fn content(kind: MessageType, payload: &[u8]) -> Result<Option<Value>, DecodeError> {
            match kind {
                $($kind => <$form>::read(payload).map(|form| value(&form)),)*
                MessageType::Unknown(_) => Ok(None),
            }
        }

        /// The payload with these fields.
        pub(super) fn payload(kind: MessageType, content: Value) -> Result<Vec<u8>, FormError> {
            match kind {
                $($kind => Ok(serde_json::from_value::<$form>(content)?.write()?),)*
                MessageType::Unknown(_) => Err(FormError::UnknownType),
            }
        }
    };
}

forms! {
    MessageType::Announce => AnnounceForm,
    MessageType::Message => MessageForm,
    MessageType::Leave => LeaveForm,
    MessageType::CourierEnvelope => EnvelopeForm,
    MessageType::NoiseHandshake => HandshakeForm,
    MessageType::NoiseEncrypted => SealedForm,
    MessageType::Fragment => FragmentForm,
    MessageType::RequestSync => SyncForm,
    MessageType::FileTransfer => FileForm,
    MessageType::BoardPost => BoardForm,
    MessageType::PrekeyBundle => BundleForm,
    MessageType::GroupMessage => GroupEnvelopeForm,
    MessageType::Ping | MessageType::Pong => PingForm,
    MessageType::NostrCarrier => CarrierForm,
    MessageType::VoiceFrame => VoiceForm,
    MessageType::AnnounceV2 => AnnounceV2Form,
}

/// A form as JSON. Forms have text keys and finite numbers, so this cannot fail.
pub(super) fn value<F: Serialize>(form: &F) -> Option<Value> {
    serde_json::to_value(form).ok()
}
