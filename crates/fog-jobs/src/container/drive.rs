//! One container from its start to its end: its output, its limits, and what the owner wants meanwhile.

use super::clock::{Meter, RunningTime};
use super::engine::Engine;
use super::folders::{Folders, Usage, measure};
use super::pack::{State, VERSION, pack_checkpoint};
use super::streams::Streams;
use super::tally::Tally;
use super::throttle::Throttle;
use crate::run::{Checkpoint, Control, Events, RunError, RunEvent};
use crate::spec::Limits;
use bollard::container::LogOutput;
use bollard::errors::Error as EngineError;
use bollard::query_parameters::{KillContainerOptions, WaitContainerOptions};
use futures_util::StreamExt;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

/// How often `/out` is counted and the limits are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long the rest of the output may take after the program's end.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a killed container may take to be gone.
const DEATH: Duration = Duration::from_secs(30);
/// Free bytes that stay on the disk, whatever a job may write.
const DISK_RESERVE: u64 = 256 * 1024 * 1024;

/// The exit code that says: there is a state in `/out`, start me again (`EX_TEMPFAIL` of sysexits.h).
pub(super) const EXIT_AGAIN: i64 = 75;

/// What a run knows about itself.
pub(super) struct Run<'a> {
    pub(super) engine: &'a Engine,
    pub(super) container: &'a str,
    pub(super) image: &'a str,
    pub(super) limits: Limits,
    pub(super) folders: &'a Folders,
    /// Whatever is in `/out` is enough to go on from, at any moment.
    pub(super) any_moment: bool,
    pub(super) every: Option<Duration>,
    pub(super) grace: Duration,
    /// What was used before.
    pub(super) before: State,
}

/// How a container ended, and what it used in all.
pub(super) struct Ended {
    /// The exit code, or why it was stopped.
    pub(super) exit: Result<i64, RunError>,
    /// It was told to end with a checkpoint.
    pub(super) preempted: bool,
    pub(super) totals: State,
    pub(super) stderr_tail: String,
}

impl Run<'_> {
    /// Watches the started container until it is over. It is not removed.
    pub(super) async fn watch(
        &self,
        output: Output,
        tally: Tally,
        control: &mut watch::Receiver<Control>,
        share: u32,
        events: &mut Events,
    ) -> Result<Ended, RunError> {
        let streams = Streams::open(&self.folders.stdout, self.limits.output_bytes)
            .await
            .map_err(|e| RunError::Device(format!("the output file cannot be opened: {e}")))?;
        let before = Duration::from_millis(self.before.wall_ms);
        // An engine's word that it has started one may come late, and nobody uses more CPU time than there was.
        let began = tally.used().began().map_or_else(Instant::now, Instant::from_std);
        let mut watched = Watched {
            run: self,
            streams,
            throttle: Throttle::new(self.engine, self.container, self.limits.millicores, share).await,
            time: RunningTime::start(before, began, share),
            meter: Meter::new(),
            tally,
            usage: Usage::default(),
            number: self.before.number,
            last_checkpoint: before,
            deadline: None,
        };
        let exit = watched.until_end(output, control, events).await;
        if exit.is_err() {
            self.kill().await;
        }
        let _ = watched.streams.flush().await;
        watched.tally.finish().await;
        Ok(Ended {
            exit,
            preempted: watched.deadline.is_some(),
            totals: watched.totals(),
            stderr_tail: watched.streams.stderr_tail(),
        })
    }

    async fn signal(&self, signal: &str) {
        let options = KillContainerOptions { signal: signal.into() };
        if let Err(error) = self.engine.docker.kill_container(self.container, Some(options)).await {
            tracing::debug!(%error, signal, "a container does not take a signal");
        }
    }

    /// Ends it at once. A frozen one dies when it thaws.
    async fn kill(&self) {
        let _ = self.engine.docker.unpause_container(self.container).await;
        self.signal("SIGKILL").await;
    }

    /// The exit code, once there is one.
    async fn exit(&self) -> Result<i64, RunError> {
        loop {
            let options = WaitContainerOptions { condition: "not-running".into() };
            let mut wait = self.engine.docker.wait_container(self.container, Some(options));
            match wait.next().await {
                Some(Ok(ended)) => return Ok(ended.status_code),
                Some(Err(EngineError::DockerContainerWaitError { code, .. })) => return Ok(code),
                // Nothing for two minutes: ask again.
                Some(Err(EngineError::RequestTimeoutError)) | None => {}
                Some(Err(error)) => return self.exit_by_state(error).await,
            }
        }
    }

    async fn exit_by_state(&self, error: EngineError) -> Result<i64, RunError> {
        match self.engine.state(self.container).await {
            Ok(Some(state)) if state.running != Some(true) => Ok(state.exit_code.unwrap_or(-1)),
            Ok(None) => Err(RunError::Device("somebody removed the job's container".into())),
            _ => Err(RunError::Device(format!("the container engine does not answer any more: {error}"))),
        }
    }
}

