//! Reads the machine. Cheap enough for twice a second: some small files, and at most one question to the screen.
//!
//! | | Linux | Windows | macOS |
//! |---|---|---|---|
//! | power, battery | `/sys/class/power_supply`, else UPower | `GetSystemPowerStatus`, `starship-battery` | `starship-battery` |
//! | heat | `/sys/class/thermal`, `/sys/class/hwmon` | `sysinfo` | `sysinfo`, `NSProcessInfo` |
//! | load, memory, programs | `/proc` | `sysinfo` | `sysinfo` |
//! | pressure | `/proc/pressure` | - | - |
//! | user's idle time | X screen saver, Mutter, ScreenSaver, logind, terminals | `GetLastInputInfo` | Quartz event source |
//! | lock, screen | logind, X power management, Mutter, ScreenSaver | session information | Quartz |
//! | metered network | NetworkManager, kind of the interface | - | - |
//!
//! What a machine does not tell is `None`, and the policy takes the careful side of it.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(windows)]
mod windows;

use crate::Readings;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What a reading depends on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask<'a> {
    /// The present time, seconds since 1970.
    pub now: f64,
    /// Names of programs to look for, without regard to case.
    pub programs: &'a [String],
    /// True if this process runs jobs in processes of its own, whose share of the load is to be told.
    pub working: bool,
    /// CPU time that jobs have used so far in processes that are not below this one: containers are their engine's
    /// children. It only grows. Linux only.
    pub outside: Duration,
}

/// Something that can tell how a device fares.
pub trait HostSensors: Send {
    /// Reads everything. A sensor that does not answer is `None`; reading never fails. It may block for some
    /// milliseconds.
    fn read(&mut self, ask: &Ask<'_>) -> Readings;
}

/// Called when something has changed that is worth a reading at once: the user is back, the plug was pulled.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Where the system's files are; tests put a tree of their own there.
#[derive(Debug, Clone)]
pub struct Roots {
    /// For `/sys`: power supplies, thermal zones, hardware monitors. Linux only, as all of these.
    pub sys: PathBuf,
    /// For `/proc`: load, memory, pressure, programs.
    pub proc: PathBuf,
    /// For `/dev`: the terminals.
    pub dev: PathBuf,
    /// For `/run`: the login sessions.
    pub run: PathBuf,
    /// The X display, as `DISPLAY` names it; none if there is none.
    pub display: Option<String>,
    /// True if a Wayland compositor runs the screen.
    pub wayland: bool,
    /// The address of the system's message bus; none does not ask it.
    pub system_bus: Option<String>,
    /// The address of the session's message bus; none does not ask it.
    pub session_bus: Option<String>,
}

impl Roots {
    /// The real places, but `/sys` at `sysfs_root`; the screens and buses as the environment names them.
    pub fn system(sysfs_root: impl Into<PathBuf>) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let socket = |path: PathBuf| path.exists().then(|| format!("unix:path={}", path.display()));
        Self {
            sys: sysfs_root.into(),
            proc: "/proc".into(),
            dev: "/dev".into(),
            run: "/run".into(),
            display: variable("DISPLAY"),
            wayland: variable("WAYLAND_DISPLAY").is_some()
                || variable("XDG_SESSION_TYPE").is_some_and(|kind| kind == "wayland"),
            system_bus: variable("DBUS_SYSTEM_BUS_ADDRESS")
                .or_else(|| socket("/run/dbus/system_bus_socket".into())),
            session_bus: variable("DBUS_SESSION_BUS_ADDRESS")
                .or_else(|| socket(PathBuf::from(variable("XDG_RUNTIME_DIR")?).join("bus"))),
        }
    }
}

/// The sensors of the machine it runs on.
pub struct SystemSensors {
    #[cfg(target_os = "linux")]
    system: linux::Linux,
    #[cfg(not(target_os = "linux"))]
    system: elsewhere::Elsewhere,
}

impl SystemSensors {
    /// Sensors of this machine with `/sys` at `sysfs_root`, which only Linux uses.
    pub fn new(sysfs_root: impl Into<PathBuf>) -> Self {
        Self::with_roots(Roots::system(sysfs_root), None)
    }

    /// Sensors with all files at places of the caller's choice. `wake` is called from a thread of the sensors.
    #[cfg_attr(not(target_os = "linux"), allow(unused_variables, clippy::needless_pass_by_value))]
    pub fn with_roots(roots: Roots, wake: Option<Wake>) -> Self {
        Self {
            #[cfg(target_os = "linux")]
            system: linux::Linux::new(roots, wake),
            #[cfg(not(target_os = "linux"))]
            system: elsewhere::Elsewhere::new(),
        }
    }
}

impl HostSensors for SystemSensors {
    fn read(&mut self, ask: &Ask<'_>) -> Readings {
        let mut readings = Readings { time: ask.now, ..Readings::default() };
        self.system.read(ask, &mut readings);
        readings
    }
}
