//! A mixnode: the driver with sockets and timers around [`Mix`].

use crate::Key;
use crate::directory::Consensus;
use crate::link::{self, Accepted, Frame, LinkError, LinkWriter, Role};
use crate::mix::{Counters, Mix, ReplayFilter};
use crate::outgoing::{self, LinkState, Target};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use x25519_dalek::{PublicKey, StaticSecret};

/// Links that a relay holds at once; more are closed at once.
const MAX_LINKS: usize = 1024;
/// Packets that wait for a peer whose link is slow or down.
const PEER_QUEUE: usize = 1024;
/// Frames that wait for the writer of an accepted link.
const CLIENT_QUEUE: usize = 64;
/// Packets that one relay remembers under one key, 16 bytes each on disk.
const REPLAY_CAPACITY: usize = 1 << 20;
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// A relay's two secret keys. Both are zeroised when dropped.
#[derive(Clone)]
pub struct RelayKeys {
    /// For links; its public half is the relay's id.
    pub link: StaticSecret,
    /// For Sphinx packets.
    pub sphinx: StaticSecret,
}

impl RelayKeys {
    /// Fresh keys.
    pub fn generate() -> Self {
        Self { link: StaticSecret::random(), sphinx: StaticSecret::random() }
    }

    /// From 64 secret bytes: link key, then Sphinx key.
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let half = |r: std::ops::Range<usize>| -> [u8; 32] { bytes[r].try_into().unwrap_or_default() };
        Self { link: half(0..32).into(), sphinx: half(32..64).into() }
    }

    /// The 64 secret bytes for [`RelayKeys::from_bytes`]. Zeroise them.
    pub fn to_bytes(&self) -> zeroize::Zeroizing<[u8; 64]> {
        let mut bytes = zeroize::Zeroizing::new([0; 64]);
        bytes[..32].copy_from_slice(self.link.as_bytes());
        bytes[32..].copy_from_slice(self.sphinx.as_bytes());
        bytes
    }

    /// The relay's id.
    pub fn id(&self) -> Key {
        PublicKey::from(&self.link).to_bytes()
    }

    /// The relay's Sphinx public key.
    pub fn sphinx_key(&self) -> Key {
        PublicKey::from(&self.sphinx).to_bytes()
    }
}

/// How to start a relay.
pub struct RelayConfig {
    /// Its keys.
    pub keys: RelayKeys,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to keep the replay tags; none forgets them (tests).
    pub replay_file: Option<PathBuf>,
}

/// A running relay. It stops when this is dropped.
pub struct Relay {
    shared: Arc<Shared>,
    address: SocketAddr,
    tasks: TaskTracker,
}

