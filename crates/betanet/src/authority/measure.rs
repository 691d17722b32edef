//! From loops over all relays to what a vote says of each.

use super::Shared;
use crate::Key;
use crate::client::{Client, ClientConfig, Entries, Outcome};
use crate::cover::Profile;
use crate::directory::SignedConsensus;
use crate::lottery::Standing;
use crate::path::Level;
use rand::seq::IteratorRandom;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use x25519_dalek::StaticSecret;

/// What a new relay is taken for until it was measured: it is drawn, but has no reputation.
const NEW: Measure = Measure { performance: 1.0, reputation: 0.0 };
/// The part of the way to the present performance that a reputation goes in one period. From nothing to nine tenths
/// it takes some 45 periods: fifteen hours, with twenty minutes each.
const REPUTATION_STEP: f64 = 0.05;
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The mean delay of the loops: what clients have unless they change it.
const MEAN_DELAY: Duration = Duration::from_millis(50);
/// Loops that are kept, at the most.
const MAX_LOOPS: usize = 4000;
/// Steps of the estimate.
const ROUNDS: usize = 100;
/// What a relay is taken for before any loop, and how many loops that is worth.
const PRIOR: f64 = 0.95;
const PRIOR_LOOPS: f64 = 1.0;
/// Loops over each relay in one period, in the mean.
const LOOPS_A_PERIOD: f64 = 30.0;
/// Loops a second, at the least and at the most.
const RATE: (f64, f64) = (0.5, 50.0);

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Measure {
    /// The share of packets that came through, lately.
    performance: f64,
    /// The same in the long run.
    reputation: f64,
}

/// What was measured of each relay.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Measures {
    relays: BTreeMap<Key, Measure>,
    /// The loops of this period.
    #[serde(skip)]
    loops: VecDeque<Outcome>,
}

impl Measures {
    /// Loops came back, or did not.
    pub fn record(&mut self, outcomes: Vec<Outcome>) {
        self.loops.extend(outcomes);
        let over = self.loops.len().saturating_sub(MAX_LOOPS);
        self.loops.drain(..over);
    }

    /// The performances, from the loops.
    pub fn estimate(&mut self) {
        for (relay, share) in estimate(self.loops.make_contiguous()) {
            self.relays.entry(relay).or_insert(NEW).performance = share;
        }
    }

    /// A period ended: reputations follow the performances.
    pub fn end_period(&mut self) {
        for measure in self.relays.values_mut() {
            measure.reputation += REPUTATION_STEP * (measure.performance - measure.reputation);
        }
        // What was measured before says less and less of the present.
        let half = self.loops.len() / 2;
        self.loops.drain(..half);
    }

    /// What a vote says of a relay.
    pub fn standing(&self, relay: &Key, stake: u64) -> Standing {
        let Measure { performance, reputation } = self.relays.get(relay).copied().unwrap_or(NEW);
        let mille = |share: f64| (share * 1000.0).round() as u16;
        Standing { reputation: mille(reputation), performance: mille(performance), stake }
    }

    /// Forgets the others.
    pub fn retain(&mut self, keep: impl Fn(&Key) -> bool) {
        self.relays.retain(|id, _| keep(id));
    }
}

/// What each relay lets through, as it is most likely from loops over several relays each, of which one knows only
/// whether they came back: expectation maximisation (Dempster, Laird & Rubin 1977) for independent losses. So a dead
/// relay does not count against those that shared its paths.
fn estimate(loops: &[Outcome]) -> BTreeMap<Key, f64> {
    let relays: BTreeSet<Key> = loops.iter().flat_map(|(path, _)| path.iter().copied()).collect();
    let places: BTreeMap<Key, usize> = relays.iter().copied().zip(0..).collect();
    let loops: Vec<(Vec<usize>, bool)> =
        loops.iter().map(|(path, arrived)| (path.iter().map(|r| places[r]).collect(), *arrived)).collect();
    let mut shares = vec![PRIOR; relays.len()];
    for _ in 0..ROUNDS {
        // As many loops as the prior is worth: few real ones say little.
        let mut sums = vec![(PRIOR * PRIOR_LOOPS, PRIOR_LOOPS); relays.len()];
        for (path, arrived) in &loops {
            let whole: f64 = path.iter().map(|r| shares[*r]).product();
            for relay in path {
                // The chance that this relay let it through, given that the path as a whole did not.
                let passed = match arrived {
                    true => 1.0,
                    false => (shares[*relay] - whole) / (1.0 - whole).max(1e-9),
                };
                sums[*relay].0 += passed;
                sums[*relay].1 += 1.0;
            }
        }
        shares = sums.into_iter().map(|(sum, n)| (sum / n).clamp(0.0, 1.0)).collect();
    }
    relays.into_iter().zip(shares).collect()
}

