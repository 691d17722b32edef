//! Real engines, started by the tests and ended by them: on a socket and in folders of their own, in network and mount
//! namespaces of their own, so that nothing of them is left on the machine.

use bollard::Docker;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long an engine may take to answer on a busy machine.
const START: Duration = Duration::from_secs(120);

pub struct Engine {
    pub name: &'static str,
    pub socket: PathBuf,
    pub docker: Docker,
    child: Child,
    folder: tempfile::TempDir,
    cgroup: Option<String>,
}

fn has(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Why no engine can be started here, if none can.
pub fn missing() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("engines are started by the tests on Linux only".into());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("engines can only be started by root".into());
    }
    let missing: Vec<_> = ["dockerd", "podman", "runc", "busybox", "unshare", "nsenter", "setpriv"]
        .into_iter()
        .filter(|program| !has(program))
        .collect();
    (!missing.is_empty()).then(|| format!("these programs are missing: {}", missing.join(", ")))
}

/// A command that dies with this process and has its own network and mounts.
fn apart(script: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "unshare", "--net", "--mount", "sh", "-c"]);
    command.arg(format!("busybox ip link set lo up; exec {script}"));
    command
}

impl Engine {
    pub fn docker(runtime: &tokio::runtime::Runtime) -> Self {
        let folder = folder();
        let at = folder.path().display().to_string();
        let cgroup = format!("/fog-test-{}", std::process::id());
        let command = apart(&format!(
            "dockerd --data-root {at}/data --exec-root {at}/exec --pidfile {at}/pid --cgroup-parent {cgroup} \
             --group root --host unix://{at}/engine.sock"
        ));
        Self::start("docker", command, folder, Some(cgroup), runtime)
    }

    pub fn podman(runtime: &tokio::runtime::Runtime) -> Self {
        let folder = folder();
        let at = folder.path().display().to_string();
        let conf = folder.path().join("containers.conf");
        // The machine may not let root raise limits, and has no systemd.
        fs::write(
            &conf,
            "[containers]\ndefault_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]\n[engine]\nruntime = \"runc\"\n\
             cgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n",
        )
        .unwrap();
        let registries = folder.path().join("registries.conf");
        fs::write(&registries, "[[registry]]\nlocation = \"127.0.0.1:5000\"\ninsecure = true\n").unwrap();
        let mut command = apart(&format!(
            "podman --root {at}/root --runroot {at}/run --tmpdir {at}/tmp system service --time 0 unix://{at}/engine.sock"
        ));
        command.env("CONTAINERS_CONF", conf).env("CONTAINERS_REGISTRIES_CONF", registries);
        // A program must not get to see this.
        command.env("http_proxy", "http://user:secret@proxy.invalid:1");
        Self::start("podman", command, folder, None, runtime)
    }

    fn start(
        name: &'static str,
        mut command: Command,
        folder: tempfile::TempDir,
        cgroup: Option<String>,
        runtime: &tokio::runtime::Runtime,
    ) -> Self {
        let log = fs::File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        let socket = folder.path().join("engine.sock");
        let until = Instant::now() + START;
        let docker = loop {
            let connected = socket.exists().then(|| connect(&socket, runtime)).flatten();
            if let Some(docker) = connected {
                break docker;
            }
            let ended = child.try_wait().unwrap();
            if ended.is_some() || Instant::now() > until {
                let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                let _ = child.kill();
                panic!("{name} does not start ({ended:?}):\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        Self { name, socket, docker, child, folder, cgroup }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it and everything that it started.
    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let until = Instant::now() + Duration::from_secs(60);
        while self.child.try_wait().unwrap().is_none() {
            if Instant::now() > until {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        if let Some(cgroup) = &self.cgroup {
            remove_cgroups(cgroup);
        }
        fs::remove_dir_all(self.folder.path()).unwrap();
    }
}

fn folder() -> tempfile::TempDir {
    // Short: a socket's path has at most 107 bytes.
    tempfile::Builder::new().prefix("fog-engine-").tempdir_in("/tmp").unwrap()
}

pub fn connect(socket: &Path, runtime: &tokio::runtime::Runtime) -> Option<Docker> {
    runtime.block_on(async {
        let docker =
            Docker::connect_with_unix(socket.to_str().unwrap(), 120, bollard::API_DEFAULT_VERSION).ok()?;
        let docker = docker.negotiate_version().await.ok()?;
        docker.ping().await.ok().map(|_| docker)
    })
}

fn remove_cgroups(cgroup: &str) {
    let Ok(kinds) = fs::read_dir("/sys/fs/cgroup") else { return };
    let kinds: Vec<_> = kinds.flatten().map(|k| k.path()).chain(["/sys/fs/cgroup".into()]).collect();
    for kind in kinds {
        let _ = fs::remove_dir(PathBuf::from(format!("{}{cgroup}", kind.display())));
    }
}
