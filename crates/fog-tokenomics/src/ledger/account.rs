//! Accounts and their balances.

use sqlx::SqliteConnection;

use crate::{
    JobId, Person,
    amount::{join, join_unsigned},
    db::{array, hex},
    error::{Error, Result},
};

/// Who or what can hold FOG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Account {
    /// The other side of the supply: minus all that exists.
    Issuance,
    /// The treasury, spent by votes.
    Treasury,
    /// The sovereign fund.
    Sovereign,
    /// The pool from which rewards are paid.
    RewardsPool,
    /// The fund from which joiners are paid.
    JoinerFund,
    /// A person.
    Person(Person),
    /// What is held for a job.
    Escrow(JobId),
}

impl Account {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Issuance => "issuance",
            Self::Treasury => "treasury",
            Self::Sovereign => "sovereign",
            Self::RewardsPool => "rewards",
            Self::JoinerFund => "joiners",
            Self::Person(_) => "person",
            Self::Escrow(_) => "escrow",
        }
    }

    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Self::Person(person) => person,
            Self::Escrow(job) => job,
            _ => &[],
        }
    }

    pub(crate) fn parse(kind: &str, key: &[u8]) -> Result<Self> {
        Ok(match kind {
            "issuance" => Self::Issuance,
            "treasury" => Self::Treasury,
            "sovereign" => Self::Sovereign,
            "rewards" => Self::RewardsPool,
            "joiners" => Self::JoinerFund,
            "person" => Self::Person(array(key)?),
            "escrow" => Self::Escrow(array(key)?),
            _ => return Err(Error::Corrupt("an account of an unknown kind".into())),
        })
    }
}

/// In words, with the first digits of a key or an id: `treasury`, `person 1a2b3c4d`, `escrow 1a2b3c4d`.
impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Issuance => f.write_str("issuance"),
            Self::Treasury => f.write_str("treasury"),
            Self::Sovereign => f.write_str("sovereign fund"),
            Self::RewardsPool => f.write_str("rewards pool"),
            Self::JoinerFund => f.write_str("joiner fund"),
            Self::Person(key) => write!(f, "person {}", hex(&key[..4])),
            Self::Escrow(job) => write!(f, "escrow {}", hex(&job[..4])),
        }
    }
}

/// What a person can spend, smallest units. Zero for a stranger.
///
/// # Errors
/// [`Error::Database`].
pub async fn balance(conn: &mut SqliteConnection, person: &Person) -> Result<u128> {
    account_balance(conn, &Account::Person(*person)).await
}

/// What an account holds, smallest units. For [`Account::Issuance`] the supply, which it owes.
///
/// # Errors
/// [`Error::Database`].
pub async fn account_balance(conn: &mut SqliteConnection, account: &Account) -> Result<u128> {
    let row: Option<(i64, i64)> =
        sqlx::query_as("SELECT fog, atto FROM ledger_accounts WHERE kind = ? AND key = ?")
            .bind(account.kind())
            .bind(account.key())
            .fetch_optional(conn)
            .await?;
    Ok(row.map_or(0, |pair| join(pair).unsigned_abs()))
}

/// What is held in escrow for jobs that a person pays, smallest units.
///
/// # Errors
/// [`Error::Database`].
pub async fn escrow_of(conn: &mut SqliteConnection, person: &Person) -> Result<u128> {
    let rows: Vec<(i64, i64)> =
        sqlx::query_as("SELECT fog, atto FROM ledger_accounts WHERE owner = ? AND kind = 'escrow'")
            .bind(&person[..])
            .fetch_all(conn)
            .await?;
    rows.into_iter().map(join_unsigned).sum()
}
