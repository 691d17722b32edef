//! Bytes to JSON.

use super::forms::{self, AnnounceForm, EnvelopeForm, FileForm, Form};
use super::hex_fields::{Bytes, Id};
use super::{Keyring, private};
use crate::courier;
use crate::error::DecodeError;
use crate::group::{GroupEnvelope, GroupMessage};
use crate::identity::Identity;
use crate::message;
use crate::noise::open_with_key;
use crate::packet::{Flags, INITIAL_TTL, MessageType, PacketRef, SignatureError, Version};
use crate::peer::PeerId;
use crate::ping::Ping;
use crate::sync::RequestSync;
use serde_json::{Map, Value, json};

/// What some bytes are.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Everything, as a JSON object.
    pub json: Value,
    /// What is wrong, as sentences; they are in the JSON, too.
    pub problems: Vec<String>,
}

/// Reads any bytes as a packet. What cannot be read is among the problems.
pub fn describe(bytes: &[u8], keys: &Keyring) -> Description {
    let mut about = About::default();
    match PacketRef::decode(bytes) {
        Ok(packet) => about.packet(&packet, keys),
        Err(error) => {
            about.problem(format!("this is no packet: {error}"));
            about.set("hex", json!(Bytes(bytes.to_vec())));
            about.set("length", json!(bytes.len()));
        }
    }
    about.set("notes", json!(about.notes));
    about.set("problems", json!(about.problems));
    Description { json: Value::Object(about.json), problems: about.problems }
}

#[derive(Default)]
struct About {
    json: Map<String, Value>,
    problems: Vec<String>,
    notes: Vec<String>,
}

impl About {
    fn set(&mut self, name: &str, value: Value) {
        self.json.insert(name.into(), value);
    }

    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    fn packet(&mut self, packet: &PacketRef<'_>, keys: &Keyring) {
        let kind = packet.message_type;
        self.set("type", json!(kind.name()));
        self.set("type_number", json!(u8::from(kind)));
        self.set("version", json!(packet.version.number()));
        self.set("ttl", json!(packet.ttl));
        self.set("timestamp_ms", json!(packet.timestamp));
        self.set("sender", json!(Id(packet.sender)));
        self.set("recipient", json!(packet.recipient.map(Id)));
        self.set("broadcast", json!(packet.is_broadcast()));
        let has_route = packet.version == Version::V2 && packet.flags.has(Flags::ROUTE);
        let route = has_route.then(|| packet.route.hops().map(Id).collect::<Vec<_>>());
        self.set("route", json!(route));
        self.set("sync_reply", json!(packet.is_sync_reply()));
        self.set("other_flags", json!(packet.to_packet().other_flags));
        self.set("signature", json!(packet.signature.map(|s| Bytes(s.to_vec()))));
        self.set("padded", json!(packet.padding() > 0));
        self.set("length", json!(packet.wire().len()));
        self.set(
            "compression",
            match packet.original_size {
                None => json!("none"),
                Some(size) => json!({"original_size": size, "data": Bytes(packet.body.to_vec())}),
            },
        );
        self.frame(packet);
        match packet.payload() {
            Ok(payload) => {
                self.set("id", json!(packet.id().ok().map(|id| id.to_string())));
                self.set("payload", json!(Bytes(payload.to_vec())));
                self.payload(packet, &payload, keys);
            }
            Err(error) => self.problem(format!("the payload cannot be read: {error}")),
        }
        self.signature(packet, keys);
    }

    /// What the frame tells by itself.
    fn frame(&mut self, packet: &PacketRef<'_>) {
        let kind = packet.message_type;
        if packet.trailing() > 0 {
            self.problem(format!("{} bytes follow after the packet", packet.trailing()));
        }
        if packet.ttl > INITIAL_TTL {
            self.problem(format!("the time to live is {}; no packet begins with more than 7", packet.ttl));
        }
        if kind == MessageType::RequestSync && packet.ttl != 0 {
            self.problem("a sync request must have time to live 0");
        }
        if packet.flags.0 & !Flags::KNOWN != 0 {
            self.note(format!("flags without a meaning are set: 0x{:02x}", packet.flags.0 & !Flags::KNOWN));
        }
        if packet.version == Version::V1 && packet.flags.has(Flags::ROUTE) {
            self.note("the flag for a route means nothing in version 1");
        }
        if let MessageType::Unknown(number) = kind {
            self.note(format!("type 0x{number:02x} is unknown: relays pass it on, nobody reads it"));
        }
        if kind.is_padded() != (packet.padding() > 0) && kind.is_padded() {
            let expected = crate::packet::padding::padding_len(packet.unpadded().len());
            if expected > 0 {
                self.note(format!("the apps add {expected} bytes of padding to packets of this type"));
            }
        } else if packet.padding() > 0 && !kind.is_padded() {
            self.note("the apps do not pad packets of this type");
        }
        if packet.is_sync_reply() {
            self.note("the mark of a sync reply is not signed: believe it only after having asked");
        }
        let addressed = [
            MessageType::CourierEnvelope,
            MessageType::NoiseHandshake,
            MessageType::NoiseEncrypted,
            MessageType::Ping,
            MessageType::Pong,
        ];
        if addressed.contains(&kind) && packet.is_broadcast() {
            self.problem("packets of this type need a recipient");
        }
    }

    fn payload(&mut self, packet: &PacketRef<'_>, payload: &[u8], keys: &Keyring) {
        match forms::content(packet.message_type, payload) {
            Ok(content) => self.set("content", content.unwrap_or(Value::Null)),
            Err(error) => {
                self.set("content", Value::Null);
                self.problem(format!("the content cannot be read: {error}"));
                return;
            }
        }
        let derived = self.derived(packet, payload).unwrap_or_default();
        self.set("derived", Value::Object(derived));
        let opened = self.open(packet.message_type, payload, keys);
        self.set("opened", opened.unwrap_or(Value::Null));
    }

