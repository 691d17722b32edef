//! What the engine asks of the identity.

use crate::PeerId;
use crate::mesh::types::Millis;

/// What an announce that holds says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// The Ed25519 key that signs this peer's packets.
    pub signing_key: [u8; 32],
    /// Whom the peer has links to.
    pub neighbours: Vec<PeerId>,
    /// It is one of our own nodes and takes [`Frame::Control`](crate::mesh::Frame::Control).
    pub native: bool,
}

/// Signs and checks. The product does it with the person's keys; a simulation may remember for all its nodes what was
/// checked once.
pub trait Keys {
    /// This node's own announce, signed, with TTL 7.
    fn announce(&mut self, now: Millis, neighbours: &[PeerId]) -> Vec<u8>;

    /// Checks an announce: complete, signed by the key in it, the sender bound to the Noise key in it, and no other key
    /// known for this sender from before. None where something does not hold.
    fn check_announce(&mut self, packet: &[u8]) -> Option<Announced>;

    /// The packet carries a signature, and it is by this key.
    fn check(&mut self, packet: &[u8], key: &[u8; 32]) -> bool;
}
