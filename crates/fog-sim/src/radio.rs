//! The radio: who hears whom, how fast, how surely, and how long they take to find each other.

use crate::chance::Chance;
use bitchat::mesh::Frame;

/// What a link can do, and how nodes find one another.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Radio {
    /// Metres.
    pub(crate) range: f64,
    /// Links of a node at most.
    pub(crate) links: usize,
    /// Bytes a second of a link, in each direction.
    pub(crate) rate: f64,
    /// The share of radio operations that get lost without anybody's knowing.
    pub(crate) loss: f64,
    /// What an operation takes beside its bytes: from, to, milliseconds.
    pub(crate) latency_ms: (f64, f64),
    /// How a node looks for others.
    pub(crate) scan: Scan,
    /// From finding each other to a usable link: from, to, milliseconds.
    pub(crate) connect_ms: (f64, f64),
}

/// A scan: on for a while in every period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scan {
    pub(crate) on_ms: f64,
    pub(crate) period_ms: f64,
    /// Time between two adverts.
    pub(crate) advert_ms: f64,
}

impl Scan {
    /// As the iPhone app: 5 s on, 10 s off.
    pub(crate) const APPS: Self = Self { on_ms: 5000.0, period_ms: 15_000.0, advert_ms: 250.0 };

    pub(crate) fn share(&self) -> f64 {
        (self.on_ms / self.period_ms).min(1.0)
    }
}

impl Default for Radio {
    fn default() -> Self {
        Self {
            range: 30.0,
            links: 8,
            rate: 16_000.0,
            loss: 0.0,
            latency_ms: (7.5, 30.0),
            scan: Scan::APPS,
            connect_ms: (400.0, 1000.0),
        }
    }
}

/// Bytes of one radio operation.
const OPERATION: usize = 512;
/// A fragment's share of the packet, and what comes on top.
const FRAGMENT: usize = 469;
const FRAGMENT_EXTRA: usize = 43;
/// Header, recipient, counter, inner type and tag around words between neighbours.
const SESSION_EXTRA: usize = 22 + 8 + 4 + 1 + 16;
/// Three handshake packets, padded.
pub(crate) const HANDSHAKE: usize = 3 * 256;

impl Radio {
    /// Bytes on the air, and operations, of a frame.
    pub(crate) fn on_air(frame: &Frame) -> (usize, usize) {
        match frame {
            Frame::Packet(b) => Self::packet(b.len()),
            Frame::Control(b) => Self::control(b.len()),
        }
    }

    /// Bytes on the air, and operations, of a packet.
    pub(crate) fn packet(bytes: usize) -> (usize, usize) {
        if bytes <= OPERATION {
            return (bytes, 1);
        }
        let fragments = bytes.div_ceil(FRAGMENT);
        (bytes + fragments * FRAGMENT_EXTRA, fragments)
    }

    /// The same of words between neighbours, inside their session and padded as the apps pad.
    pub(crate) fn control(bytes: usize) -> (usize, usize) {
        let plain = bytes + SESSION_EXTRA;
        let padded = [256, 512, 1024, 2048].into_iter().find(|t| *t >= plain + 16);
        Self::packet(padded.filter(|t| t - plain <= 255).unwrap_or(plain))
    }

    /// Signal strength by the distance: the log-distance model, -90 dBm at 30 m.
    pub(crate) fn rssi(&self, distance: f64) -> i8 {
        let metres = (distance * 30.0 / self.range).max(1.0);
        (-40.0 - 33.85 * metres.log10()).clamp(-100.0, -40.0) as i8
    }

    /// When two nodes that came into range at `now` find each other: an advert of one falls into a scan of the other.
    pub(crate) fn discovery(&self, now: f64, phases: [f64; 2], chance: &mut Chance) -> f64 {
        let scan = &self.scan;
        let on = |at: f64, phase: f64| (at + phase).rem_euclid(scan.period_ms) < scan.on_ms;
        let mut next = [0, 1].map(|_| now + chance.between(0.0, scan.advert_ms));
        // A bound, for scans that miss for ever; the pair is long gone by then.
        for _ in 0..10_000 {
            let side = usize::from(next[1] < next[0]);
            let at = next[side];
            if on(at, phases[1 - side]) {
                return at;
            }
            // The standard adds up to 10 ms, so that two nodes do not miss each other for ever.
            next[side] = at + scan.advert_ms + chance.between(0.0, 10.0);
        }
        next[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_wire() {
        assert_eq!(Radio::packet(166), (166, 1));
        assert_eq!(Radio::packet(1000), (1000 + 3 * 43, 3));
        assert_eq!(Radio::control(9), (256, 1), "a bare acknowledgement is padded");
        assert_eq!(Radio::control(420), (512, 1), "a full frame is one operation");
    }

    #[test]
    fn signals_fall_with_the_distance() {
        let radio = Radio::default();
        let at: Vec<i8> = [1.0, 5.0, 10.0, 30.0].iter().map(|d| radio.rssi(*d)).collect();
        assert!(at.is_sorted_by(|a, b| a > b), "{at:?}");
        assert!((-91..=-89).contains(&at[3]), "{at:?}");
    }

    #[test]
    fn who_always_scans_finds_at_once() {
        let always = Scan { on_ms: 1000.0, period_ms: 1000.0, advert_ms: 250.0 };
        let radio = Radio { scan: always, ..Radio::default() };
        let mut chance = Chance::new(1, 1);
        for _ in 0..100 {
            assert!(radio.discovery(0.0, [0.0, 0.0], &mut chance) <= 250.0);
        }
    }
}
