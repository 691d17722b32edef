//! Carries out what [`decide`] says about an order, and what follows for arrays and for orders that wait for it.

use super::look::Context;
use super::{Action, Engine, Result, short};
use crate::message::{Fault, JobMessage, Stage};
use crate::orders::{
    Attempt, Candidate, Decision, Facts, Order, OrderId, Source, State, Step, Target, decide,
};
use crate::spec::{BlobRef, Input, JobSpec, Person};
use crate::store::{self, Job, Phase, Role};
use crate::trust::Deed;
use sqlx::sqlite::SqliteConnection;

impl Engine {
    /// An attempt of an order has changed: does what follows, but for starting another, which [`Engine::look`] does.
    pub(super) async fn advance(
        &self,
        conn: &mut SqliteConnection,
        id: &OrderId,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let Some(order) = store::orders::get(conn, id).await? else { return Ok(Vec::new()) };
        self.carry_on(conn, order, None, None, now_ms).await
    }

    /// Looks at an order and does what is to be done.
    pub(super) async fn carry_on(
        &self,
        conn: &mut SqliteConnection,
        mut order: Order,
        candidates: Option<Vec<Candidate>>,
        mut context: Option<&mut Context>,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let before = order.clone();
        let mut jobs = self.attempts(conn, &order.id).await?;
        let since_ms = order.since_ms;
        let attempts: Vec<_> = jobs
            .iter()
            .filter(|job| job.created_ms >= since_ms || !job.phase.is_final())
            .map(attempt)
            .collect();
        let failed = |a: &&Attempt| a.step == Step::Failed && a.fault != Some(Fault::Owner);
        order.tries = u32::try_from(attempts.iter().filter(failed).count()).unwrap_or(u32::MAX);
        let decisions = decide(&Facts {
            order: &order,
            attempts: &attempts,
            candidates: candidates.as_deref(),
            since_ms,
            now_ms,
            draw: self.draw_share(),
            patience: &self.config.patience,
        });
        let mut actions = Vec::new();
        let mut waits_for = None;
        for decision in decisions {
            match decision {
                Decision::Copies(copies) => order.copies = copies,
                Decision::Look { at_ms, note } => {
                    order.due_ms = at_ms;
                    waits_for = note;
                }
                Decision::Fail(reason) => {
                    let told = jobs.iter().rev().find(|job| job.phase == Phase::Failed);
                    let reason = match told {
                        Some(job) if reason.is_empty() => job.note.clone(),
                        _ => reason,
                    };
                    self.finish(&mut order, State::Failed, &reason, now_ms);
                }
                Decision::Complete { job, agreed } => {
                    let Some(job) = jobs.iter().find(|j| j.id() == job) else { continue };
                    complete(&mut order, job);
                    // A program that says that it failed was run and is paid; what waits for it does not begin.
                    let (state, mut note) = match order.result.as_ref().map_or(0, |result| result.1) {
                        0 => (State::Completed, "done".to_owned()),
                        code => (State::Failed, format!("the program's exit code is {code}")),
                    };
                    if agreed > 1 {
                        note += &format!("; {agreed} devices agree on the result");
                    }
                    self.finish(&mut order, state, &note, now_ms);
                }
                Decision::Start { peer, sealed, resume } => {
                    match self.begin(conn, &mut order, peer, sealed, resume, now_ms).await? {
                        Ok((job, begun)) => {
                            if let Some(context) = context.as_deref_mut() {
                                context.placed(&job);
                            }
                            actions.extend(begun);
                            jobs.push(job);
                        }
                        Err(reason) => self.finish(&mut order, State::Failed, &reason, now_ms),
                    }
                }
                Decision::Stop { job, reason, vanished } => {
                    let Some(job) = jobs.iter_mut().find(|j| j.id() == job) else { continue };
                    if vanished {
                        job.fault = Some(Fault::Device);
                        actions.extend(self.note_deed(conn, job, Deed::Vanished, now_ms).await?);
                    }
                    let phase = if vanished { Phase::Failed } else { Phase::Cancelled };
                    let message = JobMessage::Cancel { job: job.id(), reason: reason.into() };
                    actions.extend(self.end_job(conn, job, phase, reason, Some(message), now_ms).await?);
                }
                Decision::Reveal(job) => {
                    let Some(job) = jobs.iter_mut().find(|j| j.id() == job) else { continue };
                    job.revealed = true;
                    job.since_ms = now_ms;
                    store::update(conn, job).await?;
                    actions.push(Self::send(job, JobMessage::Reveal { job: job.id() }));
                }
                Decision::Pay(job) => {
                    let Some(job) = jobs.iter_mut().find(|j| j.id() == job) else { continue };
                    actions.extend(self.note_deed(conn, job, Deed::Right, now_ms).await?);
                    actions.extend(self.pay_job(conn, job, now_ms).await?);
                }
                Decision::Reject(job) => {
                    let Some(job) = jobs.iter_mut().find(|j| j.id() == job) else { continue };
                    actions.extend(self.reject(conn, job, now_ms).await?);
                }
            }
        }
        if !order.state.is_final() {
            show(&mut order, &jobs, waits_for);
        } else if jobs.iter().all(|job| job.phase.is_final()) {
            order.due_ms = None;
        }
        if order != before {
            store::orders::update(conn, &order).await?;
        }
        if order.state != before.state && order.state.is_final() {
            actions.push(Action::Ended { order: order.id });
            actions.extend(self.follow(conn, &order, now_ms).await?);
        }
        actions.push(Action::Ordered { order: order.id });
        Ok(actions)
    }

