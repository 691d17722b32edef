//! Runs containers on the engine that this device has: Docker, or Podman's service for Docker's API.
//!
//! ```text
//!   RunRequest ─▶ image  by digest: there already, from the job's archive ([`archive`]), or pulled
//!                 folders  /in and /out on this device's disk
//!                 create ─▶ attach ─▶ start ─▶ watch ([`drive`]) ─▶ remove ─▶ RunOutcome | RunError
//! ```
//!
//! **What holds a stranger's program.** It runs as `nobody`, without capabilities and without a way to new ones, on a
//! read-only root, in namespaces of its own (users' too where the engine has them), under the engine's filter of system
//! calls, without network unless both sides want it, with limits on memory (no swap), processes, processor, open files
//! and file sizes. It sees `/in` (read-only), `/out` and a `/tmp` in memory, and no device, socket or folder of the
//! host. [`create`] is the only place where this is written. `/out` is counted ten times a second: a program may be over
//! its limit by what it writes in that time before it is killed.
//!
//! **Checkpoints.** `/out` is the state. To be preempted, a program is sent SIGTERM and has some seconds; exit code 75
//! says that `/out` is enough to go on from, and the next device starts it with the same `/out` and `FOG_RESUME=1`. A
//! program that ends with 75 on its own asks for the same. An image with the label `app.fogcompute.checkpoint=out`
//! says that any state of `/out` is enough: then checkpoints are also taken while it runs (it stands still meanwhile),
//! and its last state counts even if it did not obey.
//!
//! **Nothing is left behind.** Every container carries the node's label. Those that no run of this process knows are
//! removed when [`Containers::connect`] returns and every few minutes after ([`Containers::sweep`]), images that were brought for jobs
//! some time after their last use. So a crash of the node leaves nothing that its next start does not find.
//!
//! Containers are off until the owner allows them: a kernel shared with a stranger is a larger risk than a WASM sandbox.

mod archive;
mod clock;
mod create;
mod drive;
mod engine;
mod folders;
mod images;
mod ledger;
mod name;
mod pack;
mod reaper;
mod streams;
mod tally;
mod throttle;

pub use engine::{EngineInfo, Kind};
pub use ledger::KeepImages;
pub use reaper::Swept;
pub use tally::cpu_used;

use crate::run::{Control, Events, Program, RunError, RunEvent, RunHandle, RunOutcome, RunRequest};
use crate::spec::Limits;
use bollard::models::{ContainerCreateBody, ContainerState};
use bollard::query_parameters::{
    AttachContainerOptions, CreateContainerOptions, RemoveContainerOptions, StartContainerOptions,
};
use drive::{EXIT_AGAIN, Ended, Run};
use engine::Engine;
use folders::{Folders, JobUser};
use images::{Images, Ready, Rules};
use pack::State;
use reaper::Runs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tally::Tally;
use tokio::sync::watch;

/// Removes a run's scratch folder, even one in which a program has left a nest too deep for the standard library.
///
/// # Errors
/// The first thing that cannot be removed.
pub fn remove_scratch(scratch: &Path) -> std::io::Result<()> {
    match scratch.parent() {
        Some(above) => folders::remove_tree(scratch, above),
        None => Ok(()),
    }
}

/// How containers are run here.
#[derive(Debug, Clone)]
pub struct ContainerConfig {
    /// Has the owner allowed containers? Without that nothing is run.
    pub allowed: bool,
    /// The engine's socket: `unix:///run/podman/podman.sock`, `npipe:////./pipe/docker_engine` or a path. None: the one in
    /// `DOCKER_HOST` or `CONTAINER_HOST`, else the usual places of Docker and Podman.
    pub socket: Option<String>,
    /// A folder of this node's own, for its list of images. Its path also tells its containers from other nodes'.
    pub state: PathBuf,
    /// Registries from which images may be fetched.
    pub registries: Vec<String>,
    /// Most bytes of an image: compressed if it is fetched, else uncompressed.
    pub max_image_bytes: u64,
    /// How long images brought for jobs stay.
    pub keep_images: KeepImages,
    /// How long a program that is told to end may take.
    pub grace: Duration,
}

