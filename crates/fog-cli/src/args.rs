//! The command line.

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

#[derive(clap::Args)]
pub(crate) struct MixnodeArgs {
    /// The folder that `fog mixnet new` made for this relay: its keys, and the consensus beside it.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Serve metrics for Prometheus at http://ADDRESS/metrics.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<SocketAddr>,
    /// The address that others reach this relay at, where it is not the one it listens on.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) public_address: Option<SocketAddr>,
    /// Packets a second that one link may bring; more wait in the sender's socket.
    #[arg(long, value_name = "PACKETS", default_value_t = betanet::relay::DEFAULT_LINK_RATE,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) link_rate: u32,
    /// For tests: lose this share of the packets.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub(crate) chaos_loss: f64,
    /// For tests: hold packets for longer by this much in the mean.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) chaos_latency_ms: u64,
    /// End when standard input closes.
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if (0.0..=100.0).contains(&n) => Ok(n),
        _ => Err("a number from 0 to 100".into()),
    }
}

#[derive(Subcommand)]
pub(crate) enum MixnetCommand {
    /// Write keys and configuration for each authority and relay, and the document that joins it.
    New {
        #[command(flatten)]
        new: NewArgs,
    },
    /// Compute delays, cover traffic and the number of relays from a load and a latency.
    Tune(TuneArgs),
    /// Run all its authorities and relays, each as a process of its own, until Ctrl-C.
    Up(UpArgs),
}

#[derive(clap::Args)]
pub(crate) struct NewArgs {
    /// How many relays, spread over the three layers; at least 3.
    #[arg(long, default_value_t = 7)]
    pub(crate) mixnodes: u16,
    /// How many authorities decide about the directory. Without any, one consensus is signed for a year, and the relays
    /// keep their keys.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=15))]
    pub(crate) authorities: u16,
    /// How long a relay's Sphinx key is used (needs authorities).
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(4..=86_400))]
    pub(crate) epoch_s: u32,
    /// How long a key is accepted before and after its epoch; a sixth of the epoch unless it is given.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) overlap_s: Option<u32>,
    /// How often there is a new consensus; a third of the epoch unless it is given.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) voting_s: Option<u32>,
    /// Relays of each layer that the lottery draws for an epoch; 0 draws all.
    #[arg(long, default_value_t = 0)]
    pub(crate) seats: u16,
    /// Where each authority will be reached, once for each; free ports of 127.0.0.1 without it.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) authority_address: Vec<SocketAddr>,
    /// Do not mark the network as a test network: its authorities and relays will be run by different people.
    #[arg(long, requires = "authorities")]
    pub(crate) public: bool,
    /// The folder to write to. It must not exist, or be empty.
    #[arg(long)]
    pub(crate) dir: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct TuneArgs {
    /// How many people use the network.
    #[arg(long)]
    pub(crate) users: u32,
    /// The share of them that is online at once.
    #[arg(long, value_name = "PERCENT", default_value_t = 20.0, value_parser = percent)]
    pub(crate) online: f64,
    /// How long a message may take in 95 of 100 cases.
    #[arg(long, value_name = "MS", default_value_t = 500.0)]
    pub(crate) latency_ms: f64,
    /// Relays on the way.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=5))]
    pub(crate) hops: u8,
    /// Everybody's cover profile: off, mobile, standard or strong.
    #[arg(long, default_value = "standard")]
    pub(crate) cover: String,
    /// Real packets that one person who is online sends, in the mean.
    #[arg(long, value_name = "PACKETS", default_value_t = 0.1)]
    pub(crate) packets_a_second: f64,
    /// Packets a second that one relay can carry (`fog bench mixnode` tells).
    #[arg(long, value_name = "PACKETS", default_value_t = 25_000)]
    pub(crate) capacity: u32,
}

