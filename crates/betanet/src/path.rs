//! Drawing paths: a path of its own for each packet, of relays that are all different and of different operators and
//! networks; and learning which lose.
//!
//! A packet's acknowledgement (or its absence) speaks for all relays of its path. A relay's share is a moving
//! average of both, and its weight in the draw falls with the fourth power of the share, so that a dead relay
//! is left out after a few packets while it still gets an occasional one that can show it is back.

use crate::Key;
use crate::directory::Listed;
use crate::packet::{Hop, exponential_delay};
use crate::view::{View, are_related};
use rand::{Rng, RngExt};
use std::collections::HashMap;
use std::time::Duration;

const MEMORY: f64 = 0.15;
/// Doubt about a relay that never lost anything.
const LEAST_DOUBT: f64 = 0.05;
const LEAST_WEIGHT: f64 = 0.002;
/// How often a path is drawn before it counts as not to be had.
const ATTEMPTS: usize = 32;
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
#[derive(Debug, Clone, Default)]
pub struct Health {
    shares: HashMap<Key, f64>,
}

impl Health {
    /// A packet over these relays was acknowledged, or was not in time.
    ///
    /// What got lost was lost by one of them, more likely by one that lost before: each is blamed by the share that it
    /// is known to lose. So a dead relay does not take those along that happen to be on its paths.
    pub fn report(&mut self, relays: &[Key], arrived: bool) {
        let doubt = |share: f64| 1.0 - share + LEAST_DOUBT;
        let doubts: f64 = relays.iter().map(|r| doubt(self.share(r).unwrap_or(1.0))).sum();
        for relay in relays {
            let share = self.shares.entry(*relay).or_insert(1.0);
            if arrived {
                *share += MEMORY * (1.0 - *share);
            } else {
                let blame = (doubt(*share) / doubts * relays.len() as f64).min(1.0);
                *share -= MEMORY * blame * *share;
            }
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

/// Draws the way of a packet whose last hop is `home`, with exponential delays. `usable` says which entries may be
/// used: the pinned ones that have a link now. Other relays are those that the epoch's lottery gave a seat. The relays
/// of a path are all different, and no two are likely to be in one hand ([`are_related`]).
///
/// # Errors
/// [`PathError`]; the level is never lowered instead.
pub fn draw<R: Rng>(
    rng: &mut R,
    view: &View,
    health: &Health,
    level: Level,
    home: &Key,
    mean_delay: Duration,
    usable: impl Fn(&Key) -> bool,
) -> Result<Vec<Hop>, PathError> {
    let home = view.relay(home).ok_or_else(|| PathError::UnknownHome(crate::short(home)))?;
    // The first relays of a path may be related to all that could come after them: others may not.
    let mut path = draw_relays(rng, view, health, level, home, &usable);
    for _ in 1..ATTEMPTS {
        path = path.or_else(|_| draw_relays(rng, view, health, level, home, &usable));
    }
    let mut hop = |(relay, key): (&Listed, &Key), mean| Hop {
        relay: relay.id,
        sphinx_key: *key,
        delay: exponential_delay(rng, mean),
    };
    let mut hops: Vec<Hop> = path?.into_iter().map(|relay| hop(relay, mean_delay)).collect();
    // The last hop hands over to the mailbox at once: waiting there would protect nothing more.
    hops.push(hop(home, Duration::ZERO));
    Ok(hops)
}

/// The relays before the home.
fn draw_relays<'a, R: Rng>(
    rng: &mut R,
    view: &'a View,
    health: &Health,
    level: Level,
    home: (&Listed, &Key),
    usable: impl Fn(&Key) -> bool,
) -> Result<Vec<(&'a Listed, &'a Key)>, PathError> {
    let mut path: Vec<(&'a Listed, &'a Key)> = Vec::with_capacity(level.hops());
    for (place, layer) in level.layers().iter().enumerate() {
        let relays: Vec<(&Listed, &Key)> = view
            .layer(*layer, place > 0)
            .filter(|(r, _)| place > 0 || usable(&r.id))
            .filter(|(r, _)| path.iter().chain([&home]).all(|(p, _)| p.id != r.id && !are_related(p, r)))
            .collect();
        let total: f64 = relays.iter().map(|(r, _)| health.weight(&r.id)).sum();
        let mut point = rng.random::<f64>() * total;
        let chosen = relays.iter().find(|(r, _)| {
            point -= health.weight(&r.id);
            point < 0.0
        });
        path.push(chosen.or(relays.last()).copied().ok_or(PathError::EmptyLayer(*layer))?);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Consensus, Descriptor, EpochKey, Network, Timing};
    use crate::lottery::Standing;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::sync::Arc;

    fn consensus() -> Consensus {
        let layers = [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3)];
        Consensus {
            network: Network::new(true, Vec::new(), Timing::STILL, 0),
            valid_after: 0,
            valid_until: 1,
            seeds: Vec::new(),
            relays: layers.map(|(n, layer)| listed(n, layer)).to_vec(),
        }
    }

    fn listed(n: u8, layer: u8) -> Listed {
        let descriptor = Descriptor {
            id: [n; 32],
            identity: None,
            address: ([127, 0, 0, 1], 9000).into(),
            layer,
            operator: String::new(),
            published: 0,
            keys: vec![EpochKey { epoch: 0, sphinx_key: [n; 32], ticket: None }],
        };
        Listed { descriptor, standing: Standing { reputation: 1000, performance: 1000, stake: 0 } }
    }

    fn view(consensus: Consensus) -> View {
        View::new(Arc::new(consensus.sign([])), 0, false)
    }

    fn count(health: &Health, usable: fn(&Key) -> bool, n: u32) -> HashMap<Key, u32> {
        let mut rng = StdRng::seed_from_u64(3);
        let mut seen = HashMap::new();
        let view = view(consensus());
        for _ in 0..n {
            let path =
                draw(&mut rng, &view, health, Level::Private, &[6; 32], Duration::from_millis(50), usable)
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
            health.report(&[[1; 32], [3; 32]], false);
            health.report(&[[1; 32], [4; 32]], true);
        }
        assert!(!health.in_use(&[3; 32]) && health.in_use(&[4; 32]));
        let seen = count(&health, |_| true, 1000);
        assert!(seen.get(&[3; 32]).copied().unwrap_or(0) < 20, "{seen:?}");
        for _ in 0..20 {
            health.report(&[[3; 32]], true);
        }
        assert!(count(&health, |_| true, 1000)[&[3; 32]] > 300);
    }

    #[test]
    fn unusable_entries_are_not_drawn_and_a_missing_layer_is_an_error() {
        let health = Health::default();
        assert!(!count(&health, |id| id[0] != 1, 200).contains_key(&[1; 32]));
        let mut rng = StdRng::seed_from_u64(3);
        let c = view(consensus());
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
        let (mut rng, health, c) = (StdRng::seed_from_u64(3), Health::default(), view(consensus()));
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
            let view = view(c.clone());
            let path =
                draw(&mut rng, &view, &health, Level::Confidential, &[6; 32], mean, |_| true).expect("draws");
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
        let c = view(c);
        let none = draw(&mut rng, &c, &health, Level::Confidential, &[6; 32], Duration::ZERO, |_| true);
        assert_eq!(none, Err(PathError::EmptyLayer(2)));
        assert!(draw(&mut rng, &c, &health, Level::Private, &[6; 32], Duration::ZERO, |_| true).is_ok());
    }

    #[test]
    fn one_operator_and_one_network_are_on_a_path_once() {
        let (mut rng, health) = (StdRng::seed_from_u64(3), Health::default());
        let mut c = consensus();
        let mut draw = |c: &Consensus| {
            let view = view(c.clone());
            draw(&mut rng, &view, &health, Level::Private, &[6; 32], Duration::ZERO, |_| true)
        };
        // The home's operator runs a middle, too; and one entry is in the network of the other middle.
        c.relays[3].descriptor.operator = "ann".into();
        c.relays[5].descriptor.operator = "ann".into();
        c.relays[0].descriptor.address = ([198, 51, 100, 1], 1).into();
        c.relays[2].descriptor.address = ([198, 51, 7, 7], 1).into();
        for _ in 0..100 {
            let path = draw(&c).expect("draws");
            assert_eq!([path[0].relay, path[1].relay], [[2; 32], [3; 32]]);
        }
        c.relays[2].descriptor.operator = "ann".into();
        assert_eq!(draw(&c), Err(PathError::EmptyLayer(2)), "it is never weakened");
    }

    #[test]
    fn relays_that_do_not_run_are_left_out_but_a_home_is_where_it_is() {
        let (mut rng, health) = (StdRng::seed_from_u64(3), Health::default());
        let mut c = consensus();
        c.relays[2].standing.performance = 100;
        c.relays[5].standing.performance = 100;
        let view = view(c);
        for _ in 0..100 {
            let path = draw(&mut rng, &view, &health, Level::Private, &[6; 32], Duration::ZERO, |_| true);
            assert_eq!(path.expect("draws")[1].relay, [4; 32]);
        }
    }
}
