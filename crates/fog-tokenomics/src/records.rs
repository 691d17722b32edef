//! The signed statements as bytes, for gossip: what a node receives, applies and passes on.

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

use crate::{
    Outcome, Person, ProposalId, SignedJoin, SignedProposal, SignedVote, VoteOutcome,
    db::array,
    error::{Error, Result},
    governance::{put_vote, rules, store_proposal},
    membership::put_join,
};

/// Longest record, bytes: a proposal with the longest text and the largest snapshot (a member is at most a
/// key of 32, a role of 1 and an amount of 19 bytes).
pub const MAX_RECORD: usize = rules::MAX_SNAPSHOT * 52 + rules::MAX_BODY + 4 * rules::MAX_TITLE_CHARS + 1024;

/// A signed statement of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A person joins.
    Join(SignedJoin),
    /// A proposal.
    Proposal(SignedProposal),
    /// A vote.
    Vote(SignedVote),
}

/// What a record was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A member.
    Person(Person),
    /// A proposal, or a vote on it.
    Proposal(ProposalId),
}

/// What applying a record did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The record's id.
    pub id: [u8; 32],
    /// True if it changed something here, so that others should hear of it. A parked vote is not passed on
    /// until it is released.
    pub new: bool,
    /// What it was about.
    pub subject: Subject,
    /// Votes that had come before this proposal and now count: pass these on too.
    pub released: Vec<Record>,
}

impl Record {
    /// The record's bytes (postcard).
    ///
    /// # Errors
    /// [`Error::RecordTooLong`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        let bytes = postcard::to_stdvec(self).map_err(|_| Error::MalformedRecord)?;
        if bytes.len() > MAX_RECORD {
            return Err(Error::RecordTooLong { length: bytes.len(), max: MAX_RECORD });
        }
        Ok(bytes)
    }

    /// Reads a record. Only the one form is taken that [`Record::encode`] writes, so that a statement has one
    /// id. The signature is not checked here.
    ///
    /// # Errors
    /// [`Error::RecordTooLong`] before anything is read, [`Error::MalformedRecord`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_RECORD {
            return Err(Error::RecordTooLong { length: bytes.len(), max: MAX_RECORD });
        }
        // Serde does not trust announced lengths: it reserves at most 1 MiB ahead of what was read.
        let record: Self = postcard::from_bytes(bytes).map_err(|_| Error::MalformedRecord)?;
        if record.encode()? != bytes {
            return Err(Error::MalformedRecord);
        }
        Ok(record)
    }

    /// Reads a record that we wrote.
    pub(crate) fn decode_stored(bytes: &[u8]) -> Result<Self> {
        postcard::from_bytes(bytes).map_err(|_| Error::Corrupt("a stored record cannot be read".into()))
    }

    /// The record's id: the BLAKE3 of its bytes.
    ///
    /// # Errors
    /// As [`Record::encode`].
    pub fn id(&self) -> Result<[u8; 32]> {
        Ok(Self::id_of(&self.encode()?))
    }

    /// The id of a record's bytes.
    pub fn id_of(bytes: &[u8]) -> [u8; 32] {
        *blake3::hash(bytes).as_bytes()
    }
}

/// Applies a record that arrived at `now_ms`: checks it, keeps it, says whether it was news.
///
/// # Errors
/// Those of [`put_join`], [`crate::governance::put_proposal`] and [`put_vote`].
pub async fn apply(conn: &mut SqliteConnection, record: &Record, now_ms: u64) -> Result<Applied> {
    let id = record.id()?;
    let (new, subject, released) = match record {
        Record::Join(join) => {
            let outcome = put_join(conn, join, now_ms).await?;
            (outcome == Outcome::New, Subject::Person(join.content.person), Vec::new())
        }
        Record::Proposal(proposal) => {
            let (outcome, released) = store_proposal(conn, proposal, now_ms).await?;
            (outcome == Outcome::New, Subject::Proposal(proposal.content.id), released)
        }
        Record::Vote(vote) => {
            let outcome = put_vote(conn, vote, now_ms).await?;
            let new = matches!(outcome, VoteOutcome::New | VoteOutcome::Replaced);
            (new, Subject::Proposal(vote.content.proposal), Vec::new())
        }
    };
    Ok(Applied { id, new, subject, released: released.into_iter().map(Record::Vote).collect() })
}

const ALL: &str = "SELECT 0 AS rank, record_id, record FROM ledger_members WHERE record_id IS NOT NULL
     UNION ALL SELECT 1, record_id, record FROM dao_proposals
     UNION ALL SELECT 2, record_id, record FROM dao_votes";

/// The ids of all records kept: joins first, then proposals, then votes, so that one who applies them in this
/// order parks nothing.
///
/// # Errors
/// [`Error::Database`].
pub async fn ids(conn: &mut SqliteConnection) -> Result<Vec<[u8; 32]>> {
    let rows: Vec<(Vec<u8>,)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT record_id FROM ({ALL}) ORDER BY rank, record_id"
    )))
    .fetch_all(conn)
    .await?;
    rows.iter().map(|(id,)| array(id)).collect()
}

/// The bytes of a record kept, by its id.
///
/// # Errors
/// [`Error::Database`].
pub async fn load(conn: &mut SqliteConnection, id: &[u8; 32]) -> Result<Option<Vec<u8>>> {
    let row: Option<(Vec<u8>,)> =
        sqlx::query_as(sqlx::AssertSqlSafe(format!("SELECT record FROM ({ALL}) WHERE record_id = ?")))
            .bind(&id[..])
            .fetch_optional(conn)
            .await?;
    Ok(row.map(|(record,)| record))
}
