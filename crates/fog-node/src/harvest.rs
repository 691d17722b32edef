//! The harvester: reads the sensors, asks the policy, and opens or closes the gate for jobs.

use crate::config::NodeConfig;
use crate::core::Core;
use crate::error::{NodeError, Result, bad_input, database, internal};
use crate::store;
use crate::time::now_ms;
use crate::work::Work;
use fog_api::{EventBody, HarvestPrefs, HarvestState, HarvestView, Sensors};
use fog_harvest::{Decision, HostSensors, Input, Memory, Prefs, Readings, State, SystemSensors, decide};
use parking_lot::{Mutex, RwLock};
use sqlx::SqlitePool;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

const KEY: &str = "harvest";
/// Loads kept for the sparkline.
const HISTORY: usize = 120;
/// However long the policy would wait, the page wants fresh readings.
const LOOK_AT_LEAST: Duration = Duration::from_secs(5);
/// While a job runs, the owner's return must be noticed within a second.
const LOOK_WHILE_WORKING: Duration = Duration::from_millis(500);

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
    decision: Option<Decision>,
    prefs: HarvestPrefs,
    work_now: bool,
    history: VecDeque<f64>,
}

/// The harvester's state.
pub(crate) struct Harvest {
    look: Notify,
    now: RwLock<Now>,
    sensors: Mutex<Option<SystemSensors>>,
    sysfs: PathBuf,
    memory: Mutex<Memory>,
}

impl Harvest {
    pub(crate) async fn new(config: &NodeConfig, pool: &SqlitePool) -> std::result::Result<Self, NodeError> {
        let stored = store::meta(&mut *pool.acquire().await?, KEY).await?;
        let prefs = match stored {
            Some(text) => serde_json::from_str(&text).map_err(internal)?,
            None => HarvestPrefs::default(),
        };
        let now = Now {
            readings: Readings::default(),
            decision: None,
            prefs,
            work_now: false,
            history: VecDeque::new(),
        };
        Ok(Self {
            look: Notify::new(),
            now: RwLock::new(now),
            sensors: Mutex::default(),
            sysfs: config.sysfs.clone(),
            memory: Mutex::default(),
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
        let time = now_ms();
        let readings = self
            .sensors
            .lock()
            .get_or_insert_with(|| SystemSensors::new(self.sysfs.clone()))
            .read(crate::time::seconds(time));
        let (prefs, work_now) = {
            let now = self.now.read();
            (policy_prefs(&now.prefs), now.work_now)
        };
        let mut memory = self.memory.lock();
        let input =
            Input { readings: &readings, prefs: &prefs, work_now, working, now_ms: time.unsigned_abs() };
        let (decision, next) = decide(&input, *memory);
        *memory = next;
        let mut now = self.now.write();
        if let Some(load) = readings.cpu_load {
            if now.history.len() >= HISTORY {
                now.history.pop_front();
            }
            now.history.push_back(load);
        }
        now.readings = readings;
        now.decision = Some(decision.clone());
        decision
    }

    pub(crate) fn view(&self, running: usize) -> HarvestView {
        let now = self.now.read();
        let decision = now.decision.as_ref();
        let state = decision.map_or(HarvestState::Idle, |d| match d.state {
            State::Idle if running > 0 => HarvestState::Harvesting,
            State::Idle => HarvestState::Idle,
            State::Harvesting => HarvestState::Harvesting,
            State::ChargingLow => HarvestState::ChargingLow,
            State::ThermalThrottle => HarvestState::ThermalThrottle,
            State::UserActive => HarvestState::UserActive,
            State::NetworkMetered => HarvestState::NetworkMetered,
            State::Disabled => HarvestState::Disabled,
        });
        let r = &now.readings;
        HarvestView {
            state,
            reason: decision.map_or_else(|| "Reading the sensors.".into(), |d| sentence(&d.reason)),
            allowed: decision.is_some_and(|d| d.allowed),
            cpu_share: decision.map_or(0.0, |d| d.cpu_share),
            override_on: now.work_now,
            sensors: Sensors {
                time: r.time,
                plugged_in: r.plugged_in,
                has_battery: r.has_battery,
                battery: r.battery,
                battery_celsius: r.battery_celsius,
                cpu_celsius: r.cpu_celsius,
                cpu_load: r.cpu_load,
                memory_used: r.memory_used,
                memory_total: r.memory_total,
                cpus: r.cpus,
                user_idle: r.user_idle,
                user_idle_source: r.user_idle_source.clone(),
            },
            prefs: now.prefs.clone(),
            load_history: now.history.iter().copied().collect(),
        }
    }
}

/// The policy's words as a sentence.
fn sentence(reason: &str) -> String {
    let mut chars = reason.chars();
    let first: String = chars.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", chars.as_str().trim_end_matches('.'))
}

fn policy_prefs(prefs: &HarvestPrefs) -> Prefs {
    Prefs {
        enabled: prefs.enabled,
        on_battery: prefs.on_battery,
        alongside: prefs.alongside,
        idle_minutes: prefs.idle_minutes,
        cpu_percent: prefs.cpu_percent,
        memory_percent: prefs.memory_percent,
    }
}

/// Looks until the node ends.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        let running = core.compute.running();
        let reader = core.clone();
        // A defect in a driver's file must not end the harvester: then the gate stays as it was, and is tried again.
        let decision = tokio::task::spawn_blocking(move || reader.harvest.read(running > 0)).await;
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
                core.bus.emit(EventBody::Harvest(core.harvest.view(core.compute.running())));
            }
            Err(e) => tracing::error!("the sensors cannot be read: {e}"),
        }
        if core.compute.running() > 0 {
            wait = LOOK_WHILE_WORKING;
        }
        tokio::select! {
            () = core.cancel.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            () = core.harvest.look.notified() => {}
        }
    }
}

/// Reads and decides now, so that the answer shows what the change did.
async fn look_now(core: &Arc<Core>) -> Result<HarvestView> {
    let reader = core.clone();
    let running = core.compute.running();
    tokio::task::spawn_blocking(move || reader.harvest.read(running > 0)).await.map_err(internal)?;
    core.harvest.look();
    Ok(core.harvest.view(running))
}

pub(crate) async fn set(core: &Arc<Core>, prefs: HarvestPrefs) -> Result<HarvestView> {
    if !(1..=100).contains(&prefs.cpu_percent) || !(1..=100).contains(&prefs.memory_percent) {
        return Err(bad_input("The caps are 1 to 100 percent."));
    }
    if prefs.idle_minutes > 24 * 60 {
        return Err(bad_input("The idle time is at most a day (1440 minutes)."));
    }
    let mut work = Work::begin(core).await?;
    let text = serde_json::to_string(&prefs).map_err(internal)?;
    store::set_meta(work.conn(), KEY, &text).await.map_err(database)?;
    work.commit().await?;
    core.harvest.now.write().prefs = prefs;
    look_now(core).await
}

/// "Work now" holds until it is switched off or the node ends: it is the owner's word for this sitting.
pub(crate) async fn work_now(core: &Arc<Core>, on: bool) -> Result<HarvestView> {
    core.harvest.now.write().work_now = on;
    look_now(core).await
}
