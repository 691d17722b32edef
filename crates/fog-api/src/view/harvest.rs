//! The harvester: readings, decision, preferences.

use super::WeekHours;
use crate::{Amount, Seconds};
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
    /// The owner paused it until then.
    pub paused_until: Option<Seconds>,
    /// The mode that the preferences are; none if they are the owner's own.
    pub mode: Option<HarvestMode>,
    /// The last readings.
    pub sensors: Sensors,
    /// When the device may work.
    pub prefs: HarvestPrefs,
    /// CPU load of the last minutes, 0 to 1, oldest first.
    pub load_history: Vec<f64>,
    /// What today's lending came to, by the local calendar.
    pub today: HarvestDay,
    /// The days before, oldest first, those with any work; at most a month.
    pub days: Vec<HarvestDay>,
    /// The estimate of the device's power.
    pub power: PowerEstimate,
}

/// What one day's lending came to. Energy is an estimate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HarvestDay {
    /// The day, as `2026-11-27`.
    pub date: String,
    /// Time in which a job ran.
    pub worked_seconds: Seconds,
    /// Time in which jobs might have run.
    pub open_seconds: Seconds,
    /// CPU time of jobs, of one core.
    pub cpu_seconds: Seconds,
    /// How often work began.
    pub starts: u32,
    /// Energy that jobs added, watt-hours.
    pub jobs_wh: f64,
    /// Energy of the whole device while jobs ran, watt-hours.
    pub device_wh: f64,
    /// What the jobs' energy cost, in the owner's money; none without a price.
    pub cost: Option<f64>,
    /// What jobs earned.
    pub earned: Amount,
}

/// P = idle + busy × CPU utilisation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PowerEstimate {
    /// Watts with an idle processor.
    pub idle_watts: f64,
    /// Watts that a fully used processor adds.
    pub busy_watts: f64,
    /// True if the owner has said neither.
    pub guessed: bool,
}

/// Ready-made preferences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HarvestMode {
    /// Little, late, and quietly.
    Conservative,
    /// The defaults.
    Balanced,
    /// Much, soon, also on battery and while the owner works.
    Aggressive,
}

/// How hot the system says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThermalState {
    /// Cool.
    None,
    /// Warm.
    Light,
    /// It begins to slow things down.
    Moderate,
    /// It slows down what is noticed.
    Severe,
    /// It does all it can.
    Critical,
}

/// The readings. None means: this device does not say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
    /// The temperature at which that sensor's hardware protects itself, °C.
    pub cpu_trip_celsius: Option<f64>,
    /// What the system itself says of its heat.
    pub thermal: Option<ThermalState>,
    /// CPU in use by everything, 0 to 1.
    pub cpu_load: Option<f64>,
    /// The part of it that other programs than ours use, 0 to 1.
    pub others_load: Option<f64>,
    /// The part of it that jobs use, 0 to 1.
    pub jobs_load: Option<f64>,
    /// Memory in use, bytes.
    pub memory_used: u64,
    /// Memory in all, bytes.
    pub memory_total: u64,
    /// Percent of the last ten seconds in which everything waited for memory.
    pub memory_pressure: Option<f64>,
    /// Logical processors.
    pub cpus: u32,
    /// Seconds since the owner's last input.
    pub user_idle: Option<Seconds>,
    /// Where the idle time comes from.
    pub user_idle_source: String,
    /// True if the screen is locked.
    pub locked: Option<bool>,
    /// True if the screen is off.
    pub screen_off: Option<bool>,
    /// True if the network costs by volume.
    pub network_metered: Option<bool>,
    /// The exclusive program that runs.
    pub program: Option<String>,
}

/// When this device may work. What is left out has its default, so that preferences of an older version load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HarvestPrefs {
    /// Lend this device at all.
    pub enabled: bool,
    /// Also on battery.
    pub on_battery: bool,
    /// On battery, work starts at this charge or more, percent.
    pub battery_start: u32,
    /// On battery, work stops at this charge or less, percent; below the start.
    pub battery_stop: u32,
    /// Also while the owner is active.
    pub alongside: bool,
    /// Minutes without input before work starts.
    pub idle_minutes: u32,
    /// Also over a network that costs by volume.
    pub metered: bool,
    /// CPU cap, percent.
    pub cpu_percent: u32,
    /// Memory cap, percent.
    pub memory_percent: u32,
    /// Seconds that power, network and exclusive programs must have allowed work before it starts.
    pub grace_seconds: u32,
    /// Work stops while other programs use more of the processor than this, percent; 0 does not look.
    pub others_percent: u32,
    /// Keep the fan quiet.
    pub quiet: bool,
    /// The hours of the week.
    pub hours: WeekHours,
    /// Names of programs; while one of them runs, the device does not work.
    pub exclusive: Vec<String>,
    /// What a kilowatt-hour costs, in the owner's money.
    pub price_per_kwh: Option<f64>,
    /// Watts that the device draws with an idle processor; none is a guess.
    pub idle_watts: Option<f64>,
    /// Watts that a fully used processor adds; none is a guess.
    pub busy_watts: Option<f64>,
}

impl Default for HarvestPrefs {
    fn default() -> Self {
        Self {
            enabled: true,
            on_battery: false,
            battery_start: 50,
            battery_stop: 45,
            alongside: false,
            idle_minutes: 5,
            metered: false,
            cpu_percent: 50,
            memory_percent: 30,
            grace_seconds: 30,
            others_percent: 50,
            quiet: false,
            hours: WeekHours::default(),
            exclusive: Vec::new(),
            price_per_kwh: None,
            idle_watts: None,
            busy_watts: None,
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn preferences_of_the_first_version_load() {
        let old = r#"{"enabled":false,"on_battery":true,"alongside":true,"idle_minutes":7,"cpu_percent":33,"memory_percent":12}"#;
        let prefs: HarvestPrefs = serde_json::from_str(old).unwrap();
        let expected = HarvestPrefs {
            enabled: false,
            on_battery: true,
            alongside: true,
            idle_minutes: 7,
            cpu_percent: 33,
            memory_percent: 12,
            ..HarvestPrefs::default()
        };
        assert_eq!(prefs, expected);
    }
}
