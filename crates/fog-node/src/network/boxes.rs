//! My boxes at other relays, one for each contact at the secret level, and the cover traffic that goes with them.

use super::Network;
use crate::contacts::{self, Stored};
use crate::core::Core;
use crate::error::{Result, database};
use crate::reach;
use crate::work::Work;
use betanet::client::{BoxConfig, BoxState, OwnBox, Supply};
use betanet::path::Level;
use betanet::{Key, LinkState};
use fog_p2p::transport::Arrival;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Chat needs few blocks at a time; more are brought while much comes.
const SUPPLY: Supply = Supply { low: 12, high: 64, quiet: Duration::from_secs(30) };
/// A relay that does not answer for this long, while the line works, is left.
const PATIENCE: Duration = Duration::from_secs(180);

/// Which box: of which network, at which relay, with which number.
type Which = (Key, Key, u64);

/// A box that is open.
pub(super) struct Open {
    which: Which,
    state: watch::Receiver<BoxState>,
    silent_since: Option<Instant>,
    _ends: DropGuard,
}

/// By contact.
pub(super) type Boxes = tokio::sync::Mutex<HashMap<Key, Open>>;

/// [`Network::look_after_boxes`], soon.
pub(crate) fn look_after_boxes_later(core: &Arc<Core>) {
    let core = core.clone();
    tokio::spawn(async move {
        if let Err(e) = core.network.look_after_boxes(&core).await
            && !core.cancel.is_cancelled()
        {
            tracing::warn!("the meeting points for secret messages cannot be looked after: {e}");
        }
    });
}

/// What comes into a box goes where all datagrams go.
async fn forward(mut own: OwnBox, inbound: mpsc::Sender<Arrival>, cancel: CancellationToken) {
    loop {
        let sealed = tokio::select! {
            () = cancel.cancelled() => return,
            sealed = own.recv() => sealed,
        };
        let Some(sealed) = sealed else { return };
        if inbound.send(Arrival { sealed, by_block: false }).await.is_err() {
            return;
        }
    }
}

impl Network {
    /// Notes in which networks there are contacts at the secret level.
    pub(crate) fn set_secret(&self, contacts: &[Stored]) {
        *self.secret.write() = contacts.iter().filter(|c| c.is_secret()).map(|c| c.address.network).collect();
    }

    pub(super) fn is_secret(&self, network: &Key) -> bool {
        self.secret.read().contains(network)
    }

    /// Opens the boxes that are wanted, closes the others, and leaves relays that are gone.
    pub(super) async fn look_after_boxes(&self, core: &Arc<Core>) -> Result<()> {
        let mut boxes = self.boxes.lock().await;
        let contacts = {
            let mut conn = core.pool.acquire().await.map_err(database)?;
            contacts::all(&mut conn).await?
        };
        self.set_secret(&contacts);
        self.apply(&core.settings.read());
        let wanted: HashMap<Key, Which> = contacts
            .iter()
            .filter(|c| c.is_secret())
            .filter_map(|c| Some((c.id, (c.address.network, c.own_box?, c.own_box_number))))
            .collect();
        boxes.retain(|contact, open| wanted.get(contact) == Some(&open.which));
        for (contact, which) in wanted {
            let (network, relay, number) = which;
            if boxes.contains_key(&contact) {
                continue;
            }
            let Some(client) = self.road.client(&network) else { continue };
            let key = core.me.own_box(&contact, number);
            let own = client.open_box(BoxConfig { key, relay, level: Level::Confidential, supply: SUPPLY });
            let (state, ends) = (own.state(), self.cancel.child_token());
            tokio::spawn(forward(own, self.inbound.clone(), ends.clone()));
            boxes.insert(contact, Open { which, state, silent_since: None, _ends: ends.drop_guard() });
        }
        let lost: Vec<Key> =
            boxes.iter_mut().filter_map(|(contact, open)| self.is_lost(open).then_some(*contact)).collect();
        drop(boxes);
        for contact in lost {
            let mut work = Work::begin(core).await?;
            reach::renew(&mut work, &contact).await?;
            work.commit().await?;
        }
        Ok(())
    }

    fn is_lost(&self, open: &mut Open) -> bool {
        let (network, relay, _) = open.which;
        let Some(client) = self.road.client(&network) else { return false };
        if client.home() == Some(relay) {
            return true; // I moved to where my box is
        }
        let listed = client.view().consensus().relay(&relay).is_some();
        let silent = *open.state.borrow() == BoxState::Silent || !listed;
        let online = client.home_state() == LinkState::Up && client.entries_up() > 0;
        if !silent || !online {
            open.silent_since = None;
            return false;
        }
        let now = Instant::now();
        let since = *open.silent_since.get_or_insert(now);
        let lost = now.saturating_duration_since(since) >= PATIENCE;
        if lost {
            open.silent_since = None;
        }
        lost
    }
}
