//! The folders of one run on this device's disk, which the container sees as `/in` and `/out`.
//!
//! ```text
//! scratch/in/       copies of (or links to) the inputs, mounted read-only
//! scratch/out/      mounted for writing, owned by the job's user
//! scratch/stdout    standard output, written by this process
//! ```
//!
//! While the program runs, `/out` is a stranger's folder: names are never followed through links, and the depth of
//! folders and the number of files are bounded.

mod measure;
mod remove;

pub(super) use measure::{Usage, measure};
pub(super) use remove::remove_tree;

use crate::run::{InputFile, RunError};
use std::fs;
use std::path::{Path, PathBuf};

/// Deepest folder in `/out`.
pub(super) const MAX_DEPTH: usize = 32;
/// Most files and folders in `/out`.
pub(super) const MAX_FILES: u64 = 10_000;

/// Who the program is, inside the container and on this device's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JobUser {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// `nobody` and `nogroup` on most systems: owns nothing.
pub(super) const NOBODY: JobUser = JobUser { uid: 65534, gid: 65534 };

/// The folders of one run.
#[derive(Debug)]
pub(super) struct Folders {
    pub(super) input: PathBuf,
    pub(super) output: PathBuf,
    pub(super) stdout: PathBuf,
    scratch: PathBuf,
}

impl Folders {
    /// Makes them anew and puts the inputs in place.
    pub(super) fn prepare(scratch: &Path, inputs: &[InputFile], user: JobUser) -> Result<Self, RunError> {
        let device = |what: &str| {
            let what = what.to_owned();
            move |e: std::io::Error| RunError::Device(format!("{what}: {e}"))
        };
        fs::create_dir_all(scratch).map_err(device("the run's folder cannot be made"))?;
        let scratch = fs::canonicalize(scratch).map_err(device("the run's folder cannot be found"))?;
        if scratch.to_str().is_none_or(|path| cfg!(unix) && path.contains([':', ','])) {
            return Err(RunError::Device(format!(
                "{}: a path with a colon, a comma or unreadable letters cannot be mounted into a container",
                scratch.display()
            )));
        }
        let folders = Self {
            input: scratch.join("in"),
            output: scratch.join("out"),
            stdout: scratch.join("stdout"),
            scratch,
        };
        folders.clear();
        for folder in [&folders.input, &folders.output] {
            fs::create_dir(folder).map_err(device("the job's folders cannot be made"))?;
        }
        private(&folders.scratch).map_err(device("the run's folder cannot be closed to others"))?;
        for input in inputs {
            folders
                .place(input, user)
                .map_err(device(&format!("the input {} cannot be placed", input.name)))?;
        }
        fs::File::create(&folders.stdout).map_err(device("the output file cannot be made"))?;
        give(&folders.output, user).map_err(device("the output folder cannot be given to the job's user"))?;
        Ok(folders)
    }

    fn place(&self, input: &InputFile, user: JobUser) -> std::io::Result<()> {
        let ok = !input.name.is_empty()
            && input
                .name
                .split('/')
                .all(|part| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']));
        if !ok {
            return Err(std::io::Error::other("it is no path below /in"));
        }
        let at = self.input.join(&input.name);
        if let Some(parent) = at.parent() {
            fs::create_dir_all(parent)?;
            // The umask may keep the job's user out.
            let mut folder = parent;
            while folder.starts_with(&self.input) {
                readable(folder, 0o755)?;
                let Some(above) = folder.parent() else { break };
                folder = above;
            }
        }
        // A link costs nothing, but has the original's permissions.
        if can_read(&input.file, user) && fs::hard_link(&input.file, &at).is_ok() {
            return Ok(());
        }
        fs::copy(&input.file, &at)?;
        readable(&at, 0o444)
    }

    /// Removes what the container saw. Standard output stays.
    pub(super) fn clear(&self) {
        for folder in [&self.input, &self.output] {
            if let Err(error) = remove_tree(folder, &self.scratch) {
                tracing::warn!(folder = %folder.display(), %error, "a job's folder cannot be removed");
            }
        }
    }

    /// A file of this run.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }
}

#[cfg(unix)]
fn can_read(file: &Path, user: JobUser) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(file).is_ok_and(|m| {
        m.is_file() && (m.mode() & 0o004 != 0 || (m.uid() == user.uid && m.mode() & 0o400 != 0))
    })
}

#[cfg(unix)]
fn private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

#[cfg(unix)]
fn readable(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Gives a path to the job's user. Where owners cannot be changed, everybody may write: the folder above is closed.
#[cfg(unix)]
pub(super) fn give(path: &Path, user: JobUser) -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let meta = fs::symlink_metadata(path)?;
    if meta.uid() != user.uid && std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid)).is_err() {
        let open = if meta.is_dir() { 0o777 } else { 0o666 };
        return fs::set_permissions(path, fs::Permissions::from_mode(open));
    }
    Ok(())
}

#[cfg(not(unix))]
fn can_read(_: &Path, _: JobUser) -> bool {
    false
}

#[cfg(not(unix))]
fn private(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn readable(_: &Path, _: u32) -> std::io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn give(_: &Path, _: JobUser) -> std::io::Result<()> {
    Ok(())
}
