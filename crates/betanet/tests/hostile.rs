//! What strangers may do to a relay: nothing but be refused and counted, while others' packets pass.

use betanet::directory::SignedConsensus;
use betanet::link::{Frame, LinkReader, LinkWriter, MAX_FRAME, Role, connect};
use betanet::packet::{Hop, MESSAGE, Mail, PACKET_LEN, build};
use betanet::relay::{Relay, RelayConfig, RelayKeys};
use betanet::testnet::TestNetwork;

use rand::{RngExt, SeedableRng};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use x25519_dalek::StaticSecret;

const PATIENCE: Duration = Duration::from_secs(20);

/// One relay of a network whose others do not run.
struct Target {
    relay: Relay,
    keys: RelayKeys,
    address: SocketAddr,
    row: Vec<RelayKeys>,
    _keep: watch::Sender<Arc<SignedConsensus>>,
}

async fn target() -> Target {
    let net = TestNetwork::generate(&[1, 2, 3], 1_000_000).expect("generates");
    let consensus = Arc::new(net.consensus());
    let (keep, receiver) = watch::channel(consensus);
    let row = net.relays().map(|r| r.0).collect();
    let (keys, address, _) = net.relays().next().expect("a relay");
    let relay = Relay::start(RelayConfig::new(keys.clone(), address), receiver).await.expect("starts");
    Target { relay, keys, address, row, _keep: keep }
}

impl Target {
    async fn link(&self, from: Ipv4Addr) -> (LinkReader, LinkWriter) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("binds");
        let stream = socket.connect(self.address).await.expect("connects");
        let me = StaticSecret::random();
        connect(stream, &me, &self.keys.id(), Role::Sender).await.expect("links")
    }

    fn packet(&self) -> Vec<u8> {
        let hops: Vec<Hop> = self.row[..2]
            .iter()
            .map(|r| Hop { relay: r.id(), sphinx_key: r.sphinx_key(), delay: Duration::ZERO })
            .collect();
        build(b"honest", &hops, &[1; 32]).expect("builds")
    }

    /// Sends an honest packet over this link and waits until the relay has passed it on.
    async fn passes(&self, writer: &mut LinkWriter) {
        let before = self.relay.counters().forwarded;
        writer.write(&Frame::Packet(self.packet())).await.expect("writes");
        writer.flush().await.expect("flushes");
        self.until(|t| t.relay.counters().forwarded > before).await;
    }

    async fn until(&self, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "{:?}", self.relay.status());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn altered_random_and_repeated_packets_are_refused_and_counted() {
    let target = target().await;
    let (_reader, mut writer) = target.link(Ipv4Addr::LOCALHOST).await;
    let honest = target.packet();
    let mut altered = target.packet();
    altered[100] ^= 1;
    let mut random = vec![0; PACKET_LEN];
    rand::rngs::StdRng::seed_from_u64(3).fill(&mut random[..]);
    for packet in [&honest, &altered, &random, &honest, &altered] {
        writer.write(&Frame::Packet(packet.clone())).await.expect("writes");
    }
    writer.flush().await.expect("flushes");
    target.until(|t| t.relay.counters().malformed == 3).await;
    let counters = target.relay.counters();
    assert_eq!((counters.replays, counters.remembered), (1, 1));
    // The payload is not the relay's to judge: it shows at the last hop only.
    let mut payload = target.packet();
    payload[PACKET_LEN - 1] ^= 1;
    writer.write(&Frame::Packet(payload)).await.expect("writes");
    target.passes(&mut writer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_link_is_dropped() {
    let target = target().await;
    let (_reader, mut writer) = target.link(Ipv4Addr::LOCALHOST).await;
    let long = u32::MAX.to_be_bytes();
    let wrong = [&(MAX_FRAME as u32).to_be_bytes()[..], &[7; MAX_FRAME]].concat();
    for bytes in [&long[..], &wrong, b"GET / HTTP/1.1\r\n\r\n", &[0; 4], &[0, 0]] {
        let mut stream = TcpStream::connect(target.address).await.expect("connects");
        stream.write_all(bytes).await.expect("writes");
        if bytes.len() < 4 {
            stream.shutdown().await.expect("ends");
        }
        // The relay hangs up: reading gives the end, or that the connection was reset.
        let mut rest = Vec::new();
        let closed = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest);
        _ = tokio::time::timeout(PATIENCE, closed).await.expect("in time");
    }
    // Within a link, too: what follows the handshake is not what was agreed.
    let (_r, mut liar) = target.link(Ipv4Addr::LOCALHOST).await;
    liar.write(&Frame::Deliver(1, Mail { identifier: MESSAGE, bytes: vec![0; 10] })).await.expect("writes");
    liar.flush().await.expect("flushes");
    target.until(|t| t.relay.status().links == 1).await;
    target.passes(&mut writer).await;
}

/// Ten thousand connections that say nothing or trickle, all from one address: those beyond the limit are refused at
/// once; a link from another address is made and its packets pass meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_silent_connections_keep_nobody_out() {
    let target = target().await;
    let (_reader, mut early) = target.link(Ipv4Addr::LOCALHOST).await;
    let mut held = Vec::new();
    for i in 0..10_000u32 {
        let mut stream = TcpStream::connect(target.address).await.expect("connects");
        if i % 2 == 0 {
            // The first byte of a length: the rest never comes.
            _ = stream.write_all(&[0]).await;
        }
        held.push(stream);
        if held.len() > 600 {
            held.remove(0); // as many as this process may have open
        }
    }
    target.until(|t| t.relay.status().links_refused > 1000).await;
    assert!(target.relay.status().links <= 513, "{:?}", target.relay.status());
    target.passes(&mut early).await;
    let (_reader, mut late) = target.link(Ipv4Addr::new(127, 0, 0, 2)).await;
    target.passes(&mut late).await;
}
