//! The request's payload.

use super::GcsFilter;
use crate::capabilities::{little_endian, minimal};
use crate::error::{DecodeError, EncodeError, exact, fits, text};
use crate::fragment::FragmentId;
use crate::packet::MessageType;
use crate::tlv::{Fields, Width, Writer, once};

/// The most fragments that a request asks for by name.
pub const MAX_FRAGMENT_IDS: usize = 60;
const MAX_FRAGMENT_FILTER: usize = 1_024;

/// Which types of packets somebody asks for. Bits without a meaning are dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TypeFlags(u64);

/// The types by their bit.
const TYPES: [MessageType; 11] = [
    MessageType::Announce,
    MessageType::Message,
    MessageType::Leave,
    MessageType::NoiseHandshake,
    MessageType::NoiseEncrypted,
    MessageType::Fragment,
    MessageType::RequestSync,
    MessageType::FileTransfer,
    MessageType::BoardPost,
    MessageType::PrekeyBundle,
    MessageType::GroupMessage,
];

impl TypeFlags {
    /// These types. One that cannot be asked for is left out.
    pub fn of(types: &[MessageType]) -> Self {
        let bit = |t: &MessageType| TYPES.iter().position(|known| known == t);
        Self(types.iter().filter_map(bit).fold(0, |flags, bit| flags | 1 << bit))
    }

    /// Whether packets of this type are asked for.
    pub fn has(self, message_type: MessageType) -> bool {
        self.types().any(|t| t == message_type)
    }

    /// The types.
    pub fn types(self) -> impl Iterator<Item = MessageType> {
        TYPES.into_iter().enumerate().filter(move |(bit, _)| self.0 >> bit & 1 == 1).map(|(_, t)| t)
    }

    /// Reads the little-endian bit field.
    pub fn decode(bytes: &[u8]) -> Self {
        Self(little_endian(bytes) & ((1 << TYPES.len()) - 1))
    }

    /// The bit field in its shortest form.
    pub fn encode(self) -> Vec<u8> {
        minimal(self.0)
    }
}

/// Which packets somebody has, and which they want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestSync {
    /// The packets that they have.
    pub filter: GcsFilter,
    /// The types that they want; without it, announcements and messages.
    pub types: Option<TypeFlags>,
    /// Only what is newer than this, milliseconds since 1970.
    pub since: Option<u64>,
    /// Only the fragments of these packets.
    pub fragments: Option<Vec<FragmentId>>,
}

impl RequestSync {
    /// Reads the payload.
    ///
    /// # Errors
    /// When a field is cut off, missing, double, impossible or too long.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let (mut p, mut modulus, mut data) = (None, None, None);
        let (mut types, mut since, mut fragments) = (None, None, None);
        let mut fields = Fields::new(payload, Width::Two);
        while let Some((kind, value)) = fields.next()? {
            match kind {
                1 => once(&mut p, exact(value, "the filter's P")?, "the filter's P")?,
                2 => {
                    let value = u32::from_be_bytes(exact(value, "the filter's M")?);
                    once(&mut modulus, value, "the filter's M")?;
                }
                3 => once(&mut data, value, "the filter")?,
                4 => once(&mut types, TypeFlags::decode(value), "the types")?,
                5 => once(&mut since, u64::from_be_bytes(exact(value, "the time")?), "the time")?,
                6 => once(&mut fragments, fragment_ids(value)?, "the fragments' ids")?,
                _ => {}
            }
        }
        let [p] = p.ok_or(DecodeError::Missing("the filter's P"))?;
        let modulus = modulus.ok_or(DecodeError::Missing("the filter's M"))?;
        let data = data.ok_or(DecodeError::Missing("the filter"))?;
        Ok(Self { filter: GcsFilter::decode(p, modulus, data)?, types, since, fragments })
    }

    /// The payload.
    ///
    /// # Errors
    /// When more than [`MAX_FRAGMENT_IDS`] fragments are asked for.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Writer::new(Width::Two);
        out.field(1, &[self.filter.p()], "the filter's P")?;
        out.field(2, &self.filter.modulus().to_be_bytes(), "the filter's M")?;
        out.field(3, self.filter.data(), "the filter")?;
        if let Some(types) = self.types {
            out.field(4, &types.encode(), "the types")?;
        }
        if let Some(since) = self.since {
            out.field(5, &since.to_be_bytes(), "the time")?;
        }
        if let Some(fragments) = &self.fragments {
            fits("the fragments' ids (in number)", fragments.len(), MAX_FRAGMENT_IDS)?;
            let ids: Vec<String> = fragments.iter().map(ToString::to_string).collect();
            out.field(6, ids.join(",").as_bytes(), "the fragments' ids")?;
        }
        Ok(out.finish())
    }

    /// Whether packets of this type are wanted.
    pub fn wants(&self, message_type: MessageType) -> bool {
        let without = TypeFlags::of(&[MessageType::Announce, MessageType::Message]);
        self.types.unwrap_or(without).has(message_type)
    }
}

fn fragment_ids(value: &[u8]) -> Result<Vec<FragmentId>, DecodeError> {
    let what = "the fragments' ids";
    if value.len() > MAX_FRAGMENT_FILTER {
        return Err(DecodeError::TooLong { what, len: value.len(), max: MAX_FRAGMENT_FILTER });
    }
    let ids = text(value, what)?.split(',').filter(|id| !id.is_empty());
    let read = |id: &str| {
        let mut out = [0; 8];
        let bad = DecodeError::Invalid { what, why: "not 16 hexadecimal digits each" };
        hex::decode_to_slice(id, &mut out).map(|()| FragmentId(out)).map_err(|_| bad)
    };
    let ids: Vec<FragmentId> = ids.map(read).collect::<Result<_, _>>()?;
    match ids.len() {
        len if len > MAX_FRAGMENT_IDS => {
            Err(DecodeError::TooLong { what: "the list of fragments", len, max: MAX_FRAGMENT_IDS })
        }
        _ => Ok(ids),
    }
}
