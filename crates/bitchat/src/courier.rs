//! Messages for somebody who is away, carried by others.
//!
//! The message is sealed to the receiver's static key, or better to one of the one-time keys that they gave out
//! ([`PrekeyBundle`]), and put into an [`Envelope`] with a tag that only those who know the receiver's key can make. A
//! courier that meets the receiver hands it over, and meeting another courier may give half of its copies away.

mod envelope;
mod prekeys;
mod seal;

pub use envelope::{
    Envelope, INITIAL_COPIES, MAX_CIPHERTEXT, MAX_COPIES, MAX_LIFE_MS, SLACK_MS, TAG_LEN, tag, utc_day,
};
pub use prekeys::{MAX_PREKEYS, Prekey, PrekeyBundle};
pub use seal::{Opened, SealError, Target, open, open_with_prekey, seal};

#[cfg(test)]
mod tests;
