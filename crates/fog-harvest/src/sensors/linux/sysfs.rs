//! Power supplies, thermal zones and hardware monitors from the kernel's files.

use crate::Readings;
use std::fs;
use std::path::{Path, PathBuf};

/// Kinds of thermal zones and names of hardware monitors that measure a processor. Part of a name is enough.
const PROCESSORS: &[&str] = &["x86_pkg_temp", "cpu", "soc", "coretemp", "k10temp", "k8temp", "zenpower"];
/// Others that come near it: the main board's own zone.
const NEAR: &[&str] = &["acpitz", "thermal_zone", "x86"];

/// Fills in the power.
pub(super) fn power(sys: &Path, readings: &mut Readings) {
    let (mut mains, mut charges, mut charging) = (None, Vec::new(), None);
    for supply in entries(&sys.join("class/power_supply")) {
        match text(&supply, "type").as_deref() {
            Some("Mains" | "USB" | "Wireless") => {
                if let Some(online) = number(&supply, "online") {
                    mains = Some(mains.unwrap_or(false) || online > 0.0);
                }
            }
            // The scope "Device" is a mouse's or a headset's battery.
            Some("Battery")
                if text(&supply, "scope").as_deref() != Some("Device")
                    && number(&supply, "present") != Some(0.0) =>
            {
                readings.has_battery = true;
                charges.extend(charge(&supply));
                let now = match text(&supply, "status").as_deref() {
                    // Held at a limit that the owner set: it is plugged in.
                    Some("Charging" | "Full" | "Not charging") => Some(true),
                    Some("Discharging") => Some(false),
                    _ => None,
                };
                charging = match (charging, now) {
                    (Some(a), Some(b)) => Some(a || b),
                    (a, b) => a.or(b),
                };
                let celsius = number(&supply, "temp").map(|tenths| tenths / 10.0);
                readings.battery_celsius = hotter(readings.battery_celsius, celsius);
            }
            _ => {}
        }
    }
    if !charges.is_empty() {
        readings.battery = Some(charges.iter().sum::<f64>() / charges.len() as f64);
    }
    readings.plugged_in = match (readings.has_battery, mains, charging) {
        (false, ..) | (_, Some(true), _) => Some(true),
        // A port that gives nothing to this device may still be charging it over another one.
        (_, _, Some(charging)) => Some(charging),
        (_, Some(false), None) => Some(false),
        (_, None, None) => None,
    };
}

/// How full a battery is, 0 to 1.
fn charge(supply: &Path) -> Option<f64> {
    let part = |now, full| Some(number(supply, now)? / number(supply, full).filter(|full| *full > 0.0)?);
    number(supply, "capacity")
        .map(|percent| percent / 100.0)
        .or_else(|| part("energy_now", "energy_full"))
        .or_else(|| part("charge_now", "charge_full"))
        .filter(|share| share.is_finite())
        .map(|share| share.clamp(0.0, 1.0))
}

/// Fills in the hottest processor sensor, and the trip point of the same sensor.
pub(super) fn heat(sys: &Path, readings: &mut Readings) {
    let mut found: Vec<(bool, f64, Option<f64>)> = Vec::new();
    for zone in entries(&sys.join("class/thermal")) {
        let kind = text(&zone, "type").unwrap_or_default().to_lowercase();
        if let (Some(exact), Some(celsius)) = (rank(&kind), celsius(&zone, "temp")) {
            found.push((exact, celsius, zone_trip(&zone)));
        }
    }
    for monitor in entries(&sys.join("class/hwmon")) {
        let name = text(&monitor, "name").unwrap_or_default().to_lowercase();
        let Some(exact) = rank(&name) else { continue };
        for input in files(&monitor, "temp", "_input") {
            let stem = input.trim_end_matches("_input");
            if let Some(now) = celsius(&monitor, &input) {
                found.push((exact, now, celsius(&monitor, &format!("{stem}_crit"))));
            }
        }
    }
    // A sensor in the processor counts before one beside it.
    let exact = found.iter().any(|(exact, ..)| *exact);
    let hottest = found.into_iter().filter(|found| found.0 == exact).max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((_, celsius, trip)) = hottest {
        readings.cpu_celsius = Some(celsius);
        readings.cpu_trip_celsius = trip;
    }
}

/// True for a sensor in the processor, false for one beside it, none for another part's.
fn rank(name: &str) -> Option<bool> {
    let has = |list: &[&str]| list.iter().any(|part| name.contains(part));
    if has(PROCESSORS) {
        Some(true)
    } else if has(NEAR) {
        Some(false)
    } else {
        None
    }
}

/// The lowest point at which the hardware protects itself.
fn zone_trip(zone: &Path) -> Option<f64> {
    files(zone, "trip_point_", "_type")
        .into_iter()
        .filter(|file| matches!(text(zone, file).as_deref(), Some("hot" | "critical")))
        .filter_map(|file| celsius(zone, &file.replace("_type", "_temp")))
        .min_by(f64::total_cmp)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(list) = fs::read_dir(folder) else { return Vec::new() };
    list.flatten().map(|entry| entry.path()).collect()
}

fn files(folder: &Path, start: &str, end: &str) -> Vec<String> {
    let Ok(list) = fs::read_dir(folder) else { return Vec::new() };
    list.flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(start) && name.ends_with(end))
        .collect()
}

fn text(folder: &Path, file: &str) -> Option<String> {
    fs::read_to_string(folder.join(file)).ok().map(|text| text.trim().to_owned())
}

fn number(folder: &Path, file: &str) -> Option<f64> {
    text(folder, file)?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Thousandths of a degree in a file, as a plausible temperature in °C.
fn celsius(folder: &Path, file: &str) -> Option<f64> {
    number(folder, file).map(|milli| milli / 1000.0).filter(|t| (-40.0..=150.0).contains(t) && *t != 0.0)
}

fn hotter(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}
