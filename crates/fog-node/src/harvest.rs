//! The harvester: reads the sensors, asks the policy, and opens or closes the gate for jobs.

use crate::config::NodeConfig;
use crate::core::Core;
use crate::error::{NodeError, Result, bad_input, database, internal};
use crate::store;
use crate::work::Work;
use fog_api::{EventBody, HarvestPrefs, HarvestState, HarvestView, Sensors};
use parking_lot::RwLock;
use sqlx::SqlitePool;
use std::sync::Arc;
use tokio::sync::Notify;

/// What jobs may do now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gate {
    pub(crate) allowed: bool,
    /// Of the machine's CPU, 0 to 1.
    pub(crate) cpu_share: f64,
    pub(crate) cpus: u32,
}

pub(crate) struct Harvest {
    look: Notify,
    gate: RwLock<Gate>,
}

impl Harvest {
    pub(crate) async fn new(
        _config: &NodeConfig,
        _pool: &SqlitePool,
    ) -> std::result::Result<Self, NodeError> {
        Ok(Self { look: Notify::new(), gate: RwLock::default() })
    }
    pub(crate) fn gate(&self) -> Gate {
        *self.gate.read()
    }
    pub(crate) fn look(&self) {
        self.look.notify_one();
    }
    pub(crate) fn own_memory(&self) -> u64 {
        0
    }
    pub(crate) fn view(&self, _running: usize) -> HarvestView {
        HarvestView {
            state: HarvestState::Disabled,
            reason: String::new(),
            allowed: false,
            cpu_share: 0.0,
            override_on: false,
            sensors: Sensors::default(),
            prefs: HarvestPrefs::default(),
            load_history: vec![],
        }
    }
}
pub(crate) async fn run(_core: Arc<Core>) {}
pub(crate) async fn set(core: &Arc<Core>, _prefs: HarvestPrefs) -> Result<HarvestView> {
    Ok(core.harvest.view(0))
}
pub(crate) async fn work_now(core: &Arc<Core>, _on: bool) -> Result<HarvestView> {
    Ok(core.harvest.view(0))
}
