//! Removes a stranger's folder, however deep it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Removes `folder` and all that is in it. Folders within folders are first moved up into `beside`, one level at a time,
/// so that neither long paths nor deep recursion matter. Links are removed, not followed.
///
/// # Errors
/// The first thing that cannot be removed.
pub(crate) fn remove_tree(folder: &Path, beside: &Path) -> io::Result<()> {
    if fs::symlink_metadata(folder).is_err() {
        return Ok(());
    }
    let mut moved: u64 = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path)?;
        if !meta.is_dir() {
            fs::remove_file(&path)?;
            continue;
        }
        let entries = match fs::read_dir(&path) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                unlock(&path)?;
                fs::read_dir(&path)?
            }
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                let removed = fs::remove_file(entry.path());
                if removed.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied) {
                    unlock(&path)?;
                    fs::remove_file(entry.path())?;
                } else {
                    removed?;
                }
                continue;
            }
            let to = free_name(beside, &mut moved);
            let renamed = fs::rename(entry.path(), &to);
            if renamed.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied) {
                unlock(&path)?;
                unlock(&entry.path())?;
                fs::rename(entry.path(), &to)?;
            } else {
                renamed?;
            }
            open.push(to);
        }
        fs::remove_dir(&path)?;
    }
    Ok(())
}

fn free_name(beside: &Path, moved: &mut u64) -> PathBuf {
    loop {
        *moved += 1;
        let name = beside.join(format!(".removed-{moved}"));
        if fs::symlink_metadata(&name).is_err() {
            return name;
        }
    }
}

#[cfg(unix)]
fn unlock(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn unlock(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

    #[test]
    fn however_deep() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("out");
        fs::create_dir(&folder).unwrap();
        let outside = dir.path().join("outside");
        fs::write(&outside, b"stays").unwrap();
        std::os::unix::fs::symlink(&outside, folder.join("link")).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut at = openat(CWD, &folder, flags, Mode::empty()).unwrap();
        for _ in 0..5000 {
            mkdirat(&at, "a-folder-with-a-rather-long-name", Mode::RWXU).unwrap();
            at = openat(&at, "a-folder-with-a-rather-long-name", flags, Mode::empty()).unwrap();
        }
        remove_tree(&folder, dir.path()).unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["outside"]);
        remove_tree(&folder, dir.path()).unwrap();
    }
}
