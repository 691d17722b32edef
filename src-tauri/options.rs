//! How the app is started. What the command line does not say, `fog_node::NodeConfig::load` reads.

use anyhow::{Context, Result, bail};
use clap::Parser;
use fog_node::NodeConfig;
use std::path::PathBuf;

/// Fog Compute: private chat, idle machines and a say, among your own devices and people you know.
#[derive(Parser)]
#[command(name = "fog-compute", version, after_help = "The same without a window: fog node")]
pub(crate) struct Options {
    /// Where the node keeps its data. Two copies on one machine take two folders.
    #[arg(long, short = 'd', env = "FOG_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Start without showing the window, where the desktop has a place for the program's icon.
    #[arg(long)]
    pub(crate) background: bool,
    /// How much to log: error, warn, info, debug, trace, or a filter such as betanet=debug.
    #[arg(long, env = "FOG_LOG", value_name = "FILTER", default_value = "warn,fog_node=info")]
    log: String,
}

impl Options {
    /// The node's configuration.
    ///
    /// # Errors
    /// There is no folder for the data, or `fog.toml` or the environment cannot be understood.
    pub(crate) fn node(&self) -> Result<NodeConfig> {
        Ok(NodeConfig::load(fog_node::data_dir(self.data_dir.as_deref())?)?)
    }

    /// Logs to standard error from now on.
    ///
    /// # Errors
    /// The filter is no filter.
    pub(crate) fn logging(&self) -> Result<()> {
        let filter = tracing_subscriber::EnvFilter::try_new(&self.log)
            .with_context(|| format!("--log {:?} is no filter", self.log))?;
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
        Ok(())
    }
}

/// Refuses to go on where no window can open, with a better word than the toolkit's.
///
/// # Errors
/// There is no display.
pub(crate) fn display() -> Result<()> {
    let there = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    if cfg!(target_os = "linux") && !there("DISPLAY") && !there("WAYLAND_DISPLAY") {
        bail!("there is no display to open a window on: run `fog node`, which serves the page to a browser");
    }
    Ok(())
}
