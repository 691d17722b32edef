//! Proposals and votes as the page shows them.

use crate::core::Core;
use crate::error::{Result, bad_input, database, not_found};
use crate::identity::{hex, unhex};
use crate::records::{self, api};
use crate::time::{now_ms, seconds};
use crate::wallet;
use crate::work::{After, Work};
use fog_api::{Amount, EventBody, ProposalKind, ProposalState, ProposalView, Tally, VoteChoice, VoteView};
use fog_tokenomics::governance::{self as dao, StoredProposal};
use fog_tokenomics::{Choice, ProposalId, Record, State};
use sqlx::SqliteConnection;
use std::sync::Arc;

const LISTED: u32 = 200;

fn kind_in(kind: ProposalKind) -> fog_tokenomics::ProposalKind {
    use fog_tokenomics::ProposalKind as K;
    match kind {
        ProposalKind::ParameterChange => K::ParameterChange,
        ProposalKind::TreasuryAllocation => K::TreasuryAllocation,
        ProposalKind::ProtocolUpgrade => K::ProtocolUpgrade,
        ProposalKind::AgentDeployment => K::AgentDeployment,
        ProposalKind::EmergencyAction => K::EmergencyAction,
        ProposalKind::General => K::General,
    }
}

fn kind_out(kind: fog_tokenomics::ProposalKind) -> ProposalKind {
    use fog_tokenomics::ProposalKind as K;
    match kind {
        K::ParameterChange => ProposalKind::ParameterChange,
        K::TreasuryAllocation => ProposalKind::TreasuryAllocation,
        K::ProtocolUpgrade => ProposalKind::ProtocolUpgrade,
        K::AgentDeployment => ProposalKind::AgentDeployment,
        K::EmergencyAction => ProposalKind::EmergencyAction,
        K::General => ProposalKind::General,
    }
}

fn choice_out(choice: Choice) -> VoteChoice {
    match choice {
        Choice::Yes => VoteChoice::Yes,
        Choice::No => VoteChoice::No,
        Choice::Abstain => VoteChoice::Abstain,
    }
}

fn millis(ms: u64) -> fog_api::Seconds {
    seconds(i64::try_from(ms).unwrap_or(i64::MAX))
}

async fn view(conn: &mut SqliteConnection, me: &[u8; 32], stored: &StoredProposal) -> Result<ProposalView> {
    let proposal = &stored.signed.content;
    let names = wallet::names(conn).await?;
    let name = |person: &[u8; 32]| match names.get(person) {
        Some(name) if !name.is_empty() => name.clone(),
        _ => betanet::short(person),
    };
    let mut votes: Vec<VoteView> = dao::votes(conn, &proposal.id)
        .await
        .map_err(api)?
        .into_iter()
        .map(|v| VoteView {
            voter: hex(&v.content.voter),
            name: name(&v.content.voter),
            choice: choice_out(v.content.choice),
            power: Amount(proposal.power_of(&v.content.voter)),
            time: millis(v.content.time_ms),
        })
        .collect();
    votes.sort_by(|a, b| b.time.total_cmp(&a.time));
    let tally = &stored.tally;
    Ok(ProposalView {
        id: hex(&proposal.id),
        kind: kind_out(proposal.kind),
        title: proposal.title.clone(),
        body: proposal.body.clone(),
        proposer: hex(&proposal.proposer),
        proposer_name: name(&proposal.proposer),
        state: match stored.state(now_ms().unsigned_abs()) {
            State::Active => ProposalState::Active,
            State::Passed => ProposalState::Passed,
            State::Rejected => ProposalState::Rejected,
            State::Expired => ProposalState::Expired,
        },
        created: millis(proposal.created_ms),
        ends: millis(proposal.ends_ms),
        tally: Tally {
            yes: Amount(tally.yes),
            no: Amount(tally.no),
            abstain: Amount(tally.abstain),
            total: Amount(tally.total),
            quorum_percent: tally.quorum_percent.into(),
            approval_percent: tally.approval_percent.into(),
        },
        my_vote: dao::my_vote(conn, &proposal.id, me)
            .await
            .map_err(api)?
            .map(|v| choice_out(v.content.choice)),
        my_power: Amount(proposal.power_of(me)),
        votes,
    })
}

