//! Payloads for one peer or one link.

use super::super::hex_fields::{Bytes, Fixed, Type};
use super::Form;
use crate::courier::Envelope;
use crate::error::{DecodeError, EncodeError};
use crate::fragment::{Fragment, FragmentId};
use crate::noise::OVERHEAD;
use crate::ping::Ping;
use crate::sync::{GcsFilter, RequestSync, TypeFlags};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct EnvelopeForm {
    tag: Fixed<16>,
    expiry_ms: u64,
    pub(in super::super) ciphertext: Bytes,
    #[serde(default)]
    copies: Option<u8>,
    #[serde(default)]
    pub(in super::super) prekey_id: Option<u32>,
}

impl Form for EnvelopeForm {
    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        let e = Envelope::decode(payload)?;
        let (tag, ciphertext) = (Fixed(e.tag), Bytes(e.ciphertext.to_vec()));
        Ok(Self { tag, expiry_ms: e.expiry, ciphertext, copies: e.copies, prekey_id: e.prekey_id })
    }

    fn write(&self) -> Result<Vec<u8>, EncodeError> {
        Envelope {
            tag: self.tag.0,
            expiry: self.expiry_ms,
            ciphertext: &self.ciphertext.0,
            copies: self.copies,
            prekey_id: self.prekey_id,
        }
        .encode()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct HandshakeForm {
    message: Bytes,
}

impl Form for HandshakeForm {
    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        match payload.len() {
            32 | 96 | 64 => Ok(Self { message: Bytes(payload.to_vec()) }),
            _ => Err(DecodeError::Invalid { what: "the handshake", why: "not 32, 96 or 64 bytes long" }),
        }
    }

    fn write(&self) -> Result<Vec<u8>, EncodeError> {
        Ok(self.message.0.clone())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct SealedForm {
    counter: u32,
    ciphertext: Bytes,
}

impl Form for SealedForm {
    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        match payload.split_first_chunk() {
            Some((counter, ciphertext)) if payload.len() >= OVERHEAD => {
                Ok(Self { counter: u32::from_be_bytes(*counter), ciphertext: Bytes(ciphertext.to_vec()) })
            }
            _ => Err(DecodeError::Truncated {
                what: "the sealed message",
                need: OVERHEAD,
                have: payload.len(),
            }),
        }
    }

    fn write(&self) -> Result<Vec<u8>, EncodeError> {
        Ok([&self.counter.to_be_bytes()[..], &self.ciphertext.0].concat())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FragmentForm {
    id: Fixed<8>,
    index: u16,
    total: u16,
    original_type: Type,
    data: Bytes,
}

impl Form for FragmentForm {
    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        let f = Fragment::decode(payload)?;
        let (id, original_type, data) = (Fixed(f.id.0), Type(f.original_type), Bytes(f.data.to_vec()));
        Ok(Self { id, index: f.index, total: f.total, original_type, data })
    }

    fn write(&self) -> Result<Vec<u8>, EncodeError> {
        let (id, original_type) = (FragmentId(self.id.0), self.original_type.0);
        let (index, total, data) = (self.index, self.total, self.data.0.as_slice());
        Ok(Fragment { id, index, total, original_type, data }.encode())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SyncForm {
    p: u8,
    m: u32,
    data: Bytes,
    #[serde(default)]
    types: Option<Vec<Type>>,
    #[serde(default)]
    since_ms: Option<u64>,
    #[serde(default)]
    fragments: Option<Vec<Fixed<8>>>,
}

impl Form for SyncForm {
    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        let r = RequestSync::decode(payload)?;
        Ok(Self {
            p: r.filter.p(),
            m: r.filter.modulus(),
            data: Bytes(r.filter.data().to_vec()),
            types: r.types.map(|types| types.types().map(Type).collect()),
            since_ms: r.since,
            fragments: r.fragments.map(|ids| ids.iter().map(|id| Fixed(id.0)).collect()),
        })
    }

    fn write(&self) -> Result<Vec<u8>, EncodeError> {
        let impossible = |_| EncodeError::Invalid { what: "the filter", why: "P, M or data are impossible" };
        let types = |types: &Vec<Type>| TypeFlags::of(&types.iter().map(|t| t.0).collect::<Vec<_>>());
        RequestSync {
            filter: GcsFilter::decode(self.p, self.m, &self.data.0).map_err(impossible)?,
            types: self.types.as_ref().map(types),
            since: self.since_ms,
            fragments: self.fragments.as_ref().map(|ids| ids.iter().map(|id| FragmentId(id.0)).collect()),
        }
        .encode()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PingForm {
    nonce: Fixed<8>,
    origin_ttl: u8,
}

impl Form for PingForm {
    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        Ping::decode(payload).map(|p| Self { nonce: Fixed(p.nonce), origin_ttl: p.origin_ttl })
    }

    fn write(&self) -> Result<Vec<u8>, EncodeError> {
        Ok(Ping { nonce: self.nonce.0, origin_ttl: self.origin_ttl }.encode())
    }
}
