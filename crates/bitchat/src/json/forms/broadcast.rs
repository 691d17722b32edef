//! Payloads for everybody.

use super::super::hex_fields::{Abilities, Bytes, Fixed, Id};
use super::Form;
use crate::announce::Announcement;
use crate::board::{BoardEntry, BoardPost, Tombstone};
use crate::carrier::{Direction, NostrCarrier};
use crate::courier::{Prekey, PrekeyBundle};
use crate::error::{DecodeError, EncodeError};
use crate::file::File;
use crate::group::GroupEnvelope;
use crate::message::{Leave, public_text};
use crate::rotation::AnnounceV2;
use crate::voice::{VoiceBody, VoiceFrame};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct AnnounceForm {
    pub(in super::super) nickname: String,
    pub(in super::super) noise_public: Fixed<32>,
    pub(in super::super) signing_public: Fixed<32>,
    #[serde(default)]
    neighbours: Option<Vec<Id>>,
    #[serde(default)]
    capabilities: Option<Abilities>,
    #[serde(default)]
    bridge_geohash: Option<String>,
}

impl Form for AnnounceForm {
    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        let a = Announcement::decode(payload)?;
        Ok(Self {
            nickname: a.nickname,
            noise_public: Fixed(a.noise_public),
            signing_public: Fixed(a.signing_public),
            neighbours: a.neighbours.map(|ids| ids.into_iter().map(Id).collect()),
            capabilities: a.capabilities.map(Abilities),
            bridge_geohash: a.bridge_geohash,
        })
    }

    fn write(&self) -> Result<Vec<u8>, EncodeError> {
        Announcement {
            nickname: self.nickname.clone(),
            noise_public: self.noise_public.0,
            signing_public: self.signing_public.0,
            neighbours: self.neighbours.as_ref().map(|ids| ids.iter().map(|id| id.0).collect()),
            capabilities: self.capabilities.map(|c| c.0),
            bridge_geohash: self.bridge_geohash.clone(),
        }
        .encode()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageForm {
    text: String,
}

impl Form for MessageForm {
    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self { text: public_text(payload)?.into() })
    }

    fn write(&self) -> Result<Vec<u8>, EncodeError> {
        Ok(self.text.clone().into_bytes())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LeaveForm {
    #[serde(default)]
    channel: Option<String>,
}

impl Form for LeaveForm {
    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        let channel = match Leave::decode(payload)? {
            Leave::Mesh => None,
            Leave::Channel(name) => Some(name.to_owned()),
        };
        Ok(Self { channel })
    }

    fn write(&self) -> Result<Vec<u8>, EncodeError> {
        Ok(self.channel.as_deref().map_or(Leave::Mesh, Leave::Channel).encode())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct FileForm {
    pub(in super::super) name: Option<String>,
    pub(in super::super) size: Option<u64>,
    pub(in super::super) mime: Option<String>,
    pub(in super::super) content: Bytes,
}

impl FileForm {
    pub(in super::super) fn of(file: &File<'_>) -> Self {
        Self {
            name: file.name.map(Into::into),
            size: file.size,
            mime: file.mime.map(Into::into),
            content: Bytes(file.content.to_vec()),
        }
    }

    pub(in super::super) fn file(&self) -> File<'_> {
        let (name, mime) = (self.name.as_deref(), self.mime.as_deref());
        File { name, size: self.size, mime, content: &self.content.0 }
    }
}

impl Form for FileForm {
    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        File::decode(payload).map(|file| Self::of(&file))
    }

    fn write(&self) -> Result<Vec<u8>, EncodeError> {
        self.file().encode()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "kind")]
pub(super) enum BoardForm {
    Post {
        post_id: Fixed<16>,
        #[serde(default)]
        geohash: String,
        content: String,
        author: Fixed<32>,
        #[serde(default)]
        nickname: String,
        created_at_ms: u64,
        expires_at_ms: u64,
        #[serde(default)]
        flags: u8,
        signature: Fixed<64>,
    },
    Tombstone {
        post_id: Fixed<16>,
        author: Fixed<32>,
        deleted_at_ms: u64,
        signature: Fixed<64>,
    },
}

