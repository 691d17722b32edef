//! Money and votes: a double-entry ledger of FOG and the governance that counts by it.
//!
//! The crate is the ground: it knows persons (Ed25519 public keys), job ids and a SQLite connection,
//! nothing of networks, jobs or pages. Every function takes the caller's `&mut SqliteConnection`, so that
//! what must hold together (a receipt and its payment) is one transaction of one database. Time is
//! passed in, in milliseconds since 1970; amounts are `u128` of the smallest unit (10^-18 FOG), never
//! floats.
//!
//! How data flows:
//!
//! ```text
//! Genesis ──open──▶ ledger: supply = treasury + sovereign fund + rewards pool + joiner fund
//! Join (signed) ──▶ joiner fund pays the grant; the person is a member
//! a job         ──▶ escrow_lock, then escrow_settle or escrow_refund; other nodes: settle_direct
//! Proposal      ──▶ takes a snapshot of the members' powers from the ledger, signed with it
//! Vote (signed) ──▶ kept if the rules allow; rules::tally and rules::state count
//! Record        ──▶ any of the three signed statements as bytes, for gossip between nodes
//! ```
//!
//! Callers that write should begin with `BEGIN IMMEDIATE` (sqlx's `begin_with`): each operation nests its
//! own savepoint inside, so a refused operation leaves nothing behind. Outside of a transaction
//! each operation makes its own. Foreign keys must be on, as they are by default in sqlx.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use fog_tokenomics::{Choice, Genesis, ProposalKind, State, UNITS_PER_FOG, governance, ledger, open};
//! use sqlx::{Connection, SqliteConnection};
//!
//! let mut conn = SqliteConnection::connect("sqlite::memory:").await?;
//! open(&mut conn, &Genesis::test([1; 32])).await?;
//!
//! let key = ed25519_dalek::SigningKey::from_bytes(&[2; 32]);
//! let (me, worker, job, now) = (key.verifying_key().to_bytes(), [3; 32], [4; 16], 1_800_000_000_000);
//! ledger::join(&mut conn, &me, now).await?;
//! ledger::escrow_lock(&mut conn, &job, &me, 5 * UNITS_PER_FOG, now).await?;
//! ledger::escrow_settle(&mut conn, &job, &worker, 2 * UNITS_PER_FOG, now, "word count").await?;
//! assert_eq!(ledger::balance(&mut conn, &me).await?, 9_998 * UNITS_PER_FOG);
//!
//! let proposal =
//!     governance::build_proposal(&mut conn, ProposalKind::General, "Tea at four", "", &key, now).await?;
//! governance::put_proposal(&mut conn, &proposal, now).await?;
//! let vote = governance::build_vote(&mut conn, &proposal.content.id, Choice::Yes, &key, now).await?;
//! governance::put_vote(&mut conn, &vote, now).await?;
//! let counted = governance::get(&mut conn, &proposal.content.id).await?.ok_or("lost")?;
//! assert_eq!(counted.state(now + 60_001), State::Passed);
//! # Ok::<_, Box<dyn std::error::Error>>(()) })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! Not here yet: staking, delegation, vetoes, and the execution of proposals that passed.

pub mod amount;
pub mod error;
pub mod genesis;
pub mod governance;
pub mod ledger;
pub mod membership;
pub mod records;
pub mod signed;

mod db;

pub use amount::UNITS_PER_FOG;
pub use db::migrate;
pub use error::{Error, ErrorKind, Result};
pub use genesis::{Founder, Genesis, abandon, genesis, open};
pub use governance::{
    Choice, Proposal, ProposalKind, Role, SignedProposal, SignedVote, SnapshotMember, State, Tally, Vote,
    VoteOutcome,
};
pub use membership::{Join, SignedJoin};
pub use records::{Applied, Record};
pub use signed::{Signed, Statement};

/// A person: an Ed25519 public key.
pub type Person = [u8; 32];
/// A job's id.
pub type JobId = [u8; 16];
/// A proposal's id: the first bytes of the BLAKE3 of its content.
pub type ProposalId = [u8; 16];

/// Whether an operation changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out now.
    New,
    /// It had been carried out before, with the same terms: nothing changed.
    Known,
}
