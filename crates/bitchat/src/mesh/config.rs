//! The rule sets, and what limits them.

use crate::mesh::bucket::Rate;
use crate::mesh::prophet::ProphetConfig;
use crate::mesh::types::Millis;

/// How packets are relayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RelayRule {
    /// Not at all.
    Never,
    /// Every new packet once over every link but the one that it came by.
    Flood,
    /// As the iPhone app: clamp by degree, jitter, cancellation, a part of the links.
    Apple,
    /// As the Android app: chance by the size of the network.
    Android,
    /// Ours.
    Native(NativeRelay),
}

/// How our own nodes relay among themselves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NativeRelay {
    /// A neighbour that is heard this weakly relays at once, dBm.
    pub weak_dbm: i8,
    /// One that is heard this strongly waits for the whole back-off, dBm.
    pub strong_dbm: i8,
    /// The whole back-off, milliseconds.
    pub back_off_ms: Millis,
    /// Chance on top, milliseconds.
    pub jitter_ms: Millis,
    /// Links that get the packet at once; the others get its name.
    pub eager: usize,
    /// Who has heard the packet so many times only offers its name.
    pub silent_after: u8,
    /// How long names are gathered before they are offered, milliseconds.
    pub offer_ms: Millis,
    /// The TTL of own packets in a network that is larger than seven hops.
    pub far_ttl: u8,
    /// How often neighbours compare what they have, milliseconds.
    pub compare_ms: Millis,
}

impl Default for NativeRelay {
    fn default() -> Self {
        Self {
            weak_dbm: -88,
            strong_dbm: -60,
            back_off_ms: 60,
            jitter_ms: 20,
            eager: 3,
            silent_after: 3,
            offer_ms: 150,
            far_ttl: 40,
            compare_ms: 10_000,
        }
    }
}

/// How messages for those who are not there are carried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CarryRule {
    /// Not at all: the phones' rules.
    Never,
    /// The sender alone, until it meets the receiver.
    Direct,
    /// To everybody.
    Epidemic,
    /// Binary spray and wait (Spyropoulos et al. 2005): so many copies.
    Spray {
        /// How many copies.
        copies: u16,
    },
    /// To everybody who is more likely to meet the receiver (RFC 6693, GRTR).
    Prophet,
    /// Ours.
    Native(NativeCarry),
}

/// How our own nodes carry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NativeCarry {
    /// Copies of a message that are sprayed.
    pub copies: u16,
    /// The last copy goes to somebody who is more likely by this to meet the receiver.
    pub better_by: f32,
    /// And whose predictability is this at least.
    pub least: f32,
    /// How much better than this node a neighbour must be at getting around, or at meeting the receiver, to be given
    /// copies beyond the first ones: 0 gives to everybody.
    pub choosy: f32,
    /// Carriers that one copy passes through at most.
    pub max_hops: u8,
    /// How long a message on a known way may take before other ways are tried, milliseconds, and for each hop on top.
    pub patience_ms: Millis,
}

impl Default for NativeCarry {
    fn default() -> Self {
        Self { copies: 32, better_by: 0.1, least: 0.2, choosy: 0.0, max_hops: 24, patience_ms: 2000 }
    }
}

/// How often each sender may have what relayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Public messages of one sender.
    pub message: Rate,
    /// Fragments of one sender.
    pub fragment: Rate,
    /// Voice frames of one sender.
    pub voice: Rate,
    /// Announces of one sender.
    pub announce: Rate,
    /// Packets of one sender to one receiver.
    pub directed: Rate,
    /// Everything else of one sender.
    pub other: Rate,
    /// Packets of senders who are not known, by one link.
    pub strangers: Rate,
    /// Senders who become known, by one link.
    pub new_peers: Rate,
    /// Announces that this node relays, of all senders.
    pub announces: Rate,
    /// Bundles that one neighbour may hand over.
    pub bundles: Rate,
    /// Acknowledgements that one neighbour may tell.
    pub acks: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        let rate = |burst, per_s| Rate { burst, per_s };
        Self {
            message: rate(10.0, 0.5),
            fragment: rate(300.0, 5.0),
            voice: rate(60.0, 20.0),
            announce: rate(4.0, 0.2),
            directed: rate(50.0, 4.0),
            other: rate(20.0, 1.0),
            strangers: rate(20.0, 2.0),
            new_peers: rate(400.0, 20.0),
            announces: rate(100.0, 15.0),
            bundles: rate(500.0, 20.0),
            acks: rate(1024.0, 10.0),
        }
    }
}

/// All settings of an engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// How packets are relayed.
    pub relay: RelayRule,
    /// How messages are carried.
    pub carry: CarryRule,
    /// None: no limits, as the apps.
    pub limits: Option<Limits>,
    /// Acknowledgements are passed on and clear buffers.
    pub acks: bool,
    /// Between neighbours, missed public packets are asked for.
    pub sync: bool,
    /// Delivery predictabilities.
    pub prophet: ProphetConfig,
    /// Bundles of others that are carried.
    pub max_carried: usize,
    /// Own bundles that wait for their acknowledgement.
    pub max_own: usize,
    /// Public packets that are kept for those who missed them.
    pub max_history: usize,
    /// How long they are kept, milliseconds.
    pub history_ms: Millis,
    /// A packet's time may differ from ours by this, milliseconds.
    pub max_skew_ms: Millis,
    /// Time between announces, milliseconds: alone, with few links, with six or more. A quarter of it is chance.
    pub announce_ms: [Millis; 3],
    /// Bytes that may wait for one link.
    pub max_queued: usize,
}

impl Config {
    /// Between our own nodes.
    pub fn native() -> Self {
        Self {
            relay: RelayRule::Native(NativeRelay::default()),
            carry: CarryRule::Native(NativeCarry::default()),
            limits: Some(Limits::default()),
            acks: true,
            sync: true,
            prophet: ProphetConfig::default(),
            max_carried: 500,
            max_own: 500,
            max_history: 2000,
            history_ms: 6 * 3_600_000,
            max_skew_ms: 120_000,
            announce_ms: [4000, 15_000, 30_000],
            max_queued: 64 * 1024,
        }
    }

    /// As the iPhone app.
    pub fn compatible() -> Self {
        Self {
            relay: RelayRule::Apple,
            carry: CarryRule::Never,
            limits: None,
            acks: false,
            sync: true,
            ..Self::native()
        }
    }
}
