//! Hidden services and SOCKS5 over BetaNet.
//!
//! A *hidden service* is reached by its name alone, `<key>.fog`, and neither side learns where the other is. The
//! mixnet carries datagrams of at most 1,950 bytes that come late, in any order, or never. Relays know two more things
//! than mixing: *boxes*, where anybody may put a datagram for an owner whom the relay does not know (it leaves with the
//! next reply block that the owner deposited), and a store of sealed descriptors.
//!
//! ```text
//!             application ──SOCKS5──▶ client                                   service ──TCP──▶ server
//!
//!  publish                               four storing relays ◀── descriptor ────── │  sealed, under today's key
//!  fetch      │ ◀────── descriptor ───── four storing relays                       │
//!  introduce  │ ── message 1: my box, cookie ──▶ introduction point's box ───────▶ │
//!  answer     │ ◀──────── client's box ◀───────────── message 2: my box ────────── │
//!  talk       │ ── datagrams ─────────────────▶ service's box ───────────────────▶ │
//!             │ ◀──────── client's box ◀────────────────────────── datagrams ───── │
//! ```
//!
//! Every arrow between a side and a relay is a path of the mixnet or a reply block, so no relay knows both ends.
//!
//! | Layer | Module | What it does |
//! |---|---|---|
//! | name | [`address`] | the service's key as text with a checksum |
//! | key of the day | [`blinding`] | relays can neither list services nor follow one over days |
//! | where | [`descriptor`] | introduction points, sealed for who knows the name; which relays store it |
//! | secrecy | [`session`] | Noise NK end to end; each datagram stands alone; all have one length |
//! | reliability | [`stream`] | ordered byte streams, many in a session, each to a [`stream::Target`] |
//! | way in | [`socks`] | what applications speak; a user name and password keep tasks apart |
//! | drivers | [`service`] and its [`exit`] rules, [`dialer`], [`proxy`], [`tunnel`] | sockets and timers around all of this |
//!
//! How they fit: a [`stream::Mux`] is made with [`session::CONTENT_LEN`] as its largest datagram. What it wants to send
//! goes through [`session::Session::seal`] into the other side's box, and what comes to the own box goes through
//! [`session::Session::open`] into [`stream::Mux::receive`]. The first datagram of each side may be the early data of
//! the handshake ([`stream::Mux::poll_transmit_within`]), which saves a round trip of seconds. [`socks::Request`] gives
//! a target, and [`stream::Refusal`] a [`socks::Reply`].
//!
//! All but the drivers is without IO: time and chance are parameters, but for the ephemeral keys of the handshake, which
//! the Noise library draws from the system. What comes from elsewhere is never trusted for a length or a number, and every
//! memory has a bound that is a named constant.

pub mod address;
pub mod blinding;
pub mod descriptor;
pub mod dialer;
pub mod exit;
mod places;
pub mod proxy;
pub mod service;
pub mod session;
pub mod socks;
pub mod stream;
pub mod tunnel;

pub use places::best_level;

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
