//! The home relay: where my mail waits, and how I move without losing any.
//!
//! The new home is on the card that all contacts get with the move. The old one is listened to for as long as somebody
//! may still have the old card.

use super::{Network, unix};
use crate::core::Core;
use crate::error::{Result, bad_input, database, not_found, refused};
use crate::identity::hex;
use crate::work::{After, Work};
use crate::{contacts, settings};
use betanet::{Key, LinkState};
use rand::seq::IteratorRandom;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an old home is listened to: contacts that are away for longer find the way by a new card only.
const KEEP_OLD: u64 = 30 * 24 * 3600;
/// Old homes at once.
const MAX_OLD: usize = 3;
/// New homes that a node takes in a month without being told to.
const FORCED_MOVES: usize = 2;
const ENTRY: usize = 32 + 8;
/// A home that does not answer for this long, while entries do, is left.
const PATIENCE: Duration = Duration::from_secs(600);

/// Homes of before, newest first, with the Unix second until which each is listened to.
pub(super) type OldHomes = Vec<(Key, u64)>;

pub(super) fn read_old(bytes: Option<Vec<u8>>) -> OldHomes {
    let bytes = bytes.unwrap_or_default();
    let (entries, _) = bytes.as_chunks::<ENTRY>();
    let entry = |e: &[u8; ENTRY]| {
        let (relay, until) = e.split_first_chunk::<32>()?;
        Some((*relay, u64::from_be_bytes(until.try_into().ok()?)))
    };
    entries.iter().take(MAX_OLD).filter_map(entry).collect()
}

fn write_old(old: &OldHomes) -> Vec<u8> {
    old.iter().flat_map(|(relay, until)| [&relay[..], &until.to_be_bytes()].concat()).collect()
}

/// All homes to listen to: the one on the card, and those of before that are not too old.
pub(super) fn all(home: Key, old: &OldHomes) -> Vec<Key> {
    let now = unix();
    let old = old.iter().filter(|(_, until)| *until > now).map(|(relay, _)| *relay);
    [home].into_iter().chain(old).collect()
}

/// Moves to another home relay of a network: this one, or one that is drawn. Contacts get the new card.
pub(crate) async fn change(core: &Arc<Core>, network: &Key, to: Option<Key>) -> Result<Key> {
    let (old_home, old) =
        core.network.homes(network).ok_or_else(|| refused("This node is in no such network."))?;
    let document =
        core.network.document(network).ok_or_else(|| refused("This node is in no such network."))?;
    let new = match to {
        Some(relay) => {
            let listed = document.layer(3).any(|r| r.id == relay);
            if !listed {
                return Err(bad_input("The network's directory has no such home relay."));
            }
            relay
        }
        None => {
            // Nor the one on this device, whose address is this device's.
            let mine = core.me.mixnode().id();
            let others = document.layer(3).filter(|r| r.is_running() && r.id != old_home && r.id != mine);
            let others = others.map(|r| r.id);
            others.choose(&mut rand::rng()).ok_or_else(|| refused("The network has no other home relay."))?
        }
    };
    if new == old_home {
        return Ok(new);
    }
    let mut before: OldHomes = old.into_iter().filter(|(relay, _)| *relay != new).collect();
    before.insert(0, (old_home, unix() + KEEP_OLD));
    before.truncate(MAX_OLD);
    let mut work = Work::begin(core).await?;
    sqlx::query("UPDATE node_networks SET home = ?, old_homes = ? WHERE id = ?")
        .bind(new.as_slice())
        .bind(write_old(&before))
        .bind(network.as_slice())
        .execute(work.conn())
        .await
        .map_err(database)?;
    let issued = settings::renew_card(&mut work).await?;
    let name = core.settings.read().name.clone();
    // The cards are made from what is in memory; should the work fail, it is what it was.
    let undo = core.network.set_homes(network, new, before);
    let result = async {
        contacts::send_card_to_all(&mut work, &name, issued).await?;
        work.after(After::Wake);
        work.commit().await
    };
    if let Err(e) = result.await {
        if let Some((home, old)) = undo {
            core.network.set_homes(network, home, old);
        }
        return Err(e);
    }
    tracing::info!(relay = %betanet::short(&new), "this is the home relay now");
    Ok(new)
}

