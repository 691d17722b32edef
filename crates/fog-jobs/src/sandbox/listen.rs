//! Listens to a child and steers it, until it ends or must be ended.

use super::cache::Cache;
use super::pool::Pool;
use super::protocol::{self, Finished, FromWorker, ToWorker};
use super::{GRACE, PREEMPT_GRACE, Paths, STDERR_TAIL, open_plain};
use crate::checkpoint::Totals;
use crate::run::{Checkpoint, Control, Events, RunError, RunEvent, StreamKind};
use crate::spec::{Hash, Limits};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Most bytes of the log in one event; an honest child sends no more at once.
const LOG_PIECE: usize = 64 * 1024;
/// Most words to a child that does not listen. It is ended when its time is up.
const UNHEARD: usize = 64;
/// What a checkpoint takes besides memory and output.
const CHECKPOINT_HEADROOM: u64 = 256 * 1024 * 1024;

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
    /// The number of the last checkpoint that the child spoke of.
    pub(super) number: Option<u32>,
    /// Copies of checkpoints that lie in the scratch folder.
    pub(super) copies: Vec<PathBuf>,
}

impl Listener<'_> {
    /// Listens until the child is done, is silent for good, is cancelled or has used up its time.
    pub(super) async fn listen(
        &mut self,
        start: ToWorker,
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
        // As is writing one: a child that does not read must not keep us from ending it.
        let (words, mut unsent) = mpsc::channel(UNHEARD);
        let _ = words.try_send(start);
        tokio::spawn(async move {
            while let Some(word) = unsent.recv().await {
                // If the pipe is broken, the listener learns why.
                if send(&mut stdin, &word).await.is_err() {
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
                // Counted from the last change, not from the last word: a child that chatters gains no time by it.
                None => {
                    let spent = used.saturating_add(since.elapsed() * now.share / 1000);
                    allowance.saturating_sub(spent) * 1000 / now.share
                }
            };
            tokio::select! {
                frame = received.recv() => match frame {
                    Some(Ok(FromWorker::Done(result))) => return Ended::Done(shortened(result)),
                    Some(Ok(message)) => self.hear(message, &words).await,
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
                    if wanted.share != now.share {
                        used += since.elapsed() * now.share / 1000;
                        since = Instant::now();
                        let _ = words.try_send(ToWorker::Share(wanted.share));
                    }
                    if wanted.checkpoints != now.checkpoints {
                        let _ = words.try_send(ToWorker::Checkpoint);
                    }
                    if wanted.preempt && preempted.is_none() {
                        preempted = Some(Instant::now());
                        let _ = words.try_send(ToWorker::Preempt);
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

    async fn hear(&mut self, message: FromWorker, words: &mpsc::Sender<ToWorker>) {
        match message {
            FromWorker::Locked(locks) => tracing::debug!(%locks, "a worker process is locked down"),
            FromWorker::Started => {
                let pool = self.pool.clone();
                tokio::spawn(async move { pool.warm().await });
            }
            FromWorker::Compiled => {
                // Once: there is one module.
                if let Some((cache, hash)) = self.cache.take() {
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
            FromWorker::Log { stdout, mut bytes } => {
                bytes.truncate(LOG_PIECE);
                bytes.shrink_to_fit();
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
                let _ = words.try_send(ToWorker::Taken);
            }
            FromWorker::Done(_) => {}
        }
    }

    /// Copies the child's file, so that it cannot change any more, and removes all copies but the last two.
    async fn copy(&mut self, number: u32, totals: Totals, changed: u64) -> std::io::Result<Checkpoint> {
        if self.number.is_some_and(|last| last.checked_add(1) != Some(number)) {
            return Err(std::io::Error::other("its number does not follow the last one's"));
        }
        self.number = Some(number);
        let (from, to) = (self.paths.checkpoint.clone(), self.paths.numbered(number));
        let limits = &self.limits;
        let most =
            limits.memory_bytes.saturating_add(limits.output_bytes).saturating_add(CHECKPOINT_HEADROOM);
        self.copies.push(to.clone());
        let surplus = self.copies.len().saturating_sub(2);
        let old: Vec<PathBuf> = self.copies.drain(..surplus).collect();
        let bytes = tokio::task::spawn_blocking(move || copy(&from, &to, &old, most));
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

fn copy(from: &Path, to: &Path, old: &[PathBuf], most: u64) -> std::io::Result<u64> {
    let source = open_plain(from)?;
    let too_large = || std::io::Error::other("it is larger than memory and output can be");
    if source.metadata()?.len() > most {
        return Err(too_large());
    }
    let temporary = to.with_extension("part");
    let mut target = std::fs::File::create(&temporary)?;
    // Bounded while it is read, since the child may go on writing.
    let bytes = std::io::copy(&mut source.take(most.saturating_add(1)), &mut target)?;
    if bytes > most {
        std::fs::remove_file(&temporary)?;
        return Err(too_large());
    }
    std::fs::rename(&temporary, to)?;
    for old in old {
        let _ = std::fs::remove_file(old);
    }
    Ok(bytes)
}

/// Cuts what a child said at its end to what an honest one says.
pub(super) fn shortened(result: Result<Finished, RunError>) -> Result<Finished, RunError> {
    // Bytes that are no text have become up to three bytes each.
    const LOSSY: usize = 3 * STDERR_TAIL;
    const REASON: usize = 4096;
    let cut = |text: &mut String, most: usize| {
        text.truncate(text.floor_char_boundary(most));
        text.shrink_to_fit();
    };
    match result {
        Ok(mut finished) => {
            let surplus = finished.stderr_tail.len().saturating_sub(LOSSY);
            let surplus = finished.stderr_tail.ceil_char_boundary(surplus);
            finished.stderr_tail.drain(..surplus);
            Ok(finished)
        }
        Err(mut error) => {
            use RunError as E;
            if let E::NotWasm(text)
            | E::Trap(text)
            | E::Denied(text)
            | E::Unsupported(text)
            | E::Image(text)
            | E::BadCheckpoint(text)
            | E::WorkerDied(text)
            | E::Device(text) = &mut error
            {
                cut(text, REASON);
            }
            Err(error)
        }
    }
}

async fn send(stdin: &mut ChildStdin, message: &ToWorker) -> std::io::Result<()> {
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
