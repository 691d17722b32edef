//! Ids that change every hour, as the apps plan them. No release sends them; they are read, and can be recognised.

use crate::capabilities::Capabilities;
use crate::error::{DecodeError, EncodeError, exact, fits, text};
use crate::identity;
use crate::peer::PeerId;
use crate::tlv::{Fields, Width, Writer, once};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// How long an id holds, seconds.
pub const EPOCH_S: u64 = 3_600;
/// Contacts that one announcement can speak to.
pub const TAGS: usize = 8;
/// Bytes of a tag.
pub const TAG_LEN: usize = 8;

/// Makes the ids of somebody.
pub struct RotationSecret(Zeroizing<[u8; 32]>);

impl RotationSecret {
    /// The secret that belongs to a private Noise key.
    pub fn of(noise_private: &[u8; 32]) -> Self {
        Self(derive(noise_private, b"bitchat-peer-rotation-v1"))
    }

    /// The secret's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The id of an epoch (`seconds since 1970 / EPOCH_S`).
    pub fn peer_id(&self, epoch: u32) -> PeerId {
        PeerId(mac(&self.0, &[b"bitchat-peer-id-v2", &epoch.to_be_bytes()]))
    }
}

/// By which two who met know one another again.
pub struct RecognitionKey(Zeroizing<[u8; 32]>);

impl RecognitionKey {
    /// The key of two people, from the X25519 secret that they share.
    pub fn of(shared: &[u8; 32]) -> Self {
        Self(derive(shared, b"bitchat-recognition-v1"))
    }

    /// What `sender` writes for `recipient` (their public Noise keys) into an announcement under the id `peer_id`.
    pub fn tag(&self, epoch: u32, sender: &[u8; 32], recipient: &[u8; 32], peer_id: PeerId) -> [u8; TAG_LEN] {
        mac(&self.0, &[&epoch.to_be_bytes(), sender, recipient, &peer_id.0])
    }
}

/// The planned announcement. It is not signed, by design: the tags say who it is, to those who may know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnounceV2 {
    /// Hours since 1970.
    pub epoch: u32,
    /// For up to eight contacts; the others are random.
    pub tags: [[u8; TAG_LEN]; TAGS],
    /// What the app can do.
    pub capabilities: Option<Capabilities>,
    /// Where it bridges to.
    pub geohash: Option<String>,
}

impl AnnounceV2 {
    /// Reads the payload.
    ///
    /// # Errors
    /// When a field is cut off, missing, double or of another length.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let (mut epoch, mut tags, mut capabilities, mut geohash) = (None, None, None, None);
        let mut fields = Fields::new(payload, Width::One);
        while let Some((kind, value)) = fields.next()? {
            match kind {
                1 => once(&mut epoch, u32::from_be_bytes(exact(value, "the epoch")?), "the epoch")?,
                2 => {
                    let block: [u8; TAGS * TAG_LEN] = exact(value, "the tags")?;
                    let mut slots = [[0; TAG_LEN]; TAGS];
                    slots.iter_mut().zip(block.as_chunks().0).for_each(|(slot, tag)| *slot = *tag);
                    once(&mut tags, slots, "the tags")?;
                }
                3 => once(&mut capabilities, Capabilities::decode(value), "the capabilities")?,
                4 if value.len() > 12 => {
                    return Err(DecodeError::TooLong { what: "the geohash", len: value.len(), max: 12 });
                }
                4 => once(&mut geohash, text(value, "the geohash")?.to_owned(), "the geohash")?,
                _ => {}
            }
        }
        Ok(Self {
            epoch: epoch.ok_or(DecodeError::Missing("the epoch"))?,
            tags: tags.ok_or(DecodeError::Missing("the tags"))?,
            capabilities,
            geohash,
        })
    }

    /// The payload.
    ///
    /// # Errors
    /// When the geohash is too long.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Writer::new(Width::One);
        out.field(1, &self.epoch.to_be_bytes(), "the epoch")?;
        out.field(2, &self.tags.concat(), "the tags")?;
        if let Some(capabilities) = self.capabilities {
            out.field(3, &capabilities.encode(), "the capabilities")?;
        }
        if let Some(geohash) = &self.geohash {
            fits("the geohash", geohash.len(), 12)?;
            out.field(4, geohash.as_bytes(), "the geohash")?;
        }
        Ok(out.finish())
    }
}

fn derive(secret: &[u8; 32], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    // 32 bytes are one block, and HKDF makes up to 255 of them.
    _ = Hkdf::<Sha256>::new(None, secret).expand(info, &mut *key);
    key
}

fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 8] {
    let mut out = [0; 8];
    out.copy_from_slice(&identity::hmac_sha256(key, parts)[..8]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_tags_as_published() {
        let private: Vec<u8> = (1..=32).collect();
        let secret = RotationSecret::of(&private.try_into().unwrap());
        let published = "fb82dfec0c0a2a4677beca44e2f72c80e7c5de773dd5fce6ee47af83d3c25f09";
        assert_eq!(hex::encode(secret.as_bytes()), published);
        assert_eq!(secret.peer_id(100).to_string(), "f7c08c528506a374");

        let key = RecognitionKey::of(&[0x42; 32]);
        let (a, b, id) = ([0x0a; 32], [0x0b; 32], PeerId([0xa1; 8]));
        assert_eq!(hex::encode(key.tag(100, &a, &b, id)), "4568f61d61d6cbfb");
        assert_eq!(hex::encode(key.tag(100, &b, &a, id)), "5313c7731f629959");
    }

    #[test]
    fn announcements_survive() {
        let mut announce = AnnounceV2 {
            epoch: 0x0102_0304,
            tags: [[1; 8], [2; 8], [3; 8], [4; 8], [5; 8], [6; 8], [7; 8], [8; 8]],
            capabilities: Some(Capabilities(1 << 8)),
            geohash: Some("u33d".into()),
        };
        let payload = announce.encode().unwrap();
        assert_eq!(hex::encode(&payload[..6]), "010401020304");
        assert_eq!(AnnounceV2::decode(&payload), Ok(announce.clone()));
        announce.geohash = Some("u".repeat(13));
        assert!(announce.encode().is_err());
        assert!(AnnounceV2::decode(&payload[..6]).is_err());
    }
}