/// Leaves a home that does not answer. First for one of before, then for a new one, but only a few times in a month: who
/// blocks homes on the line must not be able to lead a node to one of their own.
pub(super) async fn leave(core: &Arc<Core>, network: &Key) -> Result<Key> {
    let (home, old) =
        core.network.homes(network).ok_or_else(|| refused("This node is in no such network."))?;
    let document =
        core.network.document(network).ok_or_else(|| refused("This node is in no such network."))?;
    let running = |id: &Key| document.layer(3).any(|r| r.id == *id && r.is_running());
    let recent = old.iter().filter(|(_, until)| *until > unix()).count();
    let back =
        old.iter().map(|(relay, _)| *relay).filter(|id| *id != home && running(id)).choose(&mut rand::rng());
    match back {
        Some(back) => change(core, network, Some(back)).await,
        None if recent < FORCED_MOVES => change(core, network, None).await,
        None => Err(refused("the homes of the last month do not answer either")),
    }
}

/// [`change`] in the primary network, for the owner, who names a relay by how its id begins.
pub(crate) async fn change_primary(core: &Arc<Core>, relay: Option<&str>) -> Result<String> {
    let network = {
        let mut conn = core.pool.acquire().await.map_err(database)?;
        super::primary(&mut conn).await?
    };
    let document = core.network.document(&network).ok_or_else(|| refused("This node is in no network."))?;
    let relay = match relay {
        None => None,
        Some(wanted) => {
            let wanted = wanted.to_lowercase();
            let mut found = document.layer(3).map(|r| r.id).filter(|id| hex(id).starts_with(&wanted));
            match (found.next(), found.next()) {
                (Some(id), None) => Some(id),
                (None, _) => return Err(not_found("The network's directory has no home relay of this id.")),
                _ => return Err(bad_input("Several home relays' ids begin like this: give more of it.")),
            }
        }
    };
    Ok(hex(&change(core, &network, relay).await?))
}

/// Notices a home that is gone.
#[derive(Default)]
pub(super) struct Absence {
    since: Option<Instant>,
}

impl Absence {
    /// True once the home did not answer for long enough, while the line works.
    pub(super) fn look(&mut self, now: Instant, home: &LinkState, online: bool) -> bool {
        if *home == LinkState::Up || !online {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let over = now.saturating_duration_since(since) >= PATIENCE;
        if over {
            self.since = None;
        }
        over
    }
}

impl Network {
    fn homes(&self, network: &Key) -> Option<(Key, OldHomes)> {
        self.members.read().get(network).map(|m| (m.home, m.old_homes.clone()))
    }

    /// Gives what was before.
    fn set_homes(&self, network: &Key, home: Key, old: OldHomes) -> Option<(Key, OldHomes)> {
        let homes = all(home, &old);
        let before = {
            let mut members = self.members.write();
            let member = members.get_mut(network)?;
            let before = (member.home, std::mem::replace(&mut member.old_homes, old));
            member.home = home;
            before
        };
        if let Some(client) = self.road.client(network) {
            client.set_homes(homes);
        }
        Some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_homes_are_kept_and_read_whatever_the_bytes() {
        let old = vec![([1; 32], u64::MAX), ([2; 32], 1)];
        assert_eq!(read_old(Some(write_old(&old))), old);
        assert_eq!(read_old(None), Vec::new());
        assert_eq!(read_old(Some(vec![7; 39])), Vec::new());
        assert_eq!(read_old(Some(vec![7; 40 * 9])).len(), MAX_OLD);
        assert_eq!(all([9; 32], &old), [[9; 32], [1; 32]], "not those whose time is over");
    }

    #[test]
    fn a_home_is_left_when_it_is_gone_and_not_when_the_line_is() {
        let (mut absence, start) = (Absence::default(), Instant::now());
        let down = LinkState::Down("gone".into());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!absence.look(at(0), &down, true));
        assert!(!absence.look(at(500), &down, false), "offline");
        assert!(!absence.look(at(501), &down, true));
        assert!(!absence.look(at(1100), &down, true));
        assert!(absence.look(at(1101), &down, true));
        assert!(!absence.look(at(1102), &down, true), "once");
        assert!(!absence.look(at(1800), &LinkState::Up, true));
    }
}
