//! How far what goes between a contact and me goes: the higher of what I chose and what they asked for.
//!
//! Secret takes an arrangement. Each side opens a box for the other at a relay that it draws itself, and says where:
//!
//! ```text
//!  Ada ── Reach: secret, Ada's box ──▶ Bob's home, over five relays        (only this, until Bob's box is known)
//!  Bob ── Reach: Bob's box ──▶ Ada's box                                   (and all else from then on)
//!  Ada ── all else ──▶ Bob's box
//! ```
//!
//! While the level is secret, nothing but the first line goes to a home: what cannot go into a box waits. Both sides fall
//! back only when neither asks for it any more.

use crate::contacts::{self, Stored};
use crate::error::{Result, bad_input, database, refused};
use crate::wire::{self, Place, Reach};
use crate::work::{After, Work};
use betanet::boxes::box_id;
use betanet::{Key, path};
use fog_api::{ContactState, ErrorKind, PrivacyLevel};
use fog_p2p::endpoint::Only;
use fog_p2p::mixnet::MixAddress;
use fog_p2p::outbox::Priority;
use fog_p2p::roads::Roads;
use fog_p2p::transport::Address;
use rand::seq::IteratorRandom;

/// Contacts at the secret level. Each costs a box, which is kept supplied.
const MAX_BOXES: i64 = 64;

/// Where a contact is, and whether only the arrangement goes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) address: Address,
    pub(crate) only: Option<Only>,
}

pub(crate) fn level_text(level: PrivacyLevel) -> &'static str {
    match level {
        // That direct connections are allowed is in a column of its own.
        PrivacyLevel::Public | PrivacyLevel::Private => "private",
        PrivacyLevel::Confidential => "confidential",
        PrivacyLevel::Secret => "secret",
    }
}

pub(crate) fn level_from_text(text: &str) -> PrivacyLevel {
    match text {
        "secret" => PrivacyLevel::Secret,
        "confidential" => PrivacyLevel::Confidential,
        _ => PrivacyLevel::Private,
    }
}

impl Stored {
    /// The level in effect. Whoever only asks to be a contact has nothing else to ask for.
    pub(crate) fn level(&self) -> PrivacyLevel {
        let accepted = self.state == ContactState::Accepted;
        let asked = match self.device {
            Some(_) if self.asked == PrivacyLevel::Private => PrivacyLevel::Public,
            _ => self.asked,
        };
        if accepted { self.privacy.max(asked) } else { self.privacy.max(PrivacyLevel::Private) }
    }

    /// True if a box of mine is to be kept for them.
    pub(crate) fn is_secret(&self) -> bool {
        self.state != ContactState::Blocked && self.level() == PrivacyLevel::Secret
    }

    /// Where they are, and how to get there.
    pub(crate) fn route(&self) -> Route {
        let home = |level| self.address.to_address(level);
        let (address, only) = match (self.level(), self.their_box) {
            (PrivacyLevel::Public | PrivacyLevel::Private, _) => (home(path::Level::Private), None),
            (PrivacyLevel::Confidential, _) => (home(path::Level::Confidential), None),
            (PrivacyLevel::Secret, Some(Place { relay, id })) => {
                (MixAddress::box_address(self.address.network, relay, id), None)
            }
            (PrivacyLevel::Secret, None) => {
                let reason = format!("{} has not named a meeting point for secret messages yet", self.name);
                (home(path::Level::Confidential), Some(Only { kind: wire::REACH, reason }))
            }
        };
        let address = match &self.device {
            Some(device) if self.level() == PrivacyLevel::Public => {
                Roads::direct_address(&device.key, &address)
            }
            _ => address,
        };
        Route { address, only }
    }
}

/// Brings about what the contact's level needs, as part of this work: a box of mine, word of it (if `tell`, in any case),
/// and their address.
pub(crate) async fn arrange(work: &mut Work, mut contact: Stored, tell: bool) -> Result<Stored> {
    let mut tell = tell;
    if !contact.is_secret() {
        if contact.own_box.is_some() || contact.their_box.is_some() {
            (contact.own_box, contact.their_box) = (None, None);
            write_boxes(work, &contact).await?;
        }
    } else if contact.own_box.is_none() {
        match draw(work, &mut contact).await {
            Ok(()) => tell = true,
            Err(e) if e.kind == ErrorKind::Internal => return Err(e),
            // What brought this about holds all the same; without a box of mine, secret messages to me wait.
            Err(e) => tracing::warn!("there is no meeting point for a contact's secret messages: {e}"),
        }
    }
    if tell {
        send(work, &contact).await?;
    }
    work.after(After::SetPeer(contact.seal_key, contact.route()));
    work.after(After::Boxes);
    if contact.device.is_some() {
        work.after(After::Direct);
    }
    Ok(contact)
}

