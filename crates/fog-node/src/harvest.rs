//! The harvester: reads the sensors, asks the policy, and opens or closes the gate for jobs.
//!
//! ```text
//!   sensors ──▶ read ──▶ decide ──▶ Gate ──▶ jobs' share of the processor
//!      │ wake      │        ▲
//!      └──▶ run ───┘   preferences, pause, "work now"
//!            │
//!            └──▶ meter (hours and watt-hours of each day) ──▶ database, once a minute
//! ```

mod clock;
mod prefs;
mod view;

use crate::config::NodeConfig;
use crate::core::Core;
use crate::error::{NodeError, Result, bad_input, database, internal};
use crate::store;
use crate::time::now_ms;
use crate::work::Work;
use fog_api::{ApiError, ErrorKind, EventBody, HarvestMode, HarvestPrefs, HarvestView};
use fog_harvest::sensors::Roots;
use fog_harvest::{
    Ask, Decision, HostSensors, Input, Memory, Meter, Readings, Sample, SystemSensors, decide,
};
use fog_tokenomics::ledger;
use parking_lot::{Mutex, RwLock};
use sqlx::SqlitePool;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

const KEY: &str = "harvest";
const PAUSE_KEY: &str = "harvest_paused_until_ms";
const METER_KEY: &str = "harvest_days";
/// Loads kept for the sparkline.
const HISTORY: usize = 120;
/// However long the policy would wait, the page wants fresh readings.
const LOOK_AT_LEAST: Duration = Duration::from_secs(5);
/// While a job runs, the owner's return must be noticed within a second.
const LOOK_WHILE_WORKING: Duration = Duration::from_millis(500);
/// Sensors that take longer hang, and nobody knows any more how the device fares.
const STUCK: Duration = Duration::from_secs(5);
/// The day's sums are stored this often while they grow, and that often at least.
const STORE_EVERY: Duration = Duration::from_secs(60);
const STORE_AT_LEAST: Duration = Duration::from_secs(15 * 60);
/// A pause lasts at most 30 days.
const MAX_PAUSE: u32 = 30 * 24 * 3600;

/// What jobs may do now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gate {
    pub(crate) allowed: bool,
    /// Of the machine's CPU, 0 to 1.
    pub(crate) cpu_share: f64,
    pub(crate) cpus: u32,
}

struct Now {
    readings: Readings,
    /// None before the first reading, and while the sensors hang.
    decision: Option<Decision>,
    /// Why there is no decision.
    silent: &'static str,
    prefs: HarvestPrefs,
    work_now: bool,
    paused_until_ms: Option<i64>,
    history: VecDeque<f64>,
    history_at: Option<Instant>,
    meter: Meter,
    /// What was earned on each local day.
    earned: BTreeMap<i32, u128>,
}

impl Now {
    fn earned(&self, day: i32) -> u128 {
        self.earned.get(&day).copied().unwrap_or(0)
    }
}

/// The harvester's state.
pub(crate) struct Harvest {
    look: Arc<Notify>,
    now: RwLock<Now>,
    sensors: Mutex<Option<SystemSensors>>,
    sysfs: PathBuf,
    memory: Mutex<Memory>,
    started: Instant,
}

impl Harvest {
    pub(crate) async fn new(config: &NodeConfig, pool: &SqlitePool) -> std::result::Result<Self, NodeError> {
        let mut conn = pool.acquire().await?;
        let prefs = match store::meta(&mut conn, KEY).await? {
            Some(text) => serde_json::from_str(&text).map_err(internal)?,
            None => HarvestPrefs::default(),
        };
        let paused = store::meta(&mut conn, PAUSE_KEY).await?.and_then(|text| text.parse().ok());
        // Statistics that cannot be read are not worth a node that does not start.
        let meter =
            store::meta(&mut conn, METER_KEY).await?.and_then(|text| serde_json::from_str(&text).ok());
        let now = Now {
            readings: Readings::default(),
            decision: None,
            silent: "Reading the sensors.",
            prefs,
            work_now: false,
            paused_until_ms: paused,
            history: VecDeque::new(),
            history_at: None,
            meter: meter.unwrap_or_default(),
            earned: BTreeMap::new(),
        };
        Ok(Self {
            look: Arc::new(Notify::new()),
            now: RwLock::new(now),
            sensors: Mutex::default(),
            sysfs: config.sysfs.clone(),
            memory: Mutex::default(),
            started: Instant::now(),
        })
    }

    /// What jobs may do now. Shut until the sensors were read for the first time.
    pub(crate) fn gate(&self) -> Gate {
        let now = self.now.read();
        now.decision.as_ref().map_or_else(Gate::default, |d| Gate {
            allowed: d.allowed,
            cpu_share: d.cpu_share,
            cpus: now.readings.cpus.max(1),
        })
    }

    /// Why jobs may work or not, in plain words.
    pub(crate) fn reason(&self) -> String {
        let now = self.now.read();
        now.decision.as_ref().map_or_else(|| "the device is being looked at".into(), |d| d.reason.clone())
    }

    /// Look again now.
    pub(crate) fn look(&self) {
        self.look.notify_one();
    }

