//! Trouble on purpose, for tests of everything that has to live with it: a relay that loses and delays.

use crate::packet::{PacketError, Unwrapped, exponential_delay};
use rand::RngExt;
use std::time::Duration;

/// What a relay does to packets that it would otherwise treat well.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chaos {
    /// The share of packets that it loses, 0 to 1.
    pub loss: f64,
    /// The mean of the further exponential delay of packets that go on.
    pub latency: Duration,
}

impl Chaos {
    /// Takes some away and makes the others late. Gives how many it took.
    pub(super) fn apply(&self, batch: &mut Vec<Result<Unwrapped, PacketError>>) -> u64 {
        let mut rng = rand::rng();
        let before = batch.len();
        batch.retain(|_| rng.random::<f64>() >= self.loss);
        for unwrapped in batch.iter_mut().flatten() {
            if let Unwrapped::Forward { delay, .. } = unwrapped {
                *delay += exponential_delay(&mut rng, self.latency);
            }
        }
        (before - batch.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loses_its_share_and_delays_the_rest() {
        let chaos = Chaos { loss: 0.05, latency: Duration::from_millis(20) };
        let forward = || Ok(Unwrapped::Forward { next: [1; 32], delay: Duration::ZERO, packet: Vec::new() });
        let mut batch: Vec<_> = (0..20_000).map(|_| forward()).collect();
        let lost = chaos.apply(&mut batch);
        assert!((800..1200).contains(&lost), "{lost} of 20,000");
        let delays = batch.iter().flatten().map(|u| match u {
            Unwrapped::Forward { delay, .. } => delay.as_secs_f64(),
            Unwrapped::Deliver { .. } => 0.0,
        });
        let mean = delays.sum::<f64>() / batch.len() as f64;
        assert!((0.019..0.021).contains(&mean), "mean {mean}");
    }
}
