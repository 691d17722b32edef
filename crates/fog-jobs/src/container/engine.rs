//! The container engine of this device: where it listens, what it is, what it can do.
//!
//! Only local sockets are used: the job's folders are mounted from this device's disk, and whoever can speak to an
//! engine is as good as root on its machine, so it is never spoken to over a network.

use super::Unavailable;
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptions};
use bollard::{API_DEFAULT_VERSION, Docker};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long an engine may take to say what it is.
const HELLO: Duration = Duration::from_secs(10);
/// How long an engine may take for one request, seconds. Starting a container on a busy machine takes some.
const REQUEST_SECONDS: u64 = 120;

/// Which engine it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Docker, or something that behaves like it.
    Docker,
    /// Podman's service for Docker's API.
    Podman,
}

/// What is known about the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// Which one.
    pub kind: Kind,
    /// Its version.
    pub version: String,
    /// Its socket.
    pub socket: String,
    /// Runs without root's rights.
    pub rootless: bool,
    /// Containers' users are other users on the device.
    pub user_namespaces: bool,
    /// The CPU limit of a running container can be changed; otherwise it is paused for a part of each second.
    pub live_limits: bool,
    /// The processor's architecture, in the words that images use: `amd64`, `arm64`.
    pub architecture: String,
    /// Where it keeps images, on this device's disk.
    pub root: PathBuf,
}