/// A container that runs.
struct Watched<'a> {
    run: &'a Run<'a>,
    streams: Streams,
    throttle: Throttle<'a>,
    time: RunningTime,
    meter: Meter,
    tally: Tally,
    usage: Usage,
    number: u32,
    /// Running time at the last checkpoint.
    last_checkpoint: Duration,
    /// When a program that was told to end is killed.
    deadline: Option<Instant>,
}

/// What a container says.
pub(super) type Output =
    std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<LogOutput, EngineError>> + Send>>;

impl Watched<'_> {
    async fn until_end(
        &mut self,
        mut output: Output,
        control: &mut watch::Receiver<Control>,
        events: &mut Events,
    ) -> Result<i64, RunError> {
        let exit = self.run.exit();
        tokio::pin!(exit);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = true;
        let mut steerable = true;
        let mut checkpoints = control.borrow().checkpoints;
        let code = loop {
            tokio::select! {
                code = &mut exit => break code?,
                said = output.next(), if open => match said {
                    Some(Ok(said)) => self.streams.take(said, self.usage.bytes, events).await?,
                    // Its end, or an engine that is ending: waiting for the exit tells.
                    Some(Err(_)) | None => open = false,
                },
                changed = control.changed(), if steerable => {
                    steerable = changed.is_ok();
                    let now = *control.borrow_and_update();
                    if now.cancelled {
                        return Err(RunError::Cancelled);
                    }
                    self.time.set_share(now.share);
                    if now.preempt {
                        self.ask_to_end().await;
                    } else {
                        self.throttle.set(now.share).await;
                        if now.checkpoints != checkpoints {
                            checkpoints = now.checkpoints;
                            self.checkpoint_now(events).await?;
                        }
                    }
                },
                () = self.throttle.turn() => self.throttle.flip().await,
                _ = look.tick() => self.look(events).await?,
            }
        };
        // What was said last may still be on its way.
        let drained = tokio::time::timeout(DRAIN, async {
            while let (true, Some(Ok(said))) = (open, output.next().await) {
                self.streams.take(said, self.usage.bytes, events).await?;
            }
            Ok(())
        });
        drained.await.unwrap_or(Ok(()))?;
        // What was written last counts as well.
        self.count(events).await?;
        Ok(code)
    }

    /// Looks at the limits.
    async fn look(&mut self, events: &mut Events) -> Result<(), RunError> {
        events.catch_up();
        if self.deadline.is_some_and(|at| Instant::now() >= at) {
            self.run.signal("SIGKILL").await;
            self.deadline = Some(Instant::now() + DEATH);
        }
        if self.time.used() >= Duration::from_secs(self.run.limits.seconds.into()) {
            return Err(RunError::TimeLimit(self.run.limits.seconds));
        }
        self.count(events).await?;
        self.meter.read(self.run.engine, self.run.container, self.tally.used()).await;
        if self.deadline.is_none() {
            self.throttle.settle().await;
        }
        let due = self.run.every.is_some_and(|every| self.time.used() >= self.last_checkpoint + every);
        if due && self.run.any_moment && self.deadline.is_none() {
            self.checkpoint_now(events).await?;
        }
        Ok(())
    }

    /// Counts `/out` and looks at the disk.
    async fn count(&mut self, events: &mut Events) -> Result<(), RunError> {
        let folder = self.run.folders.output.clone();
        let counted =
            tokio::task::spawn_blocking(move || measure(&folder).map(|usage| (usage, free_bytes(&folder))));
        let (usage, free) = counted
            .await
            .map_err(|e| RunError::Device(e.to_string()))?
            .map_err(|e| RunError::Device(format!("the output folder cannot be read: {e}")))?;
        self.usage = usage;
        let limit = self.run.limits.output_bytes;
        if usage.is_wild() {
            events.say(RunEvent::Note(format!(
                "the program was ended: at most {} files, folders at most {} deep and open to their owner may be in \
                 /out",
                super::folders::MAX_FILES,
                super::folders::MAX_DEPTH
            )));
            return Err(RunError::OutputLimit(limit));
        }
        if usage.bytes.saturating_add(self.streams.written()) > limit {
            return Err(RunError::OutputLimit(limit));
        }
        if free.is_some_and(|free| free < DISK_RESERVE) {
            return Err(RunError::Device("its disk is nearly full".into()));
        }
        Ok(())
    }

    /// SIGTERM, and the clock of its grace.
    async fn ask_to_end(&mut self) {
        if self.deadline.is_none() {
            self.deadline = Some(Instant::now() + self.run.grace);
            self.throttle.release().await;
            self.run.signal("SIGTERM").await;
        }
    }

    fn totals(&self) -> State {
        let before = &self.run.before;
        let wall_ms = millis(self.time.used());
        let segment = wall_ms.saturating_sub(before.wall_ms);
        let most = segment.saturating_mul(u64::from(self.run.limits.millicores.max(1000))) / 1000;
        State {
            version: VERSION,
            image: self.run.image.to_owned(),
            number: self.number,
            cpu_ms: before.cpu_ms.saturating_add(millis(self.tally.used().cpu()).min(most)),
            wall_ms: wall_ms.min(u64::from(self.run.limits.seconds) * 1000),
            memory_peak: before.memory_peak.max(self.tally.used().memory_peak()),
        }
    }

    /// Copies `/out` while nothing moves, if that is enough for this program.
    async fn checkpoint_now(&mut self, events: &mut Events) -> Result<(), RunError> {
        self.last_checkpoint = self.time.used();
        if !self.run.any_moment {
            events.say(RunEvent::Note(format!(
                "no checkpoint: the image does not say (by the label {}=out) that what is in /out at any moment is \
                 enough to go on from",
                super::create::LABEL_CHECKPOINT
            )));
            return Ok(());
        }
        let _ = self.streams.flush().await;
        self.number = self.number.saturating_add(1);
        let (folders, state) = (self.run.folders, self.totals());
        let checkpoint = self.throttle.stand_still(write_checkpoint(folders, state)).await?;
        events.say(RunEvent::Checkpoint(checkpoint));
        Ok(())
    }
}

