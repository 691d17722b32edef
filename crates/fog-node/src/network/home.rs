//! The home relays: where my mail waits, and how I move without losing any.
//!
//! There is one, or up to three for those who want that mail arrives while one of them is down; each packet goes to one of
//! them. Every home sees when this device is there, so more of them is less privacy. A new home is on the card that all contacts get with the move. The old one is listened to for as long as somebody
//! may still have the old card.

use super::{Member, Network, unix};
use crate::core::Core;
use crate::error::{Result, bad_input, database, not_found, refused};
use crate::identity::hex;
use crate::work::{After, Work};
use crate::{contacts, settings};
use betanet::directory::Consensus;
use betanet::{Key, LinkState};
use fog_p2p::mixnet::MoreHomes;
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

/// The homes in one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Homes {
    /// The first on the card.
    pub(super) home: Key,
    /// The others on the card.
    pub(super) more: MoreHomes,
    /// Not on the card any more.
    pub(super) old: OldHomes,
}

impl Homes {
    /// All homes to listen to: those on the card, and those of before that are not too old.
    pub(super) fn all(&self) -> Vec<Key> {
        let now = unix();
        let old = self.old.iter().filter(|(_, until)| *until > now).map(|(relay, _)| *relay);
        let mut all: Vec<Key> = Vec::new();
        for relay in std::iter::once(self.home).chain(self.more.iter()).chain(old) {
            if !all.contains(&relay) {
                all.push(relay);
            }
        }
        all
    }

    fn on_card(&self, relay: &Key) -> bool {
        self.home == *relay || self.more.iter().any(|m| m == *relay)
    }

    /// With this first home instead. The one of before is listened to for a while still, unless it is on the card.
    fn moved_to(&self, home: Key) -> Self {
        let more = MoreHomes::new(self.more.iter().filter(|relay| *relay != home));
        self.changed(home, more)
    }

    /// With these further homes instead.
    fn with_more(&self, more: MoreHomes) -> Self {
        self.changed(self.home, more)
    }

    fn changed(&self, home: Key, more: MoreHomes) -> Self {
        let mut new = Self { home, more, old: Vec::new() };
        let left = std::iter::once(self.home).chain(self.more.iter()).map(|relay| (relay, unix() + KEEP_OLD));
        let old = left.chain(self.old.iter().copied());
        new.old = old.filter(|(relay, _)| !new.on_card(relay)).collect();
        let mut seen = Vec::new();
        new.old.retain(|(relay, _)| {
            !seen.contains(relay) && {
                seen.push(*relay);
                true
            }
        });
        new.old.truncate(MAX_OLD);
        new
    }
}

/// Moves to another home relay of a network: this one, or one that is drawn. Contacts get the new card.
pub(crate) async fn change(core: &Arc<Core>, network: &Key, to: Option<Key>) -> Result<Key> {
    let homes = core.network.homes(network).ok_or_else(|| refused("This node is in no such network."))?;
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
        None => *draw(core, &document, &homes, 1)
            .first()
            .ok_or_else(|| refused("The network has no other home relay."))?,
    };
    if new == homes.home {
        return Ok(new);
    }
    put(core, network, homes.moved_to(new)).await?;
    tracing::info!(relay = %betanet::short(&new), "this is the home relay now");
    Ok(new)
}

/// Draws relays that run and are not on my card; not the one on this device, either, whose address is this device's.
/// Of other operators than those on the card, if there are such.
fn draw(core: &Core, document: &Consensus, homes: &Homes, count: usize) -> Vec<Key> {
    let mine = core.me.mixnode().id();
    let operator = |id: &Key| document.relay(id).map(|r| r.operator.clone()).filter(|o| !o.is_empty());
    let mut taken: Vec<Option<String>> =
        std::iter::once(homes.home).chain(homes.more.iter()).map(|id| operator(&id)).collect();
    let mut drawn: Vec<Key> = Vec::new();
    while drawn.len() < count {
        let others = || {
            let able = document.layer(3).filter(|r| r.is_running() && r.id != mine);
            able.map(|r| r.id).filter(|id| !homes.on_card(id) && !drawn.contains(id))
        };
        let stranger = |id: &Key| operator(id).is_none_or(|o| !taken.contains(&Some(o)));
        let best = others().filter(stranger).choose(&mut rand::rng());
        let Some(relay) = best.or_else(|| others().choose(&mut rand::rng())) else { break };
        taken.push(operator(&relay));
        drawn.push(relay);
    }
    drawn
}