/// I choose the level: refused if what it needs cannot be had.
pub(crate) async fn choose(work: &mut Work, contact: Stored, privacy: PrivacyLevel) -> Result<Stored> {
    let mut tell = contact.privacy.max(PrivacyLevel::Private) != privacy.max(PrivacyLevel::Private);
    let direct = (contact.privacy == PrivacyLevel::Public) != (privacy == PrivacyLevel::Public);
    let mut contact = Stored { privacy, ..contact };
    if contact.is_secret() && contact.own_box.is_none() {
        draw(work, &mut contact).await?;
        tell = true;
    }
    let contact = arrange(work, contact, tell).await?;
    if direct {
        crate::direct::tell(work, &contact).await?;
        work.after(After::Direct);
    }
    Ok(contact)
}

/// The relay of my box for a contact is gone: another one, and word of it.
pub(crate) async fn renew(work: &mut Work, id: &Key) -> Result<()> {
    let contact = contacts::by_id(work.conn(), id).await?.filter(Stored::is_secret);
    let Some(mut contact) = contact else { return Ok(()) };
    draw(work, &mut contact).await?;
    send(work, &contact).await?;
    work.after(After::Boxes);
    Ok(())
}

/// Draws a relay for a new box of mine: not my home; nor theirs, nor where a box of us was or is, if there is another.
async fn draw(work: &mut Work, contact: &mut Stored) -> Result<()> {
    let count = "SELECT count(*) FROM node_contacts WHERE own_box_relay IS NOT NULL AND id != ?";
    let query = sqlx::query_scalar(count).bind(contact.id.as_slice());
    let boxes: i64 = query.fetch_one(work.conn()).await.map_err(database)?;
    if boxes >= MAX_BOXES {
        return Err(refused(format!("At most {MAX_BOXES} contacts can be at the secret level.")));
    }
    let network = contact.address.network;
    let document = work.core.network.document(&network);
    let document = document.ok_or_else(|| refused("This node is not in that contact's network."))?;
    let (mine, _) = work.core.network.my_address(&work.core.me, Some(&network))?;
    let home = |id: &Key| mine.home == *id || mine.more.iter().any(|more| more == *id);
    let relays = || document.layer(3).filter(|r| r.is_running() && !home(&r.id)).map(|r| r.id);
    let taken = [Some(contact.address.home), contact.own_box, contact.their_box.map(|b| b.relay)];
    let best = relays().filter(|r| !taken.contains(&Some(*r))).choose(&mut rand::rng());
    let relay = best.or_else(|| relays().choose(&mut rand::rng()));
    let relay = relay.ok_or_else(|| refused("This network has no relay for a meeting point."))?;
    contact.own_box = Some(relay);
    contact.own_box_number += 1;
    write_boxes(work, contact).await
}

async fn write_boxes(work: &mut Work, contact: &Stored) -> Result<()> {
    let update = "UPDATE node_contacts SET box_relay = ?, box_id = ?, own_box_relay = ?, own_box_number = ? WHERE id = ?";
    sqlx::query(update)
        .bind(contact.their_box.map(|b| b.relay.to_vec()))
        .bind(contact.their_box.map(|b| b.id.to_vec()))
        .bind(contact.own_box.map(|relay| relay.to_vec()))
        .bind(contact.own_box_number.cast_signed())
        .bind(contact.id.as_slice())
        .execute(work.conn())
        .await
        .map_err(database)?;
    Ok(())
}

async fn send(work: &mut Work, contact: &Stored) -> Result<()> {
    let key = work.core.me.own_box(&contact.id, contact.own_box_number);
    let id = box_id(&key.verifying_key().to_bytes());
    let reach = Reach {
        network: contact.address.network,
        level: match contact.privacy {
            PrivacyLevel::Public | PrivacyLevel::Private => wire::Level::Private,
            PrivacyLevel::Confidential => wire::Level::Confidential,
            PrivacyLevel::Secret => wire::Level::Secret,
        },
        place: contact.own_box.map(|relay| Place { relay, id }),
        asks: contact.is_secret() && contact.their_box.is_none(),
    };
    work.send(contact.seal_key, wire::REACH, Priority::Critical, wire::encode(&reach)).await?;
    Ok(())
}

/// A contact says how they want to be reached.
pub(crate) async fn incoming(work: &mut Work, from: &Stored, body: &[u8]) -> Result<()> {
    let reach: Reach = wire::decode(body).ok_or_else(|| bad_input("not a word of how to be reached"))?;
    if reach.network != from.address.network {
        return Err(bad_input("a meeting point in another network"));
    }
    let asked = match reach.level {
        wire::Level::Private => PrivacyLevel::Private,
        wire::Level::Confidential => PrivacyLevel::Confidential,
        wire::Level::Secret => PrivacyLevel::Secret,
    };
    sqlx::query("UPDATE node_contacts SET asked = ? WHERE id = ?")
        .bind(level_text(asked))
        .bind(from.id.as_slice())
        .execute(work.conn())
        .await
        .map_err(database)?;
    let contact = Stored { asked, their_box: reach.place, ..from.clone() };
    if contact.is_secret() {
        write_boxes(work, &contact).await?;
    }
    let contact = arrange(work, contact, reach.asks && from.own_box.is_some()).await?;
    contacts::emit(work, &contact).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
