//! A link that is kept up: connects, reconnects with back-off, pings, sends what is queued.

use crate::Key;
use crate::link::{self, Frame, IDLE_TIMEOUT, LinkError, Role};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;
use x25519_dalek::StaticSecret;

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(10);
/// Frames written before a flush, so that one slow reader cannot keep the buffer from being sent.
const BATCH: usize = 64;

/// Frames that were handed over together, to be written together.
pub(crate) type Frames = Vec<Frame>;

/// How a kept link is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LinkState {
    /// Not asked for yet, or being made.
    #[default]
    Connecting,
    /// Up.
    Up,
    /// Down; the text says why. It is tried again.
    Down(String),
}

/// Whom to link to, and as whom.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) remote: Key,
    pub(crate) local: StaticSecret,
    pub(crate) role: Role,
    /// Connect only when there is something to send (relays among themselves).
    pub(crate) lazy: bool,
}

/// Runs until `cancel` or until the sender of `queue` is gone.
pub(crate) async fn keep(
    target: Target,
    mut queue: mpsc::Receiver<Frames>,
    incoming: Option<mpsc::Sender<Frame>>,
    state: watch::Sender<LinkState>,
    cancel: CancellationToken,
) {
    let mut backoff = FIRST_BACKOFF;
    let mut waiting: Option<Frames> = None;
    loop {
        if target.lazy && waiting.is_none() {
            tokio::select! {
                () = cancel.cancelled() => return,
                frames = queue.recv() => match frames {
                    Some(frames) => waiting = Some(frames),
                    None => return,
                },
            }
        }
        let connected = Instant::now();
        let result = tokio::select! {
            () = cancel.cancelled() => return,
            result = run(&target, &mut waiting, &mut queue, incoming.as_ref(), &state) => result,
        };
        match result {
            Ok(()) => return, // nobody sends any more
            Err(e) => {
                if *state.borrow() == LinkState::Up && connected.elapsed() > LAST_BACKOFF {
                    backoff = FIRST_BACKOFF;
                }
                tracing::debug!(relay = %crate::short(&target.remote), "link down: {e}");
                state.send_replace(LinkState::Down(e.to_string()));
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = sleep(backoff) => {}
        }
        backoff = (backoff * 2).min(LAST_BACKOFF);
    }
}

async fn run(
    target: &Target,
    waiting: &mut Option<Frames>,
    queue: &mut mpsc::Receiver<Frames>,
    incoming: Option<&mpsc::Sender<Frame>>,
    state: &watch::Sender<LinkState>,
) -> Result<(), LinkError> {
    let stream = timeout(link::HANDSHAKE_TIMEOUT, TcpStream::connect(target.address))
        .await
        .map_err(|_| LinkError::Timeout)??;
    let (mut reader, mut writer) = link::connect(stream, &target.local, &target.remote, target.role).await?;
    state.send_replace(LinkState::Up);

    // Reading is not cancel-safe, so it is one future that lives as long as the link.
    let read = async {
        loop {
            match reader.read().await? {
                Frame::Pong => {}
                frame => {
                    if let Some(incoming) = incoming
                        && incoming.send(frame).await.is_err()
                    {
                        return Ok::<(), LinkError>(());
                    }
                }
            }
        }
    };
    let write = async {
        let mut ping = interval_at(Instant::now() + IDLE_TIMEOUT / 3, IDLE_TIMEOUT / 3);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut frames = waiting.take().unwrap_or_default();
        loop {
            while frames.len() < BATCH
                && let Ok(more) = queue.try_recv()
            {
                frames.extend(more);
            }
            if frames.is_empty() {
                tokio::select! {
                    more = queue.recv() => match more {
                        Some(more) => frames = more,
                        None => return Ok::<(), LinkError>(()),
                    },
                    _ = ping.tick() => frames.push(Frame::Ping),
                }
                continue;
            }
            for frame in frames.drain(..) {
                writer.write(&frame).await?;
            }
            writer.flush().await?;
        }
    };
    tokio::select! {
        result = read => result,
        result = write => result,
    }
}
