//! Putting fragments together, within bounds.
//!
//! Fragments are not signed, so anybody can send some under any name. What they can cost is bounded: by set, in all, and
//! by a fair share: when there is no room, the sender that holds most loses the set that rested longest. So one who
//! floods under one name loses its own.

use super::{Fragment, FragmentId, MAX_PARENT};
use crate::error::DecodeError;
use crate::packet::{MessageType, PacketRef, set_ttl};
use crate::peer::PeerId;
use std::collections::{BTreeMap, HashMap};

/// What each piece costs besides its bytes.
const PIECE_COST: usize = 48;

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sets that wait for pieces.
    pub sets: usize,
    /// Bytes of one set.
    pub set_bytes: usize,
    /// Bytes of all sets, with what keeping them takes.
    pub bytes: usize,
    /// How long a set waits from its first piece, milliseconds.
    pub lifetime_ms: u64,
    /// After how long without a new piece a set counts as stalled, milliseconds.
    pub stall_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sets: 128, set_bytes: MAX_PARENT, bytes: 4 << 20, lifetime_ms: 30_000, stall_ms: 5_000 }
    }
}

/// Why a fragment was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReassemblyError {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// It says something else about its packet than the pieces before it.
    #[error("the fragment does not fit the others of its packet")]
    Conflict,
    /// The packet would be too large.
    #[error("the packet in fragments is longer than {0} bytes")]
    TooLarge(usize),
    /// The pieces together are no packet of this sender and type.
    #[error("the fragments together are no packet of their sender and type")]
    NotAPacket,
    /// A fragment of fragments.
    #[error("a fragment of a fragment")]
    Nested,
}

#[derive(Debug)]
struct Set {
    total: u16,
    original_type: MessageType,
    recipient: Option<PeerId>,
    pieces: BTreeMap<u16, Box<[u8]>>,
    len: usize,
    cost: usize,
    first: u64,
    last: u64,
}

type Key = (PeerId, FragmentId);

/// The sets that wait.
#[derive(Debug, Default)]
pub struct Reassembler {
    limits: Limits,
    sets: HashMap<Key, Set>,
    /// What each sender's sets cost.
    by_sender: HashMap<PeerId, usize>,
    bytes: usize,
    dropped: u64,
}

impl Reassembler {
    /// Nothing waits yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes a fragment packet that came at `now` (milliseconds). Returns the parent once it is whole, with time to
    /// live 0.
    ///
    /// # Errors
    /// When the fragment is wrong, or the last one shows that the whole is.
    pub fn push(&mut self, packet: &PacketRef<'_>, now: u64) -> Result<Option<Vec<u8>>, ReassemblyError> {
        self.expire(now);
        let payload = packet.payload()?;
        let fragment = Fragment::decode(&payload)?;
        if fragment.original_type == MessageType::Fragment {
            return Err(ReassemblyError::Nested);
        }
        let key = (packet.sender, fragment.id);
        let cost = fragment.data.len() + PIECE_COST;
        if let Some(set) = self.sets.get(&key) {
            let fits = set.total == fragment.total
                && set.original_type == fragment.original_type
                && set.recipient == packet.recipient;
            if !fits {
                return Err(ReassemblyError::Conflict);
            }
            if set.pieces.contains_key(&fragment.index) {
                return Ok(None);
            }
            if set.len + fragment.data.len() > self.limits.set_bytes {
                self.remove(&key);
                return Err(ReassemblyError::TooLarge(self.limits.set_bytes));
            }
        } else if fragment.data.len() > self.limits.set_bytes {
            return Err(ReassemblyError::TooLarge(self.limits.set_bytes));
        }
        self.make_room(&key, cost);
        let set = self.sets.entry(key).or_insert_with(|| Set {
            total: fragment.total,
            original_type: fragment.original_type,
            recipient: packet.recipient,
            pieces: BTreeMap::new(),
            len: 0,
            cost: 0,
            first: now,
            last: now,
        });
        set.pieces.insert(fragment.index, fragment.data.into());
        set.len += fragment.data.len();
        set.cost += cost;
        set.last = now;
        self.bytes += cost;
        *self.by_sender.entry(key.0).or_default() += cost;
        if set.pieces.len() < usize::from(set.total) {
            return Ok(None);
        }
        let Some(set) = self.remove(&key) else { return Ok(None) };
        whole(&set, key.0).map(Some)
    }

    /// Forgets sets that waited too long.
    pub fn expire(&mut self, now: u64) {
        let lifetime = self.limits.lifetime_ms;
        let old: Vec<Key> = self
            .sets
            .iter()
            .filter(|(_, set)| now.saturating_sub(set.first) > lifetime)
            .map(|(key, _)| *key)
            .collect();
        self.dropped += old.len() as u64;
        for key in old {
            self.remove(&key);
        }
    }

    /// Broadcasts that got no new piece for a while: worth asking neighbours for, by these ids.
    pub fn stalled(&self, now: u64) -> Vec<(PeerId, FragmentId)> {
        let stalled = self.sets.iter().filter(|(_, set)| {
            set.recipient.is_none_or(|r| r == PeerId::BROADCAST)
                && now.saturating_sub(set.last) >= self.limits.stall_ms
        });
        let mut keys: Vec<Key> = stalled.map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }

    /// How many sets wait.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// What they hold, in bytes, with what keeping them takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many sets were given up: too old, or no room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn make_room(&mut self, key: &Key, cost: usize) {
        while (!self.sets.contains_key(key) && self.sets.len() >= self.limits.sets)
            || self.bytes + cost > self.limits.bytes
        {
            let Some(victim) = self.victim(key) else { return };
            self.remove(&victim);
            self.dropped += 1;
        }
    }

    /// The set that makes room: of the sender that holds most, the one that rested longest.
    fn victim(&self, newcomer: &Key) -> Option<Key> {
        let greediest = self.by_sender.iter().max_by_key(|(id, cost)| (**cost, **id)).map(|(id, _)| *id)?;
        let theirs = self.sets.iter().filter(|(key, _)| key.0 == greediest);
        // The packet that is just growing goes last.
        theirs.min_by_key(|(key, set)| (*key == newcomer, set.last, **key)).map(|(key, _)| *key)
    }

    fn remove(&mut self, key: &Key) -> Option<Set> {
        let set = self.sets.remove(key)?;
        self.bytes -= set.cost;
        if let Some(cost) = self.by_sender.get_mut(&key.0) {
            *cost -= set.cost;
            if *cost == 0 {
                self.by_sender.remove(&key.0);
            }
        }
        Some(set)
    }
}

fn whole(set: &Set, sender: PeerId) -> Result<Vec<u8>, ReassemblyError> {
    let mut bytes = Vec::with_capacity(set.len);
    set.pieces.values().for_each(|piece| bytes.extend_from_slice(piece));
    let fits = PacketRef::decode(&bytes)
        .is_ok_and(|packet| packet.sender == sender && packet.message_type == set.original_type);
    if !fits {
        return Err(ReassemblyError::NotAPacket);
    }
    set_ttl(&mut bytes, 0);
    Ok(bytes)
}
