//! Packets as JSON, for people who work on the protocol: everything in them, what is wrong with them, and back.
//!
//! [`describe`] reads any bytes. [`build`] makes a packet from what `describe` printed, or from as little as a type, a
//! sender and a content. A description that is not changed gives the same bytes again, whoever made them: `payload`,
//! `compression`, `signature` and `padded` say how they were made. A description without `payload` is encoded from
//! `content`.
//!
//! A [`Keyring`] opens what is sealed, checks signatures and signs. The fields are described in `docs/cli-json.md`.

mod build;
mod describe;
mod forms;
mod hex_fields;
mod keyring;
mod private;

pub use build::{BuildError, build};
pub use describe::{Description, describe};
pub use keyring::{KeyError, Keyring};

#[cfg(test)]
mod tests;
