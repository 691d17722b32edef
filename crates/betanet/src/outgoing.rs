//! A link that is kept up: connects, reconnects with back-off, pings, sends what is queued.
//!
//! It ends and begins anew when the connection breaks, when the other side gives no sign of life in time ([`pulse`]), and
//! when the machine slept or moved ([`crate::wakeup`]): then without waiting for the back-off.

mod pulse;

use crate::Key;
use crate::link::{self, Frame, IDLE_TIMEOUT, LinkError, Role};
use crate::wakeup::Kick;
use parking_lot::Mutex;
use pulse::Pulse;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use x25519_dalek::StaticSecret;

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// A relay that is down for longer gets nothing of what waits for it: senders have sent that again.
const KEEP_WAITING: Duration = Duration::from_secs(30);
const LAST_BACKOFF: Duration = Duration::from_secs(10);
/// How long a client's link may be silent after something was written. Relays give each other [`IDLE_TIMEOUT`], since a
/// full one pauses its reading.
pub(crate) const CLIENT_SILENCE: Duration = Duration::from_secs(15);
/// Frames written before a flush, so that one slow reader cannot keep the buffer from being sent.
const BATCH: usize = 64;

/// Frames that were handed over together, to be written together.
pub(crate) type Frames = Vec<Frame>;

/// Puts frames into the queue of a kept link. The link ends when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct QueueSender {
    frames: mpsc::UnboundedSender<Frames>,
    waiting: Arc<AtomicUsize>,
    most: usize,
}

/// The link's end of the queue.
pub(crate) struct QueueReceiver {
    frames: mpsc::UnboundedReceiver<Frames>,
    waiting: Arc<AtomicUsize>,
}

/// Why frames were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueueError {
    /// As many frames wait as may.
    Full,
    /// The link is gone for good.
    Closed,
}

/// A queue in which at most so many frames wait.
pub(crate) fn queue(most: usize) -> (QueueSender, QueueReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::<AtomicUsize>::default();
    let queue = QueueSender { frames: sender, waiting: waiting.clone(), most };
    (queue, QueueReceiver { frames: receiver, waiting })
}

impl QueueSender {
    pub(crate) fn try_send(&self, frames: Frames) -> Result<(), QueueError> {
        let count = frames.len();
        if self.waiting.fetch_add(count, Ordering::AcqRel) + count > self.most {
            self.waiting.fetch_sub(count, Ordering::AcqRel);
            return Err(QueueError::Full);
        }
        self.frames.send(frames).map_err(|_| QueueError::Closed)
    }

    /// Frames that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// The share of the queue that is taken.
    pub(crate) fn filled(&self) -> f64 {
        self.waiting.load(Ordering::Acquire) as f64 / self.most as f64
    }
}

impl QueueReceiver {
    async fn recv(&mut self) -> Option<Frames> {
        let frames = self.frames.recv().await?;
        self.waiting.fetch_sub(frames.len(), Ordering::AcqRel);
        Some(frames)
    }

    /// True if nobody can put anything in any more.
    fn is_closed(&self) -> bool {
        self.frames.is_closed()
    }

    fn try_recv(&mut self) -> Option<Frames> {
        let frames = self.frames.try_recv().ok()?;
        self.waiting.fetch_sub(frames.len(), Ordering::AcqRel);
        Some(frames)
    }
}

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
    /// How long the other side may give no sign of life after something was written.
    pub(crate) silence: Duration,
}

