//! The node as a whole: its phase, its figures, its settings.

use super::{CoverProfile, HarvestState, NetworkHealth};
use crate::{Amount, PeerId, Seconds};
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
    /// Cover traffic; none lets the network decide: a test network has none, others the standard profile.
    #[serde(default)]
    pub cover: Option<CoverProfile>,
    /// Run a mixnode for the network that this node is in.
    #[serde(default)]
    pub mixnode: Option<MixnodeSettings>,
    /// Home relays in the primary network, 1 to 3: with several, mail arrives while one of them is down, and each sees when
    /// this device is there.
    #[serde(default = "one")]
    pub homes: u8,
    /// Take direct connections from contacts at the public level.
    #[serde(default)]
    pub direct: Option<DirectSettings>,
    /// What jobs of others may do here.
    #[serde(default)]
    pub jobs: JobSettings,
}

/// Where direct connections are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectSettings {
    /// Where this device listens: address and port; port 0 takes a free one.
    pub listen: String,
    /// Where others reach it, if that is another address (behind a router, say).
    pub public_address: Option<String>,
}

fn one() -> u8 {
    1
}

/// What jobs of others may do on this device, beyond a WASM sandbox without network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobSettings {
    /// Run containers, if there is an engine (Docker or Podman). They share the system's kernel: a larger risk than WASM.
    pub containers: bool,
    /// The engine's socket; none looks in the usual places.
    pub container_socket: Option<String>,
    /// Give jobs the network when they ask for it.
    pub network: bool,
}

/// How a mixnode on this device is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MixnodeSettings {
    /// Where it listens: address and port.
    pub listen: String,
    /// Where others reach it, if that is another address (behind a router, say).
    pub public_address: Option<String>,
    /// 1 entry, 2 middle, 3 exit and home.
    pub layer: u8,
    /// Who runs it, for all to see; empty: they do not say.
    pub operator: String,
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
