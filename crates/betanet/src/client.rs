//! A client of the mixnet: links to its pinned entry relays for sending, and to its home relays for receiving.
//!
//! ```text
//!  send ──> path, packet ──> pacer: the next slot of a constant-rate schedule ──> entry relay
//!            (no profile: at once)      empty slots: loops and drops
//!  home relay ──> loops: relays' health   answers: by their reply blocks   messages ──> Inbound
//!  upkeep: newer consensus (from the home relay, else from an authority), epochs, entries, loops that got lost
//! ```
//!
//! * [`entries`]: the links to entry relays; which ones, [`crate::guards`] says.
//! * [`homes`]: the links to home relays, and what comes over them.
//! * [`pacer`]: when packets leave.
//! * [`answers`]: reply blocks that are out.
//! * [`boxes`]: boxes at other relays, and requests to them.
//! * [`upkeep`]: what has to be looked after.

mod answers;
mod boxes;
mod entries;
mod homes;
mod pacer;
mod upkeep;

pub use boxes::{BoxConfig, BoxState, FetchError, OwnBox, Supply};

use crate::Key;
use crate::cover::{LoopBook, LoopTag, Profile};
use crate::directory::SignedConsensus;
use crate::guards::Guards;
use crate::link::Frame;
use crate::outgoing::LinkState;
use crate::packet::{self, Hop, MAX_MESSAGE, PacketError, Tables};
use crate::path::{self, Health, Level, PathError};
use crate::sphinx::Identifier;
use crate::view::{View, are_related};
use crate::wakeup::Wakeup;
use answers::Claim;
use entries::Choice;
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use x25519_dalek::{PublicKey, StaticSecret};

const RECEIVE_QUEUE: usize = 256;

/// Which entry relays a client uses.
pub enum Entries {
    /// A few that stay the same: whoever runs other entries never sees this client.
    Pinned(Guards),
    /// All of them: for authorities, which measure relays and have nothing to hide.
    All,
}

/// How to start a client.
pub struct ClientConfig {
    /// The network's consensus, verified: at least [`SignedConsensus::authentic`]. Nothing is sent while it is stale.
    pub consensus: Arc<SignedConsensus>,
    /// The mailbox's secret; its public half is the mailbox's address.
    pub mailbox: StaticSecret,
    /// The home relays, at least one. Loops go to the first; all are listened to.
    pub homes: Vec<Key>,
    /// Mean of the exponential delay per hop.
    pub mean_delay: Duration,
    /// Cover traffic.
    pub cover: Profile,
    /// Entry relays.
    pub entries: Entries,
}

/// What comes in.
#[derive(Debug, PartialEq, Eq)]
pub enum Inbound {
    /// A message to the mailbox.
    Message(Vec<u8>),
    /// An answer by one of this client's reply blocks.
    Answer {
        /// Which block.
        block: Identifier,
        /// The answer.
        message: Vec<u8>,
    },
}

/// A reply block for somebody else.
pub struct ReplyBlock {
    /// By which its answer is told from others.
    pub identifier: Identifier,
    /// The block, for [`Client::answer`] or a relay.
    pub bytes: Vec<u8>,
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
    /// The consensus is not of this time, and there is no newer one yet.
    #[error("the network's directory is out of date, and no newer one could be had yet")]
    Stale,
    /// As many packets wait as may: try again after this time.
    #[error("the line is busy for another {0:?}")]
    Busy(Duration),
}

/// The relays of a loop's path, and whether it arrived.
pub type Outcome = (Vec<Key>, bool);
/// Outcomes that wait to be asked for.
const MAX_OUTCOMES: usize = 4096;

/// What went through a client since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Real packets sent.
    pub sent: u64,
    /// Loop packets sent.
    pub loops: u64,
    /// Drop packets sent.
    pub drops: u64,
    /// Messages and answers received.
    pub received: u64,
    /// Loops that came back.
    pub loops_back: u64,
    /// Loops that got lost.
    pub loops_lost: u64,
}

