//! When to deposit how many blocks: a state machine without IO.
//!
//! It believes the relay's reports alone, and what it sent since the last of them. A block that got lost on the way, or
//! whose answer got lost, is missing in the next report. So an owner never waits for an answer by blocks that the relay
//! does not have. A report that does not come by itself is asked for: with a deposit of one block, which opens the box
//! again if the relay lost it.

use super::Supply;
use crate::boxes::{MAX_DEPOSIT, Report};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A deposit that no report spoke of is asked for after this time.
const CONFIRM: Duration = Duration::from_secs(3);
/// How long to wait for a report that was asked for; half as long again after each one that did not come.
const FIRST_PATIENCE: Duration = Duration::from_secs(3);
const LAST_PATIENCE: Duration = Duration::from_secs(30);
/// After so many questions without a report, the relay counts as silent.
const SILENT_AFTER: u32 = 3;
/// What came in the last one to two of these makes the supply larger.
const SPAN: Duration = Duration::from_millis(500);

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Deposit, then say so ([`Keeper::deposited`]).
    Deposit { number: u64, blocks: usize, tell: bool },
    /// Nothing until then, or until an answer comes.
    Wait(Instant),
}

struct Sent {
    number: u64,
    blocks: usize,
    at: Instant,
}

struct Asked {
    number: u64,
    at: Instant,
}

/// The state of one box's supply.
pub(super) struct Keeper {
    supply: Supply,
    /// The next deposit's number.
    next: u64,
    /// The first number of blocks that are good for as long as those made now.
    generation: u64,
    until: u64,
    report: Option<Report>,
    heard: Option<Instant>,
    /// Deposits above the report's number.
    sent: VecDeque<Sent>,
    asked: Option<Asked>,
    unanswered: u32,
    /// Reports in this span and the one before, and when it began.
    came: (u32, u32),
    span: Option<Instant>,
}

impl Keeper {
    /// Nothing is deposited yet. `first`: the first number to use, at least 1.
    pub(super) fn new(supply: Supply, first: u64) -> Self {
        let first = first.max(1);
        Self {
            supply,
            next: first,
            generation: first,
            until: 0,
            report: None,
            heard: None,
            sent: VecDeque::new(),
            asked: None,
            unanswered: 0,
            came: (0, 0),
            span: None,
        }
    }

    /// Another relay, which has nothing yet.
    pub(super) fn begin_anew(&mut self) {
        *self = Self::new(self.supply, self.next);
    }

    /// True while the relay does not answer.
    pub(super) fn is_silent(&self) -> bool {
        self.unanswered >= SILENT_AFTER
    }

    /// Blocks that the relay has, or will have, of those that are good for longest.
    fn estimate(&self) -> usize {
        let left = self.report.map_or(0, |r| usize::from(r.left));
        let reported = self.report.map_or(0, |r| r.number);
        left + self.sent.iter().filter(|s| s.number > reported).map(|s| s.blocks).sum::<usize>()
    }

    fn target(&self) -> usize {
        let waits = self.report.is_some_and(|r| r.waiting > 0);
        let recent = usize::try_from(self.came.0 + self.came.1).unwrap_or(usize::MAX);
        let (low, high) = (usize::from(self.supply.low), usize::from(self.supply.high.max(self.supply.low)));
        if waits { high } else { low.saturating_add(recent).min(high) }
    }

    fn patience(&self) -> Duration {
        let grown = 1.5f64.powi(self.unanswered.min(16) as i32);
        FIRST_PATIENCE.mul_f64(grown).min(LAST_PATIENCE)
    }

    fn turn_span(&mut self, now: Instant) {
        let began = *self.span.get_or_insert(now);
        let passed = now.saturating_duration_since(began);
        if passed >= SPAN {
            self.came = if passed >= SPAN * 2 { (0, 0) } else { (0, self.came.0) };
            self.span = Some(now);
        }
    }

    /// What to do now. `until`: the Unix second until which blocks made now are good.
    pub(super) fn poll(&mut self, now: Instant, until: u64) -> Step {
        self.turn_span(now);
        if until != self.until {
            // Blocks of the old epoch are of little use soon: the relay is to have as many of the new one.
            self.until = until;
            self.generation = self.next;
            self.report = None;
            self.sent.clear();
        }
        if let Some(asked) = &self.asked {
            if now.saturating_duration_since(asked.at) >= self.patience() {
                self.asked = None;
                self.unanswered = self.unanswered.saturating_add(1);
                return self.ask();
            }
        } else if self.wants_report(now) {
            return self.ask();
        }
        // To a relay that is silent go questions alone.
        if !self.is_silent() && self.estimate() + MAX_DEPOSIT <= self.target() {
            return Step::Deposit { number: self.next, blocks: MAX_DEPOSIT, tell: false };
        }
        Step::Wait(self.next_look(now))
    }

    fn ask(&self) -> Step {
        let missing = self.target().saturating_sub(self.estimate());
        Step::Deposit { number: self.next, blocks: missing.clamp(1, MAX_DEPOSIT), tell: true }
    }

    fn wants_report(&self, now: Instant) -> bool {
        let age = |at: Instant| now.saturating_duration_since(at);
        self.heard.is_none_or(|at| age(at) >= self.supply.quiet)
            || self.sent.front().is_some_and(|s| age(s.at) >= CONFIRM)
    }

    fn next_look(&self, now: Instant) -> Instant {
        let patience = self.asked.as_ref().map(|a| a.at + self.patience());
        let confirm = self.sent.front().filter(|_| self.asked.is_none()).map(|s| s.at + CONFIRM);
        let quiet = self.heard.filter(|_| self.asked.is_none()).map(|at| at + self.supply.quiet);
        let least = now + Duration::from_millis(1);
        [patience, confirm, quiet].into_iter().flatten().min().unwrap_or(now + SPAN).max(least)
    }

    /// A deposit went out.
    pub(super) fn deposited(&mut self, now: Instant, number: u64, blocks: usize, tell: bool, until: u64) {
        self.next = self.next.max(number.saturating_add(1));
        if until == self.until {
            self.sent.push_back(Sent { number, blocks, at: now });
        }
        if tell {
            self.asked = Some(Asked { number, at: now });
        }
    }

    /// A report came, with a payload or without.
    pub(super) fn answered(&mut self, now: Instant, report: Report) {
        self.turn_span(now);
        self.came.0 = self.came.0.saturating_add(1);
        self.heard = Some(now);
        self.unanswered = 0;
        // A number that was never sent is of another run with the same key, or made up.
        if report.number >= self.next || report.number < self.generation {
            return;
        }
        if self.asked.as_ref().is_some_and(|a| report.number >= a.number) {
            self.asked = None;
        }
        // Answers overtake one another. A box that was lost and opened again counts from 1, but has a higher number.
        if self.report.is_some_and(|r| (report.number, report.sent) <= (r.number, r.sent)) {
            return;
        }
        self.sent.retain(|s| s.number > report.number);
        self.report = Some(report);
    }
}

#[cfg(test)]
mod tests;
