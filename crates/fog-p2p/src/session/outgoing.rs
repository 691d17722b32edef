//! One message on its way out.

use crate::MessageId;
use crate::datagram::{Ack, Fragment, Place, UNORDERED};
use crate::outbox::{Priority, Waiting};
use crate::transport::Route;
use std::time::{Duration, Instant};

/// A message that has to wait for others at the receiver is asked after this many times more rarely.
const ASK_RARELY: u32 = 8;

enum State {
    Unsent,
    /// Given to the driver, which has not told yet.
    Handed,
    InFlight(Instant, Route),
    Arrived,
}

pub(super) struct Outgoing {
    pub(super) id: MessageId,
    pub(super) priority: Priority,
    pub(super) lane: u8,
    /// Its number in the lane.
    pub(super) sequence: u64,
    /// Rises as messages come.
    pub(super) came: u64,
    /// The priority with which it goes out.
    pub(super) urgency: u8,
    /// What the last fragment that went out said that it comes after.
    told: u64,
    /// The application knows that every fragment went out.
    pub(super) told_sent: bool,
    kind: u16,
    body: Vec<u8>,
    piece: usize,
    fragments: Vec<State>,
    /// How often each fragment went out, and when first.
    sends: Vec<(u32, Option<Instant>)>,
    /// The receiver's latest attempt at putting it together.
    attempt: u64,
    /// All fragments are there since then; the confirmation is not.
    all_arrived: Option<Instant>,
}

impl Outgoing {
    pub(super) fn new(waiting: &Waiting, came: u64, body: Vec<u8>, piece: usize) -> Self {
        let count = body.len().div_ceil(piece).max(1);
        Self {
            id: waiting.id,
            priority: waiting.priority,
            lane: waiting.lane,
            sequence: waiting.sequence,
            came,
            urgency: waiting.priority as u8,
            told: 0,
            told_sent: false,
            kind: waiting.kind,
            body,
            piece,
            fragments: (0..count).map(|_| State::Unsent).collect(),
            sends: vec![(0, None); count],
            attempt: 0,
            all_arrived: None,
        }
    }

    pub(super) fn kind(&self) -> u16 {
        self.kind
    }

    /// The next fragment to go out, with what the message comes after now.
    pub(super) fn next_fragment(&mut self, run: u32, after: u64) -> Option<Fragment> {
        let index = self.fragments.iter().position(|s| matches!(s, State::Unsent))?;
        self.fragments[index] = State::Handed;
        self.told = after;
        let start = index * self.piece;
        let end = (start + self.piece).min(self.body.len());
        Some(Fragment {
            message: self.id,
            kind: self.kind,
            place: Place { lane: self.lane, sequence: self.sequence, after, run },
            index: index as u16,
            count: self.fragments.len() as u16,
            total: self.body.len() as u32,
            data: self.body[start..end].to_vec(),
        })
    }

    /// True if the fragment went out before.
    pub(super) fn sent(&mut self, index: u16, now: Instant, route: Route) -> bool {
        let index = usize::from(index);
        let Some(state) = self.fragments.get_mut(index) else { return false };
        if !matches!(state, State::Arrived) {
            *state = State::InFlight(now, route);
        }
        let (count, first) = &mut self.sends[index];
        first.get_or_insert(now);
        *count += 1;
        *count > 1
    }

    pub(super) fn unsend(&mut self, index: u16) {
        if let Some(state @ State::Handed) = self.fragments.get_mut(usize::from(index)) {
            *state = State::Unsent;
        }
    }

    /// The fragments that this acknowledgement adds, with when and how they were sent, and the round-trip
    /// times that it proves: those of fragments that went out once only (Karn's algorithm), also when they
    /// were given up too early.
    pub(super) fn arrived(&mut self, ack: &Ack, now: Instant) -> (Vec<(u16, Instant, Route)>, Vec<Duration>) {
        if !ack.complete && ack.attempt < self.attempt {
            return (Vec::new(), Vec::new()); // overtaken by a newer one
        }
        let anew = !ack.complete && ack.attempt > self.attempt;
        if anew {
            self.attempt = ack.attempt;
            self.all_arrived = None;
        }
        let (mut arrived, mut proven) = (Vec::new(), Vec::new());
        for (i, state) in self.fragments.iter_mut().enumerate() {
            let here = ack.complete || ack.have.get(i / 8).is_some_and(|b| b & (1 << (i % 8)) != 0);
            if here
                && !matches!(state, State::Arrived)
                && let (1, Some(first)) = self.sends[i]
            {
                proven.push(now.saturating_duration_since(first));
            }
            if here && let State::InFlight(sent, route) = std::mem::replace(state, State::Arrived) {
                arrived.push((i as u16, sent, route));
            } else if anew && !here && matches!(state, State::Arrived) {
                *state = State::Unsent; // it was there, and was lost with the earlier attempt
            }
        }
        (arrived, proven)
    }

    pub(super) fn all_sent_once(&self) -> bool {
        self.sends.iter().all(|(count, _)| *count > 0)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.fragments.iter().filter(|s| matches!(s, State::InFlight(..) | State::Handed)).count()
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.fragments.iter().any(|s| matches!(s, State::Unsent))
    }

    /// Fragments without an acknowledgement for longer than `limit` go back to unsent. The confirmation of the
    /// whole message may get lost too: then all have arrived, and the last one goes out again to ask for it.
    pub(super) fn time_out(&mut self, now: Instant, limit: Duration, after: u64) -> Vec<(Instant, Route)> {
        let mut lost = Vec::new();
        for state in &mut self.fragments {
            if let State::InFlight(sent, _) = state
                && now.saturating_duration_since(*sent) >= limit
                && let State::InFlight(sent, route) = std::mem::replace(state, State::Unsent)
            {
                lost.push((sent, route));
            }
        }
        if self.has_arrived() {
            let since = *self.all_arrived.get_or_insert(now);
            if now.saturating_duration_since(since) >= self.ask_after(limit, after) {
                self.ask();
            }
        }
        lost
    }

    fn has_arrived(&self) -> bool {
        self.fragments.iter().all(|s| matches!(s, State::Arrived))
    }

    /// While it has to wait for others at the receiver, there will be no confirmation.
    fn ask_after(&self, limit: Duration, after: u64) -> Duration {
        if after == 0 { limit } else { limit * ASK_RARELY }
    }

    /// Sends the last fragment again, if all have arrived: to ask for the confirmation, and to tell what the message
    /// comes after now.
    pub(super) fn ask(&mut self) {
        if self.has_arrived()
            && let Some(last) = self.fragments.last_mut()
        {
            *last = State::Unsent;
            self.all_arrived = None;
        }
    }

    /// What it was told to come after was withdrawn: the receiver would wait for it in vain.
    pub(super) fn retell(&mut self, after: u64, done: u64) {
        if self.lane != UNORDERED && self.told > after && self.told > done {
            self.ask();
        }
    }

    /// The message before it was delivered: this one will be in a moment, too.
    pub(super) fn give_time(&mut self, now: Instant) {
        if let Some(since) = &mut self.all_arrived {
            *since = now;
        }
    }

    /// When something is to be done about it, if nothing comes until then.
    pub(super) fn due(&self, limit: Duration, after: u64) -> Option<Instant> {
        let asked = self.all_arrived.map(|t| t + self.ask_after(limit, after));
        self.oldest_in_flight().map(|t| t + limit).or(asked)
    }

    fn oldest_in_flight(&self) -> Option<Instant> {
        let sent = |s: &State| if let State::InFlight(t, _) = s { Some(*t) } else { None };
        self.fragments.iter().filter_map(sent).min()
    }
}
