//! A client of the mixnet: links to the entry relays for sending, and to its home relay for receiving.

use crate::Key;
use crate::directory::Consensus;
use crate::link::{Frame, Role};
use crate::outgoing::{self, LinkState, QueueError, QueueSender, Target};
use crate::packet::{Hop, MAX_MESSAGE, PacketError, Tables};
use crate::path::{self, Health, Level, PathError};
use crate::wakeup::Wakeup;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use x25519_dalek::{PublicKey, StaticSecret};

const SEND_QUEUE: usize = 1024;
const RECEIVE_QUEUE: usize = 256;

/// How to start a client.
pub struct ClientConfig {
    /// The network.
    pub consensus: Arc<Consensus>,
    /// The mailbox's secret; its public half is the mailbox's address.
    pub mailbox: StaticSecret,
    /// The home relay.
    pub home: Key,
    /// Mean of the exponential delay per hop.
    pub mean_delay: Duration,
}

/// Why a message was not sent. Nothing left this device, and the level is never lowered instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No path: the receiver's home is unknown, or no entry relay is linked.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The message does not fit.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// The link's queue is full: try again in a moment.
    #[error("the link to the entry relay is busy")]
    Busy,
}

/// A running client. It stops when this is dropped.
pub struct Client {
    consensus: Arc<Consensus>,
    home: Key,
    mailbox: Key,
    mean_delay_micros: AtomicU64,
    entries: HashMap<Key, (QueueSender, watch::Receiver<LinkState>)>,
    tables: Tables,
    home_state: watch::Receiver<LinkState>,
    health: Mutex<Health>,
    sent: AtomicU64,
    received: Arc<AtomicU64>,
    wakeup: Wakeup,
    cancel: CancellationToken,
}

impl Client {
    /// Starts the links. Messages that the home relay queued arrive on the receiver; they count as received
    /// only once taken from it.
    ///
    /// # Errors
    /// [`PathError::UnknownHome`].
    pub fn start(config: ClientConfig) -> Result<(Self, mpsc::Receiver<Vec<u8>>), PathError> {
        let ClientConfig { consensus, mailbox, home, mean_delay } = config;
        let home_relay = consensus.relay(&home).ok_or_else(|| PathError::UnknownHome(crate::short(&home)))?;
        let cancel = CancellationToken::new();
        let relays = consensus.layer(1).map(|relay| relay.address).chain([home_relay.address]);
        let wakeup = Wakeup::start(relays, cancel.clone());
        let entries = consensus
            .layer(1)
            .map(|relay| {
                let (queue, receiver) = outgoing::queue(SEND_QUEUE);
                let (state, watch) = watch::channel(LinkState::default());
                // A fresh key for each link: entries cannot tell who this is.
                let target = Target {
                    address: relay.address,
                    remote: relay.id,
                    local: StaticSecret::random(),
                    role: Role::Sender,
                    lazy: false,
                    silence: outgoing::CLIENT_SILENCE,
                };
                tokio::spawn(outgoing::keep(target, receiver, None, state, wakeup.listen(), cancel.clone()));
                (relay.id, (queue, watch))
            })
            .collect();

        let (receipts, queue) = outgoing::queue(SEND_QUEUE);
        let (incoming, frames) = mpsc::channel(RECEIVE_QUEUE);
        let (state, home_state) = watch::channel(LinkState::default());
        let target = Target {
            address: home_relay.address,
            remote: home,
            local: mailbox.clone(),
            role: Role::Mailbox,
            lazy: false,
            silence: outgoing::CLIENT_SILENCE,
        };
        tokio::spawn(outgoing::keep(target, queue, Some(incoming), state, wakeup.listen(), cancel.clone()));
        let (messages, receiver) = mpsc::channel(RECEIVE_QUEUE);
        let received = Arc::new(AtomicU64::new(0));
        tokio::spawn(receive(frames, messages, receipts, received.clone()));

        let client = Self {
            home,
            mailbox: PublicKey::from(&mailbox).to_bytes(),
            mean_delay_micros: AtomicU64::new(0),
            consensus,
            entries,
            tables: Tables::default(),
            home_state,
            health: Mutex::default(),
            sent: AtomicU64::new(0),
            received,
            wakeup,
            cancel,
        };
        client.set_mean_delay(mean_delay);
        Ok((client, receiver))
    }

