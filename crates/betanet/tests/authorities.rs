//! Authorities, relays and clients over loopback TCP, in a network whose hours are seconds: votes, epochs, a dead
//! authority, a dead relay.

use betanet::authority::{AuthorityConfig, AuthorityServer};
use betanet::client::{Client, ClientConfig, Entries, Inbound};
use betanet::cover::Profile;
use betanet::directory::{Authority, Consensus, Network, SignedConsensus, Timing};
use betanet::guards::Guards;
use betanet::path::Level;
use betanet::relay::{About, Relay, RelayConfig, RelayKeys, upkeep};
use betanet::{Key, LinkState, fetch};
use ed25519_dalek::SigningKey;
use std::collections::{HashMap, HashSet};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use x25519_dalek::{PublicKey, StaticSecret};

const PATIENCE: Duration = Duration::from_secs(150);
const TIMING: Timing = Timing { epoch: 8, overlap: 2, voting: 4 };

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

struct RunningRelay {
    relay: Arc<Relay>,
    upkeep: JoinHandle<()>,
    consensus: watch::Receiver<Arc<SignedConsensus>>,
}

struct Net {
    genesis: Arc<SignedConsensus>,
    secrets: Vec<(SigningKey, StaticSecret)>,
    authorities: Vec<Option<AuthorityServer>>,
    relays: Vec<Option<RunningRelay>>,
}

impl Net {
    /// Three authorities, and relays of these layers; each operator has one.
    async fn start(layers: &[u8], seats: u16) -> Self {
        Self::with(layers, seats, 3).await
    }

    /// The same, of which only the first authorities run.
    async fn with(layers: &[u8], seats: u16, running: usize) -> Self {
        let secrets: Vec<(SigningKey, StaticSecret)> =
            (0..3).map(|_| (SigningKey::from_bytes(&rand::random()), StaticSecret::random())).collect();
        let ports: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("binds")).collect();
        let authorities = secrets.iter().zip(&ports).map(|((key, link), port)| Authority {
            key: key.verifying_key().to_bytes(),
            link: PublicKey::from(link).to_bytes(),
            address: port.local_addr().expect("bound"),
        });
        let network = Network::new(false, authorities.collect(), TIMING, seats);
        drop(ports);
        let genesis =
            Consensus { network, valid_after: 0, valid_until: 0, seeds: Vec::new(), relays: Vec::new() };
        let genesis = Arc::new(genesis.sign(secrets.iter().map(|s| &s.0)));
        let mut net = Self { genesis, secrets, authorities: vec![None, None, None], relays: Vec::new() };
        for n in 0..running {
            net.start_authority(n, None).await;
        }
        for (n, layer) in layers.iter().enumerate() {
            net.start_relay(*layer, &format!("operator {n}")).await;
        }
        net
    }

    fn network(&self) -> &Network {
        &self.genesis.unverified().network
    }

    async fn start_authority(&mut self, n: usize, folder: Option<&Path>) {
        let (key, link) = self.secrets[n].clone();
        let known = self.network().authority(&key.verifying_key().to_bytes()).expect("named");
        let config = || AuthorityConfig {
            listen: known.address,
            key: key.clone(),
            link: link.clone(),
            network: self.network().clone(),
            stakes: HashMap::new(),
            folder: folder.map(Into::into),
        };
        // The one before may still be ending.
        let start = Instant::now();
        let mut server = AuthorityServer::start(config()).await;
        while server.is_err() && start.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(20)).await;
            server = AuthorityServer::start(config()).await;
        }
        self.authorities[n] = Some(server.expect("starts"));
    }

    async fn start_relay(&mut self, layer: u8, operator: &str) {
        let (sender, consensus) = watch::channel(self.genesis.clone());
        let config = RelayConfig::new(RelayKeys::generate(), ([127, 0, 0, 1], 0).into());
        let relay = Arc::new(Relay::start(config, sender.subscribe()).await.expect("starts"));
        let about = About { address: relay.address(), layer, operator: operator.into() };
        let kept = relay.clone();
        let upkeep = tokio::spawn(async move { upkeep(&kept, &about, &sender).await });
        self.relays.push(Some(RunningRelay { relay, upkeep, consensus }));
    }

    /// The newest consensus, once it is good enough.
    async fn consensus(&self, good: impl Fn(&Consensus) -> bool) -> Arc<SignedConsensus> {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "no such consensus");
            if let Ok(Some(signed)) = fetch::newest(self.network(), 0, now()).await
                && good(signed.unverified())
            {
                return Arc::new(signed);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Until every relay knows the others.
    async fn in_use(&self) {
        for relay in self.relays.iter().flatten() {
            let listed = |c: &Arc<SignedConsensus>| c.unverified().relays.len() == self.relays.len();
            let mut consensus = relay.consensus.clone();
            timeout(PATIENCE, consensus.wait_for(listed)).await.expect("in time").expect("open");
        }
    }

    async fn kill_relay(&mut self, id: &Key) {
        let of = |slot: &&mut Option<RunningRelay>| slot.as_ref().is_some_and(|r| r.relay.id() == *id);
        let running = self.relays.iter_mut().find(of).and_then(Option::take).expect("runs");
        running.upkeep.abort();
        running.relay.shutdown().await;
    }
}