    /// What follows from the content.
    fn derived(&mut self, packet: &PacketRef<'_>, payload: &[u8]) -> Result<Map<String, Value>, DecodeError> {
        let mut derived = Map::new();
        let mut add = |name: &str, value: Value| derived.insert(name.into(), value);
        match packet.message_type {
            MessageType::Announce => {
                let owner = PeerId::of(&AnnounceForm::read(payload)?.noise_public.0);
                add("peer_id", json!(Id(owner)));
                if owner != packet.sender {
                    self.problem(format!("the Noise key belongs to {owner}, not to the sender"));
                }
            }
            MessageType::Message => {
                let text = message::public_text(payload)?;
                add("stable_id", json!(message::stable_id(packet.sender, packet.timestamp, text)));
            }
            MessageType::NoiseHandshake => {
                add(
                    "step",
                    json!(match payload.len() {
                        32 => 1,
                        96 => 2,
                        _ => 3,
                    }),
                );
            }
            MessageType::Ping | MessageType::Pong => {
                let hops = Ping::decode(payload)?.hops(packet.ttl);
                add("hops", json!(hops));
                if hops.is_none() {
                    self.problem("the time to live is higher than the one that the packet set out with");
                }
            }
            MessageType::RequestSync => {
                let filter = RequestSync::decode(payload)?.filter;
                add("values", json!(filter.values()));
                add("false_positive_rate", json!(filter.false_positive_rate()));
                if filter.is_saturated() {
                    self.problem("the filter claims a quarter of all packets or more");
                }
            }
            MessageType::FileTransfer => {
                let form = FileForm::read(payload)?;
                add("safe_name", json!(form.file().safe_name()));
                if let Err(error) = form.file().check() {
                    self.problem(error.to_string());
                }
            }
            _ => {}
        }
        Ok(derived)
    }

    /// What the keys open.
    fn open(&mut self, kind: MessageType, payload: &[u8], keys: &Keyring) -> Option<Value> {
        match kind {
            MessageType::NoiseEncrypted => {
                let (_, plain) = keys.sessions.iter().find_map(|key| open_with_key(key, payload).ok())?;
                Some(self.plain(&plain))
            }
            MessageType::CourierEnvelope => {
                let form = EnvelopeForm::read(payload).ok()?;
                let sealed = &form.ciphertext.0;
                let opened = match form.prekey_id {
                    Some(id) => {
                        let mut fitting = keys.prekeys.iter().filter(|(known, _)| *known == id);
                        fitting.find_map(|(id, key)| courier::open_with_prekey(key, *id, sealed).ok())
                    }
                    None => keys
                        .noise
                        .iter()
                        .find_map(|key| courier::open(&Identity::from_bytes(key, &[0; 32]), sealed).ok()),
                }?;
                let mut value = self.plain(&opened.plain);
                if let Some(object) = value.as_object_mut() {
                    object.insert("sender".into(), json!(Id(opened.sender_id())));
                    object.insert("sender_noise_public".into(), json!(Bytes(opened.sender.to_vec())));
                }
                Some(value)
            }
            MessageType::GroupMessage => {
                let envelope = GroupEnvelope::decode(payload).ok()?;
                let mut errors = Vec::new();
                for key in &keys.groups {
                    match envelope.open_with(key) {
                        Ok(message) => return Some(group_message(&message)),
                        Err(error) => errors.push(error),
                    }
                }
                let other = errors.into_iter().find(|e| *e != crate::group::GroupError::Sealed);
                if let Some(error) = other {
                    self.problem(format!("the group message opens, but {error}"));
                }
                None
            }
            _ => None,
        }
    }

    fn plain(&mut self, plain: &[u8]) -> Value {
        let private = private::describe(plain).unwrap_or_else(|error| {
            self.problem(format!("what is inside cannot be read: {error}"));
            Value::Null
        });
        json!({"plain": Bytes(plain.to_vec()), "private": private})
    }

    /// An announcement brings the key that signs it; for the others, keys must be given.
    fn signature(&mut self, packet: &PacketRef<'_>, keys: &Keyring) {
        let own = match packet.message_type {
            MessageType::Announce => {
                packet.payload().ok().and_then(|p| AnnounceForm::read(&p).ok()).map(|a| a.signing_public.0)
            }
            _ => None,
        };
        let candidates: Vec<[u8; 32]> = own.map_or_else(|| keys.public.clone(), |key| vec![key]);
        let check = match packet.signature {
            None => {
                if packet.message_type.needs_signature() {
                    let name = packet.message_type.name();
                    self.problem(format!("it is not signed, and nobody believes an unsigned {name}"));
                }
                "none"
            }
            Some(_) if candidates.is_empty() => "unchecked",
            Some(_) => {
                let results: Vec<_> = candidates.iter().map(|key| packet.verify(key)).collect();
                if results.contains(&Ok(())) {
                    "valid"
                } else {
                    let why = results.into_iter().find_map(Result::err).unwrap_or(SignatureError::Wrong);
                    self.problem(format!("the signature is not valid: {why}"));
                    "wrong"
                }
            }
        };
        self.set("signature_check", json!(check));
    }
}

fn group_message(m: &GroupMessage) -> Value {
    json!({
        "id": m.id,
        "sender_signing_public": Bytes(m.sender.to_vec()),
        "nickname": m.nickname,
        "timestamp_ms": m.timestamp,
        "content": m.content,
        "signature": Bytes(m.signature.to_vec()),
    })
}
