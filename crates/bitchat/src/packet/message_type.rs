//! What a packet is about.

use std::fmt;

macro_rules! message_types {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// A packet's type. Unknown ones are relayed under the normal rules.
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub enum MessageType {
            $($(#[$doc])* $name,)*
            /// A number that has no meaning here.
            Unknown(u8),
        }

        impl From<u8> for MessageType {
            fn from(number: u8) -> Self {
                match number {
                    $($number => Self::$name,)*
                    other => Self::Unknown(other),
                }
            }
        }

        impl From<MessageType> for u8 {
            fn from(kind: MessageType) -> Self {
                match kind {
                    $(MessageType::$name => $number,)*
                    MessageType::Unknown(other) => other,
                }
            }
        }

        impl MessageType {
            /// All types that have a name.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The protocol's name of it; `unknown` for a number without one.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Unknown(_) => "unknown",
                }
            }
        }
    };
}

message_types! {
    /// Who is here, with which keys.
    Announce = 0x01, "announce";
    /// Public text.
    Message = 0x02, "message";
    /// Somebody goes.
    Leave = 0x03, "leave";
    /// A sealed message that others carry to somebody who is away.
    CourierEnvelope = 0x04, "courierEnvelope";
    /// A message of a Noise handshake.
    NoiseHandshake = 0x10, "noiseHandshake";
    /// A message of a Noise session.
    NoiseEncrypted = 0x11, "noiseEncrypted";
    /// A piece of a larger packet.
    Fragment = 0x20, "fragment";
    /// Which packets somebody has already.
    RequestSync = 0x21, "requestSync";
    /// A file for everybody.
    FileTransfer = 0x22, "fileTransfer";
    /// A notice on the board.
    BoardPost = 0x23, "boardPost";
    /// One-time keys for couriers' messages.
    PrekeyBundle = 0x24, "prekeyBundle";
    /// A message of a private group.
    GroupMessage = 0x25, "groupMessage";
    /// Are you there, and how far?
    Ping = 0x26, "ping";
    /// Here, and this far.
    Pong = 0x27, "pong";
    /// A Nostr event on its way to or from a gateway.
    NostrCarrier = 0x28, "nostrCarrier";
    /// A piece of live voice for everybody.
    VoiceFrame = 0x29, "voiceFrame";
    /// The planned announcement under changing ids.
    AnnounceV2 = 0x2c, "announceV2";
}

impl MessageType {
    /// Whether packets of this type are padded on the wire.
    pub fn is_padded(self) -> bool {
        matches!(self, Self::NoiseHandshake | Self::NoiseEncrypted)
    }

    /// Whether receivers believe packets of this type only with a valid signature.
    pub fn needs_signature(self) -> bool {
        matches!(
            self,
            Self::Announce
                | Self::Message
                | Self::Leave
                | Self::FileTransfer
                | Self::VoiceFrame
                | Self::RequestSync
                | Self::CourierEnvelope
                | Self::BoardPost
                | Self::PrekeyBundle
        )
    }

    /// Whether the apps sign packets of this type.
    pub fn is_signed(self) -> bool {
        self.needs_signature()
    }
}

impl fmt::Debug for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(0x{:02x})", self.name(), u8::from(*self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives() {
        for number in 0..=255 {
            assert_eq!(u8::from(MessageType::from(number)), number);
        }
        assert_eq!(MessageType::from(0xe0), MessageType::Unknown(0xe0));
        assert_eq!(MessageType::ALL.len(), 17);
    }
}
