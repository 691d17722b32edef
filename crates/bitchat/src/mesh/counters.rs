//! What an engine has done.

use serde::{Deserialize, Serialize};

/// Counts since the engine began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets that came in.
    pub packets: u64,
    /// Of them no packet at all, or with a type that makes no sense there.
    pub malformed: u64,
    /// Seen before.
    pub duplicates: u64,
    /// A signature, a binding or a proof that does not hold.
    pub forged: u64,
    /// Of a sender who has not announced themselves.
    pub unknown: u64,
    /// Too old, or from the future.
    pub stale: u64,
    /// Answers that nobody asked for.
    pub unasked: u64,
    /// Over a limit.
    pub limited: u64,
    /// Delivered to this node's own layers.
    pub delivered: u64,
    /// Frames sent: public packets, first copies and answers.
    pub public_sent: u64,
    /// Frames sent: packets for one receiver.
    pub directed_sent: u64,
    /// Frames sent: announces.
    pub announces_sent: u64,
    /// Bundles sent, repetitions included.
    pub bundles_sent: u64,
    /// Frames sent that carry acknowledgements of messages.
    pub acks_sent: u64,
    /// Control frames sent, those with bundles included.
    pub control_sent: u64,
    /// Bytes of control frames.
    pub control_bytes: u64,
    /// Control frames that only acknowledge other frames.
    pub bare_sent: u64,
    /// Bundles that had to go for others.
    pub evicted: u64,
    /// Bundles that were not taken.
    pub refused: u64,
}
