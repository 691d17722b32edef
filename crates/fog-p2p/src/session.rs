//! Fragmenting, reassembly and retransmission for all peers: a state machine without IO.
//!
//! The driver tells what happened and when; [`Sessions::poll`] says what to do next. Bounds hold for every
//! peer: fragments in flight, messages being sent, bytes being reassembled. A stranger gets next to nothing:
//! a few short messages of the kinds that introduce somebody.

mod incoming;
mod outgoing;
mod pace;

use crate::datagram::{Ack, Datagram, FRAGMENT_HEADER, Fragment};
use crate::outbox::Waiting;
use crate::transport::{Address, Route};
use crate::{MessageId, PeerKey, envelope};
use incoming::{Incoming, Recent};
use outgoing::Outgoing;
use pace::Pace;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Messages being sent to one peer at once; the others wait in the outbox.
const ACTIVE: usize = 8;
/// How long arrived fragments are collected before they are acknowledged.
const ACK_DELAY: Duration = Duration::from_millis(80);
/// A silent peer is probed ever more rarely, down to this. It announces itself when it is back.
const LAST_BACKOFF: Duration = Duration::from_secs(60);
/// Losses whose cause is open: the relays, or the peer's absence.
const MAX_OPEN_LOSSES: usize = 64;
/// Acknowledgements whose fate is open.
const MAX_OPEN_ACKS: usize = 64;
/// An acknowledgement after which nothing came again for this many times the patience has arrived.
const ACK_ARRIVED: u32 = 4;
const HEARD_EVERY: Duration = Duration::from_secs(5);
/// Strangers whose first words are being put together.
const MAX_STRANGERS: usize = 64;

/// What the driver is to do or to tell.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Seal and send; then call [`Sessions::sent`] or [`Sessions::not_sent`] if it is a fragment.
    Send {
        /// To whom.
        peer: PeerKey,
        /// Where.
        address: Address,
        /// What.
        content: Datagram,
    },
    /// A whole message is here. Call [`Sessions::confirm`] once it took effect.
    Deliver {
        /// From whom, proven.
        peer: PeerKey,
        /// Its id.
        id: MessageId,
        /// Its kind.
        kind: u16,
        /// The body.
        body: Vec<u8>,
    },
    /// Every fragment of the message has been handed to the road once.
    Sent(MessageId),
    /// The other side has it on disk.
    Delivered(MessageId),
    /// A fragment was acknowledged after this time.
    FragmentArrived(MessageId, u16, Duration),
    /// Something authentic came from the peer (at most every few seconds).
    Heard(PeerKey),
    /// Tell the road what became of a datagram.
    Feedback(Address, Route, bool),
}

struct Peer {
    address: Option<Address>,
    known: bool,
    waiting: BTreeMap<(u8, u64), Waiting>,
    active: Vec<Outgoing>,
    incoming: HashMap<MessageId, Incoming>,
    acks: VecDeque<Ack>,
    acks_due: Option<Instant>,
    last_heard: Option<Instant>,
    last_told: Option<Instant>,
    /// Time-outs in a row without a word from the peer.
    silence: u32,
    paused_until: Option<Instant>,
    pace: Pace,
    open_losses: VecDeque<(Instant, Route)>,
    open_acks: VecDeque<OpenAck>,
}

/// Acknowledgements are not acknowledged. But if a message comes again, its acknowledgement was lost: that is how a
/// node that only listens learns which relays lose packets.
struct OpenAck {
    sent: Instant,
    messages: Vec<MessageId>,
    route: Route,
}

/// All peers.
pub struct Sessions {
    peers: HashMap<PeerKey, Peer>,
    by_message: HashMap<MessageId, PeerKey>,
    recent: Recent,
    outputs: VecDeque<Output>,
    piece: usize,
    patience: Duration,
    stranger_kinds: Vec<u16>,
    counter: u64,
    resent: u64,
    /// The last attempt at putting a message together: the start in the upper half, a count in the lower.
    attempt: u64,
}

