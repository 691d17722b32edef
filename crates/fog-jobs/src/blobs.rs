//! Content-addressed storage for modules, inputs and outputs.
//!
//! ```text
//! FOLDER/whole/ab/abcd…   whole blobs, named by the BLAKE3 of their content
//! FOLDER/chunk/12/1234…   chunks of blobs that are still arriving, named by their own hash
//! FOLDER/tmp/…            files being written; emptied when the store is opened
//! ```
//!
//! Every file is written under `tmp`, synced and renamed, so that a name never stands for half a content, and chunks
//! that arrived before a restart need not be sent again. All calls block on the disk: from async code, run the long
//! ones (`put_*`, [`BlobStore::assemble`]) on a blocking thread.

#[cfg(test)]
mod tests;

use crate::spec::{BlobRef, CHUNK_BYTES, Hash, MAX_BLOB_BYTES};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No space is left.
    #[error("the disk is full: {0}")]
    DiskFull(PathBuf),
    /// The system refused a file.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The content is not what its name says.
    #[error("the content of {what} does not have the hash {}", hex::encode(expected))]
    WrongHash {
        /// A chunk or a blob.
        what: &'static str,
        /// The hash it should have.
        expected: Hash,
    },
    /// The blob, or a chunk of it, is not here.
    #[error("{} of {} chunks of blob {} are not here", missing.len(), total, hex::encode(hash))]
    Missing {
        /// Which blob.
        hash: Hash,
        /// Chunks of it that are missing.
        missing: Vec<u32>,
        /// Chunks in all.
        total: usize,
    },
    /// Larger than a blob may be.
    #[error("larger than the {MAX_BLOB_BYTES} bytes that a blob may have")]
    TooLarge,
    /// Something else than an ordinary file stands at the path.
    #[error("{0} is not an ordinary file")]
    NotAFile(PathBuf),
    /// The chunk has no place in the blob.
    #[error("a blob of {chunks} chunks has no chunk {index}")]
    NoSuchChunk {
        /// The index asked for.
        index: u32,
        /// Chunks of the blob.
        chunks: usize,
    },
}

/// The store. Clones share the folder.
#[derive(Debug, Clone)]
pub struct BlobStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    counter: AtomicU64,
}

