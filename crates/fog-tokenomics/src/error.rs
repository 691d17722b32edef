//! What can go wrong, and what the caller can do about it.

use crate::amount::Shown;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of this crate. [`Error::kind`] groups them by what the caller can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// SQLite failed: retry when it was busy; otherwise the disk or the file needs help.
    #[error("the ledger's database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The tables could not be brought up to date.
    #[error("the ledger's tables could not be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// What is stored contradicts itself: restore a backup.
    #[error("the ledger is damaged: {0}")]
    Corrupt(String),
    /// [`crate::open`] was not called on this database.
    #[error("the ledger was not opened with a genesis")]
    NotOpened,
    /// The database belongs to a network with another genesis.
    #[error("the ledger belongs to a network with another genesis")]
    OtherGenesis,
    /// The genesis contradicts itself.
    #[error("the genesis is not valid: {0}")]
    InvalidGenesis(&'static str),
    /// The amount is beyond what a ledger can hold.
    #[error("the amount is too large")]
    AmountTooLarge,
    /// The time is beyond what a ledger can hold.
    #[error("the time is out of range")]
    TimeOutOfRange,

    /// The account has less than the operation needs.
    #[error("not enough FOG: {account} has {}, {} needed", Shown(*.available), Shown(*.needed))]
    Insufficient {
        /// The account, in words.
        account: String,
        /// What it has, smallest units.
        available: u128,
        /// What it would need, smallest units.
        needed: u128,
    },
    /// The job has no escrow here.
    #[error("no escrow is held for this job")]
    NoEscrow,
    /// The job was settled before, with other terms than these.
    #[error("the job is already settled")]
    AlreadySettled,
    /// The job's escrow was returned before.
    #[error("the job's escrow was already returned")]
    AlreadyRefunded,
    /// The job's escrow is held with another payer or amount.
    #[error("the job's escrow is already held with other terms")]
    EscrowDiffers,
    /// More was asked than the escrow holds.
    #[error("the price of {} is above the escrow of {}", Shown(*.price), Shown(*.escrow))]
    PriceAboveEscrow {
        /// The price, smallest units.
        price: u128,
        /// The escrow, smallest units.
        escrow: u128,
    },

    /// The signature does not belong to the statement and its signer.
    #[error("wrong signature: it does not belong to this statement and its signer")]
    WrongSignature,
    /// The key given to sign with is not the signer's.
    #[error("the key is not the signer's")]
    WrongKey,
    /// The statement is of another network.
    #[error("it belongs to another network")]
    WrongNetwork,
    /// A field breaks the rules.
    #[error("{0}")]
    Invalid(&'static str),
    /// Longer than a record may be; refused before anything was read.
    #[error("a record of {length} bytes is longer than {max}")]
    RecordTooLong {
        /// Its bytes.
        length: usize,
        /// The bytes allowed.
        max: usize,
    },
    /// Not a record, or not in its one valid form.
    #[error("not a valid record")]
    MalformedRecord,

    /// The proposer has too little voting power.
    #[error("opening a proposal takes a voting power of {}, the proposer has {}", Shown(*.needed), Shown(*.power))]
    BelowThreshold {
        /// The proposer's power, smallest units.
        power: u128,
        /// The power it takes, smallest units.
        needed: u128,
    },
    /// Only guardians and above open emergency proposals.
    #[error("only a guardian may open an emergency proposal")]
    RoleTooLow,
    /// Another proposal has this id.
    #[error("another proposal has this id")]
    ProposalIdTaken,
    /// Too many open proposals whose snapshots differ from our ledger; later ones may be accepted.
    #[error("too many open proposals disagree with our ledger")]
    TooManyUnverified,
    /// There is no such proposal here.
    #[error("no such proposal")]
    NoSuchProposal,
    /// The vote was cast, or arrived, after the end of voting.
    #[error("voting on this proposal has ended")]
    VotingEnded,
    /// The vote's time is before the proposal's.
    #[error("the vote is dated before its proposal")]
    VoteTooEarly,
    /// The voter was not a member when the proposal was opened.
    #[error("the voter has no vote on this proposal: not in its snapshot")]
    NotInSnapshot,
}

/// Groups of errors by what the caller can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The rules do not allow it: tell the user why.
    Refused,
    /// The bytes or fields are not valid: drop them, and think less of who sent them.
    Invalid,
    /// There is no such thing here (yet).
    Missing,
    /// Storage or configuration: stop, or retry when it was busy.
    Storage,
}

impl Error {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Database(_)
            | Self::Migrate(_)
            | Self::Corrupt(_)
            | Self::NotOpened
            | Self::OtherGenesis
            | Self::InvalidGenesis(_) => ErrorKind::Storage,
            Self::NoEscrow | Self::NoSuchProposal => ErrorKind::Missing,
            Self::WrongSignature
            | Self::WrongKey
            | Self::WrongNetwork
            | Self::Invalid(_)
            | Self::RecordTooLong { .. }
            | Self::MalformedRecord
            | Self::ProposalIdTaken
            | Self::TimeOutOfRange
            | Self::AmountTooLarge => ErrorKind::Invalid,
            _ => ErrorKind::Refused,
        }
    }
}
