//! A client of hidden services: finds them, gets introduced, and keeps sessions for further streams.
//!
//! ```text
//!  open ── a session for (isolation, service)? ──yes──▶ one more stream
//!    │ no
//!    ▼
//!  descriptor: two relays at a time ──▶ own box, message 1 to a point, again, the next point ──▶ message 2 ──▶ Tunnel
//! ```
//!
//! Streams of different [`Isolation`] never share a session, and each session has a box of its own at a relay of its
//! own: nobody on the way can tell that two sessions are of one client.

use crate::address::Address;
use crate::blinding::blinded_key;
use crate::descriptor::{Descriptor, DescriptorError, SealedDescriptor, responsible};
use crate::places;
use crate::service::open_box;
use crate::session::{Answer, Dialing, INTRODUCTION_EARLY_LEN, Session};
use crate::socks::{Isolation, Reply};
use crate::stream::{Side, StreamError, Target};
use crate::tunnel::{Ends, OpenError, Stream, Tunnel};
use crate::{BoxAddress, Key};
use betanet::client::{Client, FetchError, SendError};
use betanet::path::Level;
use betanet::sealed::{PERIOD_SECONDS, period};
use futures_util::future::join_all;
use parking_lot::Mutex;
use rand::seq::SliceRandom;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// The most sessions of a dialer.
pub const MAX_SESSIONS: usize = 128;
/// How long a relay may take to hand over a descriptor.
const FETCH: Duration = Duration::from_secs(8);
/// How long a descriptor is used before it is fetched again, if it holds that long.
const DESCRIPTOR_LASTS: Duration = Duration::from_secs(600);
/// The most descriptors that are kept.
const MAX_DESCRIPTORS: usize = 256;
/// Times to wait for the answer to an introduction: after each it is sent again, after the last the next point is tried.
const PATIENCE: [Duration; 3] = [Duration::from_secs(4), Duration::from_secs(5), Duration::from_secs(6)];
/// Datagrams that may come before the answer.
const MAX_EARLY: usize = 64;
/// Around midnight clocks may be on different days: so many seconds.
const MIDNIGHT: u64 = 3600;
/// How often a packet is tried while the line is busy.
const BUSY_TRIES: u32 = 40;
/// A stream is to be accepted or refused within this time.
const OPENED: Duration = Duration::from_secs(45);

/// How to dial.
#[derive(Debug, Clone)]
pub struct DialerConfig {
    /// How far relays with the client's boxes, storing relays and the service's boxes are, each.
    pub level: Level,
    /// A session without streams ends after this time.
    pub unused: Duration,
}

impl DialerConfig {
    /// With sessions that end after five minutes without use.
    pub fn new(level: Level) -> Self {
        Self { level, unused: Duration::from_secs(300) }
    }
}

