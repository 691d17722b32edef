use serde::{Deserialize, Serialize};

/// How the device fares. `None` means: this device does not say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Readings {
    /// When they were read, seconds since 1970.
    pub time: f64,
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
    /// What the system itself says of its heat. Phones and Macs do.
    pub thermal: Option<Thermal>,
    /// CPU in use by everything, 0 to 1. None at the first reading, which has nothing to compare with.
    pub cpu_load: Option<f64>,
    /// The part of it that other programs than ours use, 0 to 1.
    pub others_load: Option<f64>,
    /// The part of it that jobs use: the processes that this one started. 0 to 1.
    pub jobs_load: Option<f64>,
    /// Memory in use, bytes.
    pub memory_used: u64,
    /// Memory in all, bytes.
    pub memory_total: u64,
    /// How long work stood still for want of something, where the system counts it.
    pub pressure: Option<Pressure>,
    /// Logical processors.
    pub cpus: u32,
    /// Seconds since the owner's last input.
    pub user_idle: Option<f64>,
    /// Where the idle time comes from, or why there is none, in plain words.
    pub user_idle_source: String,
    /// True if the owner has locked the screen.
    pub locked: Option<bool>,
    /// True if the screen is off.
    pub screen_off: Option<bool>,
    /// True if nobody can be disturbed: there is no screen, and nobody is logged in.
    pub unattended: bool,
    /// True if the network costs by volume.
    pub network_metered: Option<bool>,
    /// Of the programs that were asked for, the first that runs.
    pub program: Option<String>,
}

impl Readings {
    /// The share of memory in use, 0 to 1.
    pub fn memory_share(&self) -> Option<f64> {
        (self.memory_total > 0).then(|| self.memory_used as f64 / self.memory_total as f64)
    }
}

/// How hot a system says it is. The names are Android's; Apple's *fair*, *serious* and *critical* are light, severe and
/// critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thermal {
    /// Cool.
    None,
    /// Warm; nothing is slowed down.
    Light,
    /// The system begins to slow things down.
    Moderate,
    /// It slows down what the person notices.
    Severe,
    /// It does all it can against the heat.
    Critical,
}

/// Pressure stall information: percent of the last ten seconds in which something waited. Only Linux counts it
/// (`/proc/pressure`, avg10).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// Somebody waited for a processor. Low-priority jobs wait too, so no gate follows from it.
    pub cpu_some: f64,
    /// Everybody waited for memory.
    pub memory_full: f64,
    /// Everybody waited for a disk.
    pub io_full: f64,
}
