//! The decision. Gates are asked in the order of how much is at stake: the owner's switch, heat, an empty battery; and
//! then those that "work now" opens: hours, exclusive programs, power, network, user, memory, other programs' use of the
//! processor, and the grace time.

mod gates;
mod heat;
mod others;
mod rest;
#[cfg(test)]
mod tests;
mod words;

use crate::{Local, Prefs, Readings, Thermal};
use others::Others;
use rest::{Marks, Rest};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// On battery, nothing works at this charge or less, whatever the owner said.
const BATTERY_FLOOR: f64 = 0.10;
/// Percent of the time in which everything waits for memory.
const MEMORY_STALL: Marks = Marks { stop: 5.0, resume: 1.0 };
/// Share of memory in use.
const MEMORY_FULL: Marks = Marks { stop: 0.95, resume: 0.90 };
/// At most this share of all processors where the fan is to be quiet.
const QUIET_SHARE: f64 = 0.25;

/// The states of the harvester.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// May work; no job is here.
    #[default]
    Idle,
    /// May work; a job runs.
    Harvesting,
    /// Not enough power.
    ChargingLow,
    /// Too hot.
    ThermalThrottle,
    /// The owner is using the device, or might be, or other programs need it.
    UserActive,
    /// The network is metered.
    NetworkMetered,
    /// Switched off or paused by the owner, or outside the hours.
    Disabled,
}

/// All that a decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// How the device fares.
    pub readings: &'a Readings,
    /// When the owner lets it work.
    pub prefs: &'a Prefs,
    /// The owner said "work now": every gate opens but heat, an empty battery and the owner's own switch.
    pub work_now: bool,
    /// The owner paused it, for so long from now.
    pub paused: Option<Duration>,
    /// True if a job runs.
    pub working: bool,
    /// The owner's wall clock, for the hours.
    pub local: Local,
    /// The present time, milliseconds since any fixed moment, never going back.
    pub now_ms: u64,
}

/// What a decision must know of those before it. Start with the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The battery fell to the stop mark and has not reached the start mark since.
    battery_low: bool,
    cpu: Rest,
    battery: Rest,
    system: Rest,
    stall: Rest,
    full: Rest,
    others: Others,
    /// When power, network or a program last stood in the way, and which state that was.
    unfit_ms: Option<u64>,
    unfit: State,
}

impl Memory {
    /// The owner changed the preferences: what they allow now needs no grace time. Heat is not forgotten.
    #[must_use]
    pub fn forgive(self) -> Self {
        Self { unfit_ms: None, others: Others::default(), ..self }
    }
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
    let Input { readings, prefs, now_ms, .. } = *input;
    let limits = heat::cpu_limits(readings.cpu_trip_celsius, prefs.quiet);
    // Remembered also while another gate is shut: what was hot a moment ago is still to cool.
    let mut memory = remember(input, memory, limits.marks);

    let unfit = gates::program(readings)
        .or_else(|| gates::power(readings, prefs, memory.battery_low))
        .or_else(|| gates::network(readings, prefs));
    if let Some(shut) = &unfit {
        (memory.unfit_ms, memory.unfit) = (Some(now_ms), shut.state);
    }

    let hard = gates::switch(input)
        .or_else(|| gates::heat(input, &memory, limits.marks))
        .or_else(|| gates::floor(readings));
    let soft = || {
        gates::hours(input)
            .or(unfit)
            .or_else(|| gates::user(readings, prefs))
            .or_else(|| gates::memory(input, &memory))
            .or_else(|| gates::others(input, &memory))
            .or_else(|| gates::grace(input, &memory))
    };
    let shut = hard.or_else(|| if input.work_now { None } else { soft() });
    let decision = match shut {
        Some(Shut { state, reason, look_again }) => {
            Decision { state, allowed: false, cpu_share: 0.0, memory_bytes: 0, reason, look_again }
        }
        None => open(input, &limits),
    };
    (decision, memory)
}

fn remember(input: &Input<'_>, memory: Memory, cpu: Marks) -> Memory {
    let Input { readings, prefs, now_ms, .. } = *input;
    let (start, stop) = gates::charge_marks(prefs);
    let battery_low = match readings.battery {
        Some(charge) if charge <= stop => true,
        Some(charge) if charge >= start => false,
        // In between, or unknown: as it was.
        _ => memory.battery_low,
    };
    Memory {
        battery_low,
        cpu: memory.cpu.next(readings.cpu_celsius, cpu, now_ms),
        battery: memory.battery.next(readings.battery_celsius, heat::BATTERY, now_ms),
        system: memory.system.next(readings.thermal.map(heat::level), heat::SYSTEM, now_ms),
        stall: memory.stall.next(readings.pressure.map(|p| p.memory_full), MEMORY_STALL, now_ms),
        full: memory.full.next(readings.memory_share(), MEMORY_FULL, now_ms),
        others: memory.others.next(
            readings.others_load,
            f64::from(prefs.others_percent.min(100)) / 100.0,
            now_ms,
        ),
        ..memory
    }
}

/// All gates are open: how much.
fn open(input: &Input<'_>, limits: &heat::Limits) -> Decision {
    let Input { readings, prefs, .. } = *input;
    let mut cap = f64::from(prefs.cpu_percent.min(100)) / 100.0;
    if prefs.quiet {
        cap = cap.min(QUIET_SHARE);
    }
    let duty = readings.cpu_celsius.map_or(1.0, |t| limits.duty(t));
    let warm = if readings.thermal == Some(Thermal::Light) { heat::WARM_DUTY } else { 1.0 };
    let mut share = cap * duty * warm;
    // A system that speaks of its heat as a whole is no blind one.
    if readings.cpu_celsius.is_none() && readings.thermal.is_none() {
        share = share.min(heat::BLIND_DUTY);
    }
    let memory = readings.memory_total / 100 * u64::from(prefs.memory_percent.min(100));
    let state = if input.working { State::Harvesting } else { State::Idle };
    // While a job runs, the user's return must be seen within a second, and the heat often enough to hold it.
    let watch_user = !prefs.alongside && !input.work_now;
    let mut look_again = match (input.working, watch_user) {
        (true, true) => Duration::from_millis(900),
        (true, false) => Duration::from_secs(2),
        (false, _) => Duration::from_secs(5),
    };
    if let crate::hours::Standing::Within(left) = prefs.hours.standing(input.local) {
        look_again = look_again.min(left.max(Duration::from_millis(100)));
    }
    let order = if input.work_now { "work now: " } else { "" };
    let (power, heat, user) =
        (words::power(input), words::heat(input, limits.target, duty), words::user(input));
    let quiet = if prefs.quiet { ", quietly" } else { "" };
    Decision {
        state,
        allowed: true,
        cpu_share: share,
        memory_bytes: memory,
        reason: format!("{order}{power}, {heat}, {user}; up to {:.0} % of the CPU{quiet}", share * 100.0),
        look_again,
    }
}
