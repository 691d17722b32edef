//! A session that runs: the task between its streams and the boxes.
//!
//! ```text
//!  own box ──▶ Session::open ──▶ Mux::receive ──▶ events ──▶ Stream
//!  other's box ◀── put ◀── Session::seal ◀── Mux::poll_transmit ◀── Stream
//! ```

use crate::BoxAddress;
use crate::session::{CONTENT_LEN, Session};
use crate::stream::{
    Config, End, EndCode, Event, Mux, Refusal, ResetCode, Side, StreamError, StreamId, Target,
};
use betanet::client::{Client, OwnBox, SendError};
use betanet::path::Level;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Bytes that are read from an application at once.
const CHUNK: usize = 16 * 1024;
/// Datagrams that are made at once.
const BATCH: usize = 32;
/// How long to wait when the mixnet cannot be reached at all.
const UNREACHABLE: Duration = Duration::from_millis(500);
/// How often a tunnel looks whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What happened to one stream.
#[derive(Default)]
struct Signal {
    readable: Notify,
    writable: Notify,
    fate: Mutex<Fate>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Fate {
    /// Not answered yet.
    #[default]
    Asked,
    Open,
    Refused(Refusal),
    /// Gone, and why if it was broken off.
    Closed(Option<ResetCode>),
    Ended(End),
}

impl Signal {
    fn set(&self, fate: Fate) {
        *self.fate.lock() = fate;
        self.readable.notify_one();
        self.writable.notify_one();
    }
}

struct State {
    mux: Mux,
    signals: HashMap<StreamId, Arc<Signal>>,
    ended: Option<End>,
    /// Since when there is no stream.
    unused: Option<Instant>,
}

struct Shared {
    state: Mutex<State>,
    wake: Notify,
}

/// A hold on a session. The session goes on without it, until it is closed or unused for long.
#[derive(Clone)]
pub struct Tunnel(Arc<Shared>);

/// Why a stream is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The service refused it.
    #[error("the service refused: {0:?}")]
    Refused(Refusal),
    /// The session ended.
    #[error("the session ended: {0:?}")]
    Ended(End),
    /// It cannot be asked for.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// What a tunnel runs on.
pub(crate) struct Ends {
    pub(crate) client: Arc<Client>,
    pub(crate) level: Level,
    pub(crate) session: Session,
    pub(crate) own: OwnBox,
    pub(crate) peer: BoxAddress,
    /// Datagrams that came before the session stood.
    pub(crate) early: Vec<Vec<u8>>,
    /// A service's new streams go here.
    pub(crate) incoming: Option<mpsc::Sender<(StreamId, Target)>>,
    /// Close it when it had no stream for so long.
    pub(crate) unused: Duration,
    pub(crate) cancel: CancellationToken,
}

/// One stream of a tunnel. Dropping it breaks the stream off, if it is not over.
pub struct Stream {
    shared: Arc<Shared>,
    signal: Arc<Signal>,
    id: StreamId,
    /// Both directions are over; what is not acknowledged yet is the mux's business.
    done: bool,
}

impl Tunnel {
    /// A session's streams, before it stands.
    pub(crate) fn new(side: Side) -> Self {
        Self::with(Mux::new(side, CONTENT_LEN, Config::default(), Instant::now()))
    }

    fn with(mux: Mux) -> Self {
        let state = State { mux, signals: HashMap::new(), ended: None, unused: Some(Instant::now()) };
        Self(Arc::new(Shared { state: Mutex::new(state), wake: Notify::new() }))
    }

    /// Asks for a stream.
    ///
    /// # Errors
    /// [`OpenError::Stream`].
    pub(crate) fn open(&self, target: Target) -> Result<Stream, OpenError> {
        let mut state = self.0.state.lock();
        let id = state.mux.open(target)?;
        let signal = Arc::new(Signal::default());
        state.signals.insert(id, signal.clone());
        state.unused = None;
        drop(state);
        self.0.wake.notify_one();
        Ok(Stream { shared: self.0.clone(), signal, id, done: false })
    }

    /// Service: accepts a stream.
    pub(crate) fn accept(&self, id: StreamId) -> Result<Stream, OpenError> {
        let mut state = self.0.state.lock();
        state.mux.accept(id)?;
        let signal = Arc::new(Signal::default());
        *signal.fate.lock() = Fate::Open;
        // What came before is to be read at once.
        signal.readable.notify_one();
        state.signals.insert(id, signal.clone());
        state.unused = None;
        drop(state);
        self.0.wake.notify_one();
        Ok(Stream { shared: self.0.clone(), signal, id, done: false })
    }

