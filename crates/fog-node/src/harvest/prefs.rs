//! The owner's preferences: checked, kept, and in the policy's words.

use crate::error::{Result, bad_input};
use fog_api::{HarvestMode, HarvestPrefs};
use fog_harvest::{Hours, Mode, PowerModel, Prefs, Readings, Window};

const MAX_PROGRAMS: usize = 32;
const MAX_PROGRAM_NAME: usize = 64;
const MAX_GRACE: u32 = 3600;
const MAX_WATTS: f64 = 10_000.0;
const MAX_PRICE: f64 = 1e9;

/// Refuses what means nothing, with a word on what would.
pub(super) fn check(prefs: &mut HarvestPrefs) -> Result<()> {
    let percent = 1..=100;
    if !percent.contains(&prefs.cpu_percent) || !percent.contains(&prefs.memory_percent) {
        return Err(bad_input("The caps are 1 to 100 percent."));
    }
    if prefs.others_percent > 100 {
        return Err(bad_input("Other programs' share is 1 to 100 percent, or 0 to let them be."));
    }
    if prefs.idle_minutes > 24 * 60 {
        return Err(bad_input("The idle time is at most a day (1440 minutes)."));
    }
    if prefs.grace_seconds > MAX_GRACE {
        return Err(bad_input("The grace time is at most an hour (3600 seconds)."));
    }
    if !percent.contains(&prefs.battery_start) || prefs.battery_stop >= prefs.battery_start {
        return Err(bad_input(
            "On battery, work starts at 1 to 100 percent, and stops at a lower charge than it starts at.",
        ));
    }
    for name in &mut prefs.exclusive {
        *name = name.trim().to_owned();
    }
    prefs.exclusive.retain(|name| !name.is_empty());
    let wrong = |name: &String| {
        name.len() > MAX_PROGRAM_NAME || name.contains(['/', '\\']) || name.contains(char::is_control)
    };
    if let Some(name) = prefs.exclusive.iter().find(|name| wrong(name)) {
        return Err(bad_input(format!(
            "{name:?} is no program's name: write it without its folder, in at most {MAX_PROGRAM_NAME} bytes."
        )));
    }
    if prefs.exclusive.len() > MAX_PROGRAMS {
        return Err(bad_input(format!("At most {MAX_PROGRAMS} programs can be named.")));
    }
    let amount = |value: Option<f64>, most: f64| value.is_none_or(|v| (0.0..=most).contains(&v));
    if !amount(prefs.price_per_kwh, MAX_PRICE) {
        return Err(bad_input("The price of a kilowatt-hour is a number from 0 on."));
    }
    if !amount(prefs.idle_watts, MAX_WATTS) || !amount(prefs.busy_watts, MAX_WATTS) {
        return Err(bad_input("The device's power is 0 to 10000 watts."));
    }
    Ok(())
}

/// In the policy's words.
pub(super) fn policy(prefs: &HarvestPrefs) -> Prefs {
    let window = |w: &fog_api::HoursWindow| Window { day: w.day, from: w.from, to: w.to };
    Prefs {
        enabled: prefs.enabled,
        on_battery: prefs.on_battery,
        battery_start: prefs.battery_start,
        battery_stop: prefs.battery_stop,
        alongside: prefs.alongside,
        idle_minutes: prefs.idle_minutes,
        metered: prefs.metered,
        cpu_percent: prefs.cpu_percent,
        memory_percent: prefs.memory_percent,
        grace_seconds: prefs.grace_seconds,
        others_percent: prefs.others_percent,
        quiet: prefs.quiet,
        hours: Hours(prefs.hours.windows().iter().map(window).collect()),
        exclusive: prefs.exclusive.clone(),
    }
}

/// What the policy's preferences say, put into the owner's. Hours, programs and money stay.
fn take(prefs: &mut HarvestPrefs, policy: &Prefs) {
    prefs.on_battery = policy.on_battery;
    prefs.battery_start = policy.battery_start;
    prefs.battery_stop = policy.battery_stop;
    prefs.alongside = policy.alongside;
    prefs.idle_minutes = policy.idle_minutes;
    prefs.cpu_percent = policy.cpu_percent;
    prefs.memory_percent = policy.memory_percent;
    prefs.grace_seconds = policy.grace_seconds;
    prefs.others_percent = policy.others_percent;
    prefs.quiet = policy.quiet;
}

const MODES: [(HarvestMode, Mode); 3] = [
    (HarvestMode::Conservative, Mode::Conservative),
    (HarvestMode::Balanced, Mode::Balanced),
    (HarvestMode::Aggressive, Mode::Aggressive),
];

/// The mode that these preferences are.
pub(super) fn mode(prefs: &HarvestPrefs) -> Option<HarvestMode> {
    let mode = Mode::of(&policy(prefs))?;
    MODES.iter().find(|(_, m)| *m == mode).map(|(api, _)| *api)
}

/// Changes them to a mode.
pub(super) fn apply(prefs: &mut HarvestPrefs, mode: HarvestMode) {
    let mut changed = policy(prefs);
    for (_, m) in MODES.iter().filter(|(api, _)| *api == mode) {
        m.apply(&mut changed);
    }
    take(prefs, &changed);
}

/// The device's power: as the owner measured it, or a guess.
pub(super) fn power(prefs: &HarvestPrefs, readings: &Readings) -> PowerModel {
    let guess = PowerModel::guess(readings);
    PowerModel {
        idle_watts: prefs.idle_watts.unwrap_or(guess.idle_watts),
        busy_watts: prefs.busy_watts.unwrap_or(guess.busy_watts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_crates_have_the_same_defaults_and_modes_come_back() {
        let mut prefs = HarvestPrefs::default();
        assert_eq!(policy(&prefs), Prefs::default());
        prefs.price_per_kwh = Some(0.3);
        for (mode, _) in MODES {
            apply(&mut prefs, mode);
            assert_eq!(super::mode(&prefs), Some(mode));
        }
        assert_eq!(prefs.price_per_kwh, Some(0.3));
        prefs.cpu_percent = 51;
        assert_eq!(super::mode(&prefs), None);
    }

    #[test]
    fn nonsense_is_refused_and_names_are_trimmed() {
        type Change = fn(&mut HarvestPrefs);
        let bad: [Change; 9] = [
            |p| p.cpu_percent = 0,
            |p| p.memory_percent = 101,
            |p| p.others_percent = 101,
            |p| p.idle_minutes = 1441,
            |p| p.battery_stop = p.battery_start,
            |p| p.exclusive = vec!["/usr/bin/steam".into()],
            |p| p.exclusive = (0..33).map(|i| i.to_string()).collect(),
            |p| p.price_per_kwh = Some(f64::NAN),
            |p| p.busy_watts = Some(-1.0),
        ];
        for change in bad {
            let mut prefs = HarvestPrefs::default();
            change(&mut prefs);
            assert!(check(&mut prefs).is_err(), "{prefs:?}");
        }
        let mut prefs =
            HarvestPrefs { exclusive: vec![" steam ".into(), "  ".into()], ..HarvestPrefs::default() };
        assert!(check(&mut prefs).is_ok());
        assert_eq!(prefs.exclusive, ["steam"]);
    }
}
