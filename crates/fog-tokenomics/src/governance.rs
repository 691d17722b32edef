//! Governance: proposals, votes, and how they are counted.
//!
//! A proposal carries, under its proposer's signature, a snapshot of the members with their roles and what
//! they owned, so that every node counts with the same numbers. [`rules`] is pure: it says what is valid
//! and how votes sum up. [`put_proposal`] and [`put_vote`] keep what the rules allow, in whichever order it
//! comes. A proposal that passed is only shown as passed: that parameter and treasury proposals execute
//! themselves is not built yet.

mod model;
mod proposals;
pub mod rules;
mod votes;

pub use model::{Choice, Proposal, ProposalKind, Role, SignedProposal, SignedVote, SnapshotMember, Vote};
pub(crate) use proposals::store as store_proposal;
pub use proposals::{StoredProposal, build_proposal, get, list_proposals, put_proposal};
pub use rules::{MAX_FUTURE_MS, State, Tally};
pub use votes::{Fault, VoteOutcome, build_vote, faults, my_vote, next_sequence, put_vote, votes};