async fn client(consensus: &Arc<SignedConsensus>, cover: Profile) -> (Client, mpsc::Receiver<Inbound>) {
    let home = consensus.unverified().layer(3).next().expect("has a home").id;
    let (client, inbound) = Client::start(ClientConfig {
        consensus: consensus.clone(),
        mailbox: StaticSecret::random(),
        homes: vec![home],
        mean_delay: Duration::from_millis(1),
        cover,
        entries: Entries::Pinned(Guards::new()),
    });
    let mut state = client.watch_home();
    timeout(PATIENCE, state.wait_for(|s| *s == LinkState::Up)).await.expect("in time").expect("up");
    while client.entries_up() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (client, inbound)
}

async fn next(inbound: &mut mpsc::Receiver<Inbound>) -> Inbound {
    timeout(Duration::from_secs(5), inbound.recv()).await.expect("in time").expect("open")
}

const NINE: [u8; 9] = [1, 2, 3, 1, 2, 3, 1, 2, 3];

/// A new network comes to a consensus; a client lives through three epochs of it, while one authority dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_through_epochs_and_the_death_of_an_authority() {
    let mut net = Net::start(&NINE, 0).await;
    let first = net.consensus(|c| c.relays.len() == 9).await;
    net.in_use().await;
    let document = first.verify(now()).expect("valid");
    assert!(document.layer(2).count() == 3 && first.signers().len() >= 2);
    let (a, mut a_in) = client(&first, Profile::Off).await;
    let (b, mut b_in) = client(&first, Profile::Off).await;
    let first_epoch = TIMING.epoch_at(now());
    let mut keys: HashSet<Key> = HashSet::new();
    let mut number = 0u32;
    // Three whole epochs, a message in each half second.
    while TIMING.epoch_at(now()) < first_epoch + 4 {
        if TIMING.epoch_at(now()) == first_epoch + 1
            && let Some(authority) = net.authorities[0].take()
        {
            authority.shutdown().await;
        }
        number += 1;
        let home = b.home().expect("has one");
        let path = a.send(Level::Confidential, &home, &b.mailbox(), &number.to_be_bytes()).expect("sends");
        keys.extend(path.iter().map(|h| h.sphinx_key));
        assert_eq!(next(&mut b_in).await, Inbound::Message(number.to_be_bytes().to_vec()));
        // And an answer, by a block that knows the way.
        let block = a.reply_block(Level::Private).expect("builds");
        b.answer(&block.bytes, b"I got it").expect("answers");
        let answer = Inbound::Answer { block: block.identifier, message: b"I got it".to_vec() };
        assert_eq!(next(&mut a_in).await, answer);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(keys.len() >= 9 * 3, "{} keys of nine relays", keys.len());
    let last = a.view();
    let age = now() - last.consensus().valid_after;
    assert!(age <= 3 * u64::from(TIMING.voting), "the client's consensus is {age} s old");
    assert_eq!(last.signed().signers().len(), 2, "the two authorities that live signed it");
    let relay = net.relays[0].as_ref().expect("runs");
    assert!(relay.consensus.borrow().unverified().valid_after > document.valid_after);
    let counters = relay.relay.counters();
    assert_eq!((counters.malformed, counters.replays), (0, 0));
}

