//! `fog mixnet`: the configuration of a whole test network, and running it.

mod tune;
mod up;

use crate::args::{Global, MixnetCommand, NewArgs};
use crate::output;
use anyhow::{Context, Result, bail};
use betanet::directory::{Authority, Consensus, LAYERS, Network, Timing};
use betanet::relay::RelayKeys;
use betanet::testnet::TestNetwork;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
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
    /// The consensus, or another document that says what the network is, relative to this file's folder.
    pub(crate) consensus: String,
    /// Who runs it, for all to see: no path has two relays of one operator. Empty: they do not say.
    #[serde(default)]
    pub(crate) operator: String,
}

/// The authority's file name, in the authority's folder.
pub(crate) const AUTHORITY: &str = "authority.json";

/// What an authority needs to run.
#[derive(Serialize, Deserialize)]
pub(crate) struct AuthorityFile {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Its public key.
    pub(crate) key: String,
    /// Its signing key: secret.
    pub(crate) secret: String,
    /// Its key on links: secret.
    pub(crate) link_secret: String,
    /// A document that says what the network is, relative to this file's folder.
    pub(crate) network: String,
}

pub(crate) fn run(global: &Global, command: &MixnetCommand) -> Result<()> {
    match command {
        MixnetCommand::New { new } => make(global, new),
        MixnetCommand::Tune(args) => tune::run(global, args),
        MixnetCommand::Up(args) => up::run(global, args),
    }
}

fn make(global: &Global, args: &NewArgs) -> Result<()> {
    let NewArgs { mixnodes, ref dir, .. } = *args;
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
    let document = match args.authorities {
        0 => network.consensus().to_bytes(),
        _ => authorities(args)?,
    };
    fs::write(dir.join(CONSENSUS), document)?;
    let mut relays = Vec::new();
    for (number, (keys, listen, layer)) in network.relays().enumerate() {
        let folder = dir.join(format!("relay-{}", number + 1));
        let operator = if args.authorities > 0 { format!("operator-{}", number + 1) } else { String::new() };
        write_relay(&folder, &keys, listen, layer, operator)?;
        let id = hex::encode(keys.id());
        relays.push(serde_json::json!({"dir": folder, "listen": listen, "layer": layer, "id": id}));
    }
    let reply = serde_json::json!({
        "consensus": dir.join(CONSENSUS), "authorities": args.authorities, "relays": relays
    });
    output::show(global, &reply, |out, _| {
        let kind = if args.public { "network" } else { "test network" };
        let decided = match args.authorities {
            0 => String::new(),
            n => format!("{n} authorities and "),
        };
        write!(out, "A {kind} of {decided}{mixnodes} relays is in {}. ", dir.display())?;
        writeln!(
            out,
            "{}",
            match args.public {
                true => "It gives anonymity only if different people run it.",
                false => "It gives no anonymity.",
            }
        )?;
        writeln!(out, "Run it:          fog mixnet up --dir {}", dir.display())?;
        writeln!(out, "or each relay:   fog mixnode --dir {}/relay-1", dir.display())?;
        writeln!(out, "Join it:         fog node --consensus {}", dir.join(CONSENSUS).display())
    })
}

/// Makes the authorities' folders. Gives the document with which everybody starts: what the network is, without relays.
fn authorities(args: &NewArgs) -> Result<Vec<u8>> {
    let timing = Timing {
        epoch: args.epoch_s,
        overlap: args.overlap_s.unwrap_or((args.epoch_s / 6).max(2)),
        voting: args.voting_s.unwrap_or(args.epoch_s / 3),
    };
    let given = &args.authority_address;
    if !given.is_empty() && given.len() != usize::from(args.authorities) {
        bail!(
            "--authority-address is given once for each of the {} authorities, or not at all",
            args.authorities
        );
    }
    // All are held until the last is known, so that no port comes twice.
    let ports = (given.len()..usize::from(args.authorities))
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<std::io::Result<Vec<_>>>()?;
    let free = ports.iter().map(TcpListener::local_addr).collect::<std::io::Result<Vec<_>>>()?;
    let mut keys = Vec::new();
    let mut named = Vec::new();
    for (number, listen) in given.iter().copied().chain(free).enumerate() {
        let (key, link) = (SigningKey::from_bytes(&rand::random()), x25519_dalek::StaticSecret::random());
        let public = key.verifying_key().to_bytes();
        named.push(Authority {
            key: public,
            link: x25519_dalek::PublicKey::from(&link).to_bytes(),
            address: listen,
        });
        let file = AuthorityFile {
            listen,
            key: hex::encode(public),
            secret: hex::encode(key.to_bytes()),
            link_secret: hex::encode(link.to_bytes()),
            network: format!("../{CONSENSUS}"),
        };
        let folder = args.dir.join(format!("authority-{}", number + 1));
        fs::create_dir(&folder)?;
        private(&folder.join(AUTHORITY), &serde_json::to_vec_pretty(&file)?)?;
        keys.push(key);
    }
    let network = Network::new(!args.public, named, timing, args.seats);
    network.check()?;
    let first = Consensus { network, valid_after: 0, valid_until: 0, seeds: Vec::new(), relays: Vec::new() };
    Ok(first.sign(&keys).to_bytes())
}

/// Makes a relay's folder, beside the consensus.
pub(crate) fn write_relay(
    folder: &Path,
    keys: &RelayKeys,
    listen: SocketAddr,
    layer: u8,
    operator: String,
) -> Result<()> {
    let file = RelayFile {
        listen,
        layer,
        id: hex::encode(keys.id()),
        secret: hex::encode(keys.to_bytes()),
        consensus: format!("../{CONSENSUS}"),
        operator,
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
