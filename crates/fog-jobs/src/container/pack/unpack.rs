//! Puts a checkpoint's content back in place.

use super::{State, VERSION};
use crate::container::folders::{JobUser, MAX_DEPTH, MAX_FILES, give};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Most bytes of `fog.json`.
const MAX_STATE: u64 = 64 * 1024;
/// Most bytes of a name in the archive.
const MAX_NAME: u64 = 4096;

/// Reads a checkpoint of `image` into the empty folder `out` and the file `stdout`. At most `max` bytes in all.
///
/// # Errors
/// What is wrong with it, as a sentence's end.
pub(in crate::container) fn unpack(
    file: &Path,
    image: &str,
    stdout: &Path,
    out: &Path,
    user: JobUser,
    max: u64,
) -> Result<State, String> {
    let reason = |e: io::Error| format!("it is damaged: {e}");
    let mut archive = tar::Archive::new(File::open(file).map_err(|e| e.to_string())?);
    let mut target = Target { out, user, left: max, files: 0, folders: Vec::new() };
    let mut state: Option<State> = None;
    let (mut name, mut link) = (None, None);
    // Raw: the sizes of names are checked before they are read.
    for entry in archive.entries().map_err(reason)?.raw(true) {
        let mut entry = entry.map_err(reason)?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() || kind.is_gnu_longlink() {
            let text = long_text(&mut entry)?;
            if kind.is_gnu_longname() {
                name = Some(text);
            } else {
                link = Some(text);
            }
            continue;
        }
        let path = name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let link = link.take().or_else(|| entry.link_name_bytes().map(|l| l.into_owned()));
        match (path.as_slice(), &state) {
            (b"fog.json", None) => state = Some(read_state(&mut entry, image)?),
            (_, None) => return Err("it does not begin with what it is of".into()),
            (b"stdout", Some(_)) => {
                target.take(entry.size())?;
                let mut file = File::create(stdout).map_err(|e| e.to_string())?;
                io::copy(&mut entry, &mut file).map_err(reason)?;
            }
            (path, Some(_)) => target.place(path, link.as_deref(), &mut entry)?,
        }
    }
    // Folders are given away last, from the innermost outwards.
    for folder in target.folders.iter().rev() {
        give(folder, user).map_err(|e| e.to_string())?;
    }
    state.ok_or_else(|| "it is empty".into())
}

fn read_state(entry: &mut impl Read, image: &str) -> Result<State, String> {
    let mut json = Vec::new();
    entry.take(MAX_STATE).read_to_end(&mut json).map_err(|e| e.to_string())?;
    let state: State =
        serde_json::from_slice(&json).map_err(|e| format!("its first part is damaged: {e}"))?;
    if state.version != VERSION {
        return Err(format!("it is of version {}, this device knows {VERSION}", state.version));
    }
    if state.image != image {
        return Err("it was taken of another image".into());
    }
    Ok(state)
}

fn long_text(entry: &mut tar::Entry<'_, File>) -> Result<Vec<u8>, String> {
    if entry.size() > MAX_NAME {
        return Err(format!("it has a name of more than {MAX_NAME} bytes"));
    }
    let mut text = Vec::new();
    entry.read_to_end(&mut text).map_err(|e| e.to_string())?;
    if text.last() == Some(&0) {
        text.pop();
    }
    Ok(text)
}

struct Target<'a> {
    out: &'a Path,
    user: JobUser,
    left: u64,
    files: u64,
    folders: Vec<PathBuf>,
}

