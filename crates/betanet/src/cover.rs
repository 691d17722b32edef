//! stub
use crate::Key;
use rand::{Rng, RngExt};
use std::time::{Duration, Instant};
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    Off,
    Mobile,
    Standard,
    Strong,
}
impl Profile {
    pub fn mean_gap(self) -> Duration {
        match self {
            Self::Off => Duration::ZERO,
            Self::Mobile => Duration::from_secs(2),
            Self::Standard => Duration::from_millis(250),
            Self::Strong => Duration::from_millis(50),
        }
    }
}
pub enum Slot {
    Loop,
    Payload,
}
pub struct Schedule {
    mean: Duration,
    next: Instant,
}
impl Schedule {
    pub fn new<R: Rng>(p: Profile, now: Instant, _rng: &mut R) -> Option<Self> {
        (p != Profile::Off).then(|| Self { mean: p.mean_gap(), next: now })
    }
    pub fn next_slot(&self) -> Instant {
        self.next
    }
    pub fn draw<R: Rng>(&mut self, now: Instant, rng: &mut R) -> Slot {
        let u: f64 = rng.random();
        self.next = now + self.mean.mul_f64(-(1.0 - u).ln());
        if rng.random::<f64>() < 0.2 { Slot::Loop } else { Slot::Payload }
    }
}
pub struct LoopTag([u8; 32]);
impl LoopTag {
    pub fn new(s: [u8; 32]) -> Self {
        Self(s)
    }
    pub fn message<R: Rng>(&self, _rng: &mut R, number: u64, len: usize) -> Vec<u8> {
        let mut v = vec![0; len];
        v[..32].copy_from_slice(&self.0);
        v[32..40].copy_from_slice(&number.to_be_bytes());
        v
    }
    pub fn recognise(&self, m: &[u8]) -> Option<u64> {
        (m.get(..32)? == self.0).then(|| u64::from_be_bytes(m[32..40].try_into().unwrap_or_default()))
    }
}
#[derive(Default)]
pub struct LoopBook {
    n: u64,
    out: std::collections::BTreeMap<u64, (Vec<Key>, Instant)>,
}
impl LoopBook {
    pub fn begin(&mut self, path: Vec<Key>, now: Instant) -> u64 {
        self.n += 1;
        self.out.insert(self.n, (path, now));
        self.n
    }
    pub fn arrived(&mut self, n: u64, now: Instant) -> Option<(Vec<Key>, Duration)> {
        let (p, at) = self.out.remove(&n)?;
        Some((p, now - at))
    }
    pub fn overdue(&mut self, now: Instant, patience: Duration) -> Vec<Vec<Key>> {
        let o: Vec<u64> =
            self.out.iter().filter(|(_, (_, at))| now - *at > patience).map(|(n, _)| *n).collect();
        o.iter().filter_map(|n| self.out.remove(n).map(|x| x.0)).collect()
    }
}
pub fn drop_message<R: Rng>(rng: &mut R, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.random()).collect()
}