/// One of three authorities takes every connection and never says a word: the other two come to a consensus.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_swallows_everything_holds_nobody_up() {
    let net = Net::with(&[1, 2, 3], 0, 2).await;
    let key = net.secrets[2].0.verifying_key().to_bytes();
    let address = net.network().authority(&key).expect("named").address;
    let listener = tokio::net::TcpListener::bind(address).await.expect("binds");
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let consensus = net.consensus(|c| c.relays.len() == 3).await;
    let after = consensus.unverified().valid_after;
    net.consensus(|c| c.valid_after > after).await;
}

/// A relay that is gone is found out by the authorities' loops, and clients draw it no more; when it is back, it is
/// drawn again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_relay_is_left_out_of_the_lottery() {
    let mut net = Net::start(&[1, 1, 2, 2, 2, 3, 3], 0).await;
    let first = net.consensus(|c| c.relays.len() == 7).await;
    let dead = first.unverified().layer(2).next().expect("has middles").id;
    let epoch = TIMING.epoch_at(now());
    net.kill_relay(&dead).await;
    let after = net.consensus(|c| c.relay(&dead).is_none_or(|r| !r.is_running())).await;
    let others = |c: &Consensus| c.relays.iter().filter(|r| r.id != dead).all(|r| r.is_running());
    assert!(others(after.unverified()), "only that one: {:?}", standings(&after));
    assert!(!after.unverified().drawn(TIMING.epoch_at(now())).contains(&dead));
    let epochs = TIMING.epoch_at(now()) - epoch;
    assert!(epochs <= 2, "it took {epochs} epochs");
}

fn standings(signed: &SignedConsensus) -> Vec<(String, u16)> {
    let relays = signed.unverified().relays.iter();
    relays.map(|r| (betanet::short(&r.id), r.standing.performance)).collect()
}

/// More relays than seats: the epoch's winners are drawn, with tickets that everybody verifies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seats_are_drawn_anew_in_each_epoch() {
    let net = Net::start(&[1, 1, 2, 2, 2, 2, 3, 3], 1).await;
    let winner = |c: &Consensus, epoch| -> Vec<Key> {
        let drawn = c.drawn(epoch);
        c.layer(2).filter(|r| drawn.contains(&r.id)).map(|r| r.id).collect()
    };
    let has_tickets = |c: &Consensus| winner(c, TIMING.epoch_at(c.valid_after)).len() == 1;
    let mut winners = HashSet::new();
    let mut seeds = HashSet::new();
    let start = Instant::now();
    while winners.len() < 2 {
        assert!(start.elapsed() < PATIENCE * 2, "always the same one wins");
        let consensus = net.consensus(has_tickets).await;
        let document = consensus.unverified();
        seeds.extend(document.seeds.iter().copied());
        winners.extend(winner(document, TIMING.epoch_at(document.valid_after)));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(seeds.len() >= 2);
}

/// An authority that is killed comes back with what it knew, and votes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_comes_back_with_what_it_knew() {
    let folder = tempfile::tempdir().expect("tempdir");
    let mut net = Net::start(&NINE, 0).await;
    net.authorities[0] = None;
    net.start_authority(0, Some(folder.path())).await;
    net.consensus(|c| c.relays.len() == 9).await;
    let me = net.secrets[0].0.verifying_key().to_bytes();
    let signed_by_me = |signed: &SignedConsensus| signed.signers().contains(&me);
    let wait = async |net: &Net, after: u64| {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "it does not vote again");
            let mine = net.authorities[0].as_ref().and_then(AuthorityServer::consensus);
            if let Some(mine) = mine.filter(|c| c.unverified().valid_after > after && signed_by_me(c)) {
                return mine;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let before = wait(&net, 0).await;
    // Killed: nothing is written at the end.
    net.authorities[0] = None;
    tokio::time::sleep(Duration::from_millis(200)).await;
    net.start_authority(0, Some(folder.path())).await;
    let status = net.authorities[0].as_ref().expect("runs").status();
    assert_eq!((status.relays, status.accused.len()), (9, 0));
    assert!(status.valid_after >= Some(before.unverified().valid_after));
    let again = wait(&net, before.unverified().valid_after).await;
    assert_eq!(again.unverified().relays.len(), 9);
    for authority in net.authorities.iter().flatten() {
        assert_eq!(authority.status().accused, Vec::<Key>::new());
    }
}