/// Brings the number of homes to what the settings want. Where the network has fewer relays, it stays at what there is.
pub(super) async fn fit(core: &Arc<Core>, network: &Key) -> Result<()> {
    let wanted = usize::from(core.settings.read().homes.max(1)) - 1;
    let Some(homes) = core.network.homes(network) else { return Ok(()) };
    let have = homes.more.iter().count();
    let more = if have > wanted {
        MoreHomes::new(homes.more.iter().take(wanted))
    } else if have < wanted {
        let Some(document) = core.network.document(network) else { return Ok(()) };
        MoreHomes::new(homes.more.iter().chain(draw(core, &document, &homes, wanted - have)))
    } else {
        return Ok(());
    };
    if more == homes.more { Ok(()) } else { put(core, network, homes.with_more(more)).await }
}

/// Lives at these homes from now on, and tells all contacts.
async fn put(core: &Arc<Core>, network: &Key, homes: Homes) -> Result<()> {
    let mut work = Work::begin(core).await?;
    sqlx::query("UPDATE node_networks SET home = ?, more_homes = ?, old_homes = ? WHERE id = ?")
        .bind(homes.home.as_slice())
        .bind(homes.more.to_bytes())
        .bind(write_old(&homes.old))
        .bind(network.as_slice())
        .execute(work.conn())
        .await
        .map_err(database)?;
    let issued = settings::renew_card(&mut work).await?;
    let name = core.settings.read().name.clone();
    // The cards are made from what is in memory; should the work fail, it is what it was.
    let undo = core.network.set_homes(network, homes);
    let result = async {
        contacts::send_card_to_all(&mut work, &name, issued).await?;
        work.after(After::Wake);
        work.commit().await
    };
    let result = result.await;
    if let (Err(_), Some(homes)) = (&result, undo) {
        core.network.set_homes(network, homes);
    }
    result
}

/// Leaves a home that does not answer. First for one of before, then for a new one, but only a few times in a month: who
/// blocks homes on the line must not be able to lead a node to one of their own.
pub(super) async fn leave(core: &Arc<Core>, network: &Key) -> Result<Key> {
    let Homes { home, old, .. } =
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

impl Member {
    pub(super) fn homes(&self) -> Homes {
        Homes { home: self.home, more: self.more_homes, old: self.old_homes.clone() }
    }
}

impl Network {
    fn homes(&self, network: &Key) -> Option<Homes> {
        self.members.read().get(network).map(Member::homes)
    }

    /// Gives what was before.
    fn set_homes(&self, network: &Key, homes: Homes) -> Option<Homes> {
        let all = homes.all();
        let before = {
            let mut members = self.members.write();
            let member = members.get_mut(network)?;
            let before = member.homes();
            (member.home, member.more_homes, member.old_homes) = (homes.home, homes.more, homes.old);
            before
        };
        if let Some(client) = self.road.client(network) {
            client.set_homes(all);
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
        let homes = Homes { home: [9; 32], more: MoreHomes::new([[8; 32]]), old };
        assert_eq!(homes.all(), [[9; 32], [8; 32], [1; 32]], "not those whose time is over");
    }

    #[test]
    fn whichever_way_the_homes_change_none_is_there_twice_and_left_ones_are_remembered() {
        let relays = |homes: &Homes| homes.old.iter().map(|(relay, _)| relay[0]).collect::<Vec<_>>();
        let one = Homes { home: [1; 32], more: MoreHomes::default(), old: vec![([4; 32], 5)] };
        let three = one.with_more(MoreHomes::new([[2; 32], [4; 32]]));
        assert_eq!((three.home, relays(&three)), ([1; 32], vec![]), "4 is a home again");
        let moved = three.moved_to([2; 32]);
        assert_eq!((moved.home, moved.more.to_bytes(), relays(&moved)), ([2; 32], vec![4; 32], vec![1]));
        let fewer = moved.with_more(MoreHomes::default());
        assert_eq!(relays(&fewer), [4, 1]);
        let back = fewer.moved_to([1; 32]);
        assert_eq!((back.home, relays(&back)), ([1; 32], vec![2, 4]));
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
