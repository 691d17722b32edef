//! The words of governance: roles, proposals, votes.

use serde::{Deserialize, Serialize};

use crate::{
    Person, ProposalId,
    error::{Error, Result},
    signed::{Signed, Statement},
};

/// Roles, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Weight 1.
    Citizen,
    /// Weight 1.5; votes for those who delegate.
    Delegate,
    /// Weight 2; opens proposals without the threshold.
    Councilor,
    /// Weight 5; opens emergency proposals.
    Guardian,
    /// Weight 10.
    King,
}

impl Role {
    const ALL: [Self; 5] = [Self::Citizen, Self::Delegate, Self::Councilor, Self::Guardian, Self::King];

    /// The weight of a vote, in tenths.
    pub fn weight_tenths(self) -> u128 {
        match self {
            Self::Citizen => 10,
            Self::Delegate => 15,
            Self::Councilor => 20,
            Self::Guardian => 50,
            Self::King => 100,
        }
    }

    pub(crate) fn number(self) -> i64 {
        self as i64
    }

    pub(crate) fn from_number(number: i64) -> Result<Self> {
        usize::try_from(number)
            .ok()
            .and_then(|number| Self::ALL.get(number).copied())
            .ok_or_else(|| Error::Corrupt("an unknown role".into()))
    }
}

/// Kinds of proposals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProposalKind {
    /// Change a number of the rules.
    ParameterChange,
    /// Spend from the treasury.
    TreasuryAllocation,
    /// Upgrade the protocol.
    ProtocolUpgrade,
    /// Deploy an agent.
    AgentDeployment,
    /// Act at once; only guardians and above open one.
    EmergencyAction,
    /// Anything else.
    General,
}

/// A member at the time of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotMember {
    /// Who.
    pub person: Person,
    /// Their role.
    pub role: Role,
    /// What they owned (balance, stake, escrow for their own jobs), smallest units, before the role's weight.
    pub power_base: u128,
}

impl SnapshotMember {
    /// The voting power: what they owned times the role's weight, in smallest units, rounded down.
    pub fn power(&self) -> u128 {
        self.power_base.saturating_mul(self.role.weight_tenths()) / 10
    }
}

/// A proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The first 16 bytes of the BLAKE3 of everything else, so that nobody opens two under one id.
    pub id: ProposalId,
    /// The network.
    pub network: [u8; 32],
    /// What kind.
    pub kind: ProposalKind,
    /// One line: 1 to 120 characters.
    pub title: String,
    /// The text: at most 8 KiB.
    pub body: String,
    /// Who opens and signs it.
    pub proposer: Person,
    /// When, milliseconds since 1970.
    pub created_ms: u64,
    /// When voting ends, milliseconds since 1970; a vote of this very millisecond still counts.
    pub ends_ms: u64,
    /// Who votes with what, in the order of their keys, each once.
    pub snapshot: Vec<SnapshotMember>,
}

impl Proposal {
    /// The id that the content demands.
    ///
    /// # Errors
    /// [`Error::MalformedRecord`] if the content cannot be encoded.
    pub fn content_id(&self) -> Result<ProposalId> {
        let content = (
            &self.network,
            self.kind,
            &self.title,
            &self.body,
            &self.proposer,
            self.created_ms,
            self.ends_ms,
            &self.snapshot,
        );
        let bytes = postcard::to_stdvec(&content).map_err(|_| Error::MalformedRecord)?;
        let mut id = ProposalId::default();
        blake3::Hasher::new_derive_key("fog-tokenomics proposal id 1")
            .update(&bytes)
            .finalize_xof()
            .fill(&mut id);
        Ok(id)
    }

    /// A person's place in the snapshot.
    pub fn member(&self, person: &Person) -> Option<&SnapshotMember> {
        let at = self.snapshot.binary_search_by(|member| member.person.cmp(person)).ok()?;
        self.snapshot.get(at)
    }

    /// A person's voting power, smallest units; zero for those who are not in the snapshot.
    pub fn power_of(&self, person: &Person) -> u128 {
        self.member(person).map_or(0, SnapshotMember::power)
    }
}

/// A signed proposal.
pub type SignedProposal = Signed<Proposal>;

impl Statement for Proposal {
    const DOMAIN: &'static [u8] = b"fog-tokenomics proposal 1\0";

    fn signer(&self) -> &Person {
        &self.proposer
    }
}

/// A choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Choice {
    /// For.
    Yes,
    /// Against.
    No,
    /// Counts for the quorum only.
    Abstain,
}

/// A vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// On which proposal.
    pub proposal: ProposalId,
    /// The network.
    pub network: [u8; 32],
    /// Who votes and signs.
    pub voter: Person,
    /// What.
    pub choice: Choice,
    /// Counts the voter's votes on this proposal; the highest replaces the others. At most 2^63 - 1.
    pub sequence: u64,
    /// When, milliseconds since 1970.
    pub time_ms: u64,
}

/// A signed vote.
pub type SignedVote = Signed<Vote>;

impl Statement for Vote {
    const DOMAIN: &'static [u8] = b"fog-tokenomics vote 1\0";

    fn signer(&self) -> &Person {
        &self.voter
    }
}