impl ContainerConfig {
    /// Not allowed; images from the three large public registries, at most 4 GiB each and 8 GiB together, kept for a day.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        const GIB: u64 = 1024 * 1024 * 1024;
        Self {
            allowed: false,
            socket: None,
            state: state.into(),
            registries: ["docker.io", "ghcr.io", "quay.io"].map(str::to_owned).to_vec(),
            max_image_bytes: 4 * GIB,
            keep_images: KeepImages { time: Duration::from_secs(24 * 3600), bytes: 8 * GIB },
            grace: Duration::from_secs(10),
        }
    }
}

/// Why this device runs no containers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The owner has not allowed it.
    #[error("the owner of this device has not allowed container jobs")]
    NotAllowed,
    /// There is no engine.
    #[error("there is no container engine on this device: install and start Docker or Podman's service")]
    NoEngine,
    /// There is one, but it does not answer or cannot hold a stranger's program.
    #[error("the container engine cannot be used: {0}")]
    Unfit(String),
    /// This node's own folder cannot be used.
    #[error("the list of images cannot be kept: {0}")]
    State(String),
}

/// Runs containers. Clones share the engine.
#[derive(Clone)]
pub struct Containers {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Arc<Engine>,
    images: Arc<Images>,
    runs: Arc<Runs>,
    grace: Duration,
    node: String,
    user: JobUser,
}

impl std::fmt::Debug for Containers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Containers").field("engine", &self.inner.engine.info).finish_non_exhaustive()
    }
}

impl Containers {
    /// Finds the engine and removes what an earlier process of this node left on it. Where containers are not allowed, only
    /// the latter. Later leftovers are removed every few minutes, as long as a clone of the value lives.
    ///
    /// # Errors
    /// [`Unavailable`]: this device should not offer to run containers.
    pub async fn connect(config: ContainerConfig) -> Result<Self, Unavailable> {
        if !config.allowed && !config.state.exists() {
            return Err(Unavailable::NotAllowed);
        }
        let engine = Arc::new(Engine::find(config.socket.as_deref()).await?);
        let state = |e: std::io::Error| Unavailable::State(e.to_string());
        std::fs::create_dir_all(&config.state).map_err(state)?;
        let node = node_label(&config.state).map_err(state)?;
        let keep =
            if config.allowed { config.keep_images } else { KeepImages { time: Duration::ZERO, bytes: 0 } };
        let rules = Rules { registries: config.registries, max_bytes: config.max_image_bytes, keep };
        let images = Images::open(Arc::clone(&engine), rules, config.state).map_err(state)?;
        let user = job_user(&engine);
        let inner = Inner {
            runs: Arc::new(Runs::default()),
            images: Arc::new(images),
            engine,
            grace: config.grace,
            node,
            user,
        };
        let containers = Self { inner: Arc::new(inner) };
        let swept = containers.sweep().await;
        if !config.allowed {
            return Err(Unavailable::NotAllowed);
        }
        if let Err(reason) = swept {
            return Err(Unavailable::Unfit(reason));
        }
        reaper::keep_sweeping(&containers.inner);
        Ok(containers)
    }

    /// What is known about the engine.
    pub fn engine(&self) -> &EngineInfo {
        &self.inner.engine.info
    }

    /// Removes this node's containers that no run of this process knows, and images that are due.
    ///
    /// # Errors
    /// Why the engine does not say what it has, or does not remove it.
    pub async fn sweep(&self) -> Result<Swept, String> {
        self.inner.sweep().await
    }

    /// Runs a container to its end. Dropping the future removes it.
    ///
    /// # Errors
    /// [`RunError`] says in plain words why there is no outcome.
    pub async fn run(
        &self,
        request: RunRequest,
        handle: &RunHandle,
        mut events: Events,
    ) -> Result<RunOutcome, RunError> {
        let mut control = handle.subscribe();
        let mut watcher = control.clone();
        let ready = tokio::select! {
            biased;
            stopped = stopped(&mut watcher) => return Err(stopped),
            ready = self.inner.ready(&request, &mut events) => ready?,
        };
        self.inner.run(request, ready, &mut control, &mut events).await
    }
}

