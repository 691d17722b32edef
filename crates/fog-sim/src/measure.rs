//! From what happened in a world to figures.

use crate::log::Sent;
use crate::scenario::Sample;
use crate::statistics::quantile;
use crate::world::{Behaviour, World};
use bitchat::mesh::{Counters, Millis};
use sha2::{Digest, Sha256};

impl World {
    /// Everything that was counted, summed over all honest nodes.
    pub(crate) fn total(&self, figure: fn(&Counters) -> u64) -> f64 {
        self.nodes
            .iter()
            .filter(|n| n.is(&Behaviour::Honest))
            .map(|n| figure(n.engine.counters()))
            .sum::<u64>() as f64
    }

    /// A hash of what happened to every message, and of all counters.
    pub(crate) fn print(&self) -> u64 {
        let mut hash = Sha256::new();
        for sent in &self.log.sent {
            hash.update(sent.id.0);
            for (node, ms) in &sent.reached {
                hash.update(node.to_be_bytes());
                hash.update(ms.to_be_bytes());
            }
            hash.update(sent.acknowledged.unwrap_or(Millis::MAX).to_be_bytes());
        }
        for node in &self.nodes {
            let c = node.engine.counters();
            for n in
                [c.packets, c.duplicates, c.control_sent, c.control_bytes, c.public_sent, c.announces_sent]
            {
                hash.update(n.to_be_bytes());
            }
        }
        hash.update(self.events.to_be_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        u64::from_be_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
    }
}

/// Delivery of messages for one receiver: share, median and 95 % latency in seconds, and the curve.
pub(crate) fn unicast(sample: &mut Sample, sent: &[&Sent], life_s: f64) {
    let latencies: Vec<f64> = sent.iter().filter_map(|s| s.latency()).filter(|l| *l <= life_s).collect();
    sample.set("delivered", latencies.len() as f64 / sent.len().max(1) as f64);
    sample.set("p50_s", quantile(&latencies, 0.50, latencies.len()));
    // Of those that arrived: the reference figures are given so.
    sample.set("p95_s", quantile(&latencies, 0.95, latencies.len()));
    sample.curve = shares(latencies, sent.len());
    if let Some(last) = sample.curve.last().copied() {
        sample.curve.push((life_s, last.1));
    }
}

/// The share that has arrived, over time.
pub(crate) fn shares(mut latencies: Vec<f64>, total: usize) -> Vec<(f64, f64)> {
    latencies.sort_by(f64::total_cmp);
    let count = total.max(1) as f64;
    latencies.iter().enumerate().map(|(n, t)| (*t, (n + 1) as f64 / count)).collect()
}
