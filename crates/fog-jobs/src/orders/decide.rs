//! What is to be done about an order: a pure function of the order, its attempts, the possible workers, the time and a
//! draw. It looks at states, not at what happened, so it does not matter in which order or how often it is asked: lost,
//! repeated and reordered messages come down to looking again.
//!
//! - **One copy** (classes A and B): one attempt at a time. If it comes to nothing through its device, the next one starts
//!   elsewhere after a pause that doubles, from the last checkpoint. A device that says nothing for a while, or whose owner
//!   stays, loses the job to another, if there is another. In class A another one starts beside it at the first doubt.
//! - **Several copies** (class S, and class B for a worker that is not trusted): sealed attempts on distinct devices. When
//!   all have committed (or some have, and the others had their time), those are asked to hand over. More than half of
//!   the wanted copies must be equal: they are paid, the others are not. As long as there is no such majority, another
//!   copy starts.

use super::model::{Order, State, Target};
use crate::message::{Fault, Stage};
use crate::spec::{Class, Hash, JobId, Person};

/// When an attempt is doubted, given up, and tried elsewhere. All in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// An offer without an answer.
    pub answer_ms: u64,
    /// Silence after which class A starts a second one.
    pub doubt_ms: u64,
    /// Silence after which a device counts as gone.
    pub silence_ms: u64,
    /// A device that has the job and may not work.
    pub owner_ms: u64,
    /// After the first of several copies is done, the time that the others still get at least.
    pub copies_ms: u64,
    /// The pause after an attempt that came to nothing; doubled for each, up to 64 times.
    pub pause_ms: u64,
    /// A device that could not do it is not asked again for this long.
    pub avoid_ms: u64,
    /// Neither is one that declined, or from which the job was taken away.
    pub decline_ms: u64,
    /// An order that nobody has done for this long fails.
    pub order_ms: u64,
    /// Attempts that come to nothing before the order fails.
    pub tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer_ms: 60_000,
            doubt_ms: 45_000,
            silence_ms: 90_000,
            owner_ms: 180_000,
            copies_ms: 600_000,
            pause_ms: 2_000,
            avoid_ms: 600_000,
            decline_ms: 120_000,
            order_ms: 7 * 24 * 3_600_000,
            tries: 8,
        }
    }
}

/// How far an attempt is, for this purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Offered.
    Offered,
    /// Taken; not running.
    Waiting,
    /// Runs.
    Running,
    /// Sealed and done.
    Committed,
    /// Hands over.
    Delivering,
    /// Sealed, and its result is here.
    Held,
    /// Its result is here and paid, or paid after a comparison.
    Done,
    /// Given back with a checkpoint.
    Preempted,
    /// Ended without a result.
    Failed,
    /// Declined.
    Declined,
    /// Cancelled by us.
    Cancelled,
}

impl Step {
    /// True while it may still bring something.
    pub fn is_open(self) -> bool {
        self <= Self::Held
    }
}

/// An attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Its job.
    pub job: JobId,
    /// Who has it; none is this device.
    pub peer: Option<Person>,
    /// How far it is.
    pub step: Step,
    /// What it does at its worker.
    pub stage: Stage,
    /// The result is committed to first.
    pub sealed: bool,
    /// It was asked to hand over.
    pub revealed: bool,
    /// Outputs and exit code, once they are here.
    pub result: Option<Hash>,
    /// Whose fault it was.
    pub fault: Option<Fault>,
    /// When it was started here, milliseconds since 1970.
    pub created_ms: u64,
    /// The last word from its device.
    pub heard_ms: u64,
    /// When its stage began.
    pub since_ms: u64,
    /// When it ended.
    pub ended_ms: u64,
}

/// A possible worker, the best first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Who; none is this device.
    pub peer: Option<Person>,
    /// It is reachable, may work and has room, as far as is known.
    pub ready: bool,
    /// The probability with which its result must be compared.
    pub check: f64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Results to compare.
    Copies(u8),
    /// Start an attempt.
    Start {
        /// With whom; none is this device.
        peer: Option<Person>,
        /// The result is committed to first.
        sealed: bool,
        /// From the order's checkpoint.
        resume: bool,
    },
    /// Stop an attempt.
    Stop {
        /// Which.
        job: JobId,
        /// Why, in plain words.
        reason: &'static str,
        /// Its device is to blame.
        vanished: bool,
    },
    /// Ask a committed attempt to hand over.
    Reveal(JobId),
    /// Pay a held attempt.
    Pay(JobId),
    /// Refuse a held attempt: its result is wrong.
    Reject(JobId),
    /// The order is done with this attempt's result.
    Complete {
        /// Which.
        job: JobId,
        /// Equal results that were compared; 1 if nothing was.
        agreed: u8,
    },
    /// The order ends without a result.
    Fail(String),
    /// Look again then.
    Look {
        /// When, milliseconds since 1970; none: when something changes.
        at_ms: Option<u64>,
        /// What it waits for, if that is to be said.
        note: Option<String>,
    },
}

