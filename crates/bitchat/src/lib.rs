//! The mesh chat protocol of the bitchat apps, without input or output.
//!
//! Phones and desktops near one another pass small packets on over Bluetooth. A [`packet`] has a type, a time to live,
//! a sender and, for most types, an Ed25519 signature over all that relays do not change. Relays keep the bytes that they
//! received, so they pass on what they cannot read. What is for one person travels sealed in a Noise session. Time and
//! chance are parameters everywhere.
//!
//! ```text
//!  bytes ─▶ packet ─▶ fragment ─▶ announce (whose keys, which signatures) ─▶ message, group, file, voice, board, sync ...
//!                                 noise (handshake, session) ─────────────▶ private (text, receipts, files ...)
//! ```
//!
//! The frame:
//! * [`peer`] and [`identity`]: who somebody is on the mesh, and the own keys.
//! * [`packet`]: header, padding, compression, signature, streams of packets.
//! * [`fragment`]: packets in pieces, put together within bounds.
//!
//! Whom to believe:
//! * [`announce`]: announcements, and the roster of pinned keys that signatures are checked by.
//! * [`noise`]: handshakes, and sessions with everybody.
//! * [`verification`] and [`vouch`]: comparing keys, and passing on that one did.
//!
//! What is said:
//! * [`message`], [`file`](mod@file), [`voice`], [`group`], [`board`]: to everybody, or to a group.
//! * [`private`]: inside a session.
//! * [`courier`]: to somebody who is away, by others.
//! * [`sync`]: which packets one has; [`ping`]: who is there; [`carrier`]: from and to Nostr.
//! * [`rotation`]: the planned changing ids.
//! * [`mesh`]: relay, routing, store and forward, history.
//!
//! For who works on the protocol: [`json`] describes any packet, and builds one from a description.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod announce;
pub mod board;
mod bucket;
pub mod capabilities;
pub mod carrier;
pub mod courier;
pub mod error;
pub mod file;
pub mod fragment;
pub mod group;
pub mod identity;
pub mod json;
pub mod mesh;
pub mod message;
pub mod noise;
pub mod packet;
pub mod peer;
pub mod ping;
pub mod private;
pub mod rotation;
pub mod sync;
mod tlv;
pub mod verification;
pub mod voice;
pub mod vouch;

pub use capabilities::Capabilities;
pub use error::{DecodeError, EncodeError};
pub use identity::Identity;
pub use peer::{Fingerprint, PeerId};
