//! Heat: where work stops, and below it a duty cycle in proportion.

use super::rest::Marks;
use crate::Thermal;

/// The processor's temperature is held near this, °C.
const TARGET: f64 = 70.0;
/// The same when the fan is to be quiet, °C.
const QUIET_TARGET: f64 = 55.0;
/// Half the width of the band in which the duty falls from all to little, °C.
const BAND: f64 = 5.0;
/// The least duty below the stop.
const LEAST_DUTY: f64 = 0.1;
/// The processor stops this far below its trip point, °C.
const BELOW_TRIP: f64 = 10.0;
/// The processor stops here if its trip point is unknown, °C.
const DEFAULT_STOP: f64 = 85.0;
/// Work resumes this far below the stop, °C.
const RESUME_BELOW: f64 = 5.0;
/// The share of the CPU without any temperature sensor.
pub(super) const BLIND_DUTY: f64 = 0.25;
/// The duty while the system says that it is warm.
pub(super) const WARM_DUTY: f64 = 0.5;

/// The battery stops at 45 °C.
pub(super) const BATTERY: Marks = Marks { stop: 45.0, resume: 45.0 - RESUME_BELOW };
/// A system that says of itself how hot it is: stops at moderate, resumes at light.
pub(super) const SYSTEM: Marks = Marks { stop: 2.0, resume: 1.0 };

/// What the system says as a number, for [`SYSTEM`].
pub(super) fn level(thermal: Thermal) -> f64 {
    match thermal {
        Thermal::None => 0.0,
        Thermal::Light => 1.0,
        Thermal::Moderate => 2.0,
        Thermal::Severe => 3.0,
        Thermal::Critical => 4.0,
    }
}

/// The marks for one processor, °C.
pub(super) struct Limits {
    /// Held near this.
    pub(super) target: f64,
    /// Work stops here, and resumes there.
    pub(super) marks: Marks,
}

/// The marks that follow from a trip point. One that no processor has is a broken sensor's and is ignored.
pub(super) fn cpu_limits(trip: Option<f64>, quiet: bool) -> Limits {
    let stop =
        trip.filter(|trip| (50.0..=130.0).contains(trip)).map_or(DEFAULT_STOP, |trip| trip - BELOW_TRIP);
    let target = if quiet { QUIET_TARGET } else { TARGET };
    Limits { target: target.min(stop - BAND), marks: Marks { stop, resume: stop - RESUME_BELOW } }
}

impl Limits {
    /// The share of the cap at this temperature: all below the band around the target, a tenth above it.
    pub(super) fn duty(&self, celsius: f64) -> f64 {
        let fall = (self.target + BAND - celsius) / (2.0 * BAND);
        fall.clamp(LEAST_DUTY, 1.0)
    }
}
