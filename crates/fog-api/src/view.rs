//! View models: the core's state as a person sees it.

use crate::{Amount, Hash, PeerId, Seconds};
use serde::{Deserialize, Serialize};

/// How far the node is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppState {
    /// First run, locked or ready.
    pub phase: Phase,
    /// Who I am; none before the first run is done.
    pub me: Option<Me>,
    /// The program's version.
    pub version: String,
    /// Where this node keeps its data.
    pub data_dir: String,
}

/// The phases of a node's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No identity yet.
    FirstRun,
    /// Secrets are sealed; a passphrase opens them.
    Locked,
    /// Everything runs.
    Ready,
}

/// My own identity, as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Me {
    /// My id.
    pub id: PeerId,
    /// My name.
    pub name: String,
    /// Short form of the id for comparing aloud.
    pub fingerprint: String,
    /// Where the secrets are.
    pub secrets: SecretStorage,
}

/// Where the secrets are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretStorage {
    /// The operating system's keychain.
    Keychain,
    /// A file that only its owner can read.
    File,
    /// A file sealed with a passphrase.
    SealedFile,
}

/// The first page's figures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Overview {
    /// Contacts who are not blocked.
    pub contacts: u32,
    /// Messages received and not yet read.
    pub unread: u32,
    /// The mixnet in one word.
    pub network: NetworkHealth,
    /// Why the network is in that state, in plain words.
    pub network_reason: String,
    /// True: a test network, no anonymity.
    pub test_network: bool,
    /// The harvester in one state.
    pub harvest: HarvestState,
    /// Its reason in plain words.
    pub harvest_reason: String,
    /// Jobs running here.
    pub jobs_running: u32,
    /// Jobs finished here or elsewhere for me.
    pub jobs_done: u32,
    /// What I can spend.
    pub balance: Amount,
    /// Earned since midnight UTC.
    pub earned_today: Amount,
    /// Proposals on which I can vote and have not.
    pub open_votes: u32,
    /// Seconds since the node started.
    pub uptime: Seconds,
    /// Memory of this process, bytes.
    pub memory: u64,
}

/// A contact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    /// Their id.
    pub id: PeerId,
    /// The name on their card.
    pub name: String,
    /// Short form of the id for comparing aloud.
    pub fingerprint: String,
    /// Accepted, asking or blocked.
    pub state: ContactState,
    /// Heard from within the last 300 s.
    pub online: bool,
    /// Last time anything authentic came from them.
    pub last_seen: Option<Seconds>,
    /// Received and not yet read.
    pub unread: u32,
    /// The newest message's first line.
    pub last_text: Option<String>,
    /// Its time.
    pub last_time: Option<Seconds>,
    /// The network over which they are reached.
    pub network: String,
    /// True: a test network, no anonymity.
    pub test_network: bool,
}

/// What a contact is to me.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactState {
    /// They added me; I have not answered yet.
    Asking,
    /// A contact.
    Accepted,
    /// Nothing of theirs gets in.
    Blocked,
}

/// My address card.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CardView {
    /// The text to copy.
    pub text: String,
    /// The same as a QR code, an SVG document.
    pub qr_svg: String,
    /// True: the card leads into a test network.
    pub test_network: bool,
}

/// A chat message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// The other person.
    pub peer: PeerId,
    /// True if I wrote it.
    pub outgoing: bool,
    /// The text.
    pub text: String,
    /// When it was written.
    pub time: Seconds,
    /// How far it is.
    pub status: MessageStatus,
    /// When the other side had it on disk.
    pub delivered: Option<Seconds>,
    /// When it was read.
    pub read: Option<Seconds>,
    /// Why it failed or waits, in plain words.
    pub reason: Option<String>,
}

/// How far a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// On disk here; not yet sent.
    Pending,
    /// Handed to the network.
    Sent,
    /// On the other side's disk.
    Delivered,
    /// Read.
    Read,
    /// Given up; `reason` says why.
    Failed,
}

