//! The mixnet: relays, health, paths.

use crate::{Amount, Seconds};
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
    /// Acknowledgements that this node sent by others' reply blocks since the start.
    pub acks_sent_by_block: u64,
    /// Acknowledgements that came by this node's reply blocks since the start.
    pub acks_received_by_block: u64,
    /// Packets that relays of this process forwarded since the start.
    pub packets_mixed: u64,
    /// Replayed packets that relays of this process refused since the start.
    pub replays_refused: u64,
    /// Mean mixing delay per hop, seconds.
    pub mean_delay: Seconds,
    /// What the mixnet promises now, and what it does not.
    pub privacy: PrivacyView,
    /// Cover traffic in the primary network.
    pub cover: CoverView,
    /// Packets over the last ten minutes, oldest first.
    pub history: Vec<TrafficPoint>,
    /// The mixnode on this device.
    pub mixnode: MixnodeView,
    /// Direct connections on this device.
    #[serde(default)]
    pub direct: DirectView,
}

/// What the mixnet promises to this node's owner, as one of a few states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivacyView {
    /// Which state.
    pub state: PrivacyState,
    /// What holds now, a sentence or two.
    pub promise: String,
    /// What does not, a sentence or two.
    pub limits: String,
}

/// Each state is a promise; the node never sends at a lower level than a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivacyState {
    /// Nothing is sent: there is no network, no link, or no directory of this time.
    Waiting,
    /// Sealed, but one person runs all relays: no anonymity.
    Sealed,
    /// Relays of different operators mix; whoever watches this line sees when it is used.
    Mixed,
    /// And cover traffic hides when it is used.
    Covered,
}

/// How much cover traffic there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoverProfile {
    /// None: packets leave at once.
    Off,
    /// A packet in two seconds in the mean.
    Mobile,
    /// Four packets a second in the mean.
    Standard,
    /// Twenty packets a second in the mean.
    Strong,
}

/// Cover traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoverView {
    /// What runs now.
    pub profile: CoverProfile,
    /// True if the network decides, not the settings.
    pub automatic: bool,
    /// True while a contact's level is secret: then at least the standard profile runs, whatever the settings say.
    pub forced: bool,
    /// Every profile with its price.
    pub choices: Vec<CoverChoice>,
    /// Loop packets sent since the start.
    pub loops: u64,
    /// Drop packets sent since the start.
    pub drops: u64,
    /// Loops that came back.
    pub loops_back: u64,
    /// Loops that got lost.
    pub loops_lost: u64,
}

/// A profile and its price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoverChoice {
    /// Which.
    pub profile: CoverProfile,
    /// Bytes a day that this device sends, whatever it is used for.
    pub up_a_day: u64,
    /// Bytes a day that it receives, beside what is sent to it.
    pub down_a_day: u64,
    /// What it protects, and what is lost with it.
    pub promise: String,
}

/// Packets of a few seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrafficPoint {
    /// The end of those seconds.
    pub time: Seconds,
    /// Real packets sent.
    pub real: u32,
    /// Cover packets sent.
    pub cover: u32,
    /// Packets received, loops not counted.
    pub received: u32,
}

/// Whether direct connections are taken.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DirectView {
    /// Where this device listens for them; none if it does not.
    pub address: Option<String>,
    /// Why it does not, although it should.
    pub problem: Option<String>,
}

/// The mixnode on this device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MixnodeView {
    /// How it is.
    pub state: MixnodeState,
    /// In plain words: what it does, or what keeps it from it.
    pub reason: String,
    /// Where it listens.
    pub address: Option<String>,
    /// Its layer.
    pub layer: Option<u8>,
    /// Packets that it mixed since the start.
    pub mixed: u64,
    /// The share of the authorities' packets that came through it, 0 to 1.
    pub performance: Option<f64>,
    /// The same in the long run.
    pub reputation: Option<f64>,
    /// Earned by mixing, in all: for each epoch whose last directory list says that the mixnode runs.
    pub earned: Amount,
}

/// How the mixnode on this device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MixnodeState {
    /// Not switched on.
    Off,
    /// This device's own test network: its relays run here, and for nobody else.
    OwnNetwork,
    /// Runs, and is not in the directory yet.
    Starting,
    /// Runs, and the directory lists it.
    Listed,
    /// Does not run, or the directory refuses it.
    Trouble,
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
    /// My home relay's id, or that of the first.
    pub home: Option<String>,
    /// Further home relays' ids.
    #[serde(default)]
    pub more_homes: Vec<String>,
    /// True while the link to the home relay is up.
    pub home_connected: bool,
    /// The consensus ends then.
    pub valid_until: Seconds,
    /// Authorities that decide about the directory.
    pub authorities: u32,
    /// Of these, those that signed the present one.
    pub signed_by: u32,
    /// When the relays' keys change next; none if they do not.
    pub epoch_ends: Option<Seconds>,
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
    /// Who runs it; empty if they do not say.
    pub operator: String,
    /// True if it is one of the entries that this node keeps to.
    pub pinned: bool,
    /// True if it may be drawn in this epoch.
    pub drawn: bool,
    /// What the authorities measured: the share of their packets that came through lately, and in the long run; none
    /// where nobody measures.
    pub performance: Option<f64>,
    /// The same in the long run.
    pub reputation: Option<f64>,
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
