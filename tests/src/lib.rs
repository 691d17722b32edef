//! End-to-end tests: real processes of the built programs, on loopback, each with a data folder of its own.
//!
//! The tests ask nodes by the `fog` command with `--json`, as a person or a script would. Processes are ended
//! by their id when the test's values are dropped, also when it fails. The program is found by `FOG_BIN`, or
//! beside the test's own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking, and tell why"
)]

pub mod browser;
pub mod hosts;
#[cfg(feature = "window")]
mod screen;
#[cfg(feature = "window")]
pub mod tray;
pub mod webdriver;
pub mod window;
pub mod wordcount;

use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take on a slow, busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The built `fog` program.
pub fn fog() -> PathBuf {
    if let Some(path) = std::env::var_os("FOG_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the test has a path");
    let built = test.ancestors().nth(2).expect("target folder").join("fog");
    assert!(built.exists(), "{} is missing: run `cargo build -p fog-cli` first", built.display());
    built
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").into()
}

/// A command that runs the program `fog`, on a host of its own where one is named.
pub fn fog_on(host: Option<&str>) -> Command {
    match host {
        None => Command::new(fog()),
        Some(host) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", host]).arg(fog());
            command
        }
    }
}

/// Waits until `done` gives something, or fails saying what it waited for.
pub fn eventually<T>(what: &str, done: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, done)
}

/// The same with a patience of its own, for what has time-outs of its own.
pub fn within<T>(patience: Duration, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A process that ends with this value.
pub struct Process {
    child: Child,
    /// Where its standard error goes.
    pub log: PathBuf,
}

impl Process {
    /// Starts a program whose output goes to files in `folder`.
    pub fn start(command: &mut Command, folder: &Path, name: &str) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("log file"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
        Self { child, log }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }

    /// Its exit code, once it has ended by itself.
    pub fn wait(&mut self) -> Option<i32> {
        eventually("the process to end", || self.child.try_wait().expect("its state")).code()
    }

    /// True while it runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let text = self.printed();
            let tail: Vec<&str> = text.lines().rev().take(40).collect();
            eprintln!("--- {} ---", self.log.display());
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// A node: its data folder, and its process while it runs.
pub struct Node {
    /// The data folder.
    pub dir: PathBuf,
    /// The process.
    pub process: Option<Process>,
    /// What is added to the process's environment.
    pub environment: Vec<(String, String)>,
    /// The network namespace that it runs in, if that is not the test's own.
    pub host: Option<String>,
    options: Vec<String>,
    _temporary: Option<TempDir>,
}

impl Node {
    /// A node with this name in a fresh data folder.
    pub fn new(name: &str, options: &[&str]) -> Self {
        let temporary = tempfile::tempdir().expect("temporary folder");
        let mut node = Self::at(&temporary.path().join("data"), options);
        node._temporary = Some(temporary);
        node.options.extend(["--name".into(), name.into()]);
        node.start();
        node
    }

    /// A node with this data folder, not yet started.
    pub fn at(dir: &Path, options: &[&str]) -> Self {
        let options = options.iter().map(ToString::to_string).collect();
        Self {
            dir: dir.into(),
            process: None,
            environment: Vec::new(),
            host: None,
            options,
            _temporary: None,
        }
    }

    /// Starts the process, without waiting.
    pub fn spawn(&mut self) {
        let mut command = fog_on(self.host.as_deref());
        command.args(["node", "--data-dir"]).arg(&self.dir).args(&self.options);
        if !self.options.iter().any(|o| o == "--keychain") {
            command.args(["--keychain", "off"]);
        }
        command.env_remove("DISPLAY").envs(self.environment.iter().cloned());
        let folder = self.dir.parent().expect("a parent").to_path_buf();
        let name = self.dir.file_name().expect("a name").to_string_lossy().into_owned();
        self.process = Some(Process::start(&mut command, &folder, &name));
    }

    /// Starts the process and waits until it is ready and in its network.
    pub fn start(&mut self) {
        self.spawn();
        eventually("the node to be online", || {
            assert!(self.process.as_mut().is_some_and(Process::runs), "the node ended: {}", self.printed());
            let status = self.try_fog(&["status"]).ok()?;
            (status["network"] == "online").then_some(())
        });
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
        }
        self.process = None;
    }

    /// What the process has printed.
    pub fn printed(&self) -> String {
        self.process.as_ref().map(Process::printed).unwrap_or_default()
    }

    /// The id of its process, which must run.
    pub fn process_id(&self) -> u32 {
        self.process.as_ref().expect("the node runs").id()
    }

    /// Runs `fog --json` against this node.
    pub fn run(&self, args: &[&str]) -> Output {
        fog_on(self.host.as_deref())
            .arg("--json")
            .arg("--data-dir")
            .arg(&self.dir)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("fog runs")
    }

    /// The JSON reply, or exit code and error text.
    ///
    /// # Errors
    /// What `fog` printed, with its exit code.
    pub fn try_fog(&self, args: &[&str]) -> Result<Value, (i32, String)> {
        let output = self.run(args);
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout).expect("fog --json prints JSON"));
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let error = serde_json::from_str::<Value>(text.trim())
            .ok()
            .and_then(|v| v["error"].as_str().map(String::from));
        Err((output.status.code().unwrap_or(-1), error.unwrap_or(text)))
    }

    /// The JSON reply.
    pub fn fog(&self, args: &[&str]) -> Value {
        self.try_fog(args)
            .unwrap_or_else(|(code, e)| panic!("fog {args:?} failed with {code}: {e}\n{}", self.printed()))
    }

    /// The address card.
    pub fn card(&self) -> String {
        self.fog(&["chat", "card"])["text"].as_str().expect("a card").into()
    }

    /// Adds another node's person, and waits until they know of it.
    pub fn meet(&self, other: &Self, my_name: &str) {
        self.fog(&["chat", "add", &other.card()]);
        eventually("the other side to know", || {
            other.contacts().iter().any(|c| c["name"] == my_name).then_some(())
        });
        other.fog(&["chat", "accept", my_name]);
    }

    /// The contacts.
    pub fn contacts(&self) -> Vec<Value> {
        self.fog(&["chat", "contacts"]).as_array().expect("a list").clone()
    }

    /// The conversation with somebody, without marking it as read.
    pub fn messages(&self, with: &str) -> Vec<Value> {
        let reply = self.try_fog(&["chat", "read", with, "--peek", "-n", "500"]);
        reply.map(|v| v.as_array().expect("a list").clone()).unwrap_or_default()
    }

    /// The texts of a conversation, oldest first.
    pub fn texts(&self, with: &str) -> Vec<String> {
        self.messages(with).iter().map(|m| m["text"].as_str().expect("text").into()).collect()
    }

    /// Waits until the newest message to somebody has this status.
    pub fn wait_status(&self, with: &str, status: &str) {
        eventually(&format!("status {status}"), || {
            self.messages(with).last().is_some_and(|m| m["status"] == status).then_some(())
        });
    }
}

