//! The mixnet as a road: each datagram is one Sphinx packet to the receiver's home relay, or to a relay where the
//! receiver has a box.

use crate::transport::{Address, Route, Transport, TransportError};
use betanet::boxes::MAX_PAYLOAD;
use betanet::client::{Client, SendError};
use betanet::path::Level;
use betanet::sphinx::Surb;
use betanet::{Key, packet};
use parking_lot::RwLock;
use rand::seq::IteratorRandom;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The road's name.
pub const ROAD: &str = "betanet";

/// Homes that somebody may have beside the first.
pub const MORE_HOMES: usize = 2;

/// Where a peer is in the mixnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MixAddress {
    /// The network's id.
    pub network: Key,
    /// The peer's home relay, or the first of several.
    pub home: Key,
    /// The peer's mailbox there.
    pub mailbox: Key,
    /// Further home relays with the same mailbox. Each packet goes to one of them all.
    pub more: MoreHomes,
}

/// Home relays beside the first: at most [`MORE_HOMES`], none twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MoreHomes([Option<Key>; MORE_HOMES]);

impl MoreHomes {
    /// The first [`MORE_HOMES`] of these, without repetitions.
    pub fn new(relays: impl IntoIterator<Item = Key>) -> Self {
        let mut more = Self::default();
        for relay in relays {
            if !more.iter().any(|known| known == relay)
                && let Some(free) = more.0.iter_mut().find(|place| place.is_none())
            {
                *free = Some(relay);
            }
        }
        more
    }

    /// From the relays' ids in a row; what is no whole id at the end, and what is too many, is left out.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::new(bytes.as_chunks().0.iter().copied())
    }

    /// The relays' ids in a row.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.iter().flatten().collect()
    }

    /// The relays.
    pub fn iter(&self) -> impl Iterator<Item = Key> + '_ {
        self.0.iter().copied().flatten()
    }
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

/// Bytes of an address: three keys, and the level. Further homes follow.
const ADDRESS_LEN: usize = 3 * 32 + 1;
/// A relay that let through less than this of what is known of it is passed over, if there is a better home.
const GOOD_SHARE: f64 = 0.5;

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

/// How an address is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The mailbox at the home relay, at this level.
    Mailbox(Level),
    /// A box at a relay that is not the home: five relays there, and five that its owner chose from there on.
    Box,
}

impl Way {
    /// The level of a reply block must be at least this; none is good enough where nothing may go to a home.
    fn allows_block(self, level: Level) -> bool {
        matches!(self, Self::Mailbox(wanted) if wanted.hops() <= level.hops())
    }
}

/// The level byte of the address of a box.
const BOX: u8 = 2;

impl MixAddress {
    /// As an address of the transport trait, to be reached at this level and no lower.
    pub fn to_address(self, level: Level) -> Address {
        self.with_way(level_byte(level))
    }

    /// The address of somebody's box (`id`) at a relay. Nothing that is sent to it goes anywhere else.
    pub fn box_address(network: Key, relay: Key, id: Key) -> Address {
        Self { network, home: relay, mailbox: id, more: MoreHomes::default() }.with_way(BOX)
    }

    fn with_way(self, way: u8) -> Address {
        let more = self.more.to_bytes();
        Address { road: ROAD, bytes: [&self.network[..], &self.home, &self.mailbox, &[way], &more].concat() }
    }

    fn from_address(address: &Address) -> Option<(Self, Way)> {
        let (bytes, rest) = address.bytes.split_first_chunk::<ADDRESS_LEN>()?;
        let more = MoreHomes::from_bytes(rest);
        let part = |i: usize| bytes[i * 32..(i + 1) * 32].try_into().ok();
        let way = match bytes[ADDRESS_LEN - 1] {
            BOX => Way::Box,
            level => Way::Mailbox(level_of(level)?),
        };
        // Nothing else follows; and a box is at one relay.
        let whole = more.to_bytes() == rest && (way != Way::Box || rest.is_empty());
        let known = address.road == ROAD && whole;
        known.then_some((Self { network: part(0)?, home: part(1)?, mailbox: part(2)?, more }, way))
    }
}

