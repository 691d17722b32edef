//! How the app is started: the command line, then `FOG_*` in the environment, then `fog.toml` in the data folder.
//! The names are those of `fog node`, so that a data folder works alike with and without a window.

use anyhow::{Context, Result, bail};
use clap::Parser;
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use fog_node::{KeychainUse, NodeConfig};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Fog Compute: private chat, idle machines and a say, among your own devices and people you know.
#[derive(Parser)]
#[command(name = "fog-compute", version, after_help = "The same without a window: fog node")]
pub(crate) struct Options {
    /// Where the node keeps its data. Two copies on one machine take two folders.
    #[arg(long, short = 'd', env = "FOG_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How much to log: error, warn, info, debug, trace, or a filter such as betanet=debug.
    #[arg(long, env = "FOG_LOG", value_name = "FILTER", default_value = "warn,fog_node=info")]
    log: String,
}

/// What `fog.toml` and the environment may set.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    listen: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    consensus: Option<PathBuf>,
    mean_delay_ms: u32,
    /// `auto` or `off`.
    keychain: String,
}

impl Options {
    /// The node's configuration and the loopback address for the command line.
    ///
    /// # Errors
    /// There is no folder for the data, or `fog.toml` or the environment cannot be understood.
    pub(crate) fn node(&self) -> Result<(NodeConfig, SocketAddr)> {
        let dir = match &self.data_dir {
            Some(dir) => std::path::absolute(dir)?,
            None => directories::ProjectDirs::from("", "", "fog-compute")
                .map(|d| d.data_dir().to_path_buf())
                .context("this user has no home folder: name a data folder with --data-dir")?,
        };
        let mut config = NodeConfig::new(dir);
        let defaults = Settings {
            listen: ([127, 0, 0, 1], 0).into(),
            consensus: None,
            mean_delay_ms: config.mean_delay_ms,
            keychain: "auto".into(),
        };
        let file = config.data_dir.join("fog.toml");
        let settings: Settings = Figment::from(Serialized::defaults(defaults))
            .merge(Toml::file(&file))
            .merge(Env::prefixed("FOG_").only(&["listen", "consensus", "mean_delay_ms", "keychain"]))
            .extract()
            .with_context(|| {
                format!("the configuration ({} or the environment) cannot be used", file.display())
            })?;
        config.consensus = settings.consensus;
        config.mean_delay_ms = settings.mean_delay_ms;
        config.keychain = match settings.keychain.as_str() {
            "auto" => KeychainUse::Auto,
            "off" => KeychainUse::Off,
            other => bail!("keychain is {other:?}; it can be \"auto\" or \"off\""),
        };
        Ok((config, settings.listen))
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
