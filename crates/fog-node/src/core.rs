//! A node that has its secrets: everything that runs.

use crate::compute::{self, Compute};
use crate::config::NodeConfig;
use crate::delivery;
use crate::error::{NodeError, database, internal};
use crate::events::Bus;
use crate::governance;
use crate::harvest::Harvest;
use crate::identity::{Identity, fingerprint, hex};
use crate::network::{self, Network};
use crate::paths::Paths;
use crate::secrets::{Secrets, Vault};
use crate::work::Work;
use crate::{contacts, records, settings, settlements};
use betanet::Key;
use betanet::testnet::{LAYOUT, TestNetwork};
use fog_api::{AppState, ContactState, Me, Phase, Settings};
use fog_p2p::MessageId;
use fog_p2p::direct::Direct;
use fog_p2p::endpoint::Endpoint;
use fog_p2p::mixnet::MixnetRoad;
use fog_p2p::roads::Roads;
use parking_lot::{Mutex, RwLock};
use sqlx::SqlitePool;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

const INBOUND: usize = 256;

/// Everything that runs once the secrets are open.
pub(crate) struct Core {
    pub(crate) config: NodeConfig,
    pub(crate) me: Identity,
    pub(crate) id: Key,
    pub(crate) pool: SqlitePool,
    pub(crate) bus: Arc<Bus>,
    pub(crate) road: Arc<MixnetRoad>,
    pub(crate) direct: Arc<Direct>,
    pub(crate) socket: crate::direct::Socket,
    /// Look at what concerns direct connections now.
    pub(crate) look_direct: Notify,
    pub(crate) endpoint: Endpoint,
    pub(crate) network: Network,
    pub(crate) compute: Compute,
    pub(crate) harvest: Harvest,
    pub(crate) paths: Paths,
    /// Why messages wait, while they wait.
    pub(crate) reasons: Mutex<HashMap<MessageId, String>>,
    pub(crate) settings: RwLock<Settings>,
    /// When what my card says was last changed.
    pub(crate) card_ms: AtomicI64,
    pub(crate) started: Instant,
    pub(crate) cancel: CancellationToken,
    vault: Mutex<(Vault, Secrets)>,
}

impl Core {
    /// Starts everything.
    pub(crate) async fn start(
        config: NodeConfig,
        pool: SqlitePool,
        bus: Arc<Bus>,
        vault: Vault,
        mut secrets: Secrets,
    ) -> Result<Arc<Self>, NodeError> {
        let me = secrets.identity.clone();
        let mut conn = pool.acquire().await?;
        let settings = settings::load(&mut conn, &secrets.name, config.mean_delay_ms).await?;
        settings::save(&mut conn, &settings).await?;
        let card_ms = settings::card_ms(&mut conn).await?;
        first_network(&mut conn, &config, &vault, &mut secrets).await?;
        drop(conn);

        let road = Arc::new(MixnetRoad::default());
        road.set_mean_delay(Duration::from_millis(settings.mean_delay_ms.into()));
        let (inbound, datagrams) = mpsc::channel(INBOUND);
        let strangers = vec![crate::wire::HELLO];
        let direct = Direct::new(me.direct(), inbound.clone());
        let roads = Arc::new(Roads::new(road.clone(), direct.clone()));
        let (endpoint, events) =
            Endpoint::start(pool.clone(), me.sealing(), roads, strangers, datagrams).await?;
        let own_keys = secrets.test_network.as_ref().map(TestNetwork::copy);
        let core = Arc::new(Self {
            compute: Compute::new(&config, me.signing()).map_err(internal)?,
            harvest: Harvest::new(&config, &pool).await?,
            id: me.id(),
            config,
            me,
            bus,
            network: Network::new(road.clone(), inbound),
            road,
            direct,
            socket: crate::direct::Socket::default(),
            look_direct: Notify::new(),
            endpoint,
            paths: Paths::default(),
            reasons: Mutex::default(),
            settings: RwLock::new(settings),
            card_ms: AtomicI64::new(card_ms),
            started: Instant::now(),
            cancel: CancellationToken::new(),
            vault: Mutex::new((vault, secrets)),
            pool,
        });
        core.open(own_keys.as_ref()).await?;
        tokio::spawn(delivery::run(core.clone(), events));
        tokio::spawn(compute::run(core.clone()));
        tokio::spawn(compute::show(core.clone()));
        let jobs = core.settings.read().jobs.clone();
        compute::apply(&core, &jobs);
        tokio::spawn(crate::harvest::run(core.clone()));
        tokio::spawn(crate::direct::run(core.clone()));
        tokio::spawn(Network::watch(core.clone(), own_keys));
        governance::resume(&core).await?;
        Ok(core)
    }

