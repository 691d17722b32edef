//! A relay and its directory: publishes what it is, and follows the consensus.

use super::{Relay, unix_now};
use crate::Key;
use crate::directory::exchange::{Answer, Request};
use crate::directory::{Descriptor, EpochKey, RelayIdentity, SignedConsensus, SignedDescriptor};
use crate::fetch;
use crate::link::LinkError;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What a relay says of itself, beside its keys.
#[derive(Debug, Clone)]
pub struct About {
    /// Where others reach it.
    pub address: SocketAddr,
    /// 1 entry, 2 middle, 3 exit and home.
    pub layer: u8,
    /// Who runs it; empty if they do not say.
    pub operator: String,
}

/// What the relay says of itself, as published at this time (Unix seconds). Tickets are there for the epochs whose
/// seed the consensus has.
pub fn describe(
    relay: &Relay,
    about: &About,
    consensus: &SignedConsensus,
    published: u64,
) -> SignedDescriptor {
    let document = consensus.unverified();
    let (network, vrf, identity) = (document.id(), relay.keys().vrf(), relay.keys().identity());
    let keys = relay.epoch_keys().into_iter().map(|(epoch, sphinx_key)| EpochKey {
        epoch,
        sphinx_key,
        ticket: document.seed(epoch).map(|seed| vrf.draw(&network, epoch, seed)),
    });
    let descriptor = Descriptor {
        id: relay.id(),
        identity: Some(RelayIdentity { key: identity.verifying_key().to_bytes(), vrf_key: vrf.public() }),
        address: about.address,
        layer: about.layer,
        operator: about.operator.clone(),
        published,
        keys: keys.collect(),
    };
    descriptor.sign(&identity)
}

/// Publishes and fetches for as long as it is polled. New consensuses go to `consensus`, which the relay itself
/// follows.
pub async fn upkeep(relay: &Relay, about: &About, consensus: &watch::Sender<Arc<SignedConsensus>>) {
    let network = consensus.borrow().unverified().network.clone();
    let voting = u64::from(network.timing.voting);
    if voting == 0 {
        return std::future::pending().await; // a network with one consensus
    }
    // One that swallows what it is asked must not hold up the others for so long that what they know is out of date.
    let patience = Duration::from_secs((voting / 4).clamp(1, 20));
    let mut published = 0;
    let mut told: Vec<EpochKey> = Vec::new();
    // When each authority took a descriptor.
    let mut taken: HashMap<Key, u64> = HashMap::new();
    loop {
        let now = unix_now();
        // Each is newer than the one before, also within a second, and after the clock was set back.
        let descriptor = describe(relay, about, &consensus.borrow(), now.max(published + 1));
        if told != descriptor.unverified().keys {
            told.clone_from(&descriptor.unverified().keys);
            taken.clear();
        }
        let due = |key: &Key| taken.get(key).is_none_or(|at| now >= at + (voting / 2).max(1) || now < *at);
        let due: Vec<_> = network.authorities.iter().filter(|a| due(&a.key)).collect();
        for authority in due {
            published = descriptor.unverified().published;
            let request = Request::Publish(descriptor.clone());
            let ask = fetch::ask(authority.address, &authority.link, &relay.keys().link, &request);
            let answer = tokio::time::timeout(patience, ask).await;
            match answer.unwrap_or(Err(LinkError::Timeout)) {
                Ok(Answer::Taken) => _ = taken.insert(authority.key, now),
                Ok(Answer::Refused(why)) => {
                    tracing::error!(authority = %crate::short(&authority.key), "the directory refuses this relay: {why}");
                }
                Ok(_) => {}
                Err(e) => {
                    tracing::warn!(authority = %crate::short(&authority.key), "an authority does not answer: {e}");
                }
            }
        }
        let (valid_after, valid_until) = {
            let have = consensus.borrow();
            (have.unverified().valid_after, have.unverified().valid_until)
        };
        if now >= valid_after + voting || now >= valid_until || now < valid_after {
            // After a clock that was ahead, an older one is newer than none.
            let newer_than = if now < valid_after { 0 } else { valid_after };
            let newest = tokio::time::timeout(2 * patience, fetch::newest(&network, newer_than, now)).await;
            match newest.unwrap_or_else(|_| Err("the authorities do not answer in time".into())) {
                Ok(Some(new)) => {
                    tracing::info!(relays = new.unverified().relays.len(), "a new consensus is in use");
                    consensus.send_replace(Arc::new(new));
                    continue; // its seeds may ask for another ticket
                }
                Ok(None) => {}
                Err(e) => tracing::warn!("no newer consensus: {e}"),
            }
        }
        tokio::time::sleep(Duration::from_secs((voting / 20).clamp(1, 30))).await;
    }
}