/// A connection to the engine.
pub(super) struct Engine {
    pub(super) docker: Docker,
    pub(super) info: EngineInfo,
    /// False once the engine has said that it has no init program.
    pub(super) has_init: AtomicBool,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Engine {
    /// Finds an engine that answers and can hold a stranger's program.
    pub(super) async fn find(socket: Option<&str>) -> Result<Self, Unavailable> {
        let env = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let mut why = Vec::new();
        for (socket, named) in candidates(socket, &env)? {
            if !named && !Path::new(&socket).exists() {
                continue;
            }
            match Self::connect(&socket).await {
                Ok(engine) => return Ok(engine),
                Err(reason) => why.push(format!("{socket}: {reason}")),
            }
        }
        if why.is_empty() { Err(Unavailable::NoEngine) } else { Err(Unavailable::Unfit(why.join("; "))) }
    }

    async fn connect(socket: &str) -> Result<Self, String> {
        let reason = |e: bollard::errors::Error| e.to_string();
        let docker = local(socket).map_err(reason)?;
        let hello = async {
            let docker = docker.negotiate_version().await.map_err(reason)?;
            let version = docker.version().await.map_err(reason)?;
            let info = docker.info().await.map_err(reason)?;
            let update = can_update(&docker).await;
            Ok::<_, String>((docker, version, info, update))
        };
        let (docker, version, info, live_limits) =
            tokio::time::timeout(HELLO, hello).await.map_err(|_| "it does not answer".to_owned())??;

        let podman = version.components.iter().flatten().any(|c| c.name.contains("Podman"));
        let options = info.security_options.unwrap_or_default();
        let has =
            |name: &str| options.iter().any(|o| o.split(',').any(|part| part == format!("name={name}")));
        let rootless = has("rootless");
        let kind = if podman { Kind::Podman } else { Kind::Docker };
        if info.os_type.as_deref().is_some_and(|os| os != "linux") {
            return Err("it runs no Linux containers".into());
        }
        if !has("seccomp") {
            return Err("it does not filter system calls (seccomp)".into());
        }
        if info.memory_limit != Some(true)
            || info.pids_limit != Some(true)
            || info.cpu_cfs_quota != Some(true)
        {
            return Err(
                "it cannot limit memory, processes and CPU (on Linux, control groups are missing or not \
                        delegated to this user)"
                    .into(),
            );
        }
        if rootless && kind == Kind::Docker {
            return Err(
                "Docker's rootless mode is not supported: use Podman for an engine without root".into()
            );
        }
        let architecture = match info.architecture.as_deref().unwrap_or(std::env::consts::ARCH) {
            "x86_64" | "amd64" => "amd64",
            "aarch64" | "arm64" => "arm64",
            other => other,
        }
        .to_owned();
        let info = EngineInfo {
            kind,
            version: version.version.unwrap_or_default(),
            socket: socket.to_owned(),
            rootless,
            user_namespaces: rootless || has("userns"),
            live_limits,
            architecture,
            root: info.docker_root_dir.unwrap_or_default().into(),
        };
        Ok(Self { docker, info, has_init: AtomicBool::new(true) })
    }

    /// True if the containers get an init program, which passes signals on and collects dead children.
    pub(super) fn has_init(&self) -> bool {
        self.has_init.load(Ordering::Relaxed)
    }

    /// The container's state, none if it is gone.
    pub(super) async fn state(
        &self,
        container: &str,
    ) -> Result<Option<bollard::models::ContainerState>, bollard::errors::Error> {
        let found = self.docker.inspect_container(container, None::<InspectContainerOptions>).await;
        match found.or_else(|e| lenient(e, &mut |found| tell_status(&mut found["State"]["Status"]))) {
            Ok(found) => Ok(Some(found.state.unwrap_or_default())),
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// All containers with a label.
    pub(super) async fn labelled(
        &self,
        label: &str,
    ) -> Result<Vec<bollard::models::ContainerSummary>, bollard::errors::Error> {
        let filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let found = self.docker.list_containers(Some(options)).await;
        found.or_else(|e| {
            lenient(e, &mut |found| {
                found.as_array_mut().into_iter().flatten().for_each(|one| tell_status(&mut one["State"]));
            })
        })
    }
}

/// Reads once more what the engine said, after `mend`: Podman knows states of containers that Docker does not, and one of
/// them would make all the others unreadable.
fn lenient<T: serde::de::DeserializeOwned>(
    error: bollard::errors::Error,
    mend: &mut dyn FnMut(&mut serde_json::Value),
) -> Result<T, bollard::errors::Error> {
    let bollard::errors::Error::JsonDataError { contents, .. } = &error else { return Err(error) };
    let Ok(mut said) = serde_json::from_str(contents) else { return Err(error) };
    mend(&mut said);
    serde_json::from_value(said).map_err(|_| error)
}

/// Docker's word for a state: Podman's "stopped" is a container that has ended and is not yet cleared up.
fn tell_status(status: &mut serde_json::Value) {
    let known = ["", "created", "running", "paused", "restarting", "removing", "exited", "dead", "stopping"];
    let Some(word) = status.as_str() else { return };
    if !known.contains(&word) {
        let meant = match word {
            "configured" | "initialized" => "created",
            _ => "exited",
        };
        *status = meant.into();
    }
}

/// True if somebody removes this container.
pub(super) fn is_going(state: &bollard::models::ContainerState) -> bool {
    use bollard::models::ContainerStateStatusEnum::{DEAD, REMOVING};
    state.dead == Some(true) || matches!(state.status, Some(REMOVING | DEAD))
}

/// True if the engine says that there is no such thing.
pub(super) fn is_missing(error: &bollard::errors::Error) -> bool {
    matches!(error, bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })
}

fn local(socket: &str) -> Result<Docker, bollard::errors::Error> {
    #[cfg(unix)]
    return Docker::connect_with_unix(socket, REQUEST_SECONDS, API_DEFAULT_VERSION);
    #[cfg(windows)]
    return Docker::connect_with_named_pipe(socket, REQUEST_SECONDS, API_DEFAULT_VERSION);
}

/// Asks whether limits of running containers can be changed, without changing any: an engine that can complains about
/// the container, one that cannot does not know the request.
async fn can_update(docker: &Docker) -> bool {
    let body = bollard::models::ContainerUpdateBody { nano_cpus: Some(1_000_000_000), ..Default::default() };
    match docker.update_container("fog-there-is-no-such-container", body).await {
        Ok(()) => true,
        Err(bollard::errors::Error::DockerResponseServerError { message, .. }) => {
            message.to_lowercase().contains("no such container")
        }
        Err(_) => false,
    }
}

/// Where to look, best first, and whether the owner named the place.
fn candidates(
    socket: Option<&str>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(String, bool)>, Unavailable> {
    let named = [
        ("the setting for the container engine's socket", socket.map(ToOwned::to_owned)),
        ("DOCKER_HOST", env("DOCKER_HOST")),
        ("CONTAINER_HOST", env("CONTAINER_HOST")),
    ];
    for (whose, value) in named {
        let Some(value) = value else { continue };
        return match local_path(&value) {
            Some(path) => Ok(vec![(path, true)]),
            None => Err(Unavailable::Unfit(format!(
                "{whose} is {value}, but only a local socket can be used, as in unix:///var/run/docker.sock"
            ))),
        };
    }
    if cfg!(windows) {
        let pipes = ["//./pipe/docker_engine", "//./pipe/podman-machine-default"];
        return Ok(pipes.map(|p| (p.to_owned(), false)).into());
    }
    let mut places = vec!["/var/run/docker.sock".to_owned()];
    places.extend(env("XDG_RUNTIME_DIR").map(|run| format!("{run}/podman/podman.sock")));
    places.push("/run/podman/podman.sock".to_owned());
    places.extend(env("HOME").map(|home| format!("{home}/.docker/run/docker.sock")));
    Ok(places.into_iter().map(|p| (p, false)).collect())
}

/// The path in `unix://PATH`, `npipe://PATH` or a plain path.
fn local_path(value: &str) -> Option<String> {
    let path = value
        .strip_prefix("unix://")
        .or_else(|| value.strip_prefix("npipe://"))
        .or_else(|| (!value.contains("://")).then_some(value))?;
    (!path.is_empty()).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_owner_names_is_the_only_place() {
        let env = |name: &str| match name {
            "DOCKER_HOST" => Some("unix:///a/docker.sock".to_owned()),
            "XDG_RUNTIME_DIR" => Some("/run/user/7".to_owned()),
            _ => None,
        };
        assert_eq!(candidates(Some("/mine.sock"), &env).unwrap(), [("/mine.sock".to_owned(), true)]);
        assert_eq!(candidates(None, &env).unwrap(), [("/a/docker.sock".to_owned(), true)]);
        let places = candidates(None, &|name| env(name).filter(|_| name != "DOCKER_HOST")).unwrap();
        if cfg!(unix) {
            assert!(places.contains(&("/run/user/7/podman/podman.sock".to_owned(), false)));
        }
        assert!(places.iter().all(|(_, named)| !named));
    }

    #[test]
    fn states_that_docker_does_not_know_are_read() {
        let said = r#"[{"Id":"a","State":"stopped"},{"Id":"b","State":"running"},{"Id":"c"},{"Id":"d","State":"?"}]"#;
        let error = |contents: &str| bollard::errors::Error::JsonDataError {
            message: String::new(),
            contents: contents.to_owned(),
            column: 0,
        };
        let mut mend = |found: &mut serde_json::Value| {
            found.as_array_mut().into_iter().flatten().for_each(|one| tell_status(&mut one["State"]));
        };
        let found: Vec<bollard::models::ContainerSummary> = lenient(error(said), &mut mend).unwrap();
        let states: Vec<_> = found.iter().map(|one| one.state.map(|state| state.to_string())).collect();
        assert_eq!(states, [Some("exited".into()), Some("running".into()), None, Some("exited".into())]);
        assert!(lenient::<Vec<bollard::models::ContainerSummary>>(error("{"), &mut mend).is_err());
    }

    #[test]
    fn engines_far_away_are_refused() {
        for far in ["tcp://10.0.0.1:2375", "ssh://host", "https://host", "unix://"] {
            let error = candidates(Some(far), &|_| None).unwrap_err().to_string();
            assert!(error.contains("local socket") && error.contains(far), "{error}");
        }
    }

    #[tokio::test]
    async fn nobody_listens() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        let error = Engine::find(socket.to_str()).await.unwrap_err();
        assert!(matches!(&error, Unavailable::Unfit(why) if why.contains("docker.sock")), "{error}");
    }
}
