//! Proposals and votes.

use crate::{Amount, PeerId, Seconds};
use serde::{Deserialize, Serialize};

/// A proposal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProposalView {
    /// Its id.
    pub id: String,
    /// What kind.
    pub kind: ProposalKind,
    /// One line.
    pub title: String,
    /// The text.
    pub body: String,
    /// Who opened it.
    pub proposer: PeerId,
    /// Their name.
    pub proposer_name: String,
    /// Draft to executed.
    pub state: ProposalState,
    /// When it was opened.
    pub created: Seconds,
    /// When voting ends.
    pub ends: Seconds,
    /// The count so far.
    pub tally: Tally,
    /// My vote.
    pub my_vote: Option<VoteChoice>,
    /// My voting power at the snapshot.
    pub my_power: Amount,
    /// The votes, the newest first.
    pub votes: Vec<VoteView>,
}

/// Kinds of proposals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalKind {
    /// Change a number of the rules.
    ParameterChange,
    /// Spend from the treasury.
    TreasuryAllocation,
    /// Upgrade the protocol.
    ProtocolUpgrade,
    /// Deploy an agent.
    AgentDeployment,
    /// Act at once.
    EmergencyAction,
    /// Anything else.
    General,
}

/// The states of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalState {
    /// Not yet open.
    Draft,
    /// Voting.
    Active,
    /// Accepted.
    Passed,
    /// Not accepted.
    Rejected,
    /// Carried out.
    Executed,
    /// Too few voted.
    Expired,
}

/// The count. Powers are weight times balance and stake, in smallest units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Power for.
    pub yes: Amount,
    /// Power against.
    pub no: Amount,
    /// Power that abstained.
    pub abstain: Amount,
    /// All power at the snapshot.
    pub total: Amount,
    /// Needed share of the total that votes, percent.
    pub quorum_percent: u32,
    /// Needed share of for among for and against, percent.
    pub approval_percent: u32,
}

/// One vote.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VoteView {
    /// Who.
    pub voter: PeerId,
    /// Their name.
    pub name: String,
    /// What.
    pub choice: VoteChoice,
    /// With which power.
    pub power: Amount,
    /// When.
    pub time: Seconds,
}

/// A choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoteChoice {
    /// For.
    Yes,
    /// Against.
    No,
    /// Counts for the quorum only.
    Abstain,
}
