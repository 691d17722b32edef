//! Two people who add each other's first cards at the same moment.
//!
//! Each is alone, so each leaves its own network for the other's: Ada's primary network is Bob's now, and Bob's is Ada's.
//! They can write to each other, but share neither ledger nor votes. That they crossed shows when the other's join comes, for
//! the network that I have just left for theirs. (Their card alone does not show it: somebody who is not alone takes
//! part in my network, too, and stays in their own.) Both hear of it, and both know which side moves, without asking: the
//! network with the smaller id is the one. So whoever is in the other one goes back, unless that would tear
//! something: somebody else is a member of what they would leave, or jobs were paid or run there.
//!
//! Nothing repeats: I move only out of a network that their card brought, and into a smaller one.

#[cfg(test)]
mod tests;

use crate::contacts::{self, Stored};
use crate::error::Result;
use crate::records::{self, api};
use crate::work::Work;
use crate::{compute, network, settlements};
use fog_api::ContactState;
use fog_tokenomics::{SignedJoin, membership};

/// A contact says of which network they are a member. True: I crossed with them, and have moved to it now. Their
/// join is still to be applied, and [`tell`] to be called after that.
pub(crate) async fn resolve(work: &mut Work, from: &Stored, join: &SignedJoin) -> Result<bool> {
    let theirs = join.content.network;
    let mine = network::primary(work.conn()).await?;
    if join.content.person != from.id || from.state != ContactState::Accepted || theirs >= mine {
        return Ok(false);
    }
    let document = work.core.network.document(&theirs).filter(|d| !d.relays.is_empty());
    let Some(document) = document else { return Ok(false) };
    if network::card_of(work.conn(), &mine).await? != Some(from.id) {
        return Ok(false);
    }
    join.verify().map_err(api)?;
    let alone = membership::members(work.conn()).await.map_err(api)?.len() <= 1;
    if !alone || settlements::any(work).await? || compute::has_history(work).await? {
        tracing::warn!("a contact and I are in each other's network, and this side cannot leave");
        return Ok(false);
    }
    network::move_to(work, &document).await?;
    Ok(true)
}

/// Tells the contact where I am now.
pub(crate) async fn tell(work: &mut Work, contact: &Stored) -> Result<()> {
    contacts::send_new_card(work, contact).await?;
    records::introduce(work, contact).await
}
