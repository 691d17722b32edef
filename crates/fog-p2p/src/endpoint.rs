//! The driver around [`Sessions`]: reads the outbox, seals and sends, opens and delivers.

use crate::datagram::{Ack, BLOCK_HEADER, Datagram, Fragment, MAX_BLOCK};
use crate::session::{Output, Reply, Sessions};
use crate::transport::{Address, Arrival, Route, Transport, TransportError};
use crate::{MessageId, PeerKey, envelope, outbox};
use parking_lot::Mutex;
use sqlx::SqlitePool;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use x25519_dalek::StaticSecret;

/// A node tells its peers that it is there this often (the baseline's heartbeat).
const HEARTBEAT: Duration = Duration::from_secs(60);
/// A busy road says when to try again, within these bounds.
const BUSY_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(10));
const LATER_PAUSE: Duration = Duration::from_millis(300);
const EVENTS: usize = 256;
/// The application takes this long at most to note that a message was delivered. If it has not by then (its disk
/// was full, say), the message is sent and acknowledged again.
const NOTING: Duration = Duration::from_secs(30);
/// A peer that was not heard for this long is not told regularly that this node is there.
const AWAY: Duration = Duration::from_secs(600);
/// Presence that was under way for longer says nothing; clocks may differ by as much.
const STALE_MS: u64 = 300_000;
/// Datagrams sent in one go before the endpoint listens again.
const BURST: usize = 32;

/// What the application hears.
#[derive(Debug)]
pub enum Event {
    /// A message is here: let it take effect in a transaction with [`crate::inbox::first_time`], commit, then
    /// [`Endpoint::confirm`]; or [`Endpoint::reject`] if it cannot be stored now. The next of its lane follows when it
    /// is confirmed.
    Incoming {
        /// From whom, proven.
        peer: PeerKey,
        /// Its id.
        id: MessageId,
        /// Its kind.
        kind: u16,
        /// The body.
        body: Vec<u8>,
    },
    /// All of the message has been handed to the road once.
    Sent(MessageId),
    /// The other side has it on disk: call [`outbox::remove`] in the transaction that notes it.
    Delivered(MessageId),
    /// The message waits, for this reason.
    Waiting(MessageId, String),
    /// Something authentic came from this peer.
    Heard(PeerKey),
    /// A fragment went out over this route.
    Routed {
        /// Of which message.
        message: MessageId,
        /// Which fragment.
        index: u16,
        /// Of how many.
        count: u16,
        /// The way.
        route: Route,
    },
    /// A fragment was acknowledged after this time.
    Arrived {
        /// Of which message.
        message: MessageId,
        /// Which fragment.
        index: u16,
        /// Sending to acknowledgement.
        after: Duration,
    },
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// How long to wait after a refusal.
fn pause(refused: &TransportError) -> Duration {
    match refused {
        TransportError::Busy(again) => (*again).clamp(BUSY_PAUSE.0, BUSY_PAUSE.1),
        _ => LATER_PAUSE,
    }
}

/// The number of this start. It is on disk before anything that is sent carries it. It is counted, so that it rises
/// also when the clock is set back; and it follows the clock in seconds, so that it rises also when the database is
/// that of a backup.
async fn count_start(pool: &SqlitePool) -> sqlx::Result<u32> {
    sqlx::query_scalar("UPDATE p2p_starts SET starts = max(starts + 1, min(?, 4294967295)) RETURNING starts")
        .bind((unix_ms() / 1000) as i64)
        .fetch_one(pool)
        .await
}

enum Command {
    Wake,
    Withdraw(MessageId),
    Peer(PeerKey, Option<Address>),
    RemovePeer(PeerKey),
    Confirm(PeerKey, MessageId),
    Reject(PeerKey, MessageId),
    Announce,
}

/// Acknowledgements that took the way of a reply block, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByBlock {
    /// Sent by others' blocks.
    pub sent: u64,
    /// Received by this node's blocks.
    pub received: u64,
}

#[derive(Default)]
struct Counters {
    resent: AtomicU64,
    sent_by_block: AtomicU64,
    received_by_block: AtomicU64,
}

/// A handle on the running endpoint. It stops when the last clone is dropped.
#[derive(Clone)]
pub struct Endpoint {
    /// Unbounded, because the application sends commands while it handles events: were both bounded, each side
    /// could wait for the other. Commands are small, and there are at most a few for each event.
    commands: mpsc::UnboundedSender<Command>,
    counters: Arc<Counters>,
    blocked: Arc<Mutex<HashSet<PeerKey>>>,
}

