//! The real window, driven as a person would: on a display of its own, over WebDriver.
//!
//! ```text
//!   test --HTTP--> tauri-driver --> WebKitWebDriver --> fog-compute on Xvfb
//! ```
//!
//! The protocol is W3C WebDriver (<https://www.w3.org/TR/webdriver2/>): JSON over HTTP, of which a handful of
//! calls are needed. Elements are found by their `data-testid`, which `ui/README.md` lists.

use crate::{PATIENCE, Process, eventually};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use ureq::Agent;
use ureq::http::Request;

/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

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

/// A program of the system, or what to install.
fn system(program: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|p| p.join(program)).find(|p| p.exists());
    found.unwrap_or_else(|| panic!("{program} is missing: install the system's package {package} first"))
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
        let mut command = self.command(&app());
        Process::start(command.arg("--data-dir").arg(data_dir), self.folder.path(), name)
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

/// An open window.
pub struct Window {
    /// From asking for the window to having its session.
    pub opened_in: Duration,
    agent: Agent,
    /// The driver's address with the session.
    session: String,
    data_dir: PathBuf,
    driver: Process,
}

impl Window {
    fn open(desktop: &Desktop, data_dir: &Path) -> Self {
        let (port, native) = (free_port(), free_port());
        let mut command = desktop.command(&tauri_driver());
        command.args(["--port", &port.to_string(), "--native-port", &native.to_string(), "--native-driver"]);
        command.arg(system("WebKitWebDriver", "webkit2gtk-driver"));
        let driver = Process::start(&mut command, desktop.folder.path(), "driver");
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        let agent = Agent::new_with_config(config);
        let url = format!("http://127.0.0.1:{port}");
        eventually("the window's driver", || agent.get(format!("{url}/status")).call().ok());
        let mut window =
            Self { opened_in: Duration::ZERO, agent, session: url, data_dir: data_dir.into(), driver };
        let options = json!({"application": app(), "args": ["--data-dir", data_dir]});
        let capabilities = json!({"capabilities": {"alwaysMatch": {"tauri:options": options}}});
        let start = Instant::now();
        let session = window.ask("POST", "/session", &capabilities);
        let session = session.unwrap_or_else(|e| panic!("no window: {e}\n{}", window.driver.printed()));
        window.opened_in = start.elapsed();
        window.session += &format!("/session/{}", session["sessionId"].as_str().expect("a session"));
        window
    }

    /// One WebDriver call; its value or its error.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.session))
            .header("content-type", "application/json");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request.body(body).expect("a request");
        let mut response = self.agent.run(request).map_err(|e| e.to_string())?;
        let ok = response.status().is_success();
        let reply: Value = response.body_mut().read_json().map_err(|e| e.to_string())?;
        if ok { Ok(reply["value"].clone()) } else { Err(reply["value"].to_string()) }
    }

    /// The elements that a CSS selector finds now.
    fn find(&self, selector: &str) -> Vec<String> {
        let by = json!({"using": "css selector", "value": selector});
        let found = self.ask("POST", "/elements", &by).unwrap_or_default();
        let ids = found.as_array().into_iter().flatten().filter_map(|e| e[ELEMENT].as_str());
        ids.map(String::from).collect()
    }

    /// Tries an action on the last element with this mark until it works: elements may come late, or be replaced.
    fn act<T>(&self, what: &str, mark: &str, act: impl Fn(&str) -> Result<T, String>) -> T {
        let selector = format!("[data-testid='{mark}']");
        let start = Instant::now();
        loop {
            let last = match self.find(&selector).last() {
                Some(element) => match act(element) {
                    Ok(value) => return value,
                    Err(e) => e,
                },
                None => "there is no such element".into(),
            };
            assert!(
                start.elapsed() < PATIENCE,
                "{what} {mark} in the window: {last}\nThe page says:\n{}",
                self.page_text()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the last element with this mark shows this text.
    pub fn wait_text(&self, mark: &str, text: &str) {
        self.act(&format!("waiting for {text:?} in"), mark, |e| {
            // The driver's own way to read text finds none in headings that cut long names short.
            let script = json!({"script": "return arguments[0].innerText", "args": [{ELEMENT: e}]});
            let shown = self.ask("POST", "/execute/sync", &script)?;
            let shown = shown.as_str().unwrap_or_default();
            if shown.contains(text) { Ok(()) } else { Err(format!("it shows {shown:?}")) }
        });
    }

    /// Waits until the last element with this mark has an attribute with one of these values.
    pub fn wait_attribute(&self, mark: &str, name: &str, values: &[&str]) {
        self.act(&format!("waiting for {name} {values:?} of"), mark, |e| {
            let value = self.ask("GET", &format!("/element/{e}/attribute/{name}"), &Value::Null)?;
            if values.contains(&value.as_str().unwrap_or_default()) {
                Ok(())
            } else {
                Err(format!("{name} is {value}"))
            }
        });
    }

    /// Waits for an element.
    pub fn wait(&self, mark: &str) {
        self.act("waiting for", mark, |_| Ok(()));
    }

    /// How many elements with this mark there are now.
    pub fn count(&self, mark: &str) -> usize {
        self.find(&format!("[data-testid='{mark}']")).len()
    }

    /// Clicks, as soon as the element takes a click.
    pub fn click(&self, mark: &str) {
        self.act("clicking", mark, |e| {
            let enabled = self.ask("GET", &format!("/element/{e}/enabled"), &Value::Null)?;
            if enabled == false {
                return Err("it is disabled".into());
            }
            self.ask("POST", &format!("/element/{e}/click"), &json!({})).map(|_| ())
        });
    }

    /// Types into a field.
    pub fn type_into(&self, mark: &str, text: &str) {
        self.act("typing into", mark, |e| {
            self.ask("POST", &format!("/element/{e}/value"), &json!({"text": text})).map(|_| ())
        });
    }

    /// Runs a script in the page. It gives its result to the function that is its last argument.
    ///
    /// # Errors
    /// The driver's.
    pub fn script(&self, script: &str) -> Result<Value, String> {
        self.ask("POST", "/execute/async", &json!({"script": script, "args": []}))
    }

    /// All that the page says.
    pub fn page_text(&self) -> String {
        let text = self.script("arguments[0](document.body.innerText)").unwrap_or_default();
        text.as_str().unwrap_or_default().into()
    }

    /// Closes the window and waits until the app has ended.
    pub fn close(&mut self) {
        let closed = self.ask("DELETE", "", &Value::Null);
        closed.unwrap_or_else(|e| panic!("closing the window: {e}"));
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
        _ = self.ask("DELETE", "", &Value::Null);
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
