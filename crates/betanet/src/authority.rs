//! A directory authority: collects descriptors, measures relays, votes with the others, signs what the votes say.
//!
//! ```text
//!  relay ── Publish ──> book: newest descriptor of each relay
//!  own loops over all relays ──> book: performance, and from it in time the reputation
//!
//!  a period before the time T of the next consensus:
//!    T - 1/2   own vote, which is never changed; then the others' votes are fetched, each from everybody
//!    T - 1/4   tally, sign; then the others' signatures are fetched
//!    T         with enough signatures it is the consensus
//! ```
//!
//! Everything is fetched, nothing is pushed, and everything is signed, so an authority needs to trust nobody. Who signs
//! two votes, or two documents, for one period is told of by the two; neither vote counts. While there is no consensus
//! of this time (a new network, or all authorities were gone), votes are taken every ten seconds.
//!
//! * [`book`]: the state, without IO.
//! * [`round`]: one period's votes and signatures, without IO.
//! * [`measure`]: from loops to standings.

mod book;
mod measure;
mod round;
mod server;

pub use book::Book;
pub use measure::Measures;

use crate::Key;
use crate::directory::exchange::{Answer, Request};
use crate::directory::vote::SignedVote;
use crate::directory::{Authority, Network, SignedConsensus};
use crate::fetch;
use ed25519_dalek::SigningKey;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use x25519_dalek::StaticSecret;

/// Time from vote to vote while there is no consensus, seconds.
const FIRST_VOTES: u64 = 10;
/// The file with what must survive a restart.
const STATE: &str = "state";
/// The file with the newest consensus, which everybody may have.
pub const CONSENSUS: &str = "consensus";

/// How to start an authority.
pub struct AuthorityConfig {
    /// With which it signs.
    pub key: SigningKey,
    /// Its static key on links.
    pub link: StaticSecret,
    /// Where to listen.
    pub listen: SocketAddr,
    /// What the network is; this authority is one of its.
    pub network: Network,
    /// What each relay's operator has staked, in whole FOG, by the relay's id.
    pub stakes: HashMap<Key, u64>,
    /// Where to keep its state and the consensus; none forgets them (tests).
    pub folder: Option<PathBuf>,
}

/// A running authority. It stops when this is dropped.
pub struct AuthorityServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    tasks: TaskTracker,
}