/// Runs until `cancel` or until the sender of `queue` is gone. With a `kick` the link is made anew at once.
pub(crate) async fn keep(
    target: Target,
    mut queue: QueueReceiver,
    incoming: Option<mpsc::Sender<Frame>>,
    state: watch::Sender<LinkState>,
    mut kick: Kick,
    cancel: CancellationToken,
) {
    let mut backoff = FIRST_BACKOFF;
    let mut waiting: Option<Frames> = None;
    let mut since_up = Instant::now();
    loop {
        if target.lazy && waiting.is_none() {
            tokio::select! {
                () = cancel.cancelled() => return,
                frames = queue.recv() => match frames {
                    Some(frames) => waiting = Some(frames),
                    None => return,
                },
            }
            if backoff == FIRST_BACKOFF {
                since_up = Instant::now();
            }
        }
        let connected = Instant::now();
        let result = tokio::select! {
            () = cancel.cancelled() => return,
            () = kick.kicked() => {
                state.send_replace(LinkState::Connecting);
                backoff = FIRST_BACKOFF;
                continue;
            }
            result = run(&target, &mut waiting, &mut queue, incoming.as_ref(), &state) => result,
        };
        match result {
            Ok(()) => return, // nobody sends any more
            Err(e) => {
                if *state.borrow() == LinkState::Up {
                    since_up = Instant::now();
                }
                if *state.borrow() == LinkState::Up && connected.elapsed() > LAST_BACKOFF {
                    backoff = FIRST_BACKOFF;
                }
                tracing::debug!(relay = %crate::short(&target.remote), "link down: {e}");
                state.send_replace(LinkState::Down(e.to_string()));
            }
        }
        if target.lazy {
            // Nobody will hand over more; or the relay has been gone for so long that what waits is of no more use.
            if queue.is_closed() {
                return;
            }
            if since_up.elapsed() > KEEP_WAITING {
                waiting = None;
                while queue.try_recv().is_some() {}
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = kick.kicked() => backoff = FIRST_BACKOFF,
            () = sleep(backoff) => backoff = (backoff * 2).min(LAST_BACKOFF),
        }
    }
}

async fn run(
    target: &Target,
    waiting: &mut Option<Frames>,
    queue: &mut QueueReceiver,
    incoming: Option<&mpsc::Sender<Frame>>,
    state: &watch::Sender<LinkState>,
) -> Result<(), LinkError> {
    let stream = timeout(link::HANDSHAKE_TIMEOUT, TcpStream::connect(target.address))
        .await
        .map_err(|_| LinkError::Timeout)??;
    let (mut reader, mut writer) = link::connect(stream, &target.local, &target.remote, target.role).await?;
    state.send_replace(LinkState::Up);

    let pulse = Mutex::new(Pulse::new(target.silence));
    // Reading is not cancel-safe, so it is one future that lives as long as the link.
    let read = async {
        loop {
            let frame = reader.read().await?;
            let pong = frame == Frame::Pong;
            pulse.lock().heard(pong, !pong);
            if !pong
                && let Some(incoming) = incoming
                && incoming.send(frame).await.is_err()
            {
                return Ok::<(), LinkError>(());
            }
            pulse.lock().ready(Instant::now());
        }
    };
    let write = async {
        let mut ping = interval_at(Instant::now() + IDLE_TIMEOUT / 3, IDLE_TIMEOUT / 3);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut frames = waiting.take().unwrap_or_default();
        loop {
            while frames.len() < BATCH
                && let Some(more) = queue.try_recv()
            {
                frames.extend(more);
            }
            if frames.is_empty() {
                tokio::select! {
                    more = queue.recv() => match more {
                        Some(more) => frames = more,
                        None => return Ok::<(), LinkError>(()),
                    },
                    // Nothing but the ping that goes with it.
                    _ = ping.tick() => {}
                }
            }
            // Before the first byte: a dead link takes no more of them at some point, and does not say so.
            let ask = pulse.lock().write(Instant::now());
            for frame in frames.drain(..) {
                writer.write(&frame).await?;
            }
            if ask {
                writer.write(&Frame::Ping).await?;
            }
            writer.flush().await?;
        }
    };
    let watch = async {
        loop {
            let due = pulse.lock().look(Instant::now());
            match due {
                Some(due) => sleep_until(due).await,
                None => return Err(LinkError::Timeout),
            }
        }
    };
    tokio::select! {
        result = read => result,
        result = write => result,
        result = watch => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::PACKET_LEN;
    use crate::wakeup::Wakeup;
    use tokio::net::TcpListener;
    use x25519_dalek::PublicKey;

    #[tokio::test]
    async fn a_queue_takes_frames_up_to_its_bound_and_again_when_some_left() {
        let (sender, mut receiver) = queue(3);
        assert_eq!(sender.try_send(vec![Frame::Ping; 2]), Ok(()));
        assert_eq!(sender.try_send(vec![Frame::Ping; 2]), Err(QueueError::Full));
        assert_eq!(sender.try_send(vec![Frame::Ping]), Ok(()));
        assert!((sender.filled() - 1.0).abs() < 1e-9);
        assert_eq!(receiver.recv().await.map(|f| f.len()), Some(2));
        assert_eq!(receiver.try_recv().map(|f| f.len()), Some(1));
        assert_eq!((receiver.try_recv(), sender.filled()), (None, 0.0));
        drop(receiver);
        assert_eq!(sender.try_send(vec![Frame::Ping]), Err(QueueError::Closed));
    }

    /// How long anything may take on a slow, busy machine.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A kept link to a relay of which the test is the inside.
    struct Kept {
        listener: TcpListener,
        relay: StaticSecret,
        queue: QueueSender,
        state: watch::Receiver<LinkState>,
        wakeup: Wakeup,
        cancel: CancellationToken,
    }

    impl Kept {
        async fn new(silence: Duration) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
            let relay = StaticSecret::random();
            let target = Target {
                address: listener.local_addr().expect("bound"),
                remote: PublicKey::from(&relay).to_bytes(),
                local: StaticSecret::random(),
                role: Role::Sender,
                lazy: false,
                silence,
            };
            let (queue, receiver) = queue(10_000);
            let (sender, state) = watch::channel(LinkState::default());
            let (wakeup, cancel) = (Wakeup::new(), CancellationToken::new());
            tokio::spawn(keep(target, receiver, None, sender, wakeup.listen(), cancel.clone()));
            Self { listener, relay, queue, state, wakeup, cancel }
        }

        /// The next connection that the link makes.
        async fn accept(&self) -> link::Accepted {
            let (stream, _) =
                timeout(PATIENCE, self.listener.accept()).await.expect("it connects").expect("accepts");
            link::accept(stream, &self.relay).await.expect("a handshake")
        }

        async fn wait_for(&mut self, state: LinkState) {
            let reached = timeout(PATIENCE, self.state.wait_for(|s| *s == state)).await;
            reached.expect("in time").expect("it runs");
        }
    }

    impl Drop for Kept {
        fn drop(&mut self) {
            self.cancel.cancel();
        }
    }

    #[tokio::test]
    async fn a_link_whose_peer_went_silent_is_made_anew_at_a_kick() {
        let mut kept = Kept::new(IDLE_TIMEOUT * 1000).await;
        // It accepts and then reads nothing: with the buffers full, writing does not end either.
        let silent = kept.accept().await;
        kept.wait_for(LinkState::Up).await;
        for _ in 0..5000 {
            kept.queue.try_send(vec![Frame::Packet(vec![0; PACKET_LEN])]).expect("there is room");
        }
        kept.wakeup.kick();
        let mut second = kept.accept().await;
        kept.wait_for(LinkState::Up).await;
        // What still waits goes over the new link, and the ping with it.
        kept.queue.try_send(vec![Frame::Received(7)]).expect("there is room");
        let mut seen = Vec::new();
        while !(seen.contains(&Frame::Received(7)) && seen.contains(&Frame::Ping)) {
            let batch = timeout(PATIENCE, second.reader.read_batch(&mut seen));
            batch.await.expect("in time").expect("reads");
        }
        assert_eq!(seen.iter().filter(|f| **f == Frame::Ping).count(), 1, "nobody has answered the first");
        drop(silent);
    }

    #[tokio::test]
    async fn a_link_that_gives_no_sign_of_life_is_made_anew_by_itself() {
        let mut kept = Kept::new(Duration::from_millis(100)).await;
        let silent = kept.accept().await;
        kept.wait_for(LinkState::Up).await;
        kept.queue.try_send(vec![Frame::Received(1)]).expect("there is room");
        kept.wait_for(LinkState::Down(LinkError::Timeout.to_string())).await;
        kept.accept().await;
        drop(silent);
    }
}
