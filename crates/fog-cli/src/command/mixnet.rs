//! `fog mixnet`: the configuration of a whole test network, and running it.

mod up;

use crate::args::{Global, MixnetCommand};
use crate::output;
use anyhow::{Context, Result, bail};
use betanet::directory::LAYERS;
use betanet::relay::RelayKeys;
use betanet::testnet::TestNetwork;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The consensus' file name, in the network's folder.
pub(crate) const CONSENSUS: &str = "consensus";
/// The relay's file name, in the relay's folder.
pub(crate) const RELAY: &str = "relay.json";

/// What a relay needs to run.
#[derive(Serialize, Deserialize)]
pub(crate) struct RelayFile {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// 1 entry, 2 middle, 3 exit and home.
    pub(crate) layer: u8,
    /// Its id.
    pub(crate) id: String,
    /// Link key and Sphinx key: secret.
    pub(crate) secret: String,
    /// The consensus, relative to this file's folder.
    pub(crate) consensus: String,
}

pub(crate) fn run(global: &Global, command: &MixnetCommand) -> Result<()> {
    match command {
        MixnetCommand::New { mixnodes, dir } => new(global, *mixnodes, dir),
        MixnetCommand::Up(args) => up::run(global, args),
    }
}

fn new(global: &Global, mixnodes: u16, dir: &Path) -> Result<()> {
    if mixnodes < 3 {
        bail!("a mixnet has at least 3 relays, one of each layer");
    }
    if dir.read_dir().is_ok_and(|mut d| d.next().is_some()) {
        bail!("{} is not empty: choose another folder", dir.display());
    }
    let layers: Vec<u8> = (0..mixnodes).map(|i| LAYERS[usize::from(i) % LAYERS.len()]).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let network = TestNetwork::generate(&layers, now)?;
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    fs::write(dir.join(CONSENSUS), network.consensus().to_bytes())?;
    let mut relays = Vec::new();
    for (number, (keys, listen, layer)) in network.relays().enumerate() {
        let folder = dir.join(format!("relay-{}", number + 1));
        write_relay(&folder, &keys, listen, layer)?;
        let id = hex::encode(keys.id());
        relays.push(serde_json::json!({"dir": folder, "listen": listen, "layer": layer, "id": id}));
    }
    let reply = serde_json::json!({"consensus": dir.join(CONSENSUS), "relays": relays});
    output::show(global, &reply, |out, _| {
        writeln!(out, "A test network of {mixnodes} relays is in {}. It gives no anonymity.", dir.display())?;
        writeln!(out, "Run it:          fog mixnet up --dir {}", dir.display())?;
        writeln!(out, "or each relay:   fog mixnode --dir {}/relay-1", dir.display())?;
        writeln!(out, "Join it:         fog node --consensus {}", dir.join(CONSENSUS).display())
    })
}

/// Makes a relay's folder, beside the consensus.
pub(crate) fn write_relay(folder: &Path, keys: &RelayKeys, listen: SocketAddr, layer: u8) -> Result<()> {
    let file = RelayFile {
        listen,
        layer,
        id: hex::encode(keys.id()),
        secret: hex::encode(keys.to_bytes()),
        consensus: format!("../{CONSENSUS}"),
    };
    fs::create_dir(folder)?;
    private(&folder.join(RELAY), &serde_json::to_vec_pretty(&file)?)
}

fn private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(path)?.write_all(bytes)?)
}