impl BlobStore {
    /// Opens the store in `folder`, which is made if it is not there. Leftovers of interrupted writes are removed; one
    /// process at a time may have a folder open.
    ///
    /// # Errors
    /// [`BlobError::Io`] if the folder cannot be made or cleaned.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, BlobError> {
        let root = folder.into();
        for part in ["whole", "chunk", "tmp"] {
            let path = root.join(part);
            fs::create_dir_all(&path).map_err(|e| failed(&path, e))?;
        }
        let tmp = root.join("tmp");
        for entry in fs::read_dir(&tmp).map_err(|e| failed(&tmp, e))? {
            let path = entry.map_err(|e| failed(&tmp, e))?.path();
            fs::remove_file(&path).map_err(|e| failed(&path, e))?;
        }
        Ok(Self { inner: Arc::new(Inner { root, counter: AtomicU64::new(0) }) })
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// [`BlobError`] if they are too many or cannot be written.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<BlobRef, BlobError> {
        self.put_reader(bytes)
    }

    /// Stores an ordinary file's content. A symbolic link is refused, so that whoever wrote the path's folder cannot
    /// make the store read something else.
    ///
    /// # Errors
    /// [`BlobError`] if it is no ordinary file, too large, or cannot be read or written.
    pub fn put_file(&self, path: &Path) -> Result<BlobRef, BlobError> {
        self.put_reader(open_ordinary(path)?)
    }

    /// Stores all that `reader` gives, without holding more than a chunk in memory.
    ///
    /// # Errors
    /// [`BlobError::TooLarge`] above [`MAX_BLOB_BYTES`]; [`BlobError`] if it cannot be read or written.
    pub fn put_reader(&self, reader: impl Read) -> Result<BlobRef, BlobError> {
        let (tmp, mut file) = self.temporary()?;
        let result = copy_hashed(reader, &mut file, &tmp).and_then(|blob| {
            file.sync_all().map_err(|e| failed(&tmp, e))?;
            self.publish(&tmp, &self.path_of("whole", &blob.hash))?;
            Ok(blob)
        });
        if result.is_err() {
            let _ = fs::remove_file(&tmp);
        }
        result
    }

    /// True if the whole blob is here.
    pub fn has(&self, hash: &Hash) -> bool {
        self.path_of("whole", hash).is_file()
    }

    /// Where the whole blob is; none if it is not here. The file must not be changed.
    pub fn path(&self, hash: &Hash) -> Option<PathBuf> {
        let path = self.path_of("whole", hash);
        path.is_file().then_some(path)
    }

    /// Describes a whole blob that is here by reading it once.
    ///
    /// # Errors
    /// [`BlobError`] if it is not here, cannot be read, or was damaged on disk.
    pub fn describe(&self, hash: &Hash) -> Result<BlobRef, BlobError> {
        let path = self.path_of("whole", hash);
        let file = File::open(&path).map_err(|e| failed(&path, e))?;
        let blob = copy_hashed(file, &mut io::sink(), &path)?;
        if &blob.hash != hash {
            return Err(BlobError::WrongHash { what: "a blob", expected: *hash });
        }
        Ok(blob)
    }

    /// Reads up to `max` bytes from the start of a whole blob.
    ///
    /// # Errors
    /// [`BlobError`] if it is not here or cannot be read.
    pub fn read_start(&self, hash: &Hash, max: u64) -> Result<Vec<u8>, BlobError> {
        let path = self.path_of("whole", hash);
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(|e| failed(&path, e))?;
        file.take(max).read_to_end(&mut bytes).map_err(|e| failed(&path, e))?;
        Ok(bytes)
    }

    /// Reads a whole blob into memory and checks its hash.
    ///
    /// # Errors
    /// [`BlobError`] if it is not here, cannot be read, or was damaged on disk.
    pub fn read(&self, hash: &Hash) -> Result<Vec<u8>, BlobError> {
        let bytes = self.read_start(hash, MAX_BLOB_BYTES)?;
        if blake3::hash(&bytes).as_bytes() != hash {
            return Err(BlobError::WrongHash { what: "a blob", expected: *hash });
        }
        Ok(bytes)
    }

    /// True if chunk `index` can be read, from the whole blob or alone.
    pub fn has_chunk(&self, blob: &BlobRef, index: u32) -> bool {
        self.has(&blob.hash)
            || blob.chunks.get(index as usize).is_some_and(|hash| self.path_of("chunk", hash).is_file())
    }

    /// Reads a chunk and checks its hash.
    ///
    /// # Errors
    /// [`BlobError`] if it is not here, cannot be read, or was damaged on disk.
    pub fn read_chunk(&self, blob: &BlobRef, index: u32) -> Result<Vec<u8>, BlobError> {
        let (Some(hash), Some(len)) = (blob.chunks.get(index as usize), blob.chunk_len(index)) else {
            return Err(BlobError::NoSuchChunk { index, chunks: blob.chunks.len() });
        };
        let whole = self.path_of("whole", &blob.hash);
        let (path, offset) = if whole.is_file() {
            (whole, u64::from(index) * CHUNK_BYTES)
        } else {
            (self.path_of("chunk", hash), 0)
        };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(BlobError::Missing {
                    hash: blob.hash,
                    missing: vec![index],
                    total: blob.chunks.len(),
                });
            }
            Err(e) => return Err(failed(&path, e)),
        };
        let mut bytes = Vec::with_capacity(len);
        file.seek(SeekFrom::Start(offset)).map_err(|e| failed(&path, e))?;
        file.take(len as u64).read_to_end(&mut bytes).map_err(|e| failed(&path, e))?;
        if blake3::hash(&bytes).as_bytes() != hash {
            return Err(BlobError::WrongHash { what: "a chunk", expected: *hash });
        }
        Ok(bytes)
    }

    /// Stores an arriving chunk after checking its length and hash. A chunk that is already here is left alone.
    ///
    /// # Errors
    /// [`BlobError::WrongHash`] if it is not that chunk; [`BlobError`] if it cannot be written.
    pub fn put_chunk(&self, blob: &BlobRef, index: u32, data: &[u8]) -> Result<(), BlobError> {
        let Some(hash) = blob.chunks.get(index as usize) else {
            return Err(BlobError::NoSuchChunk { index, chunks: blob.chunks.len() });
        };
        if blob.chunk_len(index) != Some(data.len()) || blake3::hash(data).as_bytes() != hash {
            return Err(BlobError::WrongHash { what: "a chunk", expected: *hash });
        }
        if self.has_chunk(blob, index) {
            return Ok(());
        }
        let (tmp, mut file) = self.temporary()?;
        let result = file
            .write_all(data)
            .and_then(|()| file.sync_data())
            .map_err(|e| failed(&tmp, e))
            .and_then(|()| self.publish(&tmp, &self.path_of("chunk", hash)));
        if result.is_err() {
            let _ = fs::remove_file(&tmp);
        }
        result
    }

    /// Indices of the chunks that are not here, in order.
    pub fn missing(&self, blob: &BlobRef) -> Vec<u32> {
        if self.has(&blob.hash) {
            return Vec::new();
        }
        (0..blob.chunks.len() as u32).filter(|index| !self.has_chunk(blob, *index)).collect()
    }

    /// Puts the chunks together, checks the whole hash, and removes the chunks. A blob that is already whole is left
    /// alone. Chunks that were damaged on disk are removed and reported as missing.
    ///
    /// # Errors
    /// [`BlobError::Missing`] lists what must come (again); [`BlobError::WrongHash`] if the chunks are all right but do
    /// not make this blob: then whoever described it was wrong.
    pub fn assemble(&self, blob: &BlobRef) -> Result<PathBuf, BlobError> {
        let target = self.path_of("whole", &blob.hash);
        if target.is_file() {
            return Ok(target);
        }
        let (tmp, mut file) = self.temporary()?;
        let result = self.join(blob, &mut file, &tmp).and_then(|()| {
            file.sync_all().map_err(|e| failed(&tmp, e))?;
            self.publish(&tmp, &target)
        });
        if let Err(error) = result {
            let _ = fs::remove_file(&tmp);
            return Err(error);
        }
        self.remove_chunks(blob);
        Ok(target)
    }

    /// Removes a whole blob and its chunks, as far as they are here.
    ///
    /// # Errors
    /// [`BlobError::Io`] if the system refuses.
    pub fn remove(&self, blob: &BlobRef) -> Result<(), BlobError> {
        self.remove_chunks(blob);
        let path = self.path_of("whole", &blob.hash);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(&path, e)),
            _ => Ok(()),
        }
    }

    fn join(&self, blob: &BlobRef, file: &mut File, tmp: &Path) -> Result<(), BlobError> {
        let mut hasher = blake3::Hasher::new();
        let mut missing = Vec::new();
        for (index, hash) in (0u32..).zip(&blob.chunks) {
            match self.read_chunk(blob, index) {
                Ok(bytes) => {
                    hasher.update(&bytes);
                    file.write_all(&bytes).map_err(|e| failed(tmp, e))?;
                }
                Err(BlobError::WrongHash { .. }) => {
                    let _ = fs::remove_file(self.path_of("chunk", hash));
                    missing.push(index);
                }
                Err(BlobError::Missing { .. }) => missing.push(index),
                Err(error) => return Err(error),
            }
        }
        if !missing.is_empty() {
            return Err(BlobError::Missing { hash: blob.hash, missing, total: blob.chunks.len() });
        }
        if hasher.finalize().as_bytes() != &blob.hash {
            return Err(BlobError::WrongHash { what: "a blob", expected: blob.hash });
        }
        Ok(())
    }

    fn remove_chunks(&self, blob: &BlobRef) {
        for hash in &blob.chunks {
            // A chunk that stays behind costs space, not correctness.
            let _ = fs::remove_file(self.path_of("chunk", hash));
        }
    }

    fn path_of(&self, part: &str, hash: &Hash) -> PathBuf {
        let name = hex::encode(hash);
        self.inner.root.join(part).join(&name[..2]).join(name)
    }

    fn temporary(&self) -> Result<(PathBuf, File), BlobError> {
        let number = self.inner.counter.fetch_add(1, Ordering::Relaxed);
        let path = self.inner.root.join("tmp").join(number.to_string());
        let file = File::create(&path).map_err(|e| failed(&path, e))?;
        Ok((path, file))
    }

    fn publish(&self, tmp: &Path, target: &Path) -> Result<(), BlobError> {
        let folder = target.parent().unwrap_or(&self.inner.root);
        fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
        fs::rename(tmp, target).map_err(|e| failed(target, e))?;
        // The name is durable once its folder is. Not every system can sync a folder, and none needs it for safety
        // against a killed process.
        if let Ok(dir) = File::open(folder) {
            let _ = dir.sync_all();
        }
        Ok(())
    }
}

