//! Writing what came from others into a person's downloads: never outside the folder, never over another file,
//! never under a name that a system gives a meaning to.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Longest name, bytes, leaving room for a number within the 255 of most file systems.
const LONGEST: usize = 200;
/// Names that Windows gives to devices, with any extension.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
/// How many files of one name there may be.
const MOST: u32 = 1000;

/// Copies a file into a folder under a safe form of this name; returns where.
///
/// # Errors
/// The system's: the folder cannot be written to, the disk is full.
pub(crate) fn copy(content: &Path, folder: &Path, name: &str) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let name = safe_name(name);
    for number in 1..=MOST {
        let path = folder.join(numbered(&name, number));
        let mut file = match File::create_new(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
            Err(e) => return Err(e),
        };
        let copied = File::open(content).and_then(|mut from| io::copy(&mut from, &mut file));
        return match copied.and_then(|_| file.sync_all()) {
            Ok(()) => Ok(path),
            Err(e) => {
                drop(file);
                // Half a file would be taken for a whole one.
                let _ = std::fs::remove_file(&path);
                Err(e)
            }
        };
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, format!("there are {MOST} files named {name} already")))
}

/// A file name that means nothing to any system but itself.
fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept = |c: char| !c.is_control() && !"<>:\"|?*".contains(c);
    let mut safe: String = last.chars().map(|c| if kept(c) { c } else { '_' }).collect();
    let mut end = safe.len().min(LONGEST);
    while !safe.is_char_boundary(end) {
        end -= 1;
    }
    safe.truncate(end);
    // Dots: hidden files and `..` in front; Windows drops them, and spaces, at the end.
    let safe = safe.trim_start_matches(['.', ' ']).trim_end_matches(['.', ' ']);
    if safe.is_empty() {
        return "output".into();
    }
    let stem = safe.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let port = |p: &str| stem.strip_prefix(p).is_some_and(|n| n.chars().count() == 1);
    if DEVICES.contains(&stem.as_str()) || port("com") || port("lpt") {
        return format!("_{safe}");
    }
    safe.into()
}

/// `name.txt`, `name (2).txt`, `name (3).txt` ...
fn numbered(name: &str, number: u32) -> String {
    match name.rsplit_once('.') {
        _ if number == 1 => name.into(),
        Some((stem, extension)) => format!("{stem} ({number}).{extension}"),
        None => format!("{name} ({number})"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_folder() {
        for (name, safe) in [
            ("counts.txt", "counts.txt"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Windows\\system.ini", "system.ini"),
            ("..", "output"),
            ("", "output"),
            (".bashrc", "bashrc"),
            ("a\nb:c?.txt", "a_b_c_.txt"),
            ("NUL.txt", "_NUL.txt"),
            ("com1", "_com1"),
            ("comet.txt", "comet.txt"),
            ("report. ", "report"),
            ("Größe.csv", "Größe.csv"),
        ] {
            assert_eq!(safe_name(name), safe, "{name:?}");
        }
        let long = safe_name(&"ß".repeat(500));
        assert!(long.len() <= LONGEST && long.chars().all(|c| c == 'ß'));
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let content = dir.path().join("content");
        std::fs::write(&content, "new").unwrap();
        let folder = dir.path().join("downloads");
        let first = copy(&content, &folder, "a/out.txt").unwrap();
        assert_eq!(first, folder.join("out.txt"));
        std::fs::write(&first, "mine").unwrap();
        assert_eq!(copy(&content, &folder, "out.txt").unwrap(), folder.join("out (2).txt"));
        assert_eq!(std::fs::read_to_string(first).unwrap(), "mine");
        assert_eq!(std::fs::read_to_string(folder.join("out (2).txt")).unwrap(), "new");
    }

    #[test]
    fn a_failed_copy_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        copy(&dir.path().join("missing"), dir.path(), "out.txt").unwrap_err();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
