//! Clients over real relays on loopback TCP, in one process: delivery, queueing, replay, a dead relay.

use betanet::client::{Client, ClientConfig, Entries, Inbound};
use betanet::cover::Profile;
use betanet::directory::{Consensus, SignedConsensus};
use betanet::guards::Guards;
use betanet::link::{self, Frame, Role, connect};
use betanet::packet::{Hop, Tables, build};
use betanet::path::Level;
use betanet::relay::{Relay, RelayConfig, RelayKeys};
use betanet::testnet::{LAYOUT, TestNetwork};
use betanet::{Key, LinkState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use x25519_dalek::{PublicKey, StaticSecret};

const PATIENCE: Duration = Duration::from_secs(20);

struct Net {
    relays: Vec<Option<Relay>>,
    keys: Vec<RelayKeys>,
    consensus: Arc<SignedConsensus>,
    sender: watch::Sender<Arc<SignedConsensus>>,
}

impl Net {
    fn document(&self) -> &Consensus {
        self.consensus.unverified()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// These relays in a row, without delays.
fn row(keys: &[RelayKeys]) -> Vec<Hop> {
    let hop = |k: &RelayKeys| Hop { relay: k.id(), sphinx_key: k.sphinx_key(), delay: Duration::ZERO };
    keys.iter().map(hop).collect()
}

async fn network() -> Net {
    let net = TestNetwork::generate(&LAYOUT, now()).expect("generates");
    let consensus = Arc::new(net.consensus());
    let (sender, receiver) = watch::channel(consensus.clone());
    let mut relays = Vec::new();
    for (keys, listen, _) in net.relays() {
        let config = RelayConfig::new(keys, listen);
        relays.push(Some(Relay::start(config, receiver.clone()).await.expect("starts")));
    }
    Net { relays, keys: net.relays().map(|r| r.0).collect(), consensus, sender }
}

async fn client(net: &Net, mailbox: &StaticSecret) -> (Client, mpsc::Receiver<Inbound>) {
    let home = net.document().layer(3).next().expect("has a home").id;
    let (client, inbound) = Client::start(ClientConfig {
        consensus: net.consensus.clone(),
        mailbox: mailbox.clone(),
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

async fn next(inbound: &mut mpsc::Receiver<Inbound>) -> Vec<u8> {
    match timeout(PATIENCE, inbound.recv()).await.expect("in time").expect("open") {
        Inbound::Message(message) => message,
        Inbound::Answer { .. } => panic!("an answer"),
    }
}

fn public(secret: &StaticSecret) -> Key {
    PublicKey::from(secret).to_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_and_wait_for_the_absent() {
    let net = network().await;
    let (a_key, b_key) = (StaticSecret::random(), StaticSecret::random());
    let (a, _a_in) = client(&net, &a_key).await;
    let (b, mut b_in) = client(&net, &b_key).await;
    let home = b.home().expect("has one");
    for i in 0..50u8 {
        let path = a.send(Level::Private, &home, &public(&b_key), &[i; 100]).expect("sends");
        assert_eq!(path.len(), 3);
    }
    let mut got: Vec<u8> = Vec::new();
    for _ in 0..50 {
        got.push(next(&mut b_in).await[0]);
    }
    got.sort_unstable();
    assert_eq!(got, (0..50).collect::<Vec<u8>>());

    // Over five relays, too.
    let path = a.send(Level::Confidential, &home, &public(&b_key), b"further").expect("sends");
    assert_eq!(path.len(), 5);
    assert_eq!(next(&mut b_in).await, b"further");

    // The receiver goes away; its home relay keeps what comes.
    drop((b, b_in));
    tokio::time::sleep(Duration::from_millis(100)).await;
    a.send(Level::Private, &home, &public(&b_key), b"while you were away").expect("sends");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (_b, mut b_in) = client(&net, &b_key).await;
    // What was not acknowledged when the link ended comes again first: the home relay forgets nothing too early.
    let mut waited = Vec::new();
    while waited.is_empty() || waited.len() == 100 || waited == b"further" {
        waited = next(&mut b_in).await;
    }
    assert_eq!(waited, b"while you were away");
    let mixed: u64 = net.relays.iter().flatten().map(|r| r.counters().forwarded).sum();
    assert_eq!(mixed, 51 * 2 + 4, "all relays but the last forward each packet, the last delivers it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_links_come_back_when_they_are_made_anew() {
    let net = network().await;
    let (a_key, b_key) = (StaticSecret::random(), StaticSecret::random());
    let (a, _a_in) = client(&net, &a_key).await;
    let (b, mut b_in) = client(&net, &b_key).await;
    for (client, round) in [(&a, 1), (&b, 2)] {
        let mut state = client.watch_home();
        state.mark_unchanged();
        client.reconnect();
        timeout(PATIENCE, state.changed()).await.expect("in time").expect("runs");
        timeout(PATIENCE, state.wait_for(|s| *s == LinkState::Up)).await.expect("in time").expect("up");
        // Until an entry link is up there is no path.
        let sent = timeout(PATIENCE, async {
            while a.send(Level::Private, &b.home().expect("has one"), &public(&b_key), &[round]).is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        sent.await.expect("in time");
        // What was not acknowledged before the links ended comes again.
        let arrived =
            timeout(PATIENCE, async { while b_in.recv().await != Some(Inbound::Message(vec![round])) {} });
        arrived.await.expect("in time");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_middle_relay_is_avoided_once_reported() {
    let mut net = network().await;
    let (a_key, b_key) = (StaticSecret::random(), StaticSecret::random());
    let (a, _a_in) = client(&net, &a_key).await;
    let (b, mut b_in) = client(&net, &b_key).await;
    let dead = net.document().layer(2).next().expect("has middles").id;
    let relay =
        net.relays.iter_mut().find(|r| r.as_ref().is_some_and(|r| r.id() == dead)).and_then(Option::take);
    relay.expect("found").shutdown().await;
    let (mut sent, mut arrived) = (0, 0);
    // A path is drawn at random: the last losses that it takes may be long in coming.
    while a.relay_health(&dead).1 {
        sent += 1;
        assert!(sent < 2000, "the dead relay is still in use");
        let path = a.send(Level::Private, &b.home().expect("has one"), &public(&b_key), b"x").expect("sends");
        let ids: Vec<Key> = path.iter().map(|h| h.relay).collect();
        let ok = timeout(Duration::from_millis(300), b_in.recv()).await.is_ok();
        assert_eq!(ok, path[1].relay != dead);
        a.report(&ids, ok);
        arrived += u32::from(ok);
    }
    assert!(sent - arrived < 10, "{} of {sent} packets went to the dead relay", sent - arrived);
}

/// A relay follows a new consensus without a restart: the next relay is found where it moved to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_moved_is_found_by_the_new_consensus() {
    let mut net = network().await;
    let (a_key, b_key) = (StaticSecret::random(), StaticSecret::random());
    let (a, _a_in) = client(&net, &a_key).await;
    let (b, mut b_in) = client(&net, &b_key).await;
    let mut arrives = async |message: &[u8]| {
        a.send(Level::Private, &b.home().expect("has one"), &public(&b_key), message).expect("sends");
        timeout(Duration::from_secs(2), b_in.recv()).await.ok().flatten()
    };
    assert!(arrives(b"before").await.is_some());
    // Both middle relays move.
    let mut document = net.document().clone();
    let old = TestNetwork::generate(&LAYOUT, now()).expect("free ports");
    for (slot, (_, address, _)) in net.relays.iter_mut().zip(old.relays()).skip(2).take(2) {
        let relay = slot.take().expect("runs");
        relay.shutdown().await;
        let described = document.relays.iter_mut().find(|r| r.id == relay.id()).expect("described");
        described.descriptor.address = address;
        let keys = net.keys.iter().find(|k| k.id() == relay.id()).expect("known").clone();
        let config = RelayConfig::new(keys, address);
        *slot = Some(Relay::start(config, net.sender.subscribe()).await.expect("starts"));
    }
    assert!(arrives(b"to where they were").await.is_none());
    // The relays take it from those who verified it.
    net.sender.send_replace(Arc::new(document.sign([])));
    let mut arrived = None;
    for _ in 0..10 {
        arrived = arrived.or(arrives(b"after").await);
    }
    assert!(arrived.is_some());
}

/// The same packet twice over a real link: the second is refused, also by the relay's next process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_packet_is_refused_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("tempdir");
    let net = TestNetwork::generate(&LAYOUT, now()).expect("generates");
    let consensus = Arc::new(net.consensus());
    let (_keep, receiver) = watch::channel(consensus.clone());
    let (keys, listen, _) = net.relays().next().expect("a relay");
    let config =
        || RelayConfig { folder: Some(folder.path().into()), ..RelayConfig::new(keys.clone(), listen) };
    let all: Vec<RelayKeys> = net.relays().map(|r| r.0).collect();
    let hops = row(&all[..3]);
    let packet = build(b"once", &hops, &[1; 32]).expect("builds");
    let send = async |times: usize| {
        let stream = TcpStream::connect(listen).await.expect("connects");
        let me = StaticSecret::random();
        let (_reader, mut writer) = connect(stream, &me, &keys.id(), Role::Sender).await.expect("links");
        for _ in 0..times {
            writer.write(&Frame::Packet(packet.clone())).await.expect("writes");
        }
        writer.flush().await.expect("flushes");
        tokio::time::sleep(Duration::from_millis(300)).await;
    };

    let relay = Relay::start(config(), receiver.clone()).await.expect("starts");
    send(3).await;
    let counters = relay.counters();
    assert_eq!((counters.forwarded, counters.replays), (1, 2));
    relay.shutdown().await;

    let relay = Relay::start(config(), receiver).await.expect("starts again");
    send(1).await;
    let counters = relay.counters();
    assert_eq!((counters.forwarded, counters.replays), (0, 1));
}

/// A next relay that takes packets more slowly than they come: the senders wait, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_next_relay_holds_the_senders_back_instead_of_losing_packets() {
    const MANY: usize = 30_000;
    let net = TestNetwork::generate(&[1, 2, 3], now()).expect("generates");
    let consensus = Arc::new(net.consensus());
    let (_keep, receiver) = watch::channel(consensus.clone());
    let relays: Vec<_> = net.relays().collect();
    let relay =
        Relay::start(RelayConfig::new(relays[0].0.clone(), relays[0].1), receiver).await.expect("starts");

    // The slow one takes at most a hundred packets in ten milliseconds.
    let listener = TcpListener::bind(relays[1].1).await.expect("binds");
    let (keys, taken) = (relays[1].0.clone(), Arc::new(AtomicUsize::new(0)));
    let count = taken.clone();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepts");
        let mut slow = link::accept(stream, &keys.link).await.expect("links");
        let mut frames = Vec::new();
        while slow.reader.read_batch(&mut frames).await.is_ok() {
            count.fetch_add(frames.drain(..).count(), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });

    let hops = row(&[relays[0].0.clone(), relays[1].0.clone()]);
    let tables = Tables::default();
    let packets: Vec<_> = (0..MANY).map(|_| tables.build(b"", &hops, &[1; 32]).expect("builds")).collect();
    let stream = TcpStream::connect(relays[0].1).await.expect("connects");
    let me = StaticSecret::random();
    let (_reader, mut writer) = connect(stream, &me, &relays[0].0.id(), Role::Relay).await.expect("links");
    for packet in packets {
        writer.write(&Frame::Packet(packet)).await.expect("writes");
    }
    writer.flush().await.expect("flushes");
    let all = async {
        while taken.load(Ordering::Relaxed) < MANY {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let arrived = timeout(PATIENCE * 2, all).await;
    assert!(arrived.is_ok(), "{} of {MANY}: {:?}", taken.load(Ordering::Relaxed), relay.counters());
    assert_eq!(relay.counters().unsent, 0);
}