/// The mixnet as this node sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NetworkView {
    /// Overall.
    pub health: NetworkHealth,
    /// Why, in plain words.
    pub reason: String,
    /// Every network this node is in.
    pub networks: Vec<MixnetView>,
    /// Packets sent into the mixnet since the start.
    pub packets_sent: u64,
    /// Packets received from home relays since the start.
    pub packets_received: u64,
    /// Packets that were sent again because no acknowledgement came.
    pub packets_resent: u64,
    /// Packets that relays of this process forwarded since the start.
    pub packets_mixed: u64,
    /// Replayed packets that relays of this process refused since the start.
    pub replays_refused: u64,
    /// Mean mixing delay per hop, seconds.
    pub mean_delay: Seconds,
}

/// One mixnet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MixnetView {
    /// Its id.
    pub id: String,
    /// True: a test network, no anonymity.
    pub test: bool,
    /// True if this process runs its relays.
    pub own: bool,
    /// Its relays by layer.
    pub relays: Vec<RelayView>,
    /// My home relay's id.
    pub home: Option<String>,
    /// True while the link to the home relay is up.
    pub home_connected: bool,
    /// The consensus ends then.
    pub valid_until: Seconds,
}

/// One relay.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RelayView {
    /// Its id.
    pub id: String,
    /// A short name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// 1 entry, 2 middle, 3 exit and home.
    pub layer: u8,
    /// Share of this node's packets over it that were acknowledged, lately; none before the first.
    pub delivered_share: Option<f64>,
    /// False while this node leaves it out of its paths.
    pub in_use: bool,
}

/// The mixnet in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkHealth {
    /// Not started yet.
    Off,
    /// Connecting.
    Connecting,
    /// Works.
    Online,
    /// Something is wrong; the reason says what.
    Trouble,
}

/// The path of one packet of a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PacketPath {
    /// Which fragment of the message, from 0.
    pub fragment: u32,
    /// Of how many.
    pub fragments: u32,
    /// When it was sent.
    pub sent: Seconds,
    /// Acknowledged after this many seconds; none while it is not.
    pub acknowledged_after: Option<Seconds>,
    /// The hops in order.
    pub hops: Vec<Hop>,
}

/// One hop of a path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hop {
    /// The relay's id.
    pub relay: String,
    /// Its short name.
    pub name: String,
    /// Its layer.
    pub layer: u8,
    /// The mixing delay that this node drew for it, seconds.
    pub delay: Seconds,
}

/// The harvester: what it senses, what it decides, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HarvestView {
    /// The state.
    pub state: HarvestState,
    /// Why, in plain words.
    pub reason: String,
    /// True if jobs may run now.
    pub allowed: bool,
    /// Share of the machine's CPU that jobs may use now, 0 to 1.
    pub cpu_share: f64,
    /// The owner said "work now".
    pub override_on: bool,
    /// The last readings.
    pub sensors: Sensors,
    /// When the device may work.
    pub prefs: HarvestPrefs,
    /// CPU load of the last minutes, 0 to 1, oldest first.
    pub load_history: Vec<f64>,
}

/// The readings. None means: this device does not say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sensors {
    /// When they were read.
    pub time: Seconds,
    /// Plugged in or charging. A machine without a battery counts as plugged in.
    pub plugged_in: Option<bool>,
    /// True if there is a battery.
    pub has_battery: bool,
    /// Charge, 0 to 1.
    pub battery: Option<f64>,
    /// Battery's temperature, °C.
    pub battery_celsius: Option<f64>,
    /// The hottest CPU sensor, °C.
    pub cpu_celsius: Option<f64>,
    /// CPU in use by everything, 0 to 1.
    pub cpu_load: Option<f64>,
    /// Memory in use, bytes.
    pub memory_used: u64,
    /// Memory in all, bytes.
    pub memory_total: u64,
    /// Logical processors.
    pub cpus: u32,
    /// Seconds since the owner's last input.
    pub user_idle: Option<Seconds>,
    /// Where the idle time comes from.
    pub user_idle_source: String,
}

/// When this device may work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HarvestPrefs {
    /// Lend this device at all.
    pub enabled: bool,
    /// Also on battery (at 50 % or more).
    pub on_battery: bool,
    /// Also while the owner is active.
    pub alongside: bool,
    /// Minutes without input before work starts.
    pub idle_minutes: u32,
    /// CPU cap, percent.
    pub cpu_percent: u32,
    /// Memory cap, percent.
    pub memory_percent: u32,
}

