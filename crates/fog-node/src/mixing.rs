//! Pay for mixing: a relay that the directory's last list of an epoch says is running earns for that epoch.
//!
//! The evidence is the authorities' own: an excerpt of that list ([`Excerpt`]), signed by more than half of them. The relay
//! signs who is to be paid. So whoever has a claim can check all of it, and every ledger books the same: once for each relay
//! and epoch, from the rewards pool. Claims are passed on like settlements, and kept for members who come later.
//!
//! Which list counts is fixed (the last of the epoch), so that there is one claim at most, whatever it says.

#[cfg(test)]
mod tests;

use crate::contacts::Stored;
use crate::core::Core;
use crate::error::{Result, bad_input, database};
use crate::records::{api, pass_on};
use crate::work::Work;
use crate::{network, settlements, wallet, wire};
use betanet::Key;
use betanet::directory::excerpt::MAX_EXCERPT_LEN;
use betanet::directory::{Excerpt, Listed, SignedConsensus, Timing};
use betanet::relay::RelayKeys;
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use fog_p2p::outbox::Priority;
use fog_tokenomics::ledger::{self, Mixing};
use fog_tokenomics::{Outcome, membership};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const DOMAIN: &[u8] = b"fog mixing claim 1\0";
/// Most bytes of a claim: an excerpt, a key and a signature.
const MAX_CLAIM: usize = MAX_EXCERPT_LEN + 128;
/// Claims of people who are no members yet. One more is refused.
const MAX_WAITING: i64 = 256;
/// Clocks may differ by as much.
const EARLY_MS: u64 = 300_000;

/// A relay's word that somebody is to be paid for an epoch, and the directory's that it ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    person: Key,
    #[serde(with = "serde_bytes")]
    excerpt: Vec<u8>,
    /// By the relay's identity, over the network, the person, the relay and the epoch.
    #[serde(with = "serde_bytes")]
    signature: Vec<u8>,
}

/// The epoch that a consensus of this time is the last of. None if another one follows in its epoch, and in networks
/// without epochs.
fn last_of(timing: Timing, valid_after: u64) -> Option<u32> {
    if timing.epoch == 0 || timing.voting == 0 {
        return None;
    }
    let epoch = timing.epoch_at(valid_after);
    (timing.epoch_at(valid_after.checked_add(timing.voting.into())?) > epoch).then_some(epoch)
}

fn message(network: &Key, person: &Key, relay: &Key, epoch: u32) -> Vec<u8> {
    [DOMAIN, network, person, relay, &epoch.to_be_bytes()].concat()
}

impl Claim {
    /// The claim for the epoch that this consensus is the last of. None if it is not, or does not say that the relay runs.
    pub(crate) fn make(consensus: &SignedConsensus, keys: &RelayKeys, person: &Key) -> Option<(u32, Self)> {
        let document = consensus.unverified();
        let epoch = last_of(document.network.timing, document.valid_after)?;
        let relay = document.relay(&keys.id()).filter(|r| r.is_running())?.id;
        let excerpt = Excerpt::of(consensus, &relay)?.to_bytes();
        let signature = keys.identity().sign(&message(&document.id(), person, &relay, epoch));
        Some((epoch, Self { person: *person, excerpt, signature: signature.to_bytes().to_vec() }))
    }

    fn read(body: &[u8]) -> Option<Self> {
        (body.len() <= MAX_CLAIM).then(|| wire::decode(body)).flatten()
    }

    /// Checks everything that does not depend on the ledger, for the members of `network`.
    fn check(&self, network: &Key, now_ms: u64) -> Result<Mixing> {
        let refuse = |why: &str| bad_input(format!("A claim for mixing is refused: {why}."));
        let excerpt = Excerpt::from_bytes(&self.excerpt).map_err(|e| refuse(&e.to_string()))?;
        if excerpt.network() != *network {
            return Err(refuse("it is of another network"));
        }
        let timing = excerpt.timing();
        let listed: &Listed = excerpt.verify().map_err(|e| refuse(&e.to_string()))?;
        let epoch = last_of(timing, excerpt.valid_after())
            .ok_or_else(|| refuse("it does not rest on the last list of an epoch"))?;
        if !listed.is_running() {
            return Err(refuse("the directory says that the relay did not run"));
        }
        let signed = listed.identity.and_then(|identity| VerifyingKey::from_bytes(&identity.key).ok());
        let signature = Signature::from_slice(&self.signature).ok();
        let message = message(network, &self.person, &listed.id, epoch);
        let good = signed.zip(signature).is_some_and(|(key, s)| key.verify_strict(&message, &s).is_ok());
        if !good {
            return Err(refuse("the relay did not sign it"));
        }
        let ended_ms = (u64::from(epoch) + 1) * u64::from(timing.epoch) * 1000;
        if ended_ms > now_ms.saturating_add(u64::from(timing.epoch) * 1000 + EARLY_MS) {
            return Err(refuse("its epoch is in the future: check the clock"));
        }
        Ok(Mixing {
            relay: listed.id,
            epoch,
            seconds: timing.epoch,
            ended_ms,
            uptime_permille: listed.standing.reputation,
        })
    }
}

