//! Boxes at other relays, and requests to them: [`crate::boxes`] from a client's side.
//!
//! ```text
//!  open_box ──> task: Keeper says when ── Deposit ──> relay of layer 3
//!  answers by the box's blocks ──> report ──> Keeper       payload ──> OwnBox::recv
//! ```
//!
//! With a box, this client can be reached at a relay that does not know it, and by people who do not know its home:
//! deposits go out over a path of the box's level, and what is put into the box comes back over one. Anybody sends with
//! [`Client::put`], who knows the relay and the box's id.
//!
//! What is put into a box is a datagram: it may be lost, when the relay restarts or nobody takes it from
//! [`OwnBox::recv`] in time.

mod keeper;

use super::answers::Claim;
use super::{Client, SendError, Shared, unix_now};
use crate::Key;
use crate::boxes::{Answer, Deposit, MAX_PAYLOAD, Request, box_id};
use crate::packet::PacketError;
use crate::path::Level;
use ed25519_dalek::SigningKey;
use keeper::{Keeper, Step};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Payloads that wait for [`OwnBox::recv`]; more are lost.
const PAYLOADS: usize = 512;
/// How long to wait after a deposit could not be sent at all.
const RETRY: Duration = Duration::from_millis(500);
/// How often a box is looked after at the least: epochs end.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How well a box is supplied with reply blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supply {
    /// Blocks at the relay while little comes.
    pub low: u16,
    /// Blocks at the relay while much comes: at most [`crate::mix::MAX_BLOCKS`].
    pub high: u16,
    /// After so long without an answer, the relay is asked how the box is.
    pub quiet: Duration,
}

impl Default for Supply {
    /// 24 to 96 blocks, and a question after half a minute.
    fn default() -> Self {
        Self { low: 24, high: 96, quiet: Duration::from_secs(30) }
    }
}

/// How to open a box.
pub struct BoxConfig {
    /// The key that owns it. With the same key it has the same id, also at another relay or after a restart. A key that
    /// is used for nothing else keeps boxes apart.
    pub key: SigningKey,
    /// The relay, of layer 3.
    pub relay: Key,
    /// How far the relay is from this client, in both directions.
    pub level: Level,
    /// How many blocks.
    pub supply: Supply,
}

/// How a box is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoxState {
    /// Nothing was heard of it yet.
    Opening,
    /// The relay has blocks for it.
    Open,
    /// The relay does not answer any more, or never did: it is down, or the paths to it are. It is tried still;
    /// [`OwnBox::move_to`] goes elsewhere.
    Silent,
}

/// A box of this client. It is forgotten when this is dropped.
pub struct OwnBox {
    link: Arc<BoxLink>,
    id: Key,
    payloads: mpsc::Receiver<Vec<u8>>,
    _ends: DropGuard,
}

/// What the task, the answers and the owner share.
pub(super) struct BoxLink {
    relay: Mutex<Key>,
    keeper: Mutex<Keeper>,
    payloads: mpsc::Sender<Vec<u8>>,
    state: watch::Sender<BoxState>,
    look: Notify,
}

/// Why a descriptor could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The request was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// No answer came in time.
    #[error("relay {0} does not answer")]
    Silence(String),
    /// The answer makes no sense.
    #[error("relay {0} answers with something else")]
    Senseless(String),
}

impl OwnBox {
    /// The relay where it is.
    pub fn relay(&self) -> Key {
        *self.link.relay.lock()
    }

    /// The box's id at the relay.
    pub fn id(&self) -> Key {
        self.id
    }

    /// The next payload that somebody put there; none once the client has ended.
    pub async fn recv(&mut self) -> Option<Vec<u8>> {
        self.payloads.recv().await
    }

    /// How it is, and every change.
    pub fn state(&self) -> watch::Receiver<BoxState> {
        self.link.state.subscribe()
    }

    /// Goes to another relay. What waits at the old one still comes.
    pub fn move_to(&self, relay: Key) {
        *self.link.relay.lock() = relay;
        self.link.keeper.lock().begin_anew();
        self.link.state.send_replace(BoxState::Opening);
        self.link.look.notify_one();
    }
}

impl BoxLink {
    /// An answer came by one of the blocks.
    pub(super) fn answered(&self, message: &[u8]) {
        let report = match Answer::decode(message) {
            Some(Answer::Put(report, payload)) => {
                // Nobody reads: it is lost like any other datagram.
                _ = self.payloads.try_send(payload.to_vec());
                report
            }
            Some(Answer::Told(report)) => report,
            Some(Answer::Descriptor(_) | Answer::Nothing) | None => return,
        };
        self.keeper.lock().answered(Instant::now(), report);
        self.state.send_if_modified(|state| std::mem::replace(state, BoxState::Open) != BoxState::Open);
        self.look.notify_one();
    }
}

