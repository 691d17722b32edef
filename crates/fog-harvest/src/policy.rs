//! The decision. Gates are asked in the order of how much is at stake: the owner's switch, heat, power, network, user.

mod heat;
#[cfg(test)]
mod tests;

use crate::Readings;
use heat::Heat;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// On battery, work starts at this charge or more.
const BATTERY_START: f64 = 0.50;
/// On battery, work stops at this charge or less.
const BATTERY_STOP: f64 = 0.45;

/// When the owner lets the device work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefs {
    /// Lend this device at all.
    pub enabled: bool,
    /// Also on battery (at 50 % or more).
    pub on_battery: bool,
    /// Also while the owner is active.
    pub alongside: bool,
    /// Minutes without input before work starts.
    pub idle_minutes: u32,
    /// CPU cap, percent of all processors together.
    pub cpu_percent: u32,
    /// Memory cap, percent.
    pub memory_percent: u32,
}

impl Default for Prefs {
    fn default() -> Self {
        Self {
            enabled: true,
            on_battery: false,
            alongside: false,
            idle_minutes: 5,
            cpu_percent: 50,
            memory_percent: 30,
        }
    }
}

/// The states of the harvester.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// May work; no job is here.
    Idle,
    /// May work; a job runs.
    Harvesting,
    /// Not enough power.
    ChargingLow,
    /// Too hot.
    ThermalThrottle,
    /// The owner is using the device, or might be.
    UserActive,
    /// The network is metered.
    NetworkMetered,
    /// Switched off by the owner.
    Disabled,
}

/// All that a decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// How the device fares.
    pub readings: &'a Readings,
    /// When the owner lets it work.
    pub prefs: &'a Prefs,
    /// The owner said "work now": every gate opens but heat and the owner's own switch.
    pub work_now: bool,
    /// True if a job runs.
    pub working: bool,
    /// The present time, milliseconds since any fixed moment, never going back.
    pub now_ms: u64,
}

/// What a decision must know of those before it. Start with the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The battery fell to the stop mark and has not reached the start mark since.
    pub(crate) battery_low: bool,
    pub(crate) cpu: Heat,
    pub(crate) battery: Heat,
}

/// What the device may do now, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The state.
    pub state: State,
    /// True if jobs may run.
    pub allowed: bool,
    /// Share of all processors together that jobs may use, 0 to 1; 0 if not allowed.
    pub cpu_share: f64,
    /// Bytes of memory that jobs may use, all together.
    pub memory_bytes: u64,
    /// Why, in plain words with the numbers.
    pub reason: String,
    /// Decide again after this long at the latest; at once if the owner changes something or a job arrives.
    pub look_again: Duration,
}

impl Decision {
    /// How many jobs may run side by side on `cpus` processors, and which share of one processor each may use: as many
    /// full ones as fit, at least one, at most `jobs`.
    pub fn slots(&self, cpus: u32, jobs: usize) -> (usize, f64) {
        let cores = self.cpu_share * f64::from(cpus);
        if !self.allowed || cores <= 0.0 || jobs == 0 {
            return (0, 0.0);
        }
        let slots = (cores.floor() as usize).clamp(1, jobs);
        (slots, (cores / slots as f64).min(1.0))
    }
}

/// A gate that is shut.
struct Shut {
    state: State,
    reason: String,
    look_again: Duration,
}

/// Decides whether and how much the device may work, by the readings, the owner's wishes and the time.
pub fn decide(input: &Input<'_>, memory: Memory) -> (Decision, Memory) {
    let Input { readings, prefs, .. } = input;
    // Remembered also while another gate is shut: what was hot a moment ago is still to cool.
    let limits = heat::cpu_limits(readings.cpu_trip_celsius);
    let memory = Memory {
        battery_low: battery_low(readings, memory.battery_low),
        cpu: memory.cpu.next(readings.cpu_celsius, limits.stop, input.now_ms),
        battery: memory.battery.next(readings.battery_celsius, heat::BATTERY_STOP, input.now_ms),
    };

    let soft = |gate: Option<Shut>| gate.filter(|_| !input.work_now);
    let shut = switch(prefs)
        .or_else(|| too_hot(input, &memory, limits.stop))
        .or_else(|| soft(power(readings, prefs, memory.battery_low)))
        .or_else(|| soft(network(readings)))
        .or_else(|| soft(user(readings, prefs)));
    let decision = match shut {
        Some(Shut { state, reason, look_again }) => {
            Decision { state, allowed: false, cpu_share: 0.0, memory_bytes: 0, reason, look_again }
        }
        None => open(input, &limits),
    };
    (decision, memory)
}

fn switch(prefs: &Prefs) -> Option<Shut> {
    (!prefs.enabled).then(|| Shut {
        state: State::Disabled,
        reason: "lending this device is switched off".into(),
        look_again: Duration::from_secs(60),
    })
}

