//! Has the image that a job names, or gets it: from the archive that came with the job, or from a registry.

mod fetch;

use super::archive::Archive;
use super::engine::{Engine, is_missing};
use super::ledger::{Brought, KeepImages, Ledger};
use super::name::ImageName;
use crate::run::{Image, RunError};
use bollard::models::{ImageConfig, ImageInspect};
use bollard::query_parameters::RemoveImageOptions;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Images: where they come from and how large they may be.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) registries: Vec<String>,
    pub(super) max_bytes: u64,
    pub(super) keep: KeepImages,
}

/// The images on the engine, as far as jobs need them.
pub(super) struct Images {
    engine: Arc<Engine>,
    rules: Rules,
    state: PathBuf,
    ledger: Mutex<Ledger>,
    /// How many runs use an image, by the ledger's name.
    busy: Mutex<HashMap<String, usize>>,
    /// One is fetched at a time: it takes the disk and the network.
    fetching: tokio::sync::Mutex<()>,
}

/// An image that is there, and stays there as long as this value.
pub(super) struct Ready {
    pub(super) id: String,
    pub(super) config: ImageConfig,
    _busy: Busy,
}

struct Busy {
    images: Arc<Images>,
    name: String,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut busy = self.images.busy.lock();
        if let Some(count) = busy.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                busy.remove(&self.name);
            }
        }
        drop(busy);
        self.images.touch(&self.name);
    }
}