    /// Reads the sensors and decides. Blocking: files and perhaps the display server.
    fn read(&self, working: bool) -> Decision {
        let mut sensors = self.sensors.lock();
        let sensors = sensors.get_or_insert_with(|| {
            let look = Arc::clone(&self.look);
            SystemSensors::with_roots(
                Roots::system(self.sysfs.clone()),
                Some(Arc::new(move || look.notify_one())),
            )
        });
        let programs = self.now.read().prefs.exclusive.clone();
        let time = now_ms();
        let ask = Ask {
            now: crate::time::seconds(time),
            programs: &programs,
            working,
            outside: fog_jobs::container::cpu_used(),
        };
        let readings = sensors.read(&ask);
        let (prefs, power, work_now, paused) = {
            let now = self.now.read();
            let left = now.paused_until_ms.map(|until| until.saturating_sub(time)).filter(|left| *left > 0);
            let paused = left.map(|ms| Duration::from_millis(ms.unsigned_abs()));
            (prefs::policy(&now.prefs), prefs::power(&now.prefs, &readings), now.work_now, paused)
        };
        let local = clock::local(time);
        // The wall clock may be set back; rests and waits are counted by one that goes on.
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut memory = self.memory.lock();
        let input = Input { readings: &readings, prefs: &prefs, work_now, paused, working, local, now_ms };
        let (decision, next) = decide(&input, *memory);
        *memory = next;
        drop(memory);
        let mut now = self.now.write();
        if paused.is_none() {
            now.paused_until_ms = None;
        }
        now.meter.add(&Sample {
            now_ms,
            day: local.day,
            readings: &readings,
            model: power,
            open: decision.allowed,
            working: working && decision.allowed,
        });
        if let Some(load) = readings.cpu_load
            && now.history_at.is_none_or(|at| at.elapsed() >= LOOK_AT_LEAST - LOOK_WHILE_WORKING)
        {
            now.history_at = Some(Instant::now());
            if now.history.len() >= HISTORY {
                now.history.pop_front();
            }
            now.history.push_back(load);
        }
        now.readings = readings;
        now.decision = Some(decision.clone());
        decision
    }

    /// The sensors hang: nothing is allowed until they answer.
    fn stuck(&self) {
        let mut now = self.now.write();
        now.decision = None;
        now.silent = "The sensors of this device do not answer, so nothing works until they do.";
    }

    pub(crate) fn view(&self, running: usize) -> HarvestView {
        view::view(&self.now.read(), running)
    }
}

/// What must be written down now and then.
struct Ledger {
    at: Instant,
    worked: f64,
    asked: Option<Instant>,
}

impl Ledger {
    /// Stores the day's sums when they have grown, and asks what was earned.
    async fn tend(&mut self, core: &Core) {
        let (meter, worked) = {
            let now = core.harvest.now.read();
            (now.meter.clone(), now.meter.days().last().map_or(0.0, |day| day.worked_seconds))
        };
        let age = self.at.elapsed();
        if (age >= STORE_EVERY && worked != self.worked) || age >= STORE_AT_LEAST {
            (self.at, self.worked) = (Instant::now(), worked);
            if let Err(e) = keep(core, &meter).await {
                tracing::warn!("the harvester's day cannot be stored: {e}");
            }
        }
        if self.asked.is_none_or(|at| at.elapsed() >= STORE_EVERY) {
            self.asked = Some(Instant::now());
            if let Err(e) = count_earned(core).await {
                tracing::warn!("the day's earnings cannot be read: {e}");
            }
        }
    }
}

async fn keep(core: &Core, meter: &Meter) -> Result<()> {
    let text = serde_json::to_string(meter).map_err(internal)?;
    let mut conn = core.pool.acquire().await.map_err(database)?;
    store::set_meta(&mut conn, METER_KEY, &text).await.map_err(database)
}

/// Reads from the ledger what each day of the meter brought in.
async fn count_earned(core: &Core) -> Result<()> {
    let today = clock::local(now_ms()).day;
    let mut days: Vec<i32> = core.harvest.now.read().meter.days().iter().map(|day| day.day).collect();
    if !days.contains(&today) {
        days.push(today);
    }
    // Days that are over do not change but for late settlements; the last two are enough once all are known.
    let known = core.harvest.now.read().earned.clone();
    let mut conn = core.pool.acquire().await.map_err(database)?;
    let since = |day: i32| clock::midnight(day).max(0).unsigned_abs();
    let mut sums = BTreeMap::new();
    days.retain(|day| *day >= today - 1 || !known.contains_key(day));
    for day in days {
        let from =
            ledger::earned_since(&mut conn, &core.id, since(day)).await.map_err(crate::records::api)?;
        let after =
            ledger::earned_since(&mut conn, &core.id, since(day + 1)).await.map_err(crate::records::api)?;
        sums.insert(day, from.saturating_sub(after));
    }
    let mut now = core.harvest.now.write();
    now.earned.extend(sums);
    let kept: Vec<i32> = now.meter.days().iter().map(|day| day.day).chain([today]).collect();
    now.earned.retain(|day, _| kept.contains(day));
    Ok(())
}