/// Sends loops over all relays, and notes which ones lose them.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut prober: Option<Prober> = None;
    loop {
        tokio::select! {
            () = shared.cancel.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let consensus = shared.book.lock().consensus();
        let Some(consensus) = consensus.filter(|c| c.verify(super::now_ms() / 1000).is_ok()) else {
            continue;
        };
        match &prober {
            Some(prober) => _ = prober.client.offer((*consensus).clone()),
            None => prober = Prober::start(consensus.clone()),
        }
        let Some(prober) = &prober else { continue };
        prober.choose_home(&consensus);
        prober.probe(&consensus).await;
        shared.book.lock().measures().record(prober.client.outcomes());
    }
}

/// A client whose packets are all loops to itself.
struct Prober {
    client: Client,
}

impl Prober {
    fn start(consensus: Arc<SignedConsensus>) -> Option<Self> {
        let home = home(&consensus)?;
        let (client, mut inbound) = Client::start(ClientConfig {
            consensus,
            mailbox: StaticSecret::random(),
            homes: vec![home],
            // As everybody's packets: a relay cannot treat these better than others.
            mean_delay: MEAN_DELAY,
            cover: Profile::Off,
            entries: Entries::All,
        });
        tokio::spawn(async move { while inbound.recv().await.is_some() {} });
        Some(Self { client })
    }

    /// Sends the loops of one look. Paths of five relays go over all layers; where they cannot be had, three do.
    async fn probe(&self, consensus: &SignedConsensus) {
        let document = consensus.unverified();
        let voting = f64::from(document.network.timing.voting.max(1));
        let hops = Level::Confidential.hops() as f64;
        let rate = document.relays.len() as f64 * LOOPS_A_PERIOD / voting / hops;
        let loops = (rate.clamp(RATE.0, RATE.1) * LOOK_EVERY.as_secs_f64()).ceil() as u32;
        for _ in 0..loops {
            if self.client.probe(Level::Confidential).is_err() {
                _ = self.client.probe(Level::Private);
            }
            tokio::time::sleep(LOOK_EVERY / loops / 2).await;
        }
    }

    /// A home relay that is gone does not end the measuring.
    fn choose_home(&self, consensus: &SignedConsensus) {
        use crate::outgoing::LinkState;
        if matches!(self.client.home_state(), LinkState::Down(_))
            && let Some(home) = home(consensus)
        {
            self.client.set_homes(vec![home]);
        }
    }
}

fn home(consensus: &SignedConsensus) -> Option<Key> {
    consensus.unverified().layer(3).map(|r| r.id).choose(&mut rand::rng())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn a_reputation_is_earned_slowly_and_follows_what_was_measured() {
        let mut measures = Measures::default();
        assert_eq!(measures.standing(&[1; 32], 5), Standing { reputation: 0, performance: 1000, stake: 5 });
        let arrive = |arrived: bool| vec![(vec![[1; 32]], arrived); 100];
        measures.record(arrive(true));
        measures.estimate();
        for _ in 0..45 {
            measures.end_period();
        }
        let earned = measures.standing(&[1; 32], 0).reputation;
        assert!((880..920).contains(&earned), "{earned}");
        measures.loops.clear();
        measures.record(arrive(false));
        measures.estimate();
        measures.end_period();
        let after = measures.standing(&[1; 32], 0);
        assert!(after.performance < 30 && after.reputation < earned && after.reputation > 800, "{after:?}");
        measures.retain(|_| false);
        assert_eq!(measures.standing(&[1; 32], 0).performance, 1000);
    }

    /// Seven relays on paths of five, of which one is dead and one loses a fifth: each is found out, and nobody else.
    #[test]
    fn losses_are_laid_at_the_right_door() {
        let mut rng = StdRng::seed_from_u64(5);
        let share = |relay: u8| [1.0, 1.0, 0.0, 0.8, 1.0, 1.0, 1.0][usize::from(relay)];
        let loops: Vec<Outcome> = (0..1000)
            .map(|_| {
                let path: Vec<u8> = (0..7).sample(&mut rng, 5);
                let arrived = path.iter().all(|r| rng.random::<f64>() < share(*r));
                (path.into_iter().map(|r| [r; 32]).collect(), arrived)
            })
            .collect();
        let found = estimate(&loops);
        for relay in 0..7u8 {
            let off = (found[&[relay; 32]] - share(relay)).abs();
            assert!(off < 0.12, "relay {relay}: {found:?}");
        }
    }
}
