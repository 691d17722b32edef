//! Orders: what a user calls a job. An order is tried on one device after another, or on several at once; each such
//! attempt is a [`crate::store::Job`] between this node and one device, which the [engine](crate::engine) moves along.
//!
//! ```text
//!   order: pending ─▶ scheduled ─▶ running ⇄ checkpointed ─▶ completed | failed | cancelled
//!             │            ▲ the furthest of its attempts
//!             ├─ attempt 1 at Ada: ran, checkpoints 1 to 4, gone
//!             └─ attempt 2 at Bob: goes on from checkpoint 4, done, paid
//! ```
//!
//! [`decide`] says what to do, as a pure function; the engine carries it out. An *array* is an order whose elements are
//! orders of their own, with the same content but for their index. An order may wait for others, and use their outputs as
//! its inputs. It can only wait for orders that are there before it, so there is no circle.

mod decide;
mod model;
#[cfg(test)]
mod tests;

pub use decide::{Attempt, Candidate, Decision, Facts, Patience, Step, decide};
pub use model::{
    Counts, INDEX_VARIABLE, MAX_ELEMENTS, MAX_NEEDS, MAX_PERSONS, Order, OrderId, OrderSpec, Source, State,
    Target,
};
