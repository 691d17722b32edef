//! `fog dao`.

use super::{client, complete_id};
use crate::args::{Choice, DaoCommand, Global, Kind};
use crate::output::{printable, show, words};
use anyhow::Result;
use fog_api::{CastVote, CreateProposal, ListProposals, ProposalKind, ProposalView, VoteChoice};
use std::io::{self, Write};

pub(crate) fn run(global: &Global, command: DaoCommand) -> Result<()> {
    let client = client(global)?;
    match command {
        DaoCommand::List { id: None } => show(global, &client.call(ListProposals {})?, |out, list| {
            if list.is_empty() {
                writeln!(out, "No proposals yet. Open one: fog dao propose \"Title\"")?;
            }
            list.iter().try_for_each(|p| line(out, p))
        }),
        DaoCommand::List { id: Some(id) } => {
            let list = client.call(ListProposals {})?;
            let id = complete_id(list.iter().map(|p| p.id.clone()), &id, "proposal")?;
            let found = list.into_iter().find(|p| p.id == id);
            show(global, &found, |out, p| p.iter().try_for_each(|p| whole(out, p)))
        }
        DaoCommand::Propose { title, body, kind } => {
            let kind = match kind {
                Kind::General => ProposalKind::General,
                Kind::Parameter => ProposalKind::ParameterChange,
                Kind::Treasury => ProposalKind::TreasuryAllocation,
                Kind::Upgrade => ProposalKind::ProtocolUpgrade,
                Kind::Agent => ProposalKind::AgentDeployment,
                Kind::Emergency => ProposalKind::EmergencyAction,
            };
            show(global, &client.call(CreateProposal { kind, title, body })?, |out, p| line(out, p))
        }
        DaoCommand::Vote { id, choice } => {
            let ids = client.call(ListProposals {})?.into_iter().map(|p| p.id);
            let proposal = complete_id(ids, &id, "proposal")?;
            let choice = match choice {
                Choice::Yes => VoteChoice::Yes,
                Choice::No => VoteChoice::No,
                Choice::Abstain => VoteChoice::Abstain,
            };
            show(global, &client.call(CastVote { proposal, choice })?, |out, p| whole(out, p))
        }
    }
}

fn line(out: &mut dyn Write, p: &ProposalView) -> io::Result<()> {
    writeln!(
        out,
        "{}  {:<9} {} (by {})",
        &p.id[..8],
        words(&p.state),
        printable(&p.title),
        printable(&p.proposer_name)
    )
}

fn whole(out: &mut dyn Write, p: &ProposalView) -> io::Result<()> {
    line(out, p)?;
    if !p.body.is_empty() {
        writeln!(out, "\n{}\n", printable(&p.body))?;
    }
    let t = &p.tally;
    writeln!(out, "  for {}, against {}, abstained {}, of {} in all", t.yes, t.no, t.abstain, t.total)?;
    writeln!(
        out,
        "  needs {} % voting and {} % of for and against for it",
        t.quorum_percent, t.approval_percent
    )?;
    for v in &p.votes {
        writeln!(out, "  {} {} with {}", printable(&v.name), words(&v.choice), v.power)?;
    }
    Ok(())
}