#[derive(Default)]
struct Counters {
    sent: AtomicU64,
    loops: AtomicU64,
    drops: AtomicU64,
    received: AtomicU64,
    loops_back: AtomicU64,
    loops_lost: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A running client. It stops when this is dropped.
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    view: RwLock<Arc<View>>,
    consensus: watch::Sender<Arc<SignedConsensus>>,
    secret: StaticSecret,
    mailbox: Key,
    mean_delay_micros: AtomicU64,
    homes: homes::Homes,
    entries: entries::Links,
    pacer: pacer::Queue,
    tables: Tables,
    health: Mutex<Health>,
    tag: LoopTag,
    loops: Mutex<LoopBook>,
    answers: Mutex<answers::Answers>,
    /// What became of loops, for those who measure.
    outcomes: Mutex<Option<VecDeque<Outcome>>>,
    counters: Counters,
    /// The machine slept, or is in another network.
    wakeup: Wakeup,
    /// Something for upkeep to do now.
    look: Notify,
    cancel: CancellationToken,
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

impl Client {
    /// Starts the links. What the home relays queued arrives on the receiver; it counts as received only once taken
    /// from it.
    pub fn start(config: ClientConfig) -> (Self, mpsc::Receiver<Inbound>) {
        let ClientConfig { consensus, mailbox, homes, mean_delay, cover, entries } = config;
        let (inbound, receiver) = mpsc::channel(RECEIVE_QUEUE);
        let (sender, _) = watch::channel(consensus.clone());
        let measures = matches!(entries, Entries::All);
        let cancel = CancellationToken::new();
        let towards: Vec<_> = consensus.unverified().layer(1).map(|r| r.address).collect();
        let wakeup = Wakeup::start(towards, cancel.clone());
        let shared = Arc::new(Shared {
            view: RwLock::new(Arc::new(View::new(consensus, unix_now(), measures))),
            outcomes: Mutex::new(measures.then(VecDeque::new)),
            consensus: sender,
            mailbox: PublicKey::from(&mailbox).to_bytes(),
            secret: mailbox,
            mean_delay_micros: AtomicU64::new(0),
            homes: homes::Homes::new(inbound),
            entries: entries::Links::new(entries),
            pacer: pacer::Queue::new(cover),
            tables: Tables::default(),
            health: Mutex::default(),
            tag: LoopTag::new(rand::random()),
            // Numbers of an earlier start must not be taken for this one's.
            loops: Mutex::new(LoopBook::new(rand::random())),
            answers: Mutex::default(),
            counters: Counters::default(),
            wakeup,
            look: Notify::new(),
            cancel,
        });
        let client = Self { shared: shared.clone() };
        client.set_mean_delay(mean_delay);
        shared.homes.set(&shared, homes);
        shared.look_after_entries();
        tokio::spawn(pacer::run(shared.clone()));
        tokio::spawn(upkeep::run(shared));
        (client, receiver)
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
        self.shared.send(level, home, mailbox, message)
    }

    /// Whether a packet would be taken now. A caller that has to seal something first asks before.
    ///
    /// # Errors
    /// [`SendError::Busy`].
    pub fn room(&self) -> Result<(), SendError> {
        self.shared.pacer.room()
    }

    /// A reply block with which somebody can answer this client without learning its home: the answer comes over
    /// relays of this level.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn reply_block(&self, level: Level) -> Result<ReplyBlock, SendError> {
        Ok(self.shared.reply_block(level, Claim::Inbound)?.0)
    }