pub(crate) async fn list(core: &Core) -> Result<Vec<ProposalView>> {
    let mut conn = core.pool.acquire().await.map_err(database)?;
    let mut views = Vec::new();
    for stored in dao::list_proposals(&mut conn, LISTED).await.map_err(api)? {
        views.push(view(&mut conn, &core.id, &stored).await?);
    }
    Ok(views)
}

async fn load(conn: &mut SqliteConnection, me: &[u8; 32], id: &ProposalId) -> Result<ProposalView> {
    let stored = dao::get(conn, id).await.map_err(api)?;
    view(conn, me, &stored.ok_or_else(|| not_found("There is no such proposal."))?).await
}

/// Tells the page how a proposal stands. A vote that waits for its proposal changes nothing to see yet.
pub(crate) async fn emit(work: &mut Work, id: &ProposalId, new: bool) -> Result<()> {
    let me = work.core.id;
    if let Some(stored) = dao::get(work.conn(), id).await.map_err(api)? {
        let view = view(work.conn(), &me, &stored).await?;
        if new {
            work.after(After::AnnounceEnd(view.clone()));
        }
        work.emit(EventBody::Proposal(view));
    }
    Ok(())
}

pub(crate) async fn create(
    core: &Arc<Core>,
    kind: ProposalKind,
    title: &str,
    body: &str,
) -> Result<ProposalView> {
    let mut work = Work::begin(core).await?;
    let (key, now) = (core.me.signing(), work.now());
    let signed = dao::build_proposal(work.conn(), kind_in(kind), title.trim(), body.trim(), &key, now)
        .await
        .map_err(api)?;
    let id = signed.content.id;
    records::publish(&mut work, &Record::Proposal(signed)).await?;
    let view = load(work.conn(), &core.id, &id).await?;
    work.commit().await?;
    Ok(view)
}

pub(crate) async fn vote(core: &Arc<Core>, proposal: &str, choice: VoteChoice) -> Result<ProposalView> {
    let id = unhex::<16>(proposal).ok_or_else(|| bad_input("A proposal's id is 32 hexadecimal digits."))?;
    let choice = match choice {
        VoteChoice::Yes => Choice::Yes,
        VoteChoice::No => Choice::No,
        VoteChoice::Abstain => Choice::Abstain,
    };
    let mut work = Work::begin(core).await?;
    let (key, now) = (core.me.signing(), work.now());
    let signed = dao::build_vote(work.conn(), &id, choice, &key, now).await.map_err(api)?;
    records::publish(&mut work, &Record::Vote(signed)).await?;
    let view = load(work.conn(), &core.id, &id).await?;
    work.commit().await?;
    Ok(view)
}

/// When voting ends, the page learns the result without asking.
pub(crate) fn announce_end(core: &Arc<Core>, view: &ProposalView) {
    let wait = view.ends - seconds(now_ms());
    if wait <= 0.0 {
        return;
    }
    let (core, id) = (Arc::downgrade(core), unhex::<16>(&view.id).unwrap_or_default());
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs_f64(wait + 0.1)).await;
        let Some(core) = core.upgrade() else { return };
        let result = async {
            let mut conn = core.pool.acquire().await.map_err(database)?;
            load(&mut conn, &core.id, &id).await
        };
        if let Ok(view) = result.await {
            core.bus.emit(EventBody::Proposal(view));
        }
    });
}

/// After a start: the proposals whose votes are still under way.
pub(crate) async fn resume(core: &Arc<Core>) -> Result<()> {
    for view in list(core).await? {
        announce_end(core, &view);
    }
    Ok(())
}