/// Claims what my relay earned, if this is the last list of an epoch and says that it runs. Harmless to repeat.
pub(crate) async fn claim(core: &Arc<Core>, consensus: &SignedConsensus) -> Result<()> {
    let Some((_, claim)) = Claim::make(consensus, &core.me.mixnode(), &core.id) else { return Ok(()) };
    let mut work = Work::begin(core).await?;
    if network::primary(work.conn()).await? != consensus.network() {
        return Ok(());
    }
    take(&mut work, &claim, &wire::encode(&claim), None).await?;
    work.commit().await
}

/// What I was paid for mixing, in all.
pub(crate) async fn earned(core: &Core) -> Result<u128> {
    let mut conn = core.pool.acquire().await.map_err(database)?;
    ledger::mixing_rewards(&mut conn, &core.id).await.map_err(api)
}

/// A claim came from another node.
pub(crate) async fn incoming(work: &mut Work, from: &Stored, body: &[u8]) -> Result<()> {
    let claim = Claim::read(body).ok_or_else(|| bad_input("This is no claim for mixing."))?;
    take(work, &claim, body, Some(&from.seal_key)).await
}

async fn take(work: &mut Work, claim: &Claim, body: &[u8], from: Option<&Key>) -> Result<()> {
    let (network, now) = (network::primary(work.conn()).await?, work.now());
    let mixing = claim.check(&network, now)?;
    if membership::member(work.conn(), &claim.person).await.map_err(api)?.is_none() {
        return keep(work, claim, &mixing, body, false).await;
    }
    book(work, claim, &mixing, body, from).await
}

/// Books a member's claim and passes it on, if it is news.
async fn book(
    work: &mut Work,
    claim: &Claim,
    mixing: &Mixing,
    body: &[u8],
    from: Option<&Key>,
) -> Result<()> {
    let paid = ledger::reward_mixing(work.conn(), &claim.person, mixing).await;
    let (outcome, _) = match paid {
        Ok(paid) => paid,
        // The pool is spent: nobody's ledger can book it.
        Err(fog_tokenomics::Error::Insufficient { .. }) => return Ok(()),
        Err(e) => return Err(api(e)),
    };
    if outcome == Outcome::Known {
        return Ok(());
    }
    keep(work, claim, mixing, body, true).await?;
    pass_on(work, wire::MIXING, body, from).await?;
    if claim.person == work.core.id {
        wallet::emit(work).await?;
    }
    settlements::credited(work, &[claim.person]).await
}

async fn keep(work: &mut Work, claim: &Claim, mixing: &Mixing, body: &[u8], applied: bool) -> Result<()> {
    if !applied {
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM node_mixing WHERE applied = 0")
            .fetch_one(work.conn())
            .await
            .map_err(database)?;
        if waiting >= MAX_WAITING {
            return Err(bad_input("Too many claims for mixing of people who are no members wait already."));
        }
    }
    // A member's takes the place of one that waits: the relay may have named another before.
    sqlx::query(
        "INSERT INTO node_mixing (relay, epoch, person, body, applied) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT (relay, epoch) DO UPDATE SET person = excluded.person, body = excluded.body, \
         applied = excluded.applied WHERE applied = 0",
    )
    .bind(mixing.relay.as_slice())
    .bind(mixing.epoch)
    .bind(claim.person.as_slice())
    .bind(body)
    .bind(applied)
    .execute(work.conn())
    .await
    .map_err(database)?;
    Ok(())
}

/// Somebody joined: books their claims that waited for that.
pub(crate) async fn joined(work: &mut Work, person: &Key) -> Result<()> {
    let waiting: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT body FROM node_mixing WHERE applied = 0 AND person = ? ORDER BY epoch")
            .bind(person.as_slice())
            .fetch_all(work.conn())
            .await
            .map_err(database)?;
    for body in waiting {
        let Some(claim) = Claim::read(&body) else { continue };
        take(work, &claim, &body, None).await?;
    }
    Ok(())
}

/// Tells a new member.
pub(crate) async fn introduce(work: &mut Work, contact: &Stored) -> Result<()> {
    let bodies: Vec<Vec<u8>> = sqlx::query_scalar("SELECT body FROM node_mixing ORDER BY epoch, relay")
        .fetch_all(work.conn())
        .await
        .map_err(database)?;
    for body in bodies {
        work.send(contact.seal_key, wire::MIXING, Priority::Low, body).await?;
    }
    Ok(())
}

/// Forgets all: they belong to a ledger that this node leaves.
pub(crate) async fn forget_all(work: &mut Work) -> Result<()> {
    sqlx::query("DELETE FROM node_mixing").execute(work.conn()).await.map_err(database)?;
    Ok(())
}
