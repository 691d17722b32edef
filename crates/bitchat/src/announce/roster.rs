//! Whose keys are believed.

use super::Announcement;
use crate::error::DecodeError;
use crate::identity;
use crate::packet::{MAX_CLOCK_SKEW_MS, PacketRef, SignatureError};
use crate::peer::PeerId;
use crate::private::PeerState;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The oldest announcement that is believed in an answer to a sync request, milliseconds.
pub const MAX_ANNOUNCE_AGE_MS: u64 = 900_000;

/// Why a packet is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The payload cannot be read.
    #[error("the payload cannot be read: {0}")]
    Malformed(#[from] DecodeError),
    /// The packet's time is too far from the own clock.
    #[error("the packet is {0} ms away from the clock here")]
    Clock(u64),
    /// It is not newer than what the same sender announced before.
    #[error("the announcement is not newer than the last one")]
    Replayed,
    /// The sender is not who the keys say: somebody took another's id.
    #[error("the Noise key belongs to {actual}, not to the sender {claimed}")]
    Binding {
        /// The packet's sender.
        claimed: PeerId,
        /// Whose key it is.
        actual: PeerId,
    },
    /// The signature is missing or wrong.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The keys are others than those first seen under this id.
    #[error("{0} had other keys before")]
    OtherKeys(PeerId),
    /// Nobody has announced this sender yet, so the signature cannot be checked.
    #[error("{0} has not announced themselves")]
    Unannounced(PeerId),
    /// A Noise key that gives nobody a secret.
    #[error("the Noise key is of low order")]
    LowOrderKey,
    /// There is no room for one more, since all are kept on purpose.
    #[error("the list of known peers is full of peers that are to be kept")]
    Full,
}

/// How it came that a signing key is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Trust {
    /// It was the first that was seen.
    FirstSeen,
    /// It was said inside a Noise session.
    Session,
}

/// What is known of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The last announcement that was believed.
    pub announcement: Announcement,
    /// The signing key that is believed.
    pub signing_public: [u8; 32],
    /// Why.
    pub trust: Trust,
    /// The time of that announcement by its sender's clock, milliseconds since 1970.
    pub announced: u64,
    /// When something signed came from them last, milliseconds since 1970.
    pub last_seen: u64,
    /// Never make room for others: a contact.
    pub keep: bool,
}

/// The peers whose keys are pinned: a bounded number. Strangers who were not heard for longest make room.
#[derive(Debug)]
pub struct Roster {
    known: HashMap<PeerId, Known>,
    most: usize,
}

impl Roster {
    /// Room for `most` peers.
    pub fn new(most: usize) -> Self {
        Self { known: HashMap::new(), most }
    }

    /// Whoever this is, if they are known.
    pub fn get(&self, peer: PeerId) -> Option<&Known> {
        self.known.get(&peer)
    }

    /// All who are known, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (PeerId, &Known)> {
        self.known.iter().map(|(id, known)| (*id, known))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Puts back what was known before a restart.
    ///
    /// # Errors
    /// When there is no room, or the keys do not belong to the id.
    pub fn restore(&mut self, peer: PeerId, known: Known) -> Result<(), Refusal> {
        let actual = known.announcement.peer_id();
        if actual != peer {
            return Err(Refusal::Binding { claimed: peer, actual });
        }
        self.make_room(peer)?;
        self.known.insert(peer, known);
        Ok(())
    }

    /// Keeps somebody whoever comes, or lets them go like any stranger.
    pub fn keep(&mut self, peer: PeerId, keep: bool) -> bool {
        self.known.get_mut(&peer).map(|known| known.keep = keep).is_some()
    }

    /// Forgets somebody with their pinned keys.
    pub fn forget(&mut self, peer: PeerId) -> bool {
        self.known.remove(&peer).is_some()
    }

    /// Takes an announcement that came at `now`. `in_sync_reply` says that it answers a request of our own: then it may
    /// be older.
    ///
    /// # Errors
    /// When it is not to be believed. Nothing changes then.
    pub fn announced(
        &mut self,
        packet: &PacketRef<'_>,
        now: u64,
        in_sync_reply: bool,
    ) -> Result<&Known, Refusal> {
        check_time(packet, now, in_sync_reply.then_some(MAX_ANNOUNCE_AGE_MS))?;
        let announcement = Announcement::decode(&packet.payload()?)?;
        let actual = announcement.peer_id();
        if actual != packet.sender {
            return Err(Refusal::Binding { claimed: packet.sender, actual });
        }
        let before = self.known.get(&actual);
        if let Some(before) = before {
            if before.signing_public != announcement.signing_public
                || before.announcement.noise_public != announcement.noise_public
            {
                return Err(Refusal::OtherKeys(actual));
            }
            if packet.timestamp <= before.announced {
                return Err(Refusal::Replayed);
            }
        } else if identity::is_low_order(&announcement.noise_public) {
            return Err(Refusal::LowOrderKey);
        }
        packet.verify(&announcement.signing_public)?;
        let (trust, keep) = before.map_or((Trust::FirstSeen, false), |b| (b.trust, b.keep));
        self.make_room(actual)?;
        let signing_public = announcement.signing_public;
        let known =
            Known { announcement, signing_public, trust, announced: packet.timestamp, last_seen: now, keep };
        Ok(self.known.entry(actual).insert_entry(known).into_mut())
    }

    /// Checks a signed packet that is no announcement: its time, and its signature by the pinned key.
    /// `oldest_ms` is how old it may be if it answers a sync request of our own.
    ///
    /// # Errors
    /// When it is not to be believed.
    pub fn verify(
        &mut self,
        packet: &PacketRef<'_>,
        now: u64,
        oldest_ms: Option<u64>,
    ) -> Result<(), Refusal> {
        check_time(packet, now, oldest_ms)?;
        let known = self.known.get_mut(&packet.sender).ok_or(Refusal::Unannounced(packet.sender))?;
        packet.verify(&known.signing_public)?;
        known.last_seen = known.last_seen.max(now);
        Ok(())
    }

    /// Takes what a peer said of itself inside a Noise session with `peer`: that key wins over one that was merely seen
    /// first.
    pub fn authenticated(&mut self, peer: PeerId, state: &PeerState) -> bool {
        let Some(known) = self.known.get_mut(&peer) else { return false };
        known.signing_public = state.signing_public;
        known.announcement.signing_public = state.signing_public;
        known.announcement.capabilities = Some(state.capabilities);
        known.trust = Trust::Session;
        true
    }

    fn make_room(&mut self, newcomer: PeerId) -> Result<(), Refusal> {
        if self.known.len() < self.most || self.known.contains_key(&newcomer) {
            return Ok(());
        }
        let strangers = self.known.iter().filter(|(_, known)| !known.keep);
        let oldest =
            strangers.min_by_key(|(id, known)| (known.trust, known.last_seen, **id)).map(|(id, _)| *id);
        self.known.remove(&oldest.ok_or(Refusal::Full)?);
        Ok(())
    }
}

/// Packets are of now. Answers to sync requests may be older, never newer.
fn check_time(packet: &PacketRef<'_>, now: u64, oldest_ms: Option<u64>) -> Result<(), Refusal> {
    let skew = packet.skew_ms(now);
    let allowed = match oldest_ms {
        Some(oldest) if packet.timestamp < now => oldest.max(MAX_CLOCK_SKEW_MS),
        _ => MAX_CLOCK_SKEW_MS,
    };
    if skew > allowed { Err(Refusal::Clock(skew)) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