/// All that is known when deciding.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The order.
    pub order: &'a Order,
    /// Its attempts, the oldest first. Checks of workers are not among them.
    pub attempts: &'a [Attempt],
    /// Possible workers, the best first. None: this is not the time to start anything.
    pub candidates: Option<&'a [Candidate]>,
    /// Since when it could be done.
    pub since_ms: u64,
    /// Now, milliseconds since 1970.
    pub now_ms: u64,
    /// A draw between 0 and 1.
    pub draw: f64,
    /// How long to wait for what.
    pub patience: &'a Patience,
}

impl Facts<'_> {
    fn open(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(|a| a.step.is_open())
    }

    /// Workers that may get an attempt now. If all that are left have failed at it before, they may try again.
    fn usable(&self) -> Vec<Candidate> {
        let fresh = self.not_avoided(true);
        if fresh.is_empty() { self.not_avoided(false) } else { fresh }
    }

    fn not_avoided(&self, failed_too: bool) -> Vec<Candidate> {
        let avoided = |candidate: &Candidate| {
            self.attempts.iter().any(|a| {
                let avoid_ms = match a.step {
                    Step::Failed if failed_too => self.patience.avoid_ms,
                    Step::Declined | Step::Cancelled | Step::Preempted => self.patience.decline_ms,
                    _ => 0,
                };
                let recent = self.now_ms.saturating_sub(a.ended_ms) < avoid_ms;
                a.peer == candidate.peer && (a.step.is_open() || recent)
            })
        };
        self.candidates.unwrap_or_default().iter().filter(|c| !avoided(c)).copied().collect()
    }

    /// True if somebody else could have it at once.
    fn alternative(&self) -> bool {
        self.not_avoided(true).iter().any(|c| c.ready)
    }
}

/// Says what is to be done now. Decisions are to be carried out in this order; afterwards the order is looked at again
/// when an attempt changes, or at the time of the last [`Decision::Look`].
pub fn decide(facts: &Facts<'_>) -> Vec<Decision> {
    let order = facts.order;
    if order.state.is_final() {
        return close(facts);
    }
    if let Some(deadline) = order.spec.deadline_ms
        && facts.now_ms >= deadline
    {
        return fail(facts, "it was not done by its deadline".into());
    }
    if facts.now_ms.saturating_sub(facts.since_ms) >= facts.patience.order_ms && order.state > State::Blocked
    {
        return fail(facts, "nobody did it in time".into());
    }
    if order.state == State::Blocked || order.state == State::Array {
        return vec![Decision::Look { at_ms: order.spec.deadline_ms, note: None }];
    }
    let mut decisions = match order.copies {
        0 | 1 => single(facts),
        copies => compared(facts, copies),
    };
    // A deadline is a reason to look again, too.
    if let Some(Decision::Look { at_ms, .. }) = decisions.last_mut()
        && let Some(deadline) = order.spec.deadline_ms
    {
        *at_ms = Some(at_ms.map_or(deadline, |at| at.min(deadline)));
    }
    decisions
}

/// The order has ended: nothing of it stays open.
fn close(facts: &Facts<'_>) -> Vec<Decision> {
    let order = facts.order;
    let winner = facts.attempts.iter().find(|a| Some(a.job) == order.winner).and_then(|a| a.result);
    let mut decisions = Vec::new();
    for attempt in facts.open() {
        match (attempt.step, winner) {
            // One that is late and right is paid as the others were.
            (Step::Held, Some(result)) if attempt.sealed && attempt.result == Some(result) => {
                decisions.push(Decision::Pay(attempt.job));
            }
            (Step::Held, Some(_)) if attempt.sealed => decisions.push(Decision::Reject(attempt.job)),
            (Step::Delivering, Some(_)) if attempt.sealed => {}
            _ => decisions.push(Decision::Stop {
                job: attempt.job,
                reason: match order.state {
                    State::Completed => "another device was done before",
                    State::Cancelled => "cancelled by its sender",
                    _ => "the job has failed",
                },
                vanished: false,
            }),
        }
    }
    decisions.push(Decision::Look { at_ms: None, note: None });
    decisions
}

