//! Reads the machine. Cheap enough for once a second: some small files, and one question to the screen.

#[cfg(target_os = "linux")]
mod idle;
#[cfg(target_os = "linux")]
mod sysfs;

#[cfg(not(target_os = "linux"))]
mod other;

use crate::Readings;
use std::path::PathBuf;
use sysinfo::{MemoryRefreshKind, System};

/// Something that can tell how a device fares.
pub trait HostSensors: Send {
    /// Reads everything. `now` is the time in seconds since 1970. A sensor that does not answer is `None`; reading never
    /// fails. It may block for some milliseconds.
    fn read(&mut self, now: f64) -> Readings;
}

/// Where the system's files are; tests put a tree of their own there.
#[derive(Debug, Clone)]
pub struct Roots {
    /// For `/sys`: power supplies, thermal zones, hardware monitors. Linux only.
    pub sys: PathBuf,
    /// For `/dev`: the terminals.
    pub dev: PathBuf,
    /// For `/run`: the login sessions.
    pub run: PathBuf,
    /// The X display, as `DISPLAY` names it; none if there is none.
    pub display: Option<String>,
    /// True if a Wayland compositor runs the screen.
    pub wayland: bool,
}

impl Roots {
    /// The real places, but `/sys` at `sysfs_root`; the screens as the environment names them.
    pub fn system(sysfs_root: impl Into<PathBuf>) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            sys: sysfs_root.into(),
            dev: "/dev".into(),
            run: "/run".into(),
            display: variable("DISPLAY"),
            wayland: variable("WAYLAND_DISPLAY").is_some()
                || variable("XDG_SESSION_TYPE").is_some_and(|kind| kind == "wayland"),
        }
    }
}

/// The sensors of the machine it runs on.
///
/// On Linux it reads power supplies, thermal zones and hardware monitors under the given root, load and memory through
/// `sysinfo`, and the user's idle time from the X screen saver extension or, without a screen, from the terminals. On
/// other systems power comes from `starship-battery`, heat from `sysinfo`, and the idle time is unknown for now, so that
/// such a device works alongside its user, on "work now", or not at all.
pub struct SystemSensors {
    system: Option<System>,
    first: bool,
    #[cfg(target_os = "linux")]
    roots: Roots,
    #[cfg(target_os = "linux")]
    idle: idle::Idle,
    #[cfg(not(target_os = "linux"))]
    other: other::Other,
}

impl SystemSensors {
    /// Sensors of this machine with `/sys` at `sysfs_root`, which only Linux uses.
    pub fn new(sysfs_root: impl Into<PathBuf>) -> Self {
        Self::with_roots(Roots::system(sysfs_root))
    }

    /// Sensors with all files at places of the caller's choice.
    pub fn with_roots(roots: Roots) -> Self {
        #[cfg(not(target_os = "linux"))]
        let _ = &roots;
        Self {
            system: System::new().inspect_err(|error| tracing::warn!(%error, "no load and memory")).ok(),
            first: true,
            #[cfg(target_os = "linux")]
            idle: idle::Idle::new(&roots),
            #[cfg(target_os = "linux")]
            roots,
            #[cfg(not(target_os = "linux"))]
            other: other::Other::new(),
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
}

impl HostSensors for SystemSensors {
    fn read(&mut self, now: f64) -> Readings {
        let mut readings = Readings { time: now, ..Readings::default() };
        self.load_and_memory(&mut readings);
        #[cfg(target_os = "linux")]
        {
            sysfs::power(&self.roots.sys, &mut readings);
            sysfs::heat(&self.roots.sys, &mut readings);
            self.idle.read(now, &mut readings);
        }
        #[cfg(not(target_os = "linux"))]
        self.other.read(&mut readings);
        readings
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