    /// Service: refuses a stream.
    pub(crate) fn refuse(&self, id: StreamId, why: Refusal) {
        _ = self.0.state.lock().mux.refuse(id, why);
        self.0.wake.notify_one();
    }

    /// True while streams can be opened.
    pub fn is_up(&self) -> bool {
        self.0.state.lock().ended.is_none()
    }

    /// Ends the session with all its streams.
    pub fn close(&self) {
        self.0.state.lock().mux.close(EndCode::Done);
        self.0.wake.notify_one();
    }

    /// Takes the other side's early data.
    pub(crate) fn receive_early(&self, early: &[u8]) {
        if !early.is_empty() {
            self.0.state.lock().mux.receive(Instant::now(), early);
        }
    }

    /// What goes out as early data.
    pub(crate) fn early(&self, room: usize) -> Vec<u8> {
        self.0.state.lock().mux.poll_transmit_within(Instant::now(), room).unwrap_or_default()
    }

    /// The session could not be made.
    pub(crate) fn abandon(&self) {
        self.0.state.lock().finish(End::Silence);
    }

    /// Runs until the session is over.
    pub(crate) async fn run(self, mut ends: Ends) {
        for datagram in std::mem::take(&mut ends.early) {
            self.take(&mut ends.session, &datagram);
        }
        let mut outbox: VecDeque<Vec<u8>> = VecDeque::new();
        loop {
            if outbox.is_empty() {
                self.fill(&mut ends.session, &mut outbox);
            }
            let mut pause = None;
            while let Some(datagram) = outbox.front() {
                match ends.client.put(ends.level, &ends.peer.relay, &ends.peer.id, datagram) {
                    Ok(()) => _ = outbox.pop_front(),
                    Err(SendError::Busy(wait)) => {
                        pause = Some(wait.max(Duration::from_millis(1)));
                        break;
                    }
                    Err(e) => {
                        tracing::debug!("a datagram was not sent: {e}");
                        pause = Some(UNREACHABLE);
                        break;
                    }
                }
            }
            let (incoming, next) = self.events(&ends);
            for stream in incoming {
                if let Some(sender) = &ends.incoming
                    && let Err(
                        mpsc::error::TrySendError::Full((id, _)) | mpsc::error::TrySendError::Closed((id, _)),
                    ) = sender.try_send(stream)
                {
                    self.refuse(id, Refusal::Busy);
                }
            }
            let Some(next) = next else {
                if outbox.is_empty() {
                    return;
                }
                continue;
            };
            let next = pause.map_or(next, |p| Instant::now() + p);
            tokio::select! {
                () = ends.cancel.cancelled() => {
                    self.0.state.lock().mux.close(EndCode::GoingAway);
                    self.fill(&mut ends.session, &mut outbox);
                    for datagram in &outbox {
                        _ = ends.client.put(ends.level, &ends.peer.relay, &ends.peer.id, datagram);
                    }
                    self.0.state.lock().finish(End::Closed);
                    return;
                }
                datagram = ends.own.recv() => match datagram {
                    Some(datagram) => self.take(&mut ends.session, &datagram),
                    None => {
                        self.0.state.lock().finish(End::Closed);
                        return;
                    }
                },
                () = self.0.wake.notified(), if pause.is_none() => {}
                () = tokio::time::sleep_until(next.into()) => {}
            }
        }
    }

    fn take(&self, session: &mut Session, datagram: &[u8]) {
        // What is not of this session was put there by somebody else, or comes twice.
        if let Ok(content) = session.open(datagram) {
            self.0.state.lock().mux.receive(Instant::now(), &content);
        }
    }

    fn fill(&self, session: &mut Session, outbox: &mut VecDeque<Vec<u8>>) {
        let now = Instant::now();
        while outbox.len() < BATCH
            && let Some(content) = self.0.state.lock().mux.poll_transmit(now)
        {
            if let Ok(datagram) = session.seal(&content) {
                outbox.push_back(datagram);
            }
        }
    }