fn fail(facts: &Facts<'_>, reason: String) -> Vec<Decision> {
    let mut decisions: Vec<_> = facts
        .open()
        .map(|a| Decision::Stop { job: a.job, reason: "the job has failed", vanished: false })
        .collect();
    decisions.push(Decision::Fail(reason));
    decisions
}

/// The pause after so many attempts that came to nothing.
fn pause(patience: &Patience, tries: u32) -> u64 {
    if tries == 0 { 0 } else { patience.pause_ms << (tries - 1).min(6) }
}

/// Classes A and B.
fn single(facts: &Facts<'_>) -> Vec<Decision> {
    let (order, patience, now) = (facts.order, facts.patience, facts.now_ms);
    if let Some(done) = facts.attempts.iter().find(|a| a.step == Step::Done) {
        let mut decisions = vec![Decision::Complete { job: done.job, agreed: 1 }];
        decisions.extend(facts.open().map(|a| Decision::Stop {
            job: a.job,
            reason: "another device was done before",
            vanished: false,
        }));
        return decisions;
    }
    if let Some(reason) = program_failed(facts).or_else(|| all_declined(facts)) {
        return fail(facts, reason);
    }
    let mut decisions = Vec::new();
    let mut look: Option<u64> = None;
    let mut sooner = |at: u64| look = Some(look.map_or(at, |l| l.min(at)));
    let mut kept = 0;
    let mut doubted = false;
    for attempt in facts.open() {
        let Some((limit, since, reason, vanished)) = trouble(attempt, patience) else {
            kept += 1;
            continue;
        };
        let silent = now.saturating_sub(attempt.heard_ms);
        if order.spec.class == Class::A && attempt.step >= Step::Waiting {
            doubted |= silent >= patience.doubt_ms;
            if silent < patience.doubt_ms {
                sooner(attempt.heard_ms + patience.doubt_ms);
            }
        }
        if now.saturating_sub(since) < limit {
            sooner(since + limit);
            kept += 1;
        } else if facts.alternative() {
            decisions.push(Decision::Stop { job: attempt.job, reason, vanished });
        } else {
            // Nobody else can have it, as far as that was looked at: the one that has it may yet come back.
            sooner(if facts.candidates.is_some() { now + patience.answer_ms } else { now });
            kept += 1;
        }
    }
    let standby = order.spec.class == Class::A && doubted && kept == 1;
    if kept == 0 || standby {
        if order.tries >= patience.tries {
            return fail(facts, last_words(facts));
        }
        let ended = facts.attempts.iter().map(|a| a.ended_ms).max().unwrap_or(0);
        let begin = ended + pause(patience, order.tries);
        let usable = facts.usable();
        if now < begin && kept == 0 && decisions.is_empty() {
            sooner(begin);
        } else if let Some(best) = usable.first() {
            let copies = if order.copies == 0 { copies_for(facts, best, &usable) } else { 1 };
            if order.copies == 0 {
                decisions.push(Decision::Copies(copies));
            }
            for candidate in usable.iter().take(copies.into()) {
                decisions.push(Decision::Start {
                    peer: candidate.peer,
                    sealed: copies > 1,
                    resume: copies == 1,
                });
                // It may never answer, which nothing else would tell.
                if candidate.peer.is_some() {
                    sooner(now + patience.answer_ms);
                }
            }
            if copies > 1 {
                sooner(now + 1_000);
            }
        } else if facts.candidates.is_some() && kept == 0 {
            decisions.push(nobody(facts));
            return decisions;
        } else if kept == 0 {
            sooner(now);
        }
    }
    decisions.push(Decision::Look { at_ms: look, note: None });
    decisions
}

/// Nobody may have it now.
fn nobody(facts: &Facts<'_>) -> Decision {
    let note = match facts.attempts.iter().rev().find(|a| matches!(a.step, Step::Failed | Step::Declined)) {
        Some(_) => "those who were asked could not do it; waits for another device",
        None => "waits for a device that can be reached and takes it",
    };
    Decision::Look { at_ms: Some(facts.now_ms + 5_000), note: Some(note.into()) }
}