impl Inner {
    async fn ready(&self, request: &RunRequest, events: &mut Events) -> Result<Ready, RunError> {
        let Program::Container { image, .. } = &request.program else {
            return Err(RunError::Unsupported("the container runtime runs containers only".into()));
        };
        self.images.ready(image, &mut |text| events.say(RunEvent::Note(text))).await
    }

    async fn run(
        &self,
        request: RunRequest,
        image: Ready,
        control: &mut watch::Receiver<Control>,
        events: &mut Events,
    ) -> Result<RunOutcome, RunError> {
        let (folders, before) = self.prepare(&request, &image.id).await?;
        let folders = Cleared(folders);
        // Nothing is started while the owner wants the whole device.
        let running = control.wait_for(|now| now.share > 0 || now.cancelled || now.preempt).await;
        let now = running.map(|now| *now).map_err(|_| RunError::Cancelled)?;
        if let Some(error) = stop_reason(now) {
            return Err(error);
        }
        control.mark_unchanged();

        let limits = request.limits;
        let label = |name: &str| image.config.labels.as_ref().and_then(|l| l.get(name)).map(String::as_str);
        let active = self.runs.begin();
        let Started { container, attached, tally } =
            self.start(&request, &image, &folders.0, &limits, now.share, active.id(), events).await?;
        let id = container.id.clone();
        let stdin = request.stdin.clone().map(|file| feed(file, attached.input));
        let run = Run {
            engine: &self.engine,
            container: &id,
            image: &image.id,
            limits,
            folders: &folders.0,
            any_moment: label(create::LABEL_CHECKPOINT) == Some("out"),
            every: request.checkpoint_every,
            grace: self.grace,
            before,
        };
        let ended = run.watch(attached.output, tally, control, now.share, events).await;
        if let Some(stdin) = stdin {
            stdin.abort();
        }
        let ended = ended?;
        // An engine may call it success when somebody removed the container under the program.
        let state = match self.engine.state(&id).await {
            Ok(Some(state)) if !engine::is_going(&state) => state,
            Ok(_) if ended.exit.is_ok() => {
                return Err(RunError::Device("somebody removed the job's container".into()));
            }
            _ => ContainerState::default(),
        };
        // Before /out is read: nobody may write there any more.
        container.remove().await;
        let out_of_memory = state.oom_killed == Some(true);
        conclude(ended, &run, out_of_memory, &folders.0).await
    }

    async fn prepare(&self, request: &RunRequest, image: &str) -> Result<(Folders, State), RunError> {
        let (scratch, inputs, user) = (request.scratch.clone(), request.inputs.clone(), self.user);
        let (resume, image, max) = (request.resume.clone(), image.to_owned(), request.limits.output_bytes);
        tokio::task::spawn_blocking(move || {
            // A checkpoint of this very run may lie in the scratch folder, which is not emptied.
            let folders = Folders::prepare(&scratch, &inputs, user)?;
            let nothing = State {
                version: pack::VERSION,
                image: image.clone(),
                number: 0,
                cpu_ms: 0,
                wall_ms: 0,
                memory_peak: 0,
            };
            let Some(file) = resume else { return Ok((folders, nothing)) };
            let state = pack::unpack(&file, &image, &folders.stdout, &folders.output, user, max)
                .map_err(RunError::BadCheckpoint)?;
            Ok((folders, state))
        })
        .await
        .map_err(|e| RunError::Device(e.to_string()))?
    }

