//! Listens to a child and steers it, until it ends or must be ended.

use super::cache::Cache;
use super::pool::Pool;
use super::protocol::{self, Finished, FromWorker, ToWorker};
use super::{GRACE, PREEMPT_GRACE, Paths};
use crate::checkpoint::Totals;
use crate::run::{Checkpoint, Control, Events, RunError, RunEvent, StreamKind};
use crate::spec::{Hash, Limits};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// How listening to a child ended.
pub(super) enum Ended {
    Done(Result<Finished, RunError>),
    Killed(RunError),
    Silent(String),
}

pub(super) struct Listener<'a> {
    pub(super) limits: Limits,
    pub(super) paths: &'a Paths,
    pub(super) events: Events,
    pub(super) cache: Option<(Cache, Hash)>,
    pub(super) pool: Pool,
    /// The last checkpoint.
    pub(super) last: Option<Checkpoint>,
}

impl Listener<'_> {
    /// Listens until the child is done, is silent for good, is cancelled or has used up its time.
    pub(super) async fn listen(
        &mut self,
        mut stdout: ChildStdout,
        mut stdin: ChildStdin,
        control: &mut watch::Receiver<Control>,
        mut now: Control,
    ) -> Ended {
        // A task of its own, since reading a frame must not be cut off half-way.
        let (frames, mut received) = mpsc::channel(4);
        tokio::spawn(async move {
            loop {
                let frame = receive(&mut stdout).await;
                let last = frame.is_err();
                if frames.send(frame).await.is_err() || last {
                    return;
                }
            }
        });
        let allowance = Duration::from_secs(self.limits.seconds.into()) + GRACE;
        let mut used = Duration::ZERO;
        let mut since = Instant::now();
        let mut steerable = true;
        let mut preempted: Option<Instant> = None;
        loop {
            let left = match preempted {
                // Pauses do not count any more: it runs on until it can be put away.
                Some(at) => (at + PREEMPT_GRACE).saturating_duration_since(Instant::now()),
                None if now.share == 0 => Duration::from_secs(3600),
                None => allowance.saturating_sub(used) * 1000 / now.share,
            };
            tokio::select! {
                frame = received.recv() => match frame {
                    Some(Ok(FromWorker::Done(result))) => return Ended::Done(result),
                    Some(Ok(message)) => self.hear(message, &mut stdin).await,
                    Some(Err(error)) => return Ended::Silent(error.to_string()),
                    None => return Ended::Silent("its pipe closed".into()),
                },
                changed = control.changed(), if steerable => {
                    if changed.is_err() {
                        steerable = false;
                    }
                    let wanted = *control.borrow_and_update();
                    if wanted.cancelled {
                        return Ended::Killed(RunError::Cancelled);
                    }
                    // If the pipe is broken, the other branch learns why.
                    if wanted.share != now.share {
                        used += since.elapsed() * now.share / 1000;
                        since = Instant::now();
                        let _ = send(&mut stdin, &ToWorker::Share(wanted.share)).await;
                    }
                    if wanted.checkpoints != now.checkpoints {
                        let _ = send(&mut stdin, &ToWorker::Checkpoint).await;
                    }
                    if wanted.preempt && preempted.is_none() {
                        preempted = Some(Instant::now());
                        let _ = send(&mut stdin, &ToWorker::Preempt).await;
                    }
                    now = wanted;
                }
                () = tokio::time::sleep(left) => {
                    if preempted.is_some() {
                        return Ended::Killed(RunError::Preempted { checkpoint: None });
                    }
                    used += since.elapsed() * now.share / 1000;
                    since = Instant::now();
                    if used >= allowance {
                        return Ended::Killed(RunError::TimeLimit(self.limits.seconds));
                    }
                }
            }
        }
    }

    async fn hear(&mut self, message: FromWorker, stdin: &mut ChildStdin) {
        match message {
            FromWorker::Locked(locks) => tracing::debug!(%locks, "a worker process is locked down"),
            FromWorker::Started => {
                let pool = self.pool.clone();
                tokio::spawn(async move { pool.warm().await });
            }
            FromWorker::Compiled => {
                if let Some((cache, hash)) = self.cache.clone() {
                    let file = self.paths.compiled.clone();
                    let kept = tokio::task::spawn_blocking(move || {
                        let kept = cache.keep(&hash, &file);
                        let _ = std::fs::remove_file(&file);
                        kept
                    });
                    if let Ok(Err(error)) = kept.await {
                        tracing::warn!(%error, "native code could not be kept");
                    }
                }
            }
            FromWorker::Log { stdout, bytes } => {
                let stream = if stdout { StreamKind::Stdout } else { StreamKind::Stderr };
                self.events.say(RunEvent::Log { stream, bytes });
            }
            FromWorker::Progress(permille) => {
                self.events.say(RunEvent::Progress { permille: permille.min(1000) });
            }
            FromWorker::Note(text) => self.events.say(RunEvent::Note(text.chars().take(300).collect())),
            FromWorker::Checkpoint { number, totals, changed, .. } => {
                match self.copy(number, totals, changed).await {
                    Ok(checkpoint) => {
                        self.last = Some(checkpoint.clone());
                        self.events.say(RunEvent::Checkpoint(checkpoint));
                    }
                    Err(error) => self.events.say(RunEvent::Note(format!("a checkpoint was lost: {error}"))),
                }
                let _ = send(stdin, &ToWorker::Taken).await;
            }
            FromWorker::Done(_) => {}
        }
    }

    /// Copies the child's file, so that it cannot change any more, and removes the copy before the last.
    async fn copy(&self, number: u32, totals: Totals, changed: u64) -> std::io::Result<Checkpoint> {
        let (from, to) = (self.paths.checkpoint.clone(), self.paths.numbered(number));
        let old = number.checked_sub(2).map(|number| self.paths.numbered(number));
        let bytes = tokio::task::spawn_blocking(move || copy(&from, &to, old.as_deref()));
        let bytes = bytes.await.map_err(std::io::Error::other)??;
        let wall_ms = totals.wall_ms.min(u64::from(self.limits.seconds) * 1000);
        Ok(Checkpoint {
            file: self.paths.numbered(number),
            fuel: totals.fuel,
            cpu_ms: totals.cpu_ms.min(wall_ms),
            wall_ms,
            bytes,
            changed: changed.min(bytes),
            number,
        })
    }
}

fn copy(from: &Path, to: &Path, old: Option<&Path>) -> std::io::Result<u64> {
    if !std::fs::symlink_metadata(from)?.is_file() {
        return Err(std::io::Error::other("it is not an ordinary file"));
    }
    let temporary = to.with_extension("part");
    let bytes = std::fs::copy(from, &temporary)?;
    std::fs::rename(&temporary, to)?;
    if let Some(old) = old {
        let _ = std::fs::remove_file(old);
    }
    Ok(bytes)
}

pub(super) async fn send(stdin: &mut ChildStdin, message: &ToWorker) -> std::io::Result<()> {
    stdin.write_all(&protocol::frame(message)?).await?;
    stdin.flush().await
}

async fn receive(stdout: &mut ChildStdout) -> std::io::Result<FromWorker> {
    let mut header = [0; 4];
    stdout.read_exact(&mut header).await?;
    let mut body = vec![0; protocol::body_len(header)?];
    stdout.read_exact(&mut body).await?;
    protocol::parse(&body)
}
