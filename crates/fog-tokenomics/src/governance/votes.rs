//! Votes in the store.

use std::cmp::Reverse;

use ed25519_dalek::SigningKey;
use sqlx::SqliteConnection;

use super::{Choice, SignedVote, Vote, proposals, rules};
use crate::{
    Person, ProposalId,
    db::{begin, time_in, unsigned},
    error::{Error, Result},
    genesis,
    records::Record,
    signed::Signed,
};

/// Votes kept aside for proposals that have not come.
const MAX_PARKED: i64 = 1024;
/// Of these, one voter's.
const MAX_PARKED_PER_VOTER: i64 = 8;
/// Sequence numbers kept of one voter on one proposal. Older ones could only be evidence.
const MAX_KEPT: i64 = 32;

/// What became of a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoteOutcome {
    /// The voter's first: it counts.
    New,
    /// It counts instead of an earlier one.
    Replaced,
    /// It was here already.
    Known,
    /// A later one counts. (If it contradicts one of the same sequence number, both are kept as evidence.)
    Stale,
    /// Its proposal has not come yet; it waits.
    Parked,
}

/// Evidence that a person signed two different votes with one sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The two votes, the lesser signature first.
    pub votes: [SignedVote; 2],
    /// When the second came, milliseconds since 1970.
    pub seen_ms: u64,
}

/// Makes and signs a vote that replaces the voter's earlier ones. It takes effect by [`put_vote`].
///
/// # Errors
/// [`Error::NoSuchProposal`]; those of [`rules::check_vote`].
pub async fn build_vote(
    conn: &mut SqliteConnection,
    proposal: &ProposalId,
    choice: Choice,
    key: &SigningKey,
    now_ms: u64,
) -> Result<SignedVote> {
    let known = proposals::load(conn, proposal).await?.ok_or(Error::NoSuchProposal)?.content;
    let voter = key.verifying_key().to_bytes();
    let sequence = next_sequence(conn, proposal, &voter).await?;
    // The proposer's clock may be ahead of ours.
    let time_ms = now_ms.max(known.created_ms);
    let vote = Vote { proposal: *proposal, network: known.network, voter, choice, sequence, time_ms };
    rules::check_vote(&known, &vote)?;
    Signed::sign(vote, key)
}

/// Keeps a vote that arrived at `now_ms`.
///
/// # Errors
/// [`Error::WrongSignature`], [`Error::WrongNetwork`], [`Error::NotInSnapshot`], [`Error::VoteTooEarly`],
/// [`Error::VotingEnded`] (by the vote's own time, or because it arrived more than
/// [`rules::ARRIVAL_GRACE_MS`] after the end), [`Error::Invalid`].
pub async fn put_vote(conn: &mut SqliteConnection, signed: &SignedVote, now_ms: u64) -> Result<VoteOutcome> {
    let vote = &signed.content;
    if vote.network != genesis(conn).await?.network {
        return Err(Error::WrongNetwork);
    }
    signed.verify()?;
    let bytes = Record::Vote(signed.clone()).encode()?;
    let record_id = Record::id_of(&bytes);

    let mut tx = begin(conn).await?;
    let outcome = match proposals::load(&mut tx, &vote.proposal).await? {
        None => park(&mut tx, vote, &record_id, &bytes, now_ms).await?,
        Some(proposal) => {
            if known(&mut tx, &record_id).await? {
                // Also after the end: what was taken in time stays.
                return Ok(VoteOutcome::Known);
            }
            rules::check_vote(&proposal.content, vote)?;
            rules::check_arrival(&proposal.content, vote, now_ms)?;
            keep(&mut tx, signed, &record_id, &bytes, now_ms).await?
        }
    };
    tx.commit().await?;
    Ok(outcome)
}

async fn known(conn: &mut SqliteConnection, record_id: &[u8; 32]) -> Result<bool> {
    let row: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM dao_votes WHERE record_id = ?")
        .bind(&record_id[..])
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some())
}

