//! Who is here: the announcement that everybody makes again and again, and the keys that are believed because of it.
//!
//! An announcement says a nickname, a Noise key and a signing key. It is believed if the Noise key hashes to the sender
//! (*binding*), the signature is by the signing key, and neither key is another than the one that was first seen under
//! this id (*pinning*). See [`Roster`].

mod roster;

pub use roster::{Known, MAX_ANNOUNCE_AGE_MS, Refusal, Roster, Trust};

use crate::capabilities::Capabilities;
use crate::error::{DecodeError, EncodeError, exact, fits, text};
use crate::peer::{PEER_ID_LEN, PeerId};
use crate::tlv::{Fields, Width, Writer, once};

/// The most neighbours that an announcement names.
pub const MAX_NEIGHBOURS: usize = 10;
/// The longest geohash.
pub const MAX_GEOHASH: usize = 12;

/// What an announcement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// What somebody calls themselves: up to 255 bytes, of a stranger's making.
    pub nickname: String,
    /// Their static Noise key.
    pub noise_public: [u8; 32],
    /// Their Ed25519 key.
    pub signing_public: [u8; 32],
    /// Whom they hear without anybody between, if they say so; source routes are made of it.
    pub neighbours: Option<Vec<PeerId>>,
    /// What they can do, if they say so.
    pub capabilities: Option<Capabilities>,
    /// Where they bridge to.
    pub bridge_geohash: Option<String>,
}

impl Announcement {
    /// Reads an announcement's payload.
    ///
    /// # Errors
    /// When fields are cut off, missing, double, or of another length.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let (mut nickname, mut noise, mut signing) = (None, None, None);
        let (mut neighbours, mut capabilities, mut geohash) = (None, None, None);
        let mut fields = Fields::new(payload, Width::One);
        while let Some((kind, value)) = fields.next()? {
            match kind {
                1 => once(&mut nickname, text(value, "the nickname")?.to_owned(), "the nickname")?,
                2 => once(&mut noise, exact(value, "the Noise key")?, "the Noise key")?,
                3 => once(&mut signing, exact(value, "the signing key")?, "the signing key")?,
                4 => once(&mut neighbours, peer_ids(value)?, "the list of neighbours")?,
                5 => once(&mut capabilities, Capabilities::decode(value), "the capabilities")?,
                6 => once(&mut geohash, text(value, "the geohash")?.to_owned(), "the geohash")?,
                _ => {}
            }
        }
        Ok(Self {
            nickname: nickname.ok_or(DecodeError::Missing("the nickname"))?,
            noise_public: noise.ok_or(DecodeError::Missing("the Noise key"))?,
            signing_public: signing.ok_or(DecodeError::Missing("the signing key"))?,
            neighbours,
            capabilities,
            bridge_geohash: geohash,
        })
    }

    /// The payload.
    ///
    /// # Errors
    /// When the nickname is longer than 255 bytes, there are more than ten neighbours, or the geohash is too long.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Writer::new(Width::One);
        out.field(1, self.nickname.as_bytes(), "the nickname")?;
        out.field(2, &self.noise_public, "the Noise key")?;
        out.field(3, &self.signing_public, "the signing key")?;
        if let Some(neighbours) = &self.neighbours {
            fits("the list of neighbours (in peers)", neighbours.len(), MAX_NEIGHBOURS)?;
            let ids: Vec<u8> = neighbours.iter().flat_map(|id| id.0).collect();
            out.field(4, &ids, "the list of neighbours")?;
        }
        if let Some(capabilities) = self.capabilities {
            out.field(5, &capabilities.encode(), "the capabilities")?;
        }
        if let Some(geohash) = &self.bridge_geohash {
            fits("the geohash", geohash.len(), MAX_GEOHASH)?;
            out.field(6, geohash.as_bytes(), "the geohash")?;
        }
        Ok(out.finish())
    }

    /// The peer id that the Noise key makes: it must be the packet's sender.
    pub fn peer_id(&self) -> PeerId {
        PeerId::of(&self.noise_public)
    }
}

/// The first ten ids of a list; apps may one day name more.
fn peer_ids(bytes: &[u8]) -> Result<Vec<PeerId>, DecodeError> {
    let (ids, rest) = bytes.as_chunks::<PEER_ID_LEN>();
    if !rest.is_empty() {
        return Err(DecodeError::Invalid {
            what: "the list of neighbours",
            why: "not a whole number of ids",
        });
    }
    Ok(ids.iter().take(MAX_NEIGHBOURS).map(|id| PeerId(*id)).collect())
}