impl Images {
    /// `state` is a folder of this node's own.
    pub(super) fn open(engine: Arc<Engine>, rules: Rules, state: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&state)?;
        let ledger = Mutex::new(Ledger::open(state.join("images.json"))?);
        let images = Self {
            engine,
            rules,
            state,
            ledger,
            busy: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        };
        for name in [STAGED, UNPACKED] {
            // What a crash left.
            let _ = std::fs::remove_file(images.state.join(name));
        }
        Ok(images)
    }

    /// Makes sure that the image is there. `say` hears how far it is.
    pub(super) async fn ready(
        self: &Arc<Self>,
        image: &Image,
        say: &mut (dyn FnMut(String) + Send),
    ) -> Result<Ready, RunError> {
        let wanted = match ImageName::parse(&image.reference) {
            Ok(name) => Some(name),
            // With an archive a name is only a name.
            Err(_) if image.archive.is_some() => None,
            Err(reason) => return Err(RunError::Image(reason)),
        };
        let _alone = self.fetching.lock().await;
        let (name, id) = match (&image.archive, wanted) {
            (Some(archive), wanted) => self.load_archive(archive.clone(), wanted).await?,
            (None, Some(ImageName::Local(id))) => (id.clone(), id),
            (None, Some(wanted)) => {
                let name = wanted.to_string();
                self.fetch_named(&wanted, &name, say).await?;
                (name.clone(), name)
            }
            (None, None) => return Err(RunError::Image("the job names none".into())),
        };
        // Busy before it is looked at, so that no sweep takes it in between.
        *self.busy.lock().entry(name.clone()).or_default() += 1;
        let busy = Busy { images: Arc::clone(self), name };
        let Some(found) = self.inspect(&id).await? else {
            return Err(RunError::Image(format!(
                "{id} is not on this device, and without a registry's name it cannot be fetched"
            )));
        };
        let made_for = found.architecture.as_deref().unwrap_or(&self.engine.info.architecture);
        if made_for != self.engine.info.architecture || found.os.as_deref().is_some_and(|os| os != "linux") {
            return Err(RunError::Unsupported(format!(
                "the image is made for {}/{made_for}, this device runs linux/{}",
                found.os.as_deref().unwrap_or("linux"),
                self.engine.info.architecture
            )));
        }
        let id = found.id.ok_or_else(|| RunError::Image("the engine gives it no id".into()))?;
        Ok(Ready { id, config: found.config.unwrap_or_default(), _busy: busy })
    }

    async fn inspect(&self, name: &str) -> Result<Option<ImageInspect>, RunError> {
        match self.engine.docker.inspect_image(name).await {
            Ok(found) => Ok(Some(found)),
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(RunError::Device(format!("the container engine cannot look at an image: {e}"))),
        }
    }

    fn is_ours(&self, name: &str) -> Option<Brought> {
        self.ledger.lock().get(name).cloned()
    }

    fn note(&self, name: &str, id: Option<String>, bytes: u64) -> Result<(), RunError> {
        let brought = Brought { id, bytes, used: now() };
        self.ledger
            .lock()
            .put(name, brought)
            .map_err(|e| RunError::Device(format!("the list of images cannot be written: {e}")))
    }

    fn touch(&self, name: &str) {
        let mut ledger = self.ledger.lock();
        if let Some(mut brought) = ledger.get(name).cloned() {
            brought.used = now();
            if let Err(error) = ledger.put(name, brought) {
                tracing::warn!(%error, "the list of jobs' images cannot be written");
            }
        }
    }

    /// Removes images that were brought for jobs and have to go. Returns how many.
    pub(super) async fn sweep(&self) -> usize {
        let Ok(_alone) = self.fetching.try_lock() else { return 0 };
        let due = {
            let busy = self.busy.lock();
            self.ledger.lock().due(self.rules.keep, now(), |name| busy.contains_key(name))
        };
        let mut removed = 0;
        for name in due {
            match self.remove(&name).await {
                Ok(true) => removed += 1,
                Ok(false) => {}
                // Next time, perhaps.
                Err(error) => {
                    tracing::debug!(name, %error, "a job's image stays for now");
                    continue;
                }
            }
            if let Err(error) = self.ledger.lock().forget(&name) {
                tracing::warn!(%error, "the list of jobs' images cannot be written");
            }
        }
        removed
    }

    async fn remove(&self, name: &str) -> Result<bool, bollard::errors::Error> {
        let id = self.is_ours(name).and_then(|b| b.id).unwrap_or_else(|| name.to_owned());
        let found = match self.engine.docker.inspect_image(&id).await {
            Ok(found) => found,
            Err(e) if is_missing(&e) => return Ok(false),
            Err(e) => return Err(e),
        };
        if found.repo_tags.iter().flatten().any(|tag| !tag.starts_with("<none>")) {
            // The owner has given it a name meanwhile: it is the owner's now.
            return Ok(false);
        }
        for digest in found.repo_digests.iter().flatten().filter(|d| !d.starts_with("<none>")) {
            let _ = self.engine.docker.remove_image(digest, None::<RemoveImageOptions>, None).await;
        }
        match self.engine.docker.remove_image(&id, None::<RemoveImageOptions>, None).await {
            Ok(_) => Ok(true),
            Err(e) if is_missing(&e) => Ok(true),
            Err(e) => Err(e),
        }
    }

    /// The image in an archive: the ledger's name and the engine's id for it.
    async fn load_archive(
        &self,
        archive: PathBuf,
        wanted: Option<ImageName>,
    ) -> Result<(String, String), RunError> {
        let (unpacked, staged) = (self.state.join(UNPACKED), self.state.join(STAGED));
        let clean = Clean([unpacked.clone(), staged.clone()]);
        let (architecture, max) = (self.engine.info.architecture.clone(), self.rules.max_bytes);
        let opened = blocking(move || Archive::open(&archive, &unpacked, &architecture, max)).await?;
        let name = opened.id();
        if let Some(ImageName::Local(id)) = &wanted
            && *id != name
        {
            return Err(RunError::Image(format!("the archive holds {name}, not {id} as the job says")));
        }
        let known = self.is_ours(&name).and_then(|brought| brought.id).unwrap_or_else(|| name.clone());
        if self.inspect(&known).await?.is_some() {
            return Ok((name, known));
        }
        self.note(&name, None, 0)?;
        blocking({
            let staged = staged.clone();
            move || opened.write(&staged, max)
        })
        .await?;
        let id = fetch::load(&self.engine, &staged).await?.unwrap_or_else(|| name.clone());
        drop(clean);
        let Some(found) = self.inspect(&id).await? else {
            return Err(RunError::Image("the engine took the archive, but has no image of it".into()));
        };
        self.note(&name, Some(id.clone()), size(&found))?;
        Ok((name, id))
    }

    /// An image of a registry, by its digest.
    async fn fetch_named(
        &self,
        wanted: &ImageName,
        name: &str,
        say: &mut (dyn FnMut(String) + Send),
    ) -> Result<(), RunError> {
        let ImageName::Registry { registry, path, digest } = wanted else { return Ok(()) };
        if self.inspect(name).await?.is_some() {
            return Ok(());
        }
        if !self.rules.registries.iter().any(|allowed| allowed == registry) {
            return Err(RunError::Image(format!(
                "this device fetches images from {} only, not from {registry}; its owner can allow more, or the job \
                 can bring the image as an archive",
                self.rules.registries.join(", ")
            )));
        }
        self.note(name, None, 0)?;
        fetch::pull(&self.engine, &format!("{registry}/{path}"), digest, self.rules.max_bytes, say).await?;
        let Some(found) = self.inspect(name).await? else {
            return Err(RunError::Image(format!("the engine fetched {name}, but does not have it")));
        };
        self.note(name, found.id.clone(), size(&found))
    }
}

/// The archive as it is loaded.
const STAGED: &str = "image.tar";
/// The archive as it came, without the compression of the whole.
const UNPACKED: &str = "image-unpacked.tar";

/// Removes files.
struct Clean([PathBuf; 2]);

impl Drop for Clean {
    fn drop(&mut self) {
        for file in &self.0 {
            let _ = std::fs::remove_file(file);
        }
    }
}

fn size(image: &ImageInspect) -> u64 {
    image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, RunError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| RunError::Device(e.to_string()))?
        .map_err(|reason| RunError::Image(format!("the archive: {reason}")))
}
