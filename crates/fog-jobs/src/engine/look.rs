//! What can start now: attempts of orders that are due, and runs of jobs whose data is here.

use super::{Action, Engine, Offer, Peer, Result, Room};
use crate::message::{Availability, JobMessage};
use crate::orders::{Candidate, Order, State, Target};
use crate::price::price_ceiling;
use crate::spec::{JobId, Person, Program};
use crate::store::{self, Job, Phase, Role};
use crate::trust::Reputation;
use sqlx::sqlite::SqliteConnection;
use std::collections::{HashMap, HashSet};

/// Orders that are looked at in one transaction.
const BATCH: u32 = 256;

/// What is known while looking.
pub(super) struct Context {
    peers: Vec<Peer>,
    offers: HashMap<Person, Offer>,
    asked: HashMap<Person, u64>,
    reputations: HashMap<Person, Reputation>,
    in_flight: HashMap<Person, u32>,
    funds: Option<u128>,
    local: usize,
    ask: HashSet<Person>,
    placed: Vec<(Person, bool)>,
}

impl Context {
    /// An attempt was placed.
    pub(super) fn placed(&mut self, job: &Job) {
        if job.role == Role::Local {
            self.local = self.local.saturating_sub(1);
            return;
        }
        *self.in_flight.entry(job.peer).or_default() += 1;
        if let Some(funds) = &mut self.funds {
            *funds = funds.saturating_sub(job.spec().price_limit);
        }
        self.placed.push((job.peer, job.spec().sealed));
    }
}

impl Engine {
    /// Starts what can start: places attempts of orders that are due, and runs jobs whose data is here. Cheap if there is
    /// nothing to do.
    ///
    /// # Errors
    /// [`super::EngineError`]; call again then.
    pub async fn look(&self, conn: &mut SqliteConnection, now_ms: u64, room: &Room) -> Result<Vec<Action>> {
        let mut actions = self.place(conn, now_ms, room).await?;
        let ready = store::ready(conn).await?;
        let mut local = room.local_slots;
        let mut memory = room.memory;
        let mut others = if room.allowed { room.slots } else { 0 };
        for job in ready.iter().filter(|job| job.local) {
            if local == 0 {
                break;
            }
            if let Some(job) = self.still_ready(conn, &job.id).await? {
                local -= 1;
                actions.extend(self.start(conn, job, now_ms).await?);
            }
        }
        // Whoever has the fewest running is next; among equals, who has waited longest for a turn. So one person's
        // hundred jobs do not keep another's one waiting.
        let mut waiting: Vec<_> = ready.into_iter().filter(|job| !job.local).collect();
        if others > 0 && !waiting.is_empty() {
            let mut people = store::served_people(conn).await?;
            while others > 0 && !waiting.is_empty() {
                let turn = |job: &store::Waiting| people.get(&job.peer).copied().unwrap_or((0, 0));
                let Some(next) = (0..waiting.len()).min_by_key(|i| (turn(&waiting[*i]), *i)) else { break };
                let job = waiting.remove(next);
                let Some(found) = self.still_ready(conn, &job.id).await? else { continue };
                let wanted = found.spec().limits.memory_bytes;
                if wanted > memory {
                    continue;
                }
                memory -= wanted;
                let turn = people.entry(job.peer).or_default();
                *turn = (turn.0 + 1, i64::try_from(now_ms).unwrap_or(i64::MAX));
                others -= 1;
                actions.extend(self.start(conn, found, now_ms).await?);
            }
        }
        Ok(actions)
    }

    /// A job of the list, unless the start of one before it has ended it.
    async fn still_ready(&self, conn: &mut SqliteConnection, id: &JobId) -> Result<Option<Job>> {
        Ok(store::get(conn, id).await?.filter(|job| job.phase == Phase::Ready))
    }

