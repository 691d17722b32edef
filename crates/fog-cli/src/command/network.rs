//! `fog network`.

use super::client;
use crate::args::{Cover, DirectArgs, Global, MixnodeHereArgs, NetworkCommand};
use crate::client::Client;
use crate::output::{show, words};
use anyhow::Result;
use fog_api::{
    ChangeHome, CoverProfile, DirectSettings, GetNetwork, GetSettings, MixnodeSettings, NetworkView,
    SetSettings,
};
use std::io::Write;
use std::time::{Duration, Instant};

pub(crate) fn run(global: &Global, command: &NetworkCommand) -> Result<()> {
    let client = client(global)?;
    match command {
        NetworkCommand::Status => show(global, &client.call(GetNetwork {})?, status),
        NetworkCommand::Cover { profile: None } => {
            let cover = client.call(GetNetwork {})?.cover;
            show(global, &cover, |out, cover| {
                for choice in &cover.choices {
                    let mark = if choice.profile == cover.profile { "*" } else { " " };
                    let (up, down) = (megabytes(choice.up_a_day), megabytes(choice.down_a_day));
                    writeln!(
                        out,
                        "{mark} {:<9} {up:>6} MB up, {down:>5} MB down a day",
                        words(&choice.profile)
                    )?;
                    writeln!(out, "            {}", choice.promise)?;
                }
                writeln!(out, "{}", if cover.automatic { "The network decides." } else { "You chose it." })
            })
        }
        NetworkCommand::Cover { profile: Some(profile) } => set_cover(global, &client, *profile),
        NetworkCommand::Mixnode(args) => mixnode(global, &client, args),
        NetworkCommand::Direct(args) => direct(global, &client, args),
        NetworkCommand::Homes { count } => {
            let mut settings = client.call(GetSettings {})?;
            settings.homes = *count;
            let homes = client.call(SetSettings { settings })?.homes;
            show(global, &serde_json::json!({"homes": homes}), |out, _| match homes {
                1 => writeln!(out, "There is to be one home relay. Your contacts are told."),
                n => writeln!(
                    out,
                    "There are to be {n} home relays, if the network has that many. Your contacts are told."
                ),
            })
        }
        NetworkCommand::Home { relay } => {
            let relay = client.call(ChangeHome { relay: relay.clone() })?;
            show(global, &serde_json::json!({"home": relay}), |out, _| {
                writeln!(
                    out,
                    "The home relay is {} now. Your contacts are told.",
                    &relay[..8.min(relay.len())]
                )
            })
        }
    }
}

fn set_cover(global: &Global, client: &Client, profile: Cover) -> Result<()> {
    let mut settings = client.call(GetSettings {})?;
    settings.cover = match profile {
        Cover::Auto => None,
        Cover::Off => Some(CoverProfile::Off),
        Cover::Mobile => Some(CoverProfile::Mobile),
        Cover::Standard => Some(CoverProfile::Standard),
        Cover::Strong => Some(CoverProfile::Strong),
    };
    client.call(SetSettings { settings })?;
    let cover = client.call(GetNetwork {})?.cover;
    show(global, &cover, |out, cover| {
        let price = cover.choices.iter().find(|c| c.profile == cover.profile);
        let (up, down) = price.map_or((0, 0), |c| (c.up_a_day, c.down_a_day));
        writeln!(
            out,
            "Cover traffic is {} now: {} MB up and {} MB down a day.",
            words(&cover.profile),
            megabytes(up),
            megabytes(down)
        )
    })
}

fn direct(global: &Global, client: &Client, args: &DirectArgs) -> Result<()> {
    if args.off || args.listen.is_some() {
        let mut settings = client.call(GetSettings {})?;
        settings.direct = args.listen.as_ref().map(|listen| DirectSettings {
            listen: listen.clone(),
            public_address: args.public_address.clone(),
        });
        client.call(SetSettings { settings })?;
    }
    // The node opens and closes the socket on its own; a moment is enough.
    let wanted = client.call(GetSettings {})?.direct.is_some();
    let start = Instant::now();
    let view = loop {
        let view = client.call(GetNetwork {})?.direct;
        let settled = view.problem.is_some() || view.address.is_some() == wanted;
        if settled || start.elapsed() > Duration::from_secs(5) {
            break view;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    show(global, &view, |out, view| match (&view.address, &view.problem) {
        (Some(address), _) => writeln!(out, "Direct connections are taken at {address}."),
        (None, Some(why)) => writeln!(out, "Direct connections are not taken: {why}"),
        (None, None) => {
            writeln!(out, "No direct connections are taken. This device may dial others who take them.")
        }
    })
}

fn mixnode(global: &Global, client: &Client, args: &MixnodeHereArgs) -> Result<()> {
    if args.off || args.listen.is_some() {
        let mut settings = client.call(GetSettings {})?;
        settings.mixnode = args.listen.as_ref().map(|listen| MixnodeSettings {
            listen: listen.clone(),
            public_address: args.public_address.clone(),
            layer: args.layer,
            operator: args.operator.clone(),
        });
        client.call(SetSettings { settings })?;
    }
    show(global, &client.call(GetNetwork {})?.mixnode, |out, m| {
        writeln!(out, "mixnode   {} {}", words(&m.state), m.reason)?;
        if let Some(address) = &m.address {
            writeln!(out, "listens   {address}, layer {}", m.layer.unwrap_or_default())?;
            writeln!(out, "mixed     {} packets", m.mixed)?;
        }
        Ok(())
    })
}

fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

fn status(out: &mut dyn Write, view: &NetworkView) -> std::io::Result<()> {
    writeln!(out, "mixnet    {}: {}", words(&view.health), view.reason)?;
    writeln!(out, "privacy   {}: {}", words(&view.privacy.state), view.privacy.promise)?;
    writeln!(out, "          {}", view.privacy.limits)?;
    let cover = &view.cover;
    let by = if cover.automatic { "by the network" } else { "by your choice" };
    writeln!(
        out,
        "cover     {} {by}: {} loops and {} drops sent, {} loops back, {} lost",
        words(&cover.profile),
        cover.loops,
        cover.drops,
        cover.loops_back,
        cover.loops_lost
    )?;
    writeln!(out, "mixnode   {} {}", words(&view.mixnode.state), view.mixnode.reason)?;
    for network in &view.networks {
        let test = if network.test { " (test network: no anonymity)" } else { "" };
        writeln!(out, "network   {}{test}", network.id)?;
        if network.authorities > 1 {
            writeln!(
                out,
                "  {} of {} authorities signed the directory",
                network.signed_by, network.authorities
            )?;
        }
        for relay in &network.relays {
            let is_home = network.home.as_ref() == Some(&relay.id) || network.more_homes.contains(&relay.id);
            let home = if is_home { " home" } else { "" };
            let entry = if relay.pinned { " entry" } else { "" };
            let out_of_use = if relay.in_use { "" } else { " left out" };
            let share = relay.delivered_share.map_or_else(String::new, |s| format!(" {:.0} %", s * 100.0));
            writeln!(
                out,
                "  {} layer {} {} {}{share}{home}{entry}{out_of_use}",
                relay.name, relay.layer, relay.address, relay.operator
            )?;
        }
    }
    Ok(())
}