impl Endpoint {
    /// Starts. Sealed datagrams come in over `inbound`, events go out over the returned receiver, which the
    /// application must keep reading.
    ///
    /// # Errors
    /// Those of the database, in which the start is counted.
    pub async fn start(
        pool: SqlitePool,
        secret: StaticSecret,
        road: Arc<dyn Transport>,
        stranger_kinds: Vec<u16>,
        inbound: mpsc::Receiver<Arrival>,
    ) -> sqlx::Result<(Self, mpsc::Receiver<Event>)> {
        let start = count_start(&pool).await?;
        let (commands, receiver) = mpsc::unbounded_channel();
        let (events, event_receiver) = mpsc::channel(EVENTS);
        let endpoint = Self { commands, counters: Arc::default(), blocked: Arc::default() };
        let driver = Driver {
            pool,
            sessions: Sessions::new(road.datagram_len(), road.patience(), stranger_kinds, start),
            secret,
            road,
            events,
            counters: endpoint.counters.clone(),
            blocked: endpoint.blocked.clone(),
            reasons: HashMap::new(),
            delivered: HashMap::new(),
        };
        tokio::spawn(driver.run(receiver, inbound));
        Ok((endpoint, event_receiver))
    }

    /// The outbox has something new: call after the commit.
    pub fn wake(&self) {
        self.command(Command::Wake);
    }

    /// The application took a message out of the outbox, and has committed that. What comes after it in its lane does
    /// not wait for it any more. The message itself may take effect all the same, if it was on its way.
    pub fn withdraw(&self, id: MessageId) {
        self.command(Command::Withdraw(id));
    }

    /// This peer is one of ours and lives there.
    pub fn set_peer(&self, peer: PeerKey, address: Option<Address>) {
        self.blocked.lock().remove(&peer);
        self.command(Command::Peer(peer, address));
    }

    /// Nothing of this peer gets in any more, and nothing goes out.
    pub fn block(&self, peer: PeerKey) {
        self.blocked.lock().insert(peer);
        self.command(Command::RemovePeer(peer));
    }

    /// The message took effect and is on disk.
    pub fn confirm(&self, peer: PeerKey, id: MessageId) {
        self.command(Command::Confirm(peer, id));
    }

    /// The message could not be stored now; the sender will send it again. Its lane waits for it.
    pub fn reject(&self, peer: PeerKey, id: MessageId) {
        self.command(Command::Reject(peer, id));
    }

    /// Tell all peers now that this node is there.
    pub fn announce(&self) {
        self.command(Command::Announce);
    }

    /// Fragments sent again since the start.
    pub fn resent(&self) -> u64 {
        self.counters.resent.load(Ordering::Relaxed)
    }

    /// Acknowledgements by reply blocks since the start.
    pub fn by_block(&self) -> ByBlock {
        let Counters { sent_by_block, received_by_block, .. } = &*self.counters;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ByBlock { sent: of(sent_by_block), received: of(received_by_block) }
    }

    fn command(&self, command: Command) {
        // The driver ends only when every handle is gone, so this cannot fail while one is in use.
        _ = self.commands.send(command);
    }
}

struct Driver {
    pool: SqlitePool,
    sessions: Sessions,
    secret: StaticSecret,
    road: Arc<dyn Transport>,
    events: mpsc::Sender<Event>,
    counters: Arc<Counters>,
    blocked: Arc<Mutex<HashSet<PeerKey>>>,
    /// Why messages wait, as last told.
    reasons: HashMap<MessageId, String>,
    /// Acknowledged messages that may still be in the outbox.
    delivered: HashMap<MessageId, Instant>,
}

