//! Real engines, started by the tests and ended by them: on a socket and in folders of their own, in network and mount
//! namespaces of their own, so that nothing of them is left on the machine.

use bollard::Docker;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
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
    runtime: Arc<tokio::runtime::Runtime>,
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

/// A command that dies with this process, however that ends, and everything below it too: it has its own network, mounts
/// and processes.
fn apart(script: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork"]);
    command.args(["--kill-child", "--mount-proc", "sh", "-c"]);
    command.arg(format!("busybox ip link set lo up; exec {script}"));
    command
}

impl Engine {
    pub fn docker(runtime: &Arc<tokio::runtime::Runtime>) -> Self {
        let folder = folder();
        let at = folder.path().display().to_string();
        let cgroup = format!("/fog-test-{}", std::process::id());
        let command = apart(&format!(
            "dockerd --data-root {at}/data --exec-root {at}/exec --pidfile {at}/pid --cgroup-parent {cgroup} \
             --group root --host unix://{at}/engine.sock"
        ));
        Self::start("docker", command, folder, Some(cgroup), runtime)
    }

    pub fn podman(runtime: &Arc<tokio::runtime::Runtime>) -> Self {
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
        runtime: &Arc<tokio::runtime::Runtime>,
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
                let _ = child.wait();
                panic!("{name} does not start ({ended:?}):\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        Self { name, socket, docker, child, folder, cgroup, runtime: Arc::clone(runtime) }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All containers, in whatever state: Podman knows some that Docker's interface has no word for.
    pub fn containers(&self, runtime: &tokio::runtime::Runtime) -> Vec<serde_json::Value> {
        let options = bollard::query_parameters::ListContainersOptions { all: true, ..Default::default() };
        match runtime.block_on(self.docker.list_containers(Some(options))) {
            Ok(found) => found.into_iter().map(|one| serde_json::to_value(one).unwrap()).collect(),
            Err(bollard::errors::Error::JsonDataError { contents, .. }) => {
                serde_json::from_str(&contents).unwrap()
            }
            Err(error) => panic!("{}: {error}", self.name),
        }
    }
}

/// Ends it and everything that it started, whatever the tests have left.
impl Drop for Engine {
    fn drop(&mut self) {
        let runtime = Arc::clone(&self.runtime);
        let left = catch_unwind(AssertUnwindSafe(|| self.containers(&runtime))).unwrap_or_default();
        let options = bollard::query_parameters::RemoveContainerOptions { force: true, ..Default::default() };
        let ids: Vec<String> = left.iter().map(super::id).collect();
        for id in &ids {
            let removal = async {
                let _ = self.docker.unpause_container(id).await;
                self.docker.remove_container(id, Some(options.clone())).await
            };
            let removed =
                runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), removal).await });
            if !matches!(removed, Ok(Ok(()))) {
                eprintln!("{}: {id} could not be removed: {removed:?}", self.name);
            }
        }
        // Its processes are in a namespace that ends with its first one.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let groups = ids.iter().map(|id| format!("/libpod_parent/libpod-{id}"));
        for group in groups.chain(self.cgroup.clone()) {
            let gone = || remove_cgroups(&group);
            // The kernel takes a moment to end them all.
            let until = Instant::now() + Duration::from_secs(60);
            while !gone() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let until = Instant::now() + Duration::from_secs(60);
        while let Err(error) = fs::remove_dir_all(self.folder.path()) {
            if !self.folder.path().exists() || Instant::now() > until {
                eprintln!("{}: its folder stays: {error}", self.name);
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
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

/// Removes a control group with all below it, in every tree. True if it is gone.
fn remove_cgroups(group: &str) -> bool {
    let base = PathBuf::from("/sys/fs/cgroup");
    let trees = fs::read_dir(&base).into_iter().flatten().flatten().map(|tree| tree.path());
    let places: Vec<_> = trees.chain([base.clone()]).map(|tree| tree.join(&group[1..])).collect();
    places.iter().for_each(|place| remove_groups(place));
    places.iter().all(|place| !place.exists())
}

fn remove_groups(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}
