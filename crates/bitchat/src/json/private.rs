//! What is inside a session, as JSON.

use super::forms::{FileForm, FormError, VoiceForm, value};
use super::hex_fields::{Abilities, Bytes, Fixed};
use crate::error::DecodeError;
use crate::group::{GroupState, Member};
use crate::peer::Fingerprint;
use crate::private::{PeerState, PrivateMessage, PrivatePayload, PrivateType};
use crate::verification::{Challenge, Response};
use crate::vouch::Attestation;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// The type and the fields of a decrypted payload.
pub(super) fn describe(plain: &[u8]) -> Result<Value, DecodeError> {
    let payload = PrivatePayload::decode(plain)?;
    let kind = payload.kind();
    let content = match payload {
        PrivatePayload::PrivateMessage(m) => json!({"id": m.id, "content": m.content}),
        PrivatePayload::ReadReceipt(id) | PrivatePayload::Delivered(id) => json!({"id": id}),
        PrivatePayload::GroupInvite(state) | PrivatePayload::GroupKeyUpdate(state) => {
            value(&GroupForm::of(&state)).unwrap_or_default()
        }
        PrivatePayload::VoiceFrame(frame) => value(&VoiceForm::of(&frame)).unwrap_or_default(),
        PrivatePayload::VerifyChallenge(c) => {
            json!({"noise_public_hex": c.noise_public_hex, "nonce": hex::encode(c.nonce)})
        }
        PrivatePayload::VerifyResponse(r) => json!({
            "noise_public_hex": r.noise_public_hex,
            "nonce": hex::encode(r.nonce),
            "signature": hex::encode(r.signature),
        }),
        PrivatePayload::Vouch(list) => {
            let list: Vec<AttestationForm> = list.iter().map(AttestationForm::of).collect();
            json!({ "attestations": list })
        }
        PrivatePayload::PrivateFile(file) => value(&FileForm::of(&file)).unwrap_or_default(),
        PrivatePayload::AuthenticatedPeerState(s) => {
            json!({"capabilities": Abilities(s.capabilities), "signing_public": hex::encode(s.signing_public)})
        }
        PrivatePayload::Unknown { body, .. } => json!({ "body": hex::encode(body) }),
    };
    Ok(json!({"type": kind.name(), "type_number": u8::from(kind), "content": content}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrivateForm {
    #[serde(rename = "type")]
    kind: Option<String>,
    type_number: Option<u8>,
    content: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageForm {
    id: String,
    content: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptForm {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyForm {
    noise_public_hex: String,
    nonce: Fixed<16>,
    signature: Option<Fixed<64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VouchForm {
    attestations: Vec<AttestationForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StateForm {
    capabilities: Abilities,
    signing_public: Fixed<32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BodyForm {
    body: Bytes,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttestationForm {
    fingerprint: Fixed<32>,
    signing_public: Fixed<32>,
    timestamp_ms: u64,
    signature: Fixed<64>,
}

impl AttestationForm {
    fn of(a: &Attestation) -> Self {
        Self {
            fingerprint: Fixed(a.fingerprint.0),
            signing_public: Fixed(a.signing_public),
            timestamp_ms: a.timestamp,
            signature: Fixed(a.signature),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberForm {
    fingerprint: Fixed<32>,
    signing_public: Fixed<32>,
    nickname: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupForm {
    group_id: Fixed<16>,
    name: String,
    key: Fixed<32>,
    epoch: u32,
    roster: Vec<MemberForm>,
    creator: Fixed<32>,
    signature: Fixed<64>,
}

impl GroupForm {
    fn of(state: &GroupState) -> Self {
        let member = |m: &Member| MemberForm {
            fingerprint: Fixed(m.fingerprint.0),
            signing_public: Fixed(m.signing_public),
            nickname: m.nickname.clone(),
        };
        Self {
            group_id: Fixed(state.group_id),
            name: state.name.clone(),
            key: Fixed(*state.key),
            epoch: state.epoch,
            roster: state.roster.iter().map(member).collect(),
            creator: Fixed(state.creator.0),
            signature: Fixed(state.signature),
        }
    }

    fn state(self) -> GroupState {
        let member = |m: MemberForm| Member {
            fingerprint: Fingerprint(m.fingerprint.0),
            signing_public: m.signing_public.0,
            nickname: m.nickname,
        };
        GroupState {
            group_id: self.group_id.0,
            name: self.name,
            key: Zeroizing::new(self.key.0),
            epoch: self.epoch,
            roster: self.roster.into_iter().map(member).collect(),
            creator: Fingerprint(self.creator.0),
            signature: self.signature.0,
        }
    }
}

/// The payload to be sealed, from its type and fields.
pub(super) fn build(form: Value) -> Result<Vec<u8>, FormError> {
    let form: PrivateForm = serde_json::from_value(form)?;
    let named = form.kind.as_deref().and_then(|name| PrivateType::ALL.into_iter().find(|t| t.name() == name));
    let kind = named.or(form.type_number.map(PrivateType::from)).ok_or(FormError::UnknownType)?;
    let content = form.content;
    let payload = match kind {
        PrivateType::PrivateMessage => {
            let m: MessageForm = serde_json::from_value(content)?;
            return Ok(
                PrivatePayload::PrivateMessage(PrivateMessage { id: &m.id, content: &m.content }).encode()?
            );
        }
        PrivateType::ReadReceipt => {
            let r: ReceiptForm = serde_json::from_value(content)?;
            return Ok(PrivatePayload::ReadReceipt(&r.id).encode()?);
        }
        PrivateType::Delivered => {
            let r: ReceiptForm = serde_json::from_value(content)?;
            return Ok(PrivatePayload::Delivered(&r.id).encode()?);
        }
        PrivateType::VoiceFrame => {
            let v: VoiceForm = serde_json::from_value(content)?;
            return Ok(PrivatePayload::VoiceFrame(v.frame()).encode()?);
        }
        PrivateType::PrivateFile => {
            let f: FileForm = serde_json::from_value(content)?;
            return Ok(PrivatePayload::PrivateFile(f.file()).encode()?);
        }
        PrivateType::Unknown(number) => {
            let b: BodyForm = serde_json::from_value(content)?;
            return Ok(PrivatePayload::Unknown { number, body: &b.body.0 }.encode()?);
        }
        PrivateType::GroupInvite => {
            PrivatePayload::GroupInvite(serde_json::from_value::<GroupForm>(content)?.state())
        }
        PrivateType::GroupKeyUpdate => {
            PrivatePayload::GroupKeyUpdate(serde_json::from_value::<GroupForm>(content)?.state())
        }
        PrivateType::VerifyChallenge => {
            let v: VerifyForm = serde_json::from_value(content)?;
            PrivatePayload::VerifyChallenge(Challenge {
                noise_public_hex: v.noise_public_hex,
                nonce: v.nonce.0,
            })
        }
        PrivateType::VerifyResponse => {
            let v: VerifyForm = serde_json::from_value(content)?;
            let missing =
                crate::EncodeError::Invalid { what: "the response", why: "its signature is missing" };
            let (noise_public_hex, nonce) = (v.noise_public_hex, v.nonce.0);
            let signature = v.signature.ok_or(missing)?.0;
            PrivatePayload::VerifyResponse(Response { noise_public_hex, nonce, signature })
        }
        PrivateType::Vouch => {
            let v: VouchForm = serde_json::from_value(content)?;
            let one = |a: AttestationForm| Attestation {
                fingerprint: Fingerprint(a.fingerprint.0),
                signing_public: a.signing_public.0,
                timestamp: a.timestamp_ms,
                signature: a.signature.0,
            };
            PrivatePayload::Vouch(v.attestations.into_iter().map(one).collect())
        }
        PrivateType::AuthenticatedPeerState => {
            let s: StateForm = serde_json::from_value(content)?;
            let (capabilities, signing_public) = (s.capabilities.0, s.signing_public.0);
            PrivatePayload::AuthenticatedPeerState(PeerState { capabilities, signing_public })
        }
    };
    Ok(payload.encode()?)
}