/// Writes a checkpoint of a folder in which nobody writes.
pub(super) async fn write_checkpoint(folders: &Folders, state: State) -> Result<Checkpoint, RunError> {
    let name = |number: u32| format!("checkpoint-{number}.tar");
    let file = folders.file(&name(state.number));
    let earlier = state.number.checked_sub(1).map(|number| folders.file(&name(number)));
    if let Some(number) = state.number.checked_sub(2) {
        let _ = std::fs::remove_file(folders.file(&name(number)));
    }
    let (stdout, output) = (folders.stdout.clone(), folders.output.clone());
    let written = tokio::task::spawn_blocking(move || {
        let bytes = pack_checkpoint(&state, &stdout, &output, &file)?;
        let changed = changed_bytes(earlier.as_ref(), &file)?;
        Ok::<_, std::io::Error>((file, state, bytes, changed))
    });
    let (file, state, bytes, changed) = written
        .await
        .map_err(|e| RunError::Device(e.to_string()))?
        .map_err(|e| RunError::Device(format!("the checkpoint cannot be written: {e}")))?;
    Ok(Checkpoint {
        file,
        fuel: 0,
        cpu_ms: state.cpu_ms,
        wall_ms: state.wall_ms,
        bytes,
        changed,
        number: state.number,
    })
}

/// Bytes in chunks that the earlier file does not have at the same place.
fn changed_bytes(earlier: Option<&PathBuf>, file: &PathBuf) -> std::io::Result<u64> {
    use std::io::Read;
    let chunk = crate::spec::CHUNK_BYTES;
    let mut new = std::fs::File::open(file)?;
    let mut old = earlier.and_then(|file| std::fs::File::open(file).ok());
    let mut changed = 0;
    loop {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        new.by_ref().take(chunk).read_to_end(&mut a)?;
        if a.is_empty() {
            return Ok(changed);
        }
        if let Some(old) = &mut old {
            old.by_ref().take(chunk).read_to_end(&mut b)?;
        }
        if a != b {
            changed += a.len() as u64;
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(unix)]
fn free_bytes(folder: &std::path::Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &std::path::Path) -> Option<u64> {
    None
}