/// How many results are compared.
fn copies_for(facts: &Facts<'_>, best: &Candidate, usable: &[Candidate]) -> u8 {
    if facts.order.spec.class == Class::S {
        return 3;
    }
    let here = best.peer.is_none();
    let another = usable.iter().skip(1).any(|c| c.ready && c.peer.is_some());
    let checked = facts.order.spec.class == Class::B
        && facts.order.spec.program.is_deterministic()
        && !here
        && another
        && facts.draw < best.check;
    if checked { 2 } else { 1 }
}

/// A limit of time that an attempt may go beyond, what it counts from, and what it means.
fn trouble(attempt: &Attempt, patience: &Patience) -> Option<(u64, u64, &'static str, bool)> {
    attempt.peer?;
    match (attempt.step, attempt.stage) {
        (Step::Offered, _) => {
            Some((patience.answer_ms, attempt.created_ms, "no answer in time; it went elsewhere", false))
        }
        (Step::Waiting | Step::Running, Stage::Waiting | Stage::Paused)
            if attempt.since_ms + patience.owner_ms < attempt.heard_ms + patience.silence_ms =>
        {
            Some((
                patience.owner_ms,
                attempt.since_ms,
                "the device's owner needs it; it went elsewhere",
                false,
            ))
        }
        (Step::Waiting | Step::Running, _) => {
            Some((patience.silence_ms, attempt.heard_ms, "no sign of life; it went elsewhere", true))
        }
        _ => None,
    }
}

/// The program itself fails: once where nobody else can try it, twice where somebody could have said so wrongly.
fn program_failed(facts: &Facts<'_>) -> Option<String> {
    let failed: Vec<_> = facts
        .attempts
        .iter()
        .filter(|a| a.step == Step::Failed && a.fault == Some(Fault::Program))
        .map(|a| a.peer)
        .collect();
    let first = failed.first()?;
    let sure = first.is_none() || failed.iter().any(|peer| peer != first);
    // Without somebody else to ask, one word must do.
    let alone = facts.candidates.is_some() && !facts.alternative() && facts.open().next().is_none();
    (sure || alone).then(|| last_words(facts))
}

/// All that were named have said no.
fn all_declined(facts: &Facts<'_>) -> Option<String> {
    let Target::Persons(persons) = &facts.order.spec.target else { return None };
    let declined = |person: &Person| {
        let last = facts.attempts.iter().rev().find(|a| a.peer == Some(*person));
        last.is_some_and(|a| a.step == Step::Declined)
    };
    persons.iter().all(declined).then(String::new)
}

/// The reason that the user reads: the last attempt's, which the caller fills in.
fn last_words(facts: &Facts<'_>) -> String {
    let failed = facts.attempts.iter().any(|a| matches!(a.step, Step::Failed | Step::Declined));
    if !failed { "no device did it".into() } else { String::new() }
}