#[derive(clap::Args)]
pub(crate) struct AuthorityArgs {
    /// The folder that `fog mixnet new` made for this authority: its keys, and the network beside it.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// End when standard input closes.
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

#[derive(clap::Args)]
pub(crate) struct UpArgs {
    /// The folder that `fog mixnet new` wrote.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Trouble on purpose: every relay loses this share of its packets.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub(crate) chaos_loss: f64,
    /// Trouble on purpose: every relay holds packets for longer by this much in the mean.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) chaos_latency_ms: u64,
    /// Trouble on purpose: stop one relay after the other for two seconds, this often.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) chaos_pause_s: u64,
}

#[derive(Subcommand)]
pub(crate) enum NetworkCommand {
    /// What the mixnet promises now, the relays, and cover traffic.
    Status,
    /// Choose how much cover traffic there is; without a choice, list the profiles with their price.
    Cover {
        /// auto lets the network decide: none in a test network, standard elsewhere.
        #[arg(value_enum)]
        profile: Option<Cover>,
    },
    /// Run a mixnode on this device for the network that it is in; without options, say how it is.
    Mixnode(MixnodeHereArgs),
    /// Move to another home relay. Contacts are told, and mail to the old one is fetched for a month still.
    Home {
        /// The relay's id, or how it begins; without one, one is drawn.
        relay: Option<String>,
    },
    /// Take direct connections from contacts with whom both sides chose the public level; without options, say how it is.
    Direct(DirectArgs),
    /// Live at several home relays, so that mail arrives while one of them is down. Each sees when this device is there.
    Homes {
        /// How many.
        #[arg(value_parser = clap::value_parser!(u8).range(1..=3))]
        count: u8,
    },
}

#[derive(clap::Args)]
pub(crate) struct DirectArgs {
    /// Where this device listens, such as 0.0.0.0:9200; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Where others reach it, if that is another address.
    #[arg(long, value_name = "ADDRESS", requires = "listen")]
    pub(crate) public_address: Option<String>,
    /// Take none any more.
    #[arg(long, conflicts_with = "listen")]
    pub(crate) off: bool,
}

#[derive(clap::Args)]
pub(crate) struct MixnodeHereArgs {
    /// Where it listens, such as 0.0.0.0:9000.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Where others reach it, if that is another address.
    #[arg(long, value_name = "ADDRESS", requires = "listen")]
    pub(crate) public_address: Option<String>,
    /// 1 entry, 2 middle, 3 exit and home.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=3))]
    pub(crate) layer: u8,
    /// Who runs it, for all to see: no path has two relays of one operator.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) operator: String,
    /// End it.
    #[arg(long, conflicts_with = "listen")]
    pub(crate) off: bool,
}

/// Cover traffic.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Cover {
    /// As the network is.
    Auto,
    /// None.
    Off,
    /// A packet in two seconds.
    Mobile,
    /// Four packets a second.
    Standard,
    /// Twenty packets a second.
    Strong,
}

/// Programs that use the mixnet on their own, without a node.
#[derive(clap::Args)]
pub(crate) struct UseArgs {
    /// The network's consensus; out of date is good enough where there are authorities to ask. `consensus` in the data
    /// folder unless it is given.
    #[arg(long, value_name = "FILE")]
    pub(crate) consensus: Option<PathBuf>,
    /// Over how many relays everything goes: private three, confidential five. Confidential unless the network is too
    /// small.
    #[arg(long, value_enum)]
    pub(crate) privacy: Option<Reach>,
    /// Cover traffic: off, mobile, standard or strong. It also limits how fast anything goes.
    #[arg(long, value_name = "PROFILE", default_value = "off")]
    pub(crate) cover: betanet::cover::Profile,
    /// Mean mixing delay per hop, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 50)]
    pub(crate) mean_delay_ms: u64,
}

#[derive(Subcommand)]
pub(crate) enum ServiceCommand {
    /// Offer a server of this machine under a .fog name, until Ctrl-C.
    Publish(PublishArgs),
}

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("offer").required(true).multiple(true))]
pub(crate) struct PublishArgs {
    /// The server's port.
    #[arg(long, group = "offer", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// The server's address.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub(crate) host: std::net::IpAddr,
    /// The port under which the name has it.
    #[arg(long, value_name = "PORT", default_value_t = 80, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) public_port: u16,
    /// The file with the service's key; it is made if it is not there. Who has it can be the service. Without one, the
    /// name is new each time.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Be an exit: connect others to the targets that --allow names.
    #[arg(long, group = "offer", requires = "allow")]
    pub(crate) exit: bool,
    /// A target of the exit; * is every public host, or every port. May be given several times.
    #[arg(long, value_name = "HOST:PORT", requires = "exit")]
    pub(crate) allow: Vec<fog_services::exit::Allowed>,
    /// The most sessions at once.
    #[arg(long, default_value_t = fog_services::service::MAX_SESSIONS as u16, value_name = "NUMBER")]
    pub(crate) sessions: u16,
    #[command(flatten)]
    pub(crate) network: UseArgs,
}

#[derive(clap::Args)]
pub(crate) struct SocksArgs {
    /// Where programs on this machine connect to: a loopback address; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9050")]
    pub(crate) listen: SocketAddr,
    /// The .fog name of an exit, for all that is no .fog name. It sees what is not encrypted, as any provider does.
    #[arg(long, value_name = "NAME")]
    pub(crate) exit: Option<fog_services::address::Address>,
    #[command(flatten)]
    pub(crate) network: UseArgs,
}

/// Over how many relays streams go, on either side.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Reach {
    /// Over three relays.
    Private,
    /// Over five relays.
    Confidential,
}

