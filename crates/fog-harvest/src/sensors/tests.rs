use super::*;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, path: &str, content: &str) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{content}\n")).unwrap();
        self
    }

    fn roots(&self) -> Roots {
        let part = |name: &str| self.0.path().join(name);
        Roots { sys: part("sys"), dev: part("dev"), run: part("run"), display: None, wayland: false }
    }

    fn read(&self) -> Readings {
        SystemSensors::with_roots(self.roots()).read(now())
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
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
    assert!(readings.cpus > 0 && readings.memory_total > readings.memory_used && readings.memory_used > 0);
    assert_eq!(readings.cpu_load, None);
}

#[test]
fn the_load_comes_with_the_second_reading() {
    let mut sensors = SystemSensors::with_roots(Machine::new().roots());
    sensors.read(now());
    std::thread::sleep(Duration::from_millis(250));
    assert!((0.0..=1.0).contains(&sensors.read(now()).cpu_load.unwrap()));
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
    let readings = SystemSensors::with_roots(roots.clone()).read(now());
    assert!(!readings.unattended && readings.user_idle.is_none(), "{readings:?}");
    roots.wayland = true;
    let readings = SystemSensors::with_roots(roots).read(now());
    assert!(readings.user_idle_source.contains("Wayland"));
}

#[test]
fn reading_is_cheap() {
    let mut sensors = SystemSensors::with_roots(laptop().roots());
    sensors.read(now());
    let began = std::time::Instant::now();
    for _ in 0..100 {
        sensors.read(now());
    }
    let each = began.elapsed() / 100;
    assert!(each < Duration::from_millis(5), "a reading takes {each:?}");
}
