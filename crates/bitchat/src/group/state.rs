//! What members know of their group.

use super::{GROUP_ID_LEN, GroupError};
use crate::error::{DecodeError, EncodeError, chunk, exact, fits, text};
use crate::identity::{Identity, verify};
use crate::peer::Fingerprint;
use crate::tlv::{Fields, Width, Writer, get_len8, once, put_len8};
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// The most members.
pub const MAX_MEMBERS: usize = 16;
/// The longest nickname on a roster, bytes.
pub const MAX_NICKNAME: usize = 64;

const CONTEXT: &[u8] = b"bitchat-group-v1";

/// Somebody on the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Of their Noise key.
    pub fingerprint: Fingerprint,
    /// Their Ed25519 key.
    pub signing_public: [u8; 32],
    /// What they call themselves.
    pub nickname: String,
}

/// A group at an epoch.
#[derive(Clone, PartialEq, Eq)]
pub struct GroupState {
    /// The group.
    pub group_id: [u8; GROUP_ID_LEN],
    /// Its name.
    pub name: String,
    /// The epoch's key.
    pub key: Zeroizing<[u8; 32]>,
    /// Counts up with every change.
    pub epoch: u32,
    /// Who is in it.
    pub roster: Vec<Member>,
    /// Who made it.
    pub creator: Fingerprint,
    /// The creator's, over all of this.
    pub signature: [u8; 64],
}

impl fmt::Debug for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupState")
            .field("group_id", &hex::encode(self.group_id))
            .field("epoch", &self.epoch)
            .field("members", &self.roster.len())
            .finish_non_exhaustive()
    }
}

impl GroupState {
    /// Signs a state as its creator. The signature in it is replaced.
    ///
    /// # Errors
    /// When the roster is too long.
    pub fn sign(mut self, creator: &Identity) -> Result<Self, EncodeError> {
        self.signature = creator.sign(&self.signing_bytes()?);
        Ok(self)
    }

    /// Whether the state is to be believed: it came in a session with its creator, who is on the roster and signed it,
    /// and it is newer than `known_epoch`.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, session_peer: Fingerprint, known_epoch: Option<u32>) -> Result<(), GroupError> {
        if session_peer != self.creator {
            return Err(GroupError::NotTheCreator);
        }
        let creator = self.member(self.creator).ok_or(GroupError::NoCreator)?;
        let covered = self.signing_bytes().map_err(|_| GroupError::Signature)?;
        if !verify(&creator.signing_public, &covered, &self.signature) {
            return Err(GroupError::Signature);
        }
        match known_epoch {
            Some(known) if self.epoch <= known => Err(GroupError::OldEpoch(self.epoch)),
            _ => Ok(()),
        }
    }

    /// Whoever has this fingerprint.
    pub fn member(&self, fingerprint: Fingerprint) -> Option<&Member> {
        self.roster.iter().find(|m| m.fingerprint == fingerprint)
    }

    fn signing_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        let roster = self.encode_roster()?;
        Ok([
            CONTEXT,
            &self.group_id,
            &self.epoch.to_be_bytes(),
            &Sha256::digest(*self.key),
            &Sha256::digest(roster),
            &Sha256::digest(&self.name),
        ]
        .concat())
    }

    fn encode_roster(&self) -> Result<Vec<u8>, EncodeError> {
        fits("the roster (in members)", self.roster.len(), MAX_MEMBERS)?;
        let mut out = vec![self.roster.len() as u8];
        for member in &self.roster {
            out.extend_from_slice(&member.fingerprint.0);
            out.extend_from_slice(&member.signing_public);
            fits("a member's nickname", member.nickname.len(), MAX_NICKNAME)?;
            put_len8(&mut out, member.nickname.as_bytes(), "a member's nickname")?;
        }
        Ok(out)
    }

    /// Reads the body.
    ///
    /// # Errors
    /// When a field is cut off, missing, double or of another length, or the roster names somebody twice.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let (mut group_id, mut name, mut key, mut epoch) = (None, None, None, None);
        let (mut roster, mut creator, mut signature) = (None, None, None);
        let mut fields = Fields::new(body, Width::Two);
        while let Some((kind, value)) = fields.next()? {
            match kind {
                1 => once(&mut group_id, exact(value, "the group's id")?, "the group's id")?,
                2 => once(&mut name, text(value, "the group's name")?.to_owned(), "the group's name")?,
                3 => once(&mut key, Zeroizing::new(exact(value, "the group's key")?), "the group's key")?,
                4 => once(&mut epoch, u32::from_be_bytes(exact(value, "the epoch")?), "the epoch")?,
                5 => once(&mut roster, decode_roster(value)?, "the roster")?,
                6 => once(&mut creator, Fingerprint(exact(value, "the creator")?), "the creator")?,
                7 => once(&mut signature, exact(value, "the signature")?, "the signature")?,
                _ => {}
            }
        }
        Ok(Self {
            group_id: group_id.ok_or(DecodeError::Missing("the group's id"))?,
            name: name.ok_or(DecodeError::Missing("the group's name"))?,
            key: key.ok_or(DecodeError::Missing("the group's key"))?,
            epoch: epoch.ok_or(DecodeError::Missing("the epoch"))?,
            roster: roster.ok_or(DecodeError::Missing("the roster"))?,
            creator: creator.ok_or(DecodeError::Missing("the creator"))?,
            signature: signature.ok_or(DecodeError::Missing("the signature"))?,
        })
    }

    /// The body.
    ///
    /// # Errors
    /// When the roster or a name is too long.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Writer::new(Width::Two);
        out.field(1, &self.group_id, "the group's id")?;
        out.field(2, self.name.as_bytes(), "the group's name")?;
        out.field(3, &*self.key, "the group's key")?;
        out.field(4, &self.epoch.to_be_bytes(), "the epoch")?;
        out.field(5, &self.encode_roster()?, "the roster")?;
        out.field(6, &self.creator.0, "the creator")?;
        out.field(7, &self.signature, "the signature")?;
        Ok(out.finish())
    }
}

fn decode_roster(bytes: &[u8]) -> Result<Vec<Member>, DecodeError> {
    let (count, mut rest) = chunk::<1>(bytes, "the roster")?;
    let count = usize::from(count[0]);
    if count > MAX_MEMBERS {
        return Err(DecodeError::TooLong { what: "the roster (in members)", len: count, max: MAX_MEMBERS });
    }
    let mut roster: Vec<Member> = Vec::with_capacity(count);
    for _ in 0..count {
        let (fingerprint, after) = chunk(rest, "a member's fingerprint")?;
        let (signing_public, after) = chunk(after, "a member's signing key")?;
        let (nickname, after) = get_len8(after, "a member's nickname")?;
        if nickname.len() > MAX_NICKNAME {
            let len = nickname.len();
            return Err(DecodeError::TooLong { what: "a member's nickname", len, max: MAX_NICKNAME });
        }
        let fingerprint = Fingerprint(*fingerprint);
        if roster.iter().any(|m| m.fingerprint == fingerprint) {
            return Err(DecodeError::Duplicate("a member"));
        }
        let nickname = text(nickname, "a member's nickname")?.to_owned();
        roster.push(Member { fingerprint, signing_public: *signing_public, nickname });
        rest = after;
    }
    match rest.len() {
        0 => Ok(roster),
        len => Err(DecodeError::Trailing { what: "the roster", len }),
    }
}
