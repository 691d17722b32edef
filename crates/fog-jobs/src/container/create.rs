//! How a stranger's container is fenced in: the one place where its configuration is made.
//!
//! Whatever the image asks for is overruled: its user, its volumes, its health check, its ports. What is not written here
//! is the engine's default, of which the seccomp filter, the masked paths of `/proc` and the private namespaces matter.

use super::engine::{EngineInfo, Kind};
use super::folders::{Folders, JobUser};
use crate::spec::Limits;
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    ImageConfig, Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountType, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum,
};
use std::collections::HashMap;
use std::path::Path;

/// Whose it is: the data folder of the node.
pub(super) const LABEL_NODE: &str = "app.fogcompute.node";
/// Which run it is.
pub(super) const LABEL_RUN: &str = "app.fogcompute.run";
/// On an image: `out` says that whatever is in `/out` at any moment is enough to go on from.
pub(super) const LABEL_CHECKPOINT: &str = "app.fogcompute.checkpoint";

/// Most folders that an image may want to be writable.
const MAX_VOLUMES: usize = 8;
/// Open files of one process.
const OPEN_FILES: i64 = 1024;
/// Processes of the job's user, on engines that would otherwise ask for more than this process may give.
const USER_PROCESSES: i64 = 4096;

/// What a container is made from.
pub(super) struct Plan<'a> {
    pub(super) engine: &'a EngineInfo,
    pub(super) has_init: bool,
    pub(super) image_id: &'a str,
    pub(super) image: &'a ImageConfig,
    pub(super) entrypoint: &'a [String],
    pub(super) args: &'a [String],
    pub(super) env: &'a [(String, String)],
    pub(super) has_stdin: bool,
    pub(super) resumed: bool,
    pub(super) network: bool,
    pub(super) limits: &'a Limits,
    pub(super) nano_cpus: i64,
    pub(super) folders: &'a Folders,
    pub(super) user: JobUser,
    pub(super) node: &'a str,
    pub(super) run: &'a str,
}

