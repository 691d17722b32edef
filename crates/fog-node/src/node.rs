//! The node: its data folder, its phases, and the way in.

use crate::command;
use crate::config::NodeConfig;
use crate::core::Core;
use crate::error::{NodeError, Result, bad_input, internal};
use crate::events::Bus;
use crate::identity::{Identity, hex, unhex};
use crate::secrets::{Opened, Secrets, Vault};
use crate::{card, store};
use fog_api::{ApiError, AppState, Command, ErrorKind, Event, EventBody, Hash, Phase, Request};
use fog_jobs::BlobStore;
use parking_lot::RwLock;
use sqlx::SqlitePool;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::sync::{Mutex, broadcast};

/// A running node. Clones are handles on the same one.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    config: NodeConfig,
    pool: SqlitePool,
    bus: Arc<Bus>,
    core: RwLock<Option<Arc<Core>>>,
    /// One at a time makes or opens the secrets.
    setup: Mutex<()>,
    blobs: BlobStore,
    /// The secrets are sealed with a passphrase.
    sealed: bool,
    /// Shows the window of the program that this node runs in.
    window: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Held as long as the node lives: one process a data folder.
    _lock: File,
}

impl Node {
    /// Opens the data folder and starts what can be started without the user.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(config: NodeConfig) -> std::result::Result<Self, NodeError> {
        let path = config.data_dir.clone();
        let failed = |source| NodeError::DataDir { path: path.clone(), source };
        make_private(&path).map_err(failed)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(failed)?;
        lock.try_lock().map_err(|_| NodeError::InUse(path.clone()))?;
        let opened = Vault::open(&path)?;
        let pool = store::open(&path.join("fog.db")).await?;
        let blobs = BlobStore::open(path.join("blobs")).map_err(internal)?;
        let node = Self {
            inner: Arc::new(Inner {
                config,
                pool,
                bus: Arc::new(Bus::new()),
                core: RwLock::default(),
                setup: Mutex::default(),
                blobs,
                sealed: matches!(opened, Opened::Sealed),
                window: OnceLock::new(),
                _lock: lock,
            }),
        };
        match opened {
            Opened::Ready(vault, secrets) => _ = node.run(vault, secrets).await?,
            Opened::Missing => node.refuse_orphan_database().await?,
            Opened::Sealed => {}
        }
        Ok(node)
    }

    /// Tells how to show the window of the program that this node runs in, once. Without it there is none.
    pub fn set_window(&self, show: impl Fn() + Send + Sync + 'static) {
        // The first one stays: a node has one window.
        let _ = self.inner.window.set(Box::new(show));
    }

    pub(crate) fn show_window(&self) -> Result<()> {
        let Some(show) = self.inner.window.get() else {
            return Err(ApiError::new(
                ErrorKind::NotReady,
                "This node has no window: open its page in a browser.",
            ));
        };
        show();
        Ok(())
    }

    /// A database without its secrets must not get a new identity.
    async fn refuse_orphan_database(&self) -> std::result::Result<(), NodeError> {
        let mut conn = self.inner.pool.acquire().await?;
        if crate::network::count(&mut conn).await? == 0 {
            return Ok(());
        }
        Err(NodeError::Secrets(format!(
            "the secrets of this data folder are missing ({} is gone), so its identity cannot be used. Restore the file \
             from a backup, or choose another data folder",
            self.inner.config.data_dir.join("secrets.json").display()
        )))
    }

    async fn run(&self, vault: Vault, secrets: Secrets) -> std::result::Result<Arc<Core>, NodeError> {
        let inner = &self.inner;
        let (config, pool, bus) = (inner.config.clone(), inner.pool.clone(), inner.bus.clone());
        let core = Core::start(config, pool, bus, vault, secrets).await?;
        *inner.core.write() = Some(core.clone());
        Ok(core)
    }

    pub(crate) fn core(&self) -> Result<Arc<Core>> {
        self.inner.core.read().clone().ok_or_else(|| match self.phase() {
            Phase::Locked => {
                ApiError::new(ErrorKind::NotReady, "The node is locked: unlock it with its passphrase.")
            }
            _ => ApiError::new(ErrorKind::NotReady, "The node is not set up yet: choose a name first."),
        })
    }

    fn phase(&self) -> Phase {
        if self.inner.core.read().is_some() {
            Phase::Ready
        } else if self.inner.sealed {
            Phase::Locked
        } else {
            Phase::FirstRun
        }
    }

    pub(crate) fn state(&self) -> AppState {
        if let Ok(core) = self.core() {
            return core.app_state();
        }
        AppState {
            phase: self.phase(),
            me: None,
            version: env!("CARGO_PKG_VERSION").into(),
            data_dir: self.inner.config.data_dir.display().to_string(),
        }
    }

    /// First run: makes and keeps an identity.
    pub(crate) async fn create_identity(&self, name: &str) -> Result<AppState> {
        let _guard = self.inner.setup.lock().await;
        let name = name.trim();
        if !card::valid_name(name) {
            return Err(bad_input("A name has 1 to 64 bytes and no control characters."));
        }
        if self.phase() != Phase::FirstRun {
            return Err(ApiError::new(ErrorKind::Conflict, "This node has an identity already."));
        }
        let (config, name) = (self.inner.config.clone(), name.to_string());
        let made = tokio::task::spawn_blocking(move || {
            // An earlier attempt may have come as far as the secrets: they stay.
            if let Opened::Ready(vault, mut secrets) = Vault::open(&config.data_dir)? {
                secrets.name = name;
                vault.save(&secrets)?;
                return Ok((vault, secrets));
            }
            let secrets = Secrets { identity: Identity::generate(), name, test_network: None };
            Vault::create(&config.data_dir, &secrets, config.keychain).map(|vault| (vault, secrets))
        });
        let (vault, secrets) = made.await.map_err(internal)?.map_err(unavailable)?;
        self.run(vault, secrets).await.map_err(unavailable)?;
        Ok(self.tell_state())
    }

    pub(crate) async fn unlock(&self, passphrase: String) -> Result<AppState> {
        let _guard = self.inner.setup.lock().await;
        if self.phase() != Phase::Locked {
            return Err(ApiError::new(ErrorKind::Conflict, "The node is not locked."));
        }
        let data_dir = self.inner.config.data_dir.clone();
        let passphrase = zeroize::Zeroizing::new(passphrase);
        let opened = tokio::task::spawn_blocking(move || Vault::unlock(&data_dir, &passphrase));
        let opened = opened.await.map_err(internal)?.map_err(unavailable)?;
        let (vault, secrets) = opened.ok_or_else(|| crate::error::refused("The passphrase is wrong."))?;
        self.run(vault, secrets).await.map_err(unavailable)?;
        Ok(self.tell_state())
    }

    fn tell_state(&self) -> AppState {
        let state = self.state();
        self.inner.bus.emit(EventBody::State(state.clone()));
        state
    }

    /// Asks the node for something, typed.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn call<R: Request>(&self, request: R) -> Result<R::Reply> {
        serde_json::from_value(self.command(request.into()).await?).map_err(internal)
    }

    /// Asks the node for something; the reply is the JSON of the command's reply type.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn command(&self, command: Command) -> Result<serde_json::Value> {
        command::dispatch(self, command).await
    }

    /// Everything that happens from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.bus.subscribe()
    }

    /// Stores content for a command to name by its hash.
    ///
    /// # Errors
    /// [`ApiError`], for content that is too large or a full disk.
    pub async fn upload(&self, content: impl Read + Send + 'static) -> Result<Hash> {
        self.core()?;
        let blobs = self.inner.blobs.clone();
        let stored = tokio::task::spawn_blocking(move || blobs.put_reader(content));
        let blob = stored.await.map_err(internal)?;
        blob.map(|b| hex(&b.hash)).map_err(|e| crate::compute::engine_error(e.into()))
    }

    /// Where the content with this hash is.
    ///
    /// # Errors
    /// [`ApiError`] if it is not here.
    pub fn download(&self, hash: &str) -> Result<PathBuf> {
        self.core()?;
        let hash = unhex::<32>(hash).ok_or_else(|| bad_input("A content hash is 64 hexadecimal digits."))?;
        self.inner
            .blobs
            .path(&hash)
            .ok_or_else(|| crate::error::not_found("There is no content with this hash here."))
    }

    /// The data folder.
    pub fn data_dir(&self) -> &std::path::Path {
        &self.inner.config.data_dir
    }

    /// Ends everything cleanly.
    pub async fn shutdown(&self) {
        let core = self.inner.core.write().take();
        if let Some(core) = core {
            core.shutdown().await;
        }
        self.inner.pool.close().await;
    }
}

fn unavailable(e: NodeError) -> ApiError {
    match e {
        NodeError::Api(e) => e,
        e => ApiError::new(ErrorKind::Unavailable, e.to_string()),
    }
}

/// Makes the folder, for its owner alone.
fn make_private(path: &std::path::Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    // A folder that was there before may be open to others.
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}
