//! Counts what is in `/out` while a stranger writes there.

use super::{MAX_DEPTH, MAX_FILES};
use std::io;
use std::path::Path;

/// What a folder holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Bytes: of each file its length or the room that it takes, whichever is more.
    pub(crate) bytes: u64,
    /// Files, folders and links.
    pub(crate) files: u64,
    /// Deeper than [`MAX_DEPTH`], or a name too long to be looked at.
    pub(crate) too_deep: bool,
    /// There is a folder that this process may not look into.
    pub(crate) hidden: bool,
}

impl Usage {
    /// What cannot be counted: too many files, too deep a nest, or closed folders.
    pub(crate) fn is_wild(&self) -> bool {
        self.too_deep || self.hidden || self.files > MAX_FILES
    }
}

/// Bytes that a directory entry is counted for, so that empty files and folders are not free.
const ENTRY_BYTES: u64 = 64;

/// Counts, without following links. What vanishes meanwhile is not counted.
#[cfg(unix)]
pub(crate) fn measure(folder: &Path) -> io::Result<Usage> {
    use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut usage = Usage::default();
    let root = openat(CWD, folder, flags, Mode::empty())?;
    // One open folder for each level: a path by name could be swapped for a link while it is walked.
    let mut open = vec![Dir::new(root)?];
    loop {
        let depth = open.len();
        let Some(dir) = open.last_mut() else { break };
        let Some(entry) = dir.read() else {
            open.pop();
            continue;
        };
        let Ok(entry) = entry else {
            open.pop();
            continue;
        };
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        let fd = dir.fd()?;
        let Ok(stat) = statat(fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let taken = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
        let length = u64::try_from(stat.st_size).unwrap_or(0);
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        // A folder's own size is the file system's affair.
        let bytes = if is_dir { 0 } else { length.max(taken) };
        usage.bytes = usage.bytes.saturating_add(bytes).saturating_add(ENTRY_BYTES);
        usage.files += 1;
        if usage.is_wild() {
            break;
        }
        if is_dir {
            if depth >= MAX_DEPTH {
                usage.too_deep = true;
                break;
            }
            match openat(fd, entry.file_name(), flags, Mode::empty()) {
                Ok(inner) => open.push(Dir::new(inner)?),
                Err(rustix::io::Errno::ACCESS) => usage.hidden = true,
                // Gone, or no folder any more.
                Err(_) => {}
            }
        }
    }
    Ok(usage)
}

/// Counts, without following links.
#[cfg(not(unix))]
pub(crate) fn measure(folder: &Path) -> io::Result<Usage> {
    let mut usage = Usage::default();
    let mut open = vec![(folder.to_owned(), 0)];
    while let Some((path, depth)) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&path) else { continue };
        for entry in entries.flatten() {
            let Ok(meta) = entry.path().symlink_metadata() else { continue };
            usage.files += 1;
            usage.bytes = usage.bytes.saturating_add(meta.len()).saturating_add(ENTRY_BYTES);
            usage.too_deep |= depth >= MAX_DEPTH;
            if usage.is_wild() {
                return Ok(usage);
            }
            if meta.is_dir() {
                open.push((entry.path(), depth + 1));
            }
        }
    }
    Ok(usage)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn everything_counts_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(measure(dir.path()).unwrap(), Usage::default());
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/file"), vec![1; 10_000]).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("root")).unwrap();
        // A file of a terabyte that takes no room.
        fs::File::create(dir.path().join("sparse")).unwrap().set_len(1 << 40).unwrap();
        let usage = measure(dir.path()).unwrap();
        assert_eq!(usage.files, 4);
        assert!(usage.bytes > (1 << 40) + 10_000 && usage.bytes < (1 << 40) + 100_000, "{usage:?}");
        assert!(!usage.is_wild());
    }

    #[test]
    fn nests_and_crowds_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mut path = dir.path().to_owned();
        for _ in 0..MAX_DEPTH + 1 {
            path.push("d");
        }
        fs::create_dir_all(&path).unwrap();
        assert!(measure(dir.path()).unwrap().too_deep);
        let dir = tempfile::tempdir().unwrap();
        for n in 0..=MAX_FILES {
            fs::write(dir.path().join(n.to_string()), b"").unwrap();
        }
        assert!(measure(dir.path()).unwrap().is_wild());
    }
}
