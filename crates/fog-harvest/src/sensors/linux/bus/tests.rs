//! Against a message bus of the test's own, with services that speak as the real ones do.

use crate::Readings;
use crate::sensors::linux::tests::{Machine, ask};
use crate::sensors::{HostSensors, Roots, SystemSensors, Wake};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use zbus::object_server::Interface;
use zbus::zvariant::OwnedObjectPath;
use zbus::{Connection, SignalContext, interface};

const LONG: Duration = Duration::from_secs(60);

/// A bus, and a runtime in which services live.
struct Bus {
    address: String,
    runtime: Runtime,
    machine: Machine,
    daemon: Child,
}

impl Bus {
    fn new() -> Self {
        let machine = Machine::new();
        let config = "<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen><auth>EXTERNAL</auth>\
            <policy context=\"default\"><allow send_destination=\"*\"/><allow receive_sender=\"*\"/>\
            <allow own=\"*\"/></policy></busconfig>";
        machine.file("bus.conf", config);
        let daemon = Command::new("dbus-daemon")
            .args(["--nofork", "--nopidfile", "--print-address=1", "--config-file"])
            .arg(machine.roots().sys.with_file_name("bus.conf"))
            .stdout(Stdio::piped())
            .spawn();
        let mut daemon = daemon.expect("dbus-daemon is missing: install the package dbus-daemon");
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { address: address.trim().into(), runtime, machine, daemon }
    }

    /// Owns a name, without anything behind it.
    fn own(&self, name: &'static str) -> Connection {
        let address = self.address.as_str();
        let builder = zbus::connection::Builder::address(address).and_then(|b| b.name(name)).unwrap();
        self.runtime.block_on(builder.build()).unwrap()
    }

    fn serve(&self, name: &'static str, path: &'static str, service: impl Interface) -> Connection {
        let address = self.address.as_str();
        let builder = zbus::connection::Builder::address(address)
            .unwrap()
            .serve_at(path, service)
            .unwrap()
            .name(name)
            .unwrap();
        self.runtime.block_on(builder.build()).unwrap()
    }

    fn also(&self, connection: &Connection, path: &'static str, service: impl Interface) {
        assert!(self.runtime.block_on(connection.object_server().at(path, service)).unwrap());
    }

