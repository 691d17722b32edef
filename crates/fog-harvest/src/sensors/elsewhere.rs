//! Systems without the kernel's files: power by `starship-battery`, heat, load, memory and programs by `sysinfo`, and the
//! rest by the system's own calls.

#[cfg(target_os = "macos")]
use super::macos as system;
#[cfg(windows)]
use super::windows as system;

use super::Ask;
use crate::Readings;
use starship_battery::units::ratio::ratio;
use starship_battery::units::thermodynamic_temperature::degree_celsius;
use starship_battery::{Manager, State};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use sysinfo::{
    Components, MemoryRefreshKind, Pid, Process, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind,
};

/// The list of all processes is read at most this often.
const PROCESSES_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Elsewhere {
    system: Option<System>,
    first: bool,
    batteries: Option<Manager>,
    components: Option<Components>,
    processes: Option<Instant>,
}

impl Elsewhere {
    pub(super) fn new() -> Self {
        Self {
            system: System::new().inspect_err(|error| tracing::warn!(%error, "no load and memory")).ok(),
            first: true,
            batteries: Manager::new().ok(),
            components: Components::new_with_refreshed_list().ok(),
            processes: None,
        }
    }

    pub(super) fn read(&mut self, ask: &Ask<'_>, readings: &mut Readings) {
        self.load_and_memory(readings);
        self.programs(ask, readings);
        self.power(readings);
        self.heat(readings);
        #[cfg(any(windows, target_os = "macos"))]
        system::read(readings);
        #[cfg(not(any(windows, target_os = "macos")))]
        {
            readings.user_idle_source = "this system is not asked".into();
        }
    }

    fn load_and_memory(&mut self, readings: &mut Readings) {
        let Some(system) = &mut self.system else { return };
        system.refresh_cpu_usage();
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let load = f64::from(system.global_cpu_usage()) / 100.0;
        // The first reading has nothing to compare with.
        readings.cpu_load = (!std::mem::take(&mut self.first)).then_some(load.clamp(0.0, 1.0));
        readings.cpus = system.cpus().len() as u32;
        readings.memory_used = system.used_memory();
        readings.memory_total = system.total_memory();
    }

    /// The programs asked for, and how the load divides into jobs' and others'.
    fn programs(&mut self, ask: &Ask<'_>, readings: &mut Readings) {
        let Some(system) = &mut self.system else { return };
        if self.processes.is_none_or(|at| at.elapsed() >= PROCESSES_EVERY) {
            let kind = ProcessRefreshKind::nothing().with_cpu().with_exe(UpdateKind::OnlyIfNotSet);
            system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
            self.processes = Some(Instant::now());
        }
        let own = Pid::from_u32(std::process::id());
        let jobs = below(system, own);
        let share = |of: &mut dyn Iterator<Item = &Process>| {
            let percent: f64 = of.map(|process| f64::from(process.cpu_usage())).sum();
            (percent / 100.0 / f64::from(readings.cpus.max(1))).clamp(0.0, 1.0)
        };
        let jobs_load = share(&mut jobs.iter().filter_map(|id| system.process(*id)));
        let own_load = share(&mut system.process(own).into_iter());
        readings.jobs_load = readings.cpu_load.map(|all| jobs_load.min(all));
        readings.others_load = readings.cpu_load.map(|all| (all - jobs_load - own_load).max(0.0));
        let runs = |name: &&String| system.processes().values().any(|process| is(process, name));
        readings.program = ask.programs.iter().find(runs).cloned();
    }

    fn power(&mut self, readings: &mut Readings) {
        let list = self.batteries.as_ref().and_then(|manager| manager.batteries().ok());
        let batteries: Vec<_> = list.into_iter().flatten().flatten().collect();
        readings.has_battery = !batteries.is_empty();
        readings.plugged_in = Some(
            batteries.is_empty()
                || batteries.iter().any(|b| matches!(b.state(), State::Charging | State::Full)),
        );
        if !batteries.is_empty() {
            let sum: f64 = batteries.iter().map(|b| f64::from(b.state_of_charge().get::<ratio>())).sum();
            readings.battery = Some((sum / batteries.len() as f64).clamp(0.0, 1.0));
        }
        readings.battery_celsius = batteries
            .iter()
            .filter_map(|b| b.temperature())
            .map(|t| f64::from(t.get::<degree_celsius>()))
            .max_by(f64::total_cmp);
    }

    fn heat(&mut self, readings: &mut Readings) {
        let Some(components) = &mut self.components else { return };
        components.refresh(false);
        let processor = |label: &str| {
            let label = label.to_lowercase();
            ["cpu", "soc", "package", "core", "die"].iter().any(|part| label.contains(part))
        };
        let hottest = components
            .iter()
            .filter(|c| processor(c.label()))
            .filter_map(|c| Some((f64::from(c.temperature()?), c.critical().map(f64::from))))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((celsius, trip)) = hottest {
            readings.cpu_celsius = Some(celsius);
            readings.cpu_trip_celsius = trip;
        }
    }
}

/// The processes below this one.
fn below(system: &System, root: Pid) -> HashSet<Pid> {
    let mut found = HashSet::from([root]);
    loop {
        let children = system.processes().iter().filter(|(id, process)| {
            !found.contains(*id) && process.parent().is_some_and(|parent| found.contains(&parent))
        });
        let children: Vec<Pid> = children.map(|(id, _)| *id).collect();
        if children.is_empty() {
            break;
        }
        found.extend(children);
    }
    found.remove(&root);
    found
}

/// True if the process goes by this name, with or without its ending.
fn is(process: &Process, name: &str) -> bool {
    let plain = |text: &str| {
        let text = text.trim().to_lowercase();
        text.strip_suffix(".exe").or_else(|| text.strip_suffix(".app")).map(str::to_owned).unwrap_or(text)
    };
    plain(&process.name().to_string_lossy()) == plain(name)
}