struct Shared {
    keys: RelayKeys,
    mix: Mutex<Mix>,
    /// An earlier packet than the mixer waits for has come.
    earlier: Notify,
    consensus: watch::Receiver<Arc<Consensus>>,
    peers: Mutex<HashMap<Key, mpsc::Sender<Frame>>>,
    /// Wakes the writer of a connected mailbox.
    mailbox_links: Mutex<HashMap<Key, Arc<Notify>>>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Relay {
    /// Binds and starts.
    ///
    /// # Errors
    /// The address is in use or not ours, or the replay file cannot be read.
    pub async fn start(config: RelayConfig, consensus: watch::Receiver<Arc<Consensus>>) -> io::Result<Self> {
        let replay = match &config.replay_file {
            Some(path) => ReplayFilter::open(path, REPLAY_CAPACITY)?,
            None => ReplayFilter::in_memory(REPLAY_CAPACITY),
        };
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|e| io::Error::new(e.kind(), format!("cannot listen on {}: {e}", config.listen)))?;
        let address = listener.local_addr()?;
        let tasks = TaskTracker::new();
        let shared = Arc::new(Shared {
            keys: config.keys,
            mix: Mutex::new(Mix::new(replay)),
            earlier: Notify::new(),
            consensus,
            peers: Mutex::default(),
            mailbox_links: Mutex::default(),
            cancel: CancellationToken::new(),
            tasks: tasks.clone(),
        });
        tasks.spawn(shared.clone().mix_loop());
        tasks.spawn(shared.clone().accept_loop(listener));
        Ok(Self { shared, address, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its id.
    pub fn id(&self) -> Key {
        self.shared.keys.id()
    }

    /// What it counted since its start.
    pub fn counters(&self) -> Counters {
        self.shared.mix.lock().counters()
    }

    /// Stops: no new links, the replay tags on disk, all tasks ended.
    pub async fn shutdown(self) {
        self.shared.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
    }
}

impl Shared {
    async fn accept_loop(self: Arc<Self>, listener: TcpListener) {
        let slots = Arc::new(Semaphore::new(MAX_LINKS));
        loop {
            let stream = tokio::select! {
                () = self.cancel.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(e) => {
                        // Out of file descriptors, say: the links that end will free some.
                        tracing::warn!("accepting a link failed: {e}");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        continue;
                    }
                },
            };
            let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
            let shared = self.clone();
            self.tasks.spawn(async move {
                let cancel = shared.cancel.clone();
                tokio::select! {
                    () = cancel.cancelled() => {}
                    result = shared.serve(stream) => if let Err(e) = result {
                        tracing::debug!("link ended: {e}");
                    },
                }
                drop(slot);
            });
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) -> Result<(), LinkError> {
        let Accepted { mut reader, writer, role, remote } = link::accept(stream, &self.keys.link).await?;
        let (replies, queue) = mpsc::channel(CLIENT_QUEUE);
        let wake = Arc::new(Notify::new());
        let mailbox = (role == Role::Mailbox).then_some(remote);
        if let Some(key) = mailbox {
            if !self.mix.lock().mailboxes().register(key, Instant::now()) {
                return Err(LinkError::Protocol("no room for another mailbox"));
            }
            self.mailbox_links.lock().insert(key, wake.clone());
        }
        let read = async {
            loop {
                let frame = reader.read().await?;
                if let (Some(key), Frame::Ping | Frame::Received(_)) = (&mailbox, &frame) {
                    self.mix.lock().mailboxes().touch(key, Instant::now());
                }
                match frame {
                    Frame::Packet(packet) => self.take(&packet),
                    Frame::Ping => _ = replies.try_send(Frame::Pong),
                    Frame::Received(number) => {
                        if let Some(key) = &mailbox {
                            self.mix.lock().mailboxes().acknowledge(key, number);
                        }
                    }
                    Frame::Pong => {}
                    Frame::Deliver(..) => return Err(LinkError::Protocol("a delivery to a relay")),
                }
            }
        };
        let result = tokio::select! {
            result = read => result,
            result = self.write(writer, queue, mailbox, &wake) => result,
        };
        if let Some(key) = mailbox {
            let mut links = self.mailbox_links.lock();
            // A newer link of the same owner may have taken the place.
            if links.get(&key).is_some_and(|w| Arc::ptr_eq(w, &wake)) {
                links.remove(&key);
            }
        }
        result
    }

    async fn write(
        &self,
        mut writer: LinkWriter,
        mut replies: mpsc::Receiver<Frame>,
        mailbox: Option<Key>,
        wake: &Notify,
    ) -> Result<(), LinkError> {
        let mut sent = 0;
        loop {
            if let Some(key) = &mailbox {
                loop {
                    let batch: Vec<_> =
                        self.mix.lock().mailboxes().unsent(key, sent).take(CLIENT_QUEUE).cloned().collect();
                    if batch.is_empty() {
                        break;
                    }
                    for queued in batch {
                        sent = queued.number;
                        writer.write(&Frame::Deliver(queued.number, queued.message)).await?;
                    }
                }
                writer.flush().await?;
            }
            tokio::select! {
                () = wake.notified() => {}
                reply = replies.recv() => match reply {
                    Some(frame) => {
                        writer.write(&frame).await?;
                        writer.flush().await?;
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    /// One packet from a link: the key agreement outside the lock, the rest inside.
    fn take(&self, packet: &[u8]) {
        let opened = Mix::open(&self.keys.sphinx, packet);
        let mut mix = self.mix.lock();
        let before = mix.next_due();
        match mix.accept(Instant::now(), opened) {
            Ok(Some(mailbox)) => {
                drop(mix);
                if let Some(wake) = self.mailbox_links.lock().get(&mailbox) {
                    wake.notify_one();
                }
            }
            Ok(None) => {
                if mix.next_due() != before {
                    drop(mix);
                    self.earlier.notify_one();
                }
            }
            Err(e) => tracing::debug!(relay = %crate::short(&self.keys.id()), "packet refused: {e}"),
        }
    }

    async fn mix_loop(self: Arc<Self>) {
        let mut housekeeping = Instant::now() + HOUSEKEEPING;
        loop {
            let (due, next) = {
                let mut mix = self.mix.lock();
                let now = Instant::now();
                let mut due = Vec::new();
                while let Some(forward) = mix.poll(now) {
                    due.push(forward);
                }
                if now >= housekeeping {
                    housekeeping = now + HOUSEKEEPING;
                    if let Err(e) = mix.persist() {
                        tracing::warn!("replay tags could not be written: {e}");
                    }
                    mix.mailboxes().expire(now);
                }
                (due, mix.next_due().unwrap_or(housekeeping).min(housekeeping))
            };
            for forward in due {
                self.forward(forward.next, forward.packet);
            }
            tokio::select! {
                () = self.cancel.cancelled() => break,
                () = sleep_until(next.into()) => {}
                () = self.earlier.notified() => {}
            }
        }
        if let Err(e) = self.mix.lock().persist() {
            tracing::warn!("replay tags could not be written: {e}");
        }
    }

    fn forward(self: &Arc<Self>, next: Key, packet: Vec<u8>) {
        let mut peers = self.peers.lock();
        let queue = peers.entry(next).or_insert_with(|| {
            let (queue, receiver) = mpsc::channel(PEER_QUEUE);
            if let Some(relay) = self.consensus.borrow().relay(&next) {
                let target = Target {
                    address: relay.address,
                    remote: next,
                    local: self.keys.link.clone(),
                    role: Role::Relay,
                    lazy: true,
                };
                let (state, _) = watch::channel(LinkState::default());
                self.tasks.spawn(outgoing::keep(target, receiver, None, state, self.cancel.clone()));
            }
            queue
        });
        match queue.try_send(Frame::Packet(packet)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                tracing::debug!("queue to relay {} is full, packet dropped", crate::short(&next));
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                // Not in the consensus when it was first asked for: look again with the next packet.
                peers.remove(&next);
            }
        }
    }
}