/// A test mixnet that `fog mixnet up` runs, with trouble on purpose.
pub struct Chaos {
    /// The consensus file.
    pub consensus: PathBuf,
    /// The process that runs the relays.
    pub process: Process,
    _folder: TempDir,
}

impl Chaos {
    /// Nine relays, running with these options.
    pub fn start(options: &[&str]) -> Self {
        Self::made(&[], options)
    }

    /// The same of a network that was made with further options.
    pub fn made(made: &[&str], options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let dir = folder.path().join("net");
        let mut new = Command::new(fog());
        new.args(["mixnet", "new", "--mixnodes", "9"]).args(made).arg("--dir").arg(&dir);
        assert!(new.output().expect("fog runs").status.success());
        let mut up = Command::new(fog());
        up.args(["mixnet", "up", "--dir"]).arg(&dir).args(options);
        let process = Process::start(&mut up, folder.path(), "up");
        eventually("the relays to run", || process.printed().contains("9 relays run").then_some(()));
        Self { consensus: dir.join("consensus"), process, _folder: folder }
    }
}

/// A test mixnet whose relays are processes of their own.
pub struct Mixnet {
    /// The consensus file.
    pub consensus: PathBuf,
    /// Layer and process of each relay.
    pub relays: Vec<(u64, String, Option<Process>)>,
    folder: TempDir,
}

impl Mixnet {
    /// Seven relays, running.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let dir = folder.path().join("net");
        let output = Command::new(fog())
            .args(["--json", "mixnet", "new", "--dir"])
            .arg(&dir)
            .output()
            .expect("fog runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let made: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let relays = made["relays"].as_array().expect("relays").iter();
        let relays = relays
            .map(|r| (r["layer"].as_u64().expect("layer"), r["dir"].as_str().expect("dir").to_string(), None))
            .collect();
        let mut net = Self { consensus: dir.join("consensus"), relays, folder };
        for number in 0..net.relays.len() {
            net.start_relay(number);
        }
        net
    }

    /// Starts a relay's process.
    pub fn start_relay(&mut self, number: usize) {
        let (_, dir, process) = &mut self.relays[number];
        let mut command = Command::new(fog());
        command.args(["mixnode", "--dir", dir]);
        let started = Process::start(&mut command, self.folder.path(), &format!("relay-{number}"));
        eventually("the relay to listen", || started.printed().contains("listens").then_some(()));
        *process = Some(started);
    }

    /// `kill -9` for the first running relay of a layer; its number.
    pub fn kill_one(&mut self, layer: u64) -> usize {
        let number = self.relays.iter().position(|(l, _, p)| *l == layer && p.is_some()).expect("a relay");
        self.relays[number].2 = None;
        number
    }
}
