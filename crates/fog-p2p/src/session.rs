//! Fragmenting, reassembly, order and retransmission for all peers: a state machine without IO.
//!
//! Messages of one lane of one peer are handed over one at a time, in the order of their numbers. Each fragment says
//! which message it comes after ([`crate::datagram::Place`]): the last one before it that its sender still has. The
//! receiver keeps in memory only how far a lane has come. When it starts anew, it waits for exactly what the sender
//! still has, and of which the inbox knows whether it took effect. A message that is whole too early waits in
//! reassembly, within its bounds; it is the first to make room.
//!
//! The driver tells what happened and when; [`Sessions::poll`] says what to do next. Bounds hold for every
//! peer: fragments in flight, messages being sent, bytes being reassembled. A stranger gets next to nothing:
//! a few short messages of the kinds that introduce somebody.

mod incoming;
mod lanes;
mod order;
mod outgoing;
mod pace;
mod receiving;

use crate::datagram::{Ack, Datagram, FRAGMENT_HEADER, Fragment, UNORDERED};
use crate::outbox::Waiting;
use crate::transport::{Address, Route};
use crate::{MessageId, PeerKey, envelope};
pub use incoming::Reply;
use incoming::{Incoming, Recent};
use lanes::{Lanes, Rank};
use order::Order;
use outgoing::Outgoing;
use pace::Pace;
use std::collections::{HashMap, VecDeque};
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

/// Acknowledgements that wait to be sent to one peer; the oldest make room, and are asked for again.
const MAX_ACKS: usize = 256;
/// The most acknowledgements in one datagram: partial ones are up to 150 bytes, and ten fit into any.
const ACK_BATCH: usize = 10;

/// What the driver is to do or to tell.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Seal and send; then call [`Sessions::sent`] or [`Sessions::not_sent`] if it is a fragment, [`Sessions::acks_sent`]
    /// or [`Sessions::acks_not_sent`] if it is acknowledgements, [`Sessions::presence_not_sent`] if it should be tried
    /// again. The time in [`Datagram::Presence`] is for the driver to fill in.
    Send {
        /// To whom.
        peer: PeerKey,
        /// Where.
        address: Address,
        /// What.
        content: Datagram,
    },
    /// Seal acknowledgements of whole messages and send them by the reply block; then count on it, or call
    /// [`Sessions::answer_not_sent`].
    Answer {
        /// To whom.
        peer: PeerKey,
        /// Where they live, if that is known.
        address: Option<Address>,
        /// By which block.
        reply: Reply,
        /// What.
        acks: Vec<Ack>,
    },
    /// A whole message is here, and it is its turn. Call [`Sessions::confirm`] once it took effect, or
    /// [`Sessions::reject`]; until then nothing more comes from its lane.
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
    lanes: Lanes,
    active: Vec<Outgoing>,
    incoming: HashMap<MessageId, Incoming>,
    order: Order,
    /// The peer's start, as its acknowledgements tell.
    their_start: u32,
    acks: VecDeque<Due>,
    acks_due: Option<Instant>,
    /// It is to be told that this node is here.
    announce: bool,
    /// When it was last given something to send, as a count: whoever waited longest is next.
    turn: u64,
    last_heard: Option<Instant>,
    last_told: Option<Instant>,
    /// Time-outs in a row without a word from the peer.
    silence: u32,
    paused_until: Option<Instant>,
    pace: Pace,
    open_losses: VecDeque<(Instant, Route)>,
    open_acks: VecDeque<OpenAck>,
}

/// An acknowledgement that is to be sent: by the block, if there is one.
struct Due {
    ack: Ack,
    reply: Option<Reply>,
}

/// Acknowledgements are not acknowledged. But if a message comes again, its acknowledgement was lost: that is how a
/// node that only listens learns which relays lose packets.
struct OpenAck {
    sent: Instant,
    messages: Vec<MessageId>,
    route: Route,
}

