//! A relay that is killed remembers what it has forwarded, up to the last packet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use betanet::link::{self, Frame, LinkReader, LinkWriter, Role};
use betanet::packet::{self, Hop};
use betanet::relay::RelayKeys;
use fog_e2e::{PATIENCE, Process, eventually, fog};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// A relay of the network, whose keys the test knows.
struct Relay {
    keys: RelayKeys,
    listen: SocketAddr,
}

impl Relay {
    fn read(folder: &Path) -> Self {
        let text = std::fs::read(folder.join("relay.json")).expect("the relay's file");
        let file: Value = serde_json::from_slice(&text).expect("JSON");
        let field = |name: &str| file[name].as_str().expect("text").to_owned();
        let secret: [u8; 64] = hex::decode(field("secret")).expect("hex").try_into().expect("64 bytes");
        Self { keys: RelayKeys::from_bytes(&secret), listen: field("listen").parse().expect("an address") }
    }

    fn hop(&self) -> Hop {
        Hop { relay: self.keys.id(), sphinx_key: self.keys.sphinx_key(), delay: Duration::ZERO }
    }

    /// Sends this relay packets over a link of its own, which stays open while the value lives.
    async fn send(&self, packets: &[&Vec<u8>]) -> (LinkReader, LinkWriter) {
        let stream = TcpStream::connect(self.listen).await.expect("connects");
        let me = RelayKeys::generate().link;
        let (reader, mut writer) =
            link::connect(stream, &me, &self.keys.id(), Role::Relay).await.expect("a link");
        for packet in packets {
            writer.write(&Frame::Packet((*packet).clone())).await.expect("writes");
        }
        writer.flush().await.expect("flushes");
        (reader, writer)
    }
}

fn start(folder: &Path, metrics: SocketAddr, logs: &Path, name: &str) -> Process {
    let process = Process::start(
        Command::new(fog()).arg("mixnode").arg("--dir").arg(folder).arg("--metrics").arg(metrics.to_string()),
        logs,
        name,
    );
    eventually("it to listen", || process.printed().contains("listens").then_some(()));
    process
}

/// The next packet that comes to the next relay.
async fn next_packet(reader: &mut LinkReader) -> Vec<u8> {
    let read = async {
        loop {
            if let Frame::Packet(packet) = reader.read().await.expect("reads") {
                return packet;
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("a packet in time")
}

async fn next_link(listener: &TcpListener, keys: &RelayKeys) -> LinkReader {
    let (stream, _) =
        tokio::time::timeout(PATIENCE, listener.accept()).await.expect("a link in time").expect("accepts");
    link::accept(stream, &keys.link).await.expect("a link").reader
}

/// `kill -9` in the moment in which the next relay has a packet: after the restart, the packet is refused, and others
/// are forwarded. Several times, each with all the packets from before.
#[test]
fn no_replay_gets_through_a_relay_that_was_killed_after_it_forwarded() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let net = folder.path().join("net");
    let made = Command::new(fog())
        .args(["mixnet", "new", "--mixnodes", "3", "--dir"])
        .arg(&net)
        .output()
        .expect("fog runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (tested, next) = (Relay::read(&net.join("relay-1")), Relay::read(&net.join("relay-2")));
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("bound");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind(next.listen).await.expect("binds");
        let packet = || packet::build(b"hi", &[tested.hop(), next.hop()], &[9; 32]).expect("builds");
        let mut sent: Vec<Vec<u8>> = Vec::new();
        for round in 0..4 {
            let mut relay = start(&net.join("relay-1"), free, folder.path(), &format!("relay-{round}"));
            // Those that it has forwarded before, and then one that it has not.
            let fresh = packet();
            let link = tested.send(&sent.iter().chain([&fresh]).collect::<Vec<_>>()).await;
            let mut reader = next_link(&listener, &next.keys).await;
            let came = next_packet(&mut reader).await;
            if round < 3 {
                relay.kill();
            } else {
                // All that was sent is worked on, because the new packet was the last; the relay says what it did.
                let metrics = ureq::get(format!("http://{free}/metrics")).call().expect("metrics");
                let metrics = metrics.into_body().read_to_string().expect("text");
                let has = |line: &str| metrics.lines().any(|l| l == line);
                assert!(has("fog_mix_replays_total 3") && has("fog_mix_forwarded_total 1"), "{metrics}");
            }
            // It is the new one: the next relay can open it, and it is no copy of what came before.
            let secrets = [packet::EpochSecret { epoch: 0, secret: next.keys.sphinx.clone() }];
            let tag = |packet: Vec<u8>| {
                let opened =
                    packet::open(&secrets, vec![packet]).pop().expect("one").map_err(|e| e.to_string());
                opened.expect("opens").replay_tag()
            };
            let expected = {
                let secrets = [packet::EpochSecret { epoch: 0, secret: tested.keys.sphinx.clone() }];
                let opened = packet::open(&secrets, vec![fresh.clone()]).into_iter().flatten().collect();
                match packet::unwrap(opened).pop().expect("one").expect("unwraps") {
                    packet::Unwrapped::Forward { packet, .. } => tag(packet),
                    other => panic!("not for the next relay: {other:?}"),
                }
            };
            assert_eq!(tag(came), expected, "round {round}: the first that came is a replay");
            sent.push(fresh);
            drop(link);
        }
    });
}
