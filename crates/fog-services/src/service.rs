//! A hidden service that runs: introduction points, descriptors, sessions.
//!
//! ```text
//!  three boxes at relays of layer 3 ──▶ introductions ──▶ a box and a Tunnel for each session ──▶ Offer::connect
//!  points ──▶ descriptors of today and tomorrow ──▶ the relays that store them; asked for again, to be sure
//! ```
//!
//! Each session has a box of its own at a relay of its own, so that no relay sees two sessions as one's.

use crate::address::{Address, AddressError};
use crate::blinding::blinded_key;
use crate::descriptor::{
    Descriptor, DescriptorError, IntroductionPoint, MAX_POINTS, SealedDescriptor, responsible,
};
use crate::exit::Offer;
use crate::places;
use crate::session::{ANSWER_EARLY_LEN, Cookies, Introduced, SessionError};
use crate::stream::{Side, StreamId, Target};
use crate::tunnel::{Ends, Tunnel};
use crate::{BoxAddress, Key};
use betanet::client::{BoxConfig, BoxState, Client, FetchError, OwnBox, Supply};
use betanet::path::Level;
use betanet::sealed::period;
use ed25519_dalek::SigningKey;
use futures_util::future::join_all;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use x25519_dalek::{PublicKey, StaticSecret};

/// The most sessions of a service at once, unless the configuration says otherwise.
pub const MAX_SESSIONS: usize = 64;
/// Streams of a session that wait to be connected.
const INCOMING: usize = 64;
/// How long a descriptor's points are kept, at the least, in seconds.
const VALID_SECONDS: u64 = 3 * 3600;
/// How often descriptors are made anew.
const REPUBLISH: Duration = Duration::from_secs(3600);
/// How long to wait before those relays are tried again that did not store a descriptor.
const RETRY: Duration = Duration::from_secs(15);
/// How long a relay may take to say whether it has a descriptor.
const FETCH: Duration = Duration::from_secs(10);
/// A session without streams ends after this time, if its client does not end it.
const UNUSED: Duration = Duration::from_secs(10 * 60);
/// An introduction point that is silent for so long is left for another.
const LEAVE_AFTER: Duration = Duration::from_secs(30);

/// How to run a service.
pub struct ServiceConfig {
    /// The service's key: whoever has it is the service.
    pub identity: SigningKey,
    /// How far relays with its boxes are from it, in both directions.
    pub level: Level,
    /// What its streams go to.
    pub offer: Offer,
    /// The most sessions at once.
    pub max_sessions: usize,
}

/// How a service is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServiceState {
    /// Introduction points that work.
    pub points: usize,
    /// Relays that have today's descriptor, as they said themselves.
    pub copies: usize,
    /// Relays that should have it.
    pub wanted: usize,
}

/// A running service. It ends when this is dropped.
pub struct Service {
    address: Address,
    state: watch::Receiver<ServiceState>,
    cancel: CancellationToken,
}

/// By which an introduction is known that comes again.
type Cookie = [u8; 16];

struct Shared {
    client: Arc<Client>,
    identity: SigningKey,
    address: Address,
    level: Level,
    offer: Offer,
    cookies: Mutex<Cookies>,
    /// Answers to introductions, for clients that did not get them. As many as sessions at most.
    answered: Mutex<HashMap<Cookie, (BoxAddress, Vec<u8>)>>,
    sessions: Arc<Semaphore>,
    points: Mutex<Vec<Option<IntroductionPoint>>>,
    /// The points changed.
    publish: Notify,
    state: watch::Sender<ServiceState>,
    cancel: CancellationToken,
}

fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Service {
    /// Starts it. [`Service::state`] tells when it can be reached.
    ///
    /// # Errors
    /// The identity cannot be used.
    pub fn start(client: Arc<Client>, config: ServiceConfig) -> Result<Self, AddressError> {
        let address = Address::from_key(config.identity.verifying_key().to_bytes())?;
        let (state, watch) = watch::channel(ServiceState::default());
        let cancel = CancellationToken::new();
        let view = client.view();
        let relays = places::for_boxes(&view, client.home());
        let number = relays.len().min(MAX_POINTS);
        let shared = Arc::new(Shared {
            client,
            identity: config.identity,
            address,
            level: config.level,
            offer: config.offer,
            cookies: Mutex::default(),
            answered: Mutex::default(),
            sessions: Arc::new(Semaphore::new(config.max_sessions)),
            points: Mutex::new(vec![None; number]),
            publish: Notify::new(),
            state,
            cancel: cancel.clone(),
        });
        for (place, relay) in relays.into_iter().take(number).enumerate() {
            tokio::spawn(introduce(shared.clone(), place, relay));
        }
        tokio::spawn(publish(shared));
        Ok(Self { address, state: watch, cancel })
    }

    /// Its name.
    pub fn address(&self) -> Address {
        self.address
    }

    /// How it is, and every change.
    pub fn state(&self) -> watch::Receiver<ServiceState> {
        self.state.clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Opens a box of a key of its own.
pub(crate) fn open_box(client: &Client, level: Level, relay: Key) -> OwnBox {
    let key = SigningKey::from_bytes(&rand::random());
    client.open_box(BoxConfig { key, relay, level, supply: Supply::default() })
}

/// One introduction point.
async fn introduce(shared: Arc<Shared>, place: usize, first: Key) {
    let secret = StaticSecret::random();
    let key = PublicKey::from(&secret).to_bytes();
    let mut own = open_box(&shared.client, shared.level, first);
    let mut state = own.state();
    let mut silent: Option<tokio::time::Instant> = None;
    loop {
        let at = BoxAddress { relay: own.relay(), id: own.id() };
        let leave = silent.map(|since| since + LEAVE_AFTER);
        let far = tokio::time::Instant::now() + REPUBLISH;
        tokio::select! {
            () = shared.cancel.cancelled() => return,
            payload = own.recv() => match payload {
                Some(payload) => shared.introduced(&at, &secret, &payload),
                None => return,
            },
            changed = state.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = *state.borrow_and_update();
                silent = (now == BoxState::Silent).then(tokio::time::Instant::now);
                let point = (now == BoxState::Open).then_some(IntroductionPoint { at, key });
                shared.set_point(place, point);
            }
            () = tokio::time::sleep_until(leave.unwrap_or(far)), if leave.is_some() => {
                silent = None;
                let used: Vec<Key> = shared.points.lock().iter().flatten().map(|p| p.at.relay).collect();
                let relays = places::for_boxes(&shared.client.view(), shared.client.home());
                let next = relays.into_iter().find(|r| *r != at.relay && !used.contains(r));
                let next = next.unwrap_or(at.relay);
                tracing::warn!(
                    from = %betanet::short(&at.relay), to = %betanet::short(&next),
                    "an introduction point does not answer: the service moves on"
                );
                own.move_to(next);
            }
        }
    }
}

impl Shared {
    fn set_point(&self, place: usize, point: Option<IntroductionPoint>) {
        let mut points = self.points.lock();
        if let Some(held) = points.get_mut(place)
            && *held != point
        {
            *held = point;
            self.publish.notify_one();
        }
        let up = points.iter().flatten().count();
        self.state.send_if_modified(|s| std::mem::replace(&mut s.points, up) != up);
    }

    fn put(&self, to: &BoxAddress, payload: &[u8]) {
        if let Err(e) = self.client.put(self.level, &to.relay, &to.id, payload) {
            tracing::debug!("an answer was not sent: {e}");
        }
    }

    /// Something came to an introduction point's box.
    fn introduced(self: &Arc<Self>, at: &BoxAddress, secret: &StaticSecret, payload: &[u8]) {
        let Ok(introduced) = Introduced::read(&self.address, at, secret, payload) else {
            tracing::debug!("something that is no introduction came to an introduction point");
            return;
        };
        let cookie = introduced.introduction.cookie;
        let taken = self.cookies.lock().take(unix().as_secs(), &introduced.introduction);
        match taken {
            Ok(()) => {}
            Err(SessionError::Replayed) => {
                let answer = self.answered.lock().get(&cookie).cloned();
                if let Some((to, answer)) = answer {
                    self.put(&to, &answer);
                }
                return;
            }
            Err(e) => {
                tracing::debug!("an introduction was refused: {e}");
                return;
            }
        }
        let Ok(permit) = self.sessions.clone().try_acquire_owned() else {
            tracing::warn!("an introduction was refused: there are as many sessions as may be");
            return;
        };
        let places = places::for_boxes(&self.client.view(), self.client.home());
        let Some(relay) = places.first().copied() else { return };
        let own = open_box(&self.client, self.level, relay);
        let tunnel = Tunnel::new(Side::Service);
        tunnel.receive_early(&introduced.early);
        let peer = introduced.introduction.reply_to;
        let here = BoxAddress { relay: own.relay(), id: own.id() };
        let early = tunnel.early(ANSWER_EARLY_LEN);
        let Ok((session, answer)) = introduced.answer(here, &early, &mut rand::rng()) else { return };
        self.put(&peer, &answer);
        self.answered.lock().insert(cookie, (peer, answer));
        let (sender, streams) = mpsc::channel(INCOMING);
        let ends = Ends {
            client: self.client.clone(),
            level: self.level,
            session,
            own,
            peer,
            early: Vec::new(),
            incoming: Some(sender),
            unused: UNUSED,
            cancel: self.cancel.child_token(),
        };
        tokio::spawn(serve(self.clone(), tunnel.clone(), streams));
        let shared = self.clone();
        tokio::spawn(async move {
            tunnel.run(ends).await;
            shared.answered.lock().remove(&cookie);
            drop(permit);
        });
    }

    /// Seals and stores the descriptors. Gives how many relays have today's, of how many.
    async fn publish(&self) -> Result<(usize, usize), DescriptorError> {
        let points: Vec<IntroductionPoint> = self.points.lock().iter().flatten().copied().collect();
        let now = unix();
        let descriptor = Descriptor { valid_until: now.as_secs() + VALID_SECONDS, points };
        let revision = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let today = period(now.as_secs());
        let mut of_today = (0, 0);
        for day in [today, today + 1] {
            let sealed = descriptor.seal(&self.identity, day, revision, &mut rand::rng())?;
            let relays = responsible(
                &places::homes(&self.client.view()),
                &blinded_key(&self.address, day),
                day,
                &Key::default(),
            );
            let stored = join_all(relays.iter().map(|relay| self.store(*relay, &sealed))).await;
            if day == today {
                of_today = (stored.into_iter().filter(|s| *s).count(), relays.len());
            }
        }
        Ok(of_today)
    }

    /// Stores a descriptor at a relay, and asks whether it has it.
    async fn store(&self, relay: Key, sealed: &SealedDescriptor) -> bool {
        let relay_name = betanet::short(&relay);
        for _ in 0..3 {
            if let Err(e) = self.client.store(self.level, &relay, sealed.as_bytes()) {
                tracing::debug!(relay = %relay_name, "the descriptor was not sent: {e}");
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            }
            // The question may overtake the descriptor.
            for pause in [300, 1200] {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                match self.client.fetch(self.level, &relay, &sealed.blinded(), FETCH).await {
                    Ok(Some(bytes)) if bytes == sealed.as_bytes() => return true,
                    Ok(_) => {}
                    Err(FetchError::Silence(_)) => break,
                    Err(e) => tracing::debug!(relay = %relay_name, "asking for the descriptor: {e}"),
                }
            }
        }
        false
    }
}

/// Keeps the descriptors up to date.
async fn publish(shared: Arc<Shared>) {
    let mut wait = REPUBLISH;
    loop {
        let tomorrow = Duration::from_secs((period(unix().as_secs()) + 1) * betanet::sealed::PERIOD_SECONDS);
        let left = tomorrow.saturating_sub(unix()) + Duration::from_secs(1);
        tokio::select! {
            () = shared.cancel.cancelled() => return,
            () = shared.publish.notified() => {
                // The other points come up in these moments, too.
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            () = tokio::time::sleep(wait.min(left)) => {}
        }
        if shared.points.lock().iter().flatten().count() == 0 {
            continue;
        }
        let (copies, wanted) = tokio::select! {
            () = shared.cancel.cancelled() => return,
            published = shared.publish() => match published {
                Ok(numbers) => numbers,
                Err(e) => {
                    tracing::error!("the descriptor cannot be made: {e}");
                    return;
                }
            },
        };
        wait = if copies == wanted { REPUBLISH } else { RETRY };
        if copies < wanted {
            tracing::warn!("{copies} of {wanted} relays have the service's descriptor");
        }
        shared.state.send_if_modified(|s| {
            let before = (s.copies, s.wanted);
            (s.copies, s.wanted) = (copies, wanted);
            before != (copies, wanted)
        });
    }
}

/// Connects a session's streams.
async fn serve(shared: Arc<Shared>, tunnel: Tunnel, mut streams: mpsc::Receiver<(StreamId, Target)>) {
    while let Some((id, target)) = streams.recv().await {
        let (shared, tunnel) = (shared.clone(), tunnel.clone());
        tokio::spawn(async move {
            let connected = tokio::select! {
                () = shared.cancel.cancelled() => return,
                connected = shared.offer.connect(&target) => connected,
            };
            match connected {
                Ok(connection) => {
                    _ = connection.set_nodelay(true);
                    // The client may have lost interest meanwhile.
                    if let Ok(stream) = tunnel.accept(id)
                        && let Err(e) = stream.join(connection).await
                    {
                        tracing::debug!("a stream ended: {e}");
                    }
                }
                Err(why) => {
                    tracing::info!("a stream was refused: {why:?}");
                    tunnel.refuse(id, why);
                }
            }
        });
    }
}
