//! Drawing paths: a path of its own for each packet, of relays that are all different; and learning which lose.
//!
//! A packet's acknowledgement (or its absence) speaks for all relays of its path. A relay's share is a moving
//! average of both, and its weight in the draw falls with the fourth power of the share, so that a dead relay
//! is left out after a few packets while it still gets an occasional one that can show it is back.

use crate::Key;
use crate::directory::{Consensus, RelayDescriptor};
use crate::packet::{Hop, exponential_delay};
use rand::{Rng, RngExt};
use std::collections::HashMap;
use std::time::Duration;

const MEMORY: f64 = 0.15;
const LEAST_WEIGHT: f64 = 0.002;
/// Below this share a relay counts as out of use.
const IN_USE: f64 = 0.5;

/// How far a packet goes through the mixnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Three relays: one that is honest among the first two hides who writes to whom from the others.
    #[default]
    Private,
    /// Five relays: takes longer, and holds against more relays that work together.
    Confidential,
}

impl Level {
    /// Relays on the way, the receiver's home relay included.
    pub fn hops(self) -> usize {
        self.layers().len() + 1
    }

    /// The layers of the relays before the home relay.
    fn layers(self) -> &'static [u8] {
        match self {
            Self::Private => &[1, 2],
            Self::Confidential => &[1, 2, 3, 2],
        }
    }
}

/// What this node knows about the relays of a network.
#[derive(Debug, Default)]
pub struct Health {
    shares: HashMap<Key, f64>,
}

impl Health {
    /// A packet over these relays was acknowledged, or was not in time.
    pub fn report(&mut self, relays: impl IntoIterator<Item = Key>, arrived: bool) {
        for relay in relays {
            let share = self.shares.entry(relay).or_insert(1.0);
            *share += MEMORY * (f64::from(u8::from(arrived)) - *share);
        }
    }

    /// The share of packets over this relay that arrived, lately; none before the first.
    pub fn share(&self, relay: &Key) -> Option<f64> {
        self.shares.get(relay).copied()
    }

    /// False while the relay is practically left out.
    pub fn in_use(&self, relay: &Key) -> bool {
        self.share(relay).is_none_or(|s| s >= IN_USE)
    }

    fn weight(&self, relay: &Key) -> f64 {
        self.share(relay).unwrap_or(1.0).powi(4).max(LEAST_WEIGHT)
    }
}

/// Why no path can be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The receiver's home relay is not in the consensus.
    #[error("the receiver's home relay {0} is not in the consensus")]
    UnknownHome(String),
    /// No (further) relay of this layer can be used now.
    #[error("there are not enough relays of layer {0} that can be used now")]
    EmptyLayer(u8),
}

