//! Relays, authorities, and whole mixnets.

use super::percent;
use clap::Subcommand;
use std::net::SocketAddr;
use std::path::PathBuf;

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
