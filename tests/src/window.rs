//! The real window, driven as a person would: on a display of its own, over WebDriver.
//!
//! ```text
//!   test --HTTP--> tauri-driver --> WebKitWebDriver --> fog-compute on Xvfb
//! ```
//!
//! What can be done in the window is in [`Page`]; this module starts and ends everything around it.

use crate::webdriver::{Page, system};
use crate::{Process, eventually};
use serde_json::json;
use std::net::TcpListener;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The program with the window: by `FOG_APP_BIN`, or beside the test's own.
pub fn app() -> PathBuf {
    if let Some(path) = std::env::var_os("FOG_APP_BIN") {
        return path.into();
    }
    let built = built("fog-compute", 2);
    assert!(built.exists(), "{} is missing: run `cargo build -p fog-compute` first", built.display());
    built
}

/// A file below one of the folders that the test's program is in.
fn built(name: &str, level: usize) -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    test.ancestors().nth(level).expect("target folder").join(name)
}

fn tauri_driver() -> PathBuf {
    if let Some(path) = std::env::var_os("TAURI_DRIVER") {
        return path.into();
    }
    let installed = built("tools/bin/tauri-driver", 3);
    assert!(
        installed.exists(),
        "{} is missing: run `cargo install tauri-driver --version '^2' --locked --root target/tools` first",
        installed.display()
    );
    installed
}

/// A display, a message bus and a home folder, as a desktop has them, for this test alone.
pub struct Desktop {
    /// The person's home folder.
    pub home: PathBuf,
    display: String,
    bus: String,
    folder: TempDir,
    _processes: [Process; 2],
}

impl Desktop {
    /// Starts an empty desktop.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let home = folder.path().join("home");
        std::fs::create_dir(&home).expect("home folder");
        let mut xvfb = Command::new(system("Xvfb", "xvfb"));
        xvfb.args(["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"]);
        let xvfb = Process::start(&mut xvfb, folder.path(), "xvfb");
        let mut bus = Command::new(system("dbus-daemon", "dbus"));
        bus.args(["--session", "--nofork", "--nopidfile", "--print-address=1"]);
        let bus = Process::start(&mut bus, folder.path(), "bus");
        let number =
            eventually("the display", || xvfb.printed().lines().find_map(|l| l.trim().parse::<u32>().ok()));
        let address = eventually("the message bus", || {
            bus.printed().lines().find(|l| l.starts_with("unix:")).map(String::from)
        });
        Self { home, display: format!(":{number}"), bus: address, folder, _processes: [xvfb, bus] }
    }

    /// A folder for a test's data, gone with the desktop.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command on this desktop.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for name in ["WAYLAND_DISPLAY", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "FOG_DATA_DIR"]
        {
            command.env_remove(name);
        }
        command
            .env("HOME", &self.home)
            .env("DISPLAY", &self.display)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus)
            .env("GDK_BACKEND", "x11")
            // A display without a graphics card.
            .env("WEBKIT_DISABLE_COMPOSITING_MODE", "1")
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .env("NO_AT_BRIDGE", "1")
            .env("FOG_KEYCHAIN", "off")
            .env("FOG_MEAN_DELAY_MS", "5");
        command
    }

    /// Starts the app without driving it.
    pub fn start_app(&self, data_dir: &Path, name: &str) -> Process {
        self.start_app_with(data_dir, name, &[])
    }

    /// Starts the app with these options, without driving it.
    pub fn start_app_with(&self, data_dir: &Path, name: &str, options: &[&str]) -> Process {
        let mut command = self.command(&app());
        command.arg("--data-dir").arg(data_dir).args(options);
        Process::start(&mut command, self.folder.path(), name)
    }

    /// The address of the session's message bus.
    pub fn bus(&self) -> &str {
        &self.bus
    }

    /// Waits until the app's window can be seen, or cannot.
    #[cfg(feature = "window")]
    pub fn shown(&self, seen: bool) {
        eventually(if seen { "the window to be seen" } else { "the window to be hidden" }, || {
            (crate::screen::shows_window(&self.display) == seen).then_some(())
        });
    }

    /// Presses the close button of the app's window.
    #[cfg(feature = "window")]
    pub fn close_window(&self) {
        crate::screen::close_window(&self.display);
    }

    /// Opens the window on this data folder.
    pub fn open(&self, data_dir: &Path) -> Window {
        Window::open(self, data_dir)
    }
}

/// Asks a process to end, as the system does at the end of a session.
pub fn terminate(process: &Process) {
    let status = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
    assert!(status.expect("kill runs").success());
}

/// A port that was free just now.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// An open window. What can be done in its page is in [`Page`].
pub struct Window {
    page: Page,
    data_dir: PathBuf,
    driver: Process,
}

impl Deref for Window {
    type Target = Page;

    fn deref(&self) -> &Page {
        &self.page
    }
}

impl Window {
    fn open(desktop: &Desktop, data_dir: &Path) -> Self {
        let (port, native) = (free_port(), free_port());
        let mut command = desktop.command(&tauri_driver());
        command.args(["--port", &port.to_string(), "--native-port", &native.to_string(), "--native-driver"]);
        command.arg(system("WebKitWebDriver", "webkit2gtk-driver"));
        let driver = Process::start(&mut command, desktop.folder.path(), "driver");
        let url = format!("http://127.0.0.1:{port}");
        eventually("the window's driver", || ureq::get(format!("{url}/status")).call().ok());
        let options = json!({"application": app(), "args": ["--data-dir", data_dir]});
        let page = Page::open(&url, &json!({"tauri:options": options}))
            .unwrap_or_else(|e| panic!("no window: {e}\n{}", driver.printed()));
        Self { page, data_dir: data_dir.into(), driver }
    }

    /// Closes the window and waits until the app has ended.
    pub fn close(&self) {
        self.page.close().unwrap_or_else(|e| panic!("closing the window: {e}"));
        eventually("the app to end", || self.app_processes().is_empty().then_some(()));
    }

    /// The ids of processes that were started with this window's data folder, which is the test's own.
    fn app_processes(&self) -> Vec<u32> {
        let folder = self.data_dir.to_string_lossy().into_owned();
        let app = app().to_string_lossy().into_owned();
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = processes.filter_map(|p| p.file_name().to_str()?.parse().ok());
        let ours = |id: &u32| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let mut words = line.split(|b| *b == 0);
            words.next() == Some(app.as_bytes()) && words.any(|w| w == folder.as_bytes())
        };
        ids.filter(ours).collect()
    }
}

impl Drop for Window {
    #[allow(clippy::print_stderr, reason = "a failed test shows what the page showed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the page ---\n{}", self.page_text());
        }
        _ = self.page.close();
        if self.driver.runs() {
            // Asked to end, it ends WebKitWebDriver too.
            terminate(&self.driver);
            let start = Instant::now();
            while self.driver.runs() && start.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        for id in self.app_processes() {
            _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
        }
    }
}