impl Target<'_> {
    fn take(&mut self, bytes: u64) -> Result<(), String> {
        self.left = self.left.checked_sub(bytes).ok_or("it holds more bytes than the job may write")?;
        Ok(())
    }

    fn place(
        &mut self,
        name: &[u8],
        link: Option<&[u8]>,
        entry: &mut tar::Entry<'_, File>,
    ) -> Result<(), String> {
        let shown = String::from_utf8_lossy(name).into_owned();
        let reason = |e: io::Error| format!("{shown} cannot be put back: {e}");
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(format!("it holds more than {MAX_FILES} files"));
        }
        let at = self.path(name).ok_or_else(|| format!("it holds {shown:?}, which is not below /out"))?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            fs::create_dir(&at).map_err(reason)?;
            self.folders.push(at);
        } else if kind.is_file() {
            self.take(entry.size())?;
            let mut file = File::create_new(&at).map_err(reason)?;
            io::copy(entry, &mut file).map_err(reason)?;
            set_mode(&file, entry.header().mode().unwrap_or(0o644)).map_err(reason)?;
            give(&at, self.user).map_err(reason)?;
        } else if let (true, Some(link)) = (kind.is_symlink(), link) {
            symlink(link, &at).map_err(reason)?;
            give_link(&at, self.user).map_err(reason)?;
        } else {
            return Err(format!("{shown} is neither a file nor a folder nor a link"));
        }
        Ok(())
    }

    /// Where an entry goes, if its name is `out/` and something, and every folder on the way is a folder.
    fn path(&self, name: &[u8]) -> Option<PathBuf> {
        let name = name.strip_prefix(b"out/")?;
        let name = name.strip_suffix(b"/").unwrap_or(name);
        let parts: Vec<&[u8]> = name.split(|b| *b == b'/').collect();
        if parts.len() > MAX_DEPTH {
            return None;
        }
        let mut at = self.out.to_owned();
        for (index, part) in parts.iter().enumerate() {
            if part.is_empty() || matches!(*part, b"." | b"..") || part.contains(&0) {
                return None;
            }
            at.push(file_name(part)?);
            let is_folder = || fs::symlink_metadata(&at).is_ok_and(|m| m.is_dir());
            if index + 1 < parts.len() && !is_folder() {
                return None;
            }
        }
        Some(at)
    }
}

#[cfg(unix)]
fn file_name(part: &[u8]) -> Option<std::ffi::OsString> {
    use std::os::unix::ffi::OsStrExt;
    Some(std::ffi::OsStr::from_bytes(part).to_owned())
}

#[cfg(unix)]
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(if mode & 0o100 != 0 { 0o755 } else { 0o644 }))
}

#[cfg(unix)]
fn symlink(to: &[u8], at: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(to), at)
}

/// A link belongs to whom it belongs: what it points to is not touched.
#[cfg(unix)]
fn give_link(at: &Path, user: JobUser) -> io::Result<()> {
    // Without the right to do so the link stays this process's own, which the program does not notice.
    let _ = std::os::unix::fs::lchown(at, Some(user.uid), Some(user.gid));
    Ok(())
}

#[cfg(not(unix))]
fn file_name(part: &[u8]) -> Option<std::ffi::OsString> {
    let text = std::str::from_utf8(part).ok()?;
    (!text.contains(['\\', ':'])).then(|| text.into())
}

