//! Who the relays are, agreed on by several authorities.
//!
//! ```text
//!  relay ── signed descriptor ──> each authority         (over a link that proves the relay's id)
//!  authority <── signed votes ──> authority              what each has seen and measured
//!  tally: the same votes give the same document ── signed by each ──> consensus with a threshold of signatures
//!  authority ──> relays ──> clients                      (relays hand on what they have; it proves itself)
//! ```
//!
//! * [`network`]: what a network is: its authorities and its timing. Their hash is the network's id, so whoever knows
//!   the id can check everything else.
//! * [`descriptor`]: what a relay says of itself.
//! * [`consensus`]: the document that everybody works with, and its signatures.
//! * [`excerpt`]: what a consensus says of one relay, with the proof.
//! * [`vote`]: what an authority says of all relays, and how votes become a consensus.
//! * [`exchange`]: asking for and handing over documents on a link.
//!
//! A network that one person runs for themselves has one authority, which signs once, for a year, with keys that do
//! not change. It gives no anonymity, and says so (`test`).

pub mod consensus;
pub mod descriptor;
pub mod excerpt;
pub mod exchange;
mod merkle;
pub mod network;
mod signing;
pub mod vote;

pub use consensus::{Consensus, DirectoryError, Listed, SignedConsensus};
pub use descriptor::{Descriptor, EpochKey, RelayIdentity, SignedDescriptor};
pub use excerpt::Excerpt;
pub use network::{Authority, Network, Timing};

/// The most relays in a consensus, checked before anything is done with it.
pub const MAX_RELAYS: usize = 4096;
/// The most bytes of an encoded consensus or vote.
pub const MAX_DOCUMENT_LEN: usize = 4 * 1024 * 1024;

/// The layers of the mixnet, in the order of a path.
pub const LAYERS: [u8; 3] = [1, 2, 3];
