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
        JobState::Checkpointed => ("Paused", Tone::Calm),
        JobState::Completed => ("Completed", Tone::Good),
        JobState::Failed => ("Failed", Tone::Bad),
        JobState::Cancelled => ("Cancelled", Tone::Calm),
        JobState::Preempted => ("Moved on", Tone::Calm),
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

/// A number of home relays.
pub fn homes(count: u8) -> &'static str {
    match count {
        1 => "One",
        2 => "Two",
        _ => "Three",
    }
}

/// What a relay of a layer does, for somebody who is about to run one.
pub fn duty(layer: u8) -> &'static str {
    match layer {
        1 => "Takes packets from people's devices. It sees their network addresses.",
        2 => "Mixes between entries and exits. It sees other relays only.",
        3 => "Delivers messages, and keeps them while their receivers are away.",
        _ => "",
    }
}

/// What a relay is called: who runs it, or the beginning of its id where they do not say.
pub fn relay<'a>(operator: &'a str, name: &'a str) -> &'a str {
    if operator.is_empty() { name } else { operator }
}

/// The states of the mixnet's promise, the weakest first.
pub const PRIVACY: [PrivacyState; 4] =
    [PrivacyState::Waiting, PrivacyState::Sealed, PrivacyState::Mixed, PrivacyState::Covered];

/// A state of the mixnet's promise, and what it adds to the one before.
pub fn privacy(state: PrivacyState) -> (&'static str, &'static str) {
    match state {
        PrivacyState::Waiting => ("Waiting", "nothing is sent"),
        PrivacyState::Sealed => ("Sealed", "hides what you write"),
        PrivacyState::Mixed => ("Mixed", "and to whom"),
        PrivacyState::Covered => ("Covered", "and when"),
    }
}

/// A cover profile: its name, and the same as one word of code.
pub fn cover(profile: CoverProfile) -> (&'static str, &'static str) {
    match profile {
        CoverProfile::Off => ("Off", "off"),
        CoverProfile::Mobile => ("Mobile", "mobile"),
        CoverProfile::Standard => ("Standard", "standard"),
        CoverProfile::Strong => ("Strong", "strong"),
    }
}

/// The state of the mixnode on this device.
pub fn mixnode(state: MixnodeState) -> (&'static str, Tone) {
    match state {
        MixnodeState::Off => ("Off", Tone::Calm),
        MixnodeState::OwnNetwork => ("Own network only", Tone::Calm),
        MixnodeState::Starting => ("Starting", Tone::Active),
        MixnodeState::Listed => ("In the directory", Tone::Good),
        MixnodeState::Trouble => ("Trouble", Tone::Bad),
    }
}

/// How many of its authorities signed a directory; none where there are none.
pub fn signatures(signed: u32, authorities: u32) -> Option<String> {
    match authorities {
        0 => None,
        1 => Some("its only authority".into()),
        n => Some(format!("{signed} of {n} authorities")),
    }
}

/// The fields of the form for a mixnode that an address or a name can be wrong in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MixnodeField {
    /// Where it listens.
    Listen,
    /// Where others reach it.
    Public,
    /// Who runs it.
    Operator,
}

/// Beside which field a refusal belongs. The node checks the form and says in words what is wrong; the words quote or
/// name the field. Whatever they say, they are shown.
pub fn mixnode_field(refusal: &str, public: &str) -> MixnodeField {
    let quoted = !public.trim().is_empty() && refusal.starts_with(&format!("{public:?}"));
    if refusal.contains("operator") {
        MixnodeField::Operator
    } else if quoted || refusal.contains("reach this device") {
        MixnodeField::Public
    } else {
        MixnodeField::Listen
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
    fn a_refusal_stands_beside_its_field() {
        let bad = "\"here\" is no address with a port, such as 0.0.0.0:9000.";
        assert_eq!(mixnode_field(bad, "198.51.100.7:9000"), MixnodeField::Listen);
        assert_eq!(mixnode_field(bad, ""), MixnodeField::Listen);
        assert_eq!(mixnode_field(bad, "here"), MixnodeField::Public);
        let unreachable =
            "Others cannot reach 0.0.0.0: give the address at which they reach this device, too.";
        assert_eq!(mixnode_field(unreachable, ""), MixnodeField::Public);
        let long = "The operator's name has at most 64 bytes and no control characters.";
        assert_eq!(mixnode_field(long, ""), MixnodeField::Operator);
        assert_eq!(mixnode_field("Something else.", ""), MixnodeField::Listen);
    }

    #[test]
    fn relays_have_names_and_directories_signatures() {
        assert_eq!((relay("Ada", "0a1b"), relay("", "0a1b")), ("Ada", "0a1b"));
        assert_eq!(signatures(0, 0), None);
        assert_eq!(signatures(3, 4).as_deref(), Some("3 of 4 authorities"));
        assert!(signatures(1, 1).is_some_and(|t| t.contains("only authority")));
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