/// Why a service cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The relays that should have the descriptor have none.
    #[error("no such service is there: {0} relays that would know it have no descriptor of it")]
    NotFound(usize),
    /// None of those relays answers.
    #[error("none of the {0} relays that store the service's descriptor answers")]
    NoAnswer(usize),
    /// The descriptor is of no use.
    #[error("the service's descriptor is of no use: {0}")]
    Descriptor(#[from] DescriptorError),
    /// No introduction point passed the introduction on, or the service does not answer.
    #[error("the service does not answer at any of its {0} introduction points")]
    Introduction(usize),
    /// Nothing can be sent.
    #[error("the mixnet cannot be used: {0}")]
    Send(#[from] SendError),
    /// The stream was refused, or the session ended.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The service is there, but does not say whether it accepts the stream.
    #[error("the service took the session, but did not open the stream in time")]
    Slow,
    /// There are as many sessions as may be.
    #[error("there are {MAX_SESSIONS} sessions already")]
    TooMany,
}

impl From<&DialError> for Reply {
    fn from(error: &DialError) -> Self {
        match error {
            DialError::NotFound(_) => Self::DescriptorNotFound,
            DialError::NoAnswer(_) | DialError::Send(_) => Self::NetworkUnreachable,
            DialError::Descriptor(e) => e.into(),
            DialError::Introduction(_) => Self::IntroductionTimedOut,
            DialError::Open(OpenError::Refused(why)) => (*why).into(),
            DialError::Open(OpenError::Ended(end)) => (*end).into(),
            DialError::Slow => Self::TtlExpired,
            DialError::Open(OpenError::Stream(_)) | DialError::TooMany => Self::GeneralFailure,
        }
    }
}

type Slot = Arc<tokio::sync::Mutex<Option<Tunnel>>>;

/// Opens streams to services. Its sessions end when it is dropped.
pub struct Dialer {
    client: Arc<Client>,
    config: DialerConfig,
    /// Who dials holds the slot; who comes meanwhile waits, and shares what comes of it.
    sessions: Mutex<HashMap<(Isolation, Address), Slot>>,
    descriptors: Mutex<HashMap<Address, (Instant, Descriptor)>>,
    cancel: CancellationToken,
}

fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

impl Drop for Dialer {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Dialer {
    /// A dialer without sessions.
    pub fn new(client: Arc<Client>, config: DialerConfig) -> Self {
        Self {
            client,
            config,
            sessions: Mutex::default(),
            descriptors: Mutex::default(),
            cancel: CancellationToken::new(),
        }
    }

    /// Sessions that are up.
    pub fn sessions(&self) -> usize {
        let slots: Vec<Slot> = self.sessions.lock().values().cloned().collect();
        slots.iter().filter(|s| s.try_lock().is_ok_and(|s| s.as_ref().is_some_and(Tunnel::is_up))).count()
    }

    /// Opens a stream, in a session that only streams of the same isolation share, and waits until the service has
    /// accepted it.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn open(
        &self,
        isolation: Isolation,
        service: &Address,
        target: Target,
    ) -> Result<Stream, DialError> {
        let slot = self.slot(isolation, service)?;
        let stream = {
            let mut held = slot.lock().await;
            match held.as_ref().filter(|t| t.is_up()).map(|t| t.open(target.clone())) {
                Some(Ok(stream)) => stream,
                Some(Err(OpenError::Stream(StreamError::Ended))) | None => {
                    let (tunnel, stream) = self.dial(service, target).await?;
                    *held = Some(tunnel);
                    stream
                }
                Some(Err(e)) => return Err(e.into()),
            }
        };
        tokio::time::timeout(OPENED, stream.opened()).await.map_err(|_| DialError::Slow)??;
        Ok(stream)
    }

    fn slot(&self, isolation: Isolation, service: &Address) -> Result<Slot, DialError> {
        let mut sessions = self.sessions.lock();
        if let Some(slot) = sessions.get(&(isolation, *service)) {
            return Ok(slot.clone());
        }
        if sessions.len() >= MAX_SESSIONS {
            // Those that are over, and that nobody is about to use.
            sessions.retain(|_, slot| {
                Arc::strong_count(slot) > 1
                    || slot.try_lock().map_or(true, |s| s.as_ref().is_some_and(Tunnel::is_up))
            });
            if sessions.len() >= MAX_SESSIONS {
                return Err(DialError::TooMany);
            }
        }
        let slot = Slot::default();
        sessions.insert((isolation, *service), slot.clone());
        Ok(slot)
    }

    /// A new session, and its first stream.
    async fn dial(&self, service: &Address, target: Target) -> Result<(Tunnel, Stream), DialError> {
        let began = Instant::now();
        let kept = self.descriptors.lock().get(service).cloned();
        let fresh =
            |(at, d): &(Instant, Descriptor)| at.elapsed() < DESCRIPTOR_LASTS && unix() < d.valid_until;
        let kept = kept.filter(fresh).map(|(_, d)| d);
        if let Some(descriptor) = kept {
            // The points may have changed: little is tried before it is fetched anew.
            let mut first = descriptor;
            first.points.shuffle(&mut rand::rng());
            first.points.truncate(1);
            match self.introduce(service, &first, target.clone(), &PATIENCE[..1]).await {
                Err(DialError::Introduction(_)) => _ = self.descriptors.lock().remove(service),
                other => return other,
            }
        }
        let descriptor = self.fetch(service).await?;
        tracing::debug!(after = ?began.elapsed(), "the descriptor is there");
        let dialed = self.introduce(service, &descriptor, target, &PATIENCE).await?;
        let mut descriptors = self.descriptors.lock();
        if descriptors.len() >= MAX_DESCRIPTORS {
            descriptors.retain(|_, (at, _)| at.elapsed() < DESCRIPTOR_LASTS);
        }
        if descriptors.len() < MAX_DESCRIPTORS {
            descriptors.insert(*service, (Instant::now(), descriptor));
        }
        Ok(dialed)
    }

    async fn fetch(&self, service: &Address) -> Result<Descriptor, DialError> {
        let now = unix();
        let today = period(now);
        let mut days = vec![today];
        // The service's clock may be on another day.
        if now % PERIOD_SECONDS < MIDNIGHT {
            days.push(today.saturating_sub(1));
        } else if now % PERIOD_SECONDS >= PERIOD_SECONDS - MIDNIGHT {
            days.push(today + 1);
        }
        let mut failed = Ok(());
        for day in days {
            match self.fetch_of(service, day).await {
                Err(e) => failed = failed.and(Err(e)),
                found => return found,
            }
        }
        failed.and(Err(DialError::NotFound(0)))
    }

    async fn fetch_of(&self, service: &Address, day: u64) -> Result<Descriptor, DialError> {
        let blinded = blinded_key(service, day);
        let mut relays = responsible(&places::homes(&self.client.view()), &blinded, day, &Key::default());
        relays.shuffle(&mut rand::rng());
        let (mut none, mut unusable) = (0, None);
        for pair in relays.chunks(2) {
            let asked = join_all(pair.iter().map(|relay| self.ask(relay, &blinded))).await;
            let mut best: Option<(u64, Descriptor)> = None;
            for answer in asked {
                let sealed = match answer {
                    Ok(Some(bytes)) => SealedDescriptor::from_bytes(&bytes).map_err(DescriptorError::from),
                    Ok(None) => {
                        none += 1;
                        continue;
                    }
                    Err(FetchError::Send(e)) => return Err(e.into()),
                    Err(e) => {
                        tracing::debug!("fetching a descriptor: {e}");
                        continue;
                    }
                };
                let opened = sealed.and_then(|s| Ok((s.revision(), Descriptor::open(&s, service, unix())?)));
                match opened {
                    Ok(found) if best.as_ref().is_none_or(|(revision, _)| found.0 > *revision) => {
                        best = Some(found);
                    }
                    Ok(_) => {}
                    Err(e) => unusable = Some(e),
                }
            }
            if let Some((_, descriptor)) = best {
                return Ok(descriptor);
            }
        }
        match (unusable, none) {
            (Some(e), _) => Err(e.into()),
            (None, 0) => Err(DialError::NoAnswer(relays.len())),
            (None, n) => Err(DialError::NotFound(n)),
        }
    }

    /// Asks one relay, twice if need be.
    async fn ask(&self, relay: &Key, blinded: &Key) -> Result<Option<Vec<u8>>, FetchError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.client.fetch(self.config.level, relay, blinded, FETCH).await {
                Err(FetchError::Send(SendError::Busy(wait))) if tries < BUSY_TRIES => {
                    tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
                }
                Err(FetchError::Silence(_)) if tries < 2 => {}
                other => return other,
            }
        }
    }

    async fn put(&self, to: &BoxAddress, payload: &[u8]) -> Result<(), SendError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.client.put(self.config.level, &to.relay, &to.id, payload) {
                Err(SendError::Busy(wait)) if tries < BUSY_TRIES => {
                    tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
                }
                other => return other,
            }
        }
    }

    async fn introduce(
        &self,
        service: &Address,
        descriptor: &Descriptor,
        target: Target,
        patience: &[Duration],
    ) -> Result<(Tunnel, Stream), DialError> {
        let began = Instant::now();
        let view = self.client.view();
        let relay =
            places::for_boxes(&view, self.client.home()).first().copied().ok_or(DialError::NoAnswer(0))?;
        let mut own = open_box(&self.client, self.config.level, relay);
        let here = BoxAddress { relay: own.relay(), id: own.id() };
        let tunnel = Tunnel::new(Side::Client);
        let stream = tunnel.open(target)?;
        let early = tunnel.early(INTRODUCTION_EARLY_LEN);
        let mut points = descriptor.points.clone();
        points.shuffle(&mut rand::rng());
        let mut dialings: Vec<Dialing> = Vec::new();
        let mut stash: Vec<Vec<u8>> = Vec::new();
        for point in &points {
            let dialing = Dialing::new(service, point, here, &early, unix(), &mut rand::rng());
            let Ok((dialing, message)) = dialing else { continue };
            dialings.push(dialing);
            for patience in patience {
                match self.put(&point.at, &message).await {
                    Ok(()) => {}
                    // The point's relay may have left the network.
                    Err(SendError::Path(e)) => {
                        tracing::debug!("an introduction was not sent: {e}");
                        break;
                    }
                    Err(e) => return Err(e.into()),
                }
                let answered = tokio::time::timeout(*patience, async {
                    while let Some(datagram) = own.recv().await {
                        if let Some(found) = dialings.iter_mut().find_map(|d| d.answered(&datagram).ok()) {
                            return Some(found);
                        }
                        if stash.len() < MAX_EARLY {
                            stash.push(datagram);
                        }
                    }
                    None
                });
                if let Ok(Some((session, answer, early))) = answered.await {
                    tunnel.receive_early(&early);
                    self.start(&tunnel, session, &answer, own, stash);
                    tracing::debug!(after = ?began.elapsed(), "the session stands");
                    return Ok((tunnel, stream));
                }
            }
        }
        tunnel.abandon();
        Err(DialError::Introduction(points.len()))
    }

    fn start(
        &self,
        tunnel: &Tunnel,
        session: Session,
        answer: &Answer,
        own: betanet::client::OwnBox,
        early: Vec<Vec<u8>>,
    ) {
        let ends = Ends {
            client: self.client.clone(),
            level: self.config.level,
            session,
            own,
            peer: answer.reply_to,
            early,
            incoming: None,
            unused: self.config.unused,
            cancel: self.cancel.child_token(),
        };
        tokio::spawn(tunnel.clone().run(ends));
    }
}