/// Where a message that goes out stands.
struct Slot {
    peer: PeerKey,
    lane: u8,
    rank: Rank,
}

/// All peers.
pub struct Sessions {
    peers: HashMap<PeerKey, Peer>,
    by_message: HashMap<MessageId, Slot>,
    recent: Recent,
    outputs: VecDeque<Output>,
    piece: usize,
    patience: Duration,
    stranger_kinds: Vec<u16>,
    counter: u64,
    /// Counts what was given out to be sent.
    turns: u64,
    resent: u64,
    /// The last attempt at putting a message together: the start in the upper half, a count in the lower.
    attempt: u64,
    /// The start.
    run: u32,
}

impl Sessions {
    /// Sessions over a road with datagrams of this length. `stranger_kinds` are the kinds of message that
    /// somebody unknown may send. `start` rises from one start of the program to the next, whatever the clock
    /// does: what was put together or numbered before a restart is told apart by it.
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
            turns: 0,
            resent: 0,
            attempt: u64::from(start) << 32,
            run: start,
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
        self.by_message.retain(|_, slot| slot.peer != *peer);
    }

    /// Tells peers that are ours that this node is here: all of them, or those that were heard within this time.
    pub fn announce(&mut self, now: Instant, heard_within: Option<Duration>) {
        for peer in self.peers.values_mut().filter(|p| p.known) {
            let heard = |limit| peer.last_heard.is_some_and(|t| now.saturating_duration_since(t) <= limit);
            peer.announce |= heard_within.is_none_or(heard);
        }
    }

    /// A message waits in the outbox. The caller tells of all that it holds before the next [`Sessions::poll`]: a
    /// message that is not told of counts as delivered or withdrawn.
    pub fn enqueue(&mut self, message: Waiting) {
        if self.by_message.contains_key(&message.id) {
            return;
        }
        self.counter += 1;
        let (id, key, lane) = (message.id, message.peer, message.lane);
        let peer = self.peers.entry(key).or_insert_with(Peer::new);
        let rank = peer.lanes.add(message, self.counter);
        self.by_message.insert(id, Slot { peer: key, lane, rank });
        peer.arrange();
    }

    /// A message was taken out of the outbox by the application. If it is on its way already, it may take effect all
    /// the same; what comes after it does not wait for it.
    pub fn withdraw(&mut self, id: &MessageId) {
        let Some(slot) = self.by_message.remove(id) else { return };
        let Some(peer) = self.peers.get_mut(&slot.peer) else { return };
        peer.lanes.remove(slot.lane, &slot.rank, false);
        peer.active.retain(|m| m.id != *id);
        let (lanes, done) = (&peer.lanes, peer.lanes.done(slot.lane));
        for message in peer.active.iter_mut().filter(|m| m.lane == slot.lane) {
            message.retell(lanes.after(message.lane, message.sequence), done);
        }
        peer.arrange();
    }

    /// The messages whose bodies are needed now; answer with [`Sessions::load`].
    pub fn wants(&self) -> Vec<MessageId> {
        self.peers.values().filter(|p| p.address.is_some()).flat_map(Peer::wants).collect()
    }

    /// The body of a wanted message; none when it is gone.
    pub fn load(&mut self, id: &MessageId, body: Option<Vec<u8>>) {
        let Some(slot) = self.by_message.get(id) else { return };
        let (lane, rank) = (slot.lane, slot.rank);
        let Some(peer) = self.peers.get_mut(&slot.peer) else { return };
        let Some(body) = body else { return self.withdraw(id) };
        if let Some((came, waiting)) = peer.lanes.load(lane, &rank) {
            peer.active.push(Outgoing::new(&waiting, came, body, self.piece));
            peer.arrange();
        }
    }

    /// An envelope from `peer` was opened.
    pub fn receive(&mut self, now: Instant, peer: PeerKey, content: Datagram) {
        let known = self.peers.get(&peer).is_some_and(|p| p.known);
        if !known {
            // A stranger may only send short introductions, and only so many of them at once.
            let allowed = matches!(&content, Datagram::Fragment(f) | Datagram::Answerable(f, _)
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
            Datagram::Fragment(fragment) => self.fragment(now, peer, fragment, None),
            Datagram::Answerable(fragment, block) => self.fragment(now, peer, fragment, Some(block)),
        }
    }

    fn acknowledged(&mut self, now: Instant, peer: PeerKey, ack: &Ack) {
        let Some(slot) = self.by_message.get(&ack.message).filter(|s| s.peer == peer) else {
            return; // acknowledged before, or somebody else's
        };
        let (lane, rank) = (slot.lane, slot.rank);
        let Some(state) = self.peers.get_mut(&peer) else { return };
        if !ack.complete {
            state.hear_start((ack.attempt >> 32) as u32);
        }
        // It may be acknowledged while it waits here: by what an earlier run sent.
        let mut told_sent = true;
        if let Some(message) = state.active.iter_mut().find(|m| m.id == ack.message) {
            let (arrived, proven) = message.arrived(ack, now);
            state.pace.acknowledged(arrived.len(), &proven);
            for (index, sent, route) in arrived {
                let after = now.saturating_duration_since(sent);
                self.outputs.push_back(Output::FragmentArrived(ack.message, index, after));
                if let Some(address) = &state.address {
                    self.outputs.push_back(Output::Feedback(address.clone(), route, true));
                }
            }
            message.retell(state.lanes.after(lane, message.sequence), state.lanes.done(lane));
            told_sent = message.told_sent;
        }
        if ack.complete {
            if !told_sent {
                self.outputs.push_back(Output::Sent(ack.message));
            }
            state.delivered(now, &ack.message, lane, &rank);
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

    /// Acknowledgements did not go out; try the peer again after `pause`.
    pub fn acks_not_sent(&mut self, now: Instant, peer: &PeerKey, acks: Vec<Ack>, pause: Duration) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        state.put_back(now, acks.into_iter().map(|ack| Due { ack, reply: None }).collect(), pause);
    }

    /// Acknowledgements did not go out by this reply block. With a pause they are to be tried again by it; without one,
    /// they go out the ordinary way.
    pub fn answer_not_sent(
        &mut self,
        now: Instant,
        peer: &PeerKey,
        acks: Vec<Ack>,
        reply: Reply,
        pause: Option<Duration>,
    ) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        let mut reply = Some(reply).filter(|_| pause.is_some());
        let due = acks.into_iter().map(|ack| Due { ack, reply: reply.take() }).collect();
        state.put_back(now, due, pause.unwrap_or_default());
    }

    /// The peer was not told that this node is here; try it again after `pause`.
    pub fn presence_not_sent(&mut self, now: Instant, peer: &PeerKey, pause: Duration) {
        if let Some(state) = self.peers.get_mut(peer) {
            state.paused_until = Some(now + pause);
            state.announce = true;
        }
    }

    /// What to do now. Call until it gives none. Of peers that all have something to send, the one that waited longest
    /// is next: where a road has room for a few datagrams only, each peer gets its share.
    pub fn poll(&mut self, now: Instant) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        for peer in self.peers.values_mut() {
            peer.expire_incoming(now);
            if peer.address.is_some() {
                peer.time_out(now, self.patience, &mut self.outputs);
                peer.settle_acks(now, self.patience, &mut self.outputs);
            }
        }
        let ready = self.peers.iter_mut().filter(|(_, p)| p.is_ready(now)).min_by_key(|(_, p)| p.turn);
        if let Some((key, peer)) = ready {
            self.turns += 1;
            peer.turn = self.turns;
            if let Some((reply, acks)) = peer.due_answer(now) {
                return Some(Output::Answer { peer: *key, address: peer.address.clone(), reply, acks });
            }
            if let Some(address) = peer.address.clone()
                && let Some(content) = peer.next(now, self.run)
            {
                return Some(Output::Send { peer: *key, address, content });
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
            lanes: Lanes::default(),
            active: Vec::new(),
            incoming: HashMap::new(),
            order: Order::default(),
            their_start: 0,
            acks: VecDeque::new(),
            acks_due: None,
            announce: false,
            turn: 0,
            last_heard: None,
            last_told: None,
            silence: 0,
            paused_until: None,
            pace: Pace::default(),
            open_losses: VecDeque::new(),
            open_acks: VecDeque::new(),
        }
    }

    fn wants(&self) -> Vec<MessageId> {
        if self.active.len() >= ACTIVE * 2 {
            return Vec::new();
        }
        let free = ACTIVE.saturating_sub(self.active.len());
        if free > 0 {
            return self.lanes.next(free).iter().map(|n| n.waiting.id).collect();
        }
        // Even when all places are taken, a more urgent message overtakes, and one for which others of its lane wait.
        let least = self.active.iter().map(|m| m.urgency).max().unwrap_or(u8::MAX);
        let behind = |w: &Waiting| self.active.iter().any(|m| m.lane == w.lane && m.sequence > w.sequence);
        let heads = self.lanes.heads().filter(|n| n.urgency < least || behind(n.waiting));
        heads.min_by_key(|n| n.urgency).map(|n| n.waiting.id).into_iter().collect()
    }

    /// Orders what goes out: the urgent first. An urgent message lends its priority to those of its lane before it.
    fn arrange(&mut self) {
        let own: Vec<_> = self.active.iter().map(|m| (m.lane, m.sequence, m.priority as u8)).collect();
        for message in &mut self.active {
            message.urgency = message.priority as u8;
            if message.lane != UNORDERED {
                let behind =
                    own.iter().filter(|m| m.0 == message.lane && m.1 >= message.sequence).map(|m| m.2);
                let waiting = self.lanes.urgency(message.lane);
                message.urgency = behind.chain(waiting).min().unwrap_or(message.urgency);
            }
        }
        self.active.sort_by_key(|m| (m.urgency, m.came));
    }

    /// A message took effect at the peer.
    fn delivered(&mut self, now: Instant, id: &MessageId, lane: u8, rank: &Rank) {
        self.lanes.remove(lane, rank, true);
        self.active.retain(|m| m.id != *id);
        for next in self.active.iter_mut().filter(|m| m.lane == lane) {
            next.give_time(now);
        }
        self.arrange();
    }

    /// The peer has started anew: what had arrived there, but not taken effect, may be gone.
    fn hear_start(&mut self, start: u32) {
        if start > self.their_start {
            if self.their_start > 0 {
                self.active.iter_mut().for_each(Outgoing::ask);
            }
            self.their_start = start;
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
        self.lanes.is_empty() && self.active.is_empty() && self.incoming.is_empty() && self.acks.is_empty()
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

    fn acknowledge(&mut self, ack: Ack, reply: Option<Reply>, due: Instant) {
        self.acks.retain(|a| a.ack.message != ack.message);
        self.acks.push_back(Due { ack, reply });
        self.bound_acks();
        self.acks_due = Some(self.acks_due.map_or(due, |d| d.min(due)));
    }

    fn put_back(&mut self, now: Instant, acks: Vec<Due>, pause: Duration) {
        self.paused_until = Some(now + pause);
        for due in acks.into_iter().rev() {
            // What was said of the same message meanwhile is newer.
            if self.acks.iter().all(|a| a.ack.message != due.ack.message) {
                self.acks.push_front(due);
            }
        }
        self.bound_acks();
        self.acks_due = Some(now + pause);
    }

    fn bound_acks(&mut self) {
        let over = self.acks.len().saturating_sub(MAX_ACKS);
        self.acks.drain(..over);
    }

    fn due_acks(&mut self, now: Instant) -> Option<Vec<Ack>> {
        if self.acks_due.is_none_or(|d| d > now) {
            return None;
        }
        let batch = self.acks.drain(..self.acks.len().min(ACK_BATCH)).map(|d| d.ack).collect();
        self.some_acks_taken(now);
        Some(batch).filter(|b: &Vec<Ack>| !b.is_empty())
    }

    /// Acknowledgements that are due and go out by a block: those of whole messages. One block carries as many as fit;
    /// the blocks of the others are forgotten.
    fn due_answer(&mut self, now: Instant) -> Option<(Reply, Vec<Ack>)> {
        if self.acks_due.is_none_or(|d| d > now) || !self.known {
            return None;
        }
        let fresh = |d: &Due| d.reply.as_ref().is_some_and(|r| r.is_fresh(now));
        let Due { ack, reply } = self.acks.iter().position(fresh).and_then(|at| self.acks.remove(at))?;
        let mut batch = vec![ack];
        let mut rest = VecDeque::new();
        for due in std::mem::take(&mut self.acks) {
            if due.ack.complete && batch.len() < ACK_BATCH {
                batch.push(due.ack);
            } else {
                rest.push_back(due);
            }
        }
        self.acks = rest;
        self.some_acks_taken(now);
        Some((reply?, batch))
    }

    fn some_acks_taken(&mut self, now: Instant) {
        self.acks_due = if self.acks.is_empty() { None } else { Some(now) };
    }

    /// When acknowledgements are due: to somebody who lives nowhere known, only by a block.
    fn answers_due(&self, now: Instant) -> Option<Instant> {
        let fresh = |d: &Due| d.reply.as_ref().is_some_and(|r| r.is_fresh(now));
        self.acks_due.filter(|_| self.address.is_some() || (self.known && self.acks.iter().any(fresh)))
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
            let after = self.lanes.after(message.lane, message.sequence);
            lost.extend(message.time_out(now, limit, after));
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

    /// Has it something to send now?
    fn is_ready(&self, now: Instant) -> bool {
        let answers = self.answers_due(now).is_some_and(|d| d <= now);
        let sends = self.address.is_some() && (self.announce || self.has_fragment());
        (answers || sends) && self.paused_until.is_none_or(|t| t <= now)
    }

    /// Acknowledgements first: the other side sends again what it has none for.
    fn next(&mut self, now: Instant, run: u32) -> Option<Datagram> {
        if let Some(acks) = self.due_acks(now) {
            return Some(Datagram::Acks(acks));
        }
        if std::mem::take(&mut self.announce) {
            return Some(Datagram::Presence(0));
        }
        self.next_fragment(run).map(Datagram::Fragment)
    }

    /// A full window waits for a time-out or an acknowledgement, not for the clock.
    fn has_fragment(&self) -> bool {
        let in_flight: usize = self.active.iter().map(Outgoing::in_flight).sum();
        in_flight < self.window() && self.active.iter().any(Outgoing::has_unsent)
    }

    fn next_fragment(&mut self, run: u32) -> Option<Fragment> {
        if !self.has_fragment() {
            return None;
        }
        let message = self.active.iter_mut().find(|m| m.has_unsent())?;
        let after = self.lanes.after(message.lane, message.sequence);
        message.next_fragment(run, after)
    }

    fn next_due(&self, now: Instant, patience: Duration) -> Option<Instant> {
        let limit = self.retry_after(patience);
        let paused = self.paused_until.filter(|t| *t > now);
        let acks = self.answers_due(now).map(|due| paused.map_or(due, |p| p.max(due)));
        if self.address.is_none() {
            return acks;
        }
        let waits = (self.announce || self.has_fragment()).then(|| paused.unwrap_or(now));
        let timeout =
            self.active.iter().filter_map(|m| m.due(limit, self.lanes.after(m.lane, m.sequence))).min();
        [waits, timeout, acks].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
