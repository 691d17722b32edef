//! Image archives from strangers, made safe to load.
//!
//! An archive can name the images in it as it likes, so loading one as it is could replace the owner's own
//! `postgres:16`; and its layers can be compressed, so 1 MB could become 1 TB on the owner's disk. Therefore nothing of
//! an archive reaches the engine but the configuration and the layers of its one image, checked against their hashes,
//! unpacked within a limit, and packed again without any name. Three forms are read:
//!
//! - what `docker save` and `podman save` write (`manifest.json`),
//! - an OCI layout as a tar (`index.json`),
//! - a plain tar of a root folder (`tar -C rootfs -c .`), which becomes the one layer of an image,
//!
//! each also compressed as a whole with gzip.

mod index;
mod layers;
#[cfg(test)]
mod tests;

use index::{Entries, json};
use layers::{Layer, copy_layer};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Most layers of an image; engines allow 127.
const MAX_LAYERS: usize = 127;

/// Why an archive is no image that can be loaded: a sentence's end.
pub(super) type Refusal = String;

/// An archive that holds one image.
#[derive(Debug)]
pub(super) struct Archive {
    file: File,
    config: Vec<u8>,
    layers: Vec<Layer>,
    /// `sha256:` of each layer's bytes, uncompressed.
    diff_ids: Vec<String>,
}

#[derive(Deserialize)]
struct SavedImage {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    architecture: Option<String>,
    os: Option<String>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

#[derive(Deserialize)]
struct OciIndex {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct OciManifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

impl Archive {
    /// Reads what the archive holds. `scratch` takes the uncompressed form of an archive that is compressed as a whole;
    /// `architecture` chooses among several images of an OCI layout, and is that of a plain root folder; `max` bounds
    /// the bytes after decompression.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn open(path: &Path, scratch: &Path, architecture: &str, max: u64) -> Result<Self, Refusal> {
        let mut file = File::open(path).map_err(io_reason)?;
        if layers::is_gzip(&mut file).map_err(io_reason)? {
            let mut whole = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(scratch)
                .map_err(io_reason)?;
            layers::gunzip(&mut file, &mut whole, max)?;
            file = whole;
        }
        let entries = Entries::read(&mut file)?;
        let (config, layers) = if entries.has("manifest.json") {
            saved(&mut file, &entries)?
        } else if entries.has("index.json") {
            oci(&mut file, &entries, architecture)?
        } else {
            return root_folder(file, architecture, max);
        };
        let parsed: Config = json("the image's configuration", &config)?;
        check_platform(&parsed, architecture)?;
        let diff_ids = parsed.rootfs.diff_ids;
        if diff_ids.len() != layers.len() || layers.len() > MAX_LAYERS {
            return Err(format!(
                "it has {} layers where its configuration names {}, and at most {MAX_LAYERS} are allowed",
                layers.len(),
                diff_ids.len()
            ));
        }
        Ok(Self { file, config, layers, diff_ids })
    }

    /// The image's id: the digest of its configuration, which names the layers by theirs.
    pub(super) fn id(&self) -> String {
        sha256(&self.config)
    }