/// How far messages go through the mixnet.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Privacy {
    /// Directly, without relays and without anonymity, if they choose it, too.
    Public,
    /// Over three relays.
    Private,
    /// Over five relays.
    Confidential,
    /// Over five relays to a meeting point, and five more from there.
    Secret,
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
pub(crate) enum JobCommand {
    /// Send a WASM program (WASI preview 1) with its input.
    Submit {
        /// The module.
        #[arg(long, value_name = "FILE")]
        wasm: PathBuf,
        /// What the program reads from standard input.
        #[arg(long, value_name = "FILE")]
        input: Option<PathBuf>,
        /// Who is to run it: name or id. Else the contact heard from last.
        #[arg(long)]
        to: Option<String>,
        /// A label; the module's file name by default.
        #[arg(long)]
        name: Option<String>,
        /// Longest run, seconds.
        #[arg(long, default_value_t = 300)]
        seconds: u32,
        /// Memory, MiB.
        #[arg(long, default_value_t = 512)]
        memory: u32,
        /// The most it may cost, FOG.
        #[arg(long, value_name = "FOG")]
        price_limit: Option<fog_api::Amount>,
        /// Wait for the end and print the output.
        #[arg(long)]
        wait: bool,
        /// Arguments of the program.
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// List jobs, or show one.
    Status {
        /// The job's id.
        id: Option<String>,
    },
    /// Wait for a job's end.
    Wait {
        /// The job's id.
        id: String,
    },
    /// Write a job's output to a file, or to standard output.
    Get {
        /// The job's id.
        id: String,
        /// The file.
        #[arg(long, short = 'o', value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Stop a job.
    Cancel {
        /// The job's id.
        id: String,
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

#[derive(Subcommand)]
pub(crate) enum HarvestCommand {
    /// Show sensors, decision and reason.
    Status,
    /// Work now in spite of the gates (all but heat); `off` goes back to them.
    Now {
        /// On or off.
        #[arg(value_enum, default_value_t = Switch::On)]
        switch: Switch,
    },
    /// Pause lending for a while, for instance 30m, 2h or 1d; `off` goes on at once.
    Pause {
        /// For how long.
        #[arg(default_value = "1h")]
        time: String,
    },
    /// Change when this device may work.
    Set(Box<HarvestSet>),
}

#[derive(clap::Args)]
pub(crate) struct HarvestSet {
    /// Ready-made answers; what else is given here comes on top.
    #[arg(long, value_enum)]
    pub(crate) mode: Option<Mode>,
    /// Lend this device at all.
    #[arg(long)]
    pub(crate) enabled: Option<bool>,
    /// Also on battery.
    #[arg(long)]
    pub(crate) on_battery: Option<bool>,
    /// On battery, start at this charge or more, percent.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) battery_start: Option<u32>,
    /// On battery, stop at this charge or less, percent.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) battery_stop: Option<u32>,
    /// Also while you are active.
    #[arg(long)]
    pub(crate) alongside: Option<bool>,
    /// Minutes without input before work starts.
    #[arg(long, value_name = "MINUTES")]
    pub(crate) idle_minutes: Option<u32>,
    /// Also over a network that costs by volume.
    #[arg(long)]
    pub(crate) metered: Option<bool>,
    /// CPU cap, percent.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) cpu_percent: Option<u32>,
    /// Memory cap, percent.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) memory_percent: Option<u32>,
    /// Seconds that power, network and exclusive programs must have allowed work before it starts.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace_seconds: Option<u32>,
    /// Stop while other programs use more of the processor than this, percent; 0 does not look.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) others_percent: Option<u32>,
    /// Keep the fan quiet.
    #[arg(long)]
    pub(crate) quiet: Option<bool>,
    /// The hours: `22-7`, `"mon-fri 18:30-8, sat-sun 0-24"`, or `always`.
    #[arg(long)]
    pub(crate) hours: Option<fog_api::WeekHours>,
    /// While this program runs, do not work. May be given several times, and replaces those before; an empty name
    /// leaves none.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) exclusive: Vec<String>,
    /// What a kilowatt-hour costs in your money, for the estimate of a day's cost; `none` forgets it.
    #[arg(long, value_name = "PRICE", value_parser = number_or_none)]
    pub(crate) price_per_kwh: Option<NumberOrNone>,
    /// Watts that the device draws with an idle processor; `none` guesses.
    #[arg(long, value_name = "WATTS", value_parser = number_or_none)]
    pub(crate) idle_watts: Option<NumberOrNone>,
    /// Watts that a fully used processor adds; `none` guesses.
    #[arg(long, value_name = "WATTS", value_parser = number_or_none)]
    pub(crate) busy_watts: Option<NumberOrNone>,
}

/// A number, or the word that takes one back.
#[derive(Clone, Copy)]
pub(crate) struct NumberOrNone(pub(crate) Option<f64>);

fn number_or_none(text: &str) -> Result<NumberOrNone, String> {
    if text == "none" {
        return Ok(NumberOrNone(None));
    }
    let number = text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    number.map(|n| NumberOrNone(Some(n))).ok_or_else(|| "a number from 0 on, or none".into())
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Little, late, and quietly.
    Conservative,
    /// The defaults.
    Balanced,
    /// Much, soon, also on battery and while you work.
    Aggressive,
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