struct Shared {
    link: StaticSecret,
    network: Network,
    folder: Option<PathBuf>,
    book: Mutex<Book>,
    /// Places for trying relays' addresses.
    trying: Arc<tokio::sync::Semaphore>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// Relays whose addresses are tried at once.
const TRIES: usize = 32;

/// How an authority is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Relays whose descriptors it has.
    pub relays: usize,
    /// When the newest consensus begins, Unix seconds.
    pub valid_after: Option<u64>,
    /// When it ends.
    pub valid_until: Option<u64>,
    /// Relays in it.
    pub listed: usize,
    /// Authorities that signed it.
    pub signers: usize,
    /// Authorities that said two things at once.
    pub accused: Vec<Key>,
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

impl AuthorityServer {
    /// Binds and starts.
    ///
    /// # Errors
    /// The address is in use, the files cannot be read, or the network does not know this authority.
    pub async fn start(config: AuthorityConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|e| io::Error::new(e.kind(), format!("cannot listen on {}: {e}", config.listen)))?;
        let address = listener.local_addr()?;
        config.network.check().map_err(io::Error::other)?;
        if config.network.authority(&config.key.verifying_key().to_bytes()).is_none() {
            return Err(io::Error::other("the network does not name this authority's key"));
        }
        let mut book = Book::new(config.key, config.network.clone(), config.stakes);
        if let Some(folder) = &config.folder {
            if let Some(state) = read(&folder.join(STATE))? {
                book.restore(&state).map_err(|e| io::Error::other(format!("{}: {e}", folder.display())))?;
            }
            if let Some(bytes) = read(&folder.join(CONSENSUS))?
                && let Ok(signed) = SignedConsensus::from_bytes(&bytes)
                && signed.authentic().is_ok()
            {
                book.adopt(signed);
            }
        }
        let tasks = TaskTracker::new();
        let shared = Arc::new(Shared {
            link: config.link,
            network: config.network,
            folder: config.folder,
            book: Mutex::new(book),
            trying: Arc::new(tokio::sync::Semaphore::new(TRIES)),
            cancel: CancellationToken::new(),
            tasks: tasks.clone(),
        });
        tasks.spawn(server::accept_all(shared.clone(), listener));
        tasks.spawn(vote_for_ever(shared.clone()));
        tasks.spawn(measure::run(shared.clone()));
        Ok(Self { shared, address, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The newest consensus that it has.
    pub fn consensus(&self) -> Option<Arc<SignedConsensus>> {
        self.shared.book.lock().consensus()
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        let book = self.shared.book.lock();
        let consensus = book.consensus();
        let document = consensus.as_ref().map(|c| c.unverified());
        Status {
            relays: book.relays(),
            valid_after: document.map(|d| d.valid_after),
            valid_until: document.map(|d| d.valid_until),
            listed: document.map_or(0, |d| d.relays.len()),
            signers: consensus.as_ref().map_or(0, |c| c.signers().len()),
            accused: book.accused(),
        }
    }

    /// Stops, with everything on disk.
    pub async fn shutdown(&self) {
        self.shared.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        _ = self.shared.save();
    }
}

impl Drop for AuthorityServer {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
    }
}

async fn vote_for_ever(shared: Arc<Shared>) {
    // Somebody may have a consensus already.
    shared.catch_up(shared.next_period().1).await;
    loop {
        let (period, length) = shared.next_period();
        let part = |quarters: u64| (period * 1000).saturating_sub(length * 1000 * quarters / 4);
        let all = async {
            if !sleep_until(part(2), length).await {
                return;
            }
            shared.vote(period);
            // First the votes from those who made them and from others; then, when no more are taken from their makers,
            // what the others took: so all honest authorities count the same votes, and see all that were made twice.
            let direct = part(1) - length * 125;
            shared.collect(period, direct, Collect::Votes).await;
            sleep_until(direct + length * 60, length).await;
            shared.collect(period, part(1), Collect::Relayed).await;
            shared.tally(period);
            // Signatures may come a little later than the time itself, from those who were busy.
            let late = period * 1000 + length * 1000 / 8;
            shared.collect(period, late, Collect::Signatures).await;
            sleep_until(period * 1000, length).await;
            if !shared.conclude(period) {
                shared.catch_up(length).await;
            }
        };
        tokio::select! {
            () = shared.cancel.cancelled() => return,
            () = all => {}
        }
    }
}

/// The longest wait for somebody else's consensus, milliseconds.
const CATCH_UP_MS: u64 = 40_000;

#[derive(Clone, Copy)]
enum Collect {
    /// Votes, from anybody.
    Votes,
    /// Votes, from others than who made them: one sweep.
    Relayed,
    Signatures,
}

impl Shared {
    /// The period that is voted on next, and how long one is now.
    fn next_period(&self) -> (u64, u64) {
        let (ms, voting) = (now_ms(), u64::from(self.network.timing.voting));
        let has_one = self.book.lock().is_current(ms / 1000);
        let length = if has_one { voting } else { voting.min(FIRST_VOTES) }.max(1);
        // One whose time to vote is over is left to those who voted.
        let period = ((ms + length * 500) / 1000 / length + 1) * length;
        (period, length)
    }

    /// Makes the own vote. It is on disk that there is one before anybody sees it: after a crash there is no other.
    fn vote(&self, period: u64) {
        let Some(vote) = self.book.lock().make_vote(period) else { return };
        if self.save() {
            self.book.lock().cast(vote);
        }
    }

    /// Fetches what the others have until everything is there or time is up. Each is asked again and again by itself, so
    /// one that swallows what it is asked takes nobody else's time.
    async fn collect(&self, period: u64, until_ms: u64, what: Collect) {
        let me = self.book.lock().me();
        let others = self.network.authorities.iter().filter(|a| a.key != me);
        let asks = others.map(|authority| async move {
            loop {
                let missing = match what {
                    Collect::Votes => self.book.lock().missing_votes(period),
                    Collect::Relayed => self.network.authorities.iter().map(|a| a.key).collect(),
                    Collect::Signatures => self.book.lock().missing_signatures(period),
                };
                let left = until_ms.saturating_sub(now_ms());
                if missing.is_empty() || left == 0 {
                    return;
                }
                self.ask(authority, period, what, &missing).await;
                if matches!(what, Collect::Relayed) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis((left / 10).clamp(50, 2000))).await;
            }
        });
        let left = Duration::from_millis(until_ms.saturating_sub(now_ms()));
        _ = tokio::time::timeout(left, futures(asks)).await;
    }

