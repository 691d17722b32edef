//! Commands and, for each, the type of its reply.

use crate::view::*;
use crate::{Amount, Hash, PeerId, Seconds};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A command together with the type of its reply.
pub trait Request: Into<Command> {
    /// What the core answers.
    type Reply: Serialize + DeserializeOwned;
}

macro_rules! commands {
    ($($(#[doc = $doc:literal])+ $name:ident $({ $($(#[$fm:meta])* $field:ident: $ty:ty),+ $(,)? })? => $reply:ty;)+) => {
        /// Everything that can be asked of a node. In JSON `{"command": "send_message", ...fields}`.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(tag = "command", rename_all = "snake_case")]
        #[allow(missing_docs, reason = "each variant holds the struct of the same name, which is documented")]
        pub enum Command { $($name($name)),+ }

        $(
            $(#[doc = $doc])+
            #[derive(Debug, Clone, Serialize, Deserialize)]
            pub struct $name { $($($(#[$fm])* pub $field: $ty),+)? }

            impl From<$name> for Command {
                fn from(c: $name) -> Self { Self::$name(c) }
            }

            impl Request for $name { type Reply = $reply; }
        )+
    };
}

commands! {
    /// How far the node is: first run, locked or ready. Allowed at any time.
    GetState => AppState;
    /// First run: make an identity and keep it.
    CreateIdentity {
        /// The name that contacts see; 1 to 64 characters.
        name: String,
    } => AppState;
    /// Open the sealed secrets of a locked node.
    Unlock {
        /// The passphrase that [`SetPassphrase`] set.
        passphrase: String,
    } => AppState;
    /// Seal the secrets with a passphrase (Argon2id), or change it.
    SetPassphrase {
        /// The present one; none when none is set.
        current: Option<String>,
        /// The new one, at least 8 characters.
        new: String,
    } => ();
    /// The figures of the first page.
    GetOverview => Overview;

    /// All contacts, the most recently active first.
    ListContacts => Vec<Contact>;
    /// My address card, as text and as a QR code.
    GetCard => CardView;
    /// Add the person whose card this is, and join their network when it is another.
    AddContact {
        /// The card's text.
        card: String,
    } => Contact;
    /// Accept or block a contact.
    SetContactState {
        /// Whom.
        peer: PeerId,
        /// The new state.
        state: ContactState,
    } => Contact;

    /// Choose how messages to a contact go through the mixnet. It counts for what is sent from now on.
    SetPrivacyLevel {
        /// Whom.
        peer: PeerId,
        /// The new level.
        level: PrivacyLevel,
    } => Contact;

    /// Move to another home relay of the primary network: mail to the old one is fetched for a month still, and
    /// contacts are told. Returns the new one.
    ChangeHome {
        /// The relay's id, or how it begins; none draws one.
        relay: Option<String>,
    } => String;

    /// Messages of a conversation, oldest first.
    ListMessages {
        /// With whom.
        peer: PeerId,
        /// Only messages older than the one with this id.
        #[serde(default)]
        before: Option<String>,
        /// At most this many, 1 to 500.
        limit: u32,
    } => Vec<Message>;
    /// Send a text. The reply is the message as stored, state pending.
    SendMessage {
        /// To whom.
        peer: PeerId,
        /// Up to 64 KiB of UTF-8.
        text: String,
    } => Message;
    /// The conversation was seen: everything received in it counts as read, and its senders learn so.
    MarkRead {
        /// With whom.
        peer: PeerId,
    } => ();

    /// The mixnet: relays, homes, links, counters.
    GetNetwork => NetworkView;
    /// The paths that the packets of a message took, newest first.
    GetMessagePaths {
        /// The message's id.
        message: String,
    } => Vec<PacketPath>;

    /// Show the window of the program that this node runs in. A node without a window refuses.
    ShowWindow => ();
    /// The harvester: readings, decision and reason.
    GetHarvest => HarvestView;
    /// Change when this device may work.
    SetHarvest {
        /// The new preferences.
        prefs: HarvestPrefs,
    } => HarvestView;
    /// Change the preferences to a ready-made mode. The switch, hours, programs, network and prices stay.
    SetHarvestMode {
        /// The mode.
        mode: HarvestMode,
    } => HarvestView;
    /// Pause lending for a while; 0 goes on.
    PauseHarvest {
        /// So long from now, at most 30 days.
        seconds: u32,
    } => HarvestView;
    /// Work now in spite of the gates (all but heat), or go back to the gates.
    WorkNow {
        /// True to work now.
        on: bool,
    } => HarvestView;
    /// Jobs sent and jobs taken, the newest first. An array is one entry; see [`ListJobElements`].
    ListJobs => Vec<JobView>;
    /// The elements of an array, by index.
    ListJobElements {
        /// The array's id.
        id: String,
        /// Only elements with at least this index.
        #[serde(default)]
        from: u32,
        /// At most this many, 1 to 500.
        limit: u32,
    } => Vec<JobView>;
    /// One job: a single one, an array or an element of one.
    GetJob {
        /// Its id.
        id: String,
    } => JobView;
    /// Run a program on this device or on a contact's. Files are uploaded first. [`SubmitJob::wasm`] fills in the defaults.
    SubmitJob {
        /// A label for people.
        name: String,
        /// What runs.
        program: JobProgram,
        /// Standard input; none is an empty one.
        #[serde(default)]
        stdin: Option<JobSource>,
        /// Files that the program finds below `/in`.
        #[serde(default)]
        inputs: Vec<JobInput>,
        /// Program arguments.
        #[serde(default)]
        args: Vec<String>,
        /// Environment variables, name and value. An element of an array also gets `FOG_ARRAY_INDEX`.
        #[serde(default)]
        env: Vec<(String, String)>,
        /// Limits; the defaults are the baseline's.
        #[serde(default)]
        limits: JobLimits,
        /// How much it matters: how many copies run, and the price.
        #[serde(default)]
        class: SlaClass,
        /// The least level at which it may travel; none takes the level chosen for the contact.
        #[serde(default)]
        privacy: Option<PrivacyLevel>,
        /// The time by which it must be done; it fails then.
        #[serde(default)]
        deadline: Option<Seconds>,
        /// The most that one run may cost; this much is held in escrow. None: the price of running until the limit.
        #[serde(default)]
        price_limit: Option<Amount>,
        /// Who may run it.
        #[serde(default)]
        to: JobTarget,
        /// One element for each index.
        #[serde(default)]
        array: Option<JobArray>,
        /// Ids of my jobs that must be completed first. Those whose output is an input need not be named.
        #[serde(default)]
        depends_on: Vec<String>,
        /// It asks for the network; a device gives it only if its owner allows it.
        #[serde(default)]
        network: bool,
        /// Seconds between checkpoints, at least 5; none is 60.
        #[serde(default)]
        checkpoint_seconds: Option<u32>,
    } => JobView;
    /// Stop a job that I sent, with all elements of an array; or one that runs here for somebody.
    CancelJob {
        /// Its id.
        id: String,
    } => JobView;
    /// Try a failed or cancelled job again, from its last checkpoint if there is one. Of an array: those elements that
    /// failed or were cancelled.
    RetryJob {
        /// Its id.
        id: String,
    } => JobView;
    /// What a job has written to standard output and error so far. Events bring what comes later.
    GetJobLog {
        /// Its id.
        id: String,
        /// From this byte on.
        #[serde(default)]
        offset: u64,
        /// At most this many bytes, 1 to 262,144.
        limit: u32,
    } => JobLog;
    /// The outputs of a job that I sent, and the names of the files in its archive.
    GetJobOutputs {
        /// Its id.
        id: String,
    } => JobOutputs;
    /// Who could run jobs: this device and the contacts of the same ledger, what they last said they offer, and how well
    /// they did so far. Asks those again who have not said for a while; [`crate::EventBody::Worker`] brings the answers.
    ListWorkers => Vec<WorkerView>;
    /// What jobs of others may do here, and the container engine. [`SetSettings`] changes what they may.
    GetRuntimes => RuntimesView;

    /// Balance, escrow and the journal.
    GetWallet => WalletView;

    /// Proposals, the newest first.
    ListProposals => Vec<ProposalView>;
    /// Open a proposal.
    CreateProposal {
        /// What kind, which decides the rules.
        kind: ProposalKind,
        /// One line, 1 to 120 characters.
        title: String,
        /// The text, up to 8 KiB.
        body: String,
    } => ProposalView;
    /// Vote; a later vote replaces an earlier one.
    CastVote {
        /// The proposal's id.
        proposal: String,
        /// For, against or abstain.
        choice: VoteChoice,
    } => ProposalView;

    /// The settings of this node.
    GetSettings => Settings;
    /// Change them.
    SetSettings {
        /// The new settings.
        settings: Settings,
    } => Settings;
}

impl SubmitJob {
    /// A deterministic WASM module with every default: anyone may run it, once, with the baseline's limits.
    pub fn wasm(name: impl Into<String>, module: impl Into<Hash>) -> Self {
        Self {
            name: name.into(),
            program: JobProgram::Wasm { module: module.into(), deterministic: true },
            stdin: None,
            inputs: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            limits: JobLimits::default(),
            class: SlaClass::default(),
            privacy: None,
            deadline: None,
            price_limit: None,
            to: JobTarget::default(),
            array: None,
            depends_on: Vec::new(),
            network: false,
            checkpoint_seconds: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_tagged_flat_json() {
        let c = Command::from(SendMessage { peer: "ab".into(), text: "hi".into() });
        let json = serde_json::to_value(&c).expect("serialises");
        assert_eq!(json, serde_json::json!({"command": "send_message", "peer": "ab", "text": "hi"}));
        let back: Command =
            serde_json::from_value(serde_json::json!({"command": "get_state"})).expect("parses");
        assert!(matches!(back, Command::GetState(_)));
        assert!(serde_json::from_str::<Command>("{\"command\":\"format_disk\"}").is_err());
    }
}
