//! Delivery predictabilities (PRoPHET, RFC 6693, section 2.1): how likely this node is to meet each other one.
//!
//! A meeting raises the value for who was met, the more the longer ago the last meeting is. Time lowers all values. Who
//! is often met by those whom this node often meets gets a share of theirs.

use crate::PeerId;
use crate::mesh::types::Millis;
use serde::{Deserialize, Serialize};

/// The parameters, named as in the RFC.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ProphetConfig {
    /// The most that one meeting adds, as a share of what is missing to 1.
    pub p_encounter_max: f32,
    /// The value after a first meeting.
    pub p_encounter_first: f32,
    /// Below this, somebody is as good as never met.
    pub p_first_threshold: f32,
    /// What a value can reach at most is 1 less this.
    pub delta: f32,
    /// The share that is taken over from those whom others meet.
    pub beta: f32,
    /// What one unit of time leaves of a value.
    pub gamma: f32,
    /// The unit of time, milliseconds.
    pub unit_ms: Millis,
    /// The typical time between two meetings of the same nodes, milliseconds. A shorter one counts for less.
    pub typical_ms: Millis,
}

impl Default for ProphetConfig {
    fn default() -> Self {
        Self {
            p_encounter_max: 0.7,
            p_encounter_first: 0.5,
            p_first_threshold: 0.1,
            delta: 0.01,
            beta: 0.9,
            gamma: 0.999,
            unit_ms: 10_000,
            typical_ms: 1_800_000,
        }
    }
}

/// The most others that a node keeps a value for; the lowest makes room.
pub(crate) const MOST: usize = 2048;
/// Values below this are not worth their memory.
const LEAST: f32 = 0.002;

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) peer: PeerId,
    pub(crate) p: f32,
    /// The last own meeting; 0 for none.
    met: Millis,
}

/// A node's values, aged together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Prophet {
    /// By peer.
    entries: Vec<Entry>,
    aged: Millis,
}

impl Prophet {
    pub(crate) fn new(now: Millis) -> Self {
        Self { entries: Vec::new(), aged: now }
    }

    /// What came from disk, put in order in case it is not.
    pub(crate) fn restored(mut self) -> Self {
        self.entries.retain(|e| e.p.is_finite() && (0.0..=1.0).contains(&e.p));
        self.entries.sort_by_key(|e| e.peer);
        self.entries.dedup_by_key(|e| e.peer);
        self.entries.truncate(MOST);
        self
    }

    /// The value for a peer, as of the last ageing.
    pub(crate) fn of(&self, peer: PeerId) -> f32 {
        self.entries.binary_search_by_key(&peer, |e| e.peer).map_or(0.0, |at| self.entries[at].p)
    }

    /// Lowers all values by the time that has passed.
    pub(crate) fn age(&mut self, now: Millis, config: &ProphetConfig) {
        let units = now.saturating_sub(self.aged) / config.unit_ms.max(1);
        if units == 0 {
            return;
        }
        let left = config.gamma.powf(units as f32);
        self.entries.iter_mut().for_each(|e| e.p *= left);
        self.entries.retain(|e| e.p >= LEAST);
        self.aged += units * config.unit_ms.max(1);
    }

    /// A meeting with this peer.
    pub(crate) fn meet(&mut self, now: Millis, peer: PeerId, config: &ProphetConfig) {
        self.age(now, config);
        let entry = self.entry(peer);
        if entry.p < config.p_first_threshold {
            entry.p = config.p_encounter_first;
        } else {
            let since = now.saturating_sub(entry.met) as f32;
            let share = (since / config.typical_ms.max(1) as f32).min(1.0);
            entry.p += (1.0 - config.delta - entry.p).max(0.0) * config.p_encounter_max * share;
        }
        entry.met = now;
    }

    /// What a neighbour told of its own values.
    pub(crate) fn learn(
        &mut self,
        neighbour: PeerId,
        me: PeerId,
        theirs: &[(PeerId, f32)],
        config: &ProphetConfig,
    ) {
        let ours = self.of(neighbour);
        for (peer, p) in theirs {
            let through = ours * p * config.beta;
            if *peer != me && *peer != neighbour && through >= LEAST {
                let entry = self.entry(*peer);
                entry.p = entry.p.max(through);
            }
        }
    }

    /// The highest values, for a neighbour.
    pub(crate) fn highest(&self, count: usize) -> Vec<(PeerId, f32)> {
        let mut all: Vec<_> = self.entries.iter().map(|e| (e.peer, e.p)).collect();
        if all.len() > count {
            all.select_nth_unstable_by(count, |a, b| b.1.total_cmp(&a.1));
            all.truncate(count);
        }
        all
    }

    /// How many others were met in a while: how far a node gets around.
    pub(crate) fn met_since(&self, since: Millis) -> u32 {
        self.entries.iter().filter(|e| e.met >= since && e.met > 0).count() as u32
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn entry(&mut self, peer: PeerId) -> &mut Entry {
        let at = match self.entries.binary_search_by_key(&peer, |e| e.peer) {
            Ok(at) => at,
            Err(at) => {
                let mut at = at;
                if self.entries.len() >= MOST {
                    let lowest = (0..MOST).min_by(|a, b| self.entries[*a].p.total_cmp(&self.entries[*b].p));
                    let lowest = lowest.unwrap_or(0);
                    self.entries.remove(lowest);
                    at -= usize::from(lowest < at);
                }
                self.entries.insert(at, Entry { peer, p: 0.0, met: 0 });
                at
            }
        };
        &mut self.entries[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u64) -> PeerId {
        PeerId(n.to_be_bytes())
    }

    #[test]
    fn meetings_raise_time_lowers_and_others_pass_on() {
        let c = ProphetConfig::default();
        let mut a = Prophet::new(0);
        a.meet(0, peer(1), &c);
        assert_eq!(a.of(peer(1)), 0.5);
        // Half of the typical time later: 0.5 aged by 90 units, then (1 - delta - P) x 0.7 x 0.5 on top.
        a.meet(900_000, peer(1), &c);
        let aged = 0.5 * 0.999_f32.powi(90);
        assert!((a.of(peer(1)) - (aged + (0.99 - aged) * 0.35)).abs() < 1e-5);
        // Meetings at once, one after the other, add nothing.
        let before = a.of(peer(1));
        a.meet(900_000, peer(1), &c);
        assert_eq!(a.of(peer(1)), before);
        a.learn(peer(1), peer(0), &[(peer(2), 0.5), (peer(0), 1.0)], &c);
        assert!((a.of(peer(2)) - before * 0.5 * 0.9).abs() < 1e-6);
        assert_eq!(a.of(peer(0)), 0.0, "nothing about oneself");
        a.age(900_000 + 10_000_000, &c);
        assert!((a.of(peer(1)) - before * 0.999_f32.powi(1000)).abs() < 1e-4);
        assert_eq!(a.highest(1).len(), 1);
        assert_eq!(a.highest(1)[0].0, peer(1));
    }

    #[test]
    fn it_is_bounded_and_stays_in_order() {
        let c = ProphetConfig::default();
        let mut a = Prophet::new(0);
        for n in 0..3000_u64 {
            a.meet(n, peer(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)), &c);
        }
        assert_eq!(a.len(), MOST);
        assert!(a.entries.is_sorted_by_key(|e| e.peer));
        assert!(a.entries.iter().all(|e| (0.0..=1.0).contains(&e.p)));
    }
}
