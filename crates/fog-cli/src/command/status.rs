//! `fog status`.

use super::client;
use crate::args::Global;
use crate::output::{show, words};
use anyhow::Result;
use fog_api::GetOverview;

pub(crate) fn run(global: &Global) -> Result<()> {
    let client = client(global)?;
    show(global, &client.call(GetOverview {})?, |out, o| {
        let test = if o.test_network { " (test network: no anonymity)" } else { "" };
        writeln!(out, "mixnet    {}: {}{test}", words(&o.network), o.network_reason)?;
        writeln!(out, "harvest   {}: {}", words(&o.harvest), o.harvest_reason)?;
        writeln!(out, "contacts  {}, {} unread", o.contacts, o.unread)?;
        writeln!(out, "jobs      {} running here, {} done", o.jobs_running, o.jobs_done)?;
        writeln!(out, "wallet    {} FOG, {} earned today", o.balance, o.earned_today)?;
        writeln!(out, "votes     {} open", o.open_votes)?;
        writeln!(out, "page      {}", client.access().page())
    })
}