    /// A result that others contradict.
    async fn reject(&self, conn: &mut SqliteConnection, job: &mut Job, now_ms: u64) -> Result<Vec<Action>> {
        let mut actions = self.note_deed(conn, job, Deed::Wrong, now_ms).await?;
        let reason = "the result is not the one that the others have";
        job.fault = Some(Fault::Device);
        let message = JobMessage::Cancel { job: job.id(), reason: reason.into() };
        actions.extend(self.end_job(conn, job, Phase::Failed, reason, Some(message), now_ms).await?);
        Ok(actions)
    }

    /// Ends an order. Its checkpoint goes when its result is there.
    pub(super) fn finish(&self, order: &mut Order, state: State, note: &str, now_ms: u64) {
        order.state = state;
        order.note = short(note);
        order.finished_ms = Some(now_ms);
        // Attempts that are still open are closed when it is looked at again.
        order.due_ms = Some(now_ms);
        if state == State::Completed {
            order.permille = Some(1000);
        }
        if order.result.is_some()
            && let Some(checkpoint) = order.checkpoint.take()
            && let Err(error) = self.blobs.remove(&checkpoint.blob)
        {
            tracing::warn!(%error, "an old checkpoint cannot be removed");
        }
    }

    /// What the end of an order means for its array, and for those that wait for it or for the array.
    pub(super) async fn follow(
        &self,
        conn: &mut SqliteConnection,
        ended: &Order,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let mut actions = Vec::new();
        let mut list = vec![(ended.id, ended.parent, ended.state)];
        // Each round ends an order that was under way, so this comes to an end.
        while let Some((id, parent, state)) = list.pop() {
            if let Some(parent) = parent {
                actions.push(Action::Ordered { order: parent });
                if !store::orders::any_element(conn, &parent, State::Blocked, State::Array).await?
                    && let Some(mut array) = store::orders::get(conn, &parent).await?
                    && !array.state.is_final()
                {
                    let any = async |conn: &mut SqliteConnection, state| {
                        store::orders::any_element(conn, &parent, state, state).await
                    };
                    let state = if any(conn, State::Failed).await? {
                        State::Failed
                    } else if any(conn, State::Cancelled).await? {
                        State::Cancelled
                    } else {
                        State::Completed
                    };
                    let note = match state {
                        State::Completed => "all elements are done",
                        State::Failed => "some elements failed",
                        _ => "some elements were cancelled",
                    };
                    self.finish(&mut array, state, note, now_ms);
                    array.due_ms = None;
                    store::orders::update(conn, &array).await?;
                    actions.push(Action::Ended { order: parent });
                    list.push((parent, None, state));
                }
            }
            for waiting in store::needs::waiting_for(conn, &id).await? {
                let Some(mut order) = store::orders::get(conn, &waiting).await? else { continue };
                if state != State::Completed {
                    let note = "a job that it needs has no result";
                    if order.range.is_some() {
                        store::orders::fail_elements(conn, &waiting, note, now_ms).await?;
                    }
                    self.finish(&mut order, State::Failed, note, now_ms);
                    order.due_ms = None;
                    store::orders::update(conn, &order).await?;
                    actions.extend([Action::Ended { order: waiting }, Action::Ordered { order: waiting }]);
                    list.push((waiting, order.parent, State::Failed));
                } else if order.state == State::Blocked && store::needs::met(conn, &waiting).await? {
                    order.note.clear();
                    order.since_ms = now_ms;
                    if order.range.is_some() {
                        order.state = State::Array;
                        order.due_ms = None;
                        store::orders::unblock_elements(conn, &waiting, now_ms).await?;
                    } else {
                        order.state = State::Pending;
                        order.due_ms = Some(now_ms);
                    }
                    store::orders::update(conn, &order).await?;
                    actions.push(Action::Ordered { order: waiting });
                }
            }
        }
        Ok(actions)
    }