    /// Places attempts of orders that are due.
    async fn place(&self, conn: &mut SqliteConnection, now_ms: u64, room: &Room) -> Result<Vec<Action>> {
        let limit = u32::try_from(room.local_slots).unwrap_or(BATCH).min(BATCH);
        let mut due = store::orders::due(conn, true, now_ms, limit).await?;
        due.extend(store::orders::due(conn, false, now_ms, BATCH).await?);
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let mut context = {
            let memory = self.memory();
            Context {
                peers: memory.peers.clone(),
                offers: memory.offers.clone(),
                asked: memory.asked.clone(),
                reputations: HashMap::new(),
                in_flight: HashMap::new(),
                funds: room.funds,
                local: room.local_slots,
                ask: HashSet::new(),
                placed: Vec::new(),
            }
        };
        context.reputations = store::reputation::all(conn).await?;
        context.in_flight = store::in_flight(conn).await?;
        let mut actions = Vec::new();
        for id in due {
            let Some(mut order) = store::orders::get(conn, &id).await? else { continue };
            if order.state == State::Array || order.state == State::Blocked {
                // Only a deadline brings it here.
                actions.extend(self.carry_on(conn, order, Some(Vec::new()), None, now_ms).await?);
                continue;
            }
            match self.candidates(&order, &mut context, now_ms) {
                Ok(candidates) => {
                    let looked =
                        self.carry_on(conn, order, Some(candidates), Some(&mut context), now_ms).await?;
                    actions.extend(looked);
                }
                Err(note) => {
                    order.due_ms = Some(now_ms + 1_000);
                    let changed = order.note != note;
                    order.note = note;
                    store::orders::update(conn, &order).await?;
                    if changed {
                        actions.push(Action::Ordered { order: id });
                    }
                }
            }
        }
        for (person, sealed) in std::mem::take(&mut context.placed) {
            let trusted = context.reputations.get(&person).is_some_and(Reputation::is_trusted);
            if trusted && !sealed && self.draw_share() < self.config.spot_check {
                actions.extend(self.spot_check(conn, person, now_ms).await?);
            }
        }
        let mut memory = self.memory();
        for person in context.ask {
            memory.asked.insert(person, now_ms);
            actions.push(Action::Send { to: person, message: JobMessage::Ask, privacy: 0 });
        }
        Ok(actions)
    }

