use crate::sensors::{Ask, HostSensors, Roots, SystemSensors};
use crate::{Pressure, Readings};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A machine of files.
pub(super) struct Machine(tempfile::TempDir);

impl Machine {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn file(&self, path: &str, content: &str) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{content}\n")).unwrap();
        self
    }

    pub(super) fn roots(&self) -> Roots {
        let part = |name: &str| self.0.path().join(name);
        Roots {
            sys: part("sys"),
            proc: part("proc"),
            dev: part("dev"),
            run: part("run"),
            display: None,
            wayland: false,
            system_bus: None,
            session_bus: None,
        }
    }

    fn read(&self) -> Readings {
        SystemSensors::with_roots(self.roots(), None).read(&ask())
    }
}

/// A plain reading, now.
pub(super) fn ask() -> Ask<'static> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    Ask { now, ..Ask::default() }
}

fn used(path: &Path, ago: u64) {
    let times = fs::FileTimes::new().set_accessed(SystemTime::now() - Duration::from_secs(ago));
    fs::File::options().write(true).open(path).unwrap().set_times(times).unwrap();
}

#[test]
fn a_bare_machine_is_plugged_in_and_unattended() {
    let readings = Machine::new().read();
    assert_eq!((readings.has_battery, readings.plugged_in, readings.battery), (false, Some(true), None));
    assert_eq!((readings.cpu_celsius, readings.battery_celsius), (None, None));
    assert!(readings.unattended && readings.user_idle.is_none());
    let unknown = (readings.cpu_load, readings.pressure, readings.network_metered, readings.locked);
    assert_eq!(unknown, (None, None, None, None));
}

/// A machine with two processors whose `/proc` is of files.
struct Load(Machine);

impl Load {
    fn new() -> Self {
        let load = Self(Machine::new());
        load.0.file("proc/meminfo", "MemTotal:  8000 kB\nMemFree: 100 kB\nMemAvailable:  6000 kB");
        load
    }

    /// Ticks since the start: of everything, of this process, of its ended children, of a living child.
    fn ticks(&self, busy: u64, total: u64, own: u64, ended: u64, child: u64) -> &Self {
        let idle = total - busy;
        let stat =
            |own: u64, ended: u64| format!("7 (a ) b) S 1 1 1 0 -1 0 0 0 0 0 {own} 0 {ended} 0 39 19 1 0");
        self.0
            .file(
                "proc/stat",
                &format!("cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 0 0 1\ncpu1 1 0 0 1\nintr 5"),
            )
            .file("proc/self/stat", &stat(own, ended))
            .file("proc/self/task/7/children", "8 ")
            .file("proc/8/stat", &stat(child, 0))
            .file("proc/8/task/8/children", "");
        self
    }
}

fn about(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() < 1e-9)
}

#[test]
fn the_load_is_told_apart() {
    let load = Load::new();
    load.ticks(100, 1000, 50, 10, 20);
    let mut sensors = SystemSensors::with_roots(load.0.roots(), None);
    let working = Ask { working: true, ..ask() };
    let first = sensors.read(&working);
    assert_eq!((first.cpu_load, first.others_load, first.jobs_load), (None, None, None));
    assert_eq!((first.cpus, first.memory_used, first.memory_total), (2, 2_048_000, 8_192_000));
    // Of 200 ticks, 10 are ours, 60 the child's, 50 others'.
    load.ticks(220, 1200, 60, 10, 80);
    let readings = sensors.read(&working);
    assert!(about(readings.cpu_load, 0.6) && about(readings.jobs_load, 0.3), "{readings:?}");
    assert!(about(readings.others_load, 0.25), "{readings:?}");
    // Too soon to tell: as before.
    load.ticks(221, 1201, 60, 10, 80);
    assert!(about(sensors.read(&working).jobs_load, 0.3));
    // The child ended: its time is in the parent's sum now, so nothing is counted twice.
    load.ticks(320, 1400, 60, 110, 0);
    let readings = sensors.read(&working);
    assert!(about(readings.jobs_load, 0.1) && about(readings.others_load, 0.4), "{readings:?}");
    // A kernel that does not name children: then nobody can tell what others use.
    load.ticks(420, 1600, 60, 110, 0);
    fs::remove_file(load.0.0.path().join("proc/self/task/7/children")).unwrap();
    let readings = sensors.read(&working);
    assert!(about(readings.cpu_load, 0.5) && readings.others_load.is_none());
}

