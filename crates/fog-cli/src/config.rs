//! Where options come from: defaults, `fog.toml` in the data folder, `FOG_*` in the environment, the command
//! line; later ones win.

use crate::args::{Global, Keychain, NodeArgs};
use anyhow::{Context, Result};
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use fog_node::{KeychainUse, NodeConfig};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The configuration file's name within the data folder.
pub(crate) const FILE: &str = "fog.toml";

/// What the file and the environment may set.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    listen: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    consensus: Option<PathBuf>,
    mean_delay_ms: u32,
    /// `auto` or `off`.
    keychain: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 0).into(),
            consensus: None,
            mean_delay_ms: 50,
            keychain: "auto".into(),
        }
    }
}

/// The data folder: as asked for, or the system's place for a user's programs.
pub(crate) fn data_dir(global: &Global) -> Result<PathBuf> {
    match &global.data_dir {
        Some(dir) => Ok(std::path::absolute(dir)?),
        None => directories::ProjectDirs::from("", "", "fog-compute")
            .map(|d| d.data_dir().to_path_buf())
            .context("this user has no home folder: name a data folder with --data-dir"),
    }
}

/// The whole configuration of a node.
pub(crate) fn node(global: &Global, args: &NodeArgs) -> Result<(NodeConfig, SocketAddr)> {
    let dir = data_dir(global)?;
    let options: Options = Figment::from(Serialized::defaults(Options::default()))
        .merge(Toml::file(dir.join(FILE)))
        .merge(Env::prefixed("FOG_").only(&["listen", "consensus", "mean_delay_ms", "keychain"]))
        .extract()
        .with_context(|| {
            format!("the configuration ({} or the environment) cannot be used", dir.join(FILE).display())
        })?;
    let mut config = NodeConfig::new(dir);
    config.consensus = args.consensus.clone().or(options.consensus);
    config.mean_delay_ms = args.mean_delay_ms.unwrap_or(options.mean_delay_ms);
    let off = match args.keychain {
        Some(k) => k == Keychain::Off,
        None => match options.keychain.as_str() {
            "off" => true,
            "auto" => false,
            other => anyhow::bail!("keychain is {other:?}; it can be \"auto\" or \"off\""),
        },
    };
    config.keychain = if off { KeychainUse::Off } else { KeychainUse::Auto };
    if let Some(sysfs) = &args.sysfs {
        config.sysfs.clone_from(sysfs);
    }
    Ok((config, args.listen.unwrap_or(options.listen)))
}

/// Logging to standard error.
pub(crate) fn logging(global: &Global, default: &str) -> Result<()> {
    let filter = global.log.as_deref().unwrap_or(default);
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .with_context(|| format!("--log {filter:?} is no filter"))?;
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    Ok(())
}