async fn keep(
    conn: &mut SqliteConnection,
    signed: &SignedVote,
    record_id: &[u8; 32],
    bytes: &[u8],
    now_ms: u64,
) -> Result<VoteOutcome> {
    let vote = &signed.content;
    let kept: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT sequence, record FROM dao_votes WHERE proposal = ? AND voter = ? ORDER BY sequence",
    )
    .bind(&vote.proposal[..])
    .bind(&vote.voter[..])
    .fetch_all(&mut *conn)
    .await?;
    let sequence = i64::try_from(vote.sequence).map_err(|_| Error::TimeOutOfRange)?;
    let highest = kept.last().map(|(highest, _)| *highest);
    if let Some((_, rival)) = kept.iter().find(|(kept, _)| *kept == sequence) {
        let rival = parse(rival)?;
        if rival.content != *vote {
            accuse(conn, signed, &rival, now_ms).await?;
        }
        if !rules::supersedes(signed, &rival) {
            return Ok(VoteOutcome::Stale);
        }
    } else if kept.len() as i64 >= MAX_KEPT {
        if kept.first().is_some_and(|(lowest, _)| sequence < *lowest) {
            return Ok(VoteOutcome::Stale);
        }
        sqlx::query("DELETE FROM dao_votes WHERE proposal = ? AND voter = ? AND sequence = ?")
            .bind(&vote.proposal[..])
            .bind(&vote.voter[..])
            .bind(kept.first().map(|(lowest, _)| *lowest))
            .execute(&mut *conn)
            .await?;
    }
    sqlx::query(
        "INSERT INTO dao_votes (proposal, voter, sequence, arrived_ms, record_id, record) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (proposal, voter, sequence)
         DO UPDATE SET arrived_ms = excluded.arrived_ms, record_id = excluded.record_id, record = excluded.record",
    )
    .bind(&vote.proposal[..])
    .bind(&vote.voter[..])
    .bind(sequence)
    .bind(time_in(now_ms)?)
    .bind(&record_id[..])
    .bind(bytes)
    .execute(conn)
    .await?;
    Ok(match highest {
        None => VoteOutcome::New,
        Some(highest) if sequence < highest => VoteOutcome::Stale,
        Some(_) => VoteOutcome::Replaced,
    })
}

/// Keeps the evidence of two different votes with one sequence number; the first pair is enough.
async fn accuse(conn: &mut SqliteConnection, a: &SignedVote, b: &SignedVote, now_ms: u64) -> Result<()> {
    let (first, second) = if a.signature < b.signature { (a, b) } else { (b, a) };
    sqlx::query(
        "INSERT INTO dao_faults (proposal, voter, sequence, first, second, seen_ms) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING",
    )
    .bind(&a.content.proposal[..])
    .bind(&a.content.voter[..])
    .bind(i64::try_from(a.content.sequence).map_err(|_| Error::TimeOutOfRange)?)
    .bind(Record::Vote(first.clone()).encode()?)
    .bind(Record::Vote(second.clone()).encode()?)
    .bind(time_in(now_ms)?)
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps a vote aside until its proposal comes. Where that needs room, the oldest go: of this voter, or else
/// of persons who are no members (keys cost nothing), or else of all.
async fn park(
    conn: &mut SqliteConnection,
    vote: &Vote,
    record_id: &[u8; 32],
    bytes: &[u8],
    now_ms: u64,
) -> Result<VoteOutcome> {
    if vote.time_ms > now_ms.saturating_add(rules::MAX_FUTURE_MS) {
        return Err(Error::Invalid("the vote is dated in the future"));
    }
    let added = sqlx::query(
        "INSERT INTO dao_parked (proposal, voter, arrived_ms, record_id, record) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING",
    )
    .bind(&vote.proposal[..])
    .bind(&vote.voter[..])
    .bind(time_in(now_ms)?)
    .bind(&record_id[..])
    .bind(bytes)
    .execute(&mut *conn)
    .await?;
    if added.rows_affected() == 0 {
        return Ok(VoteOutcome::Known);
    }
    sqlx::query(
        "DELETE FROM dao_parked WHERE id IN
             (SELECT id FROM dao_parked WHERE voter = ? ORDER BY id DESC LIMIT -1 OFFSET ?)",
    )
    .bind(&vote.voter[..])
    .bind(MAX_PARKED_PER_VOTER)
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "DELETE FROM dao_parked WHERE id IN (SELECT id FROM dao_parked
         ORDER BY voter IN (SELECT person FROM ledger_members) DESC, id DESC LIMIT -1 OFFSET ?)",
    )
    .bind(MAX_PARKED)
    .execute(conn)
    .await?;
    Ok(VoteOutcome::Parked)
}

