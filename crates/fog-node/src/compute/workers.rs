//! Who can run jobs, and what this device offers.

use super::incoming::may_send_jobs;
use super::perform::{level_number, perform, send};
use super::{MIB, engine_error, runs, seconds};
use crate::contacts::{self, Stored};
use crate::core::Core;
use crate::error::Result;
use crate::identity::hex;
use crate::records;
use crate::time::now_ms;
use crate::work::Work;
use fog_api::{ContactState, JobLimits, ReputationView, WorkerOffer, WorkerView};
use fog_jobs::engine::{Offer, Peer};
use fog_jobs::trust::Reputation;
use fog_jobs::{Availability, JobMessage, Limits};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A contact counts as reachable this long after the last sign of life.
const ONLINE_MS: i64 = 300_000;
/// Somebody is told what this device offers at most this often.
const ANSWER_EVERY: Duration = Duration::from_secs(5);

fn online(contact: &Stored) -> bool {
    contact.last_seen_ms.is_some_and(|t| now_ms() - t <= ONLINE_MS)
}

/// Contacts that may run my jobs.
pub(super) async fn possible(work: &mut Work) -> Result<Vec<Stored>> {
    let mut found = Vec::new();
    for contact in contacts::all(work.conn()).await? {
        if contact.state == ContactState::Accepted && records::shares_ledger(work, &contact).await? {
            found.push(contact);
        }
    }
    Ok(found)
}

/// Tells the engine who may run jobs.
pub(super) async fn refresh(work: &mut Work) -> Result<()> {
    let contacts = possible(work).await?;
    let peer = |c: &Stored| Peer { person: c.id, online: online(c), privacy: level_number(c.level()) };
    work.core.compute.engine.set_peers(contacts.iter().map(peer).collect());
    Ok(())
}

/// Somebody asks what this device offers.
pub(super) async fn answer(work: &mut Work, by: [u8; 32]) -> Result<()> {
    let core = work.core.clone();
    {
        let mut answered = core.compute.answered.lock();
        answered.retain(|_, at| at.elapsed() < ANSWER_EVERY);
        if answered.contains_key(&by) {
            return Ok(());
        }
        answered.insert(by, Instant::now());
    }
    let Some(contact) = contacts::by_id(work.conn(), &by).await? else { return Ok(()) };
    let takes = may_send_jobs(&core, &contact);
    let room = runs::room(&core, None);
    let slots = runs::slots(&core);
    let engine = &core.compute.engine;
    let offer = engine.availability(work.conn(), &by, &room, slots, takes).await.map_err(engine_error)?;
    send(work, by, &JobMessage::Offers(offer), 0).await
}

pub(super) fn limits(limits: &Limits) -> JobLimits {
    let mib = |bytes: u64| u32::try_from(bytes / MIB).unwrap_or(u32::MAX);
    JobLimits {
        seconds: limits.seconds,
        memory_mib: mib(limits.memory_bytes),
        output_mib: mib(limits.output_bytes),
        millicores: limits.millicores,
        storage_mib: mib(limits.storage_bytes),
        pids: limits.pids,
    }
}

fn offer_view(a: &Availability) -> WorkerOffer {
    let runtimes = [(a.wasm, "wasm"), (a.container, "container")];
    WorkerOffer {
        takes: a.takes,
        allowed: a.allowed,
        reason: a.reason.clone(),
        runtimes: runtimes.iter().filter(|(has, _)| *has).map(|(_, name)| (*name).into()).collect(),
        slots: a.slots,
        waiting: a.waiting,
        network: a.network,
        limits: limits(&a.limits),
    }
}

fn reputation_view(reputation: &Reputation) -> ReputationView {
    ReputationView {
        score: reputation.score(),
        samples: reputation.samples,
        tier: reputation.tier().into(),
        valid_in_row: reputation.valid_in_row,
        trusted: reputation.is_trusted(),
    }
}

fn view(contact: &Stored, offer: Option<&Offer>, reputation: &Reputation) -> WorkerView {
    WorkerView {
        peer: Some(hex(&contact.id)),
        name: contact.name.clone(),
        online: online(contact),
        offer: offer.map(|offer| offer_view(&offer.availability)),
        offered: offer.map(|offer| seconds(offer.at_ms)),
        reputation: reputation_view(reputation),
    }
}

/// A possible worker as the page shows it.
pub(super) async fn one(
    conn: &mut sqlx::SqliteConnection,
    core: &Core,
    person: &[u8; 32],
) -> Result<Option<WorkerView>> {
    let Some(contact) = contacts::by_id(conn, person).await? else { return Ok(None) };
    let engine = &core.compute.engine;
    let reputation = engine.reputation(conn, person).await.map_err(engine_error)?;
    Ok(Some(view(&contact, engine.offer_of(person).as_ref(), &reputation)))
}

/// This device and all contacts who could run jobs. Asks those who have not said for a while what they offer.
pub(crate) async fn list(core: &Arc<Core>) -> Result<Vec<WorkerView>> {
    let mut work = Work::begin(core).await?;
    refresh(&mut work).await?;
    let engine = &core.compute.engine;
    let room = runs::room(core, None);
    let slots = runs::slots(core);
    let own = engine.availability(work.conn(), &core.id, &room, slots, true).await.map_err(engine_error)?;
    let own = Availability { allowed: true, reason: "your own jobs run at once".into(), ..own };
    let mut views = vec![WorkerView {
        peer: None,
        name: core.settings.read().name.clone(),
        online: true,
        offer: Some(offer_view(&own)),
        offered: Some(seconds(work.now())),
        reputation: reputation_view(&Reputation::default()),
    }];
    for contact in possible(&mut work).await? {
        let reputation = engine.reputation(work.conn(), &contact.id).await.map_err(engine_error)?;
        views.push(view(&contact, engine.offer_of(&contact.id).as_ref(), &reputation));
    }
    let ask = engine.ask_all(work.now());
    perform(&mut work, ask).await?;
    work.forget_jobs();
    work.commit().await?;
    Ok(views)
}
