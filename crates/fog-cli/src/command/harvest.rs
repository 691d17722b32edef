//! `fog harvest`.

use super::client;
use crate::args::{Global, HarvestCommand, Switch};
use crate::output::{show, words};
use anyhow::Result;
use fog_api::{GetHarvest, HarvestView, SetHarvest, WorkNow};
use std::io::{self, Write};

pub(crate) fn run(global: &Global, command: &HarvestCommand) -> Result<()> {
    let client = client(global)?;
    let view = match command {
        HarvestCommand::Status => client.call(GetHarvest {})?,
        HarvestCommand::Now { switch } => client.call(WorkNow { on: *switch == Switch::On })?,
        HarvestCommand::Set { enabled, on_battery, alongside, idle_minutes, cpu_percent, memory_percent } => {
            let mut prefs = client.call(GetHarvest {})?.prefs;
            prefs.enabled = enabled.unwrap_or(prefs.enabled);
            prefs.on_battery = on_battery.unwrap_or(prefs.on_battery);
            prefs.alongside = alongside.unwrap_or(prefs.alongside);
            prefs.idle_minutes = idle_minutes.unwrap_or(prefs.idle_minutes);
            prefs.cpu_percent = cpu_percent.unwrap_or(prefs.cpu_percent);
            prefs.memory_percent = memory_percent.unwrap_or(prefs.memory_percent);
            client.call(SetHarvest { prefs })?
        }
    };
    show(global, &view, human)
}

fn human(out: &mut dyn Write, v: &HarvestView) -> io::Result<()> {
    writeln!(out, "{}: {}", words(&v.state), v.reason)?;
    let s = &v.sensors;
    let unknown = || "unknown".to_string();
    let celsius = |c: Option<f64>| c.map_or_else(unknown, |c| format!("{c:.0} °C"));
    let percent = |p: Option<f64>| p.map_or_else(unknown, |p| format!("{:.0} %", p * 100.0));
    let power =
        s.plugged_in.map_or_else(unknown, |p| if p { "plugged in".into() } else { "on battery".into() });
    writeln!(
        out,
        "  power     {power}, battery {}",
        if s.has_battery { percent(s.battery) } else { "none".into() }
    )?;
    writeln!(out, "  heat      CPU {}, battery {}", celsius(s.cpu_celsius), celsius(s.battery_celsius))?;
    writeln!(out, "  load      {} of {} processors", percent(s.cpu_load), s.cpus)?;
    writeln!(
        out,
        "  user idle {} ({})",
        s.user_idle.map_or_else(unknown, |i| format!("{i:.0} s")),
        s.user_idle_source
    )?;
    writeln!(out, "  jobs may use {:.0} % of the CPU", v.cpu_share * 100.0)
}
