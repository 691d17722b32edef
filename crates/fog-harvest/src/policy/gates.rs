//! The gates, one function each: none if it is open, else what is in the way.

use super::rest::{Marks, Rest};
use super::{BATTERY_FLOOR, Input, MEMORY_FULL, MEMORY_STALL, Memory, Shut, State, heat};
use crate::hours::Standing;
use crate::{Prefs, Readings};
use std::time::Duration;

/// With the screen off or locked, this long without input is enough.
const SETTLED: Duration = Duration::from_secs(10);

fn shut(state: State, reason: impl Into<String>, look_again: Duration) -> Option<Shut> {
    Some(Shut { state, reason: reason.into(), look_again })
}

/// The owner's switch, and a pause.
pub(super) fn switch(input: &Input<'_>) -> Option<Shut> {
    if !input.prefs.enabled {
        return shut(State::Disabled, "lending this device is switched off", Duration::from_secs(60));
    }
    let left = input.paused.filter(|left| !left.is_zero())?;
    let reason = format!("you paused it, for {} more", super::words::span(left));
    shut(State::Disabled, reason, left.clamp(Duration::from_secs(1), Duration::from_secs(60)))
}

/// The processor's, the battery's and the system's own word of heat.
pub(super) fn heat(input: &Input<'_>, memory: &Memory, cpu: Marks) -> Option<Shut> {
    let part = |rest: &Rest, now: Option<f64>, marks: Marks, name: &str| {
        let wait = rest.wait(input.now_ms)?;
        let reason = match now {
            Some(t) if t >= marks.stop => {
                format!("the {name} is at {t:.0} °C; work stops at {:.0} °C", marks.stop)
            }
            Some(t) if t > marks.resume => {
                format!("the {name} cools down: {t:.0} °C; work resumes at {:.0} °C", marks.resume)
            }
            Some(t) => format!("the {name} was too hot and is at {t:.0} °C now; {} s to wait", seconds(wait)),
            None => format!("the {name} was too hot and now tells nothing; {} s to wait", seconds(wait)),
        };
        shut(State::ThermalThrottle, reason, cooling(wait))
    };
    let readings = input.readings;
    part(&memory.cpu, readings.cpu_celsius, cpu, "processor")
        .or_else(|| part(&memory.battery, readings.battery_celsius, heat::BATTERY, "battery"))
        .or_else(|| {
            let wait = memory.system.wait(input.now_ms)?;
            let hot = readings.thermal.is_some_and(|t| heat::level(t) > heat::SYSTEM.resume);
            let reason = if hot {
                "the system says that it is hot and slows things down".into()
            } else {
                format!("the system was hot; {} s to wait", seconds(wait))
            };
            shut(State::ThermalThrottle, reason, cooling(wait))
        })
}

fn cooling(wait: Duration) -> Duration {
    wait.clamp(Duration::from_secs(2), Duration::from_secs(10))
}

/// A battery that must not be emptied even on the owner's order.
pub(super) fn floor(readings: &Readings) -> Option<Shut> {
    let draining = readings.has_battery && readings.plugged_in != Some(true);
    let charge = readings.battery.filter(|charge| draining && *charge <= BATTERY_FLOOR)?;
    let reason = format!("the battery is at {:.0} %: too little for any work", charge * 100.0);
    shut(State::ChargingLow, reason, Duration::from_secs(10))
}

/// The week's hours.
pub(super) fn hours(input: &Input<'_>) -> Option<Shut> {
    let Standing::Outside(wait) = input.prefs.hours.standing(input.local) else { return None };
    let reason = format!("these are not the hours for it; the next begin in {}", super::words::span(wait));
    shut(State::Disabled, reason, wait.clamp(Duration::from_secs(1), Duration::from_secs(60)))
}

/// A program beside which the device does not work.
pub(super) fn program(readings: &Readings) -> Option<Shut> {
    let name = readings.program.as_deref()?;
    shut(State::UserActive, format!("{name} is running; work waits until it ends"), Duration::from_secs(5))
}

/// The marks of the battery's charge, 0 to 1: start and stop. The stop is below the start, whatever was asked for.
pub(super) fn charge_marks(prefs: &Prefs) -> (f64, f64) {
    let start = prefs.battery_start.clamp(1, 100);
    let stop = prefs.battery_stop.min(start - 1);
    (f64::from(start) / 100.0, f64::from(stop) / 100.0)
}