    /// Starts an attempt. The inner error ends the order.
    async fn begin(
        &self,
        conn: &mut SqliteConnection,
        order: &mut Order,
        peer: Option<Person>,
        sealed: bool,
        resume: bool,
        now_ms: u64,
    ) -> Result<std::result::Result<(Job, Vec<Action>), String>> {
        let mut spec = match self.spec_for(conn, order, now_ms).await? {
            Ok(spec) => spec,
            Err(reason) => return Ok(Err(reason)),
        };
        // The first attempt has the order's id, so that both sides speak of the same one.
        if store::get(conn, &order.id).await?.is_none() {
            spec.id = order.id;
        }
        spec.sealed = sealed;
        spec.resume = if resume { order.checkpoint.clone() } else { None };
        let resumed = spec.resume.as_ref().map(|c| c.number);
        let ceiling = spec.price_ceiling();
        spec.price_limit = match (peer, order.spec.price_limit) {
            (None, _) => ceiling,
            (Some(_), limit) => limit.unwrap_or(ceiling).max(ceiling),
        };
        let signed = match spec.sign(&self.key) {
            Ok(signed) => signed,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut job = match peer {
            None => Job::new(signed, Role::Local, self.me, Phase::Ready, now_ms),
            Some(peer) => Job::new(signed, Role::Submitter, peer, Phase::Offered, now_ms),
        };
        job.order = Some(order.id);
        job.note = match (peer, resumed) {
            (None, _) => "waits for its turn".into(),
            (Some(_), None) => "offered; waiting for an answer".into(),
            (Some(_), Some(number)) => format!("offered, from checkpoint {number}; waiting for an answer"),
        };
        store::insert(conn, &job).await?;
        let mut actions = Vec::new();
        if job.role == Role::Submitter {
            let amount = job.spec().price_limit;
            actions.push(Action::LockEscrow { job: job.id(), from: self.me, amount });
            actions.push(Self::send(&job, JobMessage::Offer(job.signed.clone())));
        }
        Ok(Ok((job, actions)))
    }

    /// What an attempt of the order runs, with the outputs of others as its inputs. The inner error ends the order.
    pub(super) async fn spec_for(
        &self,
        conn: &mut SqliteConnection,
        order: &Order,
        now_ms: u64,
    ) -> Result<std::result::Result<JobSpec, String>> {
        let what = &order.spec;
        let stdin = match &what.stdin {
            None => None,
            Some(source) => match self.resolve(conn, source).await? {
                Ok(blob) => Some(blob),
                Err(reason) => return Ok(Err(reason)),
            },
        };
        let mut inputs = Vec::with_capacity(what.inputs.len());
        for (name, source) in &what.inputs {
            match self.resolve(conn, source).await? {
                Ok(blob) => inputs.push(Input { name: name.clone(), blob }),
                Err(reason) => return Ok(Err(reason)),
            }
        }
        Ok(Ok(JobSpec {
            id: self.draw_id(),
            submitter: self.me,
            name: what.name.clone(),
            program: what.program.clone(),
            stdin,
            inputs,
            args: what.args.clone(),
            env: order.env(),
            limits: what.limits,
            class: what.class,
            privacy: what.privacy,
            network: what.network,
            deadline_ms: what.deadline_ms,
            checkpoint_seconds: what.checkpoint_seconds,
            resume: None,
            sealed: false,
            price_limit: 0,
            created_ms: now_ms,
        }))
    }

    async fn resolve(
        &self,
        conn: &mut SqliteConnection,
        source: &Source,
    ) -> Result<std::result::Result<BlobRef, String>> {
        let (id, files) = match source {
            Source::Blob(blob) => return Ok(Ok(blob.clone())),
            Source::Stdout(id) => (id, false),
            Source::Files(id) => (id, true),
        };
        let other = store::orders::get(conn, id).await?;
        let Some((outputs, _)) = other.and_then(|other| other.result) else {
            return Ok(Err("the output of a job that it needs is not here".into()));
        };
        let blob = if files { outputs.files } else { Some(outputs.stdout) };
        Ok(blob.ok_or_else(|| "a job that it needs has no output files".into()))
    }

    /// Notes what somebody did.
    pub(super) async fn note_deed(
        &self,
        conn: &mut SqliteConnection,
        job: &Job,
        deed: Deed,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        if job.role != Role::Submitter {
            return Ok(Vec::new());
        }
        let mut reputation = store::reputation::get(conn, &job.peer).await?;
        reputation.add(deed, now_ms);
        store::reputation::put(conn, &job.peer, &reputation).await?;
        Ok(vec![Action::Worker { person: job.peer }])
    }

    /// What a failure says about its device.
    pub(super) async fn judge(
        &self,
        conn: &mut SqliteConnection,
        job: &Job,
        fault: Fault,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        match fault {
            Fault::Device => self.note_deed(conn, job, Deed::Failed, now_ms).await,
            Fault::Program | Fault::Owner => Ok(Vec::new()),
        }
    }

    /// A check of a worker with a job whose result is known has moved on.
    pub(super) async fn advance_spot(
        &self,
        conn: &mut SqliteConnection,
        order: OrderId,
        job: &Job,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let mut job = job.clone();
        match job.phase {
            Phase::Committed if !job.revealed => {
                job.revealed = true;
                store::update(conn, &job).await?;
                Ok(vec![Self::send(&job, JobMessage::Reveal { job: job.id() })])
            }
            Phase::Held => {
                let known = self.order(conn, &order).await?.result;
                let known = known.map(|(outputs, code)| outputs.result_hash(code));
                if known.is_some() && known == attempt(&job).result {
                    let mut actions = self.note_deed(conn, &job, Deed::Right, now_ms).await?;
                    actions.extend(self.pay_job(conn, &mut job, now_ms).await?);
                    Ok(actions)
                } else {
                    self.reject(conn, &mut job, now_ms).await
                }
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Starts a check of a worker, if a job is at hand whose result is known and whose data is here.
    pub(super) async fn spot_check(
        &self,
        conn: &mut SqliteConnection,
        person: Person,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let since_ms = now_ms.saturating_sub(self.config.keep_ms);
        let known = store::orders::known_results(conn, since_ms).await?;
        let Some(id) = known.get(usize::from(self.draw()[0]) % known.len().max(1)).copied() else {
            return Ok(Vec::new());
        };
        let order = self.order(conn, &id).await?;
        let known =
            order.spec.program.is_deterministic() && order.spec.target != Target::Persons(vec![person]);
        if !known {
            return Ok(Vec::new());
        }
        let Ok(mut spec) = self.spec_for(conn, &order, now_ms).await? else { return Ok(Vec::new()) };
        if !spec.blobs().all(|blob| self.blobs.has(&blob.hash)) {
            return Ok(Vec::new());
        }
        spec.sealed = true;
        spec.deadline_ms = None;
        spec.price_limit = spec.price_ceiling();
        let mut job = Job::new(spec.sign(&self.key)?, Role::Submitter, person, Phase::Offered, now_ms);
        job.order = Some(id);
        job.spot = true;
        store::insert(conn, &job).await?;
        let amount = job.spec().price_limit;
        Ok(vec![
            Action::LockEscrow { job: job.id(), from: self.me, amount },
            Self::send(&job, JobMessage::Offer(job.signed.clone())),
        ])
    }
}

/// What decides of an attempt.
fn attempt(job: &Job) -> Attempt {
    let step = match job.phase {
        Phase::Offered => Step::Offered,
        Phase::Fetching | Phase::Ready => Step::Waiting,
        Phase::Running => Step::Running,
        Phase::Committed => Step::Committed,
        Phase::Delivering => Step::Delivering,
        Phase::Held => Step::Held,
        Phase::Completed => Step::Done,
        Phase::Preempted => Step::Preempted,
        Phase::Cancelled => Step::Cancelled,
        Phase::Failed if job.fault.is_none() && job.note.starts_with("declined: ") => Step::Declined,
        Phase::Failed => Step::Failed,
    };
    let known = matches!(step, Step::Held | Step::Done);
    let code = job.receipt.as_ref().map_or(0, |receipt| receipt.receipt.exit_code);
    Attempt {
        job: job.id(),
        peer: (job.role != Role::Local).then_some(job.peer),
        step,
        stage: job.stage,
        sealed: job.spec().sealed,
        revealed: job.revealed,
        result: job.outputs.as_ref().filter(|_| known).map(|outputs| outputs.result_hash(code)),
        fault: job.fault,
        created_ms: job.created_ms,
        heard_ms: job.heard_ms,
        since_ms: job.since_ms,
        ended_ms: job.finished_ms.unwrap_or(0),
    }
}

fn complete(order: &mut Order, job: &Job) {
    let code = job.receipt.as_ref().map_or(0, |receipt| receipt.receipt.exit_code);
    order.result = job.outputs.clone().map(|outputs| (outputs, code));
    order.winner = Some(job.id());
    order.started_ms = order.started_ms.or(job.started_ms);
}

/// An order under way shows what its furthest attempt does.
fn show(order: &mut Order, jobs: &[Job], waits_for: Option<String>) {
    if matches!(order.state, State::Blocked | State::Array) {
        return;
    }
    let furthest =
        jobs.iter().filter(|job| !job.phase.is_final()).max_by_key(|job| (job.phase, job.permille));
    let begun = order.checkpoint.is_some();
    match furthest {
        Some(job) => {
            order.state = match job.phase {
                Phase::Offered if begun => State::Checkpointed,
                Phase::Offered => State::Pending,
                Phase::Fetching | Phase::Ready if begun || job.stage == Stage::Paused => State::Checkpointed,
                Phase::Fetching | Phase::Ready => State::Scheduled,
                Phase::Running if job.stage == Stage::Paused => State::Checkpointed,
                _ => State::Running,
            };
            order.note = job.note.clone();
            order.permille = job.permille.or(order.permille);
            order.started_ms = order.started_ms.or(job.started_ms);
        }
        None => {
            order.state = if begun { State::Checkpointed } else { State::Pending };
            if let Some(note) = waits_for {
                order.note = short(&note);
            } else if let Some(last) = jobs.last().filter(|job| job.phase.is_final()) {
                order.note = short(&format!("{}; tries again", last.note));
            }
        }
    }
}
