//! Unpacks a stranger's archive into a folder, so that nothing lands outside it.
//!
//! Only plain files and folders are taken, with plain names, and each folder on the way is made here or seen to be a
//! folder and no link. Files that are there already are kept unless the caller wants otherwise. A refused entry ends the
//! whole: an archive that tries such a thing is not to be trusted in the rest either.

use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// Entries of an archive at most.
const MOST_ENTRIES: usize = 100_000;
/// Parts of a name, and bytes of a part, at most.
const DEPTH: usize = 64;
const LONGEST: usize = 255;

/// A file that was written.
#[derive(Debug, Serialize)]
pub(super) struct Written {
    /// Where.
    pub(super) path: PathBuf,
    /// How large it is.
    pub(super) bytes: u64,
}

/// Unpacks a tar archive.
pub(super) fn unpack(archive: impl Read, folder: &Path, force: bool) -> Result<Vec<Written>> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let mut archive = tar::Archive::new(archive);
    let mut written = Vec::new();
    for (number, entry) in archive.entries().context("the archive cannot be read")?.enumerate() {
        if number >= MOST_ENTRIES {
            bail!("the archive has more than {MOST_ENTRIES} entries");
        }
        let mut entry = entry.context("the archive is damaged")?;
        let name = plain(&entry.path_bytes())?;
        match entry.header().entry_type() {
            tar::EntryType::Directory => make_folders(folder, &name)?,
            tar::EntryType::Regular => {
                if let Some(parent) = name.parent() {
                    make_folders(folder, parent)?;
                }
                let path = folder.join(&name);
                let bytes = write(&mut entry, &path, force)?;
                written.push(Written { path, bytes });
            }
            _ => bail!("the archive has a link or a device, which is not unpacked: {}", name.display()),
        }
    }
    Ok(written)
}

/// A name as a relative path that cannot lead anywhere else.
fn plain(bytes: &[u8]) -> Result<PathBuf> {
    let shown = || String::from_utf8_lossy(bytes).escape_debug().to_string();
    let text = std::str::from_utf8(bytes).ok();
    let text = text.with_context(|| format!("a file's name is no text: {}", shown()))?;
    let refused = text.is_empty()
        || text.starts_with('/')
        || text.chars().any(|c| c.is_control() || matches!(c, '\\' | ':'))
        || text.trim_end_matches('/').split('/').any(|part| part.is_empty() || part.len() > LONGEST);
    let path: PathBuf = text.into();
    let parts: Vec<Component> = path.components().collect();
    if refused || parts.len() > DEPTH || !parts.iter().all(|c| matches!(c, Component::Normal(_))) {
        bail!("the archive has a file with a name that is not unpacked: {}", shown());
    }
    Ok(path)
}

/// Makes each folder of a path below `folder`. One that is there must be a folder, and no link to one.
fn make_folders(folder: &Path, name: &Path) -> Result<()> {
    let mut path = folder.to_path_buf();
    for part in name.components() {
        path.push(part);
        match std::fs::symlink_metadata(&path) {
            Ok(kind) if kind.is_dir() => {}
            Ok(_) => bail!("{} is in the way: it is no folder", path.display()),
            Err(_) => {
                std::fs::create_dir(&path).with_context(|| format!("{} cannot be made", path.display()))?;
            }
        }
    }
    Ok(())
}

fn write(from: &mut impl Read, path: &Path, force: bool) -> Result<u64> {
    if force && std::fs::symlink_metadata(path).is_ok_and(|kind| !kind.is_dir()) {
        // Removed rather than overwritten: a link here must not lead the content elsewhere.
        std::fs::remove_file(path).with_context(|| format!("{} cannot be replaced", path.display()))?;
    }
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.with_context(|| match path.symlink_metadata() {
        Ok(_) => format!("{} is there already; --force replaces it", path.display()),
        Err(_) => format!("{} cannot be written", path.display()),
    })?;
    std::io::copy(from, &mut file).with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// An archive whose names are written as they are, which the crate's own builder would refuse.
    fn archive(entries: &[(&[u8], tar::EntryType, &[u8])]) -> Vec<u8> {
        let mut all = Vec::new();
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name);
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o777);
            if kind.is_symlink() {
                header.set_link_name("/etc").unwrap();
            }
            header.set_cksum();
            all.extend_from_slice(header.as_bytes());
            all.extend_from_slice(content);
            all.resize(all.len().next_multiple_of(512), 0);
        }
        all.extend([0; 1024]);
        all
    }

    const FILE: tar::EntryType = tar::EntryType::Regular;

    #[test]
    fn files_and_folders_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let made = archive(&[
            (b"a", FILE, b"one"),
            (b"d/", tar::EntryType::Directory, b""),
            (b"e/f/g.txt", FILE, b"two"),
        ]);
        let written = unpack(&made[..], folder.path(), false).unwrap();
        assert_eq!(written.iter().map(|w| w.bytes).collect::<Vec<_>>(), [3, 3]);
        assert_eq!(std::fs::read(folder.path().join("e/f/g.txt")).unwrap(), b"two");
        assert!(folder.path().join("d").is_dir());
        // A second time nothing is replaced unless it is wanted.
        assert!(unpack(&made[..], folder.path(), false).unwrap_err().to_string().contains("--force"));
        assert_eq!(unpack(&made[..], folder.path(), true).unwrap().len(), 2);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("in");
        for name in [
            &b"../out"[..],
            b"/tmp/out",
            b"a/../../out",
            b"./a",
            b"a//b",
            b"C:\\out",
            b"..\\out",
            b"a\x1b[2J",
            b"a\nb",
            b"\xff\xfe",
            b"..",
            b".",
            b"",
        ] {
            let error = unpack(&archive(&[(name, FILE, b"x")])[..], &folder, true);
            assert!(error.is_err(), "{name:?}");
        }
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1, "something was written outside");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn links_devices_and_sparse_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for kind in [
            tar::EntryType::Symlink,
            tar::EntryType::Link,
            tar::EntryType::Char,
            tar::EntryType::Block,
            tar::EntryType::Fifo,
            tar::EntryType::GNUSparse,
        ] {
            assert!(unpack(&archive(&[(b"a", kind, b"")])[..], folder.path(), true).is_err(), "{kind:?}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn links_that_are_there_already_are_not_followed() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("d")).unwrap();
        std::fs::write(elsewhere.path().join("kept"), "kept").unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("kept"), folder.path().join("f")).unwrap();
        assert!(unpack(&archive(&[(b"d/x", FILE, b"x")])[..], folder.path(), true).is_err());
        unpack(&archive(&[(b"f", FILE, b"new")])[..], folder.path(), true).unwrap();
        assert_eq!(std::fs::read(elsewhere.path().join("kept")).unwrap(), b"kept");
        assert_eq!(std::fs::read(folder.path().join("f")).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    }

    #[test]
    fn damaged_archives_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let whole = archive(&[(b"a", FILE, &[7; 1500])]);
        for cut in [100, 600, 1000, 1700] {
            assert!(unpack(&whole[..cut], folder.path(), true).is_err(), "{cut}");
        }
        assert!(unpack(&[b'x'; 2048][..], folder.path(), true).is_err());
    }
}
