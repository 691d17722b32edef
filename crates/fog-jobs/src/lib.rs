//! Jobs: what they are, how they travel, how they run, and what they cost.
//!
//! A *submitter* has a program and perhaps some input; a *worker* has idle time. This crate is both sides of the
//! bargain. It knows nothing of the network, of the ledger or of the screen: persons are Ed25519 public keys, hashes are
//! BLAKE3, and what must be sent, paid or run is returned as a list of [`Action`]s.
//!
//! ```text
//!   submitter                                      worker
//!   order ─▶ attempt ── Offer (signed spec) ─────▶ checks, locks the escrow
//!   locks the escrow      ◀──────────── Accept
//!            ◀── Want ── (chunks of program and inputs, verified one by one) ── Chunk ──▶
//!            ◀── Status, Log, Checkpoint ──────── runs in a child process ([`sandbox`], [`worker`])
//!            ── Want, Kept ──▶ (chunks of the checkpoint)
//!   (sealed: ◀── Commit ── then Reveal ──▶ when the others have committed)
//!   checks the receipt    ◀── Result (signed receipt)
//!            ── Want ──▶  (chunks of the outputs)  ◀── Chunk ──
//!   countersigns ── Settled ────────────────────▶ checks
//!   pays from the escrow                           is paid
//! ```
//!
//! - [`spec`]: the three signed papers. [`price`]: the one price of a run. [`message`]: the words on the wire.
//! - [`orders`]: what a user orders, and what is to be done about it. [`trust`]: whom to believe.
//! - [`blobs`]: content-addressed files. [`store`]: the tables. [`engine`]: the protocol as a state machine over both.
//! - [`run`]: what a run is, for every runtime. [`sandbox`]: starts a child process and watches it. [`worker`]: that child,
//!   which has neither keys nor database nor network. [`prepare`]: makes a WASM module movable. [`checkpoint`]: the file of a
//!   state to go on from. [`container`]: runs containers on the device's engine.
//!
//! The engine does its reading and writing on the caller's transaction, and the actions belong to the same transaction:
//! book the escrow and put the messages into the outbox, then commit, then run and kill. So a job, its money and its
//! messages are never at odds, whenever the process dies.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod blobs;
pub mod checkpoint;
pub mod container;
pub mod engine;
pub mod message;
pub mod orders;
pub mod prepare;
pub mod price;
pub mod run;
pub mod sandbox;
pub mod spec;
pub mod store;
pub mod trust;
pub mod worker;

pub use blobs::{BlobError, BlobStore};
pub use container::{ContainerConfig, Containers};
pub use engine::{Action, Caps, Engine, EngineConfig, EngineError, NewOrder, Peer, Room, RunEnded, RunPlan};
pub use message::{Availability, JobMessage};
pub use orders::{Order, OrderId, OrderSpec, Source, Target};
pub use run::{
    Checkpoint, Events, Image, InputFile, Program, RunError, RunEvent, RunHandle, RunOutcome, RunRequest,
    StreamKind,
};
pub use sandbox::{EngineKind, Sandbox};
pub use spec::{
    BlobRef, Hash, JobId, JobSpec, Limits, Person, Receipt, Settlement, SignedReceipt, SignedSpec,
};
pub use store::{Job, JobState, Role, migrate};