/// The home relay for one packet: any of those that are not known to lose packets, or else any.
fn choose_home(to: &MixAddress, share: impl Fn(&Key) -> Option<f64>) -> Key {
    let homes = || std::iter::once(to.home).chain(to.more.iter());
    let good = homes().filter(|home| share(home).is_none_or(|share| share >= GOOD_SHARE));
    good.choose(&mut rand::rng()).or_else(|| homes().choose(&mut rand::rng())).unwrap_or(to.home)
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
        // The same for all ways, so that none shows in a length: what fits into a message and into a box.
        MAX_PAYLOAD.min(packet::MAX_MESSAGE)
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
        let (to, way) = MixAddress::from_address(to).ok_or_else(|| unreachable("not a mixnet address"))?;
        let client =
            self.client(&to.network).ok_or_else(|| unreachable("this node is not in that network"))?;
        let sent = match way {
            Way::Mailbox(level) => {
                let home = choose_home(&to, |relay| client.relay_health(relay).0);
                client.send(level, &home, &to.mailbox, datagram)
            }
            Way::Box => client.put_over(Level::Confidential, &to.home, &to.mailbox, datagram),
        };
        match sent {
            Ok(hops) => Ok(Route { hops: hops.iter().map(|h| (h.relay, h.delay)).collect() }),
            Err(e) => Err(refusal(&e)),
        }
    }

    fn reply_block(&self, to: &Address, room: usize) -> Option<Vec<u8>> {
        let (to, way) = MixAddress::from_address(to).filter(|_| room >= BLOCK_LEN)?;
        // A block leads to this node's home, where nothing of such a conversation is to go.
        let Way::Mailbox(level) = way else { return None };
        let block = self.client(&to.network)?.reply_block(level).ok()?;
        Some([&to.network[..], &[level_byte(level)], &unix_now().to_be_bytes(), &block.bytes].concat())
    }

    fn answer(&self, to: Option<&Address>, block: &[u8], datagram: &[u8]) -> Result<(), TransportError> {
        let (network, level, block) =
            read_block(block, unix_now()).ok_or_else(|| unreachable("not a reply block of today"))?;
        // Who asked for five relays to somebody answers over no fewer, whatever the block says.
        if let Some(to) = to {
            let (to, way) =
                MixAddress::from_address(to).ok_or_else(|| unreachable("not a mixnet address"))?;
            if to.network != network || !way.allows_block(level) {
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
            let written = |(to, way): (MixAddress, Way)| match way {
                Way::Mailbox(level) => to.to_address(level),
                Way::Box => MixAddress::box_address(to.network, to.home, to.mailbox),
            };
            prop_assert!(read.is_none_or(|read| written(read).bytes == bytes));
            prop_assert!(read_block(&bytes, 0).is_none_or(|(_, _, block)| block.len() == Surb::LEN));
        }
    }

    #[test]
    fn every_home_gets_packets_but_those_that_lose_them() {
        let more = MoreHomes::new([[2; 32], [3; 32], [2; 32], [4; 32]]);
        assert_eq!(more.iter().collect::<Vec<_>>(), [[2; 32], [3; 32]], "two, none twice");
        let to = MixAddress { network: [9; 32], home: [1; 32], mailbox: [8; 32], more };
        let read = MixAddress::from_address(&to.to_address(Level::Private)).expect("an address");
        assert_eq!(read, (to, Way::Mailbox(Level::Private)));
        let drawn = |share: fn(&Key) -> Option<f64>| {
            let mut seen: Vec<u8> = (0..200).map(|_| choose_home(&to, share)[0]).collect();
            seen.sort_unstable();
            seen.dedup();
            seen
        };
        assert_eq!(drawn(|_| None), [1, 2, 3]);
        assert_eq!(drawn(|home| Some(if home[0] == 2 { 0.2 } else { 0.9 })), [1, 3]);
        assert_eq!(drawn(|_| Some(0.0)), [1, 2, 3], "a bad one is better than none");
    }

    #[test]
    fn an_answer_is_never_of_a_lower_level_than_what_is_sent() {
        use Level::{Confidential, Private};
        let allowed = |way: Way| [Private, Confidential].map(|level| way.allows_block(level));
        assert_eq!(allowed(Way::Mailbox(Private)), [true, true]);
        assert_eq!(allowed(Way::Mailbox(Confidential)), [false, true]);
        assert_eq!(allowed(Way::Box), [false, false]);
        // Nor does this node hand out one that leads to its home.
        let to = MixAddress::box_address([1; 32], [2; 32], [3; 32]);
        assert_eq!(MixnetRoad::default().reply_block(&to, 2000), None);
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