#[test]
fn containers_are_no_others() {
    let load = Load::new();
    load.ticks(100, 1000, 50, 10, 0);
    let mut sensors = SystemSensors::with_roots(load.0.roots(), None);
    let used = |ms: u64| Ask { working: true, outside: Duration::from_millis(ms), ..ask() };
    // What they had used before the first reading says nothing.
    sensors.read(&used(5000));
    // Of 200 ticks, 60 are a container's, 60 others'.
    load.ticks(220, 1200, 50, 10, 0);
    let readings = sensors.read(&used(5600));
    assert!(about(readings.cpu_load, 0.6) && about(readings.jobs_load, 0.3), "{readings:?}");
    assert!(about(readings.others_load, 0.3), "{readings:?}");
    // It has ended, and nothing more is its use.
    load.ticks(280, 1400, 50, 10, 0);
    let readings = sensors.read(&used(5600));
    assert!(about(readings.jobs_load, 0.0) && about(readings.others_load, 0.3), "{readings:?}");
}

#[test]
fn this_machines_own_proc_can_be_read() {
    let roots = Roots { proc: "/proc".into(), ..Machine::new().roots() };
    let mut sensors = SystemSensors::with_roots(roots, None);
    let working = Ask { working: true, ..ask() };
    let first = sensors.read(&working);
    assert!(first.cpus > 0 && first.memory_total > first.memory_used && first.memory_used > 0);
    let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let last = loop {
        std::thread::sleep(Duration::from_millis(100));
        let readings = sensors.read(&working);
        if readings.cpu_load.is_some() {
            break readings;
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    let parts = [last.cpu_load, last.others_load, last.jobs_load].map(Option::unwrap);
    assert!(parts.iter().all(|part| (0.0..=1.0).contains(part)), "{parts:?}");
}

#[test]
fn programs_are_found_by_their_names() {
    let machine = Machine::new();
    machine
        .file("proc/12/comm", "steam")
        .file("proc/13/comm", "Game.exe")
        .file("proc/14/comm", "a-very-long-nam")
        .file("proc/14/cmdline", "/opt/x/a-very-long-name-indeed\0--flag")
        .file("proc/self/comm", "hidden")
        .file("proc/sys/comm", "hidden");
    let find = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let ask = Ask { programs: &names, ..ask() };
        SystemSensors::with_roots(machine.roots(), None).read(&ask).program
    };
    assert_eq!(find(&[]), None);
    assert_eq!(find(&["hidden", "team", "steamy"]), None);
    assert_eq!(find(&["Steam"]).as_deref(), Some("Steam"));
    assert_eq!(find(&["nothing", "game", "steam"]).as_deref(), Some("game"));
    assert_eq!(find(&["A-very-long-name-indeed"]).as_deref(), Some("A-very-long-name-indeed"));
    assert_eq!(find(&["a-very-long-name-other"]), None);
}

#[test]
fn pressure_is_read_where_the_kernel_counts_it() {
    let machine = Machine::new();
    let line = |some: &str, full: &str| {
        format!(
            "some avg10={some} avg60=0.00 avg300=0.00 total=1\nfull avg10={full} avg60=0.00 avg300=0.00 total=1"
        )
    };
    machine.file("proc/pressure/cpu", &line("41.67", "0.00")).file("proc/pressure/io", &line("9.00", "8.50"));
    assert_eq!(machine.read().pressure, None);
    machine.file("proc/pressure/memory", &line("7.00", "6.25"));
    let expected = Pressure { cpu_some: 41.67, memory_full: 6.25, io_full: 8.5 };
    assert_eq!(machine.read().pressure, Some(expected));
    machine.file("proc/pressure/memory", &line("7.00", "nonsense"));
    assert_eq!(machine.read().pressure, None);
}

const BAT: &str = "sys/class/power_supply/BAT0";

fn laptop() -> Machine {
    let machine = Machine::new();
    machine
        .file("sys/class/power_supply/AC/type", "Mains")
        .file("sys/class/power_supply/AC/online", "1")
        .file(&format!("{BAT}/type"), "Battery")
        .file(&format!("{BAT}/status"), "Charging")
        .file(&format!("{BAT}/capacity"), "73")
        .file(&format!("{BAT}/temp"), "312")
        .file("sys/class/power_supply/hidpp_battery_0/type", "Battery")
        .file("sys/class/power_supply/hidpp_battery_0/scope", "Device")
        .file("sys/class/power_supply/hidpp_battery_0/capacity", "5")
        .file("sys/class/power_supply/hidpp_battery_0/status", "Discharging");
    machine
}

#[test]
fn a_laptops_power() {
    let machine = laptop();
    let readings = machine.read();
    assert!(readings.has_battery);
    assert_eq!(
        (readings.plugged_in, readings.battery, readings.battery_celsius),
        (Some(true), Some(0.73), Some(31.2))
    );
    machine.file("sys/class/power_supply/AC/online", "0").file(&format!("{BAT}/status"), "Discharging");
    assert_eq!(machine.read().plugged_in, Some(false));
    machine.file(&format!("{BAT}/status"), "Unknown");
    assert_eq!(machine.read().plugged_in, Some(false));
    fs::remove_dir_all(machine.0.path().join("sys/class/power_supply/AC")).unwrap();
    assert_eq!(machine.read().plugged_in, None);
    machine.file(&format!("{BAT}/capacity"), "nonsense").file(&format!("{BAT}/charge_now"), "30");
    assert_eq!(machine.read().battery, None);
    machine.file(&format!("{BAT}/charge_full"), "40");
    assert_eq!(machine.read().battery, Some(0.75));
    machine.file(&format!("{BAT}/present"), "0");
    assert!(!machine.read().has_battery);
}

#[test]
fn the_hottest_processor_sensor_and_its_trip_point() {
    let machine = Machine::new();
    machine
        .file("sys/class/thermal/thermal_zone0/type", "acpitz")
        .file("sys/class/thermal/thermal_zone0/temp", "99000")
        .file("sys/class/thermal/cooling_device0/type", "Processor");
    assert_eq!(machine.read().cpu_celsius, Some(99.0));
    machine
        .file("sys/class/thermal/thermal_zone1/type", "x86_pkg_temp")
        .file("sys/class/thermal/thermal_zone1/temp", "61500")
        .file("sys/class/thermal/thermal_zone1/trip_point_0_type", "passive")
        .file("sys/class/thermal/thermal_zone1/trip_point_0_temp", "50000")
        .file("sys/class/thermal/thermal_zone1/trip_point_1_type", "critical")
        .file("sys/class/thermal/thermal_zone1/trip_point_1_temp", "105000");
    let readings = machine.read();
    assert_eq!((readings.cpu_celsius, readings.cpu_trip_celsius), (Some(61.5), Some(105.0)));
    machine
        .file("sys/class/hwmon/hwmon3/name", "coretemp")
        .file("sys/class/hwmon/hwmon3/temp2_input", "66000")
        .file("sys/class/hwmon/hwmon3/temp2_crit", "100000")
        .file("sys/class/hwmon/hwmon3/temp3_input", "-999000")
        .file("sys/class/hwmon/hwmon4/name", "nvme")
        .file("sys/class/hwmon/hwmon4/temp1_input", "80000");
    let readings = machine.read();
    assert_eq!((readings.cpu_celsius, readings.cpu_trip_celsius), (Some(66.0), Some(100.0)));
}

#[test]
fn terminals_tell_the_idle_time() {
    let machine = Machine::new();
    machine.file("dev/pts/0", "").file("dev/pts/1", "").file("dev/pts/ptmx", "");
    for (file, ago) in [("dev/pts/0", 400), ("dev/pts/1", 100), ("dev/pts/ptmx", 1)] {
        used(&machine.0.path().join(file), ago);
    }
    let readings = machine.read();
    assert!(!readings.unattended);
    let idle = readings.user_idle.unwrap();
    assert!((99.0..105.0).contains(&idle), "{idle}");
    assert_eq!(readings.user_idle_source, "the last input on a terminal");
}

#[test]
fn a_terminal_that_nobody_used_is_nobody() {
    let machine = Machine::new();
    machine.file("dev/tty1", "");
    used(&machine.0.path().join("dev/tty1"), 3600);
    assert!(machine.read().unattended);
}

#[test]
fn a_screen_that_cannot_be_asked_is_unknown() {
    let machine = Machine::new();
    machine.file("dev/pts/0", "").file("run/systemd/sessions/2", "CLASS=user\nTYPE=wayland\nSTATE=active");
    let readings = machine.read();
    assert!(!readings.unattended && readings.user_idle.is_none());

    let greeter = Machine::new();
    greeter.file("run/systemd/sessions/c1", "CLASS=greeter\nTYPE=x11\nSTATE=active");
    assert!(greeter.read().unattended);

    let mut roots = Machine::new().roots();
    roots.display = Some(":4711".into());
    let readings = SystemSensors::with_roots(roots.clone(), None).read(&ask());
    assert!(!readings.unattended && readings.user_idle.is_none(), "{readings:?}");
    roots.wayland = true;
    let readings = SystemSensors::with_roots(roots, None).read(&ask());
    assert!(readings.user_idle_source.contains("Wayland"));
}