/// Takes the parked votes of a proposal out, with their times of arrival.
pub(crate) async fn unpark(
    conn: &mut SqliteConnection,
    proposal: &ProposalId,
) -> Result<Vec<(SignedVote, u64)>> {
    let rows: Vec<(Vec<u8>, i64)> =
        sqlx::query_as("SELECT record, arrived_ms FROM dao_parked WHERE proposal = ? ORDER BY id")
            .bind(&proposal[..])
            .fetch_all(&mut *conn)
            .await?;
    sqlx::query("DELETE FROM dao_parked WHERE proposal = ?").bind(&proposal[..]).execute(conn).await?;
    rows.iter().map(|(record, arrived_ms)| Ok((parse(record)?, unsigned(*arrived_ms)?))).collect()
}

/// The votes that count on a proposal, one a voter, the newest first.
///
/// # Errors
/// [`Error::Database`].
pub async fn votes(conn: &mut SqliteConnection, proposal: &ProposalId) -> Result<Vec<SignedVote>> {
    let rows: Vec<(Vec<u8>,)> = sqlx::query_as(
        "SELECT record FROM dao_votes v WHERE proposal = ? AND sequence =
             (SELECT max(sequence) FROM dao_votes WHERE proposal = v.proposal AND voter = v.voter)",
    )
    .bind(&proposal[..])
    .fetch_all(conn)
    .await?;
    let mut votes: Vec<SignedVote> = rows.iter().map(|(record,)| parse(record)).collect::<Result<_>>()?;
    votes.sort_by_key(|vote| Reverse((vote.content.time_ms, vote.content.voter)));
    Ok(votes)
}

/// The vote that counts of a person on a proposal.
///
/// # Errors
/// [`Error::Database`].
pub async fn my_vote(
    conn: &mut SqliteConnection,
    proposal: &ProposalId,
    voter: &Person,
) -> Result<Option<SignedVote>> {
    let row: Option<(Vec<u8>,)> = sqlx::query_as(
        "SELECT record FROM dao_votes WHERE proposal = ? AND voter = ? ORDER BY sequence DESC LIMIT 1",
    )
    .bind(&proposal[..])
    .bind(&voter[..])
    .fetch_optional(conn)
    .await?;
    row.map(|(record,)| parse(&record)).transpose()
}

/// The sequence number of a voter's next vote on a proposal, from 1.
///
/// # Errors
/// [`Error::Invalid`] once the numbers are used up.
pub async fn next_sequence(
    conn: &mut SqliteConnection,
    proposal: &ProposalId,
    voter: &Person,
) -> Result<u64> {
    let last = my_vote(conn, proposal, voter).await?.map_or(0, |vote| vote.content.sequence);
    if i64::try_from(last + 1).is_err() {
        return Err(Error::Invalid("the vote's sequence numbers are used up"));
    }
    Ok(last + 1)
}

/// Evidence of double signing, the newest first, at most `limit`.
///
/// # Errors
/// [`Error::Database`].
pub async fn faults(conn: &mut SqliteConnection, limit: u32) -> Result<Vec<Fault>> {
    let rows: Vec<(Vec<u8>, Vec<u8>, i64)> =
        sqlx::query_as("SELECT first, second, seen_ms FROM dao_faults ORDER BY seen_ms DESC LIMIT ?")
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await?;
    rows.iter()
        .map(|(first, second, seen_ms)| {
            Ok(Fault { votes: [parse(first)?, parse(second)?], seen_ms: unsigned(*seen_ms)? })
        })
        .collect()
}

fn parse(record: &[u8]) -> Result<SignedVote> {
    match Record::decode_stored(record)? {
        Record::Vote(signed) => Ok(signed),
        _ => Err(Error::Corrupt("a vote's record is none".into())),
    }
}