    /// What must be read or done before anything is received.
    async fn open(self: &Arc<Self>, own_keys: Option<&TestNetwork>) -> Result<(), NodeError> {
        let mut work = Work::begin(self).await?;
        self.network.load(work.conn()).await?;
        let primary = network::primary(work.conn()).await?;
        if let Some(document) = self.network.document(&primary) {
            records::open_ledger(&mut work, &document).await?;
            settlements::resume(&mut work).await?;
        }
        let now = work.now_ms;
        fog_p2p::inbox::prune(work.conn(), now).await.map_err(database)?;
        let needed = network::needed(work.conn()).await?;
        let contacts = contacts::all(work.conn()).await?;
        work.commit().await?;
        self.network.set_secret(&contacts);
        crate::direct::set_peers(self, &contacts);
        for contact in &contacts {
            match contact.state {
                ContactState::Blocked => self.endpoint.block(contact.seal_key),
                _ => {
                    let route = contact.route();
                    self.endpoint.set_peer_only(contact.seal_key, Some(route.address), route.only);
                }
            }
        }
        for network in needed {
            self.network.start(self, &network, own_keys).await;
        }
        network::look_after_boxes_later(self);
        self.endpoint.wake();
        Ok(())
    }

    pub(crate) fn app_state(&self) -> AppState {
        AppState {
            phase: Phase::Ready,
            me: Some(Me {
                id: hex(&self.id),
                name: self.settings.read().name.clone(),
                fingerprint: fingerprint(&self.id),
                secrets: self.vault.lock().0.storage(),
            }),
            version: env!("CARGO_PKG_VERSION").into(),
            data_dir: self.config.data_dir.display().to_string(),
        }
    }

    /// Keeps the name beside the secrets, too.
    pub(crate) fn keep_name(&self, name: &str) {
        let mut guard = self.vault.lock();
        let (vault, secrets) = &mut *guard;
        secrets.name = name.into();
        if let Err(e) = vault.save(secrets) {
            tracing::warn!("the new name is not kept beside the secrets: {e}");
        }
    }

    /// Seals the secrets with a passphrase. False: the present one is wrong.
    pub(crate) fn set_passphrase(&self, current: Option<&str>, new: &str) -> Result<bool, NodeError> {
        let mut guard = self.vault.lock();
        let (vault, secrets) = &mut *guard;
        if !vault.check(current)? {
            return Ok(false);
        }
        vault.set_passphrase(secrets, new)?;
        Ok(true)
    }

    /// Ends everything: relays closed, jobs stopped at a checkpoint (they go on later), the database closed.
    pub(crate) async fn shutdown(&self) {
        self.compute.wind_down().await;
        self.cancel.cancel();
        self.direct.set_peers(&HashMap::new());
        self.network.shutdown().await;
    }
}

/// A data folder that is in no network yet joins the configured one, or makes one of its own.
async fn first_network(
    conn: &mut sqlx::SqliteConnection,
    config: &NodeConfig,
    vault: &Vault,
    secrets: &mut Secrets,
) -> Result<(), NodeError> {
    let configured = match &config.consensus {
        Some(path) => Some(network::read_consensus(path).await?),
        None => None,
    };
    if network::count(conn).await? > 0 {
        let Some(signed) = configured else { return Ok(()) };
        if network::renew(conn, &signed).await? {
            return Ok(());
        }
        return Err(NodeError::Consensus {
            path: config.consensus.clone().unwrap_or_default(),
            reason: "this data folder belongs to another network. Choose another data folder for this one"
                .into(),
        });
    }
    if let Some(signed) = configured {
        return Ok(network::first(conn, &signed, false).await?);
    }
    if secrets.test_network.is_none() {
        let now = crate::time::now_ms().unsigned_abs() / 1000;
        secrets.test_network = Some(TestNetwork::generate(&LAYOUT, now)?);
        vault.save(secrets)?;
    }
    if let Some(own) = &secrets.test_network {
        network::first(conn, &own.consensus(), true).await?;
    }
    Ok(())
}
