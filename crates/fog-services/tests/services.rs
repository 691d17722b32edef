//! A service and its clients over real relays on loopback TCP, in one process.

use betanet::LinkState;
use betanet::client::{Client, ClientConfig, Entries};
use betanet::cover::Profile;
use betanet::directory::SignedConsensus;
use betanet::guards::Guards;
use betanet::path::Level;
use betanet::relay::{Relay, RelayConfig};
use betanet::testnet::{LAYOUT, TestNetwork};
use ed25519_dalek::SigningKey;
use fog_services::dialer::{DialError, Dialer, DialerConfig};
use fog_services::exit::Offer;
use fog_services::proxy::{self, Proxy};
use fog_services::service::{MAX_SESSIONS, Service, ServiceConfig};
use fog_services::socks::Isolation;
use fog_services::stream::{Refusal, Target};
use fog_services::tunnel::OpenError;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use x25519_dalek::StaticSecret;

const PATIENCE: Duration = Duration::from_secs(90);

struct Net {
    _relays: Vec<Relay>,
    consensus: Arc<SignedConsensus>,
    _sender: watch::Sender<Arc<SignedConsensus>>,
}

async fn network() -> Net {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let net = TestNetwork::generate(&LAYOUT, now).expect("generates");
    let consensus = Arc::new(net.consensus());
    let (sender, receiver) = watch::channel(consensus.clone());
    let mut relays = Vec::new();
    for (keys, listen, _) in net.relays() {
        relays.push(Relay::start(RelayConfig::new(keys, listen), receiver.clone()).await.expect("starts"));
    }
    Net { _relays: relays, consensus, _sender: sender }
}

async fn client(net: &Net) -> Arc<Client> {
    let home = net.consensus.unverified().layer(3).next().expect("has a home").id;
    let (client, mut inbound) = Client::start(ClientConfig {
        consensus: net.consensus.clone(),
        mailbox: StaticSecret::random(),
        homes: vec![home],
        mean_delay: Duration::from_millis(2),
        cover: Profile::Off,
        entries: Entries::Pinned(Guards::new()),
    });
    tokio::spawn(async move { while inbound.recv().await.is_some() {} });
    let mut state = client.watch_home();
    timeout(PATIENCE, state.wait_for(|s| *s == LinkState::Up)).await.expect("in time").expect("up");
    while client.entries_up() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Arc::new(client)
}

/// Sends back what it gets, and ends when the other side does.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = connection.split();
                _ = tokio::io::copy(&mut from, &mut to).await;
                _ = to.shutdown().await;
            });
        }
    });
    address
}

async fn publish(net: &Net, offer: Offer) -> Service {
    let identity = SigningKey::from_bytes(&rand::random());
    let config = ServiceConfig { identity, level: Level::Private, offer, max_sessions: MAX_SESSIONS };
    let service = Service::start(client(net).await, config).expect("starts");
    let mut state = service.state();
    let up = state.wait_for(|s| s.points == 3 && s.wanted > 0 && s.copies == s.wanted);
    timeout(PATIENCE, up).await.expect("in time").expect("runs");
    service
}

fn dialer(client: Arc<Client>) -> Dialer {
    Dialer::new(client, DialerConfig::new(Level::Private))
}

