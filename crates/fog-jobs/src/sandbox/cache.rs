//! Native code of modules, kept on this device so that a module is compiled once.
//!
//! Whoever can put a file here can run native code in a worker process. So a file counts only if this node wrote it: beside
//! each lies a seal, a BLAKE3 keyed hash over the file's name and content, under a key that lies in the folder, is readable
//! by the owner alone, and is never given to a worker. The name is a hash over the module, the engine's version and its
//! settings; another version's files are never even looked for. What does not fit its seal is removed.
//!
//! The native code was made by a worker process that had nothing else yet, from this very module. Should a module break
//! the compiler and have it write other code, then that code runs only as this module, in a process without rights: it gains
//! nothing that the module would not have had.

use crate::spec::Hash;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use zeroize::Zeroizing;

/// Most bytes of all files together; the ones unused for longest are removed.
const MAX_BYTES: u64 = 512 * 1024 * 1024;
/// Largest file that is kept.
const MAX_FILE: u64 = 128 * 1024 * 1024;
const KEY_FILE: &str = "key";

/// A folder of native code.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    folder: PathBuf,
    /// What compiles, and how: of another version nothing fits.
    engine: Hash,
}

impl Cache {
    /// Opens a folder, makes it and its key if they are not there.
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        make_private(&folder)?;
        let path = folder.join(KEY_FILE);
        if !path.exists() {
            let mut key = Zeroizing::new([0; 32]);
            getrandom::fill(&mut *key).map_err(|e| io::Error::other(e.to_string()))?;
            let temporary = folder.join(format!("key.{}", std::process::id()));
            write_private(&temporary, &*key)?;
            // Not over one that another node has made meanwhile.
            let _ = fs::hard_link(&temporary, &path);
            fs::remove_file(&temporary)?;
        }
        let engine = crate::worker::engine().map_err(|e| io::Error::other(e.to_string()))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(crate::worker::SETTINGS.as_bytes());
        struct Feed<'a>(&'a mut blake3::Hasher);
        impl std::hash::Hasher for Feed<'_> {
            fn finish(&self) -> u64 {
                0
            }
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
        }
        std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut Feed(&mut hasher));
        Ok(Self { folder, engine: *hasher.finalize().as_bytes() })
    }

    fn key(&self) -> io::Result<Zeroizing<[u8; 32]>> {
        let bytes = Zeroizing::new(fs::read(self.folder.join(KEY_FILE))?);
        let key = bytes.as_slice().try_into().map_err(|_| io::Error::other("the key's file is damaged"))?;
        Ok(Zeroizing::new(key))
    }

    fn name(&self, module: &Hash) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.engine).update(module);
        hasher.finalize().to_hex().to_string()
    }

    fn seal(&self, name: &str, content: &[u8]) -> io::Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new_keyed(&*self.key()?);
        hasher.update(name.as_bytes()).update(&[0]).update(content);
        Ok(hasher.finalize())
    }

    /// The native code of a module, if there is any that this node has sealed.
    pub(super) fn find(&self, module: &Hash) -> Option<PathBuf> {
        let name = self.name(module);
        let path = self.folder.join(&name);
        let fits = || -> io::Result<bool> {
            if fs::symlink_metadata(&path)?.len() > MAX_FILE {
                return Ok(false);
            }
            let (content, seal) = (fs::read(&path)?, fs::read(self.seal_path(&name))?);
            // `blake3::Hash` compares in constant time.
            let seal: [u8; 32] = seal.try_into().map_err(|_| io::Error::other("a seal of a wrong length"))?;
            Ok(self.seal(&name, &content)? == blake3::Hash::from(seal))
        };
        match fits() {
            Ok(true) => {
                // Used now, so removed last.
                let _ = fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                Some(path)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            _ => {
                tracing::warn!(%name, "kept native code does not fit its seal and is removed");
                self.remove(&name);
                None
            }
        }
    }

    /// Copies native code from a worker's file and seals it.
    pub(super) fn keep(&self, module: &Hash, file: &Path) -> io::Result<()> {
        let mut content = Vec::new();
        // Bounded while it is read, since the worker may go on writing.
        super::open_plain(file)?.take(MAX_FILE + 1).read_to_end(&mut content)?;
        if content.is_empty() || content.len() as u64 > MAX_FILE {
            return Ok(());
        }
        let name = self.name(module);
        let temporary = self.folder.join(format!("{name}.{}", std::process::id()));
        write_private(&temporary, &content)?;
        // The seal comes last: without it the file does not count.
        let _ = fs::remove_file(self.seal_path(&name));
        fs::rename(&temporary, self.folder.join(&name))?;
        write_private(&temporary, self.seal(&name, &content)?.as_bytes())?;
        fs::rename(&temporary, self.seal_path(&name))?;
        self.clean()
    }

    fn seal_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.seal"))
    }

    fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.seal_path(name));
        let _ = fs::remove_file(self.folder.join(name));
    }

    /// Removes what was not used for longest, until the rest fits.
    fn clean(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.len() == 64 {
                files.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), name));
            }
        }
        files.sort_unstable();
        let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
        for (_, len, name) in files {
            if total <= MAX_BYTES {
                break;
            }
            self.remove(&name);
            total -= len;
        }
        Ok(())
    }
}

fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_node_wrote_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().join("a")).unwrap();
        let code = folder.path().join("code");
        fs::write(&code, b"native code").unwrap();
        assert_eq!(cache.find(&[1; 32]), None);
        cache.keep(&[1; 32], &code).unwrap();
        let kept = cache.find(&[1; 32]).unwrap();
        assert_eq!(fs::read(&kept).unwrap(), b"native code");
        // Another process of this node finds it, another node's file is not believed.
        assert!(Cache::open(folder.path().join("a")).unwrap().find(&[1; 32]).is_some());
        let other = Cache::open(folder.path().join("b")).unwrap();
        let name = kept.file_name().unwrap().to_str().unwrap();
        fs::copy(&kept, folder.path().join("b").join(name)).unwrap();
        fs::copy(cache.seal_path(name), other.seal_path(name)).unwrap();
        assert_eq!(other.find(&[1; 32]), None);
        // Neither is a sealed file under another module's name.
        let renamed = cache.name(&[2; 32]);
        fs::copy(&kept, cache.folder.join(&renamed)).unwrap();
        fs::copy(cache.seal_path(name), cache.seal_path(&renamed)).unwrap();
        assert_eq!(cache.find(&[2; 32]), None);
        // Damage is found, and the file removed.
        fs::write(&kept, b"native c0de").unwrap();
        assert_eq!(cache.find(&[1; 32]), None);
        assert!(!kept.exists());
    }
}
