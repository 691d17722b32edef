//! The direct road: an encrypted connection from one device to the other, for those of whom both allow it.
//!
//! It hides from nobody who talks to whom: each side learns the other's network address, and whoever watches a line sees
//! both. So it is for contacts alone whom its user chose ([`Direct::set_peers`]); others are hung up on after the handshake.
//!
//! Either side dials the addresses that the other named, and whichever connection comes about carries both ways. Where both do
//! at once, the one that the side with the smaller key dialled stays. Links are those of the mixnet (Noise XK): the dialled side is
//! proven by its key, and so is the dialling one.

#[cfg(test)]
mod tests;

use crate::transport::{Address, Arrival, TransportError};
use betanet::Key;
use betanet::link::{self, Frame, HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, LinkReader, LinkWriter, Role};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use x25519_dalek::{PublicKey, StaticSecret};

/// The road's name.
pub const ROAD: &str = "direct";
/// Addresses of one peer that are tried.
pub const MAX_ADDRESSES: usize = 4;
/// Datagrams that wait for one connection.
const QUEUE: usize = 128;
/// Datagrams written before they are sent together.
const BATCH: usize = 32;
/// Strangers in a handshake at once; more wait.
const HANDSHAKES: usize = 64;
/// After a vain attempt the next one waits this long, and longer each time.
const REDIAL: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// How soon to try again when a connection's queue is full.
const FULL: Duration = Duration::from_millis(5);

/// Somebody at this key, and how to reach them by the mixnet while there is no direct connection.
pub(crate) fn address(key: &Key, otherwise: &Address) -> Address {
    Address { road: ROAD, bytes: [&key[..], &otherwise.bytes].concat() }
}

/// What [`address`] put together. None for an address of another road.
pub(crate) fn parts(address: &Address) -> Option<(Key, &[u8])> {
    let (key, otherwise) = address.bytes.split_first_chunk::<32>().filter(|_| address.road == ROAD)?;
    Some((*key, otherwise))
}

struct Link {
    number: u64,
    /// Who dialled it.
    dialler: Key,
    queue: mpsc::Sender<Vec<u8>>,
}

#[derive(Default)]
struct Peer {
    addresses: Vec<SocketAddr>,
    link: Option<Link>,
    dialling: bool,
    failures: u32,
    next_dial: Option<Instant>,
}

/// All direct connections of this node.
pub struct Direct {
    /// For the tasks, which end with the road.
    me: Weak<Self>,
    secret: StaticSecret,
    key: Key,
    inbound: mpsc::Sender<Arrival>,
    peers: Mutex<HashMap<Key, Peer>>,
    numbers: AtomicU64,
}