/// Draws the way of a packet whose last hop is `home`, with exponential delays. `usable` says which entries have a
/// link now. The relays of a path are all different.
///
/// # Errors
/// [`PathError`]; the level is never lowered instead.
pub fn draw<R: Rng>(
    rng: &mut R,
    consensus: &Consensus,
    health: &Health,
    level: Level,
    home: &Key,
    mean_delay: Duration,
    usable: impl Fn(&Key) -> bool,
) -> Result<Vec<Hop>, PathError> {
    let home = consensus.relay(home).ok_or_else(|| PathError::UnknownHome(crate::short(home)))?;
    let mut hops: Vec<Hop> = Vec::with_capacity(level.hops());
    for (place, layer) in level.layers().iter().enumerate() {
        let free = |r: &&RelayDescriptor| r.id != home.id && hops.iter().all(|h| h.relay != r.id);
        let relays: Vec<&RelayDescriptor> =
            consensus.layer(*layer).filter(free).filter(|r| place > 0 || usable(&r.id)).collect();
        let total: f64 = relays.iter().map(|r| health.weight(&r.id)).sum();
        let mut point = rng.random::<f64>() * total;
        let chosen = relays.iter().find(|r| {
            point -= health.weight(&r.id);
            point < 0.0
        });
        let relay = chosen.or(relays.last()).copied().ok_or(PathError::EmptyLayer(*layer))?;
        let delay = exponential_delay(rng, mean_delay);
        hops.push(Hop { relay: relay.id, sphinx_key: relay.sphinx_key, delay });
    }
    // The last hop hands over to the mailbox at once: waiting there would protect nothing more.
    hops.push(Hop { relay: home.id, sphinx_key: home.sphinx_key, delay: Duration::ZERO });
    Ok(hops)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn consensus() -> Consensus {
        let relay = |n: u8, layer| RelayDescriptor {
            id: [n; 32],
            sphinx_key: [n; 32],
            address: ([127, 0, 0, 1], 9000).into(),
            layer,
        };
        Consensus {
            network: [0; 32],
            test: true,
            valid_after: 0,
            valid_until: 1,
            relays: vec![relay(1, 1), relay(2, 1), relay(3, 2), relay(4, 2), relay(5, 3), relay(6, 3)],
        }
    }

    fn count(health: &Health, usable: fn(&Key) -> bool, n: u32) -> HashMap<Key, u32> {
        let mut rng = StdRng::seed_from_u64(3);
        let mut seen = HashMap::new();
        for _ in 0..n {
            let path = draw(
                &mut rng,
                &consensus(),
                health,
                Level::Private,
                &[6; 32],
                Duration::from_millis(50),
                usable,
            )
            .expect("draws");
            assert_eq!(path[2].relay, [6; 32]);
            for hop in path {
                *seen.entry(hop.relay).or_default() += 1;
            }
        }
        seen
    }

    #[test]
    fn each_packet_draws_evenly_and_a_losing_relay_is_left_out_until_it_is_back() {
        let mut health = Health::default();
        let seen = count(&health, |_| true, 1000);
        for n in [1, 2, 3, 4] {
            assert!((400..600).contains(&seen[&[n; 32]]), "{seen:?}");
        }
        for _ in 0..20 {
            health.report([[1; 32], [3; 32]], false);
            health.report([[1; 32], [4; 32]], true);
        }
        assert!(!health.in_use(&[3; 32]) && health.in_use(&[4; 32]));
        let seen = count(&health, |_| true, 1000);
        assert!(seen.get(&[3; 32]).copied().unwrap_or(0) < 20, "{seen:?}");
        for _ in 0..20 {
            health.report([[3; 32]], true);
        }
        assert!(count(&health, |_| true, 1000)[&[3; 32]] > 300);
    }

    #[test]
    fn unusable_entries_are_not_drawn_and_a_missing_layer_is_an_error() {
        let health = Health::default();
        assert!(!count(&health, |id| id[0] != 1, 200).contains_key(&[1; 32]));
        let mut rng = StdRng::seed_from_u64(3);
        let c = consensus();
        assert_eq!(
            draw(&mut rng, &c, &health, Level::Private, &[6; 32], Duration::ZERO, |_| false),
            Err(PathError::EmptyLayer(1))
        );
        assert!(matches!(
            draw(&mut rng, &c, &health, Level::Private, &[9; 32], Duration::ZERO, |_| true),
            Err(PathError::UnknownHome(_))
        ));
    }

    /// Equal delays would keep packets in the order in which they came.
    #[test]
    fn each_hop_has_a_random_delay_around_the_mean() {
        let (mut rng, health, c) = (StdRng::seed_from_u64(3), Health::default(), consensus());
        let mean = Duration::from_millis(50);
        let mut delays = Vec::new();
        for _ in 0..1000 {
            let path = draw(&mut rng, &c, &health, Level::Private, &[6; 32], mean, |_| true).expect("draws");
            delays.extend(path[..2].iter().map(|h| h.delay));
        }
        let longer = delays.iter().filter(|d| **d > mean).count();
        assert!((600..900).contains(&longer), "{longer} of 2000 are above the mean, not about 37 %");
        let total: Duration = delays.iter().sum();
        assert!((90..110).contains(&total.as_secs()), "{total:?} in all");
        delays.sort_unstable();
        delays.dedup();
        assert!(delays.len() > 1000, "only {} delays differ", delays.len());
    }

    #[test]
    fn five_hops_are_five_relays_and_too_small_a_network_is_an_error() {
        let mut rng = StdRng::seed_from_u64(3);
        let health = Health::default();
        let mut c = consensus();
        for _ in 0..200 {
            let mean = Duration::from_millis(50);
            let path =
                draw(&mut rng, &c, &health, Level::Confidential, &[6; 32], mean, |_| true).expect("draws");
            let layers: Vec<u8> = path.iter().map(|h| c.relay(&h.relay).expect("known").layer).collect();
            assert_eq!(layers, [1, 2, 3, 2, 3]);
            let mut relays: Vec<Key> = path.iter().map(|h| h.relay).collect();
            relays.sort_unstable();
            relays.dedup();
            assert_eq!(relays.len(), 5, "all different");
            assert!(path[..4].iter().all(|h| h.delay > Duration::ZERO) && path[4].delay.is_zero());
        }
        // With a single relay in the middle there is no second one: nothing goes out over fewer hops instead.
        c.relays.retain(|r| r.id != [4; 32]);
        let none = draw(&mut rng, &c, &health, Level::Confidential, &[6; 32], Duration::ZERO, |_| true);
        assert_eq!(none, Err(PathError::EmptyLayer(2)));
        assert!(draw(&mut rng, &c, &health, Level::Private, &[6; 32], Duration::ZERO, |_| true).is_ok());
    }
}
