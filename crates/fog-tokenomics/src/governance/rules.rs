//! What is valid, and how votes are counted. Pure: no clock, no store, the same on every node.

use std::collections::HashMap;

use super::{Choice, Proposal, ProposalKind, Role, SignedVote, Vote};
use crate::{
    Genesis, Person,
    error::{Error, Result},
};

/// Longest title, characters.
pub const MAX_TITLE_CHARS: usize = 120;
/// Longest body, bytes.
pub const MAX_BODY: usize = 8 * 1024;
/// Most members in a snapshot.
pub const MAX_SNAPSHOT: usize = 10_000;
/// How far ahead of our clock a statement may be dated.
pub const MAX_FUTURE_MS: u64 = 5 * 60_000;
/// How long after the end a vote may still arrive, for its way through the network.
pub const ARRIVAL_GRACE_MS: u64 = 30_000;

/// A count. Powers are in smallest units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Power for.
    pub yes: u128,
    /// Power against.
    pub no: u128,
    /// Power that abstained.
    pub abstain: u128,
    /// All power of the snapshot.
    pub total: u128,
    /// The share of the total that must vote, percent.
    pub quorum_percent: u8,
    /// The share of yes among yes and no that it takes, percent.
    pub approval_percent: u8,
}

impl Tally {
    /// Power that voted, abstentions included.
    pub fn voted(&self) -> u128 {
        self.yes.saturating_add(self.no).saturating_add(self.abstain)
    }

    /// True if enough power voted.
    pub fn quorum_met(&self) -> bool {
        self.total > 0
            && self.voted().saturating_mul(100) >= self.total.saturating_mul(self.quorum_percent.into())
    }

    /// True if enough of those who decided were for it.
    pub fn approved(&self) -> bool {
        let decided = self.yes.saturating_add(self.no);
        self.yes > 0 && self.yes.saturating_mul(100) >= decided.saturating_mul(self.approval_percent.into())
    }
}

/// How far a proposal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Voting.
    Active,
    /// Quorum met and approved. (Its execution is not built yet.)
    Passed,
    /// Quorum met and not approved.
    Rejected,
    /// Quorum missed.
    Expired,
}

/// How long a kind of proposal is voted on, milliseconds.
pub fn voting_ms(genesis: &Genesis, kind: ProposalKind) -> u64 {
    match kind {
        ProposalKind::EmergencyAction => genesis.emergency_voting_ms,
        _ => genesis.voting_ms,
    }
}

/// Counts. Votes of other proposals, of persons outside of the snapshot and out of the voting time count
/// nothing; of one person's votes only that counts which [`supersedes`] all others. Their order does not
/// matter. Signatures are not checked here.
pub fn tally<'a>(
    genesis: &Genesis,
    proposal: &Proposal,
    votes: impl IntoIterator<Item = &'a SignedVote>,
) -> Tally {
    let mut best: HashMap<&Person, &SignedVote> = HashMap::new();
    for vote in votes {
        if check_vote(proposal, &vote.content).is_err() {
            continue;
        }
        let kept = best.entry(&vote.content.voter).or_insert(vote);
        if supersedes(vote, kept) {
            *kept = vote;
        }
    }
    let quorum_percent = match proposal.kind {
        ProposalKind::EmergencyAction => genesis.emergency_quorum_percent,
        _ => genesis.quorum_percent,
    };
    let mut tally = Tally {
        yes: 0,
        no: 0,
        abstain: 0,
        total: proposal.snapshot.iter().fold(0, |sum: u128, member| sum.saturating_add(member.power())),
        quorum_percent,
        approval_percent: genesis.approval_percent,
    };
    for (voter, vote) in best {
        let side = match vote.content.choice {
            Choice::Yes => &mut tally.yes,
            Choice::No => &mut tally.no,
            Choice::Abstain => &mut tally.abstain,
        };
        *side = side.saturating_add(proposal.power_of(voter));
    }
    tally
}

/// How far a proposal is at `now_ms`. Once voting has ended the result stands on the votes that have arrived;
/// it may still change until [`is_final`].
pub fn state(proposal: &Proposal, tally: &Tally, now_ms: u64) -> State {
    if now_ms <= proposal.ends_ms {
        State::Active
    } else if !tally.quorum_met() {
        State::Expired
    } else if tally.approved() {
        State::Passed
    } else {
        State::Rejected
    }
}

/// True once no vote can arrive any more.
pub fn is_final(proposal: &Proposal, now_ms: u64) -> bool {
    now_ms > proposal.ends_ms.saturating_add(ARRIVAL_GRACE_MS)
}

