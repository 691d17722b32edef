//! The figures of the first page.

use crate::core::Core;
use crate::error::Result;
use crate::{compute, contacts, governance, wallet};
use fog_api::{Amount, ContactState, Overview, ProposalState};

pub(crate) async fn view(core: &Core) -> Result<Overview> {
    let contacts = contacts::list(core).await?;
    let jobs_done = compute::done(core).await?;
    let wallet = wallet::view(core).await?;
    let proposals = governance::list(core).await?;
    let network = core.network.view(core);
    let harvest = core.harvest.view(core.compute.running());
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Ok(Overview {
        contacts: count(contacts.iter().filter(|c| c.state != ContactState::Blocked).count()),
        unread: contacts.iter().map(|c| c.unread).sum(),
        network: network.health,
        network_reason: network.reason,
        test_network: network.networks.iter().any(|n| n.test),
        harvest: harvest.state,
        harvest_reason: harvest.reason,
        jobs_running: count(core.compute.running_all()),
        jobs_done,
        balance: wallet.balance,
        earned_today: wallet.earned_by_day.last().copied().unwrap_or(Amount(0)),
        open_votes: count(
            proposals
                .iter()
                .filter(|p| p.state == ProposalState::Active && p.my_vote.is_none() && p.my_power.0 > 0)
                .count(),
        ),
        uptime: core.started.elapsed().as_secs_f64(),
        memory: crate::memory::resident(),
    })
}
