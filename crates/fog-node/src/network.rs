//! The mixnets that this node is in: the own test network, a configured one, and those of contacts' cards.
//!
//! One of them is *primary*: its members share ledger and votes. A node begins with the network that its
//! configuration names, or else with a test network of its own. When it adds the card of somebody in another
//! network while nobody else has joined its own, that network becomes primary. (Two who do so with each other at once
//! are brought together by [`crate::crossing`].)

mod boxes;
pub(crate) mod home;
mod mixnode;
mod privacy;
#[cfg(test)]
mod tests;
mod traffic;
mod view;

pub(crate) use boxes::look_after_boxes_later;
pub(crate) use mixnode::addresses as mixnode_addresses;

use crate::card::Card;
use crate::core::Core;
use crate::error::{NodeError, Result, bad_input, database, internal, refused};
use crate::identity::Identity;
use crate::time::now_ms;
use crate::work::{After, Work};
use crate::{contacts, mixing, records, settlements};
use betanet::client::{Client, ClientConfig, Entries, Inbound};
use betanet::directory::{Consensus, SignedConsensus};
use betanet::fetch;
use betanet::guards::Guards;
use betanet::relay::{Relay, RelayConfig};
use betanet::testnet::TestNetwork;
use betanet::{Key, LinkState};
use fog_api::EventBody;
use fog_p2p::mixnet::{MixAddress, MixnetRoad, MoreHomes};
use fog_p2p::transport::Arrival;
use parking_lot::{Mutex, RwLock};
use rand::seq::IteratorRandom;
use sqlx::{Row, SqliteConnection};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use x25519_dalek::PublicKey;

/// A port that is in use now may be free again later.
const RETRY: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const PRUNE_EVERY: Duration = Duration::from_secs(6 * 3600);

/// How often the authorities are asked at the first start, a second apart.
const FETCHES: usize = 30;

struct Member {
    signed: Arc<SignedConsensus>,
    /// Authorities whose signatures on it are good.
    signers: usize,
    network: Key,
    guards: Option<Guards>,
    home: Key,
    /// Homes beside the first, for those who want several.
    more_homes: MoreHomes,
    /// Where mail may still come: homes of before, with the Unix second until which they are listened to.
    old_homes: home::OldHomes,
    own: bool,
    primary: bool,
    /// Why it does not work, if it does not.
    problem: Option<String>,
}

impl Member {
    fn document(&self) -> &Consensus {
        self.signed.unverified()
    }
}

/// All networks of this node.
pub(crate) struct Network {
    road: Arc<MixnetRoad>,
    inbound: mpsc::Sender<Arrival>,
    members: RwLock<HashMap<Key, Member>>,
    relays: Mutex<Vec<Relay>>,
    mixnode: Mutex<Option<mixnode::Mixnode>>,
    boxes: boxes::Boxes,
    /// Networks with contacts at the secret level.
    secret: RwLock<HashSet<Key>>,
    history: Mutex<traffic::History>,
    loading: tokio::sync::Mutex<()>,
    cancel: CancellationToken,
}

fn unix() -> u64 {
    now_ms().unsigned_abs() / 1000
}

