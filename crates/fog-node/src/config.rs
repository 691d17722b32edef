//! How a node is started.

use std::ffi::OsString;
use std::path::PathBuf;

/// Whether the system's keychain may hold the key of the secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeychainUse {
    /// Where there is one.
    #[default]
    Auto,
    /// Never; a file of the owner alone instead.
    Off,
}

/// How a node is started.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Where everything is kept. One process at a time.
    pub data_dir: PathBuf,
    /// The consensus of the mixnet to join; none runs a test network of its own.
    pub consensus: Option<PathBuf>,
    /// Mean mixing delay per hop for a new data folder, milliseconds.
    pub mean_delay_ms: u32,
    /// Whether to use the keychain.
    pub keychain: KeychainUse,
    /// The command that runs a job's sandbox: this program with `worker`.
    pub worker: Vec<OsString>,
    /// Where the sensors of power and heat are; `/sys` but for tests.
    pub sysfs: PathBuf,
}

impl NodeConfig {
    /// The defaults for this data folder; the running program is the worker.
    pub fn new(data_dir: PathBuf) -> Self {
        let program = std::env::current_exe().map_or_else(|_| "fog".into(), OsString::from);
        Self {
            data_dir,
            consensus: None,
            mean_delay_ms: 50,
            keychain: KeychainUse::Auto,
            worker: vec![program, "worker".into()],
            sysfs: "/sys".into(),
        }
    }
}
