//! macOS: the user's last input and the screen from Quartz, the heat from the system's own word.

#![allow(unsafe_code, reason = "the system's calls")]

use crate::{Readings, Thermal};
use objc2_foundation::{NSProcessInfo, NSProcessInfoThermalState};

/// Hardware's events, whichever program they were for.
const HID_SYSTEM_STATE: i32 = 1;
/// Any kind of event.
const ANY_INPUT: u32 = u32::MAX;

#[link(name = "CoreGraphics", kind = "framework")]
unsafe extern "C" {
    fn CGEventSourceSecondsSinceLastEventType(state: i32, kind: u32) -> f64;
    fn CGMainDisplayID() -> u32;
    fn CGDisplayIsAsleep(display: u32) -> u32;
}

pub(super) fn read(readings: &mut Readings) {
    // SAFETY: numbers only.
    let idle = unsafe { CGEventSourceSecondsSinceLastEventType(HID_SYSTEM_STATE, ANY_INPUT) };
    if idle.is_finite() && idle >= 0.0 {
        readings.user_idle = Some(idle);
        readings.user_idle_source = "macOS' last input".into();
    } else {
        readings.user_idle_source = "macOS does not tell the last input".into();
    }
    // SAFETY: numbers only.
    readings.screen_off = Some(unsafe { CGDisplayIsAsleep(CGMainDisplayID()) } != 0);
    let state = NSProcessInfo::processInfo().thermalState();
    readings.thermal = Some(match state {
        NSProcessInfoThermalState::Nominal => Thermal::None,
        NSProcessInfoThermalState::Fair => Thermal::Light,
        NSProcessInfoThermalState::Serious => Thermal::Severe,
        // What comes after critical, if anything ever does, is no cooler.
        _ => Thermal::Critical,
    });
}