/// Reads and verifies the consensus file of the configuration. Of a network with authorities it may be out of date: it
/// says truly who they are, and they have a newer one.
pub(crate) async fn read_consensus(path: &Path) -> std::result::Result<SignedConsensus, NodeError> {
    let fail = |reason: String| NodeError::Consensus { path: path.into(), reason };
    let bytes = std::fs::read(path).map_err(|e| fail(e.to_string()))?;
    let signed = SignedConsensus::from_bytes(&bytes).map_err(|e| fail(e.to_string()))?;
    let Err(stale) = signed.verify(unix()) else { return Ok(signed) };
    let document = signed.authentic().map_err(|e| fail(e.to_string()))?;
    if document.network.timing.voting == 0 {
        return Err(fail(stale.to_string()));
    }
    tracing::info!("asking the network's authorities for a consensus of today");
    let mut last = String::new();
    for _ in 0..FETCHES {
        match fetch::newest(&document.network, document.valid_after, unix()).await {
            Ok(Some(new)) => return Ok(new),
            Ok(None) => last = "they have none yet".into(),
            Err(e) => last = e,
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Err(fail(format!(
        "the file is out of date, and the network's authorities gave no newer consensus: {last}"
    )))
}

fn draw_home(document: &Consensus) -> Result<Key> {
    let relay = document.layer(3).choose(&mut rand::rng());
    relay.map(|r| r.id).ok_or_else(|| bad_input("This network has no home relays."))
}

async fn insert(
    conn: &mut SqliteConnection,
    signed: &SignedConsensus,
    home: &Key,
    own: bool,
    primary: bool,
    card_of: Option<&Key>,
) -> Result<()> {
    if primary {
        sqlx::query("UPDATE node_networks SET is_primary = 0").execute(&mut *conn).await.map_err(database)?;
    }
    sqlx::query("INSERT INTO node_networks (id, consensus, home, own, is_primary, created_ms, card_of) VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(signed.network().as_slice())
        .bind(signed.to_bytes())
        .bind(home.as_slice())
        .bind(own)
        .bind(primary)
        .bind(now_ms())
        .bind(card_of.map(<[u8; 32]>::as_slice))
        .execute(conn)
        .await
        .map_err(database)?;
    Ok(())
}

/// A new data folder's first network.
pub(crate) async fn first(conn: &mut SqliteConnection, signed: &SignedConsensus, own: bool) -> Result<()> {
    let document = signed.verify(unix()).map_err(|e| refused(e.to_string()))?;
    insert(conn, signed, &draw_home(document)?, own, true, None).await
}

/// Takes a newer consensus of a network that this node is in. False: the node is not in it.
pub(crate) async fn renew(conn: &mut SqliteConnection, signed: &SignedConsensus) -> Result<bool> {
    let stored: Option<Vec<u8>> = sqlx::query_scalar("SELECT consensus FROM node_networks WHERE id = ?")
        .bind(signed.network().as_slice())
        .fetch_optional(&mut *conn)
        .await
        .map_err(database)?;
    let Some(stored) = stored else { return Ok(false) };
    let known = SignedConsensus::from_bytes(&stored).map_or(0, |c| c.unverified().valid_after);
    if signed.unverified().valid_after > known {
        sqlx::query("UPDATE node_networks SET consensus = ? WHERE id = ?")
            .bind(signed.to_bytes())
            .bind(signed.network().as_slice())
            .execute(conn)
            .await
            .map_err(database)?;
    }
    Ok(true)
}

pub(crate) async fn count(conn: &mut SqliteConnection) -> Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM node_networks").fetch_one(conn).await.map_err(database)
}

/// The primary network's id.
pub(crate) async fn primary(conn: &mut SqliteConnection) -> Result<Key> {
    let id: Vec<u8> = sqlx::query_scalar("SELECT id FROM node_networks WHERE is_primary = 1")
        .fetch_one(conn)
        .await
        .map_err(database)?;
    id.try_into().map_err(|_| internal("a network's id is damaged"))
}

/// Joins the network of a card, if this node is not in it yet.
pub(crate) async fn join(work: &mut Work, card: &Card) -> Result<()> {
    let network = card.address().network;
    let core = work.core.clone();
    if core.network.is_member(&network) {
        // A card may bring a newer consensus of a network that this node is in.
        if let Some(signed) = card.consensus.as_ref().filter(|c| c.verify(unix()).is_ok()) {
            let newer = core
                .network
                .document(&network)
                .is_none_or(|d| d.valid_after < signed.unverified().valid_after);
            if newer && renew(work.conn(), signed).await? {
                work.after(After::StartNetwork(network));
            }
        }
        return Ok(());
    }
    let signed = card.consensus.as_ref().ok_or_else(|| {
        bad_input(
            "This card belongs to a network that this node is not in, and does not carry its directory. Start the node \
             with that network's consensus (--consensus).",
        )
    })?;
    let document =
        signed.verify(unix()).map_err(|e| bad_input(format!("The card's network cannot be used: {e}.")))?;
    if !document.network.test {
        return Err(refused(
            "A card can bring only a test network along; this one claims to be more. Start the node with that \
             network's consensus (--consensus) if you trust it.",
        ));
    }
    let home = draw_home(document)?;
    let alone = fog_tokenomics::membership::members(work.conn()).await.map_err(records::api)?.len() <= 1;
    insert(work.conn(), signed, &home, false, alone, Some(&card.id)).await?;
    core.network.remember(signed.clone(), home, None, false, false);
    if alone {
        change_ledger(work, document).await?;
    }
    work.after(After::StartNetwork(network));
    Ok(())
}

/// Leaves the ledger, of which nobody else is a member, for that of another network.
async fn change_ledger(work: &mut Work, to: &Consensus) -> Result<()> {
    fog_tokenomics::genesis::abandon(work.conn()).await.map_err(records::api)?;
    settlements::forget_all(work).await?;
    mixing::forget_all(work).await?;
    records::open_ledger(work, to).await
}

/// Makes a network that this node is in its primary one. Nobody else may be a member of the present one's ledger.
pub(crate) async fn move_to(work: &mut Work, document: &Consensus) -> Result<()> {
    for (query, id) in [
        ("UPDATE node_networks SET is_primary = 0 WHERE id != ?", document.id()),
        ("UPDATE node_networks SET is_primary = 1 WHERE id = ?", document.id()),
    ] {
        sqlx::query(query).bind(id.as_slice()).execute(work.conn()).await.map_err(database)?;
    }
    change_ledger(work, document).await?;
    work.after(After::Moved);
    Ok(())
}

/// Whose card brought a network along.
pub(crate) async fn card_of(conn: &mut SqliteConnection, network: &Key) -> Result<Option<Key>> {
    let person: Option<Option<Vec<u8>>> =
        sqlx::query_scalar("SELECT card_of FROM node_networks WHERE id = ?")
            .bind(network.as_slice())
            .fetch_optional(conn)
            .await
            .map_err(database)?;
    Ok(person.flatten().and_then(|p| p.try_into().ok()))
}

/// Why this consensus, from this node's disk, cannot be used. One that is out of date can, if there are authorities to
/// give a newer one: until then, nothing is sent.
fn unusable(signed: &SignedConsensus) -> Option<String> {
    let renewed = signed.unverified().network.timing.voting > 0;
    let checked = if renewed { signed.authentic() } else { signed.verify(unix()) };
    checked.err().map(|e| e.to_string())
}

impl Network {
    pub(crate) fn new(road: Arc<MixnetRoad>, inbound: mpsc::Sender<Arrival>) -> Self {
        Self {
            road,
            inbound,
            members: RwLock::default(),
            relays: Mutex::default(),
            mixnode: Mutex::default(),
            boxes: boxes::Boxes::default(),
            secret: RwLock::default(),
            history: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
            cancel: CancellationToken::new(),
        }
    }

    fn remember(
        &self,
        signed: SignedConsensus,
        home: Key,
        guards: Option<Guards>,
        own: bool,
        primary: bool,
    ) -> Key {
        let mut members = self.members.write();
        let network = signed.network();
        // What keeps it from working still does, if it is the same as before.
        let valid_after = signed.unverified().valid_after;
        let before = members.get(&network).filter(|m| m.document().valid_after == valid_after);
        let problem = before.and_then(|m| m.problem.clone());
        let signers = signed.signers().len();
        let member = Member {
            signed: Arc::new(signed),
            signers,
            network,
            guards,
            home,
            more_homes: MoreHomes::default(),
            old_homes: Vec::new(),
            own,
            primary,
            problem,
        };
        members.insert(network, member);
        network
    }

    /// Reads the networks from the database.
    pub(crate) async fn load(&self, conn: &mut SqliteConnection) -> Result<Vec<Key>> {
        // One after the other, so that the last to write has read last.
        let _turn = self.loading.lock().await;
        let rows = sqlx::query("SELECT * FROM node_networks").fetch_all(conn).await.map_err(database)?;
        let mut ids = Vec::new();
        for row in rows {
            let signed =
                SignedConsensus::from_bytes(&row.get::<Vec<u8>, _>("consensus")).map_err(internal)?;
            let home: Key = row.get::<Vec<u8>, _>("home").try_into().map_err(|_| internal("home relay"))?;
            let (own, primary) = (row.get("own"), row.get("is_primary"));
            let guards = row.get::<Option<Vec<u8>>, _>("guards").and_then(|bytes| Guards::from_bytes(&bytes));
            let problem = unusable(&signed);
            let old_homes = home::read_old(row.get("old_homes"));
            let more_homes: Option<Vec<u8>> = row.get("more_homes");
            let network = self.remember(signed, home, guards, own, primary);
            if let Some(member) = self.members.write().get_mut(&network) {
                member.old_homes = old_homes;
                member.more_homes = MoreHomes::from_bytes(&more_homes.unwrap_or_default());
            }
            if let Some(problem) = problem {
                tracing::warn!("a network cannot be used: {problem}");
                self.problem(&network, Some(problem));
            }
            ids.push(network);
        }
        Ok(ids)
    }

    /// A network was not joined after all.
    pub(crate) fn forget(&self, network: &Key) {
        self.members.write().remove(network);
    }

    fn problem(&self, network: &Key, problem: Option<String>) {
        if let Some(member) = self.members.write().get_mut(network) {
            member.problem = problem;
        }
    }

    pub(crate) fn is_member(&self, network: &Key) -> bool {
        self.members.read().contains_key(network)
    }

    /// The verified consensus of a network.
    pub(crate) fn document(&self, network: &Key) -> Option<Consensus> {
        self.members.read().get(network).map(|m| m.document().clone())
    }

    /// The layer of a relay, in whichever of the networks it is.
    pub(crate) fn layer(&self, relay: &Key) -> Option<u8> {
        self.members.read().values().find_map(|m| Some(m.document().relay(relay)?.layer))
    }

    pub(crate) fn is_test(&self, network: &Key) -> bool {
        self.members.read().get(network).is_some_and(|m| m.document().network.test)
    }

    /// My address in a network (none: the primary one), and its consensus where a card must carry it.
    pub(crate) fn my_address(
        &self,
        me: &Identity,
        network: Option<&Key>,
    ) -> Result<(MixAddress, Option<SignedConsensus>)> {
        let members = self.members.read();
        let member = match network {
            Some(id) => members.get(id),
            None => members.values().find(|m| m.primary),
        };
        let member = member.ok_or_else(|| refused("This node is in no network."))?;
        let network = member.network;
        let mailbox = PublicKey::from(&me.mailbox(&network)).to_bytes();
        // Of a network with authorities it would be out of date in an hour: whoever joins that has a file of it.
        let network_of = &member.document().network;
        let carried = network_of.test && network_of.timing.voting == 0;
        let consensus = carried.then(|| (*member.signed).clone());
        Ok((MixAddress { network, home: member.home, mailbox, more: member.more_homes }, consensus))
    }

    /// Starts the client of a network, and its relays if it is ours.
    pub(crate) async fn start(&self, core: &Core, network: &Key, own_keys: Option<&TestNetwork>) {
        let Some((signed, homes, own, guards)) = self
            .members
            .read()
            .get(network)
            .filter(|m| m.problem.is_none())
            .map(|m| (m.signed.clone(), m.homes().all(), m.own, m.guards.clone()))
        else {
            return;
        };
        if own && let Some(keys) = own_keys {
            self.start_relays(&signed, keys, &core.config.data_dir).await;
        }
        if let Some(client) = self.road.client(network) {
            client.offer((*signed).clone());
            return;
        }
        let test = signed.unverified().network.test;
        let cover = traffic::profile(core.settings.read().cover, test, self.is_secret(network));
        let (client, mut messages) = Client::start(ClientConfig {
            consensus: signed,
            mailbox: core.me.mailbox(network),
            homes,
            mean_delay: Duration::from_millis(core.settings.read().mean_delay_ms.into()),
            cover,
            entries: Entries::Pinned(guards.unwrap_or_default()),
        });
        let client = Arc::new(client);
        self.road.add(client.clone());
        let inbound = self.inbound.clone();
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                let by_block = matches!(message, Inbound::Answer { .. });
                let (Inbound::Message(sealed) | Inbound::Answer { message: sealed, .. }) = message;
                if inbound.send(Arrival { sealed, by_block }).await.is_err() {
                    return;
                }
            }
        });
        let (mut home, cancel, endpoint) = (client.watch_home(), self.cancel.clone(), core.endpoint.clone());
        drop(client);
        tokio::spawn(async move {
            // Each time that the home link comes up: tell the contacts, and send what waits.
            loop {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    up = home.wait_for(|s| *s == LinkState::Up) => if up.is_err() { return },
                }
                endpoint.announce();
                tokio::select! {
                    () = cancel.cancelled() => return,
                    down = home.wait_for(|s| *s != LinkState::Up) => if down.is_err() { return },
                }
            }
        });
    }

    /// For [`After::StartNetwork`] and [`After::Moved`]: re-reads what is primary, then starts.
    pub(crate) fn start_later(&self, core: &Arc<Core>, network: Option<Key>) {
        let core = core.clone();
        tokio::spawn(async move {
            let result = async {
                let mut conn = core.pool.acquire().await.map_err(database)?;
                core.network.load(&mut conn).await
            };
            if let Err(e) = result.await {
                tracing::error!("the networks cannot be read: {e}");
            }
            if let Some(network) = network {
                core.network.start(&core, &network, None).await;
                look_after_boxes_later(&core);
            }
        });
    }

    async fn start_relays(&self, signed: &Arc<SignedConsensus>, keys: &TestNetwork, data_dir: &Path) {
        let network = keys.id();
        let folder = data_dir.join("relays");
        if let Err(e) = std::fs::create_dir_all(&folder) {
            self.problem(&network, Some(format!("{} cannot be made: {e}", folder.display())));
            return;
        }
        let (sender, receiver) = watch::channel(signed.clone());
        let mut problem = None;
        let running: Vec<Key> = self.relays.lock().iter().map(Relay::id).collect();
        for (keys, listen, _) in keys.relays().filter(|(keys, ..)| !running.contains(&keys.id())) {
            let folder = folder.join(betanet::short(&keys.id()));
            let started = async {
                std::fs::create_dir_all(&folder)?;
                let folder = Some(folder);
                Relay::start(RelayConfig { folder, ..RelayConfig::new(keys, listen) }, receiver.clone()).await
            };
            match started.await {
                Ok(relay) => self.relays.lock().push(relay),
                Err(e) => problem = Some(format!("a relay of the test network does not run: {e}")),
            }
        }
        drop(sender);
        if problem.is_some() {
            tracing::warn!("{}", problem.as_deref().unwrap_or_default());
        }
        self.problem(&network, problem);
    }

    /// Keeps an eye on the networks: retries relays whose port was in use, tells the page what changed.
    pub(crate) async fn watch(core: Arc<Core>, own_keys: Option<TestNetwork>) {
        let cancel = core.network.cancel.clone();
        let mut told = String::new();
        let mut absence = home::Absence::default();
        let mut prune_at = tokio::time::Instant::now() + PRUNE_EVERY;
        let mut retry_at = tokio::time::Instant::now() + RETRY;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if tokio::time::Instant::now() >= retry_at {
                retry_at = tokio::time::Instant::now() + RETRY;
                core.network.retry_relays(&core, own_keys.as_ref()).await;
                look_after_boxes_later(&core);
            }
            if let Err(e) = core.network.keep(&core).await {
                tracing::warn!("what a network needs after a restart is not kept: {e}");
            }
            if tokio::time::Instant::now() >= prune_at {
                prune_at = tokio::time::Instant::now() + PRUNE_EVERY;
                if let Err(e) = prune(&core).await {
                    tracing::warn!("old message ids are not forgotten: {e}");
                }
            }
            core.network.leave_lost_home(&core, &mut absence).await;
            core.network.keep_homes(&core).await;
            core.network.note_traffic();
            core.network.look_after_mixnode(&core).await;
            core.network.claim_mixing(&core).await;
            let view = core.network.view(&core);
            let text = serde_json::to_string(&view).unwrap_or_default();
            if text != told {
                told = text;
                core.bus.emit(EventBody::Network(view));
            }
        }
    }

    async fn retry_relays(&self, core: &Core, own_keys: Option<&TestNetwork>) {
        let Some(keys) = own_keys else { return };
        let signed = {
            let members = self.members.read();
            members.get(&keys.id()).filter(|m| m.own && m.problem.is_some()).map(|m| m.signed.clone())
        };
        let Some(signed) = signed.filter(|s| unusable(s).is_none()) else { return };
        self.start_relays(&signed, keys, &core.config.data_dir).await;
    }

    /// Writes down newer consensuses and pinned entries.
    async fn keep(&self, core: &Core) -> Result<()> {
        for client in self.road.clients() {
            let (view, guards) = (client.view(), client.unsaved_guards());
            let newer = {
                let mut members = self.members.write();
                let Some(member) = members.get_mut(&view.network()) else { continue };
                let newer = member.document().valid_after < view.consensus().valid_after;
                if newer {
                    member.signed = view.signed().clone();
                    member.signers = member.signed.signers().len();
                }
                newer
            };
            // The entries first: drawn anew at each start, they would be no pinned ones.
            if let Some(guards) = guards
                && let Err(e) = keep_guards(core, &view.network(), guards).await
            {
                client.guards_not_saved();
                return Err(e);
            }
            if newer {
                let mut conn = core.pool.acquire().await.map_err(database)?;
                renew(&mut conn, view.signed()).await?;
            }
        }
        Ok(())
    }

    /// The settings changed.
    pub(crate) fn apply(&self, settings: &fog_api::Settings) {
        for client in self.road.clients() {
            let view = client.view();
            let (test, secret) = (view.consensus().network.test, self.is_secret(&view.network()));
            client.set_cover(traffic::profile(settings.cover, test, secret));
        }
    }

    fn primary_client(&self) -> Option<Arc<Client>> {
        let network = self.members.read().values().find(|m| m.primary).map(|m| m.network)?;
        self.road.client(&network)
    }

    /// A home relay that is gone for good would hold up everything that is sent to this node.
    async fn leave_lost_home(&self, core: &Arc<Core>, absence: &mut home::Absence) {
        let Some(client) = self.primary_client() else { return };
        let online = client.entries_up() > 0;
        if absence.look(Instant::now(), &client.home_state(), online)
            && let Err(e) = home::leave(core, &client.view().network()).await
        {
            tracing::warn!("the home relay does not answer, and there is no other: {e}");
        }
    }

    /// As many homes as the settings want, where the network has that many.
    async fn keep_homes(&self, core: &Arc<Core>) {
        let primary = self.members.read().values().find(|m| m.primary).map(|m| m.network);
        let Some(network) = primary else { return };
        if let Err(e) = home::fit(core, &network).await {
            tracing::warn!("the number of home relays cannot be changed: {e}");
        }
    }

    fn note_traffic(&self) {
        if let Some(client) = self.primary_client() {
            let now = now_ms() as f64 / 1000.0;
            self.history.lock().note(now, client.traffic());
        }
    }

    /// Starts, restarts or ends the mixnode as the settings want it.
    async fn look_after_mixnode(&self, core: &Core) {
        let wanted = core.settings.read().mixnode.clone();
        let done = match (&wanted, &*self.mixnode.lock()) {
            (None, None) => true,
            (Some(settings), Some(mixnode)) => mixnode.is(settings),
            _ => false,
        };
        let signed = {
            let members = self.members.read();
            members.values().find(|m| m.primary && !m.own).map(|m| m.signed.clone())
        };
        if done {
            return;
        }
        *self.mixnode.lock() = None;
        let (Some(settings), Some(signed)) = (wanted, signed) else { return };
        let folder = core.config.data_dir.join("mixnode");
        let mixnode = mixnode::Mixnode::start(settings, core.me.mixnode(), &folder, signed).await;
        *self.mixnode.lock() = Some(mixnode);
    }

    /// Once for each of the directory's lists: what the mixnode earned by it.
    async fn claim_mixing(&self, core: &Arc<Core>) {
        let consensus = self.mixnode.lock().as_ref().and_then(mixnode::Mixnode::unclaimed);
        let Some(consensus) = consensus else { return };
        let done = async {
            mixing::claim(core, &consensus).await?;
            mixing::earned(core).await
        };
        match done.await {
            Ok(earned) => {
                if let Some(mixnode) = &*self.mixnode.lock() {
                    mixnode.claimed(&consensus, earned);
                }
            }
            Err(e) => tracing::warn!("what the mixnode earned is not claimed: {e}"),
        }
    }

    pub(crate) async fn shutdown(&self) {
        self.cancel.cancel();
        *self.mixnode.lock() = None;
        self.road.clear();
        let relays = std::mem::take(&mut *self.relays.lock());
        for relay in relays {
            relay.shutdown().await;
        }
    }
}