    /// Answers by a reply block of somebody else. The entry relay hands the packet to the block's first relay, and so
    /// learns that it is an answer, but nothing else.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn answer(&self, block: &[u8], message: &[u8]) -> Result<(), SendError> {
        let shared = &self.shared;
        shared.pacer.room()?;
        shared.fresh()?;
        let (first, packet) = packet::answer(block, message)?;
        let entry = match shared.entries.choose(unix_now(), |id| shared.health.lock().in_use(id)) {
            Choice::Any(entries) => entries.first().copied(),
            Choice::Pinned(entry) => entry,
        };
        let entry = entry.ok_or(PathError::EmptyLayer(1))?;
        shared.hand_over(entry, Frame::Pass { next: first, packet })?;
        count(&shared.counters.sent);
        Ok(())
    }

    /// Sends a loop at once: for authorities, which measure. Others leave loops to the cover traffic.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn probe(&self, level: Level) -> Result<(), SendError> {
        pacer::send_loop(&self.shared, level)
    }

    /// What became of the loops since this was last asked: the relays of each one's path, and whether it arrived. For
    /// clients with [`Entries::All`].
    pub fn outcomes(&self) -> Vec<Outcome> {
        self.shared.outcomes.lock().as_mut().map(std::mem::take).unwrap_or_default().into()
    }

    /// Tells what became of a packet over this path.
    pub fn report(&self, path: &[Key], arrived: bool) {
        // The last hop is the receiver's home, which cannot be avoided; what it loses says nothing of paths.
        self.shared.health.lock().report(&path[..path.len().saturating_sub(1)], arrived);
    }

    /// The share of packets over this relay that arrived, and whether it is in use.
    pub fn relay_health(&self, relay: &Key) -> (Option<f64>, bool) {
        let health = self.shared.health.lock();
        let linked = self.shared.entries.is_usable(relay) != Some(false);
        (health.share(relay), health.in_use(relay) && linked)
    }

    /// True if it is one of the entry relays that this client keeps to.
    pub fn is_entry(&self, relay: &Key) -> bool {
        self.shared.entries.is_usable(relay).is_some()
    }

    /// Changes the mean delay for the packets to come.
    pub fn set_mean_delay(&self, mean: Duration) {
        let micros = u64::try_from(mean.as_micros()).unwrap_or(u64::MAX);
        self.shared.mean_delay_micros.store(micros, Ordering::Relaxed);
    }

    /// Changes the cover traffic.
    pub fn set_cover(&self, profile: Profile) {
        self.shared.pacer.set_profile(profile);
    }

    /// How much longer an acknowledgement may take because packets wait for their slots.
    pub fn patience(&self) -> Duration {
        pacer::patience(self.shared.pacer.profile())
    }

    /// True while the consensus is of this time; while it is not, nothing is sent.
    pub fn is_fresh(&self) -> bool {
        self.shared.fresh().is_ok()
    }

    /// The cover traffic.
    pub fn cover(&self) -> Profile {
        self.shared.pacer.profile()
    }

    /// The network as it is now.
    pub fn view(&self) -> Arc<View> {
        self.shared.view.read().clone()
    }

    /// A watch on the consensus, which upkeep renews: whoever keeps it on disk sees each new one.
    pub fn watch_consensus(&self) -> watch::Receiver<Arc<SignedConsensus>> {
        self.shared.consensus.subscribe()
    }

    /// Takes a newer consensus from elsewhere. False if it is not newer, not this network's, or not good.
    pub fn offer(&self, consensus: SignedConsensus) -> bool {
        self.shared.install(consensus)
    }

    /// The pinned entry relays, to be kept on disk, if they changed since this was last asked.
    pub fn unsaved_guards(&self) -> Option<Vec<u8>> {
        self.shared.entries.unsaved_guards()
    }

    /// What [`Client::unsaved_guards`] gave could not be written: it gives them again.
    pub fn guards_not_saved(&self) {
        self.shared.entries.not_saved();
    }

    /// The home relay that others are told of.
    pub fn home(&self) -> Option<Key> {
        self.shared.homes.first()
    }

    /// Changes the home relays: the first is told to others, the rest is listened to still.
    pub fn set_homes(&self, homes: Vec<Key>) {
        self.shared.homes.set(&self.shared, homes);
    }

    /// The mailbox's public key, which is its address at the home relays.
    pub fn mailbox(&self) -> Key {
        self.shared.mailbox
    }

    /// Drops all links and makes them anew at once. The client does so by itself when it notices that the machine slept
    /// or changed its network; this is for a system that tells.
    pub fn reconnect(&self) {
        self.shared.wakeup.kick();
    }

    /// How the link to the first home relay is.
    pub fn home_state(&self) -> LinkState {
        self.shared.homes.state().borrow().clone()
    }

    /// A watch on the same.
    pub fn watch_home(&self) -> watch::Receiver<LinkState> {
        self.shared.homes.state()
    }

    /// How many entry relays are linked.
    pub fn entries_up(&self) -> usize {
        self.shared.entries.usable().len()
    }

    /// What went through since the start.
    pub fn traffic(&self) -> Traffic {
        let c = &self.shared.counters;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            sent: of(&c.sent),
            loops: of(&c.loops),
            drops: of(&c.drops),
            received: of(&c.received),
            loops_back: of(&c.loops_back),
            loops_lost: of(&c.loops_lost),
        }
    }
}

impl Shared {
    fn send(&self, level: Level, home: &Key, mailbox: &Key, message: &[u8]) -> Result<Vec<Hop>, SendError> {
        self.pacer.room()?;
        let hops = self.draw(level, home)?;
        let packet = self.tables.build(message, &hops, mailbox)?;
        self.hand_over(hops[0].relay, Frame::Packet(packet))?;
        count(&self.counters.sent);
        Ok(hops)
    }