impl Form for BoardForm {
    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(match BoardEntry::decode(payload)? {
            BoardEntry::Post(p) => Self::Post {
                post_id: Fixed(p.post_id),
                geohash: p.geohash,
                content: p.content,
                author: Fixed(p.author),
                nickname: p.nickname,
                created_at_ms: p.created_at,
                expires_at_ms: p.expires_at,
                flags: p.flags,
                signature: Fixed(p.signature),
            },
            BoardEntry::Tombstone(t) => Self::Tombstone {
                post_id: Fixed(t.post_id),
                author: Fixed(t.author),
                deleted_at_ms: t.deleted_at,
                signature: Fixed(t.signature),
            },
        })
    }

    fn write(&self) -> Result<Vec<u8>, EncodeError> {
        match self {
            Self::Post {
                post_id,
                geohash,
                content,
                author,
                nickname,
                created_at_ms,
                expires_at_ms,
                flags,
                signature,
            } => BoardEntry::Post(BoardPost {
                post_id: post_id.0,
                geohash: geohash.clone(),
                content: content.clone(),
                author: author.0,
                nickname: nickname.clone(),
                created_at: *created_at_ms,
                expires_at: *expires_at_ms,
                flags: *flags,
                signature: signature.0,
            }),
            Self::Tombstone { post_id, author, deleted_at_ms, signature } => {
                BoardEntry::Tombstone(Tombstone {
                    post_id: post_id.0,
                    author: author.0,
                    deleted_at: *deleted_at_ms,
                    signature: signature.0,
                })
            }
        }
        .encode()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrekeyForm {
    id: u32,
    public: Fixed<32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BundleForm {
    noise_public: Fixed<32>,
    prekeys: Vec<PrekeyForm>,
    generated_at_ms: u64,
    signature: Fixed<64>,
}

impl Form for BundleForm {
    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        let b = PrekeyBundle::decode(payload)?;
        let form = |key: &Prekey| PrekeyForm { id: key.id, public: Fixed(key.public) };
        Ok(Self {
            noise_public: Fixed(b.noise_public),
            prekeys: b.prekeys.iter().map(form).collect(),
            generated_at_ms: b.generated_at,
            signature: Fixed(b.signature),
        })
    }

    fn write(&self) -> Result<Vec<u8>, EncodeError> {
        let key = |form: &PrekeyForm| Prekey { id: form.id, public: form.public.0 };
        PrekeyBundle {
            noise_public: self.noise_public.0,
            prekeys: self.prekeys.iter().map(key).collect(),
            generated_at: self.generated_at_ms,
            signature: self.signature.0,
        }
        .encode()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct GroupEnvelopeForm {
    group_id: Fixed<16>,
    epoch: u32,
    nonce: Fixed<12>,
    ciphertext: Bytes,
}

impl Form for GroupEnvelopeForm {
    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        let e = GroupEnvelope::decode(payload)?;
        let (group_id, nonce, ciphertext) = (Fixed(e.group_id), Fixed(e.nonce), Bytes(e.ciphertext.to_vec()));
        Ok(Self { group_id, epoch: e.epoch, nonce, ciphertext })
    }

    fn write(&self) -> Result<Vec<u8>, EncodeError> {
        let (group_id, nonce, ciphertext) = (self.group_id.0, self.nonce.0, self.ciphertext.0.as_slice());
        GroupEnvelope { group_id, epoch: self.epoch, nonce, ciphertext }.encode()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CarrierForm {
    direction: u8,
    #[serde(default)]
    geohash: Option<String>,
    event: String,
}

impl Form for CarrierForm {
    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        let c = NostrCarrier::decode(payload)?;
        Ok(Self {
            direction: c.direction.number(),
            geohash: c.geohash.map(Into::into),
            event: c.event.into(),
        })
    }

    fn write(&self) -> Result<Vec<u8>, EncodeError> {
        let direction = Direction::ALL.into_iter().find(|d| d.number() == self.direction);
        let direction = direction.ok_or(EncodeError::Invalid { what: "the direction", why: "not 1 to 4" })?;
        NostrCarrier { direction, geohash: self.geohash.as_deref(), event: &self.event }.encode()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
enum VoiceBodyForm {
    Start { codec: u8 },
    Data { frames: Vec<Bytes> },
    End { packets: u16, duration_ms: u32 },
    Cancel,
}

#[derive(Serialize, Deserialize)]
pub(in super::super) struct VoiceForm {
    burst_id: Fixed<8>,
    sequence: u16,
    #[serde(flatten)]
    body: VoiceBodyForm,
}

impl VoiceForm {
    pub(in super::super) fn of(frame: &VoiceFrame<'_>) -> Self {
        let body = match &frame.body {
            VoiceBody::Start { codec } => VoiceBodyForm::Start { codec: *codec },
            VoiceBody::Data(frames) => {
                VoiceBodyForm::Data { frames: frames.iter().map(|f| Bytes(f.to_vec())).collect() }
            }
            VoiceBody::End { packets, duration_ms } => {
                VoiceBodyForm::End { packets: *packets, duration_ms: *duration_ms }
            }
            VoiceBody::Cancel => VoiceBodyForm::Cancel,
        };
        Self { burst_id: Fixed(frame.burst_id), sequence: frame.sequence, body }
    }

    pub(in super::super) fn frame(&self) -> VoiceFrame<'_> {
        let body = match &self.body {
            VoiceBodyForm::Start { codec } => VoiceBody::Start { codec: *codec },
            VoiceBodyForm::Data { frames } => {
                VoiceBody::Data(frames.iter().map(|f| f.0.as_slice()).collect())
            }
            VoiceBodyForm::End { packets, duration_ms } => {
                VoiceBody::End { packets: *packets, duration_ms: *duration_ms }
            }
            VoiceBodyForm::Cancel => VoiceBody::Cancel,
        };
        VoiceFrame { burst_id: self.burst_id.0, sequence: self.sequence, body }
    }
}

impl Form for VoiceForm {
    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        VoiceFrame::decode(payload).map(|frame| Self::of(&frame))
    }

    fn write(&self) -> Result<Vec<u8>, EncodeError> {
        self.frame().encode()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnnounceV2Form {
    epoch: u32,
    tags: [Fixed<8>; 8],
    #[serde(default)]
    capabilities: Option<Abilities>,
    #[serde(default)]
    geohash: Option<String>,
}

impl Form for AnnounceV2Form {
    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        let a = AnnounceV2::decode(payload)?;
        let capabilities = a.capabilities.map(Abilities);
        Ok(Self { epoch: a.epoch, tags: a.tags.map(Fixed), capabilities, geohash: a.geohash })
    }

    fn write(&self) -> Result<Vec<u8>, EncodeError> {
        AnnounceV2 {
            epoch: self.epoch,
            tags: self.tags.map(|tag| tag.0),
            capabilities: self.capabilities.map(|c| c.0),
            geohash: self.geohash.clone(),
        }
        .encode()
    }
}