    /// Tells the streams what happened. Gives new streams, and when to look again; none once all is over.
    fn events(&self, ends: &Ends) -> (Vec<(StreamId, Target)>, Option<Instant>) {
        let mut state = self.0.state.lock();
        let mut incoming = Vec::new();
        while let Some(event) = state.mux.poll_event() {
            let signal = |id: &StreamId| state.signals.get(id).cloned();
            match event {
                Event::Opened(id) => _ = signal(&id).map(|s| s.set(Fate::Open)),
                Event::Incoming(id, target) => incoming.push((id, target)),
                Event::Readable(id) => _ = signal(&id).map(|s| s.readable.notify_one()),
                Event::Writable(id) => _ = signal(&id).map(|s| s.writable.notify_one()),
                Event::Refused(id, why) => {
                    _ = state.signals.remove(&id).map(|s| s.set(Fate::Refused(why)));
                }
                Event::Closed(id, why) => {
                    _ = state.signals.remove(&id).map(|s| s.set(Fate::Closed(why)));
                }
                Event::Ended(end) => state.finish(end),
            }
        }
        if state.ended.is_some() {
            return (incoming, None);
        }
        let now = Instant::now();
        if state.mux.streams() > 0 {
            state.unused = None;
        } else if now.saturating_duration_since(*state.unused.get_or_insert(now)) >= ends.unused {
            state.mux.close(EndCode::Done);
            return (incoming, Some(now));
        }
        let look = now + LOOK_EVERY;
        (incoming, Some(state.mux.next_timeout().map_or(look, |t| t.min(look))))
    }
}

impl State {
    fn finish(&mut self, end: End) {
        let end = *self.ended.get_or_insert(end);
        for (_, signal) in self.signals.drain() {
            signal.set(Fate::Ended(end));
        }
    }
}

impl Stream {
    /// Waits until the service has accepted it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn opened(&self) -> Result<(), OpenError> {
        loop {
            match *self.signal.fate.lock() {
                Fate::Asked => {}
                Fate::Open | Fate::Closed(None) => {
                    // This took what may have been meant for the reader.
                    self.signal.readable.notify_one();
                    return Ok(());
                }
                Fate::Refused(why) => return Err(OpenError::Refused(why)),
                Fate::Closed(Some(_)) => return Err(OpenError::Ended(End::Closed)),
                Fate::Ended(end) => return Err(OpenError::Ended(end)),
            }
            self.signal.readable.notified().await;
        }
    }

    /// Carries bytes between the stream and a connection until both directions are over, or one breaks.
    ///
    /// # Errors
    /// The connection broke, or the stream did.
    pub async fn join(mut self, connection: impl AsyncRead + AsyncWrite) -> std::io::Result<()> {
        let (mut from, mut to) = tokio::io::split(connection);
        let up = async {
            let mut chunk = vec![0; CHUNK];
            loop {
                let n = from.read(&mut chunk).await?;
                if n == 0 {
                    self.finish();
                    return Ok(());
                }
                self.write(&chunk[..n]).await?;
            }
        };
        let down = async {
            let mut bytes = Vec::new();
            while self.read(&mut bytes).await? {
                to.write_all(&bytes).await?;
                bytes.clear();
            }
            to.write_all(&bytes).await?;
            to.shutdown().await
        };
        tokio::try_join!(up, down)?;
        self.done = true;
        Ok(())
    }

    fn finish(&self) {
        // The stream may be over already.
        _ = self.shared.state.lock().mux.finish(self.id);
        self.shared.wake.notify_one();
    }

    async fn write(&self, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            let written = self.shared.state.lock().mux.write(self.id, bytes).map_err(broken)?;
            self.shared.wake.notify_one();
            bytes = bytes.get(written..).unwrap_or_default();
            if !bytes.is_empty() {
                self.signal.writable.notified().await;
            }
        }
        Ok(())
    }

    /// Appends what came, at least one byte. False at the end.
    async fn read(&self, out: &mut Vec<u8>) -> std::io::Result<bool> {
        loop {
            let read = self.shared.state.lock().mux.read(self.id, out);
            match read {
                Ok(read) => {
                    if read.bytes > 0 || read.finished {
                        self.shared.wake.notify_one();
                        return Ok(!read.finished);
                    }
                }
                // The mux forgets a stream when both directions are over.
                Err(e) => {
                    return match *self.signal.fate.lock() {
                        Fate::Closed(None) => Ok(false),
                        _ => Err(broken(e)),
                    };
                }
            }
            self.signal.readable.notified().await;
        }
    }
}

fn broken(_: StreamError) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the stream was broken off")
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.done {
            // Of one that is over already, the mux knows nothing any more.
            _ = self.shared.state.lock().mux.reset(self.id, ResetCode::Cancelled);
            self.shared.wake.notify_one();
        }
    }
}