    /// Writes the one image, without a name, in the form that engines load. At most `max` bytes.
    ///
    /// # Errors
    /// A layer is not what the configuration says, or they are too large together, or the disk is full.
    pub(super) fn write(mut self, to: &Path, max: u64) -> Result<(), Refusal> {
        let mut out = tar::Builder::new(File::create(to).map_err(io_reason)?);
        let name = |index: usize| format!("layer-{index}.tar");
        let config = format!("{}.json", self.id().trim_start_matches("sha256:"));
        let names: Vec<String> = (0..self.layers.len()).map(name).collect();
        let manifest =
            serde_json::json!([{ "Config": config, "RepoTags": null, "Layers": names }]).to_string();
        append(&mut out, &config, self.config.len() as u64, self.config.as_slice())?;
        append(&mut out, "manifest.json", manifest.len() as u64, manifest.as_bytes())?;
        let mut left = max;
        for (index, (layer, diff_id)) in self.layers.iter().zip(&self.diff_ids).enumerate() {
            let (size, digest) = copy_layer(&mut self.file, layer, &mut out, &name(index), left)?;
            if &digest != diff_id {
                return Err(format!("its layer {index} has the digest {digest}, not {diff_id} as it says"));
            }
            left = left.saturating_sub(size);
        }
        out.into_inner().and_then(|mut file| file.flush()).map_err(io_reason)
    }
}

/// `manifest.json`, of `docker save`.
fn saved(file: &mut File, entries: &Entries) -> Result<(Vec<u8>, Vec<Layer>), Refusal> {
    let manifest = entries.small(file, "manifest.json")?;
    let images: Vec<SavedImage> = json("manifest.json", &manifest)?;
    let [image] = <[SavedImage; 1]>::try_from(images)
        .map_err(|images| format!("it holds {} images; save exactly one", images.len()))?;
    let config = entries.small(file, &image.config)?;
    let layers = image.layers.iter().map(|name| entries.layer(name)).collect::<Result<_, _>>()?;
    Ok((config, layers))
}

/// `index.json`, of an OCI layout.
fn oci(file: &mut File, entries: &Entries, architecture: &str) -> Result<(Vec<u8>, Vec<Layer>), Refusal> {
    let mut name = "index.json".to_owned();
    // An index may point to an index of platforms.
    for _ in 0..3 {
        let bytes = entries.checked(file, &name)?;
        if let Ok(manifest) = serde_json::from_slice::<OciManifest>(&bytes) {
            let config = entries.checked(file, &blob(&manifest.config.digest)?)?;
            let layers = manifest
                .layers
                .iter()
                .map(|layer| entries.layer(&blob(&layer.digest)?))
                .collect::<Result<_, _>>()?;
            return Ok((config, layers));
        }
        let index: OciIndex = json(&name, &bytes)?;
        let fits = |d: &&Descriptor| {
            d.platform.as_ref().is_none_or(|p| p.os == "linux" && p.architecture == architecture)
                && !d.media_type.contains("attestation")
        };
        let mut found = index.manifests.iter().filter(fits);
        let (Some(one), None) = (found.next(), found.next()) else {
            return Err(format!("it must hold exactly one image for linux/{architecture}"));
        };
        name = blob(&one.digest)?;
    }
    Err("its index points to an index, again and again".into())
}

/// A tar of a root folder as an image of one layer.
fn root_folder(mut file: File, architecture: &str, max: u64) -> Result<Archive, Refusal> {
    let size = file.seek(SeekFrom::End(0)).map_err(io_reason)?;
    if size > max {
        return Err(format!("it has more than the {max} bytes that an image may have here"));
    }
    file.rewind().map_err(io_reason)?;
    let mut hasher = Sha256::new();
    io::copy(&mut file, &mut HashTo(&mut hasher)).map_err(io_reason)?;
    let diff_id = digest(hasher);
    let config = serde_json::json!({
        "architecture": architecture,
        "os": "linux",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        "history": [{ "created": "1970-01-01T00:00:00Z" }],
        "created": "1970-01-01T00:00:00Z",
    });
    let layers = vec![Layer { offset: 0, size }];
    Ok(Archive { file, config: config.to_string().into_bytes(), layers, diff_ids: vec![diff_id] })
}

fn check_platform(config: &Config, architecture: &str) -> Result<(), Refusal> {
    let os = config.os.as_deref().unwrap_or("linux");
    let made_for = config.architecture.as_deref().unwrap_or(architecture);
    if os == "linux" && made_for == architecture {
        return Ok(());
    }
    Err(format!("it is made for {os}/{made_for}, this device runs linux/{architecture}"))
}

/// Where an OCI layout keeps what has this digest.
fn blob(digest: &str) -> Result<String, Refusal> {
    if !super::name::is_digest(digest) {
        return Err(format!("it names something by {digest:?}, which is no SHA-256 digest"));
    }
    Ok(format!("blobs/sha256/{}", digest.trim_start_matches("sha256:")))
}

fn append(out: &mut tar::Builder<File>, name: &str, size: u64, data: impl Read) -> Result<(), Refusal> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    out.append_data(&mut header, name, data).map_err(io_reason)
}

struct HashTo<'a>(&'a mut Sha256);

impl Write for HashTo<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn digest(hasher: Sha256) -> String {
    format!("sha256:{}", hex::encode(hasher.finalize()))
}

fn sha256(bytes: &[u8]) -> String {
    digest(Sha256::new_with_prefix(bytes))
}

// By value, as `map_err` gives it.
#[allow(clippy::needless_pass_by_value)]
fn io_reason(error: io::Error) -> Refusal {
    error.to_string()
}