    /// A reply block, and the Unix second until which relays take it.
    fn reply_block(&self, level: Level, claim: Claim) -> Result<(ReplyBlock, u64), SendError> {
        let home = self.homes.first().ok_or(PathError::EmptyLayer(3))?;
        let view = self.view.read().clone();
        let hops = self.draw_any(level, &home)?;
        let identifier: Identifier = rand::random();
        let (block, recovery) = self.tables.reply_block(&hops, &self.mailbox, identifier)?;
        let until = view.consensus().network.timing.accepted(view.epoch()).1;
        self.answers.lock().add(recovery, until, claim);
        Ok((ReplyBlock { identifier, bytes: block.to_bytes() }, until))
    }

    fn mean_delay(&self) -> Duration {
        Duration::from_micros(self.mean_delay_micros.load(Ordering::Relaxed))
    }

    /// Refuses while the consensus is not of this time.
    fn fresh(&self) -> Result<Arc<View>, SendError> {
        let view = self.view.read().clone();
        let document = view.consensus();
        let now = unix_now();
        // A clock that is a little behind is no reason.
        let begun = document.valid_after <= now + CLOCKS_DIFFER;
        if begun && now < document.valid_until { Ok(view) } else { Err(SendError::Stale) }
    }

    /// True if this client measures relays, instead of using them.
    fn measures(&self) -> bool {
        self.outcomes.lock().is_some()
    }

    /// A loop over these relays arrived, or did not.
    fn note(&self, path: Vec<Key>, arrived: bool) {
        self.health.lock().report(&path, arrived);
        if let Some(outcomes) = self.outcomes.lock().as_mut() {
            if outcomes.len() >= MAX_OUTCOMES {
                outcomes.pop_front();
            }
            outcomes.push_back((path, arrived));
        }
    }

    /// A path that begins with a linked entry.
    fn draw(&self, level: Level, home: &Key) -> Result<Vec<Hop>, SendError> {
        let view = self.fresh()?;
        // Who measures draws all alike.
        let health = if self.measures() { Health::default() } else { self.health.lock().clone() };
        let good = |id: &Key| match (view.relay(id), view.relay(home)) {
            (Some((entry, _)), Some((home, _))) => health.in_use(id) && !are_related(entry, home),
            _ => false,
        };
        let mut tried: Vec<Key> = Vec::new();
        loop {
            let entries = match self.entries.choose(unix_now(), |id| !tried.contains(id) && good(id)) {
                Choice::Any(entries) => entries,
                Choice::Pinned(entry) => entry.into_iter().collect(),
            };
            let usable = |id: &Key| entries.contains(id);
            let path = path::draw(&mut rand::rng(), &view, &health, level, home, self.mean_delay(), usable);
            // With another entry the rest may be found. One that was tried before comes again when all were.
            match (path, entries.as_slice()) {
                (Err(PathError::EmptyLayer(_)), [entry]) if !tried.contains(entry) => tried.push(*entry),
                (path, _) => return Ok(path?),
            }
        }
    }

    /// A path for somebody else's packet.
    fn draw_any(&self, level: Level, home: &Key) -> Result<Vec<Hop>, SendError> {
        let view = self.fresh()?;
        let health = self.health.lock();
        let usable = |id: &Key| view.is_drawn(id);
        Ok(path::draw(&mut rand::rng(), &view, &health, level, home, self.mean_delay(), usable)?)
    }

    /// To the pacer, or at once to the entry.
    fn hand_over(&self, entry: Key, frame: Frame) -> Result<(), SendError> {
        match self.pacer.push(entry, frame)? {
            None => Ok(()),
            Some((entry, frame)) => self.entries.send(&entry, frame),
        }
    }

    /// Takes a consensus that is newer and good.
    fn install(&self, signed: SignedConsensus) -> bool {
        let before = self.view.read().clone();
        let old = before.signed();
        let accused = crate::directory::consensus::equivocators(old, &signed);
        for authority in &accused {
            tracing::error!(
                authority = %crate::short(authority),
                "it signed two directories for the same time: it may be attacked, or attack"
            );
        }
        let newer = signed.unverified().valid_after > before.consensus().valid_after;
        if !newer || signed.network() != before.network() || signed.verify(unix_now()).is_err() {
            return false;
        }
        let signed = Arc::new(signed);
        let view = View::new(signed.clone(), unix_now(), self.measures());
        *self.view.write() = Arc::new(view);
        self.consensus.send_replace(signed);
        self.look.notify_one();
        true
    }

    fn look_after_entries(self: &Arc<Self>) {
        let view = self.view.read().clone();
        let online = *self.homes.state().borrow() == LinkState::Up;
        self.entries.look_after(&view, unix_now(), online, &self.wakeup, &self.cancel);
    }
}

/// Seconds by which a clock may be behind the authorities'.
const CLOCKS_DIFFER: u64 = 30;

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
    }
}