impl Driver {
    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut inbound: mpsc::Receiver<Arrival>,
    ) {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut refresh = true;
        let mut inbound_open = true;
        loop {
            if refresh {
                refresh = !self.refresh().await;
            }
            if !self.work().await {
                return;
            }
            let now = Instant::now();
            let mut due = self.sessions.next_due(now).unwrap_or(now + HEARTBEAT);
            if refresh {
                due = due.min(now + Duration::from_secs(1)); // the database failed: try again
            }
            tokio::select! {
                command = commands.recv() => match command {
                    None => return,
                    Some(command) => {
                        refresh |= matches!(command, Command::Wake);
                        self.obey(command).await;
                        // What else is there already, so that a burst of commands costs one round.
                        while let Ok(command) = commands.try_recv() {
                            refresh |= matches!(command, Command::Wake);
                            self.obey(command).await;
                        }
                    }
                },
                datagram = inbound.recv(), if inbound_open => match datagram {
                    Some(arrival) => self.receive(&arrival),
                    None => inbound_open = false,
                },
                _ = heartbeat.tick() => {
                    // Whoever is away would only get a full mailbox.
                    self.sessions.announce(Instant::now(), Some(AWAY));
                    refresh = true;
                }
                () = sleep_until(due.into()) => {}
            }
        }
    }

    /// Reads the outbox anew. False if the database failed.
    async fn refresh(&mut self) -> bool {
        let result = async {
            let mut conn = self.pool.acquire().await?;
            outbox::waiting(&mut conn).await
        };
        match result.await {
            Ok(waiting) => {
                let now = Instant::now();
                self.delivered.retain(|_, at| now.saturating_duration_since(*at) < NOTING);
                for message in waiting {
                    if !self.delivered.contains_key(&message.id) {
                        self.sessions.enqueue(message);
                    }
                }
                true
            }
            Err(e) => {
                tracing::error!("the outbox cannot be read: {e}");
                false
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Wake => {}
            Command::Withdraw(id) => {
                self.reasons.remove(&id);
                self.sessions.withdraw(&id);
            }
            Command::Peer(peer, address) => {
                self.sessions.set_peer(peer, address);
                // What waited for this peer's address is in the outbox.
                self.refresh().await;
            }
            Command::RemovePeer(peer) => self.sessions.remove_peer(&peer),
            Command::Confirm(peer, id) => self.sessions.confirm(now, &peer, &id),
            Command::Reject(peer, id) => self.sessions.reject(now, &peer, &id),
            Command::Announce => self.sessions.announce(now, None),
        }
    }

    fn seal(&self, peer: &PeerKey, content: &Datagram) -> Result<Vec<u8>, envelope::EnvelopeError> {
        envelope::seal(&self.secret, peer, &content.encode(), self.road.datagram_len())
    }

    fn receive(&mut self, arrival: &Arrival) {
        let Ok((peer, content)) = envelope::open(&self.secret, &arrival.sealed) else {
            tracing::debug!("an envelope that is not for this node was dropped");
            return;
        };
        if self.blocked.lock().contains(&peer) {
            return;
        }
        match Datagram::decode(&content) {
            Some(Datagram::Presence(sent)) if sent.abs_diff(unix_ms()) > STALE_MS => {}
            Some(content) => {
                if let (Datagram::Acks(acks), true) = (&content, arrival.by_block) {
                    self.counters.received_by_block.fetch_add(acks.len() as u64, Ordering::Relaxed);
                }
                self.sessions.receive(Instant::now(), peer, content);
            }
            None => tracing::debug!("a malformed datagram was dropped"),
        }
    }

    /// Does what the sessions ask for, up to a burst of sending. False when nobody listens any more.
    async fn work(&mut self) -> bool {
        self.sessions.set_patience(self.road.patience());
        for id in self.sessions.wants() {
            let result = async {
                let mut conn = self.pool.acquire().await?;
                outbox::body(&mut conn, &id).await
            };
            match result.await {
                Ok(body) => self.sessions.load(&id, body),
                Err(e) => {
                    tracing::error!("a message cannot be read from the outbox: {e}");
                    break;
                }
            }
        }
        let mut sent = 0;
        while sent < BURST {
            let Some(output) = self.sessions.poll(Instant::now()) else { break };
            let event = match output {
                Output::Send { peer, address, content } => {
                    sent += 1;
                    self.send(peer, &address, content)
                }
                Output::Answer { peer, address, reply, acks } => {
                    sent += 1;
                    self.answer(peer, address.as_ref(), reply, acks);
                    None
                }
                Output::Deliver { peer, id, kind, body } => Some(Event::Incoming { peer, id, kind, body }),
                Output::Sent(id) => Some(Event::Sent(id)),
                Output::Delivered(id) => {
                    self.delivered.insert(id, Instant::now());
                    Some(Event::Delivered(id))
                }
                Output::Heard(peer) => Some(Event::Heard(peer)),
                Output::FragmentArrived(message, index, after) => {
                    Some(Event::Arrived { message, index, after })
                }
                Output::Feedback(address, route, arrived) => {
                    self.road.feedback(&address, &route, arrived);
                    None
                }
            };
            if let Some(event) = event
                && self.events.send(event).await.is_err()
            {
                return false;
            }
        }
        self.counters.resent.store(self.sessions.resent(), Ordering::Relaxed);
        true
    }

    fn send(&mut self, peer: PeerKey, address: &Address, content: Datagram) -> Option<Event> {
        let result = self.seal_and_send(&peer, address, &content);
        let now = Instant::now();
        let pause = result.as_ref().err().map_or(Duration::ZERO, pause);
        let f = match content {
            Datagram::Fragment(f) | Datagram::Answerable(f, _) => f,
            Datagram::Acks(acks) => {
                match result {
                    Ok(route) => self.sessions.acks_sent(now, &peer, &acks, route),
                    Err(TransportError::Busy(_)) => self.sessions.acks_not_sent(now, &peer, acks, pause),
                    Err(_) => {} // an acknowledgement that got lost is asked for again
                }
                return None;
            }
            Datagram::Presence(_) => {
                if let Err(TransportError::Busy(_)) = result {
                    self.sessions.presence_not_sent(now, &peer, pause);
                }
                return None;
            }
        };
        match result {
            Ok(route) => {
                self.sessions.sent(now, &peer, &f.message, f.index, route.clone());
                self.reasons.remove(&f.message);
                Some(Event::Routed { message: f.message, index: f.index, count: f.count, route })
            }
            Err(e) => {
                self.sessions.not_sent(now, &peer, &f.message, f.index, pause);
                let reason = e.to_string();
                let busy = matches!(e, TransportError::Busy(_));
                if busy || self.reasons.get(&f.message) == Some(&reason) {
                    return None;
                }
                self.reasons.insert(f.message, reason.clone());
                Some(Event::Waiting(f.message, reason))
            }
        }
    }

    /// Sealing costs key agreements, and sending the drawing of a path: nothing of it is done for a road without room.
    fn seal_and_send(
        &self,
        peer: &PeerKey,
        address: &Address,
        content: &Datagram,
    ) -> Result<Route, TransportError> {
        self.road.room(address)?;
        let sealed = match content {
            Datagram::Presence(_) => self.seal(peer, &Datagram::Presence(unix_ms())),
            Datagram::Fragment(f) if f.index + 1 == f.count => {
                self.seal(peer, &self.with_reply_block(address, f))
            }
            content => self.seal(peer, content),
        };
        self.road.send(address, &sealed.map_err(|e| TransportError::Unreachable(e.to_string()))?)
    }
}