impl Default for HarvestPrefs {
    fn default() -> Self {
        Self {
            enabled: true,
            on_battery: false,
            alongside: false,
            idle_minutes: 5,
            cpu_percent: 50,
            memory_percent: 30,
        }
    }
}

/// The states of the harvester.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HarvestState {
    /// May work; no job is here.
    Idle,
    /// A job runs.
    Harvesting,
    /// Not enough power.
    ChargingLow,
    /// Too hot.
    ThermalThrottle,
    /// The owner is using the device.
    UserActive,
    /// The network is metered.
    NetworkMetered,
    /// Switched off by the owner.
    Disabled,
}

/// Limits of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLimits {
    /// Wall time, seconds.
    pub seconds: u32,
    /// Memory, MiB.
    pub memory_mib: u32,
    /// Output, MiB.
    pub output_mib: u32,
}

impl Default for JobLimits {
    fn default() -> Self {
        Self { seconds: 300, memory_mib: 512, output_mib: 64 }
    }
}

/// A job, sent or taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobView {
    /// Its id.
    pub id: String,
    /// Its label.
    pub name: String,
    /// True if I sent it; false if it runs here for somebody.
    pub mine: bool,
    /// The other side: who runs it, or whose it is.
    pub peer: Option<PeerId>,
    /// Their name.
    pub peer_name: Option<String>,
    /// How far it is.
    pub state: JobState,
    /// What happens or what went wrong, in plain words.
    pub note: String,
    /// Bytes of module and input.
    pub input_bytes: u64,
    /// Bytes of data moved so far in the present direction.
    pub moved_bytes: u64,
    /// Bytes to move in the present direction.
    pub total_bytes: u64,
    /// When it was sent.
    pub created: Seconds,
    /// When it started to run.
    pub started: Option<Seconds>,
    /// When it ended.
    pub finished: Option<Seconds>,
    /// Fuel used: the same number on every machine.
    pub fuel: Option<u64>,
    /// CPU time used, seconds.
    pub cpu_seconds: Option<f64>,
    /// Held in escrow.
    pub escrow: Amount,
    /// Paid.
    pub price: Option<Amount>,
    /// The output, once it is here; download it by this hash.
    pub output: Option<Hash>,
    /// Its size in bytes.
    pub output_bytes: Option<u64>,
    /// The first 4 KiB of the output, where it is text.
    pub output_preview: Option<String>,
    /// The limits.
    pub limits: JobLimits,
}

/// The states of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Offered; nobody has taken it yet.
    Pending,
    /// Taken; data moves or the device waits.
    Scheduled,
    /// Runs.
    Running,
    /// Done and paid.
    Completed,
    /// Ended without a result; not paid.
    Failed,
    /// Stopped by its sender.
    Cancelled,
}

impl JobState {
    /// True for the states that a job does not leave.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// My account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WalletView {
    /// What I can spend.
    pub balance: Amount,
    /// Held for jobs under way.
    pub escrow: Amount,
    /// Earned in all.
    pub earned: Amount,
    /// Spent in all.
    pub spent: Amount,
    /// Earned a day, the last 14 days, oldest first.
    pub earned_by_day: Vec<Amount>,
    /// The journal, the newest first, at most 200.
    pub entries: Vec<EntryView>,
}

/// One entry of the journal, from my account's side.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EntryView {
    /// Its id.
    pub id: String,
    /// When.
    pub time: Seconds,
    /// What for, in plain words.
    pub memo: String,
    /// True if my account received.
    pub credit: bool,
    /// How much.
    pub amount: Amount,
    /// The account on the other side.
    pub other: String,
    /// The job, for a job's payment.
    pub job: Option<String>,
}

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

/// What the user can set. (Colours and language are the page's own.)
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// My name.
    pub name: String,
    /// Mean mixing delay per hop, milliseconds; 0 to 5000.
    pub mean_delay_ms: u32,
    /// Tell senders when I have read their messages.
    pub read_receipts: bool,
    /// Take jobs only from accepted contacts (else also from people who are asking).
    pub jobs_from_accepted_only: bool,
}

/// Something to tell the user once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// How serious.
    pub level: NoticeLevel,
    /// One sentence.
    pub text: String,
}

/// How serious a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeLevel {
    /// Good to know.
    Info,
    /// Look at it.
    Warning,
    /// Something failed.
    Error,
}