impl Sessions {
    /// Sessions over a road with datagrams of this length. `stranger_kinds` are the kinds of message that
    /// somebody unknown may send. `start` rises from one start of the program to the next, whatever the clock
    /// does: what was put together before a restart is told apart by it.
    pub fn new(datagram_len: usize, patience: Duration, stranger_kinds: Vec<u16>, start: u32) -> Self {
        Self {
            peers: HashMap::new(),
            by_message: HashMap::new(),
            recent: Recent::default(),
            outputs: VecDeque::new(),
            piece: envelope::capacity(datagram_len) - FRAGMENT_HEADER,
            patience,
            stranger_kinds,
            counter: 0,
            resent: 0,
            attempt: u64::from(start) << 32,
        }
    }

    /// The road became slower or faster.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Fragments sent again since the start.
    pub fn resent(&self) -> u64 {
        self.resent
    }

    /// This peer is one of ours and lives there.
    pub fn set_peer(&mut self, peer: PeerKey, address: Option<Address>) {
        let p = self.peers.entry(peer).or_insert_with(Peer::new);
        p.known = true;
        p.address = address;
    }

    /// Forgets a peer (blocked): nothing of theirs is put together or answered.
    pub fn remove_peer(&mut self, peer: &PeerKey) {
        self.peers.remove(peer);
        self.by_message.retain(|_, p| p != peer);
    }

    /// The peers that are ours, with their addresses; only those heard since then, if a time is given.
    pub fn known(&self, heard_since: Option<Instant>) -> Vec<(PeerKey, Address)> {
        self.peers
            .iter()
            .filter(|(_, p)| p.known && heard_since.is_none_or(|t| p.last_heard >= Some(t)))
            .filter_map(|(key, p)| Some((*key, p.address.clone()?)))
            .collect()
    }

    /// A message waits in the outbox.
    pub fn enqueue(&mut self, message: Waiting) {
        if self.by_message.contains_key(&message.id) {
            return;
        }
        self.counter += 1;
        self.by_message.insert(message.id, message.peer);
        let peer = self.peers.entry(message.peer).or_insert_with(Peer::new);
        peer.waiting.insert((message.priority as u8, self.counter), message);
    }

    /// A message was taken out of the outbox by the application.
    pub fn withdraw(&mut self, id: &MessageId) {
        if let Some(peer) = self.by_message.remove(id).and_then(|p| self.peers.get_mut(&p)) {
            peer.waiting.retain(|_, w| w.id != *id);
            peer.active.retain(|m| m.id != *id);
        }
    }

    /// The messages whose bodies are needed now; answer with [`Sessions::load`].
    pub fn wants(&self) -> Vec<MessageId> {
        let wants = |p: &Peer| {
            let free = ACTIVE.saturating_sub(p.active.len());
            // A more urgent message overtakes even when all places are taken.
            let urgent = p.active.iter().map(|m| m.priority as u8).max().unwrap_or(u8::MAX);
            let overtakes = usize::from(free == 0 && p.waiting.keys().next().is_some_and(|k| k.0 < urgent));
            let room = (free + overtakes).min(ACTIVE * 2);
            p.waiting.values().take(room).map(|w| w.id).collect::<Vec<_>>()
        };
        self.peers
            .values()
            .filter(|p| p.address.is_some() && p.active.len() < ACTIVE * 2)
            .flat_map(wants)
            .collect()
    }

    /// The body of a wanted message; none when it is gone.
    pub fn load(&mut self, id: &MessageId, body: Option<Vec<u8>>) {
        let Some(peer) = self.by_message.get(id).and_then(|p| self.peers.get_mut(p)) else { return };
        let Some(key) = peer.waiting.iter().find(|(_, w)| w.id == *id).map(|(k, _)| *k) else { return };
        let Some(waiting) = peer.waiting.remove(&key) else { return };
        match body {
            Some(body) => {
                peer.active.push(Outgoing::new(&waiting, body, self.piece));
                peer.active.sort_by_key(|m| m.priority);
            }
            None => _ = self.by_message.remove(id),
        }
    }