    /// Who may run it, the best first. An error is what it waits for.
    fn candidates(
        &self,
        order: &Order,
        context: &mut Context,
        now_ms: u64,
    ) -> std::result::Result<Vec<Candidate>, String> {
        if order.state.is_final() {
            return Ok(Vec::new());
        }
        let persons = match &order.spec.target {
            Target::Here => {
                let free = context.local > 0;
                return Ok(if free {
                    vec![Candidate { peer: None, ready: true, check: 0.0 }]
                } else {
                    vec![]
                });
            }
            Target::Persons(persons) => Some(persons),
            Target::Anyone => None,
        };
        let done_ms = order.checkpoint.as_ref().map_or(0, |c| c.wall_ms);
        let ceiling = price_ceiling(&order.spec.limits, order.spec.class, done_ms);
        let needed = order.spec.price_limit.unwrap_or(ceiling).max(ceiling);
        if context.funds.is_some_and(|funds| funds < needed) {
            return Err(format!("waits for money: a run may cost {} FOG", super::offer::fog(needed)));
        }
        let mut full = false;
        let mut asking = false;
        let mut found: Vec<(bool, f64, Candidate)> = Vec::new();
        for peer in context.peers.clone() {
            let named = persons.is_some_and(|persons| persons.contains(&peer.person));
            if !named && (persons.is_some() || !peer.online) {
                continue;
            }
            if peer.privacy < order.spec.privacy {
                continue;
            }
            let offer = context.offers.get(&peer.person);
            let offer = offer.filter(|o| now_ms.saturating_sub(o.at_ms) < self.config.offer_ms);
            let stale = offer.is_none_or(|o| now_ms.saturating_sub(o.at_ms) > self.config.offer_ms / 3);
            let asked = context.asked.get(&peer.person).copied();
            if stale && peer.online && asked.is_none_or(|at| now_ms.saturating_sub(at) > self.config.ask_ms) {
                context.ask.insert(peer.person);
            }
            let flying = context.in_flight.get(&peer.person).copied().unwrap_or(0);
            if flying >= self.config.in_flight {
                full = true;
                continue;
            }
            let ready = match offer {
                Some(offer) => {
                    let a = &offer.availability;
                    if !fits(a, order) {
                        continue;
                    }
                    peer.online && a.allowed && (a.waiting < a.slots || flying < a.slots)
                }
                None => {
                    let silent = asked.is_some_and(|at| now_ms.saturating_sub(at) > self.config.ask_ms);
                    if persons.is_none_or(|persons| persons.len() > 1) && peer.online && !silent {
                        // It will say in a moment.
                        asking = true;
                        continue;
                    }
                    peer.online
                }
            };
            let reputation = context.reputations.get(&peer.person).copied().unwrap_or_default();
            let load = f64::from(flying) + offer.map_or(0.0, |o| f64::from(o.availability.waiting));
            let score = reputation.sample(self.draw_normal()) - 0.05 * load;
            let candidate =
                Candidate { peer: Some(peer.person), ready, check: reputation.check_probability() };
            found.push((ready, score, candidate));
        }
        let several = order.spec.class == crate::spec::Class::S;
        if asking && (found.iter().all(|(ready, ..)| !ready) || several) {
            return Err("asks who can take it".into());
        }
        if found.is_empty() && full {
            return Err("waits for the jobs before it".into());
        }
        found.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)));
        Ok(found.into_iter().map(|(_, _, candidate)| candidate).collect())
    }

    /// From the standard normal distribution, by Box and Muller.
    fn draw_normal(&self) -> f64 {
        let (a, b) = (1.0 - self.draw_share(), self.draw_share());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }

    /// Somebody says what they offer. Only possible workers are listened to.
    pub(super) fn on_offers(&self, from: Person, availability: Availability, now_ms: u64) -> Vec<Action> {
        let mut memory = self.memory();
        if !memory.peers.iter().any(|peer| peer.person == from) {
            return Vec::new();
        }
        memory.asked.remove(&from);
        memory.offers.insert(from, Offer { availability, at_ms: now_ms });
        vec![Action::Worker { person: from }]
    }

    /// Asks those contacts what they offer who have not said so lately.
    pub fn ask_all(&self, now_ms: u64) -> Vec<Action> {
        let mut memory = self.memory();
        let stale = |memory: &super::Memory, person: &Person| {
            let said = memory.offers.get(person).map(|offer| offer.at_ms);
            let asked = memory.asked.get(person).copied();
            said.max(asked).is_none_or(|at| now_ms.saturating_sub(at) > self.config.offer_ms / 3)
        };
        let persons: Vec<_> = memory.peers.iter().filter(|p| p.online).map(|p| p.person).collect();
        let mut actions = Vec::new();
        for person in persons {
            if stale(&memory, &person) {
                memory.asked.insert(person, now_ms);
                actions.push(Action::Send { to: person, message: JobMessage::Ask, privacy: 0 });
            }
        }
        actions
    }

    /// What this device offers to somebody.
    ///
    /// # Errors
    /// [`super::EngineError::Store`].
    pub async fn availability(
        &self,
        conn: &mut SqliteConnection,
        person: &Person,
        room: &Room,
        slots: u32,
        takes: bool,
    ) -> Result<Availability> {
        let caps = self.caps();
        let (theirs, all) = store::open_counts(conn, person).await?;
        Ok(Availability {
            takes,
            allowed: room.allowed,
            reason: super::short(&room.reason),
            wasm: caps.wasm,
            container: caps.container,
            network: caps.network,
            slots,
            waiting: all,
            room: caps.jobs_per_peer.saturating_sub(theirs).min(caps.jobs.saturating_sub(all)),
            limits: caps.limits,
        })
    }
}

/// True if the order is within what is offered.
fn fits(offer: &Availability, order: &Order) -> bool {
    let has = match order.spec.program {
        Program::Wasm { .. } => offer.wasm,
        Program::Container { .. } => offer.container,
    };
    let limits = &order.spec.limits;
    offer.takes
        && has
        && offer.room > 0
        && (!order.spec.network || offer.network)
        && limits.min(&offer.limits) == *limits
}
