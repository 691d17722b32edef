//! The node's configuration with the command line on top, and logging.

use crate::args::{Global, Keychain, NodeArgs};
use anyhow::{Context, Result};
use fog_node::{KeychainUse, NodeConfig};
use std::path::PathBuf;

/// The data folder that the command is about.
pub(crate) fn data_dir(global: &Global) -> Result<PathBuf> {
    Ok(fog_node::data_dir(global.data_dir.as_deref())?)
}

/// The whole configuration of a node.
pub(crate) fn node(global: &Global, args: &NodeArgs) -> Result<NodeConfig> {
    let mut config = NodeConfig::load(data_dir(global)?)?;
    if let Some(consensus) = &args.consensus {
        config.consensus = Some(consensus.clone());
    }
    config.mean_delay_ms = args.mean_delay_ms.unwrap_or(config.mean_delay_ms);
    config.listen = args.listen.unwrap_or(config.listen);
    match args.keychain {
        Some(Keychain::Auto) => config.keychain = KeychainUse::Auto,
        Some(Keychain::Off) => config.keychain = KeychainUse::Off,
        None => {}
    }
    if let Some(sysfs) = &args.sysfs {
        config.sysfs.clone_from(sysfs);
    }
    Ok(config)
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