/// The container's configuration.
///
/// # Errors
/// Why this image cannot be run, as a sentence's end.
pub(super) fn body(plan: &Plan<'_>) -> Result<ContainerCreateBody, String> {
    let own = |command: &Option<Vec<String>>| command.as_ref().is_some_and(|c| !c.is_empty());
    if plan.entrypoint.is_empty()
        && plan.args.is_empty()
        && !own(&plan.image.entrypoint)
        && !own(&plan.image.cmd)
    {
        return Err("it does not say what to start: give a command".into());
    }
    let mut env: Vec<String> = plan
        .env
        .iter()
        .filter(|(name, _)| !name.is_empty() && !name.contains(['=', '\0']))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if plan.resumed {
        env.push("FOG_RESUME=1".into());
    }
    let mut given = plan.image.env.iter().flatten().chain(&env);
    if !given.any(|e| e.starts_with("HOME=")) {
        // The one place besides /out where the program may write.
        env.push("HOME=/tmp".into());
    }
    // Podman hands its own proxy settings on to containers that have none.
    for name in
        ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"]
    {
        if plan.engine.kind == Kind::Podman && !env.iter().any(|e| e.starts_with(&format!("{name}="))) {
            env.push(format!("{name}="));
        }
    }
    let labels = [(LABEL_NODE, plan.node), (LABEL_RUN, plan.run)];
    Ok(ContainerCreateBody {
        image: Some(plan.image_id.to_owned()),
        entrypoint: (!plan.entrypoint.is_empty()).then(|| plan.entrypoint.to_vec()),
        cmd: (!plan.args.is_empty() || !plan.entrypoint.is_empty()).then(|| plan.args.to_vec()),
        env: Some(env),
        user: Some(format!("{}:{}", plan.user.uid, plan.user.gid)),
        hostname: Some("fog".into()),
        labels: Some(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".into()]), ..Default::default() }),
        stop_signal: Some("SIGTERM".into()),
        network_disabled: Some(!plan.network),
        attach_stdin: Some(plan.has_stdin),
        open_stdin: Some(plan.has_stdin),
        stdin_once: Some(plan.has_stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(false),
        host_config: Some(host(plan)?),
        ..Default::default()
    })
}

fn host(plan: &Plan<'_>) -> Result<HostConfig, String> {
    let memory = clamp(plan.limits.memory_bytes);
    let podman = plan.engine.kind == Kind::Podman;
    Ok(HostConfig {
        privileged: Some(false),
        cap_drop: Some(vec!["ALL".into()]),
        security_opt: Some(vec!["no-new-privileges".into()]),
        readonly_rootfs: Some(true),
        network_mode: Some(network(plan).into()),
        ipc_mode: Some("private".into()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        // Rootless, this process's user and the job's are one, so that what is in /out can be read.
        userns_mode: (podman && plan.engine.rootless)
            .then(|| format!("keep-id:uid={},gid={}", plan.user.uid, plan.user.gid)),
        init: Some(plan.has_init),
        pids_limit: Some(i64::from(plan.limits.pids.max(1))),
        memory: Some(memory),
        // Together with swap: there is none.
        memory_swap: Some(memory),
        nano_cpus: Some(plan.nano_cpus),
        // When the processor or the memory is short, the owner's programs come first.
        cpu_shares: Some(2),
        oom_score_adj: Some(1000),
        ulimits: Some(ulimits(plan)),
        shm_size: Some((memory / 4).min(64 * 1024 * 1024)),
        tmpfs: Some(tmpfs(plan)?),
        mounts: Some(vec![
            bind(&plan.folders.input, "/in", true)?,
            bind(&plan.folders.output, "/out", false)?,
        ]),
        // The output goes through this process and nowhere else, so that it cannot fill the disk.
        log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        ..Default::default()
    })
}

fn network(plan: &Plan<'_>) -> &'static str {
    match (plan.network, plan.engine.kind, plan.engine.rootless) {
        (false, ..) => "none",
        (true, Kind::Podman, true) => "slirp4netns:allow_host_loopback=false",
        (true, ..) => "bridge",
    }
}

fn ulimits(plan: &Plan<'_>) -> Vec<ResourcesUlimits> {
    let limit = |name: &str, value: i64| ResourcesUlimits {
        name: Some(name.into()),
        soft: Some(value),
        hard: Some(value),
    };
    // More than /tmp has room for, so that a full /tmp is a full disk to the program and not a signal.
    let largest_file = plan.limits.output_bytes.max(scratch_bytes(plan.limits)).saturating_add(1024 * 1024);
    let mut limits = vec![
        limit("nofile", OPEN_FILES),
        limit("fsize", clamp(largest_file)),
        // No core files.
        limit("core", 0),
    ];
    if plan.engine.kind == Kind::Podman {
        limits.push(limit("nproc", USER_PROCESSES));
    }
    limits
}

/// Bytes of `/tmp`, which count as memory.
fn scratch_bytes(limits: &Limits) -> u64 {
    limits.storage_bytes.min(limits.memory_bytes / 2).max(64 * 1024)
}

/// The folders in memory: `/tmp`, and in place of each volume of the image, which would be an unbounded folder on the
/// owner's disk.
fn tmpfs(plan: &Plan<'_>) -> Result<HashMap<String, String>, String> {
    let mut options = format!("rw,nosuid,nodev,size={},mode=1777", scratch_bytes(plan.limits));
    let mut folders = vec!["/tmp".to_owned()];
    match plan.engine.kind {
        Kind::Docker => options.push_str(",nr_inodes=10000"),
        Kind::Podman => {
            options.push_str(",notmpcopyup");
            folders.extend(["/run".to_owned(), "/var/tmp".to_owned()]);
        }
    }
    let volumes = plan.image.volumes.as_deref().unwrap_or_default();
    if volumes.len() > MAX_VOLUMES {
        return Err(format!("it has {} volumes, more than the {MAX_VOLUMES} allowed", volumes.len()));
    }
    for volume in volumes {
        let path = volume.trim_end_matches('/');
        let plain = path.starts_with('/')
            && path[1..].split('/').all(|part| !matches!(part, "" | "." | ".."))
            && !path.contains([':', ',', '\0']);
        let taken = ["/in", "/out", "/proc", "/sys", "/dev"];
        let below = |folder: &str| path == folder || path.starts_with(&format!("{folder}/"));
        if !plain || taken.iter().any(|folder| below(folder)) {
            return Err(format!("it has a volume at {volume:?}, where there can be none"));
        }
        folders.push(path.to_owned());
    }
    Ok(folders.into_iter().map(|folder| (folder, options.clone())).collect())
}

fn bind(source: &Path, target: &str, read_only: bool) -> Result<Mount, String> {
    let source = source.to_str().ok_or("the run's folder has no readable name")?;
    Ok(Mount {
        typ: Some(MountType::BIND),
        source: Some(source.to_owned()),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            ..Default::default()
        }),
        ..Default::default()
    })
}

fn clamp(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn engine(kind: Kind, rootless: bool) -> EngineInfo {
        EngineInfo {
            kind,
            version: "1".into(),
            socket: "/s".into(),
            rootless,
            user_namespaces: rootless,
            live_limits: true,
            architecture: "amd64".into(),
            root: PathBuf::new(),
        }
    }

    fn make(
        engine: &EngineInfo,
        image: &ImageConfig,
        args: &[String],
    ) -> Result<ContainerCreateBody, String> {
        let dir = tempfile::tempdir().unwrap();
        let user = crate::container::folders::NOBODY;
        let folders = Folders::prepare(&dir.path().join("s"), &[], user).unwrap();
        body(&Plan {
            engine,
            has_init: true,
            image_id: "sha256:1",
            image,
            entrypoint: &[],
            args,
            env: &[("A".into(), "b".into()), ("X=Y".into(), "z".into())],
            has_stdin: false,
            resumed: true,
            network: false,
            limits: &Limits::default(),
            nano_cpus: 5,
            folders: &folders,
            user,
            node: "n",
            run: "r",
        })
    }

    #[test]
    fn the_image_has_no_say_in_its_rights() {
        let image = ImageConfig {
            user: Some("root".into()),
            volumes: Some(vec!["/data".into(), "/var/lib/x/".into()]),
            cmd: Some(vec!["/x".into()]),
            labels: Some([(LABEL_NODE.to_owned(), "another".to_owned())].into()),
            healthcheck: Some(HealthConfig {
                test: Some(vec!["CMD".into(), "x".into()]),
                ..Default::default()
            }),
            ..Default::default()
        };
        for kind in [Kind::Docker, Kind::Podman] {
            let body = make(&engine(kind, false), &image, &[]).unwrap();
            let host = body.host_config.unwrap();
            assert_eq!(body.user.as_deref(), Some("65534:65534"));
            assert_eq!(body.labels.unwrap()[LABEL_NODE], "n");
            assert_eq!(body.healthcheck.unwrap().test.unwrap(), ["NONE"]);
            assert_eq!((host.privileged, host.readonly_rootfs), (Some(false), Some(true)));
            assert_eq!(host.network_mode.as_deref(), Some("none"));
            assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
            assert_eq!(host.memory, host.memory_swap);
            assert!(host.cap_add.is_none() && host.devices.is_none() && host.pid_mode.is_none());
            assert!(host.binds.is_none() && host.volumes_from.is_none());
            let mounts = host.mounts.unwrap();
            let targets: Vec<_> =
                mounts.iter().map(|m| (m.target.as_deref().unwrap(), m.read_only)).collect();
            assert_eq!(targets, [("/in", Some(true)), ("/out", Some(false))]);
            let tmpfs = host.tmpfs.unwrap();
            assert!(["/tmp", "/data", "/var/lib/x"].iter().all(|f| tmpfs[*f].contains("size=")));
            let env = body.env.unwrap();
            assert!(env.contains(&"A=b".to_owned()) && env.contains(&"FOG_RESUME=1".to_owned()), "{env:?}");
            assert!(!env.iter().any(|e| e.starts_with("X=")), "{env:?}");
        }
    }

    #[test]
    fn volumes_that_would_hide_our_folders_are_refused() {
        for volume in
            ["/in", "/out/", "/out/x", "/proc", "/dev/shm", "relative", "/a/../out", "/", "/a:b", ""]
        {
            let image = ImageConfig {
                cmd: Some(vec!["/x".into()]),
                volumes: Some(vec![volume.into()]),
                ..Default::default()
            };
            assert!(make(&engine(Kind::Docker, false), &image, &[]).is_err(), "{volume}");
        }
    }

    #[test]
    fn something_must_be_started() {
        let nothing = ImageConfig::default();
        assert!(make(&engine(Kind::Docker, false), &nothing, &[]).unwrap_err().contains("command"));
        assert!(make(&engine(Kind::Docker, false), &nothing, &["/bin/x".into()]).is_ok());
    }
}
