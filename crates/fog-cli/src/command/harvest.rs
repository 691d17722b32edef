//! `fog harvest`.

use super::client;
use crate::args::{Global, HarvestCommand, HarvestSet, Mode, Switch};
use crate::output::{show, words};
use anyhow::Result;
use fog_api::{
    GetHarvest, HarvestDay, HarvestMode, HarvestPrefs, HarvestView, PauseHarvest, SetHarvest, SetHarvestMode,
    WorkNow,
};
use std::io::{self, Write};

pub(crate) fn run(global: &Global, command: &HarvestCommand) -> Result<()> {
    let client = client(global)?;
    let view = match command {
        HarvestCommand::Status => client.call(GetHarvest {})?,
        HarvestCommand::Now { switch } => client.call(WorkNow { on: *switch == Switch::On })?,
        HarvestCommand::Pause { seconds } => client.call(PauseHarvest { seconds: *seconds })?,
        HarvestCommand::Set(change) => {
            let before = match change.mode {
                Some(mode) => client.call(SetHarvestMode { mode: api_mode(mode) })?,
                None => client.call(GetHarvest {})?,
            };
            let mut prefs = before.prefs.clone();
            apply(change, &mut prefs);
            // A mode alone is done already.
            if prefs == before.prefs { before } else { client.call(SetHarvest { prefs })? }
        }
    };
    show(global, &view, human)
}

fn api_mode(mode: Mode) -> HarvestMode {
    match mode {
        Mode::Conservative => HarvestMode::Conservative,
        Mode::Balanced => HarvestMode::Balanced,
        Mode::Aggressive => HarvestMode::Aggressive,
    }
}

fn apply(change: &HarvestSet, prefs: &mut HarvestPrefs) {
    fn put<T: Clone>(to: &mut T, from: Option<&T>) {
        if let Some(value) = from {
            to.clone_from(value);
        }
    }
    put(&mut prefs.enabled, change.enabled.as_ref());
    put(&mut prefs.on_battery, change.on_battery.as_ref());
    put(&mut prefs.battery_start, change.battery_start.as_ref());
    put(&mut prefs.battery_stop, change.battery_stop.as_ref());
    put(&mut prefs.alongside, change.alongside.as_ref());
    put(&mut prefs.idle_minutes, change.idle_minutes.as_ref());
    put(&mut prefs.metered, change.metered.as_ref());
    put(&mut prefs.cpu_percent, change.cpu_percent.as_ref());
    put(&mut prefs.memory_percent, change.memory_percent.as_ref());
    put(&mut prefs.grace_seconds, change.grace_seconds.as_ref());
    put(&mut prefs.others_percent, change.others_percent.as_ref());
    put(&mut prefs.quiet, change.quiet.as_ref());
    put(&mut prefs.hours, change.hours.as_ref());
    if !change.exclusive.is_empty() {
        prefs.exclusive.clone_from(&change.exclusive);
    }
    put(&mut prefs.price_per_kwh, change.price_per_kwh.map(|n| n.0).as_ref());
    put(&mut prefs.idle_watts, change.idle_watts.map(|n| n.0).as_ref());
    put(&mut prefs.busy_watts, change.busy_watts.map(|n| n.0).as_ref());
}

fn human(out: &mut dyn Write, v: &HarvestView) -> io::Result<()> {
    writeln!(out, "{}: {}", words(&v.state), v.reason)?;
    let s = &v.sensors;
    let unknown = || "unknown".to_string();
    let celsius = |c: Option<f64>| c.map_or_else(unknown, |c| format!("{c:.0} °C"));
    let percent = |p: Option<f64>| p.map_or_else(unknown, |p| format!("{:.0} %", p * 100.0));
    let either = |flag: Option<bool>, yes: &str, no: &str| {
        flag.map_or_else(unknown, |on| if on { yes.to_owned() } else { no.to_owned() })
    };
    let battery = if s.has_battery { percent(s.battery) } else { "none".into() };
    writeln!(out, "  power     {}, battery {battery}", either(s.plugged_in, "plugged in", "on battery"))?;
    let says = s.thermal.map_or_else(String::new, |t| format!(", the system says {}", words(&t)));
    writeln!(
        out,
        "  heat      CPU {}, battery {}{says}",
        celsius(s.cpu_celsius),
        celsius(s.battery_celsius)
    )?;
    writeln!(
        out,
        "  load      {} of {} processors; jobs {}, other programs {}",
        percent(s.cpu_load),
        s.cpus,
        percent(s.jobs_load),
        percent(s.others_load)
    )?;
    writeln!(
        out,
        "  user idle {} ({}), screen {}, {}",
        s.user_idle.map_or_else(unknown, |i| format!("{i:.0} s")),
        s.user_idle_source,
        either(s.screen_off, "off", "on"),
        either(s.locked, "locked", "not locked"),
    )?;
    writeln!(out, "  network   {}", either(s.network_metered, "metered", "not metered"))?;
    writeln!(out, "  jobs may use {:.0} % of the CPU", v.cpu_share * 100.0)?;
    let mode = v.mode.map_or_else(|| "your own".into(), |mode| words(&mode));
    writeln!(out, "  mode      {mode}; hours {}", v.prefs.hours)?;
    if !v.prefs.exclusive.is_empty() {
        writeln!(out, "  not while {} runs", v.prefs.exclusive.join(", "))?;
    }
    day(out, "today", &v.today)?;
    for d in v.days.iter().rev().take(6) {
        day(out, &d.date, d)?;
    }
    let guess = if v.power.guessed { ", a guess" } else { "" };
    writeln!(
        out,
        "  estimated by P = {:.0} W + {:.0} W x CPU utilisation{guess}",
        v.power.idle_watts, v.power.busy_watts
    )
}

fn day(out: &mut dyn Write, name: &str, d: &HarvestDay) -> io::Result<()> {
    let cost = d.cost.map_or_else(String::new, |cost| format!(", cost {cost:.3}"));
    writeln!(
        out,
        "  {name:<9} worked {:.1} h, {:.2} CPU hours; {:.1} Wh for jobs{cost}; earned {} FOG",
        d.worked_seconds / 3600.0,
        d.cpu_seconds / 3600.0,
        d.jobs_wh,
        d.earned
    )
}