/// Class S, and checks of class B.
fn compared(facts: &Facts<'_>, copies: u8) -> Vec<Decision> {
    let (order, patience, now) = (facts.order, facts.patience, facts.now_ms);
    let quorum = usize::from(copies) / 2 + 1;
    let sealed = || facts.attempts.iter().filter(|a| a.sealed);
    let mut decisions = Vec::new();

    // Results that are here, by content.
    let mut groups: Vec<(Hash, Vec<&Attempt>)> = Vec::new();
    for attempt in sealed().filter(|a| matches!(a.step, Step::Held | Step::Done)) {
        let Some(result) = attempt.result else { continue };
        match groups.iter_mut().find(|(hash, _)| *hash == result) {
            Some((_, members)) => members.push(attempt),
            None => groups.push((result, vec![attempt])),
        }
    }
    let largest = groups.iter().max_by_key(|(_, members)| members.len());
    if let Some((hash, members)) = largest.filter(|(_, members)| members.len() >= quorum) {
        for attempt in sealed().filter(|a| a.step == Step::Held) {
            let right = attempt.result == Some(*hash);
            decisions.push(if right { Decision::Pay(attempt.job) } else { Decision::Reject(attempt.job) });
        }
        let agreed = u8::try_from(members.len()).unwrap_or(u8::MAX);
        decisions.push(Decision::Complete { job: members[0].job, agreed });
        for attempt in facts.open().filter(|a| !matches!(a.step, Step::Held | Step::Delivering)) {
            let reason = "others were done before, and agree";
            decisions.push(Decision::Stop { job: attempt.job, reason, vanished: false });
        }
        return decisions;
    }

    let program = sealed().filter(|a| a.step == Step::Failed && a.fault == Some(Fault::Program)).count();
    if program >= quorum {
        return fail(facts, last_words(facts));
    }

    let mut look: Option<u64> = None;
    let mut sooner = |at: u64| look = Some(look.map_or(at, |l| l.min(at)));
    let mut working = 0;
    let mut committed = Vec::new();
    let mut first_done: Option<u64> = None;
    for attempt in sealed().filter(|a| a.step.is_open()) {
        match attempt.step {
            Step::Committed if !attempt.revealed => {
                committed.push(attempt.job);
                first_done = Some(first_done.map_or(attempt.since_ms, |f| f.min(attempt.since_ms)));
            }
            Step::Held => {}
            _ => {
                let gone = trouble(attempt, patience).filter(|(limit, since, ..)| {
                    let over = now.saturating_sub(*since) >= *limit;
                    if !over {
                        sooner(since + limit);
                    }
                    over
                });
                match gone {
                    Some((_, _, reason, vanished)) if facts.alternative() => {
                        decisions.push(Decision::Stop { job: attempt.job, reason, vanished });
                    }
                    Some(_) => {
                        sooner(if facts.candidates.is_some() { now + patience.answer_ms } else { now });
                        working += 1;
                    }
                    None => working += 1,
                }
            }
        }
    }

    let results: usize = groups.iter().map(|(_, members)| members.len()).sum();
    let handing = sealed().filter(|a| a.step.is_open() && a.revealed && a.step != Step::Held).count();
    let busy = working.max(handing);
    // All have committed, or enough have and the others had their time: nobody can adapt a result any more.
    let late = first_done.is_some_and(|done| {
        let until = done + patience.copies_ms;
        if now < until {
            sooner(until);
        }
        now >= until
    });
    let wanted = usize::from(copies).max(quorum_possible(results, &groups, quorum));
    let there = results + committed.len() + busy;
    // Time runs out for copies that are late, not for copies that were never had.
    let begun = sealed().count() >= usize::from(copies);
    if !committed.is_empty()
        && (busy == handing && there >= wanted || (late && begun && committed.len() + results >= quorum))
    {
        decisions.extend(committed.iter().map(|job| Decision::Reveal(*job)));
    }
    if there < wanted {
        if order.tries >= patience.tries || sealed().count() >= usize::from(copies) + patience.tries as usize
        {
            return fail(facts, if results > 0 { disagree() } else { last_words(facts) });
        }
        let ended = facts.attempts.iter().map(|a| a.ended_ms).max().unwrap_or(0);
        let begin = ended + pause(patience, order.tries);
        let usable: Vec<_> = facts
            .usable()
            .into_iter()
            .filter(|c| !sealed().any(|a| a.peer == c.peer && matches!(a.step, Step::Held | Step::Done)))
            .collect();
        if now < begin && decisions.is_empty() {
            sooner(begin);
        } else if facts.candidates.is_none() {
            sooner(now);
        } else {
            for candidate in usable.iter().take(wanted - there) {
                decisions.push(Decision::Start { peer: candidate.peer, sealed: true, resume: false });
                sooner(now + patience.answer_ms);
            }
            let missing = (wanted - there).saturating_sub(usable.len());
            if missing > 0 {
                // A check that cannot be had is given up for class B; class S waits.
                if order.spec.class != Class::S && results + committed.len() + busy + usable.len() == 0 {
                    decisions.push(Decision::Copies(1));
                    decisions.push(Decision::Look { at_ms: Some(now), note: None });
                    return decisions;
                }
                let note = format!("waits for {missing} more device(s), to compare their results");
                decisions.push(Decision::Look { at_ms: Some(now + 5_000), note: Some(note) });
                return decisions;
            }
        }
    }
    decisions.push(Decision::Look { at_ms: look, note: None });
    decisions
}

/// How many results it takes until the largest group could be the majority.
fn quorum_possible(results: usize, groups: &[(Hash, Vec<&Attempt>)], quorum: usize) -> usize {
    let largest = groups.iter().map(|(_, members)| members.len()).max().unwrap_or(0);
    results + quorum - largest.min(quorum)
}

fn disagree() -> String {
    "the devices do not agree on the result, and nobody is left to ask".into()
}
