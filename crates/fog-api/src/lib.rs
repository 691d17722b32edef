//! The words that the page and the core use: commands, events and view models.
//!
//! There is one entrance to the core. A caller (the page in the window, the page in a browser, the `fog`
//! command) sends a [`Command`] and gets the reply type that the command's [`Request`] implementation names,
//! or an [`ApiError`]. Everything that changes afterwards arrives as an [`Event`] on one stream.
//!
//! ```text
//!   page / CLI --Command--> core --reply | ApiError--> page / CLI
//!                            core --Event (numbered)--> everybody who listens
//! ```
//!
//! Big binary content (a WASM module, a file) does not travel inside commands: it is uploaded first, which
//! gives its [`Hash`], and commands name it by that hash.
//!
//! Conventions: times are seconds since the Unix epoch ([`Seconds`]), amounts are integers of the smallest
//! unit written as decimal strings ([`Amount`]), ids are lower-case hexadecimal text. The crate has no IO and
//! builds for `wasm32-unknown-unknown`.

mod amount;
mod command;
mod event;
mod view;

pub use amount::{Amount, ParseAmountError, UNITS_PER_FOG};
pub use command::*;
pub use event::{Event, EventBody};
pub use view::*;

use serde::{Deserialize, Serialize};

/// Seconds since the Unix epoch, with fractions.
pub type Seconds = f64;
/// A person's id: the 32-byte Ed25519 public key of their identity, in hexadecimal.
pub type PeerId = String;
/// A content hash: BLAKE3, 32 bytes, in hexadecimal.
pub type Hash = String;

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// What the caller can do about it.
    pub kind: ErrorKind,
    /// One sentence for a person: what was wrong and what to do.
    pub message: String,
}

/// The errors, split by what the caller can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The input is malformed: correct it and send again.
    BadInput,
    /// The named thing does not exist.
    NotFound,
    /// It exists or was done already.
    Conflict,
    /// The node is not set up yet, or locked: create an identity or unlock first.
    NotReady,
    /// The rules do not allow it (a vote after the end, a job above the price limit, not enough FOG).
    Refused,
    /// Network, disk or sensor trouble: it may work later.
    Unavailable,
    /// A defect in the node: the log says more.
    Internal,
}

impl ApiError {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}