    /// Sends one message of at most [`MAX_MESSAGE`] bytes to a mailbox at a home relay, over a path of its
    /// own, which is returned. That it arrives is not promised: acknowledge end to end.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(
        &self,
        level: Level,
        home: &Key,
        mailbox: &Key,
        message: &[u8],
    ) -> Result<Vec<Hop>, SendError> {
        debug_assert!(message.len() <= MAX_MESSAGE);
        let mean = Duration::from_micros(self.mean_delay_micros.load(Ordering::Relaxed));
        let hops = {
            let health = self.health.lock();
            path::draw(&mut rand::rng(), &self.consensus, &health, level, home, mean, |id| self.entry_up(id))?
        };
        let packet = self.tables.build(message, &hops, mailbox)?;
        let (queue, _) = self.entries.get(&hops[0].relay).ok_or(PathError::EmptyLayer(1))?;
        queue.try_send(vec![Frame::Packet(packet)]).map_err(|_| SendError::Busy)?;
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(hops)
    }

    fn entry_up(&self, id: &Key) -> bool {
        self.entries.get(id).is_some_and(|(_, state)| *state.borrow() == LinkState::Up)
    }

    /// Tells what became of a packet over this path.
    pub fn report(&self, path: &[Key], arrived: bool) {
        // The last hop is the receiver's home, which cannot be avoided; what it loses says nothing of paths.
        let relays = path.iter().take(path.len().saturating_sub(1)).copied();
        self.health.lock().report(relays, arrived);
    }

    /// The share of packets over this relay that arrived, and whether it is in use.
    pub fn relay_health(&self, relay: &Key) -> (Option<f64>, bool) {
        let health = self.health.lock();
        let linked = self.entries.get(relay).is_none_or(|(_, s)| *s.borrow() == LinkState::Up);
        (health.share(relay), health.in_use(relay) && linked)
    }

    /// Changes the mean delay for the packets to come.
    pub fn set_mean_delay(&self, mean: Duration) {
        self.mean_delay_micros.store(u64::try_from(mean.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The network's consensus.
    pub fn consensus(&self) -> &Consensus {
        &self.consensus
    }

    /// The home relay.
    pub fn home(&self) -> Key {
        self.home
    }

    /// The mailbox's public key, which is its address at the home relay.
    pub fn mailbox(&self) -> Key {
        self.mailbox
    }

    /// Drops all links and makes them anew at once. The client does so by itself when it notices that the machine slept
    /// or changed its network; this is for a system that tells.
    pub fn reconnect(&self) {
        self.wakeup.kick();
    }

    /// How the link to the home relay is.
    pub fn home_state(&self) -> LinkState {
        self.home_state.borrow().clone()
    }

    /// A watch on the same.
    pub fn watch_home(&self) -> watch::Receiver<LinkState> {
        self.home_state.clone()
    }

    /// How many entry relays are linked.
    pub fn entries_up(&self) -> usize {
        self.entries.keys().filter(|id| self.entry_up(id)).count()
    }

    /// Packets sent and received since the start.
    pub fn counters(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

async fn receive(
    mut frames: mpsc::Receiver<Frame>,
    messages: mpsc::Sender<Vec<u8>>,
    receipts: QueueSender,
    count: Arc<AtomicU64>,
) {
    while let Some(frame) = frames.recv().await {
        if let Frame::Deliver(number, message) = frame {
            if messages.send(message).await.is_err() {
                return;
            }
            count.fetch_add(1, Ordering::Relaxed);
            // A receipt that finds no room is made up for by the next one, which names a higher number.
            if receipts.try_send(vec![Frame::Received(number)]) == Err(QueueError::Closed) {
                return;
            }
        }
    }
}
