//! The relay lottery: which of the relays that stand for an epoch get a seat in it, by a draw that nobody can
//! steer and everybody can check.
//!
//! ```text
//!  relay:      VrfSecret::draw(network, epoch, seed) ──▶ Ticket (96 bytes, in its descriptor)
//!  everybody:  Ticket::verify ──▶ 32 uniform bytes ─┐
//!              Standing::weight ────────────────────┴─▶ elect: exponential race per layer, with diversity
//!  next epoch: next_seed(…, the outputs of all tickets)
//! ```
//!
//! * A *ticket* is the output of a verifiable random function (VRF) with its proof: a key has exactly one output
//!   for an epoch, only its owner can tell it beforehand, and everybody can check it afterwards.
//! * The *race* (Efraimidis & Spirakis 2006) turns uniform draws into a weighted one without replacement: score
//!   `-ln(u) / weight`, lowest first. A relay's score depends on nobody else, so no order of arrival matters.
//! * *Diversity* keeps one operator and one network from taking a layer.
//!
//! Clients and authorities must come to the same result on every platform, so weights and scores are integers;
//! the only floating-point number here, that of [`weight`], is for showing.
//!
//! What it does not hold against: the key must be published **before** the epoch's seed is known, or a relay could
//! try keys until one wins. Who sends in a ticket last knows the others' and can keep theirs back, which lets them
//! choose between two next seeds. And a person with many keys, addresses and operators' names has many chances:
//! that is what stake and reputation are for.

mod race;
mod standing;
mod vrf;

pub use race::{Candidate, OPERATOR_SHARE, elect, same_subnet};
pub use standing::{FULL_STAKE, Standing, WEIGHT_ONE, weight};
pub use vrf::{Ticket, VrfSecret, next_seed};
