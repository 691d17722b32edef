//! Jobs: what they are, how they travel, how they run, and what they cost.
//!
//! A *submitter* has a WASM program and perhaps some input; a *worker* has idle time. This crate is both sides of the
//! bargain. It knows nothing of the network, of the ledger or of the screen: persons are Ed25519 public keys, hashes are
//! BLAKE3, and what must be sent, paid or run is returned as a list of [`Action`]s.
//!
//! ```text
//!   submitter                                      worker
//!   submit ── Offer (signed spec) ──────────────▶ checks, locks the escrow
//!   locks the escrow      ◀──────────── Accept
//!            ◀── Want ── (chunks of module and input, verified one by one) ── Chunk ──▶
//!                         ◀────────── Progress     runs in a child process ([`sandbox`], [`worker`])
//!   checks the receipt    ◀── Result (signed receipt)
//!            ── Want ──▶  (chunks of the output)  ◀── Chunk ──
//!   countersigns ── Settled ────────────────────▶ checks
//!   pays from the escrow                           is paid
//! ```
//!
//! - [`spec`]: the three signed papers. [`price`]: the one price of a run. [`message`]: the words on the wire.
//! - [`blobs`]: content-addressed files. [`store`]: the tables. [`engine`]: the protocol as a state machine over both.
//! - [`sandbox`]: starts a child process and watches it. [`worker`]: that child, which has neither keys nor database
//!   nor network.
//!
//! The engine does its reading and writing on the caller's transaction, and the actions belong to the same transaction:
//! book the escrow and put the messages into the outbox, then commit, then run and kill. So a job, its money and its
//! messages are never at odds, whenever the process dies.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod blobs;
pub mod engine;
pub mod message;
pub mod price;
pub mod sandbox;
pub mod spec;
pub mod store;
pub mod worker;

pub use blobs::{BlobError, BlobStore};
pub use engine::{Action, Caps, Engine, EngineConfig, EngineError, NewJob, RunPlan};
pub use message::JobMessage;
pub use sandbox::{RunError, RunHandle, RunOutcome, RunRequest, Sandbox};
pub use spec::{
    BlobRef, Hash, JobId, JobSpec, Limits, Person, Receipt, Settlement, SignedReceipt, SignedSpec,
};
pub use store::{Job, JobState, Role, migrate};