    /// An envelope from `peer` was opened.
    pub fn receive(&mut self, now: Instant, peer: PeerKey, content: Datagram) {
        let known = self.peers.get(&peer).is_some_and(|p| p.known);
        if !known {
            // A stranger may only send short introductions, and only so many of them at once.
            let allowed = matches!(&content, Datagram::Fragment(f)
                if self.stranger_kinds.contains(&f.kind) && f.count <= incoming::STRANGER_FRAGMENTS);
            let strangers = self.peers.values().filter(|p| !p.known && !p.incoming.is_empty()).count();
            if !allowed || (strangers >= MAX_STRANGERS && !self.peers.contains_key(&peer)) {
                return;
            }
        }
        let state = self.peers.entry(peer).or_insert_with(Peer::new);
        if known {
            state.heard(now, &mut self.outputs, peer);
        }
        match content {
            Datagram::Presence(_) => {}
            Datagram::Acks(acks) => {
                for ack in acks {
                    self.acknowledged(now, peer, &ack);
                }
            }
            Datagram::Fragment(fragment) => self.fragment(now, peer, fragment),
        }
    }

    fn fragment(&mut self, now: Instant, peer: PeerKey, fragment: Fragment) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let id = fragment.message;
        if self.recent.contains(&peer, &id) {
            if !state.known {
                return;
            }
            state.came_again(now, &id, self.patience, &mut self.outputs);
            state.acknowledge(Ack { message: id, complete: true, attempt: 0, have: Vec::new() }, now);
            return;
        }
        if !state.incoming.contains_key(&id) {
            state.make_room(&fragment);
            self.attempt += 1;
            state.incoming.insert(id, Incoming::new(&fragment, self.attempt, now));
        }
        let Some(entry) = state.incoming.get_mut(&id) else { return };
        if let Some((kind, body)) = entry.add(fragment, now) {
            self.outputs.push_back(Output::Deliver { peer, id, kind, body });
        } else if !entry.is_delivered() && state.known {
            let (attempt, have) = (entry.attempt(), entry.have());
            state.acknowledge(Ack { message: id, complete: false, attempt, have }, now + ACK_DELAY);
        }
    }

    /// The message took effect and is on disk: acknowledge it.
    pub fn confirm(&mut self, now: Instant, peer: &PeerKey, id: &MessageId) {
        self.recent.insert(*peer, *id);
        if let Some(state) = self.peers.get_mut(peer) {
            state.incoming.remove(id);
            if !state.known {
                return; // refused, or without an address: there is nowhere to answer to
            }
            state.acknowledge(Ack { message: *id, complete: true, attempt: 0, have: Vec::new() }, now);
        }
    }

    /// The message could not take effect now (disk full, say): forget it, the sender will send it again.
    pub fn reject(&mut self, peer: &PeerKey, id: &MessageId) {
        if let Some(state) = self.peers.get_mut(peer) {
            state.incoming.remove(id);
        }
    }

    fn acknowledged(&mut self, now: Instant, peer: PeerKey, ack: &Ack) {
        if self.by_message.get(&ack.message) != Some(&peer) {
            return; // acknowledged before, or somebody else's
        }
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let address = state.address.clone();
        let Some(message) = state.active.iter_mut().find(|m| m.id == ack.message) else {
            // Acknowledged by an earlier run's copy while it still waits here.
            if ack.complete {
                state.waiting.retain(|_, w| w.id != ack.message);
                self.by_message.remove(&ack.message);
                self.outputs.push_back(Output::Delivered(ack.message));
            }
            return;
        };
        let (arrived, proven) = message.arrived(ack, now);
        state.pace.acknowledged(arrived.len(), &proven);
        for (index, sent, route) in arrived {
            self.outputs.push_back(Output::FragmentArrived(
                ack.message,
                index,
                now.saturating_duration_since(sent),
            ));
            if let Some(address) = &address {
                self.outputs.push_back(Output::Feedback(address.clone(), route, true));
            }
        }
        if ack.complete {
            if !message.told_sent {
                self.outputs.push_back(Output::Sent(ack.message));
            }
            state.active.retain(|m| m.id != ack.message);
            self.by_message.remove(&ack.message);
            self.outputs.push_back(Output::Delivered(ack.message));
        }
    }

    /// A fragment went out over this route.
    pub fn sent(&mut self, now: Instant, peer: &PeerKey, id: &MessageId, index: u16, route: Route) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        let Some(message) = state.active.iter_mut().find(|m| m.id == *id) else { return };
        if message.sent(index, now, route) {
            self.resent += 1;
        }
        if message.all_sent_once() && !message.told_sent {
            message.told_sent = true;
            self.outputs.push_back(Output::Sent(*id));
        }
    }

    /// Acknowledgements went out over this route.
    pub fn acks_sent(&mut self, now: Instant, peer: &PeerKey, acks: &[Ack], route: Route) {
        let messages: Vec<_> = acks.iter().filter(|a| a.complete).map(|a| a.message).collect();
        if let Some(state) = self.peers.get_mut(peer).filter(|_| !messages.is_empty()) {
            if state.open_acks.len() >= MAX_OPEN_ACKS {
                state.open_acks.pop_front();
            }
            state.open_acks.push_back(OpenAck { sent: now, messages, route });
        }
    }

    /// A fragment did not go out; try the peer again after `pause`.
    pub fn not_sent(&mut self, now: Instant, peer: &PeerKey, id: &MessageId, index: u16, pause: Duration) {
        if let Some(state) = self.peers.get_mut(peer) {
            state.paused_until = Some(now + pause);
            if let Some(message) = state.active.iter_mut().find(|m| m.id == *id) {
                message.unsend(index);
            }
        }
    }

    /// What to do now. Call until it gives none.
    pub fn poll(&mut self, now: Instant) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        for (key, peer) in &mut self.peers {
            peer.expire_incoming(now);
            let Some(address) = peer.address.clone() else { continue };
            if let Some(acks) = peer.due_acks(now) {
                return Some(Output::Send { peer: *key, address, content: Datagram::Acks(acks) });
            }
            peer.time_out(now, self.patience, &mut self.outputs);
            peer.settle_acks(now, self.patience, &mut self.outputs);
            if peer.paused_until.is_some_and(|t| t > now) {
                continue;
            }
            if let Some(fragment) = peer.next_fragment() {
                return Some(Output::Send { peer: *key, address, content: Datagram::Fragment(fragment) });
            }
        }
        self.peers.retain(|_, p| p.known || !p.is_empty());
        self.outputs.pop_front()
    }

    /// When to call [`Sessions::poll`] next if nothing else happens.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        self.peers.values().filter_map(|p| p.next_due(now, self.patience)).min()
    }
}