impl Client {
    /// Opens a box, and keeps it supplied with reply blocks until the [`OwnBox`] is dropped: more while much comes,
    /// anew in each epoch, and anew when the relay has lost it.
    pub fn open_box(&self, config: BoxConfig) -> OwnBox {
        let BoxConfig { key, relay, level, supply } = config;
        let (sender, payloads) = mpsc::channel(PAYLOADS);
        let id = box_id(&key.verifying_key().to_bytes());
        let (state, _) = watch::channel(BoxState::Opening);
        // Above the numbers of an earlier run with the same key.
        let first = unix_now().saturating_mul(1_000_000);
        let link = Arc::new(BoxLink {
            relay: Mutex::new(relay),
            keeper: Mutex::new(Keeper::new(supply, first)),
            payloads: sender,
            state,
            look: Notify::new(),
        });
        let ends = self.shared.cancel.child_token();
        tokio::spawn(keep(self.shared.clone(), link.clone(), key, level, ends.clone()));
        OwnBox { link, id, payloads, _ends: ends.drop_guard() }
    }

    /// Puts at most [`MAX_PAYLOAD`] bytes into somebody's box, over a path of its own. That it arrives is not promised.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn put(&self, level: Level, relay: &Key, id: &Key, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() > MAX_PAYLOAD {
            return Err(PacketError::TooLong(payload.len()).into());
        }
        self.request(level, relay, &Request::Put { id: *id, payload })
    }

    /// Asks a relay to keep a sealed descriptor of a hidden service. [`Client::fetch`] tells whether it does.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn store(&self, level: Level, relay: &Key, descriptor: &[u8]) -> Result<(), SendError> {
        self.request(level, relay, &Request::Store(descriptor))
    }

    /// Asks a relay for the descriptor of a blinded key, and waits for as long as `patience`. None: the relay has none.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch(
        &self,
        level: Level,
        relay: &Key,
        blinded: &Key,
        patience: Duration,
    ) -> Result<Option<Vec<u8>>, FetchError> {
        let (sender, answer) = oneshot::channel();
        let (block, _) = self.shared.reply_block(level, Claim::Once(sender))?;
        self.request(level, relay, &Request::Fetch { blinded: *blinded, block: &block.bytes })?;
        let name = || crate::short(relay);
        let message = tokio::time::timeout(patience, answer).await;
        let message = message.map_err(|_| FetchError::Silence(name()))?;
        let message = message.map_err(|_| FetchError::Silence(name()))?;
        match Answer::decode(&message) {
            Some(Answer::Descriptor(bytes)) => Ok(Some(bytes.to_vec())),
            Some(Answer::Nothing) => Ok(None),
            _ => Err(FetchError::Senseless(name())),
        }
    }

    /// Requests go to a relay as messages to a mailbox of its own id.
    fn request(&self, level: Level, relay: &Key, request: &Request<'_>) -> Result<(), SendError> {
        self.shared.send(level, relay, relay, &request.encode()).map(|_| ())
    }
}

/// Keeps a box supplied.
async fn keep(
    shared: Arc<Shared>,
    link: Arc<BoxLink>,
    key: SigningKey,
    level: Level,
    cancel: CancellationToken,
) {
    loop {
        let view = shared.view.read().clone();
        let until = view.consensus().network.timing.accepted(view.epoch()).1;
        let (step, silent) = {
            let mut keeper = link.keeper.lock();
            (keeper.poll(Instant::now(), until), keeper.is_silent())
        };
        if silent {
            let changed = |s: &mut BoxState| std::mem::replace(s, BoxState::Silent) != BoxState::Silent;
            if link.state.send_if_modified(changed) {
                tracing::debug!(relay = %crate::short(&link.relay.lock()), "a box's relay does not answer");
            }
        }
        let wait = match step {
            Step::Wait(until) => until.saturating_duration_since(Instant::now()).min(LOOK_EVERY),
            Step::Deposit { number, blocks, tell } => {
                match deposit(&shared, &link, &key, level, (number, blocks, tell)) {
                    Ok(until) => {
                        link.keeper.lock().deposited(Instant::now(), number, blocks, tell, until);
                        continue;
                    }
                    Err(SendError::Busy(pause)) => pause.max(Duration::from_millis(1)),
                    Err(e) => {
                        tracing::debug!("nothing was deposited: {e}");
                        RETRY
                    }
                }
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            () = link.look.notified() => {}
        }
    }
}

/// Sends one deposit; gives the Unix second until which its blocks are good.
fn deposit(
    shared: &Shared,
    link: &Arc<BoxLink>,
    key: &SigningKey,
    level: Level,
    (number, count, tell): (u64, usize, bool),
) -> Result<u64, SendError> {
    shared.pacer.room()?;
    let relay = *link.relay.lock();
    let (mut blocks, mut until) = (Vec::new(), u64::MAX);
    for _ in 0..count {
        let (block, good) = shared.reply_block(level, Claim::Box(link.clone()))?;
        blocks.extend(block.bytes);
        until = until.min(good);
    }
    let signature = Deposit::sign(key, &relay, number, until, tell, &blocks);
    let owner = key.verifying_key().to_bytes();
    let request =
        Request::Deposit(Deposit { owner, number, until, tell, blocks: &blocks, signature: &signature });
    shared.send(level, &relay, &relay, &request.encode())?;
    Ok(until)
}