    /// Asks one of the others for all that it has of what is missing.
    async fn ask(&self, authority: &Authority, period: u64, what: Collect, missing: &[Key]) {
        let ask = |request: Request| async move {
            fetch::ask(authority.address, &authority.link, &self.link, &request).await
        };
        match what {
            Collect::Votes | Collect::Relayed => {
                // From each the votes of all: so who votes twice is found out.
                let me = self.book.lock().me();
                let makers = self.network.authorities.iter().map(|a| a.key).filter(|k| *k != me);
                let own = matches!(what, Collect::Votes);
                for of in makers.filter(|k| own || *k != authority.key) {
                    let unless = self.book.lock().vote_digest(period, &of);
                    match ask(Request::Vote { period, authority: of, unless }).await {
                        Ok(Answer::Document(bytes)) => self.take_vote(&bytes),
                        Ok(_) => {}
                        Err(_) => return,
                    }
                }
            }
            Collect::Signatures if missing.contains(&authority.key) => {
                if let Ok(Answer::Document(bytes)) = ask(Request::Signed { period }).await
                    && let Ok(signed) = SignedConsensus::from_bytes(&bytes)
                {
                    self.book.lock().take_signed(period, &signed);
                }
            }
            Collect::Signatures => {}
        }
    }

    fn take_vote(&self, bytes: &[u8]) {
        // Checking a large vote takes a while, and needs nothing of the book.
        let vote = SignedVote::from_bytes(bytes);
        match vote.and_then(|v| v.verify(&self.network).map(|_| ()).map(|()| v)) {
            Ok(vote) => self.book.lock().take_vote(vote),
            Err(e) => tracing::warn!("a vote was not taken: {e}"),
        }
    }

    fn tally(&self, period: u64) {
        if !self.book.lock().tally(period) {
            tracing::warn!(period, "too few authorities voted: no consensus of this period");
        }
    }

    fn conclude(&self, period: u64) -> bool {
        let concluded = self.book.lock().conclude(period);
        if concluded {
            let status = self.book.lock().consensus();
            let (relays, signers) =
                status.map_or((0, 0), |c| (c.unverified().relays.len(), c.signers().len()));
            tracing::info!(period, relays, signers, "a new consensus");
            _ = self.save();
        } else {
            tracing::warn!(period, "too few authorities signed: no consensus of this period");
        }
        concluded
    }

    /// Takes a newer consensus of the others: after this one was away, or when it voted alone. It is back well before the
    /// next vote, half a period (of `length` seconds) from now: two that missed every other one in turn would never agree.
    async fn catch_up(&self, length: u64) {
        let have = self.book.lock().consensus().map_or(0, |c| c.unverified().valid_after);
        let fetch = async {
            let patience = Duration::from_millis((length * 250).min(CATCH_UP_MS));
            let newest = fetch::newest(&self.network, have, now_ms() / 1000);
            let newest = tokio::time::timeout(patience, newest).await;
            match newest.unwrap_or_else(|_| Err("the others do not answer in time".into())) {
                Ok(Some(signed)) => {
                    self.book.lock().adopt(signed);
                    _ = self.save();
                }
                Ok(None) => {}
                Err(e) => tracing::debug!("nobody has a consensus: {e}"),
            }
        };
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = fetch => {}
        }
    }

    /// False if what must survive a restart could not be written.
    fn save(&self) -> bool {
        let Some(folder) = &self.folder else { return true };
        let (state, consensus) = {
            let book = self.book.lock();
            (book.state(), book.consensus())
        };
        let result = replace(&folder.join(STATE), &state)
            .and_then(|()| consensus.map_or(Ok(()), |c| replace(&folder.join(CONSENSUS), &c.to_bytes())));
        if let Err(e) = result {
            tracing::error!("the authority's state cannot be written to {}: {e}", folder.display());
            return false;
        }
        true
    }
}

/// Runs all of them at once.
async fn futures<F: Future<Output = ()>>(all: impl Iterator<Item = F>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        all.retain_mut(|f| f.as_mut().poll(cx).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// In steps, because the clock may be set meanwhile. False: it was set back by so much that this is the wrong time to
/// wait for.
async fn sleep_until(ms: u64, length: u64) -> bool {
    loop {
        let left = ms.saturating_sub(now_ms());
        if left == 0 {
            return true;
        }
        if left > 2 * length * 1000 {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(left.min(5000))).await;
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
    }
}

/// Replaces a file in one step.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    // The folder's entry, too, or a power cut brings the old file back. Not every system can.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