impl Driver {
    /// The last fragment of a message brings a block for the acknowledgement, if there is room for it.
    fn with_reply_block(&self, to: &Address, fragment: &Fragment) -> Datagram {
        let plain = Datagram::Fragment(fragment.clone());
        let capacity = envelope::capacity(self.road.datagram_len());
        let room = capacity.saturating_sub(plain.encode().len() + BLOCK_HEADER).min(MAX_BLOCK);
        match self.road.reply_block(to, room) {
            Some(block) => Datagram::Answerable(fragment.clone(), block),
            None => plain,
        }
    }

    /// Acknowledges by a reply block. If that cannot be, the ordinary way is taken.
    fn answer(&mut self, peer: PeerKey, address: Option<&Address>, reply: Reply, acks: Vec<Ack>) {
        let content = Datagram::Acks(acks);
        let result = match address.map_or(Ok(()), |a| self.road.room(a)) {
            Ok(()) => match self.seal(&peer, &content) {
                Ok(sealed) => self.road.answer(address, reply.block(), &sealed),
                Err(e) => Err(TransportError::Unreachable(e.to_string())),
            },
            Err(busy) => Err(busy),
        };
        let Datagram::Acks(acks) = content else { return };
        match result {
            Ok(()) => _ = self.counters.sent_by_block.fetch_add(acks.len() as u64, Ordering::Relaxed),
            Err(e) => {
                let again = matches!(e, TransportError::Busy(_)).then(|| pause(&e));
                tracing::debug!("a reply block is not used: {e}");
                self.sessions.answer_not_sent(Instant::now(), &peer, acks, reply, again);
            }
        }
    }
}

#[cfg(test)]
mod tests;
