//! Private groups of up to sixteen, kept by who made them.
//!
//! The creator sends each member the [`GroupState`] inside their session: key, epoch, roster. Messages travel as
//! broadcasts, sealed with that key. There is no ratchet: who learns the key reads the whole epoch, and a member that was
//! removed reads on until the others have the next key. So receivers check that the epoch is theirs and the sender on
//! the roster.

mod message;
mod state;

pub use message::{GroupEnvelope, GroupMessage};
pub use state::{GroupState, MAX_MEMBERS, MAX_NICKNAME, Member};

/// Bytes of a group's id.
pub const GROUP_ID_LEN: usize = 16;

/// Why a group's state or message is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] crate::error::DecodeError),
    /// The state comes from somebody who did not make the group.
    #[error("only who made the group may change it")]
    NotTheCreator,
    /// The creator is not on the roster.
    #[error("the creator is not on the roster")]
    NoCreator,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    Signature,
    /// The epoch is not newer than the one that is known.
    #[error("epoch {0} is not newer than the one that is known")]
    OldEpoch(u32),
    /// It belongs to another group or epoch.
    #[error("the message is of another group or epoch")]
    OtherEpoch,
    /// The key does not open it.
    #[error("the group's key does not open the message")]
    Sealed,
    /// The sender is not, or no longer, a member.
    #[error("the sender is not a member")]
    NotAMember,
}

#[cfg(test)]
mod tests;
