//! The mixnet: relays, health, paths.

use crate::Seconds;
use serde::{Deserialize, Serialize};

/// The mixnet as this node sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NetworkView {
    /// Overall.
    pub health: NetworkHealth,
    /// Why, in plain words.
    pub reason: String,
    /// Every network this node is in.
    pub networks: Vec<MixnetView>,
    /// Packets sent into the mixnet since the start.
    pub packets_sent: u64,
    /// Packets received from home relays since the start.
    pub packets_received: u64,
    /// Packets that were sent again because no acknowledgement came.
    pub packets_resent: u64,
    /// Packets that relays of this process forwarded since the start.
    pub packets_mixed: u64,
    /// Replayed packets that relays of this process refused since the start.
    pub replays_refused: u64,
    /// Mean mixing delay per hop, seconds.
    pub mean_delay: Seconds,
}

/// One mixnet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MixnetView {
    /// Its id.
    pub id: String,
    /// True: a test network, no anonymity.
    pub test: bool,
    /// True if this process runs its relays.
    pub own: bool,
    /// Its relays by layer.
    pub relays: Vec<RelayView>,
    /// My home relay's id.
    pub home: Option<String>,
    /// True while the link to the home relay is up.
    pub home_connected: bool,
    /// The consensus ends then.
    pub valid_until: Seconds,
}

/// One relay.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RelayView {
    /// Its id.
    pub id: String,
    /// A short name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// 1 entry, 2 middle, 3 exit and home.
    pub layer: u8,
    /// Share of this node's packets over it that were acknowledged, lately; none before the first.
    pub delivered_share: Option<f64>,
    /// False while this node leaves it out of its paths.
    pub in_use: bool,
}

/// The mixnet in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkHealth {
    /// Not started yet.
    Off,
    /// Connecting.
    Connecting,
    /// Works.
    Online,
    /// Something is wrong; the reason says what.
    Trouble,
}

/// The path of one packet of a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PacketPath {
    /// Which fragment of the message, from 0.
    pub fragment: u32,
    /// Of how many.
    pub fragments: u32,
    /// When it was sent.
    pub sent: Seconds,
    /// Acknowledged after this many seconds; none while it is not.
    pub acknowledged_after: Option<Seconds>,
    /// The hops in order.
    pub hops: Vec<Hop>,
}

/// One hop of a path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hop {
    /// The relay's id.
    pub relay: String,
    /// Its short name.
    pub name: String,
    /// Its layer.
    pub layer: u8,
    /// The mixing delay that this node drew for it, seconds.
    pub delay: Seconds,
}
