//! The harvester: readings, decision, preferences.

use crate::Seconds;
use serde::{Deserialize, Serialize};

/// The harvester: what it senses, what it decides, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HarvestView {
    /// The state.
    pub state: HarvestState,
    /// Why, in plain words.
    pub reason: String,
    /// True if jobs may run now.
    pub allowed: bool,
    /// Share of the machine's CPU that jobs may use now, 0 to 1.
    pub cpu_share: f64,
    /// The owner said "work now".
    pub override_on: bool,
    /// The last readings.
    pub sensors: Sensors,
    /// When the device may work.
    pub prefs: HarvestPrefs,
    /// CPU load of the last minutes, 0 to 1, oldest first.
    pub load_history: Vec<f64>,
}

/// The readings. None means: this device does not say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sensors {
    /// When they were read.
    pub time: Seconds,
    /// Plugged in or charging. A machine without a battery counts as plugged in.
    pub plugged_in: Option<bool>,
    /// True if there is a battery.
    pub has_battery: bool,
    /// Charge, 0 to 1.
    pub battery: Option<f64>,
    /// Battery's temperature, °C.
    pub battery_celsius: Option<f64>,
    /// The hottest CPU sensor, °C.
    pub cpu_celsius: Option<f64>,
    /// CPU in use by everything, 0 to 1.
    pub cpu_load: Option<f64>,
    /// Memory in use, bytes.
    pub memory_used: u64,
    /// Memory in all, bytes.
    pub memory_total: u64,
    /// Logical processors.
    pub cpus: u32,
    /// Seconds since the owner's last input.
    pub user_idle: Option<Seconds>,
    /// Where the idle time comes from.
    pub user_idle_source: String,
}

/// When this device may work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HarvestPrefs {
    /// Lend this device at all.
    pub enabled: bool,
    /// Also on battery (at 50 % or more).
    pub on_battery: bool,
    /// Also while the owner is active.
    pub alongside: bool,
    /// Minutes without input before work starts.
    pub idle_minutes: u32,
    /// CPU cap, percent.
    pub cpu_percent: u32,
    /// Memory cap, percent.
    pub memory_percent: u32,
}

impl Default for HarvestPrefs {
    fn default() -> Self {
        Self {
            enabled: true,
            on_battery: false,
            alongside: false,
            idle_minutes: 5,
            cpu_percent: 50,
            memory_percent: 30,
        }
    }
}

/// The states of the harvester.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HarvestState {
    /// May work; no job is here.
    Idle,
    /// A job runs.
    Harvesting,
    /// Not enough power.
    ChargingLow,
    /// Too hot.
    ThermalThrottle,
    /// The owner is using the device.
    UserActive,
    /// The network is metered.
    NetworkMetered,
    /// Switched off by the owner.
    Disabled,
}
