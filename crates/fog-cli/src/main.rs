//! `fog`: a Fog Compute node without a window, and every command to it.
//!
//! `fog node` runs a node and serves its page on loopback. The other commands find the running node of a data
//! folder by a file in it and ask it over the same API that the page uses. `--json` prints replies as they are.

mod args;
mod client;
mod command;
mod config;
mod output;

use args::{Args, Command};
use clap::{CommandFactory, Parser};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Jobs run in this program's child processes: nothing of the rest may be set up in them.
    if std::env::args_os().nth(1).is_some_and(|a| a == "worker") {
        return ExitCode::from(u8::try_from(fog_jobs::worker::main()).unwrap_or(1));
    }
    let args = Args::parse();
    let result = match args.command {
        Command::Node(node) => command::node::run(&args.global, &node),
        Command::Network(network) => command::network::run(&args.global, &network),
        Command::Mixnode(mixnode) => command::mixnode::run(&args.global, &mixnode),
        Command::Authority(authority) => command::authority::run(&args.global, &authority),
        Command::Mixnet(mixnet) => command::mixnet::run(&args.global, &mixnet),
        Command::Service(service) => command::service::run(&args.global, &service),
        Command::Socks(socks) => command::socks::run(&args.global, &socks),
        Command::Chat(chat) => command::chat::run(&args.global, chat),
        Command::Job(job) => command::job::run(&args.global, job),
        Command::Wallet => command::wallet::run(&args.global),
        Command::Dao(dao) => command::dao::run(&args.global, dao),
        Command::Harvest(harvest) => command::harvest::run(&args.global, &harvest),
        Command::Status => command::status::run(&args.global),
        Command::Sim(sim) => command::sim::run(&args.global, &sim),
        Command::Bitchat(bitchat) => command::bitchat::run(&args.global, &bitchat),
        Command::Bench(bench) => command::bench::run(&args.global, &bench),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "fog", &mut std::io::stdout());
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => output::fail(&args.global, &e),
    }
}