/// Opens an ordinary file for reading; a symbolic link or a device is refused.
fn open_ordinary(path: &Path) -> Result<File, BlobError> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits() as i32);
    }
    let link = fs::symlink_metadata(path).map_err(|e| failed(path, e))?;
    if !link.file_type().is_file() {
        return Err(BlobError::NotAFile(path.into()));
    }
    let file = options.open(path).map_err(|e| failed(path, e))?;
    if !file.metadata().map_err(|e| failed(path, e))?.is_file() {
        return Err(BlobError::NotAFile(path.into()));
    }
    Ok(file)
}

/// Copies and describes, a chunk at a time.
fn copy_hashed(mut reader: impl Read, to: &mut impl Write, path: &Path) -> Result<BlobRef, BlobError> {
    let mut blob = BlobRef { hash: [0; 32], size: 0, chunks: Vec::new() };
    let mut whole = blake3::Hasher::new();
    let mut chunk = Vec::with_capacity(CHUNK_BYTES as usize);
    loop {
        chunk.clear();
        reader.by_ref().take(CHUNK_BYTES).read_to_end(&mut chunk).map_err(|e| failed(path, e))?;
        if chunk.is_empty() {
            break;
        }
        blob.size += chunk.len() as u64;
        if blob.size > MAX_BLOB_BYTES {
            return Err(BlobError::TooLarge);
        }
        whole.update(&chunk);
        blob.chunks.push(*blake3::hash(&chunk).as_bytes());
        to.write_all(&chunk).map_err(|e| failed(path, e))?;
    }
    blob.hash = *whole.finalize().as_bytes();
    Ok(blob)
}

fn failed(path: &Path, source: io::Error) -> BlobError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BlobError::DiskFull(path.into()),
        _ => BlobError::Io { path: path.into(), source },
    }
}
