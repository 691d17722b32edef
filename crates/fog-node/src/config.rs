//! How a node is started: defaults, then `fog.toml` in the data folder, then `FOG_*` in the environment. The window
//! and the command line both begin here, so that a data folder works alike with either; what was said on a command
//! line is put on top by them.

use crate::error::NodeError;
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The configuration file's name within the data folder.
const FILE: &str = "fog.toml";

/// Whether the system's keychain may hold the key of the secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    /// The loopback address of the page; port 0 takes a free one.
    pub listen: SocketAddr,
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
            listen: ([127, 0, 0, 1], 0).into(),
            sysfs: "/sys".into(),
        }
    }

    /// The configuration of this data folder, from its file and the environment.
    ///
    /// # Errors
    /// [`NodeError::Config`] says which key is wrong, and where.
    pub fn load(data_dir: PathBuf) -> Result<Self, NodeError> {
        let keys = ["listen", "consensus", "mean_delay_ms", "keychain"];
        Self::load_from(data_dir, Env::prefixed("FOG_").only(&keys))
    }

    fn load_from(data_dir: PathBuf, environment: Env) -> Result<Self, NodeError> {
        let mut config = Self::new(data_dir);
        let defaults = Settings {
            listen: config.listen,
            consensus: None,
            mean_delay_ms: config.mean_delay_ms,
            keychain: config.keychain,
        };
        let file = config.data_dir.join(FILE);
        let settings: Settings = Figment::from(Serialized::defaults(defaults))
            .merge(Toml::file(&file))
            .merge(environment)
            .extract()
            .map_err(|e| NodeError::Config { path: file, reason: e.to_string() })?;
        config.listen = settings.listen;
        config.consensus = settings.consensus;
        config.mean_delay_ms = settings.mean_delay_ms;
        config.keychain = settings.keychain;
        Ok(config)
    }
}

/// What the file and the environment may set.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    listen: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    consensus: Option<PathBuf>,
    mean_delay_ms: u32,
    keychain: KeychainUse,
}

/// The data folder: as asked for, or the system's place for a user's programs.
///
/// # Errors
/// [`NodeError::NoHome`]; those of the present folder, for a relative path.
pub fn data_dir(asked: Option<&Path>) -> Result<PathBuf, NodeError> {
    match asked {
        Some(dir) => Ok(std::path::absolute(dir)?),
        None => directories::ProjectDirs::from("", "", "fog-compute")
            .map(|d| d.data_dir().to_path_buf())
            .ok_or(NodeError::NoHome),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_sets_what_it_names_and_mistakes_are_told() {
        let dir = tempfile::tempdir().expect("tempdir");
        let load = |text: &str| {
            std::fs::write(dir.path().join(FILE), text).expect("writes");
            NodeConfig::load_from(dir.path().into(), Env::prefixed("FOG_TEST_NOTHING_"))
        };
        let config = load("").expect("defaults");
        assert_eq!((config.mean_delay_ms, config.keychain, config.listen.port()), (50, KeychainUse::Auto, 0));
        let text = "listen = \"127.0.0.1:7001\"\nmean_delay_ms = 5\nkeychain = \"off\"\nconsensus = \"net\"";
        let config = load(text).expect("loads");
        assert_eq!(
            (config.mean_delay_ms, config.keychain, config.listen.port()),
            (5, KeychainUse::Off, 7001)
        );
        assert_eq!(config.consensus, Some("net".into()));
        for bad in ["mean_delay = 5", "keychain = \"maybe\"", "listen = 7", "mean_delay_ms = -1", "= ="] {
            let error = load(bad).expect_err(bad).to_string();
            assert!(error.contains(FILE), "{error}");
        }
    }
}
