//! Telling a neighbour which packets one has, so that it sends the others.
//!
//! A request carries a *Golomb-coded set*: a sorted list of short hashes of [`PacketId`](crate::packet::PacketId)s,
//! written as differences. The neighbour answers with every stored packet of the asked types that is not in the set, as it
//! was received but with time to live 0 and marked as an answer.

mod gcs;
mod request;

pub use gcs::{DEFAULT_P, GcsFilter, MAX_DATA, MAX_P};
pub use request::{MAX_FRAGMENT_IDS, RequestSync, TypeFlags};

#[cfg(test)]
mod tests;
