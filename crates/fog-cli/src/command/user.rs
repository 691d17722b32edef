//! A client of the mixnet for programs that use it without a node: a mailbox of its own, made anew at each start.

use super::mixnode::read_document;
use crate::args::{Global, Reach, UseArgs};
use crate::config;
use anyhow::{Context, Result, anyhow, bail};
use betanet::client::{Client, ClientConfig, Entries};
use betanet::directory::SignedConsensus;
use betanet::guards::Guards;
use betanet::path::Level;
use betanet::{LinkState, fetch};
use fog_api::{ApiError, ErrorKind};
use rand::seq::IteratorRandom;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x25519_dalek::StaticSecret;

/// The consensus in the data folder.
const CONSENSUS: &str = "consensus";
/// How long the links may take.
const LINKS: Duration = Duration::from_secs(60);
/// How often changed guards are written.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How often authorities are asked, a second apart.
const FETCHES: usize = 10;

/// A client that is linked.
pub(crate) struct User {
    pub(crate) client: Arc<Client>,
    pub(crate) level: Level,
    /// One person runs the whole network.
    pub(crate) test: bool,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Starts a client and waits until it is linked.
pub(crate) async fn start(global: &Global, args: &UseArgs) -> Result<User> {
    let folder = config::data_dir(global)?;
    let path = args.consensus.clone().unwrap_or_else(|| folder.join(CONSENSUS));
    let consensus = consensus(&path).await?;
    let document = consensus.unverified();
    let test = document.network.test;
    let home = document.layer(3).choose(&mut rand::rng()).map(|r| r.id);
    let home = home.ok_or_else(|| anyhow!("this network has no home relays"))?;
    let guards = folder.join(format!("guards-{}", betanet::short(&document.network.id())));
    let kept = std::fs::read(&guards).ok().and_then(|bytes| Guards::from_bytes(&bytes));
    let (client, mut inbound) = Client::start(ClientConfig {
        consensus: Arc::new(consensus),
        mailbox: StaticSecret::random(),
        homes: vec![home],
        mean_delay: Duration::from_millis(args.mean_delay_ms),
        cover: args.cover,
        entries: Entries::Pinned(kept.unwrap_or_default()),
    });
    let client = Arc::new(client);
    // Nobody knows the mailbox: what comes by itself is of no use.
    tokio::spawn(async move { while inbound.recv().await.is_some() {} });
    tokio::spawn(keep_guards(client.clone(), guards));
    let level = level(&client, args.privacy)?;
    let mut state = client.watch_home();
    let linked = async {
        // An error means that the client has ended.
        _ = state.wait_for(|s| *s == LinkState::Up).await;
        while client.entries_up() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(LINKS, linked).await.is_err() {
        bail!("the network's relays cannot be reached: {:?}", client.home_state());
    }
    if test {
        tracing::warn!("this is a test network: one person runs all of it, and it gives no anonymity");
    }
    Ok(User { client, level, test })
}

/// A consensus of today.
async fn consensus(path: &Path) -> Result<SignedConsensus> {
    let signed = read_document(path).context("use --consensus FILE")?;
    let Err(stale) = signed.verify(now()) else { return Ok(signed) };
    let document = signed.unverified();
    if document.network.timing.voting == 0 {
        return Err(anyhow!(stale).context(path.display().to_string()));
    }
    let mut last = String::from("they have none yet");
    for _ in 0..FETCHES {
        match fetch::newest(&document.network, document.valid_after, now()).await {
            Ok(Some(new)) => return Ok(new),
            Ok(None) => {}
            Err(e) => last = e,
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    bail!("{} is out of date, and the network's authorities gave no newer one: {last}", path.display())
}

/// What was asked for, or an error; never less.
fn level(client: &Client, asked: Option<Reach>) -> Result<Level> {
    let best = fog_services::best_level(&client.view());
    match (asked, best) {
        (None, best) => {
            if best == Level::Private {
                tracing::warn!("this network is too small for five relays: everything goes over three");
            }
            Ok(best)
        }
        (Some(Reach::Private), _) => Ok(Level::Private),
        (Some(Reach::Confidential), Level::Confidential) => Ok(Level::Confidential),
        (Some(Reach::Confidential), Level::Private) => {
            let why = "this network is too small for --privacy confidential: five relays take two of layers 2 and 3";
            Err(ApiError::new(ErrorKind::Refused, why).into())
        }
    }
}

/// Keeps the entry relays for the next start: who enters through others each time meets a watcher sooner or later.
async fn keep_guards(client: Arc<Client>, path: PathBuf) {
    loop {
        if let Some(bytes) = client.unsaved_guards()
            && let Err(e) = write_private(&path, &bytes)
        {
            tracing::warn!("{} cannot be written: {e}", path.display());
        }
        tokio::time::sleep(SAVE_EVERY).await;
    }
}

/// Replaces a file that is for its owner alone.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let new = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    std::io::Write::write_all(&mut options.open(&new)?, bytes)?;
    std::fs::rename(&new, path)
}
