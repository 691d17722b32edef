//! What lending costs: an estimate of the energy by a line, P = alpha + beta × CPU utilisation.
//!
//! Few machines can tell their own power. The line is the usual model for a whole computer: alpha is what it draws with
//! an idle processor, beta what a fully used one adds. Jobs cause only the second part, so that is what they are charged
//! with; the whole device's energy while it worked is counted beside it, because a device that would otherwise sleep
//! causes all of it.

use crate::Readings;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A pause in the readings longer than this was sleep, and counts for nothing.
const LONGEST_STEP: Duration = Duration::from_secs(60);

/// The line's two numbers, in watts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PowerModel {
    /// Alpha: what the device draws with an idle processor.
    pub idle_watts: f64,
    /// Beta: what a fully used processor adds.
    pub busy_watts: f64,
}

impl PowerModel {
    /// A guess by what kind of device it is: one with a battery is built to draw little, and more processors draw more.
    pub fn guess(readings: &Readings) -> Self {
        let cpus = f64::from(readings.cpus.max(1));
        if readings.has_battery {
            Self { idle_watts: 6.0, busy_watts: (2.5 * cpus).min(45.0) }
        } else {
            Self { idle_watts: 30.0, busy_watts: (5.0 * cpus).min(200.0) }
        }
    }

    /// The whole device's power at this utilisation of all processors, 0 to 1, in watts.
    pub fn watts(&self, utilisation: f64) -> f64 {
        self.idle_watts + self.extra_watts(utilisation)
    }

    /// What this utilisation adds, in watts.
    pub fn extra_watts(&self, utilisation: f64) -> f64 {
        self.busy_watts * utilisation.clamp(0.0, 1.0)
    }
}

/// What a day's lending came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Day {
    /// Days since 1970 of the local calendar.
    pub day: i32,
    /// Seconds in which a job ran.
    pub worked_seconds: f64,
    /// Seconds in which the device might have worked: all gates were open.
    pub open_seconds: f64,
    /// CPU time of jobs, seconds of one core.
    pub cpu_seconds: f64,
    /// Energy that the jobs added, watt-hours.
    pub jobs_wh: f64,
    /// Energy of the whole device while jobs ran, watt-hours.
    pub device_wh: f64,
    /// How often work began.
    pub starts: u32,
}

/// Adds up the days, a reading at a time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Meter {
    /// The last days, oldest first, today last; days without any reading are missing.
    days: Vec<Day>,
    #[serde(skip)]
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Last {
    at_ms: u64,
    open: bool,
    working: bool,
}

/// One look at the device.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The present time, milliseconds since any fixed moment.
    pub now_ms: u64,
    /// The local day, days since 1970.
    pub day: i32,
    /// The readings since the sample before.
    pub readings: &'a Readings,
    /// How much power it draws.
    pub model: PowerModel,
    /// True if jobs may run.
    pub open: bool,
    /// True if a job runs and is not paused.
    pub working: bool,
}

impl Meter {
    /// Days that are kept.
    pub const KEPT: usize = 31;

    /// Adds the time since the last sample, in which things were as they were found then.
    pub fn add(&mut self, sample: &Sample<'_>) {
        let last =
            self.last.replace(Last { at_ms: sample.now_ms, open: sample.open, working: sample.working });
        if self.days.last().is_none_or(|today| today.day < sample.day) {
            self.days.push(Day { day: sample.day, ..Day::default() });
            let surplus = self.days.len().saturating_sub(Self::KEPT);
            self.days.drain(..surplus);
        }
        let Some(today) = self.days.last_mut() else { return };
        let began = sample.working && last.is_none_or(|last| !last.working);
        today.starts = today.starts.saturating_add(began.into());
        let Some(last) = last else { return };
        let step = Duration::from_millis(sample.now_ms.saturating_sub(last.at_ms));
        if step > LONGEST_STEP {
            return;
        }
        let seconds = step.as_secs_f64();
        if last.open {
            today.open_seconds += seconds;
        }
        if last.working {
            let jobs = sample.readings.jobs_load.unwrap_or(0.0).clamp(0.0, 1.0);
            let all = sample.readings.cpu_load.unwrap_or(jobs).max(jobs);
            today.worked_seconds += seconds;
            today.cpu_seconds += seconds * jobs * f64::from(sample.readings.cpus.max(1));
            today.jobs_wh += sample.model.extra_watts(jobs) * seconds / 3600.0;
            today.device_wh += sample.model.watts(all) * seconds / 3600.0;
        }
    }

    /// The days, oldest first, today last.
    pub fn days(&self) -> &[Day] {
        &self.days
    }

    /// This day's sums so far.
    pub fn day(&self, day: i32) -> Day {
        let found = self.days.iter().find(|d| d.day == day).copied();
        found.unwrap_or(Day { day, ..Day::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: PowerModel = PowerModel { idle_watts: 10.0, busy_watts: 40.0 };

    fn sample(readings: &Readings, second: u64, day: i32, working: bool) -> Sample<'_> {
        Sample { now_ms: second * 1000, day, readings, model: MODEL, open: true, working }
    }

    #[test]
    fn an_hour_at_half_of_four_processors() {
        let readings =
            Readings { jobs_load: Some(0.5), cpu_load: Some(0.75), cpus: 4, ..Readings::default() };
        let mut meter = Meter::default();
        for second in (0..=3600).step_by(5) {
            meter.add(&sample(&readings, second, 7, true));
        }
        let day = meter.day(7);
        assert!((day.jobs_wh - 20.0).abs() < 1e-6, "{day:?}");
        assert!((day.device_wh - 40.0).abs() < 1e-6, "{day:?}");
        assert!((day.worked_seconds - 3600.0).abs() < 1e-6 && (day.cpu_seconds - 7200.0).abs() < 1e-6);
        assert_eq!(day.starts, 1);
    }

    #[test]
    fn sleep_and_rest_cost_nothing_and_days_are_kept_apart() {
        let readings = Readings { jobs_load: Some(1.0), cpus: 1, ..Readings::default() };
        let mut meter = Meter::default();
        meter.add(&sample(&readings, 0, 1, true));
        meter.add(&sample(&readings, 50_000, 1, true));
        assert_eq!(meter.day(1).jobs_wh, 0.0, "the device slept");
        meter.add(&sample(&readings, 50_010, 1, false));
        meter.add(&sample(&readings, 50_040, 1, false));
        let before = meter.day(1);
        assert!((before.worked_seconds - 10.0).abs() < 1e-6);
        meter.add(&sample(&readings, 50_050, 2, true));
        assert_eq!((meter.day(1), meter.day(2).starts), (before, 1));
        for day in 3..100 {
            meter.add(&sample(&readings, 60_000, day, false));
        }
        assert_eq!(meter.days().len(), Meter::KEPT);
        let text = serde_json::to_string(&meter).unwrap();
        let read: Meter = serde_json::from_str(&text).unwrap();
        assert_eq!(read.days(), meter.days());
    }
}
