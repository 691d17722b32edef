//! The mixnet as a road: each datagram is one Sphinx packet to the receiver's home relay.

use crate::transport::{Address, Route, Transport, TransportError};
use betanet::client::{Client, SendError};
use betanet::path::Level;
use betanet::{Key, packet};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The road's name.
pub const ROAD: &str = "betanet";

/// Where a peer is in the mixnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MixAddress {
    /// The network's id.
    pub network: Key,
    /// The peer's home relay.
    pub home: Key,
    /// The peer's mailbox there.
    pub mailbox: Key,
}

/// Bytes of an address: three keys, and the level.
const ADDRESS_LEN: usize = 3 * 32 + 1;

impl MixAddress {
    /// As an address of the transport trait, to be reached at this level and no lower.
    pub fn to_address(self, level: Level) -> Address {
        let level = u8::from(level == Level::Confidential);
        Address { road: ROAD, bytes: [&self.network[..], &self.home, &self.mailbox, &[level]].concat() }
    }

    fn from_address(address: &Address) -> Option<(Self, Level)> {
        let bytes: &[u8; ADDRESS_LEN] = address.bytes.as_slice().try_into().ok()?;
        let part = |i: usize| bytes[i * 32..(i + 1) * 32].try_into().ok();
        let level = match bytes[ADDRESS_LEN - 1] {
            0 => Level::Private,
            1 => Level::Confidential,
            _ => return None,
        };
        let known = address.road == ROAD;
        known.then_some((Self { network: part(0)?, home: part(1)?, mailbox: part(2)? }, level))
    }
}

/// The mixnet road: one client for each network that this node is in.
#[derive(Default)]
pub struct MixnetRoad {
    clients: RwLock<HashMap<Key, Arc<Client>>>,
    mean_delay_micros: std::sync::atomic::AtomicU64,
}

impl MixnetRoad {
    /// Adds (or replaces) the client of a network.
    pub fn add(&self, client: Arc<Client>) {
        self.clients.write().insert(client.view().network(), client);
    }

    /// All clients.
    pub fn clients(&self) -> Vec<Arc<Client>> {
        self.clients.read().values().cloned().collect()
    }

    /// The client of a network.
    pub fn client(&self, network: &Key) -> Option<Arc<Client>> {
        self.clients.read().get(network).cloned()
    }

    /// Sets the mean delay per hop of all clients.
    pub fn set_mean_delay(&self, mean: Duration) {
        self.mean_delay_micros.store(mean.as_micros() as u64, std::sync::atomic::Ordering::Relaxed);
        for client in self.clients.read().values() {
            client.set_mean_delay(mean);
        }
    }

    /// Stops all clients.
    pub fn clear(&self) {
        self.clients.write().clear();
    }
}

impl Transport for MixnetRoad {
    fn name(&self) -> &'static str {
        ROAD
    }

    fn datagram_len(&self) -> usize {
        packet::MAX_MESSAGE
    }

    fn patience(&self) -> Duration {
        // Up to four delayed hops there and four back: a sum of eight exponentials exceeds 20 means once in 10^4.
        let mean = Duration::from_micros(self.mean_delay_micros.load(std::sync::atomic::Ordering::Relaxed));
        // And a covered packet waits for its slot: mine there, and as I guess, theirs back.
        let clients = self.clients.read();
        let slots = clients.values().map(|c| c.patience()).max().unwrap_or_default();
        Duration::from_millis(400) + mean * 20 + slots * 2
    }

    fn send(&self, to: &Address, datagram: &[u8]) -> Result<Route, TransportError> {
        let unreachable = |why: &str| TransportError::Unreachable(why.into());
        let (to, level) = MixAddress::from_address(to).ok_or_else(|| unreachable("not a mixnet address"))?;
        let client =
            self.client(&to.network).ok_or_else(|| unreachable("this node is not in that network"))?;
        match client.send(level, &to.home, &to.mailbox, datagram) {
            Ok(hops) => Ok(Route { hops: hops.iter().map(|h| (h.relay, h.delay)).collect() }),
            Err(SendError::Busy(_)) => Err(TransportError::Busy),
            Err(e @ (SendError::Path(_) | SendError::Stale)) => Err(TransportError::Later(e.to_string())),
            Err(e) => Err(unreachable(&e.to_string())),
        }
    }

    fn feedback(&self, to: &Address, route: &Route, arrived: bool) {
        if let Some(client) = MixAddress::from_address(to).and_then(|(a, _)| self.client(&a.network)) {
            let relays: Vec<Key> = route.hops.iter().map(|h| h.0).collect();
            client.report(&relays, arrived);
        }
    }
}
