//! When may a device work for others? Sensors tell how it fares; a pure policy decides, and says why.
//!
//! ```text
//!   sensors (files, D-Bus, the system's calls) ── Readings ──┐
//!   the owner ── Prefs, "work now", a pause ─────────────────┼──▶ decide ──▶ Decision: allowed, share, reason, look again
//!   the clock ── Local, now ─────────────────────────────────┤      │
//!   the decisions before ── Memory ──────────────────────────┘◀─────┘
//!   Readings + Decision ──▶ Meter: hours worked, watt-hours of each day
//! ```
//!
//! ```
//! use fog_harvest::{Ask, HostSensors, Input, Local, Memory, Prefs, SystemSensors, decide};
//!
//! let mut sensors = SystemSensors::new("/sys");
//! let readings = sensors.read(&Ask { now: 1_700_000_000.0, ..Ask::default() });
//! let input = Input {
//!     readings: &readings,
//!     prefs: &Prefs::default(),
//!     work_now: false,
//!     paused: None,
//!     working: false,
//!     local: Local { day: 19_675, second: 80_000 },
//!     now_ms: 0,
//! };
//! let (decision, _memory) = decide(&input, Memory::default());
//! println!("{}: may work: {}", decision.reason, decision.allowed);
//! // Ask again after decision.look_again.
//! ```
//!
//! The policy keeps no clock and no state of its own: what it must remember (so that it does not flap) goes out as
//! [`Memory`] and comes in again. The crate knows nothing of jobs, of the network or of the screen.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod energy;
mod hours;
mod policy;
mod prefs;
mod readings;
pub mod sensors;

pub use energy::{Day, Meter, PowerModel, Sample};
pub use hours::{Hours, Local, Standing, Window};
pub use policy::{Decision, Input, Memory, State, decide};
pub use prefs::{Mode, Prefs};
pub use readings::{Pressure, Readings, Thermal};
pub use sensors::{Ask, HostSensors, SystemSensors};
