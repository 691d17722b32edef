//! Proposals in the store.

use ed25519_dalek::SigningKey;
use sqlx::SqliteConnection;

use super::{
    Proposal, ProposalKind, SignedProposal, SignedVote, SnapshotMember,
    rules::{self, State, Tally},
    votes,
};
use crate::{
    Outcome, ProposalId,
    db::{begin, time_in, unsigned},
    error::{Error, ErrorKind, Result},
    genesis,
    ledger::powers_at,
    membership::members,
    records::Record,
    signed::Signed,
};

/// Open proposals whose snapshots disagree with our ledger, kept at most. Anybody can sign an invented
/// snapshot; this bounds what that costs us.
const MAX_UNVERIFIED_OPEN: i64 = 256;

/// A proposal as we keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProposal {
    /// The proposal as its proposer signed it.
    pub signed: SignedProposal,
    /// When it reached us, milliseconds since 1970. If that is after the end we saw no votes, and our count
    /// says nothing.
    pub received_ms: u64,
    /// False if the snapshot disagreed with our own ledger when the proposal came.
    pub snapshot_matches: bool,
    /// The count of the votes we have.
    pub tally: Tally,
}

impl StoredProposal {
    /// How far it is; see [`rules::state`].
    pub fn state(&self, now_ms: u64) -> State {
        rules::state(&self.signed.content, &self.tally, now_ms)
    }
}

/// Makes and signs a proposal with a snapshot of our ledger. It takes effect by [`put_proposal`].
///
/// # Errors
/// Those of [`rules::check_proposal`]: above all [`Error::BelowThreshold`] and [`Error::RoleTooLow`].
pub async fn build_proposal(
    conn: &mut SqliteConnection,
    kind: ProposalKind,
    title: &str,
    body: &str,
    key: &SigningKey,
    now_ms: u64,
) -> Result<SignedProposal> {
    let genesis = genesis(conn).await?;
    let mut proposal = Proposal {
        id: ProposalId::default(),
        network: genesis.network,
        kind,
        title: title.trim().to_owned(),
        body: body.trim_end().to_owned(),
        proposer: key.verifying_key().to_bytes(),
        created_ms: now_ms,
        ends_ms: now_ms.saturating_add(rules::voting_ms(&genesis, kind)),
        snapshot: snapshot(conn, now_ms).await?,
    };
    if proposal.member(&proposal.proposer).is_none() {
        return Err(Error::BelowThreshold { power: 0, needed: genesis.propose_threshold });
    }
    proposal.id = proposal.content_id()?;
    rules::check_proposal(&genesis, &proposal, now_ms)?;
    Signed::sign(proposal, key)
}

/// The members of our ledger at a time, in the order of their keys.
async fn snapshot(conn: &mut SqliteConnection, time_ms: u64) -> Result<Vec<SnapshotMember>> {
    let powers = powers_at(conn, time_ms).await?;
    let members = members(conn).await?;
    Ok(members
        .into_iter()
        .filter(|member| member.joined_ms <= time_ms)
        .map(|member| SnapshotMember {
            person: member.person,
            role: member.role,
            power_base: powers.get(&member.person).copied().unwrap_or(0),
        })
        .collect())
}

/// Keeps a proposal, ours or a received one, and counts the votes that came before it. A snapshot that
/// disagrees with our ledger is flagged, not refused: our ledger may be the one that is behind.
///
/// # Errors
/// [`Error::WrongSignature`], those of [`rules::check_proposal`], [`Error::TooManyUnverified`].
pub async fn put_proposal(
    conn: &mut SqliteConnection,
    signed: &SignedProposal,
    now_ms: u64,
) -> Result<Outcome> {
    Ok(store(conn, signed, now_ms).await?.0)
}

