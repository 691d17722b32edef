//! The reasons for working, in plain words with the numbers.

use super::{Input, heat};
use crate::Thermal;
use std::time::Duration;

/// How warm it is, and what follows.
pub(super) fn heat(input: &Input<'_>, target: f64, duty: f64) -> String {
    let warm = input.readings.thermal == Some(Thermal::Light);
    match input.readings.cpu_celsius {
        Some(t) if duty < 1.0 && !warm => format!("{t:.0} °C, held near {target:.0} °C by working less"),
        Some(t) if warm => format!("{t:.0} °C and warm, so it works less"),
        Some(t) => format!("{t:.0} °C"),
        None if warm => "warm, so it works less".into(),
        None if input.readings.thermal.is_some() => "cool".into(),
        None => format!("no temperature sensor, so at most {:.0} %", heat::BLIND_DUTY * 100.0),
    }
}

/// Where the power comes from.
pub(super) fn power(input: &Input<'_>) -> String {
    let r = input.readings;
    match (r.has_battery, r.plugged_in, r.battery) {
        (false, ..) => "mains".into(),
        (_, Some(true), _) => "plugged in".into(),
        (_, _, Some(charge)) => format!("battery at {:.0} %", charge * 100.0),
        _ => "battery".into(),
    }
}

/// Why the user is not disturbed.
pub(super) fn user(input: &Input<'_>) -> String {
    let r = input.readings;
    match r.user_idle {
        _ if r.unattended => "nobody is logged in".into(),
        _ if input.prefs.alongside => "works alongside you".into(),
        _ if r.screen_off == Some(true) => "the screen is off".into(),
        _ if r.locked == Some(true) => "the screen is locked".into(),
        Some(idle) => format!("no input for {}", ago(idle)),
        None => "no word of the user".into(),
    }
}

/// A time to wait, roughly.
pub(super) fn span(time: Duration) -> String {
    let seconds = super::gates::seconds(time);
    match seconds {
        0..100 => format!("{seconds} s"),
        100..6000 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", (seconds + 1800) / 3600),
    }
}

fn ago(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}