/// Looks until the node ends.
pub(crate) async fn run(core: Arc<Core>) {
    let mut ledger = Ledger { at: Instant::now(), worked: 0.0, asked: None };
    loop {
        let wait = look(&core).await;
        ledger.tend(&core).await;
        tokio::select! {
            () = core.cancel.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
            () = core.harvest.look.notified() => {}
        }
    }
    let meter = core.harvest.now.read().meter.clone();
    if let Err(e) = keep(&core, &meter).await {
        tracing::warn!("the harvester's day cannot be stored: {e}");
    }
}

/// Looks once, lets jobs do what follows, and says when to look again.
async fn look(core: &Arc<Core>) -> Duration {
    let running = core.compute.running();
    let reader = core.clone();
    let mut reading = tokio::task::spawn_blocking(move || reader.harvest.read(running > 0));
    let decision = match tokio::time::timeout(STUCK, &mut reading).await {
        Ok(decision) => decision,
        Err(_) => {
            tracing::error!("the sensors hang; jobs are paused until they answer");
            core.harvest.stuck();
            core.compute.set_share(0.0, 1);
            core.bus.emit(EventBody::Harvest(Box::new(core.harvest.view(running))));
            tokio::select! {
                () = core.cancel.cancelled() => return Duration::ZERO,
                decision = reading => decision,
            }
        }
    };
    let mut wait = LOOK_AT_LEAST;
    match decision {
        Ok(decision) => {
            let share = if decision.allowed { decision.cpu_share } else { 0.0 };
            if decision.allowed {
                core.compute.set_memory(decision.memory_bytes);
            }
            core.compute.set_share(share, core.harvest.gate().cpus);
            if decision.allowed {
                core.compute.look();
            }
            wait = wait.min(decision.look_again.max(LOOK_WHILE_WORKING));
            core.bus.emit(EventBody::Harvest(Box::new(core.harvest.view(core.compute.running()))));
        }
        // A defect in a driver's file must not end the harvester: then the gate stays as it was, and is tried again.
        Err(e) => tracing::error!("the sensors cannot be read: {e}"),
    }
    if core.compute.running() > 0 {
        wait = wait.min(LOOK_WHILE_WORKING);
    }
    wait
}

/// Reads and decides now, so that the answer shows what the change did.
async fn look_now(core: &Arc<Core>) -> Result<HarvestView> {
    let reader = core.clone();
    let running = core.compute.running();
    let reading = tokio::task::spawn_blocking(move || reader.harvest.read(running > 0));
    match tokio::time::timeout(STUCK, reading).await {
        Ok(decision) => drop(decision.map_err(internal)?),
        Err(_) => {
            let text = "The change is stored, but the sensors of this device do not answer.";
            return Err(ApiError::new(ErrorKind::Unavailable, text));
        }
    }
    core.harvest.look();
    Ok(core.harvest.view(running))
}

/// The harvester, with what was earned so far.
pub(crate) async fn get(core: &Core) -> Result<HarvestView> {
    count_earned(core).await?;
    Ok(core.harvest.view(core.compute.running()))
}

pub(crate) async fn set(core: &Arc<Core>, mut prefs: HarvestPrefs) -> Result<HarvestView> {
    prefs::check(&mut prefs)?;
    let mut work = Work::begin(core).await?;
    let text = serde_json::to_string(&prefs).map_err(internal)?;
    store::set_meta(work.conn(), KEY, &text).await.map_err(database)?;
    work.commit().await?;
    core.harvest.now.write().prefs = prefs;
    // What the owner allows now needs no grace time.
    {
        let mut memory = core.harvest.memory.lock();
        *memory = memory.forgive();
    }
    look_now(core).await
}

pub(crate) async fn set_mode(core: &Arc<Core>, mode: HarvestMode) -> Result<HarvestView> {
    let mut prefs = core.harvest.now.read().prefs.clone();
    prefs::apply(&mut prefs, mode);
    set(core, prefs).await
}

/// A pause survives a restart; it ends by itself.
pub(crate) async fn pause(core: &Arc<Core>, seconds: u32) -> Result<HarvestView> {
    if seconds > MAX_PAUSE {
        return Err(bad_input("A pause lasts at most 30 days; to lend no more, switch lending off."));
    }
    let until = (seconds > 0).then(|| now_ms() + i64::from(seconds) * 1000);
    let mut work = Work::begin(core).await?;
    let text = until.map_or_else(String::new, |until| until.to_string());
    store::set_meta(work.conn(), PAUSE_KEY, &text).await.map_err(database)?;
    work.commit().await?;
    core.harvest.now.write().paused_until_ms = until;
    look_now(core).await
}

/// "Work now" holds until it is switched off or the node ends: it is the owner's word for this sitting. It ends a pause.
pub(crate) async fn work_now(core: &Arc<Core>, on: bool) -> Result<HarvestView> {
    core.harvest.now.write().work_now = on;
    if on && core.harvest.now.read().paused_until_ms.is_some() {
        return pause(core, 0).await;
    }
    look_now(core).await
}