/// A listening socket; it closes when this is dropped. Connections that it accepted stay.
pub struct Listening {
    /// Where it listens.
    pub address: SocketAddr,
    task: AbortHandle,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Direct {
    /// A road without peers. `secret` proves who this is to those that dial, and to those that are dialled.
    pub fn new(secret: StaticSecret, inbound: mpsc::Sender<Arrival>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            key: PublicKey::from(&secret).to_bytes(),
            secret,
            inbound,
            peers: Mutex::default(),
            numbers: AtomicU64::new(0),
        })
    }

    /// The public key of this side.
    pub fn key(&self) -> Key {
        self.key
    }

    /// These peers, at these addresses, and nobody else. Connections to others are closed. To the others it is dialled.
    pub fn set_peers(&self, wanted: &HashMap<Key, Vec<SocketAddr>>) {
        {
            let mut peers = self.peers.lock();
            peers.retain(|key, _| wanted.contains_key(key));
            for (key, addresses) in wanted {
                let peer = peers.entry(*key).or_default();
                let addresses: Vec<SocketAddr> = addresses.iter().copied().take(MAX_ADDRESSES).collect();
                if peer.addresses != addresses {
                    (peer.addresses, peer.failures, peer.next_dial) = (addresses, 0, None);
                }
            }
        }
        for key in wanted.keys() {
            self.dial(key);
        }
    }

    /// True while there is a connection to this peer.
    pub fn is_up(&self, key: &Key) -> bool {
        let peers = self.peers.lock();
        peers.get(key).and_then(|p| p.link.as_ref()).is_some_and(|link| !link.queue.is_closed())
    }

    /// Takes connections.
    ///
    /// # Errors
    /// Those of the socket: the port may be in use.
    pub async fn listen(&self, address: SocketAddr) -> io::Result<Listening> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let me = self.me.clone();
        let task = tokio::spawn(async move {
            let room = Arc::new(Semaphore::new(HANDSHAKES));
            loop {
                let Ok(place) = room.clone().acquire_owned().await else { return };
                let stream = match listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(e) => {
                        tracing::warn!("direct connections cannot be taken: {e}");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        continue;
                    }
                };
                let Some(me) = me.upgrade() else { return };
                tokio::spawn(async move {
                    let accepted = link::accept(stream, &me.secret).await;
                    drop(place);
                    match accepted {
                        Ok(a) if a.role == Role::Peer => me.run(a.remote, a.remote, a.reader, a.writer),
                        Ok(_) => tracing::debug!("somebody takes this device for a relay"),
                        Err(e) => tracing::debug!("a direct connection came to nothing: {e}"),
                    }
                });
            }
        });
        Ok(Listening { address, task: task.abort_handle() })
    }

    /// Whether a datagram to this peer would be taken.
    pub(crate) fn room(&self, key: &Key) -> Result<(), TransportError> {
        let peers = self.peers.lock();
        match peers.get(key).and_then(|p| p.link.as_ref()) {
            Some(link) if link.queue.is_closed() => Err(down()),
            Some(link) if link.queue.capacity() == 0 => Err(TransportError::Busy(FULL)),
            Some(_) => Ok(()),
            None => Err(down()),
        }
    }

    /// Sends a datagram over the connection to this peer. Without one, it is dialled, and the datagram is not taken.
    pub(crate) fn send(&self, key: &Key, datagram: &[u8]) -> Result<(), TransportError> {
        let sent = {
            let peers = self.peers.lock();
            match peers.get(key).and_then(|p| p.link.as_ref()) {
                Some(link) => link.queue.try_send(datagram.to_vec()),
                None => Err(mpsc::error::TrySendError::Closed(Vec::new())),
            }
        };
        match sent {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(TransportError::Busy(FULL)),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                self.dial(key);
                Err(down())
            }
        }
    }

    fn dial(&self, key: &Key) {
        let addresses = {
            let mut peers = self.peers.lock();
            let Some(peer) = peers.get_mut(key) else { return };
            let up = peer.link.as_ref().is_some_and(|link| !link.queue.is_closed());
            let early = peer.next_dial.is_some_and(|at| Instant::now() < at);
            if up || peer.dialling || early || peer.addresses.is_empty() {
                return;
            }
            peer.dialling = true;
            peer.addresses.clone()
        };
        let Some(me) = self.me.upgrade() else { return };
        let key = *key;
        tokio::spawn(async move {
            let mut connected = None;
            for address in addresses {
                match me.connect(&key, address).await {
                    Ok(halves) => {
                        connected = Some(halves);
                        break;
                    }
                    Err(e) => tracing::debug!("a contact does not answer directly: {e}"),
                }
            }
            if let Some(peer) = me.peers.lock().get_mut(&key) {
                peer.dialling = false;
                peer.failures = if connected.is_some() { 0 } else { peer.failures.saturating_add(1) };
                let wait = (REDIAL.0 * 2_u32.saturating_pow(peer.failures.min(16))).min(REDIAL.1);
                peer.next_dial = Some(Instant::now() + wait);
            }
            if let Some((reader, writer)) = connected {
                me.run(key, me.key, reader, writer);
            }
        });
    }

    async fn connect(
        &self,
        key: &Key,
        address: SocketAddr,
    ) -> Result<(LinkReader, LinkWriter), link::LinkError> {
        let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, TcpStream::connect(address));
        let stream = stream.await.map_err(|_| link::LinkError::Timeout)??;
        link::connect(stream, &self.secret, key, Role::Peer).await
    }

    /// Takes a connection into use, if it is one of ours and not the second of two.
    fn run(&self, key: Key, dialler: Key, reader: LinkReader, writer: LinkWriter) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (queue, datagrams) = mpsc::channel(QUEUE);
        {
            let mut peers = self.peers.lock();
            let Some(peer) = peers.get_mut(&key) else {
                tracing::debug!("somebody who was not asked for connects directly");
                return;
            };
            let other = peer.link.as_ref().filter(|link| !link.queue.is_closed());
            // The other side decides alike, so both keep the same one.
            if other.is_some_and(|other| other.dialler < dialler) {
                return;
            }
            peer.link = Some(Link { number, dialler, queue });
        }
        let (me, inbound) = (self.me.clone(), self.inbound.clone());
        tokio::spawn(async move {
            let ended = carry(reader, writer, datagrams, &inbound).await;
            tracing::debug!("a direct connection ended: {ended}");
            if let Some(me) = me.upgrade()
                && let Some(peer) = me.peers.lock().get_mut(&key)
                && peer.link.as_ref().is_some_and(|link| link.number == number)
            {
                peer.link = None;
            }
        });
    }
}

fn down() -> TransportError {
    TransportError::Later("there is no direct connection".into())
}

/// Carries datagrams both ways until the connection breaks or is not wanted any more. Gives the reason.
async fn carry(
    mut reader: LinkReader,
    mut writer: LinkWriter,
    mut datagrams: mpsc::Receiver<Vec<u8>>,
    inbound: &mpsc::Sender<Arrival>,
) -> String {
    let mut ping = tokio::time::interval(IDLE_TIMEOUT / 3);
    ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let written = tokio::select! {
            frame = reader.read() => match frame {
                Ok(Frame::Datagram(sealed)) => {
                    if inbound.send(Arrival { sealed, by_block: false }).await.is_err() {
                        return "nobody listens".into();
                    }
                    Ok(())
                }
                Ok(Frame::Ping) => writer.write(&Frame::Pong).await,
                Ok(Frame::Pong) => Ok(()),
                Ok(_) => return "it sent what does not belong there".into(),
                Err(e) => return e.to_string(),
            },
            datagram = datagrams.recv() => match datagram {
                Some(datagram) => write(&mut writer, datagram, &mut datagrams).await,
                None => return "it is not wanted any more".into(),
            },
            _ = ping.tick() => writer.write(&Frame::Ping).await,
        };
        let flushed = match written {
            Ok(()) => tokio::time::timeout(IDLE_TIMEOUT, writer.flush()).await,
            Err(e) => return e.to_string(),
        };
        match flushed {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return e.to_string(),
            Err(_) => return "it takes nothing any more".into(),
        }
    }
}

async fn write(
    writer: &mut LinkWriter,
    first: Vec<u8>,
    more: &mut mpsc::Receiver<Vec<u8>>,
) -> Result<(), link::LinkError> {
    writer.write(&Frame::Datagram(first)).await?;
    for _ in 1..BATCH {
        let Ok(datagram) = more.try_recv() else { break };
        writer.write(&Frame::Datagram(datagram)).await?;
    }
    Ok(())
}
