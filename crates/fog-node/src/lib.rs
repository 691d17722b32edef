//! A Fog Compute node: puts the parts together behind one typed entrance.
//!
//! ```text
//!  page, CLI ── Command ──> Node::command ──┬─> contacts, chat      ──┐
//!                                           ├─> network (mixnet)     │  one transaction:
//!                                           ├─> compute (jobs)       ├─ own state + outbox + inbox,
//!                                           ├─> wallet, governance   │  then what follows from it
//!  page, CLI <── Event ──── Bus <───────────┴──────────────────────── ┘  (events, sending, running)
//!                                           ^
//!  other nodes ──> fog-p2p endpoint ── Event::Incoming ── delivery ───┘
//! ```
//!
//! [`Node::start`] opens the data folder (one process at a time), the database and the secrets. A node without
//! an identity, or whose secrets are sealed, answers only the commands that change this; once it has its
//! secrets, its `core` runs: relays of its own test network, mixnet clients, endpoint, jobs, harvester.
//!
//! Everything that a command or a message changes is one [`work::Work`]: a database transaction and the list
//! of what follows once it is committed. So nothing is told, sent or acknowledged before it is on disk.

mod card;
mod chat;
mod command;
mod compute;
mod config;
mod contacts;
mod core;
mod crossing;
mod delivery;
mod direct;
mod error;
mod events;
mod governance;
mod harvest;
mod identity;
mod memory;
mod mixing;
mod network;
mod node;
mod overview;
mod paths;
mod reach;
mod records;
mod secrets;
mod settings;
mod settlements;
mod store;
#[cfg(test)]
mod testing;
mod time;
mod wallet;
pub mod web;
mod wire;
mod work;

pub use crate::config::{KeychainUse, NodeConfig, data_dir};
pub use crate::error::NodeError;
pub use crate::node::Node;
