//! Boxes and stored descriptors over real relays on loopback TCP, in one process.

use betanet::LinkState;
use betanet::client::{BoxConfig, BoxState, Client, ClientConfig, Entries, Inbound, OwnBox, Supply};
use betanet::cover::Profile;
use betanet::directory::SignedConsensus;
use betanet::guards::Guards;
use betanet::path::Level;
use betanet::relay::{Relay, RelayConfig, RelayKeys};
use betanet::sealed::{SALT_LEN, SEALED_LEN, header, period, signed_message};
use betanet::testnet::{LAYOUT, TestNetwork};
use ed25519_dalek::{Signer, SigningKey};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use x25519_dalek::StaticSecret;

const PATIENCE: Duration = Duration::from_secs(60);

struct Net {
    relays: Vec<Relay>,
    config: Vec<(RelayKeys, SocketAddr, u8)>,
    consensus: Arc<SignedConsensus>,
    sender: watch::Sender<Arc<SignedConsensus>>,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

async fn network() -> Net {
    let net = TestNetwork::generate(&LAYOUT, now()).expect("generates");
    let consensus = Arc::new(net.consensus());
    let (sender, receiver) = watch::channel(consensus.clone());
    let config: Vec<_> = net.relays().collect();
    let mut relays = Vec::new();
    for (keys, listen, _) in &config {
        let config = RelayConfig::new(keys.clone(), *listen);
        relays.push(Relay::start(config, receiver.clone()).await.expect("starts"));
    }
    Net { relays, config, consensus, sender }
}

async fn client(net: &Net) -> (Client, mpsc::Receiver<Inbound>) {
    let home = net.consensus.unverified().layer(3).next().expect("has a home").id;
    let (client, inbound) = Client::start(ClientConfig {
        consensus: net.consensus.clone(),
        mailbox: StaticSecret::random(),
        homes: vec![home],
        mean_delay: Duration::from_millis(2),
        cover: Profile::Off,
        entries: Entries::Pinned(Guards::new()),
    });
    let mut state = client.watch_home();
    timeout(PATIENCE, state.wait_for(|s| *s == LinkState::Up)).await.expect("in time").expect("up");
    while client.entries_up() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (client, inbound)
}

/// The last relay of layer 3: not the clients' home.
fn place(net: &Net) -> usize {
    let home = net.consensus.unverified().layer(3).next().expect("has a home").id;
    net.config.iter().rposition(|(k, _, layer)| *layer == 3 && k.id() != home).expect("has three")
}

fn config(net: &Net, level: Level, quiet: Duration) -> BoxConfig {
    let relay = net.config[place(net)].0.id();
    let supply = Supply { quiet, ..Supply::default() };
    BoxConfig { key: SigningKey::from_bytes(&rand::random()), relay, level, supply }
}

async fn wait_for(own: &OwnBox, wanted: BoxState) {
    let mut state = own.state();
    timeout(PATIENCE, state.wait_for(|s| *s == wanted)).await.expect("in time").expect("runs");
}

async fn next(own: &mut OwnBox) -> Vec<u8> {
    timeout(PATIENCE, own.recv()).await.expect("in time").expect("open")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_into_a_box_reaches_its_owner_alone() {
    for level in [Level::Private, Level::Confidential] {
        let net = network().await;
        let (owner, mut others) = client(&net).await;
        let (sender, _) = client(&net).await;
        let mut own = owner.open_box(config(&net, level, PATIENCE));
        let mut second = owner.open_box(config(&net, level, PATIENCE));
        wait_for(&own, BoxState::Open).await;
        wait_for(&second, BoxState::Open).await;
        // More than there are blocks at first: the rest waits for the next ones.
        let mut expected: HashSet<Vec<u8>> = (0..100u8).map(|n| vec![n; 1900]).collect();
        for payload in &expected {
            sender.put(level, &own.relay(), &own.id(), payload).expect("puts");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        sender.put(level, &second.relay(), &second.id(), b"for the other").expect("puts");
        while !expected.is_empty() {
            assert!(expected.remove(&next(&mut own).await), "each comes once");
        }
        assert_eq!(next(&mut second).await, b"for the other");
        assert!(others.try_recv().is_err(), "nothing of this is a message to the mailbox");
        let boxes = net.relays[place(&net)].status().boxes;
        assert_eq!((boxes.boxes, boxes.passed, boxes.lost, boxes.refused), (2, 101, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_restarts_loses_the_box_and_gets_it_again() {
    let mut net = network().await;
    let (owner, _in) = client(&net).await;
    let (sender, _in) = client(&net).await;
    let mut own = owner.open_box(config(&net, Level::Private, Duration::from_secs(1)));
    wait_for(&own, BoxState::Open).await;
    let at = place(&net);
    net.relays.remove(at).shutdown().await;
    wait_for(&own, BoxState::Silent).await;
    let restart = RelayConfig::new(net.config[at].0.clone(), net.config[at].1);
    let relay = Relay::start(restart, net.sender.subscribe()).await.expect("starts again");
    net.relays.insert(at, relay);
    wait_for(&own, BoxState::Open).await;
    sender.put(Level::Private, &own.relay(), &own.id(), b"again").expect("puts");
    assert_eq!(next(&mut own).await, b"again");

    // Told to, it moves, and has the same id there.
    let home = owner.home().expect("has one");
    let id = own.id();
    own.move_to(home);
    wait_for(&own, BoxState::Open).await;
    sender.put(Level::Private, &home, &id, b"elsewhere").expect("puts");
    assert_eq!(next(&mut own).await, b"elsewhere");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_descriptor_is_fetched() {
    let net = network().await;
    let (service, _in) = client(&net).await;
    let (other, _in) = client(&net).await;
    let relay = net.config[place(&net)].0.id();
    let key = SigningKey::from_bytes(&[3; 32]);
    let blinded = key.verifying_key().to_bytes();
    let mut descriptor = header(&blinded, period(now()), 1, &[0; SALT_LEN]);
    descriptor.extend([9; SEALED_LEN]);
    descriptor.extend(key.sign(&signed_message(&descriptor)).to_bytes());
    let fetch = async || other.fetch(Level::Private, &relay, &blinded, PATIENCE).await.expect("answers");
    assert_eq!(fetch().await, None);
    service.store(Level::Private, &relay, &descriptor).expect("sends");
    let mut fetched = None;
    while fetched.is_none() {
        fetched = fetch().await;
    }
    assert_eq!(fetched, Some(descriptor));
}
