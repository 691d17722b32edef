//! The one way in which FOG moves: an entry whose postings sum to zero.

use sqlx::SqliteConnection;

use super::{Account, account_balance};
use crate::{
    JobId, Person,
    amount::split,
    db::time_in,
    error::{Error, Result},
};

/// Longest memo kept, bytes.
const MAX_MEMO: usize = 256;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// The supply comes into being.
    Genesis,
    /// A joiner's grant.
    Join,
    /// FOG is held for a job.
    EscrowLock,
    /// A job is paid from its escrow, the rest goes back.
    EscrowSettle,
    /// An escrow goes back whole.
    EscrowRefund,
    /// A job is paid that had no escrow in this ledger.
    SettleDirect,
    /// The rewards pool pays a relay's operator for an epoch of mixing.
    MixingReward,
}

impl EntryKind {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Genesis, "genesis"),
        (Self::Join, "join"),
        (Self::EscrowLock, "escrow_lock"),
        (Self::EscrowSettle, "escrow_settle"),
        (Self::EscrowRefund, "escrow_refund"),
        (Self::SettleDirect, "settle_direct"),
        (Self::MixingReward, "mixing_reward"),
    ];

    /// The kind's name, as stored.
    pub fn name(self) -> &'static str {
        // Every kind is in the list.
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    pub(crate) fn parse(name: &str) -> Result<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(kind, _)| *kind)
            .ok_or_else(|| Error::Corrupt("an entry of an unknown kind".into()))
    }
}

/// An entry's head.
pub(crate) struct Entry<'a> {
    /// The operation's id.
    pub(crate) op: String,
    pub(crate) kind: EntryKind,
    pub(crate) time_ms: u64,
    /// Cut to [`MAX_MEMO`] bytes: a long memo must not stop a payment.
    pub(crate) memo: &'a str,
    pub(crate) job: Option<JobId>,
    /// Who owns the escrow account, where the entry opens one.
    pub(crate) payer: Option<Person>,
}

/// Books an entry. The caller holds a transaction.
pub(crate) async fn post(
    conn: &mut SqliteConnection,
    entry: &Entry<'_>,
    lines: &[(Account, i128)],
) -> Result<()> {
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO ledger_entries (op, kind, time_ms, memo, job) VALUES (?, ?, ?, ?, ?) RETURNING id",
    )
    .bind(&entry.op)
    .bind(entry.kind.name())
    .bind(time_in(entry.time_ms)?)
    .bind(cut(entry.memo))
    .bind(entry.job.as_ref().map(|job| &job[..]))
    .fetch_one(&mut *conn)
    .await?;
    for (line, (account, units)) in lines.iter().enumerate() {
        if *units < 0 && *account != Account::Issuance {
            // SQLite would refuse too, but with words that help nobody.
            let (available, needed) = (account_balance(conn, account).await?, units.unsigned_abs());
            if available < needed {
                return Err(Error::Insufficient { account: account.to_string(), available, needed });
            }
        }
        let account = account_id(conn, account, entry.payer.as_ref()).await?;
        let (fog, atto) = split(*units)?;
        sqlx::query("INSERT INTO ledger_postings (entry, line, account, fog, atto) VALUES (?, ?, ?, ?, ?)")
            .bind(id)
            .bind(line as i64)
            .bind(account)
            .bind(fog)
            .bind(atto)
            .execute(&mut *conn)
            .await?;
    }
    sqlx::query("UPDATE ledger_entries SET sealed = 1 WHERE id = ?").bind(id).execute(conn).await?;
    Ok(())
}

/// The row of an account, which is made at its first use.
async fn account_id(conn: &mut SqliteConnection, account: &Account, payer: Option<&Person>) -> Result<i64> {
    let owner = match account {
        Account::Person(person) => Some(person),
        Account::Escrow(_) => payer,
        _ => None,
    };
    let known: Option<(i64,)> = sqlx::query_as("SELECT id FROM ledger_accounts WHERE kind = ? AND key = ?")
        .bind(account.kind())
        .bind(account.key())
        .fetch_optional(&mut *conn)
        .await?;
    if let Some((id,)) = known {
        return Ok(id);
    }
    let (id,): (i64,) =
        sqlx::query_as("INSERT INTO ledger_accounts (kind, key, owner) VALUES (?, ?, ?) RETURNING id")
            .bind(account.kind())
            .bind(account.key())
            .bind(owner.map(|owner| &owner[..]))
            .fetch_one(conn)
            .await?;
    Ok(id)
}

fn cut(memo: &str) -> &str {
    &memo[..memo.floor_char_boundary(MAX_MEMO)]
}
