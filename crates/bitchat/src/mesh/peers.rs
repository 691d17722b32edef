//! Who is there, how they are reached, and the graph of who has links to whom.

use crate::PeerId;
use crate::mesh::bucket::{Bucket, Rate};
use crate::mesh::engine::Nearby;
use crate::mesh::keys::Announced;
use crate::mesh::types::{LinkId, Millis};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Peers that are remembered; the one heard of longest ago makes room.
const MOST: usize = 2048;
/// An edge of the graph counts while both ends have announced it within this.
const EDGE_MS: Millis = 60_000;
/// The way by which an announce came is good for this long.
const WAY_MS: Millis = 75_000;

/// Somebody who has announced themselves.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) key: [u8; 32],
    pub(crate) native: bool,
    pub(crate) heard: Millis,
    /// The newest announce's time, by the peer's clock.
    pub(crate) announced: Millis,
    pub(crate) announce: Arc<[u8]>,
    pub(crate) hops: u8,
    pub(crate) via: Option<LinkId>,
    neighbours: Vec<PeerId>,
    buckets: [Option<Bucket>; CLASSES],
}

/// Kinds of packets that are limited apart.
pub(crate) const CLASSES: usize = 6;

/// All peers.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    all: BTreeMap<PeerId, Peer>,
}

/// A checked announce that came in.
pub(crate) struct Heard {
    pub(crate) peer: PeerId,
    pub(crate) said: Announced,
    pub(crate) timestamp: Millis,
    /// When they were there, by this node's clock.
    pub(crate) at: Millis,
    pub(crate) hops: u8,
    pub(crate) link: LinkId,
    pub(crate) announce: Arc<[u8]>,
}

/// What an announce brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// It names another key than before: somebody else's.
    OtherKey,
    /// A newer one is known.
    Old,
    /// The peer was there.
    Again,
    /// The peer is new, or was away for a while.
    Back,
}

impl Peers {
    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Peer> {
        self.all.get(peer)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Peers heard of since then.
    pub(crate) fn present(&self, since: Millis) -> usize {
        self.all.values().filter(|p| p.heard >= since).count()
    }

    /// Peers heard of since then, for the page.
    pub(crate) fn since(&self, since: Millis) -> Vec<Nearby> {
        let fresh = self.all.iter().filter(|(_, p)| p.heard >= since);
        let of = |(peer, p): (&PeerId, &Peer)| Nearby {
            peer: *peer,
            hops: p.hops,
            rssi: None,
            heard: p.heard,
            native: p.native,
        };
        fresh.map(of).collect()
    }

    /// The furthest peer heard of since then, in hops.
    pub(crate) fn furthest(&self, since: Millis) -> u8 {
        self.all.values().filter(|p| p.heard >= since).map(|p| p.hops).max().unwrap_or(0)
    }

    /// Notes an announce.
    pub(crate) fn hear(&mut self, heard: Heard, away_after: Millis) -> Hearing {
        let Heard { peer, said, timestamp, at, hops, link, announce } = heard;
        if let Some(known) = self.all.get_mut(&peer) {
            if known.key != said.signing_key {
                return Hearing::OtherKey;
            }
            if timestamp < known.announced {
                return Hearing::Old;
            }
            let back = at.saturating_sub(known.heard) > away_after;
            known.native = said.native;
            known.heard = at.max(known.heard);
            known.announced = timestamp;
            known.announce = announce;
            (known.hops, known.via) = (hops, Some(link));
            known.neighbours = said.neighbours;
            return if back { Hearing::Back } else { Hearing::Again };
        }
        if self.all.len() >= MOST
            && let Some(oldest) = self.all.iter().min_by_key(|(id, p)| (p.heard, **id)).map(|(id, _)| *id)
        {
            self.all.remove(&oldest);
        }
        let peer_state = Peer {
            key: said.signing_key,
            native: said.native,
            heard: at,
            announced: timestamp,
            announce,
            hops,
            via: Some(link),
            neighbours: said.neighbours,
            buckets: [None; CLASSES],
        };
        self.all.insert(peer, peer_state);
        Hearing::Back
    }

    /// The same announce came once more, by another way: the shorter one is remembered.
    pub(crate) fn hear_again(&mut self, peer: &PeerId, timestamp: Millis, hops: u8, link: LinkId) {
        if let Some(known) = self.all.get_mut(peer)
            && known.announced == timestamp
            && hops < known.hops
        {
            (known.hops, known.via) = (hops, Some(link));
        }
    }

    /// Takes one of what this peer may send of a class.
    pub(crate) fn take(&mut self, now: Millis, peer: &PeerId, class: usize, rate: Rate) -> bool {
        let Some(peer) = self.all.get_mut(peer) else { return false };
        peer.buckets[class].get_or_insert_with(|| Bucket::full(rate, now)).take(rate, now)
    }

    /// The link by which a peer's announce came over the fewest hops, and their number.
    pub(crate) fn way(&self, now: Millis, peer: &PeerId) -> Option<(LinkId, u8)> {
        let known = self.all.get(peer)?;
        (now.saturating_sub(known.heard) <= WAY_MS).then_some(())?;
        Some((known.via?, known.hops))
    }

    /// The shortest way over edges that both ends announce, without the first node and the last one. Only over own nodes
    /// if `native` is set. None: no such way is known.
    pub(crate) fn route(
        &self,
        now: Millis,
        neighbours: &[PeerId],
        to: PeerId,
        avoid: Option<PeerId>,
        native: bool,
        max_hops: usize,
    ) -> Option<Vec<PeerId>> {
        let fresh = |p: &Peer| now.saturating_sub(p.heard) <= EDGE_MS;
        let mut from: BTreeMap<PeerId, Option<PeerId>> = BTreeMap::new();
        let mut queue = VecDeque::new();
        for n in neighbours.iter().filter(|n| Some(**n) != avoid) {
            if from.insert(*n, None).is_none() {
                queue.push_back((*n, 1));
            }
        }
        let seen: BTreeSet<PeerId> = avoid.into_iter().collect();
        while let Some((at, depth)) = queue.pop_front() {
            if at == to {
                let mut route = Vec::new();
                let mut step = from.get(&at).copied().flatten();
                while let Some(hop) = step {
                    route.push(hop);
                    step = from.get(&hop).copied().flatten();
                }
                route.reverse();
                return Some(route);
            }
            let Some(peer) = self.all.get(&at).filter(|p| fresh(p) && (!native || p.native)) else {
                continue;
            };
            if depth > max_hops {
                continue;
            }
            for next in &peer.neighbours {
                let mutual = self.all.get(next).is_some_and(|n| fresh(n) && n.neighbours.contains(&at));
                if mutual && !from.contains_key(next) && !seen.contains(next) {
                    from.insert(*next, Some(at));
                    queue.push_back((*next, depth + 1));
                }
            }
        }
        None
    }
}