/// Plugged in, or enough charge where the owner allows that.
pub(super) fn power(readings: &Readings, prefs: &Prefs, low: bool) -> Option<Shut> {
    if !readings.has_battery || readings.plugged_in == Some(true) {
        return None;
    }
    let shut = |reason: String| shut(State::ChargingLow, reason, Duration::from_secs(10));
    let on = match readings.plugged_in {
        Some(_) => "the device runs on battery",
        None => "the device has a battery and does not say whether it charges",
    };
    if !prefs.on_battery {
        return shut(format!("{on}; it works when plugged in"));
    }
    let (start, stop) = charge_marks(prefs);
    match readings.battery {
        None => shut(format!("{on} and does not say how full it is")),
        // Between the marks it goes on if it has been above the upper one, and else waits for it.
        Some(charge) if low || charge <= stop => {
            shut(format!("the battery is at {:.0} %; work starts at {:.0} %", charge * 100.0, start * 100.0))
        }
        Some(_) => None,
    }
}

/// A network that costs by volume. One that does not say is taken for one that does not.
pub(super) fn network(readings: &Readings, prefs: &Prefs) -> Option<Shut> {
    let metered = readings.network_metered == Some(true) && !prefs.metered;
    if !metered {
        return None;
    }
    shut(State::NetworkMetered, "the network is metered", Duration::from_secs(30))
}

/// The person at the device.
pub(super) fn user(readings: &Readings, prefs: &Prefs) -> Option<Shut> {
    if prefs.alongside || readings.unattended {
        return None;
    }
    let away = readings.screen_off == Some(true) || readings.locked == Some(true);
    let Some(idle) = readings.user_idle.filter(|idle| idle.is_finite()) else {
        if away {
            return None;
        }
        let reason = format!(
            "this device cannot tell whether you are using it ({}); allow work alongside, or press work now",
            readings.user_idle_source
        );
        return shut(State::UserActive, reason, Duration::from_secs(30));
    };
    let whole = Duration::from_secs(u64::from(prefs.idle_minutes) * 60);
    let needed = if away { whole.min(SETTLED) } else { whole };
    let idle = Duration::from_secs_f64(idle.clamp(0.0, 1e9));
    if idle >= needed {
        return None;
    }
    let left = needed - idle;
    let reason = format!(
        "you used the device {} s ago; work starts after {} min without input",
        idle.as_secs(),
        prefs.idle_minutes
    );
    shut(State::UserActive, reason, left.clamp(Duration::from_secs(1), Duration::from_secs(30)))
}

/// Memory that runs short: programs stand still for it, or hardly any is left.
pub(super) fn memory(input: &Input<'_>, memory: &Memory) -> Option<Shut> {
    let again = |wait: Duration| wait.clamp(Duration::from_secs(2), Duration::from_secs(10));
    if let Some(wait) = memory.stall.wait(input.now_ms) {
        let waited = input.readings.pressure.map_or(0.0, |p| p.memory_full);
        let reason = if waited >= MEMORY_STALL.resume {
            format!("programs wait for memory {waited:.0} % of the time")
        } else {
            format!("memory ran short; {} s to wait", seconds(wait))
        };
        return shut(State::UserActive, reason, again(wait));
    }
    let wait = memory.full.wait(input.now_ms)?;
    let used = input.readings.memory_share().unwrap_or(0.0);
    let reason = if used >= MEMORY_FULL.resume {
        format!(
            "{:.0} % of the memory is in use; work resumes at {:.0} %",
            used * 100.0,
            MEMORY_FULL.resume * 100.0
        )
    } else {
        format!("memory ran short; {} s to wait", seconds(wait))
    };
    shut(State::UserActive, reason, again(wait))
}

/// Other programs that need the processor.
pub(super) fn others(input: &Input<'_>, memory: &Memory) -> Option<Shut> {
    let (load, wait) = memory.others.wait(input.now_ms)?;
    let limit = f64::from(input.prefs.others_percent.min(100));
    let reason = if load * 100.0 >= limit {
        format!("other programs use {:.0} % of the processor; work stops at {limit:.0} %", load * 100.0)
    } else {
        format!("other programs needed the processor; {} s to wait", seconds(wait))
    };
    shut(State::UserActive, reason, Duration::from_secs(5))
}

/// What has just become right has to stay so for a moment.
pub(super) fn grace(input: &Input<'_>, memory: &Memory) -> Option<Shut> {
    let grace = Duration::from_secs(input.prefs.grace_seconds.into());
    let since = Duration::from_millis(input.now_ms.saturating_sub(memory.unfit_ms?));
    let left = grace.checked_sub(since).filter(|left| !left.is_zero())?;
    let reason = format!("all is well again; work starts in {} s if it stays so", seconds(left));
    shut(memory.unfit, reason, left.clamp(Duration::from_secs(1), Duration::from_secs(10)))
}

pub(super) fn seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000) as u64
}