/// Sends bytes through a stream to an echo, and expects them back.
async fn echoes(dialer: &Dialer, isolation: Isolation, service: &Service, bytes: &[u8]) {
    let target = Target::Service { port: 80 };
    let stream = dialer.open(isolation, &service.address(), target).await.expect("opens");
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let joined = tokio::spawn(stream.join(theirs));
    let (mut from, mut to) = tokio::io::split(ours);
    let mut back = Vec::new();
    let both = async {
        let write = async {
            to.write_all(bytes).await.expect("writes");
            to.shutdown().await.expect("ends");
        };
        tokio::join!(write, from.read_to_end(&mut back)).1.expect("reads");
    };
    timeout(PATIENCE, both).await.expect("in time");
    assert!(back == bytes, "{} of {} bytes came back", back.len(), bytes.len());
    joined.await.expect("runs").expect("ends well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_go_to_a_service_and_back() {
    let net = network().await;
    let offer = Offer { local: Some((80, echo().await)), allowed: Vec::new() };
    let service = publish(&net, offer).await;
    let dialer = dialer(client(&net).await);
    let content: Vec<u8> = (0..300_000u32).map(|n| ((n * 7) >> 3) as u8).collect();
    echoes(&dialer, Isolation::default(), &service, b"hello").await;
    let many = (0..5).map(|_| echoes(&dialer, Isolation::default(), &service, &content));
    for stream in many {
        stream.await;
    }
    assert_eq!(dialer.sessions(), 1, "one session serves all streams of an isolation");

    let other = Target::Service { port: 81 };
    let refused = dialer.open(Isolation::default(), &service.address(), other).await.map(|_| ());
    assert_eq!(refused, Err(DialError::Open(OpenError::Refused(Refusal::ConnectionRefused))));
    let exit = Target::Connect { host: "example.org".into(), port: 80 };
    let refused = dialer.open(Isolation::default(), &service.address(), exit).await.map(|_| ());
    assert_eq!(refused, Err(DialError::Open(OpenError::Refused(Refusal::NotAllowed))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_not_there_is_not_found() {
    let net = network().await;
    let key = SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes();
    let nobody = fog_services::address::Address::from_key(key).expect("a key");
    let dialer = dialer(client(&net).await);
    let opened = dialer.open(Isolation::default(), &nobody, Target::Service { port: 80 }).await;
    assert_eq!(opened.map(|_| ()), Err(DialError::NotFound(3)));
}

/// What a SOCKS client gets: the reply's code, and the connection.
async fn socks(proxy: SocketAddr, user: Option<&str>, host: &str, port: u16) -> (u8, TcpStream) {
    let mut connection = TcpStream::connect(proxy).await.expect("connects");
    let mut hello = vec![5, 1, if user.is_some() { 2 } else { 0 }];
    if let Some(user) = user {
        hello.extend([1, user.len() as u8]);
        hello.extend(user.bytes());
        hello.extend([1, b'x']);
    }
    hello.extend([5, 1, 0, 3, host.len() as u8]);
    hello.extend(host.bytes());
    hello.extend(port.to_be_bytes());
    connection.write_all(&hello).await.expect("writes");
    let mut answer = vec![0; if user.is_some() { 14 } else { 12 }];
    timeout(PATIENCE, connection.read_exact(&mut answer)).await.expect("in time").expect("answers");
    (answer[answer.len() - 9], connection)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_tells_what_happened_and_keeps_users_apart() {
    let net = network().await;
    let server = echo().await;
    let offer = Offer {
        local: Some((80, server)),
        allowed: vec![format!("localhost:{}", server.port()).parse().expect("reads")],
    };
    let service = publish(&net, offer).await;
    let name = service.address().to_string();
    let dialer = dialer(client(&net).await);
    let proxy = Arc::new(Proxy { dialer, exit: Some(service.address()) });
    let without = Arc::new(Proxy { dialer: self::dialer(client(&net).await), exit: None });
    let cancel = CancellationToken::new();
    let mut at = Vec::new();
    for proxy in [proxy.clone(), without] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        at.push(listener.local_addr().expect("bound"));
        tokio::spawn(proxy::run(proxy, listener, cancel.clone()));
    }
    let mut open = Vec::new();
    for user in [Some("anna"), Some("bert"), None, Some("anna")] {
        let (code, mut connection) = socks(at[0], user, &name, 80).await;
        assert_eq!(code, 0);
        connection.write_all(b"ping").await.expect("writes");
        let mut pong = [0; 4];
        timeout(PATIENCE, connection.read_exact(&mut pong)).await.expect("in time").expect("reads");
        open.push(connection);
    }
    assert_eq!(proxy.dialer.sessions(), 3, "anna's two streams share one");
    let (code, mut connection) = socks(at[0], None, "localhost", server.port()).await;
    assert_eq!(code, 0, "the exit allows it");
    connection.write_all(b"ping").await.expect("writes");
    connection.shutdown().await.expect("ends");
    let mut pong = Vec::new();
    timeout(PATIENCE, connection.read_to_end(&mut pong)).await.expect("in time").expect("reads");
    assert_eq!(pong, b"ping");
    assert_eq!(socks(at[0], None, "localhost", 1).await.0, 2, "not allowed by the exit");
    assert_eq!(socks(at[0], None, &name[1..], 80).await.0, 4, "mistyped");
    assert_eq!(socks(at[0], None, &name, 81).await.0, 5, "refused");
    assert_eq!(socks(at[1], None, "localhost", server.port()).await.0, 2, "no exit");
    cancel.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_ends_tells_its_clients() {
    let net = network().await;
    let offer = Offer { local: Some((80, echo().await)), allowed: Vec::new() };
    let service = publish(&net, offer).await;
    let dialer = dialer(client(&net).await);
    echoes(&dialer, Isolation::default(), &service, b"hello").await;
    let stream = dialer.open(Isolation::default(), &service.address(), Target::Service { port: 80 }).await;
    let (_ours, theirs) = tokio::io::duplex(1024);
    let joined = tokio::spawn(stream.expect("opens").join(theirs));
    drop(service);
    let broken = timeout(PATIENCE, joined).await.expect("in time").expect("runs");
    assert!(broken.is_err());
}