impl Peer {
    fn new() -> Self {
        Self {
            address: None,
            known: false,
            waiting: BTreeMap::new(),
            active: Vec::new(),
            incoming: HashMap::new(),
            acks: VecDeque::new(),
            acks_due: None,
            last_heard: None,
            last_told: None,
            silence: 0,
            paused_until: None,
            pace: Pace::default(),
            open_losses: VecDeque::new(),
            open_acks: VecDeque::new(),
        }
    }

    /// A message came again. What was sent shortly before its acknowledgement arrived may have crossed it.
    fn came_again(
        &mut self,
        now: Instant,
        id: &MessageId,
        patience: Duration,
        outputs: &mut VecDeque<Output>,
    ) {
        let Some(at) = self.open_acks.iter().position(|a| a.messages.contains(id)) else { return };
        let Some(OpenAck { sent, route, .. }) = self.open_acks.remove(at) else { return };
        if now.saturating_duration_since(sent) >= patience / 2
            && let Some(address) = &self.address
        {
            outputs.push_back(Output::Feedback(address.clone(), route, false));
        }
    }

    fn settle_acks(&mut self, now: Instant, patience: Duration, outputs: &mut VecDeque<Output>) {
        let settled = |a: &OpenAck| now.saturating_duration_since(a.sent) >= patience * ACK_ARRIVED;
        while let Some(OpenAck { route, .. }) = self.open_acks.pop_front_if(|a| settled(a)) {
            if let Some(address) = &self.address {
                outputs.push_back(Output::Feedback(address.clone(), route, true));
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty() && self.incoming.is_empty() && self.acks.is_empty()
    }

    fn heard(&mut self, now: Instant, outputs: &mut VecDeque<Output>, key: PeerKey) {
        self.last_heard = Some(now);
        self.silence = 0;
        // The peer is there, so it was the relays that lost what was open.
        if let Some(address) = &self.address {
            for (_, route) in self.open_losses.drain(..) {
                outputs.push_back(Output::Feedback(address.clone(), route, false));
            }
        }
        if self.last_told.is_none_or(|t| now.saturating_duration_since(t) >= HEARD_EVERY) {
            self.last_told = Some(now);
            outputs.push_back(Output::Heard(key));
        }
    }

    fn acknowledge(&mut self, ack: Ack, due: Instant) {
        self.acks.retain(|a| a.message != ack.message);
        self.acks.push_back(ack);
        self.acks_due = Some(self.acks_due.map_or(due, |d| d.min(due)));
    }

    fn due_acks(&mut self, now: Instant) -> Option<Vec<Ack>> {
        if self.acks_due.is_none_or(|d| d > now) {
            return None;
        }
        // Partial acknowledgements are up to 150 bytes: ten of them fit into any datagram.
        let batch: Vec<Ack> = self.acks.drain(..self.acks.len().min(10)).collect();
        self.acks_due = if self.acks.is_empty() { None } else { Some(now) };
        (!batch.is_empty()).then_some(batch)
    }

    /// A silent peer's patience grows by half with each time-out in a row.
    fn retry_after(&self, patience: Duration) -> Duration {
        let paced = self.pace.time_out(patience);
        // The pace has backed off from the same losses: the longer of the two counts, not their product. Else a few
        // lost acknowledgements in a row would silence a conversation for half a minute.
        let silent = patience.mul_f64(1.5f64.powi(self.silence.saturating_sub(2).min(20) as i32));
        paced.max(silent).min(LAST_BACKOFF.max(paced))
    }

    fn time_out(&mut self, now: Instant, patience: Duration, outputs: &mut VecDeque<Output>) {
        let limit = self.retry_after(patience);
        let mut lost = Vec::new();
        for message in &mut self.active {
            lost.extend(message.time_out(now, limit));
        }
        if lost.is_empty() {
            return;
        }
        self.pace.lost(now, limit);
        let silent_since = lost.iter().map(|(sent, _)| *sent).min();
        if self.last_heard.is_none_or(|heard| silent_since.is_some_and(|s| heard <= s)) {
            self.silence = self.silence.saturating_add(1);
        }
        for (sent, route) in lost {
            if self.last_heard.is_some_and(|heard| heard > sent) {
                if let Some(address) = &self.address {
                    outputs.push_back(Output::Feedback(address.clone(), route, false));
                }
            } else {
                if self.open_losses.len() >= MAX_OPEN_LOSSES {
                    self.open_losses.pop_front();
                }
                self.open_losses.push_back((sent, route));
            }
        }
    }

    /// To a silent peer a single fragment goes out at a time; it may be away for hours.
    fn window(&self) -> usize {
        if self.silence >= 3 { 1 } else { self.pace.window() }
    }

    fn next_fragment(&mut self) -> Option<Fragment> {
        let in_flight: usize = self.active.iter().map(Outgoing::in_flight).sum();
        if in_flight >= self.window() {
            return None;
        }
        self.active.iter_mut().find_map(Outgoing::next_fragment)
    }

    fn next_due(&self, now: Instant, patience: Duration) -> Option<Instant> {
        self.address.as_ref()?;
        let limit = self.retry_after(patience);
        let paused = self.paused_until.filter(|t| *t > now);
        let unsent = self.active.iter().any(Outgoing::has_unsent).then(|| paused.unwrap_or(now));
        // A full window waits for a time-out or an acknowledgement, not for the clock.
        let in_flight: usize = self.active.iter().map(Outgoing::in_flight).sum();
        let unsent = unsent.filter(|_| in_flight < self.window());
        let timeout = self
            .active
            .iter()
            .filter_map(|m| m.oldest_in_flight().or(m.unconfirmed_since()))
            .min()
            .map(|t| t + limit);
        [unsent, timeout, self.acks_due].into_iter().flatten().min()
    }

    fn expire_incoming(&mut self, now: Instant) {
        self.incoming.retain(|_, m| !m.is_stale(now));
    }

    fn make_room(&mut self, next: &Fragment) {
        let budget = if self.known { incoming::KNOWN_BYTES } else { incoming::STRANGER_BYTES };
        loop {
            let held: usize = self.incoming.values().map(Incoming::reserved).sum();
            if self.incoming.len() < incoming::MAX_PARTIAL && held + next.total as usize <= budget {
                return;
            }
            let Some(oldest) = self.incoming.iter().min_by_key(|(_, m)| m.touched()).map(|(id, _)| *id)
            else {
                return;
            };
            self.incoming.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
