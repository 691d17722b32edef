//! The race for the seats: exponential keys (Efraimidis & Spirakis, "Weighted random sampling with a reservoir",
//! 2006), compared as integers, and the limits that keep a layer diverse.

use super::standing::{LOG_BITS, Standing, log2};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;

/// One operator, and one network, gets at most this part of a layer's seats (a third), and one seat at least.
pub const OPERATOR_SHARE: usize = 3;

/// A relay that stands for a seat. Its ticket is verified already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// What [`super::Ticket::verify`] gave.
    pub draw: [u8; 32],
    /// Its merits.
    pub standing: Standing,
    /// The layer it stands for.
    pub group: u8,
    /// Who runs it, as the directory knows them. Relays with the same text here count as one operator's, also if it
    /// is empty.
    pub operator: &'a str,
    /// Where it listens.
    pub address: IpAddr,
}

/// Gives the seats of an epoch: for each layer at most `seats` candidates, as indices, layer by layer and the winner
/// first. The order of the candidates does not matter.
///
/// In a layer at most `seats` / [`OPERATOR_SHARE`], but at least one, go to one operator, and as many to one network
/// ([`same_subnet`]). Seats that this leaves without a candidate stay empty.
pub fn elect(candidates: &[Candidate<'_>], seats: usize) -> Vec<usize> {
    let mut layers: BTreeMap<u8, Vec<(Runner, usize)>> = BTreeMap::new();
    for (i, candidate) in candidates.iter().enumerate() {
        layers.entry(candidate.group).or_default().push((Runner::new(candidate), i));
    }
    let most = (seats / OPERATOR_SHARE).max(1);
    let mut elected = Vec::new();
    for mut runners in layers.into_values() {
        // Equal scores and draws: somebody lists a relay twice. Names decide, so that the order of the list does not.
        runners.sort_by(|(a, i), (b, j)| {
            let name = |i: usize| (candidates[i].operator, candidates[i].address);
            a.cmp(b).then_with(|| name(*i).cmp(&name(*j)))
        });
        let (mut operators, mut networks) = (HashMap::new(), HashMap::new());
        let mut taken = 0;
        for (_, i) in runners {
            if taken == seats {
                break;
            }
            let (operator, network) = (candidates[i].operator, Network::of(candidates[i].address));
            let room = has_room(&operators, &operator, most)
                && network.is_none_or(|network| has_room(&networks, &network, most));
            if room {
                *operators.entry(operator).or_default() += 1;
                if let Some(network) = network {
                    *networks.entry(network).or_default() += 1;
                }
                elected.push(i);
                taken += 1;
            }
        }
    }
    elected
}

fn has_room<K: Hash + Eq>(taken: &HashMap<K, usize>, key: &K, most: usize) -> bool {
    taken.get(key).is_none_or(|n| *n < most)
}

/// A candidate's score as a fraction: -log2(u) over the weight. Base 2 or e makes no difference to the order.
#[derive(Debug, PartialEq, Eq)]
struct Runner {
    /// -log2(u) with [`LOG_BITS`] bits after the point; u is the draw's first 16 bytes as a fraction of 1.
    time: u64,
    /// Never 0.
    weight: u64,
    draw: [u8; 32],
}

impl Runner {
    fn new(candidate: &Candidate<'_>) -> Self {
        let first = candidate.draw.first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes));
        // With the last bit set it lies within (0, 1): the logarithm is finite, and the time is never 0.
        let time = (128 << LOG_BITS) - log2(first | 1);
        Self { time, weight: candidate.standing.weight(), draw: candidate.draw }
    }
}

impl Ord for Runner {
    fn cmp(&self, other: &Self) -> Ordering {
        // a/b < c/d as a*d < c*b: exact, where a division would round. Below 2^64 * 2^41.
        let ours = u128::from(self.time) * u128::from(other.weight);
        let theirs = u128::from(other.time) * u128::from(self.weight);
        ours.cmp(&theirs).then_with(|| self.draw.cmp(&other.draw))
    }
}

impl PartialOrd for Runner {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The part of the internet that is likely to be in one hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Network {
    /// The first 16 bits.
    V4([u8; 2]),
    /// The first 32 bits.
    V6([u16; 2]),
}

impl Network {
    /// None for addresses of one's own machine or house, of which test networks are made. A directory of a public
    /// network lists no such address.
    fn of(address: IpAddr) -> Option<Self> {
        // An IPv4 address in IPv6 clothes (::ffff:1.2.3.4) is that IPv4 address.
        match address.to_canonical() {
            IpAddr::V4(a) if a.is_loopback() || a.is_private() || a.is_link_local() => None,
            IpAddr::V4(a) => Some(Self::V4([a.octets()[0], a.octets()[1]])),
            IpAddr::V6(a) if a.is_loopback() || a.is_unique_local() || a.is_unicast_link_local() => None,
            IpAddr::V6(a) => Some(Self::V6([a.segments()[0], a.segments()[1]])),
        }
    }
}

/// True if both addresses are in one network: the same /16 of IPv4 or /32 of IPv6. No path should use both. Loopback,
/// private and link-local addresses are in no network with anybody, so that test networks work.
pub fn same_subnet(a: IpAddr, b: IpAddr) -> bool {
    Network::of(a).is_some_and(|network| Network::of(b) == Some(network))
}

#[cfg(test)]
mod tests;
