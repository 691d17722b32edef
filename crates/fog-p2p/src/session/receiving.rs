//! The receiving side: putting together, handing over in order, making room.

use super::incoming::{self, Incoming, Reply};
use super::{ACK_DELAY, Output, Peer, Sessions};
use crate::datagram::{Ack, Fragment, Place};
use crate::{MessageId, PeerKey};
use std::cmp::Reverse;
use std::time::Instant;

fn complete(message: MessageId) -> Ack {
    Ack { message, complete: true, attempt: 0, have: Vec::new() }
}

impl Sessions {
    pub(super) fn fragment(
        &mut self,
        now: Instant,
        peer: PeerKey,
        mut fragment: Fragment,
        block: Option<Vec<u8>>,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let id = fragment.message;
        if !state.known {
            fragment.place = Place::default(); // how far a stranger's lanes have come is not remembered
        }
        let place = fragment.place;
        let current = !place.is_ordered() || state.order.hear(&place);
        if self.recent.contains(&peer, &id) {
            if !state.known {
                return;
            }
            state.came_again(now, &id, self.patience, &mut self.outputs);
            // The ordinary way: an answer by a block may just have got lost, and there is one for each message that
            // was put together, whatever its copies bring.
            state.acknowledge(complete(id), None, now);
            if current {
                state.order.took_effect(&place);
                self.hand_over(now, peer, place.lane);
            }
            return;
        }
        if !current {
            return;
        }
        if state.order.is_past(&place) {
            return state.acknowledge(complete(id), None, now);
        }
        state.forget_gone(&place);
        if state.incoming.get(&id).is_some_and(|m| m.is_outdated_by(&fragment)) {
            state.incoming.remove(&id);
        }
        if !state.incoming.contains_key(&id) {
            if !state.make_room(&fragment) {
                return;
            }
            self.attempt += 1;
            state.incoming.insert(id, Incoming::new(&fragment, self.attempt, now));
        }
        let Some(entry) = state.incoming.get_mut(&id) else { return };
        if !entry.add(fragment, now) {
            state.incoming.remove(&id);
            return;
        }
        if let Some(block) = block.filter(|_| state.known) {
            entry.set_reply(Reply::new(block, now));
        }
        self.hand_over(now, peer, place.lane);
        if let Some(state) = self.peers.get_mut(&peer).filter(|p| p.known)
            && let Some(entry) = state.incoming.get(&id).filter(|m| !m.is_delivered())
        {
            let (attempt, have) = (entry.attempt(), entry.have());
            state.acknowledge(Ack { message: id, complete: false, attempt, have }, None, now + ACK_DELAY);
        }
    }

    /// The message took effect and is on disk: acknowledge it.
    pub fn confirm(&mut self, now: Instant, peer: &PeerKey, id: &MessageId) {
        self.recent.insert(*peer, *id);
        if let Some(state) = self.peers.get_mut(peer) {
            let entry = state.incoming.remove(id);
            if !state.known {
                return; // refused, or without an address: there is nowhere to answer to
            }
            let (place, reply) = entry.map(Incoming::end).unzip();
            state.acknowledge(complete(*id), reply.flatten(), now);
            if let Some(place) = place {
                state.order.took_effect(&place);
                self.hand_over(now, *peer, place.lane);
            }
        }
    }

    /// The message could not take effect now (disk full, say): forget it, the sender will send it again. What comes
    /// after it in its lane waits.
    pub fn reject(&mut self, now: Instant, peer: &PeerKey, id: &MessageId) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        if let Some(place) = state.incoming.remove(id).map(|m| *m.place()) {
            self.hand_over(now, *peer, place.lane);
        }
    }

    /// Gives the application what is whole and has its turn: of a lane one message at a time.
    fn hand_over(&mut self, now: Instant, peer: PeerKey, lane: u8) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let order = &state.order;
        // What is past may be in the application's hands still: then it is confirmed in its time.
        state.incoming.retain(|_, m| m.is_delivered() || m.place().lane != lane || !order.is_past(m.place()));
        let of_lane = || state.incoming.iter().filter(|(_, m)| m.place().lane == lane);
        let ordered = Place { lane, ..Place::default() }.is_ordered();
        if ordered && of_lane().any(|(_, m)| m.is_delivered()) {
            return;
        }
        let due = of_lane().filter(|(_, m)| m.is_whole() && order.is_due(m.place()));
        let Some(id) = due.min_by_key(|(_, m)| m.place().sequence).map(|(id, _)| *id) else { return };
        if let Some((kind, body)) = state.incoming.get_mut(&id).map(|m| m.take(now)) {
            self.outputs.push_back(Output::Deliver { peer, id, kind, body });
        }
    }
}

impl Peer {
    pub(super) fn expire_incoming(&mut self, now: Instant) {
        self.incoming.retain(|_, m| !m.is_stale(now));
    }

    /// Forgets what the sender no longer has: all between a message and the one that it comes after.
    fn forget_gone(&mut self, place: &Place) {
        let gone = |m: &Place| {
            place.is_ordered()
                && m.lane == place.lane
                && m.sequence > place.after
                && m.sequence < place.sequence
        };
        self.incoming.retain(|_, m| m.is_delivered() || !gone(m.place()));
    }

    /// Makes room for a new message. What has to wait makes room for what is due, and in a lane the later for the
    /// earlier: so the one for which all others wait always finds room. False if there is none; it will come again.
    fn make_room(&mut self, next: &Fragment) -> bool {
        let budget = if self.known { incoming::KNOWN_BYTES } else { incoming::STRANGER_BYTES };
        let total = next.total as usize;
        while self.incoming.len() >= incoming::MAX_PARTIAL || self.held() + total > budget {
            let unfinished = self.incoming.iter().filter(|(_, m)| !m.is_delivered());
            let last = unfinished
                .map(|(id, m)| (self.turn(m.place(), &next.place), Reverse(m.touched()), *id))
                .max_by_key(|(turn, touched, _)| (*turn, *touched));
            let mine = self.turn(&next.place, &next.place);
            match last {
                // Of two whose turn is now, the one that moved last stays.
                Some((turn, _, id)) if turn > mine || (turn == mine && turn == (false, 0)) => {
                    self.incoming.remove(&id);
                }
                _ => return false,
            }
        }
        true
    }

    fn held(&self) -> usize {
        self.incoming.values().map(Incoming::reserved).sum()
    }

    /// How far a message is from its turn: whether it has to wait, and how many before it are here or coming.
    fn turn(&self, place: &Place, coming: &Place) -> (bool, usize) {
        let here = self.incoming.values().map(Incoming::place).chain([coming]);
        let before = here.filter(|m| m.lane == place.lane && m.sequence < place.sequence).count();
        (!self.order.is_due(place), before)
    }
}
