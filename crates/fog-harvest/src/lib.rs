//! When may a device work for others? Sensors tell how it fares; a pure policy decides, and says why.
//!
//! ```
//! use fog_harvest::{HostSensors, Input, Memory, Prefs, SystemSensors, decide};
//!
//! let mut sensors = SystemSensors::new("/sys");
//! let readings = sensors.read(1_700_000_000.0);
//! let input = Input { readings: &readings, prefs: &Prefs::default(), work_now: false, working: false, now_ms: 0 };
//! let (decision, _memory) = decide(&input, Memory::default());
//! println!("{}: may work: {}", decision.reason, decision.allowed);
//! // Ask again after decision.look_again.
//! ```
//!
//! The policy keeps no clock and no state of its own: what it must remember (so that it does not flap) goes out as
//! [`Memory`] and comes in again. The crate knows nothing of jobs, of the network or of the screen.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod policy;
mod readings;
pub mod sensors;

pub use policy::{Decision, Input, Memory, Prefs, State, decide};
pub use readings::Readings;
pub use sensors::{HostSensors, SystemSensors};
