//! The command line.

mod harvest;
mod job;
mod mixnet;
mod network;

pub(crate) use harvest::*;
pub(crate) use job::{AllowArgs, Class, JobCommand, State, SubmitArgs};
pub(crate) use mixnet::*;
pub(crate) use network::*;

use clap::{Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

const AFTER: &str = "\
Getting started:
  fog node                       run a node and print the address of its page
  fog chat card                  your address card, for somebody else to add
  fog chat add CARD              add somebody by their card
  fog chat send ANNA \"Hello\"     write to them
  fog job submit --wasm FILE     run a WASM program on a contact's idle machine

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no node is running, 4 refused by the rules, 5 not found.";

/// Fog Compute: private chat, idle machines and a say, among your own devices and people you know.
#[derive(Parser)]
#[command(name = "fog", version, after_help = AFTER, propagate_version = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(clap::Args)]
pub(crate) struct Global {
    /// Where the node keeps its data. Two nodes on one machine take two folders.
    #[arg(long, short = 'd', global = true, env = "FOG_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print JSON: numbers are numbers, times are seconds since 1970, amounts are strings of 10^-18 FOG.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How much to log: error, warn, info, debug, trace, or a filter such as betanet=debug.
    #[arg(long, global = true, env = "FOG_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a node without a window and serve its page on this machine.
    Node(NodeArgs),
    /// Show how the running node is.
    Status,
    /// Run one mixnode as a process of its own.
    Mixnode(MixnodeArgs),
    /// Run one directory authority as a process of its own.
    Authority(AuthorityArgs),
    /// Make the configuration of a whole mixnet, and run it.
    #[command(subcommand)]
    Mixnet(MixnetCommand),
    /// How the mixnet is, and how this node uses it.
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Hidden services: offer a server under a .fog name, or be an exit.
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Run a SOCKS5 proxy through which programs reach .fog names, and the rest of the internet through an exit.
    Socks(SocksArgs),
    /// Contacts and messages.
    #[command(subcommand)]
    Chat(ChatCommand),
    /// Run programs on other people's idle machines.
    #[command(subcommand)]
    Job(JobCommand),
    /// Balance, escrow and journal.
    Wallet,
    /// Proposals and votes.
    #[command(subcommand)]
    Dao(DaoCommand),
    /// When this device works for others.
    #[command(subcommand)]
    Harvest(HarvestCommand),
    /// Packets of the bitchat mesh as JSON, and back: for who works on the protocol. Needs no node.
    #[command(subcommand)]
    Bitchat(BitchatCommand),
    /// Measure: prints a table, or one JSON object with --json.
    Bench(BenchArgs),
    /// Simulate many devices in one process.
    #[command(subcommand)]
    Sim(SimCommand),
    /// Print the completion script of a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(clap::Args)]
pub(crate) struct NodeArgs {
    /// Your name, for the first start without the page's first-run screen.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The page's loopback address; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// The consensus of the mixnet to join. Without one, a new node runs a test network of its own.
    #[arg(long, value_name = "FILE")]
    pub(crate) consensus: Option<PathBuf>,
    /// Mean mixing delay per hop of a new node, milliseconds.
    #[arg(long, value_name = "MS")]
    pub(crate) mean_delay_ms: Option<u32>,
    /// Whether the system's keychain keeps the key of the secrets.
    #[arg(long, value_enum)]
    pub(crate) keychain: Option<Keychain>,
    /// A file with the passphrase of sealed secrets (else it is asked for on the page).
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Where the sensors are; for simulations.
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) sysfs: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keychain {
    /// Where there is one.
    Auto,
    /// A file of the owner alone instead.
    Off,
}

#[derive(Subcommand)]
pub(crate) enum ChatCommand {
    /// Show your address card.
    Card,
    /// Add somebody by their card; - reads it from standard input.
    Add {
        /// The card's text.
        card: String,
    },
    /// List your contacts.
    Contacts,
    /// Accept somebody who added you.
    Accept {
        /// Name or id.
        contact: String,
    },
    /// Block somebody.
    Block {
        /// Name or id.
        contact: String,
    },
    /// Choose over how many relays your messages to somebody go.
    Privacy {
        /// Name or id.
        contact: String,
        /// private: three relays; confidential: five; secret: five to a meeting point and five from there.
        #[arg(value_enum)]
        level: Privacy,
    },
    /// Send a message; - reads it from standard input.
    Send {
        /// Name or id.
        contact: String,
        /// The text.
        text: String,
        /// Wait until it is on the other side's disk.
        #[arg(long)]
        wait: bool,
        /// Give up waiting after this many seconds.
        #[arg(long, default_value_t = 60, requires = "wait")]
        timeout: u64,
    },
    /// Show a conversation and mark it as read.
    Read {
        /// Name or id.
        contact: String,
        /// How many messages.
        #[arg(long, short = 'n', default_value_t = 20)]
        count: u32,
        /// Leave unread messages unread.
        #[arg(long)]
        peek: bool,
    },
    /// Print events as they happen, until interrupted.
    Follow,
    /// Show the paths that a message's packets took.
    Path {
        /// The message's id.
        message: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum DaoCommand {
    /// List proposals, or show one with its votes.
    List {
        /// The proposal's id.
        id: Option<String>,
    },
    /// Open a proposal.
    Propose {
        /// One line.
        title: String,
        /// The text.
        #[arg(long, default_value = "")]
        body: String,
        /// What kind.
        #[arg(long, value_enum, default_value_t = Kind::General)]
        kind: Kind,
    },
    /// Vote; a later vote replaces an earlier one.
    Vote {
        /// The proposal's id, or its first digits.
        id: String,
        /// The choice.
        #[arg(value_enum)]
        choice: Choice,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    General,
    Parameter,
    Treasury,
    Upgrade,
    Agent,
    Emergency,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Choice {
    Yes,
    No,
    Abstain,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

#[derive(Subcommand)]
pub(crate) enum BitchatCommand {
    /// Print everything in a packet as JSON, and what is wrong with it. Fails if anything is.
    Decode {
        /// The packet in hexadecimal digits; - reads them from standard input.
        #[arg(value_name = "HEX")]
        packet: String,
        /// A key to open or check with: noise:HEX, prekey:ID:HEX, group:HEX, session:HEX (private), public:HEX (of who
        /// signed), or a file with one a line. May be given several times. Others on this machine can see arguments.
        #[arg(long, value_name = "KEY")]
        key: Vec<String>,
    },
    /// Make a packet from JSON as `decode` prints it, and print it in hexadecimal digits.
    Encode {
        /// A file with the JSON; - reads it from standard input.
        #[arg(value_name = "FILE", default_value = "-")]
        description: String,
        /// signing:HEX signs the packet, session:HEX seals a private content; or a file with one a line.
        #[arg(long, value_name = "KEY")]
        key: Vec<String>,
    },
}

#[derive(clap::Args)]
pub(crate) struct BenchArgs {
    /// Which.
    #[arg(value_enum)]
    pub(crate) name: BenchName,
    /// Messages or rounds per measurement; more are steadier.
    #[arg(long, default_value_t = 40)]
    pub(crate) rounds: u32,
    /// The app's program: measures the window's memory and start, too (takes a display).
    #[arg(long, value_name = "FILE")]
    pub(crate) app: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum BenchName {
    /// Jobs: start, speed against wasmtime, how many a second, checkpoints, whether the device's owner notices.
    Compute,
    /// Message round trips, memory, cold start, job overhead.
    Skeleton,
    /// A whole mixnet in processes: latency over three and five relays, the relays' delays, a client's cost.
    Mixnet,
    /// One mixnode between sockets: packets a second, loss, lateness, memory.
    Mixnode,
    /// The harvester at rest: its share of a core and its memory, over a minute.
    Harvest,
    /// A relay's replay filter after an hour at 25,000 packets a second: memory, checks, false refusals, loading. It
    /// takes some minutes, 400 MB of memory and 720 MB of the folder for temporary files.
    Replay,
    /// Building and unwrapping packets, against the sphinx-packet crate.
    Sphinx,
}

#[derive(Subcommand)]
pub(crate) enum SimCommand {
    /// The mesh: relay, store and forward, under a simulated radio, beside other rule sets.
    Mesh(SimMeshArgs),
}

#[derive(clap::Args)]
pub(crate) struct SimMeshArgs {
    /// Which: G1 to G14. docs/mesh.md says what each one is.
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: String,
    /// Runs with different chance; the figures are means over them.
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) seeds: u64,
    /// The first seed. The same seeds give the same run, bit for bit.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) first_seed: u64,
    /// The share of radio operations that are lost; the scenario's own unless it is given.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(crate) loss: Option<f64>,
    /// A smaller form that takes seconds; its figures say little about the goals.
    #[arg(long)]
    pub(crate) short: bool,
    /// Only our own rules, without those beside it.
    #[arg(long)]
    pub(crate) only_native: bool,
    /// Write a plot of delivery over time, as SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if (0.0..=100.0).contains(&n) => Ok(n),
        _ => Err("a number from 0 to 100".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