    fn sensors(&self) -> (SystemSensors, Receiver<()>) {
        let roots = Roots {
            system_bus: Some(self.address.clone()),
            session_bus: Some(self.address.clone()),
            ..self.machine.roots()
        };
        let (sender, woken) = channel();
        let wake: Wake = Arc::new(move || {
            // The test may have ended.
            let _ = sender.send(());
        });
        (SystemSensors::with_roots(roots, Some(wake)), woken)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

fn eventually(sensors: &mut SystemSensors, what: &str, holds: impl Fn(&Readings) -> bool) -> Readings {
    let began = Instant::now();
    loop {
        let readings = sensors.read(&ask());
        if holds(&readings) {
            return readings;
        }
        assert!(began.elapsed() < LONG, "{what}: {readings:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct UPower(bool);

#[interface(name = "org.freedesktop.UPower")]
impl UPower {
    #[zbus(property)]
    fn on_battery(&self) -> bool {
        self.0
    }
}

struct DisplayDevice {
    percentage: f64,
    state: u32,
}

#[interface(name = "org.freedesktop.UPower.Device")]
impl DisplayDevice {
    #[zbus(property, name = "Type")]
    fn kind(&self) -> u32 {
        2
    }

    #[zbus(property)]
    fn is_present(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn percentage(&self) -> f64 {
        self.percentage
    }

    #[zbus(property)]
    fn state(&self) -> u32 {
        self.state
    }
}

#[test]
fn upower_tells_of_the_battery_and_of_the_plug() {
    let bus = Bus::new();
    let upower = bus.serve("org.freedesktop.UPower", "/org/freedesktop/UPower", UPower(true));
    let device = "/org/freedesktop/UPower/devices/DisplayDevice";
    bus.also(&upower, device, DisplayDevice { percentage: 61.0, state: 2 });
    let (mut sensors, woken) = bus.sensors();
    let readings = eventually(&mut sensors, "the battery", |r| r.has_battery && r.plugged_in == Some(false));
    assert_eq!(readings.battery, Some(0.61));

    // The plug goes in: that is worth a reading at once, without anybody asking.
    while woken.try_recv().is_ok() {}
    bus.runtime.block_on(async {
        let service = upower.object_server().interface::<_, UPower>("/org/freedesktop/UPower").await.unwrap();
        service.get_mut().await.0 = false;
        service.get().await.on_battery_changed(service.signal_context()).await.unwrap();
    });
    woken.recv_timeout(LONG).unwrap();
    eventually(&mut sensors, "the plug", |r| r.plugged_in == Some(true));

    // The kernel's own word comes first.
    bus.machine
        .file("sys/class/power_supply/BAT0/type", "Battery")
        .file("sys/class/power_supply/BAT0/status", "Discharging")
        .file("sys/class/power_supply/BAT0/capacity", "33");
    let readings = sensors.read(&ask());
    assert_eq!((readings.plugged_in, readings.battery), (Some(false), Some(0.33)));
    std::fs::remove_dir_all(bus.machine.roots().sys).unwrap();

    // The service ends: nothing is known any more, so it is a machine without a battery.
    bus.runtime.block_on(upower.close()).unwrap();
    eventually(&mut sensors, "its end", |r| !r.has_battery);
}

struct NetworkManager(u32);

#[interface(name = "org.freedesktop.NetworkManager")]
impl NetworkManager {
    #[zbus(property)]
    fn metered(&self) -> u32 {
        self.0
    }
}

/// The same name with a property of a wrong type.
struct Impostor;

#[interface(name = "org.freedesktop.NetworkManager")]
impl Impostor {
    #[zbus(property)]
    fn metered(&self) -> String {
        "yes".into()
    }
}

#[test]
fn network_manager_tells_what_costs() {
    const NAME: &str = "org.freedesktop.NetworkManager";
    const PATH: &str = "/org/freedesktop/NetworkManager";
    let bus = Bus::new();
    let (mut sensors, woken) = bus.sensors();
    assert_eq!(sensors.read(&ask()).network_metered, None);
    // It starts after us.
    let manager = bus.serve(NAME, PATH, NetworkManager(4));
    eventually(&mut sensors, "the first word", |r| r.network_metered == Some(false));
    for (value, metered) in [(1, Some(true)), (0, None), (3, Some(true)), (2, Some(false)), (99, None)] {
        while woken.try_recv().is_ok() {}
        bus.runtime.block_on(async {
            let service = manager.object_server().interface::<_, NetworkManager>(PATH).await.unwrap();
            service.get_mut().await.0 = value;
            service.get().await.metered_changed(service.signal_context()).await.unwrap();
        });
        woken.recv_timeout(LONG).unwrap();
        eventually(&mut sensors, "a change", |r| r.network_metered == metered);
    }
    // It ends, and something takes its place that means something else.
    bus.runtime.block_on(manager.close()).unwrap();
    let _impostor = bus.serve(NAME, PATH, Impostor);
    for _ in 0..20 {
        assert_eq!(sensors.read(&ask()).network_metered, None);
        std::thread::sleep(Duration::from_millis(10));
    }
}

struct Login(Vec<(u32, &'static str)>);

#[interface(name = "org.freedesktop.login1.Manager")]
impl Login {
    fn list_sessions(&self) -> Vec<(String, u32, String, String, OwnedObjectPath)> {
        let path = |p: &str| OwnedObjectPath::try_from(p).unwrap();
        self.0.iter().map(|(id, p)| (id.to_string(), 1000, "ada".into(), "seat0".into(), path(p))).collect()
    }

    #[zbus(signal)]
    async fn session_new(context: &SignalContext<'_>, id: &str) -> zbus::Result<()>;
}

struct LoginSession {
    class: &'static str,
    kind: &'static str,
    locked: bool,
    /// Seconds since 1970.
    idle_since: Option<f64>,
}

#[interface(name = "org.freedesktop.login1.Session")]
impl LoginSession {
    #[zbus(property)]
    fn class(&self) -> &str {
        self.class
    }

    #[zbus(property, name = "Type")]
    fn kind(&self) -> &str {
        self.kind
    }

    #[zbus(property)]
    fn state(&self) -> &str {
        "active"
    }

    #[zbus(property)]
    fn remote(&self) -> bool {
        false
    }

    #[zbus(property)]
    fn locked_hint(&self) -> bool {
        self.locked
    }

    #[zbus(property)]
    fn idle_hint(&self) -> bool {
        self.idle_since.is_some()
    }

    #[zbus(property)]
    fn idle_since_hint(&self) -> u64 {
        (self.idle_since.unwrap_or(0.0) * 1e6) as u64
    }
}

#[test]
fn the_login_manager_tells_of_locked_and_idle_screens() {
    const ONE: &str = "/org/freedesktop/login1/session/_31";
    let bus = Bus::new();
    let sessions = vec![(1, ONE), (2, "/org/freedesktop/login1/session/c1")];
    let login = bus.serve("org.freedesktop.login1", "/org/freedesktop/login1", Login(sessions));
    let person = LoginSession { class: "user", kind: "wayland", locked: false, idle_since: None };
    bus.also(&login, ONE, person);
    let greeter = LoginSession { class: "greeter", kind: "x11", locked: true, idle_since: None };
    bus.also(&login, "/org/freedesktop/login1/session/c1", greeter);
    let (mut sensors, woken) = bus.sensors();
    let readings = eventually(&mut sensors, "the session", |r| r.locked == Some(false));
    assert!(readings.user_idle.is_none() && !readings.unattended, "{readings:?}");

    while woken.try_recv().is_ok() {}
    bus.runtime.block_on(async {
        let session = login.object_server().interface::<_, LoginSession>(ONE).await.unwrap();
        session.get_mut().await.locked = true;
        session.get_mut().await.idle_since = Some(ask().now - 700.0);
        session.get().await.locked_hint_changed(session.signal_context()).await.unwrap();
    });
    woken.recv_timeout(LONG).unwrap();
    let readings = eventually(&mut sensors, "the lock", |r| r.locked == Some(true));
    assert!(readings.user_idle.is_some_and(|idle| idle >= 699.0), "{readings:?}");
    assert_eq!(readings.user_idle_source, "the login manager");

    // Everybody logs out.
    bus.runtime.block_on(async {
        let service = login.object_server().interface::<_, Login>("/org/freedesktop/login1").await.unwrap();
        service.get_mut().await.0.clear();
        Login::session_new(service.signal_context(), "1").await.unwrap();
    });
    eventually(&mut sensors, "an empty machine", |r| r.locked.is_none() && r.unattended);
}

/// Mutter's idle monitor: since when there was no input, and whether somebody waits for it.
struct IdleMonitor {
    idle_ms: u64,
    watched: bool,
}

#[interface(name = "org.gnome.Mutter.IdleMonitor")]
impl IdleMonitor {
    fn get_idletime(&self) -> u64 {
        self.idle_ms
    }

    fn add_user_active_watch(&mut self) -> u32 {
        self.watched = true;
        7
    }

    #[zbus(signal)]
    async fn watch_fired(context: &SignalContext<'_>, id: u32) -> zbus::Result<()>;
}

#[test]
fn the_users_return_is_told_at_once() {
    const PATH: &str = "/org/gnome/Mutter/IdleMonitor/Core";
    let bus = Bus::new();
    let monitor = IdleMonitor { idle_ms: 600_000, watched: false };
    let mutter = bus.serve("org.gnome.Mutter.IdleMonitor", PATH, monitor);
    let (mut sensors, woken) = bus.sensors();
    let away = |r: &Readings| r.user_idle.is_some_and(|idle| idle >= 599.0);
    let readings = eventually(&mut sensors, "the idle time", away);
    assert_eq!(readings.user_idle_source, "the desktop (Mutter)");
    let service = bus.runtime.block_on(mutter.object_server().interface::<_, IdleMonitor>(PATH)).unwrap();
    let began = Instant::now();
    while !bus.runtime.block_on(async { service.get().await.watched }) {
        assert!(began.elapsed() < LONG, "nobody waits for the user");
        std::thread::sleep(Duration::from_millis(10));
    }
    while woken.try_recv().is_ok() {}
    // A key. Nobody reads the sensors meanwhile: it is the signal that wakes.
    bus.runtime.block_on(async {
        service.get_mut().await.idle_ms = 0;
        IdleMonitor::watch_fired(service.signal_context(), 7).await.unwrap();
    });
    woken.recv_timeout(LONG).unwrap();
    let readings = sensors.read(&ask());
    assert!(readings.user_idle.is_some_and(|idle| idle < 599.0), "{readings:?}");
}

struct ScreenSaver {
    active: bool,
}

#[interface(name = "org.freedesktop.ScreenSaver")]
impl ScreenSaver {
    fn get_active(&self) -> bool {
        self.active
    }

    fn get_session_idle_time(&self) -> u32 {
        90_000
    }

    #[zbus(signal)]
    async fn active_changed(context: &SignalContext<'_>, active: bool) -> zbus::Result<()>;
}

#[test]
fn the_screen_saver_tells_of_a_covered_screen() {
    const PATH: &str = "/org/freedesktop/ScreenSaver";
    let bus = Bus::new();
    let saver = bus.serve("org.freedesktop.ScreenSaver", PATH, ScreenSaver { active: false });
    let (mut sensors, woken) = bus.sensors();
    let readings =
        eventually(&mut sensors, "the saver", |r| r.screen_off == Some(false) && r.user_idle.is_some());
    assert!(readings.user_idle.is_some_and(|idle| idle >= 90.0), "{readings:?}");
    while woken.try_recv().is_ok() {}
    bus.runtime.block_on(async {
        let service = saver.object_server().interface::<_, ScreenSaver>(PATH).await.unwrap();
        ScreenSaver::active_changed(service.signal_context(), true).await.unwrap();
    });
    woken.recv_timeout(LONG).unwrap();
    eventually(&mut sensors, "the cover", |r| r.screen_off == Some(true));
}

#[test]
fn an_absent_bus_and_a_silent_service_are_unknown_and_hold_up_nobody() {
    let bus = Bus::new();
    // Owned, and never answered.
    let _silent = [bus.own("org.freedesktop.UPower"), bus.own("org.gnome.Mutter.IdleMonitor")];
    let manager = NetworkManager(1);
    let _manager = bus.serve("org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager", manager);
    let (mut sensors, _) = bus.sensors();
    let readings = eventually(&mut sensors, "the service that speaks", |r| r.network_metered == Some(true));
    assert!(!readings.has_battery && readings.user_idle.is_none());

    for address in ["unix:path=/nonexistent/bus", "nonsense", "tcp:host=127.0.0.1,port=1"] {
        let roots = Roots {
            system_bus: Some(address.into()),
            session_bus: Some(address.into()),
            ..Machine::new().roots()
        };
        let mut sensors = SystemSensors::with_roots(roots, None);
        let readings = sensors.read(&ask());
        assert_eq!((readings.network_metered, readings.locked, readings.screen_off), (None, None, None));
    }
}