#[cfg(not(unix))]
fn set_mode(_: &File, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn symlink(_: &[u8], _: &Path) -> io::Result<()> {
    Err(io::Error::other("links cannot be put back on this system"))
}

#[cfg(not(unix))]
fn give_link(_: &Path, _: JobUser) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::{pack, pack_checkpoint};
    use super::*;
    use crate::container::folders::NOBODY;
    use proptest::prelude::*;

    fn me() -> JobUser {
        JobUser { uid: rustix::process::getuid().as_raw(), gid: rustix::process::getgid().as_raw() }
    }

    fn state() -> State {
        State { version: VERSION, image: "sha256:x".into(), number: 3, cpu_ms: 4, wall_ms: 5, memory_peak: 6 }
    }

    struct Lab {
        dir: tempfile::TempDir,
    }

    impl Lab {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for folder in ["out", "back"] {
                fs::create_dir(dir.path().join(folder)).unwrap();
            }
            fs::write(dir.path().join("stdout"), b"said").unwrap();
            Self { dir }
        }

        fn at(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn back(&self, max: u64) -> Result<State, String> {
            unpack(&self.at("c"), "sha256:x", &self.at("stdout2"), &self.at("back"), me(), max)
        }
    }

    #[test]
    fn a_checkpoint_comes_back_as_it_was() {
        let lab = Lab::new();
        let deep = lab.at("out/a/").join("n".repeat(120));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), vec![7; 100_000]).unwrap();
        fs::write(lab.at("out/tool"), b"#!").unwrap();
        set_mode(&File::open(lab.at("out/tool")).unwrap(), 0o755).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", lab.at("out/link")).unwrap();
        let size = pack_checkpoint(&state(), &lab.at("stdout"), &lab.at("out"), &lab.at("c")).unwrap();
        assert_eq!(size, fs::metadata(lab.at("c")).unwrap().len());
        assert_eq!(lab.back(200_000).unwrap(), state());
        assert_eq!(fs::read(lab.at("stdout2")).unwrap(), b"said");
        pack_checkpoint(&state(), &lab.at("stdout2"), &lab.at("back"), &lab.at("c2")).unwrap();
        assert_eq!(fs::read(lab.at("c")).unwrap(), fs::read(lab.at("c2")).unwrap());
        assert_eq!(fs::read_link(lab.at("back/link")).unwrap(), Path::new("/etc/passwd"));

        let other = unpack(&lab.at("c"), "sha256:y", &lab.at("s"), &lab.at("back"), NOBODY, 1 << 20);
        assert!(other.unwrap_err().contains("another image"));
    }

    #[test]
    fn equal_folders_are_equal_bytes_and_links_stay_behind() {
        let lab = Lab::new();
        assert!(!pack(&lab.at("out"), &lab.at("t")).unwrap());
        assert!(!lab.at("t").exists());
        for (folder, names) in [("out", ["b", "a"]), ("back", ["a", "b"])] {
            for name in names {
                fs::write(lab.at(folder).join(name), name).unwrap();
            }
        }
        std::os::unix::fs::symlink("a", lab.at("back/link")).unwrap();
        assert!(pack(&lab.at("out"), &lab.at("t")).unwrap() && pack(&lab.at("back"), &lab.at("u")).unwrap());
        assert_eq!(fs::read(lab.at("t")).unwrap(), fs::read(lab.at("u")).unwrap());
    }

    /// An archive with these entries after the state.
    fn forge(lab: &Lab, entries: &[(&str, tar::EntryType, &str, u64)]) {
        let mut out = tar::Builder::new(File::create(lab.at("c")).unwrap());
        let json = serde_json::to_vec(&state()).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(json.len() as u64);
        out.append_data(&mut header, "fog.json", json.as_slice()).unwrap();
        for (name, kind, link, size) in entries {
            let mut header = tar::Header::new_gnu();
            // By hand: the library's own setters refuse what a stranger would write.
            let gnu = header.as_gnu_mut().unwrap();
            gnu.name[..name.len()].copy_from_slice(name.as_bytes());
            gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(*size);
            header.set_cksum();
            out.append(&header, io::repeat(1).take((*size).min(1000))).unwrap();
        }
        out.finish().unwrap();
    }

    #[test]
    fn nothing_gets_out_of_the_folder() {
        use tar::EntryType as T;
        let outside = |lab: &Lab| fs::read_dir(lab.dir.path()).unwrap().count();
        let cases: &[&[(&str, T, &str, u64)]] = &[
            &[("out/../evil", T::Regular, "", 4)],
            &[("/evil", T::Regular, "", 4)],
            &[("evil", T::Regular, "", 4)],
            &[("out/", T::Regular, "", 4)],
            &[("out/l", T::Symlink, "..", 0), ("out/l/evil", T::Regular, "", 4)],
            &[("out/l", T::Symlink, "../evil", 0), ("out/l", T::Regular, "", 4)],
            &[("out/h", T::Link, "../stdout", 0)],
            &[("out/dev", T::Block, "", 0)],
            &[("out/pipe", T::Fifo, "", 0)],
            &[("out/big", T::Regular, "", 1 << 40)],
            &[("x", T::GNULongName, "", 1 << 40)],
        ];
        for case in cases {
            let lab = Lab::new();
            forge(&lab, case);
            let before = outside(&lab);
            assert!(lab.back(1 << 20).is_err(), "{case:?}");
            assert_eq!(outside(&lab), before, "{case:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            let lab = Lab::new();
            fs::write(lab.at("c"), bytes).unwrap();
            prop_assert!(lab.back(1 << 20).is_err());
        }

        #[test]
        fn one_flipped_byte_never_panics(at in 0usize..4096, with in 1u8..) {
            let lab = Lab::new();
            fs::write(lab.at("out/file"), b"some bytes").unwrap();
            pack_checkpoint(&state(), &lab.at("stdout"), &lab.at("out"), &lab.at("c")).unwrap();
            let mut bytes = fs::read(lab.at("c")).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= with;
            fs::write(lab.at("c"), bytes).unwrap();
            let _ = lab.back(1 << 20);
        }
    }
}
