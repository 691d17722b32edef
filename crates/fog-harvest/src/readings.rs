use serde::{Deserialize, Serialize};

/// How the device fares. `None` means: this device does not say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    /// CPU in use by everything, 0 to 1. None at the first reading, which has nothing to compare with.
    pub cpu_load: Option<f64>,
    /// Memory in use, bytes.
    pub memory_used: u64,
    /// Memory in all, bytes.
    pub memory_total: u64,
    /// Logical processors.
    pub cpus: u32,
    /// Seconds since the owner's last input.
    pub user_idle: Option<f64>,
    /// Where the idle time comes from, or why there is none, in plain words.
    pub user_idle_source: String,
    /// True if nobody can be disturbed: there is no screen, and nobody is logged in.
    pub unattended: bool,
    /// True if the network costs by volume.
    pub network_metered: Option<bool>,
}
