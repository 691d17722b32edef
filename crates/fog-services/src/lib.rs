//! Hidden services and SOCKS5 over BetaNet.
//!
//! * [`address`]: `.fog` names.
//! * [`blinding`]: a service's key of the day.
//!
//! Time and chance are parameters.

pub mod address;
pub mod blinding;

/// 32 bytes that are an id or a public key.
pub type Key = [u8; 32];