async fn keep_guards(core: &Core, network: &Key, guards: Vec<u8>) -> Result<()> {
    let mut conn = core.pool.acquire().await.map_err(database)?;
    sqlx::query("UPDATE node_networks SET guards = ? WHERE id = ?")
        .bind(guards)
        .bind(network.as_slice())
        .execute(&mut *conn)
        .await
        .map_err(database)?;
    Ok(())
}

async fn prune(core: &Arc<Core>) -> Result<()> {
    let mut work = Work::begin(core).await?;
    let now = work.now_ms;
    fog_p2p::inbox::prune(work.conn(), now).await.map_err(database)?;
    work.commit().await
}

/// Networks that are needed: the primary one, those over which a contact is reached, and the own one. For that others
/// have cards, and nobody else runs its relays.
pub(crate) async fn needed(conn: &mut SqliteConnection) -> Result<Vec<Key>> {
    let own: Vec<Vec<u8>> = sqlx::query_scalar("SELECT id FROM node_networks WHERE own = 1")
        .fetch_all(&mut *conn)
        .await
        .map_err(database)?;
    let mut keys = vec![primary(conn).await?];
    let own = own.into_iter().filter_map(|id| id.try_into().ok());
    let contacts = contacts::all(conn).await?.into_iter().map(|c| c.address.network);
    for network in own.chain(contacts) {
        if !keys.contains(&network) {
            keys.push(network);
        }
    }
    Ok(keys)
}