    #[allow(clippy::too_many_arguments, reason = "one step of `run`, cut out to be readable")]
    async fn start(
        &self,
        request: &RunRequest,
        image: &Ready,
        folders: &Folders,
        limits: &Limits,
        share: u32,
        run: &str,
        events: &mut Events,
    ) -> Result<Started, RunError> {
        let Program::Container { entrypoint, .. } = &request.program else {
            return Err(RunError::Unsupported("the container runtime runs containers only".into()));
        };
        loop {
            let has_init = self.engine.has_init();
            let plan = create::Plan {
                engine: &self.engine.info,
                has_init,
                image_id: &image.id,
                image: &image.config,
                entrypoint,
                args: &request.args,
                env: &request.env,
                has_stdin: request.stdin.is_some(),
                resumed: request.resume.is_some(),
                network: request.network,
                limits,
                nano_cpus: throttle::Throttle::initial(&self.engine, limits.millicores, share),
                folders,
                user: self.user,
                node: &self.node,
                run,
            };
            let body = create::body(&plan).map_err(RunError::Image)?;
            match self.try_start(body, request.stdin.is_some()).await {
                Ok(started) => return Ok(started),
                Err(error) if has_init && names_init(&error) => {
                    self.engine.has_init.store(false, Ordering::Relaxed);
                    events.say(RunEvent::Note(
                        "the container engine has no init program (tini, catatonit): the job's own first process gets \
                         the signals"
                            .into(),
                    ));
                }
                Err(error) => return Err(start_error(&error)),
            }
        }
    }

    async fn try_start(
        &self,
        body: ContainerCreateBody,
        stdin: bool,
    ) -> Result<Started, bollard::errors::Error> {
        let docker = &self.engine.docker;
        let engine = Arc::clone(&self.engine);
        // The engine goes on with it even if nobody waits for its answer, so somebody must: whoever drops the run in
        // this moment does not know the container's name and could not remove it.
        let created = tokio::spawn(async move {
            let created = engine.docker.create_container(None::<CreateContainerOptions>, body).await?;
            Ok::<_, bollard::errors::Error>(Container { engine, id: created.id, removed: false })
        });
        let container = created.await.map_err(|e| std::io::Error::other(e.to_string()))??;
        let options =
            AttachContainerOptions { stream: true, stdin, stdout: true, stderr: true, ..Default::default() };
        let attached = docker.attach_container(&container.id, Some(options)).await?;
        let tally = Tally::follow(&container.id);
        docker.start_container(&container.id, None::<StartContainerOptions>).await?;
        Ok(Started { container, attached, tally })
    }
}

/// A container that was started.
struct Started {
    container: Container,
    attached: bollard::container::AttachContainerResults,
    tally: Tally,
}

/// What a run's end means.
async fn conclude(
    ended: Ended,
    run: &Run<'_>,
    out_of_memory: bool,
    folders: &Folders,
) -> Result<RunOutcome, RunError> {
    let mut totals = ended.totals;
    let code = ended.exit?;
    let go_on = code == EXIT_AGAIN || (ended.preempted && run.any_moment && code != 0);
    if go_on {
        totals.number = totals.number.saturating_add(1);
        let checkpoint = drive::write_checkpoint(folders, totals).await?;
        return Err(RunError::Preempted { checkpoint: Some(checkpoint) });
    }
    if ended.preempted && code != 0 {
        return Err(RunError::Preempted { checkpoint: None });
    }
    if out_of_memory && code != 0 {
        return Err(RunError::OutOfMemory(run.limits.memory_bytes));
    }
    let (output, files) = (folders.output.clone(), folders.file("files.tar"));
    let packed = tokio::task::spawn_blocking(move || Ok((pack::pack(&output, &files)?, files)));
    let (any, files) = packed
        .await
        .map_err(|e| RunError::Device(e.to_string()))?
        .map_err(|e: std::io::Error| RunError::Device(format!("the output cannot be packed: {e}")))?;
    Ok(RunOutcome {
        exit_code: i32::try_from(code).unwrap_or(i32::MAX),
        stdout: folders.stdout.clone(),
        files: any.then_some(files),
        stderr_tail: ended.stderr_tail,
        fuel: 0,
        cpu_ms: totals.cpu_ms,
        wall_ms: totals.wall_ms,
        memory_peak: totals.memory_peak,
    })
}

