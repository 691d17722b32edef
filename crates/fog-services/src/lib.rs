//! Hidden services and SOCKS5 over BetaNet.
//!
//! * [`address`]: `.fog` names.
//! * [`blinding`]: a service's key of the day.
//! * [`descriptor`]: where a service can be reached.
//! * [`session`]: end-to-end encryption.
//! * [`stream`]: reliable byte streams.
//!
//! Time and chance are parameters.

pub mod address;
pub mod blinding;
pub mod descriptor;
pub mod session;
pub mod stream;

/// 32 bytes that are an id or a public key.
pub type Key = [u8; 32];

/// A box at a relay: whatever anybody puts there goes to its owner, whom the relay does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BoxAddress {
    /// The relay's id.
    pub relay: Key,
    /// The box's id at that relay.
    pub id: Key,
}
