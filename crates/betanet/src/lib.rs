//! BetaNet: a Sphinx mixnet.
//!
//! A sender wraps a fixed-size [`packet`] for three relays, one of each layer, whose last is the receiver's
//! *home relay*. Each relay takes off one layer, refuses replays, holds the packet for the exponential delay
//! that the sender drew, and passes it on. The home relay queues what it unwraps for the receiver's *mailbox*;
//! the receiver fetches it over an outbound link, so it works behind any NAT.
//!
//! ```text
//!  Client::send ──link──> entry ──link──> middle ──link──> home relay ··mailbox··> Client (inbound)
//!   path, delays            │  unwrap → replay filter → delay queue  │
//! ```
//!
//! * [`x25519`]: the group, many multiplications at once.
//! * [`sphinx`]: the packet format (Danezis & Goldberg 2009), in place and in batches.
//! * [`packet`]: the network's packets: one size, one version, delays within bounds.
//! * [`mix`]: a relay's state machine, without IO: replay filter, delay queue, mailboxes.
//! * [`link`]: encrypted and authenticated connections (Noise XK), on which versions are negotiated.
//! * [`directory`]: what relays say of themselves, the authorities' votes, and the consensus that follows from them.
//! * [`authority`]: one of those who vote; [`fetch`]: asking them.
//! * [`lottery`]: which relays get a seat: tickets that prove themselves, and a weighted race.
//! * [`guards`]: the few entry relays through which a client enters for months.
//! * [`cover`]: when packets leave, and what leaves when there is nothing to send.
//! * [`view`]: a consensus at a time, as clients use it.
//! * [`path`]: drawing paths and delays, and learning which relays lose packets.
//! * [`relay`] and [`client`]: the thin drivers with sockets and timers.
//! * [`boxes`]: what else layer 3 does for those who want to be reached without being known.
//! * [`sealed`]: descriptors of hidden services as relays see them.
//! * [`testnet`]: the keys and the consensus of a small network of one's own. It gives no anonymity.
//!
//! Time and chance are parameters of everything below the drivers.

pub mod authority;
pub mod boxes;
pub mod client;
pub mod cover;
pub mod directory;
pub mod fetch;
pub mod guards;
pub mod link;
pub mod lottery;
pub mod mix;
mod outgoing;
pub mod packet;
pub mod path;
pub mod relay;
pub mod sealed;
mod slots;
pub mod sphinx;
pub mod testnet;
pub mod view;
mod wakeup;
pub mod x25519;

/// The protocol's name; the version follows it on the wire.
pub const PROTOCOL: &str = "betanet/mix";
/// The versions that this build speaks, best first. 1.2.0 is the only one.
pub const VERSIONS: &[&str] = &["1.2.0"];

/// 32 bytes that are an id or a public key.
pub type Key = [u8; 32];

/// A short, readable form of a key or id for logs and names: the first eight hexadecimal digits.
pub fn short(key: &Key) -> String {
    data_encoding::HEXLOWER.encode(&key[..4])
}

pub use outgoing::LinkState;