/// Removes the folders that a container saw, whatever happens.
struct Cleared(Folders);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// A container on the engine, removed when this is dropped.
struct Container {
    engine: Arc<Engine>,
    id: String,
    removed: bool,
}

impl Container {
    async fn remove(mut self) {
        self.removed = true;
        remove_container(&self.engine, &self.id).await;
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.removed {
            return;
        }
        let (engine, id) = (Arc::clone(&self.engine), std::mem::take(&mut self.id));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { remove_container(&engine, &id).await });
        }
    }
}

/// Ends and removes a container, if it is there. What cannot be removed now is removed by a sweep.
async fn remove_container(engine: &Engine, id: &str) -> bool {
    // Some engines do not kill what is paused.
    let mut pause = FIRST_PAUSE;
    loop {
        let _ = engine.docker.unpause_container(id).await;
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        match engine.docker.remove_container(id, Some(options)).await {
            Ok(()) => return true,
            Err(e) if engine::is_missing(&e) => return true,
            // It may be in the middle of something: being started, or removed by somebody else.
            Err(error) if pause > LAST_PAUSE => {
                tracing::warn!(%error, container = id, "a job's container cannot be removed yet");
                return false;
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause *= 4;
    }
}

/// How long after an engine's first refusal to remove a container it is asked again; each time four times as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The engine is not asked again after a longer pause.
const LAST_PAUSE: Duration = Duration::from_secs(4);

/// Hands a file to the program's standard input.
fn feed(
    file: PathBuf,
    mut input: std::pin::Pin<Box<dyn tokio::io::AsyncWrite + Send>>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let copied = async {
            let mut file = tokio::fs::File::open(&file).await?;
            tokio::io::copy(&mut file, &mut input).await?;
            input.shutdown().await
        };
        // A program need not read its input to the end.
        if let Err(error) = copied.await {
            tracing::debug!(%error, "a job's input was not read to its end");
        }
    })
}

/// Why a run should not go on, if it should not.
fn stop_reason(now: Control) -> Option<RunError> {
    match now {
        Control { cancelled: true, .. } => Some(RunError::Cancelled),
        Control { preempt: true, .. } => Some(RunError::Preempted { checkpoint: None }),
        _ => None,
    }
}

/// Waits until the run should not go on, for ever if nobody says so.
async fn stopped(control: &mut watch::Receiver<Control>) -> RunError {
    let stop =
        control.wait_for(|now| now.cancelled || now.preempt).await.ok().and_then(|now| stop_reason(*now));
    match stop {
        Some(error) => error,
        None => std::future::pending().await,
    }
}

fn names_init(error: &bollard::errors::Error) -> bool {
    let text = error.to_string();
    ["docker-init", "catatonit", "init binary"].iter().any(|name| text.contains(name))
}

fn start_error(error: &bollard::errors::Error) -> RunError {
    let text = error.to_string();
    let programs_fault = ["executable file not found", "exec:", "exec format", "no such file or directory"];
    if programs_fault.iter().any(|part| text.contains(part)) {
        RunError::Image(format!("its program cannot be started: {text}"))
    } else {
        RunError::Device(format!("the container engine cannot start the container: {text}"))
    }
}

/// Who jobs are. Only root can give a folder to somebody else; others let the program write as themselves, which under
/// a rootless engine is `nobody` on the inside.
fn job_user(engine: &Engine) -> JobUser {
    #[cfg(unix)]
    {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        if !uid.is_root() && !engine.info.rootless {
            return JobUser { uid: uid.as_raw(), gid: gid.as_raw() };
        }
    }
    let _ = engine;
    folders::NOBODY
}

/// Tells this node's containers from others': two nodes may share an engine.
fn node_label(state: &Path) -> std::io::Result<String> {
    let path = std::fs::canonicalize(state)?;
    Ok(blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex()[..32].to_owned())
}