/// As [`put_proposal`]; gives also the parked votes that now count.
pub(crate) async fn store(
    conn: &mut SqliteConnection,
    signed: &SignedProposal,
    now_ms: u64,
) -> Result<(Outcome, Vec<SignedVote>)> {
    let proposal = &signed.content;
    let genesis = genesis(conn).await?;
    rules::check_proposal(&genesis, proposal, now_ms)?;
    signed.verify()?;

    let mut tx = begin(conn).await?;
    if let Some(known) = load(&mut tx, &proposal.id).await? {
        // The same content signed anew is the same proposal.
        return if known.content == *proposal {
            Ok((Outcome::Known, Vec::new()))
        } else {
            Err(Error::ProposalIdTaken)
        };
    }
    let matches = snapshot_matches(&mut tx, proposal).await?;
    if !matches {
        // Ended ones count as well, or anybody could fill the disk with proposals that are over when they come.
        let (open,): (i64,) = sqlx::query_as("SELECT count(*) FROM dao_proposals WHERE snapshot_matches = 0")
            .fetch_one(&mut *tx)
            .await?;
        if open >= MAX_UNVERIFIED_OPEN {
            return Err(Error::TooManyUnverified);
        }
    }
    let bytes = Record::Proposal(signed.clone()).encode()?;
    sqlx::query(
        "INSERT INTO dao_proposals
             (id, proposer, created_ms, ends_ms, received_ms, snapshot_matches, record_id, record)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&proposal.id[..])
    .bind(&proposal.proposer[..])
    .bind(time_in(proposal.created_ms)?)
    .bind(time_in(proposal.ends_ms)?)
    .bind(time_in(now_ms)?)
    .bind(matches)
    .bind(&Record::id_of(&bytes)[..])
    .bind(&bytes)
    .execute(&mut *tx)
    .await?;

    let mut released = Vec::new();
    for (vote, arrived_ms) in votes::unpark(&mut tx, &proposal.id).await? {
        // It came in time if it did when it came, though it was understood only now.
        match votes::put_vote(&mut tx, &vote, arrived_ms).await {
            Ok(_) => released.push(vote),
            Err(error) if error.kind() == ErrorKind::Storage => return Err(error),
            Err(_) => {}
        }
    }
    tx.commit().await?;
    Ok((Outcome::New, released))
}

/// True if the snapshot agrees with our ledger: those of its members whom we know have the role and the power
/// we know of, and nobody is left out who had joined by then.
async fn snapshot_matches(conn: &mut SqliteConnection, proposal: &Proposal) -> Result<bool> {
    let ours = snapshot(conn, proposal.created_ms).await?;
    Ok(ours.iter().all(|member| proposal.member(&member.person) == Some(member)))
}

/// The proposal alone.
pub(crate) async fn load(conn: &mut SqliteConnection, id: &ProposalId) -> Result<Option<SignedProposal>> {
    let row: Option<(Vec<u8>,)> = sqlx::query_as("SELECT record FROM dao_proposals WHERE id = ?")
        .bind(&id[..])
        .fetch_optional(conn)
        .await?;
    row.map(|(record,)| parse(&record)).transpose()
}

fn parse(record: &[u8]) -> Result<SignedProposal> {
    match Record::decode_stored(record)? {
        Record::Proposal(signed) => Ok(signed),
        _ => Err(Error::Corrupt("a proposal's record is none".into())),
    }
}

type Row = (Vec<u8>, i64, bool);

/// A proposal with its count, if we have it.
///
/// # Errors
/// [`Error::Database`].
pub async fn get(conn: &mut SqliteConnection, id: &ProposalId) -> Result<Option<StoredProposal>> {
    let row: Option<Row> =
        sqlx::query_as("SELECT record, received_ms, snapshot_matches FROM dao_proposals WHERE id = ?")
            .bind(&id[..])
            .fetch_optional(&mut *conn)
            .await?;
    match row {
        Some(row) => Ok(Some(complete(conn, row).await?)),
        None => Ok(None),
    }
}

/// Proposals with their counts, the newest first, at most `limit`.
///
/// # Errors
/// [`Error::Database`].
pub async fn list_proposals(conn: &mut SqliteConnection, limit: u32) -> Result<Vec<StoredProposal>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT record, received_ms, snapshot_matches FROM dao_proposals ORDER BY created_ms DESC, id LIMIT ?",
    )
    .bind(i64::from(limit))
    .fetch_all(&mut *conn)
    .await?;
    let mut proposals = Vec::with_capacity(rows.len());
    for row in rows {
        proposals.push(complete(conn, row).await?);
    }
    Ok(proposals)
}

async fn complete(
    conn: &mut SqliteConnection,
    (record, received_ms, snapshot_matches): Row,
) -> Result<StoredProposal> {
    let signed = parse(&record)?;
    let genesis = genesis(conn).await?;
    let votes = votes::votes(conn, &signed.content.id).await?;
    let tally = rules::tally(&genesis, &signed.content, &votes);
    Ok(StoredProposal { signed, received_ms: unsigned(received_ms)?, snapshot_matches, tally })
}
