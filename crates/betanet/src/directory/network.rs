//! What a network is, for as long as it exists.

use super::DirectoryError;
use crate::Key;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The most authorities of a network.
pub const MAX_AUTHORITIES: usize = 15;
/// Relays accept packets under a key for this long before its epoch begins and after it ends, at the least, because
/// clocks differ and packets are under way.
const LEAST_OVERLAP: u32 = 2;

/// One who decides about the directory, together with the others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Authority {
    /// Its Ed25519 key, with which it signs.
    pub key: Key,
    /// Its static X25519 key on links.
    pub link: Key,
    /// Where it listens. Not part of the network's id: it may move.
    pub address: SocketAddr,
}

/// How time passes in a network. All in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// How long a relay's Sphinx key is used; 0 in networks whose keys do not change.
    pub epoch: u32,
    /// How long a key is accepted before and after its epoch.
    pub overlap: u32,
    /// How often there is a new consensus; 0 in networks with a single one.
    pub voting: u32,
}

impl Timing {
    /// The baseline: keys for an hour, ten minutes of overlap, a new consensus every twenty minutes.
    pub const BASELINE: Self = Self { epoch: 3600, overlap: 600, voting: 1200 };
    /// Keys that do not change, and one consensus.
    pub const STILL: Self = Self { epoch: 0, overlap: 0, voting: 0 };

    /// The epoch at this time.
    pub fn epoch_at(&self, unix: u64) -> u32 {
        match self.epoch {
            0 => 0,
            length => u32::try_from(unix / u64::from(length)).unwrap_or(u32::MAX),
        }
    }

    /// When a key of this epoch is accepted: from and until, Unix seconds.
    pub fn accepted(&self, epoch: u32) -> (u64, u64) {
        if self.epoch == 0 {
            return (0, u64::MAX);
        }
        let start = u64::from(epoch) * u64::from(self.epoch);
        let overlap = u64::from(self.overlap);
        (start.saturating_sub(overlap), start + u64::from(self.epoch) + overlap)
    }

    /// The first time after `unix` at which a consensus begins.
    pub fn next_vote(&self, unix: u64) -> u64 {
        let voting = u64::from(self.voting.max(1));
        (unix / voting + 1) * voting
    }

    /// How long a consensus holds: two votes may fail before clients are without one.
    pub fn validity(&self) -> u64 {
        3 * u64::from(self.voting)
    }
}

/// What a network is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// True for a network run by one person: it gives no anonymity, and everything that shows it says so.
    pub test: bool,
    /// Who decides, in the order of their keys.
    pub authorities: Vec<Authority>,
    /// How time passes.
    pub timing: Timing,
    /// Relays of a layer that are drawn from in one epoch; 0 means all.
    pub seats: u16,
}

impl Network {
    /// A network with its authorities in order.
    pub fn new(test: bool, mut authorities: Vec<Authority>, timing: Timing, seats: u16) -> Self {
        authorities.sort_unstable();
        Self { test, authorities, timing, seats }
    }

    /// The network's id: the hash of everything but addresses.
    pub fn id(&self) -> Key {
        let keys: Vec<(Key, Key)> = self.authorities.iter().map(|a| (a.key, a.link)).collect();
        super::signing::digest("betanet network 1", &(self.test, keys, self.timing, self.seats))
    }

    /// How many authorities must sign: more than half.
    pub fn threshold(&self) -> usize {
        self.authorities.len() / 2 + 1
    }

    /// The authority with this signing key.
    pub fn authority(&self, key: &Key) -> Option<&Authority> {
        self.authorities.iter().find(|a| a.key == *key)
    }

    /// Checks that it makes sense.
    ///
    /// # Errors
    /// [`DirectoryError::Unusable`].
    pub fn check(&self) -> Result<(), DirectoryError> {
        let unusable = |why: &str| Err(DirectoryError::Unusable(why.into()));
        if self.authorities.is_empty() || self.authorities.len() > MAX_AUTHORITIES {
            return unusable("a network has 1 to 15 authorities");
        }
        if self.authorities.windows(2).any(|w| w[0].key >= w[1].key) {
            return unusable("its authorities are not in order, or one is named twice");
        }
        let Timing { epoch, overlap, voting } = self.timing;
        if epoch == 0 && !(self.test && voting == 0) {
            return unusable("only a test network may keep its relays' keys");
        }
        if epoch > 0 && (voting == 0 || overlap < LEAST_OVERLAP || overlap > epoch / 2 || voting > epoch) {
            return unusable("its timing makes no sense: voting <= epoch, and 2 s <= overlap <= epoch / 2");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(n: u8) -> Authority {
        Authority { key: [n; 32], link: [n; 32], address: ([127, 0, 0, 1], 9000).into() }
    }

    #[test]
    fn the_id_stands_for_everything_but_addresses() {
        let network = Network::new(false, vec![authority(2), authority(1)], Timing::BASELINE, 0);
        network.check().expect("makes sense");
        let mut moved = network.clone();
        moved.authorities[0].address = ([10, 0, 0, 1], 1).into();
        assert_eq!(moved.id(), network.id());
        let others = [
            Network { test: true, ..network.clone() },
            Network { seats: 1, ..network.clone() },
            Network { timing: Timing { voting: 600, ..Timing::BASELINE }, ..network.clone() },
            Network::new(false, vec![authority(1)], Timing::BASELINE, 0),
            Network::new(
                false,
                vec![authority(1), Authority { link: [9; 32], ..authority(2) }],
                Timing::BASELINE,
                0,
            ),
        ];
        for other in others {
            assert_ne!(other.id(), network.id());
        }
    }

    #[test]
    fn thresholds_and_senseless_networks() {
        for (n, threshold) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
            let network = Network::new(false, (1..=n).map(authority).collect(), Timing::BASELINE, 0);
            assert_eq!(network.threshold(), threshold);
        }
        let good = Network::new(false, vec![authority(1)], Timing::BASELINE, 0);
        let timing =
            |epoch, overlap, voting| Network { timing: Timing { epoch, overlap, voting }, ..good.clone() };
        for bad in [
            Network { authorities: Vec::new(), ..good.clone() },
            Network { authorities: vec![authority(1), authority(1)], ..good.clone() },
            Network { authorities: vec![authority(2), authority(1)], ..good.clone() },
            Network { timing: Timing::STILL, ..good.clone() },
            timing(3600, 1, 1200),
            timing(3600, 1801, 1200),
            timing(3600, 600, 0),
            timing(3600, 600, 3601),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn epochs_overlap_and_votes_follow_one_another() {
        let timing = Timing::BASELINE;
        assert_eq!((timing.epoch_at(7199), timing.epoch_at(7200)), (1, 2));
        assert_eq!(timing.accepted(2), (6600, 11_400));
        assert_eq!((timing.next_vote(0), timing.next_vote(1199), timing.next_vote(1200)), (1200, 1200, 2400));
        assert_eq!((Timing::STILL.epoch_at(9), Timing::STILL.accepted(0)), (0, (0, u64::MAX)));
    }
}
