//! Bytes, keys and ids as hexadecimal text.

use crate::capabilities::Capabilities;
use crate::packet::MessageType;
use crate::peer::PeerId;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes of any length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        hex::decode(&text).map(Self).map_err(|_| D::Error::custom(bad(&text, "hexadecimal digits")))
    }
}

/// Bytes of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fixed<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> Serialize for Fixed<N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Fixed<N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let mut out = [0; N];
        match hex::decode_to_slice(&text, &mut out) {
            Ok(()) => Ok(Self(out)),
            Err(_) => Err(D::Error::custom(bad(&text, &format!("{} hexadecimal digits", 2 * N)))),
        }
    }
}

/// A peer's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(pub(super) PeerId);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

/// A packet's type: its name, or its number if it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Type(pub(super) MessageType);

#[derive(Deserialize)]
#[serde(untagged)]
enum NameOrNumber {
    Name(String),
    Number(u8),
}

impl Serialize for Type {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            MessageType::Unknown(number) => to.serialize_u8(number),
            known => to.serialize_str(known.name()),
        }
    }
}

impl<'de> Deserialize<'de> for Type {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match NameOrNumber::deserialize(from)? {
            NameOrNumber::Number(number) => Ok(Self(number.into())),
            NameOrNumber::Name(name) => {
                let known = MessageType::ALL.iter().find(|t| t.name() == name);
                let names = || MessageType::ALL.iter().map(|t| t.name()).collect::<Vec<_>>().join(", ");
                let unknown = || format!("there is no type {name:?}: give a number, or one of {}", names());
                known.map(|t| Self(*t)).ok_or_else(|| D::Error::custom(unknown()))
            }
        }
    }
}

/// Capabilities: names, and `bit11` and so on for those without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abilities(pub(super) Capabilities);

impl Serialize for Abilities {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let name = |bit: usize| match Capabilities::NAMES.get(bit) {
            Some(name) => (*name).to_owned(),
            None => format!("bit{bit}"),
        };
        to.collect_seq((0..64).filter(|bit| self.0.0 >> bit & 1 == 1).map(name))
    }
}

impl<'de> Deserialize<'de> for Abilities {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(from)?;
        let bit = |name: &String| {
            let known = Capabilities::NAMES.iter().position(|n| n == name);
            let number = || name.strip_prefix("bit").and_then(|n| n.parse().ok()).filter(|bit| *bit < 64);
            known.or_else(number).ok_or_else(|| D::Error::custom(format!("there is no capability {name:?}")))
        };
        let bits = names.iter().try_fold(0, |bits, name| bit(name).map(|bit| bits | 1 << bit))?;
        Ok(Self(Capabilities(bits)))
    }
}

fn bad(text: &str, what: &str) -> String {
    let start: String = text.chars().take(40).collect();
    format!("{start:?} is not {what}")
}