/// Which of two votes of one person counts: the higher sequence, then the later time, then the greater
/// signature, so that all nodes agree whatever arrived first.
pub fn supersedes(vote: &SignedVote, other: &SignedVote) -> bool {
    let rank = |vote: &SignedVote| (vote.content.sequence, vote.content.time_ms, vote.signature);
    rank(vote) > rank(other)
}

/// Checks a vote against its proposal.
///
/// # Errors
/// [`Error::NoSuchProposal`] if it is of another, [`Error::WrongNetwork`], [`Error::NotInSnapshot`],
/// [`Error::VoteTooEarly`], [`Error::VotingEnded`], [`Error::Invalid`].
pub fn check_vote(proposal: &Proposal, vote: &Vote) -> Result<()> {
    if vote.proposal != proposal.id {
        return Err(Error::NoSuchProposal);
    }
    if vote.network != proposal.network {
        return Err(Error::WrongNetwork);
    }
    if proposal.member(&vote.voter).is_none() {
        return Err(Error::NotInSnapshot);
    }
    if vote.time_ms < proposal.created_ms {
        return Err(Error::VoteTooEarly);
    }
    if vote.time_ms > proposal.ends_ms {
        return Err(Error::VotingEnded);
    }
    if i64::try_from(vote.sequence).is_err() {
        return Err(Error::Invalid("the vote's sequence number is too large"));
    }
    Ok(())
}

/// Checks that a vote did not arrive too late. Its own time is the voter's word; this is ours.
///
/// # Errors
/// [`Error::VotingEnded`]; [`Error::Invalid`] if it is dated in the future.
pub fn check_arrival(proposal: &Proposal, vote: &Vote, arrived_ms: u64) -> Result<()> {
    if is_final(proposal, arrived_ms) {
        return Err(Error::VotingEnded);
    }
    if vote.time_ms > arrived_ms.saturating_add(MAX_FUTURE_MS) {
        return Err(Error::Invalid("the vote is dated in the future"));
    }
    Ok(())
}

/// Checks a proposal against the genesis and our clock, all but its signature and whether its snapshot is
/// true.
///
/// # Errors
/// [`Error::WrongNetwork`], [`Error::Invalid`], [`Error::BelowThreshold`], [`Error::RoleTooLow`].
pub fn check_proposal(genesis: &Genesis, proposal: &Proposal, now_ms: u64) -> Result<()> {
    if proposal.network != genesis.network {
        return Err(Error::WrongNetwork);
    }
    let title = &proposal.title;
    if title.trim().is_empty() || title.chars().count() > MAX_TITLE_CHARS {
        return Err(Error::Invalid("a title is 1 to 120 characters"));
    }
    if title.chars().any(char::is_control) {
        return Err(Error::Invalid("a title is one line without control characters"));
    }
    if proposal.body.len() > MAX_BODY {
        return Err(Error::Invalid("a proposal's text is at most 8 KiB"));
    }
    if proposal.created_ms > now_ms.saturating_add(MAX_FUTURE_MS) {
        return Err(Error::Invalid("the proposal is dated in the future"));
    }
    if proposal.created_ms.checked_add(voting_ms(genesis, proposal.kind)) != Some(proposal.ends_ms) {
        return Err(Error::Invalid("the proposal's voting time is not the network's"));
    }
    check_snapshot(genesis, proposal)?;
    let Some(proposer) = proposal.member(&proposal.proposer) else {
        return Err(Error::Invalid("the proposer is not in the snapshot"));
    };
    if proposal.kind == ProposalKind::EmergencyAction && proposer.role < Role::Guardian {
        return Err(Error::RoleTooLow);
    }
    let (power, needed) = (proposer.power(), genesis.propose_threshold);
    if power < needed && proposer.role < Role::Councilor {
        return Err(Error::BelowThreshold { power, needed });
    }
    if proposal.content_id()? != proposal.id {
        return Err(Error::Invalid("the proposal's id is not that of its content"));
    }
    Ok(())
}

fn check_snapshot(genesis: &Genesis, proposal: &Proposal) -> Result<()> {
    if proposal.snapshot.len() > MAX_SNAPSHOT {
        return Err(Error::Invalid("a snapshot has at most 10,000 members"));
    }
    if !proposal.snapshot.is_sorted_by(|a, b| a.person < b.person) {
        return Err(Error::Invalid("the snapshot is out of order or names somebody twice"));
    }
    let owned = proposal.snapshot.iter().try_fold(0u128, |sum, member| sum.checked_add(member.power_base));
    if owned.is_none_or(|owned| owned > genesis.supply) {
        return Err(Error::Invalid("the snapshot holds more than the supply"));
    }
    Ok(())
}