fn too_hot(input: &Input<'_>, memory: &Memory, cpu_stop: f64) -> Option<Shut> {
    let part = |heat: &Heat, now: Option<f64>, stop: f64, name: &str| {
        let wait = heat.wait(input.now_ms)?;
        let resume = stop - heat::RESUME_BELOW;
        let reason = match now {
            Some(t) if t >= stop => format!("the {name} is at {t:.0} °C; work stops at {stop:.0} °C"),
            Some(t) if t > resume => {
                format!("the {name} cools down: {t:.0} °C; work resumes at {resume:.0} °C")
            }
            Some(t) => format!("the {name} was too hot and is at {t:.0} °C now; {} s to wait", seconds(wait)),
            None => format!("the {name} was too hot and now tells nothing; {} s to wait", seconds(wait)),
        };
        let look_again = wait.clamp(Duration::from_secs(2), Duration::from_secs(10));
        Some(Shut { state: State::ThermalThrottle, reason, look_again })
    };
    let readings = input.readings;
    part(&memory.cpu, readings.cpu_celsius, cpu_stop, "processor")
        .or_else(|| part(&memory.battery, readings.battery_celsius, heat::BATTERY_STOP, "battery"))
}

fn battery_low(readings: &Readings, was_low: bool) -> bool {
    match readings.battery {
        Some(charge) if charge <= BATTERY_STOP => true,
        Some(charge) if charge >= BATTERY_START => false,
        // In between, or unknown: as it was.
        _ => was_low,
    }
}

fn power(readings: &Readings, prefs: &Prefs, low: bool) -> Option<Shut> {
    if !readings.has_battery || readings.plugged_in == Some(true) {
        return None;
    }
    let shut = |reason: String| {
        Some(Shut { state: State::ChargingLow, reason, look_again: Duration::from_secs(10) })
    };
    let on = match readings.plugged_in {
        Some(_) => "the device runs on battery",
        None => "the device has a battery and does not say whether it charges",
    };
    if !prefs.on_battery {
        return shut(format!("{on}; it works when plugged in"));
    }
    match readings.battery {
        None => shut(format!("{on} and does not say how full it is")),
        // Between the marks it goes on if it has been above the upper one, and else waits for it.
        Some(charge) if low || charge <= BATTERY_STOP => shut(format!(
            "the battery is at {:.0} %; work starts at {:.0} %",
            charge * 100.0,
            BATTERY_START * 100.0
        )),
        Some(_) => None,
    }
}

fn network(readings: &Readings) -> Option<Shut> {
    (readings.network_metered == Some(true)).then(|| Shut {
        state: State::NetworkMetered,
        reason: "the network is metered".into(),
        look_again: Duration::from_secs(30),
    })
}

fn user(readings: &Readings, prefs: &Prefs) -> Option<Shut> {
    if prefs.alongside || readings.unattended {
        return None;
    }
    let needed = Duration::from_secs(u64::from(prefs.idle_minutes) * 60);
    let Some(idle) = readings.user_idle.filter(|idle| idle.is_finite()) else {
        return Some(Shut {
            state: State::UserActive,
            reason: format!(
                "this device cannot tell whether you are using it ({}); allow work alongside, or press work now",
                readings.user_idle_source
            ),
            look_again: Duration::from_secs(30),
        });
    };
    let idle = Duration::from_secs_f64(idle.clamp(0.0, 1e9));
    if idle >= needed {
        return None;
    }
    let left = needed - idle;
    Some(Shut {
        state: State::UserActive,
        reason: format!(
            "you used the device {} s ago; work starts after {} min without input",
            idle.as_secs(),
            prefs.idle_minutes
        ),
        look_again: left.clamp(Duration::from_secs(1), Duration::from_secs(30)),
    })
}

/// All gates are open: how much.
fn open(input: &Input<'_>, limits: &heat::Limits) -> Decision {
    let Input { readings, prefs, .. } = input;
    let cap = f64::from(prefs.cpu_percent.min(100)) / 100.0;
    let (duty, heat) = match readings.cpu_celsius {
        Some(t) => {
            let duty = limits.duty(t);
            let words = if duty < 1.0 {
                format!("{t:.0} °C, held near {:.0} °C by working less", limits.target)
            } else {
                format!("{t:.0} °C")
            };
            (duty * cap, words)
        }
        None => (cap.min(heat::BLIND_DUTY), "no temperature sensor, so at most 25 %".into()),
    };
    let power = match (readings.has_battery, readings.plugged_in, readings.battery) {
        (false, ..) => "mains".to_owned(),
        (_, Some(true), _) => "plugged in".to_owned(),
        (_, _, Some(charge)) => format!("battery at {:.0} %", charge * 100.0),
        _ => "battery".to_owned(),
    };
    let user = match readings.user_idle {
        _ if readings.unattended => "nobody is logged in".to_owned(),
        _ if prefs.alongside => "works alongside you".to_owned(),
        Some(idle) => format!("no input for {}", ago(idle)),
        None => "no word of the user".to_owned(),
    };
    let order = if input.work_now { "work now: " } else { "" };
    let memory = readings.memory_total / 100 * u64::from(prefs.memory_percent.min(100));
    let state = if input.working { State::Harvesting } else { State::Idle };
    // While a job runs, the user's return must be seen within a second, and the heat often enough to hold it.
    let watch_user = !prefs.alongside && !input.work_now;
    let look_again = match (input.working, watch_user) {
        (true, true) => Duration::from_millis(900),
        (true, false) => Duration::from_secs(2),
        (false, _) => Duration::from_secs(5),
    };
    Decision {
        state,
        allowed: true,
        cpu_share: duty,
        memory_bytes: memory,
        reason: format!("{order}{power}, {heat}, {user}; up to {:.0} % of the CPU", duty * 100.0),
        look_again,
    }
}

fn seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000) as u64
}

fn ago(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}
