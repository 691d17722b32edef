//! The words and the tone for each state, in one place, so that a state is called the same on every screen.

use fog_api::*;

/// The colour in which something is said. Colour never says it alone: there is always a word with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Calm,
    /// Under way.
    Active,
    /// Works, done, accepted.
    Good,
    /// Look at it.
    Warn,
    /// Failed or refused.
    Bad,
}

impl Tone {
    /// The name of the tone in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Active => "active",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// Shown wherever a test network shows.
pub const TEST_NETWORK: &str = "Test network: no anonymity";

/// The mixnet's state.
pub fn network(health: NetworkHealth) -> (&'static str, Tone) {
    match health {
        NetworkHealth::Off => ("Off", Tone::Calm),
        NetworkHealth::Connecting => ("Connecting", Tone::Active),
        NetworkHealth::Online => ("Online", Tone::Good),
        NetworkHealth::Trouble => ("Trouble", Tone::Bad),
    }
}

/// The harvester's state.
pub fn harvest(state: HarvestState) -> (&'static str, Tone) {
    match state {
        HarvestState::Idle => ("Ready for work", Tone::Good),
        HarvestState::Harvesting => ("Working", Tone::Active),
        HarvestState::ChargingLow => ("Waiting for power", Tone::Warn),
        HarvestState::ThermalThrottle => ("Too hot", Tone::Warn),
        HarvestState::UserActive => ("Device in use", Tone::Calm),
        HarvestState::NetworkMetered => ("Metered network", Tone::Calm),
        HarvestState::Disabled => ("Switched off", Tone::Calm),
    }
}

/// A job's state.
pub fn job(state: JobState) -> (&'static str, Tone) {
    match state {
        JobState::Pending => ("Pending", Tone::Calm),
        JobState::Scheduled => ("Scheduled", Tone::Active),
        JobState::Running => ("Running", Tone::Active),
        JobState::Completed => ("Completed", Tone::Good),
        JobState::Failed => ("Failed", Tone::Bad),
        JobState::Cancelled => ("Cancelled", Tone::Calm),
    }
}

/// A proposal's state.
pub fn proposal(state: ProposalState) -> (&'static str, Tone) {
    match state {
        ProposalState::Draft => ("Draft", Tone::Calm),
        ProposalState::Active => ("Voting", Tone::Active),
        ProposalState::Passed => ("Passed", Tone::Good),
        ProposalState::Rejected => ("Rejected", Tone::Bad),
        ProposalState::Executed => ("Executed", Tone::Good),
        ProposalState::Expired => ("Expired", Tone::Calm),
    }
}

/// A proposal's kind, and what it is for.
pub fn kind(kind: ProposalKind) -> (&'static str, &'static str) {
    match kind {
        ProposalKind::General => ("General", "A question or a statement; nothing is carried out by itself."),
        ProposalKind::ParameterChange => ("Parameter change", "Change a number of the rules."),
        ProposalKind::TreasuryAllocation => ("Treasury allocation", "Spend from the treasury."),
        ProposalKind::ProtocolUpgrade => ("Protocol upgrade", "Move the network to a new version."),
        ProposalKind::AgentDeployment => ("Agent deployment", "Put an agent to work for the community."),
        ProposalKind::EmergencyAction => {
            ("Emergency action", "Act at once: a shorter vote, a higher quorum.")
        }
    }
}

/// All kinds, the most usual first.
pub const KINDS: [ProposalKind; 6] = [
    ProposalKind::General,
    ProposalKind::ParameterChange,
    ProposalKind::TreasuryAllocation,
    ProposalKind::ProtocolUpgrade,
    ProposalKind::AgentDeployment,
    ProposalKind::EmergencyAction,
];

/// A vote.
pub fn choice(choice: VoteChoice) -> (&'static str, Tone) {
    match choice {
        VoteChoice::Yes => ("For", Tone::Good),
        VoteChoice::No => ("Against", Tone::Bad),
        VoteChoice::Abstain => ("Abstain", Tone::Calm),
    }
}

/// How far a message is, and the same as one word of code for tests and style sheets.
pub fn status(status: MessageStatus) -> (&'static str, &'static str) {
    match status {
        MessageStatus::Pending => ("Waiting to be sent", "pending"),
        MessageStatus::Sent => ("Sent", "sent"),
        MessageStatus::Delivered => ("Delivered", "delivered"),
        MessageStatus::Read => ("Read", "read"),
        MessageStatus::Failed => ("Not delivered", "failed"),
    }
}

/// A relay's layer, 1 to 3.
pub fn layer(layer: u8) -> &'static str {
    match layer {
        1 => "Entry",
        2 => "Middle",
        3 => "Exit and home",
        _ => "Other",
    }
}

/// Where the secrets are.
pub fn secrets(storage: SecretStorage) -> (&'static str, &'static str) {
    match storage {
        SecretStorage::Keychain => ("System keychain", "Your keys are in the operating system's keychain."),
        SecretStorage::File => (
            "File, not sealed",
            "Your keys are in a file that only your account can read. Set a passphrase to seal it.",
        ),
        SecretStorage::SealedFile => {
            ("Sealed file", "Your keys are in a file that only your passphrase opens.")
        }
    }
}

/// How a vote stands: whether enough power voted, and whether enough of it is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Share of all power that voted, abstentions included.
    pub turnout: f64,
    /// Share of "for" among for and against; none while nobody took a side.
    pub approval: Option<f64>,
    /// The quorum is reached.
    pub quorum: bool,
    /// The approval is reached.
    pub approved: bool,
}

impl Standing {
    /// Reads it off the count. Compares integers, so that the last unit decides and not a rounding.
    pub fn of(tally: &Tally) -> Self {
        let Tally { yes, no, abstain, total, quorum_percent, approval_percent } = tally;
        let voted = Amount(yes.0.saturating_add(no.0).saturating_add(abstain.0));
        let sides = Amount(yes.0.saturating_add(no.0));
        let reaches = |part: Amount, whole: Amount, percent: u32| {
            whole.0 > 0 && part.0.saturating_mul(100) >= whole.0.saturating_mul(u128::from(percent))
        };
        Self {
            turnout: crate::format::share(voted, *total),
            approval: (sides.0 > 0).then(|| crate::format::share(*yes, sides)),
            quorum: reaches(voted, *total, *quorum_percent),
            approved: reaches(*yes, sides, *approval_percent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(yes: u64, no: u64, abstain: u64) -> Tally {
        Tally {
            yes: Amount::fog(yes),
            no: Amount::fog(no),
            abstain: Amount::fog(abstain),
            total: Amount::fog(1000),
            quorum_percent: 10,
            approval_percent: 60,
        }
    }

    #[test]
    fn nobody_voted() {
        let s = Standing::of(&tally(0, 0, 0));
        assert_eq!((s.turnout, s.approval, s.quorum, s.approved), (0.0, None, false, false));
    }

    #[test]
    fn the_bounds_themselves_count() {
        let s = Standing::of(&tally(60, 40, 0));
        assert!(s.quorum && s.approved);
        let s = Standing::of(&tally(59, 40, 0));
        assert!(!s.quorum && !s.approved);
    }

    #[test]
    fn abstentions_count_for_the_quorum_only() {
        let s = Standing::of(&tally(1, 0, 99));
        assert!(s.quorum && s.approved);
        assert_eq!(s.approval, Some(1.0));
    }

    #[test]
    fn huge_powers_do_not_overflow() {
        let mut t = tally(0, 0, 0);
        t.yes = Amount(u128::MAX);
        t.total = Amount(u128::MAX);
        assert!(Standing::of(&t).quorum);
    }
}
