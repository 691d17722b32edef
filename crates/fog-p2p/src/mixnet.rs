//! The mixnet as a road: each datagram is one Sphinx packet to the receiver's home relay.

use crate::transport::{Address, Route, Transport, TransportError};
use betanet::client::{Client, SendError};
use betanet::path::Level;
use betanet::sphinx::Surb;
use betanet::{Key, packet};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// What comes before a reply block of the mixnet's own: the network, the level of its relays, and when it was made (Unix
/// seconds).
const BLOCK_HEADER: usize = 32 + 1 + 8;
/// Bytes of a reply block as this road hands it out.
const BLOCK_LEN: usize = BLOCK_HEADER + Surb::LEN;
/// A block that is older is not used: it is good until its epoch ends, and the message that brought it may have waited
/// in a mailbox. Clocks may differ by as much.
const BLOCK_AGE: u64 = 300;

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Bytes of an address: three keys, and the level.
const ADDRESS_LEN: usize = 3 * 32 + 1;

fn level_byte(level: Level) -> u8 {
    u8::from(level == Level::Confidential)
}

fn level_of(byte: u8) -> Option<Level> {
    match byte {
        0 => Some(Level::Private),
        1 => Some(Level::Confidential),
        _ => None,
    }
}

/// A reply block as it came with a message: which network, which level its maker says it has, and the mixnet's block.
/// None if it is too old, or not one.
fn read_block(bytes: &[u8], now_unix: u64) -> Option<(Key, Level, &[u8])> {
    let (header, block) = bytes.split_first_chunk::<BLOCK_HEADER>()?;
    let (network, rest) = header.split_first_chunk::<32>()?;
    let (level, made) = rest.split_first()?;
    let made = u64::from_be_bytes(made.try_into().ok()?);
    let good = block.len() == Surb::LEN && made.abs_diff(now_unix) <= BLOCK_AGE;
    good.then_some((*network, level_of(*level)?, block))
}

impl MixAddress {
    /// As an address of the transport trait, to be reached at this level and no lower.
    pub fn to_address(self, level: Level) -> Address {
        let level = level_byte(level);
        Address { road: ROAD, bytes: [&self.network[..], &self.home, &self.mailbox, &[level]].concat() }
    }

    fn from_address(address: &Address) -> Option<(Self, Level)> {
        let bytes: &[u8; ADDRESS_LEN] = address.bytes.as_slice().try_into().ok()?;
        let part = |i: usize| bytes[i * 32..(i + 1) * 32].try_into().ok();
        let level = level_of(bytes[ADDRESS_LEN - 1])?;
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

fn unreachable(why: &str) -> TransportError {
    TransportError::Unreachable(why.into())
}

fn refusal(e: &SendError) -> TransportError {
    match e {
        SendError::Busy(again) => TransportError::Busy(*again),
        SendError::Path(_) | SendError::Stale => TransportError::Later(e.to_string()),
        SendError::Packet(_) => unreachable(&e.to_string()),
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

    fn room(&self, to: &Address) -> Result<(), TransportError> {
        let client = MixAddress::from_address(to).and_then(|(to, _)| self.client(&to.network));
        // Without a client there is another reason not to send, which sending tells.
        client.map_or(Ok(()), |c| c.room()).map_err(|e| refusal(&e))
    }

    fn send(&self, to: &Address, datagram: &[u8]) -> Result<Route, TransportError> {
        let (to, level) = MixAddress::from_address(to).ok_or_else(|| unreachable("not a mixnet address"))?;
        let client =
            self.client(&to.network).ok_or_else(|| unreachable("this node is not in that network"))?;
        match client.send(level, &to.home, &to.mailbox, datagram) {
            Ok(hops) => Ok(Route { hops: hops.iter().map(|h| (h.relay, h.delay)).collect() }),
            Err(e) => Err(refusal(&e)),
        }
    }

    fn reply_block(&self, to: &Address, room: usize) -> Option<Vec<u8>> {
        let (to, level) = MixAddress::from_address(to).filter(|_| room >= BLOCK_LEN)?;
        let block = self.client(&to.network)?.reply_block(level).ok()?;
        Some([&to.network[..], &[level_byte(level)], &unix_now().to_be_bytes(), &block.bytes].concat())
    }

    fn answer(&self, to: Option<&Address>, block: &[u8], datagram: &[u8]) -> Result<(), TransportError> {
        let (network, level, block) =
            read_block(block, unix_now()).ok_or_else(|| unreachable("not a reply block of today"))?;
        // Who asked for five relays to somebody answers over no fewer, whatever the block says.
        if let Some(to) = to {
            let (to, wanted) =
                MixAddress::from_address(to).ok_or_else(|| unreachable("not a mixnet address"))?;
            if to.network != network || wanted.hops() > level.hops() {
                return Err(unreachable("a reply block of another network or of a lower level"));
            }
        }
        let client = self.client(&network).ok_or_else(|| unreachable("this node is not in that network"))?;
        client.answer(block, datagram).map_err(|e| refusal(&e))
    }

    fn feedback(&self, to: &Address, route: &Route, arrived: bool) {
        if let Some(client) = MixAddress::from_address(to).and_then(|(a, _)| self.client(&a.network)) {
            let relays: Vec<Key> = route.hops.iter().map(|h| h.0).collect();
            client.report(&relays, arrived);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn addresses_and_blocks_of_others_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let read = MixAddress::from_address(&Address { road: ROAD, bytes: bytes.clone() });
            prop_assert!(read.is_none_or(|(to, level)| to.to_address(level).bytes == bytes));
            prop_assert!(read_block(&bytes, 0).is_none_or(|(_, _, block)| block.len() == Surb::LEN));
        }
    }

    #[test]
    fn a_block_tells_its_network_its_level_and_its_age() {
        let block = |level: u8, made: u64, len: usize| {
            [&[7; 32][..], &[level], &made.to_be_bytes(), &vec![3; len]].concat()
        };
        let good = block(1, 10_000, Surb::LEN);
        assert_eq!(good.len(), BLOCK_LEN);
        let read = read_block(&good, 10_000 + BLOCK_AGE).expect("a block");
        assert_eq!((read.0, read.1, read.2.len()), ([7; 32], Level::Confidential, Surb::LEN));
        assert!(read_block(&good, 10_001 + BLOCK_AGE).is_none(), "too old");
        assert!(read_block(&good, 9_999 - BLOCK_AGE).is_none(), "of the future");
        assert!(read_block(&block(2, 10_000, Surb::LEN), 10_000).is_none(), "a level that is none");
        assert!(read_block(&block(0, 10_000, Surb::LEN - 1), 10_000).is_none());
    }
}
