//! The harvester as the page shows it.

use super::{Now, clock, prefs};
use fog_api::{Amount, HarvestDay, HarvestState, HarvestView, PowerEstimate, Sensors, ThermalState};
use fog_harvest::{Day, Decision, Readings, State, Thermal};

pub(super) fn view(now: &Now, running: usize) -> HarvestView {
    let decision = now.decision.as_ref();
    let today = clock::local(crate::time::now_ms()).day;
    let price = now.prefs.price_per_kwh;
    let power = prefs::power(&now.prefs, &now.readings);
    let earlier = now.meter.days().iter().filter(|day| day.day != today && day.worked_seconds > 0.0);
    HarvestView {
        state: decision.map_or(HarvestState::Idle, |d| state(d, running)),
        reason: decision.map_or_else(|| now.silent.into(), |d| sentence(&d.reason)),
        allowed: decision.is_some_and(|d| d.allowed),
        cpu_share: decision.map_or(0.0, |d| d.cpu_share),
        override_on: now.work_now,
        paused_until: now.paused_until_ms.map(crate::time::seconds),
        mode: prefs::mode(&now.prefs),
        sensors: sensors(&now.readings),
        prefs: now.prefs.clone(),
        load_history: now.history.iter().copied().collect(),
        today: day(&now.meter.day(today), price, now.earned(today)),
        days: earlier.map(|d| day(d, price, now.earned(d.day))).collect(),
        power: PowerEstimate {
            idle_watts: power.idle_watts,
            busy_watts: power.busy_watts,
            guessed: now.prefs.idle_watts.is_none() && now.prefs.busy_watts.is_none(),
        },
    }
}

fn state(decision: &Decision, running: usize) -> HarvestState {
    match decision.state {
        State::Idle if running > 0 => HarvestState::Harvesting,
        State::Idle => HarvestState::Idle,
        State::Harvesting => HarvestState::Harvesting,
        State::ChargingLow => HarvestState::ChargingLow,
        State::ThermalThrottle => HarvestState::ThermalThrottle,
        State::UserActive => HarvestState::UserActive,
        State::NetworkMetered => HarvestState::NetworkMetered,
        State::Disabled => HarvestState::Disabled,
    }
}

fn day(day: &Day, price: Option<f64>, earned: u128) -> HarvestDay {
    HarvestDay {
        date: clock::name(day.day),
        worked_seconds: day.worked_seconds,
        open_seconds: day.open_seconds,
        cpu_seconds: day.cpu_seconds,
        starts: day.starts,
        jobs_wh: day.jobs_wh,
        device_wh: day.device_wh,
        cost: price.map(|price| price * day.jobs_wh / 1000.0),
        earned: Amount(earned),
    }
}

fn sensors(r: &Readings) -> Sensors {
    Sensors {
        time: r.time,
        plugged_in: r.plugged_in,
        has_battery: r.has_battery,
        battery: r.battery,
        battery_celsius: r.battery_celsius,
        cpu_celsius: r.cpu_celsius,
        cpu_trip_celsius: r.cpu_trip_celsius,
        thermal: r.thermal.map(|thermal| match thermal {
            Thermal::None => ThermalState::None,
            Thermal::Light => ThermalState::Light,
            Thermal::Moderate => ThermalState::Moderate,
            Thermal::Severe => ThermalState::Severe,
            Thermal::Critical => ThermalState::Critical,
        }),
        cpu_load: r.cpu_load,
        others_load: r.others_load,
        jobs_load: r.jobs_load,
        memory_used: r.memory_used,
        memory_total: r.memory_total,
        memory_pressure: r.pressure.map(|p| p.memory_full),
        cpus: r.cpus,
        user_idle: r.user_idle,
        user_idle_source: r.user_idle_source.clone(),
        locked: r.locked,
        screen_off: r.screen_off,
        network_metered: r.network_metered,
        program: r.program.clone(),
    }
}

/// The policy's words as a sentence.
fn sentence(reason: &str) -> String {
    let mut chars = reason.chars();
    let first: String = chars.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", chars.as_str().trim_end_matches('.'))
}
