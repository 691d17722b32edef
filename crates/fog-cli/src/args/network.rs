//! This node's place in a mixnet, hidden services and the proxy.

use clap::{Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

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
