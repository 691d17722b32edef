//! `/out` as a file: the outcome's archive, and checkpoints.
//!
//! Both are tar archives without times or owners, sorted by name, so that equal folders are equal bytes. A checkpoint is
//! complete in itself:
//!
//! ```text
//! fog.json      what it is of, and the totals over all segments so far ([`State`])
//! stdout        standard output so far
//! out/...       the folder, links included
//! ```
//!
//! Checkpoints come back from others, so [`unpack`] treats them as a stranger's bytes: nothing is written but files,
//! folders and links below `/out`, no name goes through a link, and sizes are bounded before they are read.

mod unpack;

pub(super) use unpack::unpack;

use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What a checkpoint is of, and what was used until it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Of this form. Another number is refused.
    pub(super) version: u32,
    /// The image's id.
    pub(super) image: String,
    /// Counts up from 1.
    pub(super) number: u32,
    /// CPU time, milliseconds.
    pub(super) cpu_ms: u64,
    /// Running time, milliseconds.
    pub(super) wall_ms: u64,
    /// Most bytes of memory at one time.
    pub(super) memory_peak: u64,
}

/// The version of checkpoints that is written.
pub(super) const VERSION: u32 = 1;

/// Writes the archive of a folder in which nobody writes. Returns false, and no file, if the folder is empty. Links and
/// special files are left out.
pub(super) fn pack(folder: &Path, to: &Path) -> io::Result<bool> {
    let mut out = tar::Builder::new(BufWriter::new(File::create(to)?));
    let any = walk(&mut out, folder, Path::new(""), false)?;
    finish(out)?;
    if !any {
        fs::remove_file(to)?;
    }
    Ok(any)
}

/// Writes a checkpoint. Returns its size.
pub(super) fn pack_checkpoint(state: &State, stdout: &Path, folder: &Path, to: &Path) -> io::Result<u64> {
    // A crash half-way leaves no checkpoint rather than half of one.
    let part = to.with_extension("part");
    let mut out = tar::Builder::new(BufWriter::new(File::create(&part)?));
    let json = serde_json::to_vec(state)?;
    append(&mut out, Path::new("fog.json"), 0o644, json.len() as u64, json.as_slice())?;
    let stdout = File::open(stdout)?;
    let size = stdout.metadata()?.len();
    append(&mut out, Path::new("stdout"), 0o644, size, io::Read::take(stdout, size))?;
    walk(&mut out, folder, Path::new("out"), true)?;
    finish(out)?;
    fs::rename(&part, to)?;
    Ok(fs::metadata(to)?.len())
}

type Out = tar::Builder<BufWriter<File>>;

fn finish(out: Out) -> io::Result<()> {
    let file = out.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

fn walk(out: &mut Out, folder: &Path, name: &Path, links: bool) -> io::Result<bool> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut any = false;
    for entry in entries {
        let name = name.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let mut header = header(tar::EntryType::Directory, 0o755, 0);
            out.append_data(&mut header, &name, io::empty())?;
            walk(out, &entry.path(), &name, links)?;
        } else if kind.is_file() {
            let file = open(&entry.path())?;
            let meta = file.metadata()?;
            append(out, &name, mode(&meta), meta.len(), io::Read::take(file, meta.len()))?;
        } else if kind.is_symlink() && links {
            let mut header = header(tar::EntryType::Symlink, 0o777, 0);
            out.append_link(&mut header, &name, fs::read_link(entry.path())?)?;
        } else {
            continue;
        }
        any = true;
    }
    Ok(any)
}

fn append(out: &mut Out, name: &Path, mode: u32, size: u64, data: impl io::Read) -> io::Result<()> {
    out.append_data(&mut header(tar::EntryType::Regular, mode, size), name, data)
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(unix)]
fn mode(meta: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    if meta.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 }
}

#[cfg(not(unix))]
fn mode(_: &fs::Metadata) -> u32 {
    0o644
}

#[cfg(unix)]
fn open(path: &PathBuf) -> io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?.into())
}

#[cfg(not(unix))]
fn open(path: &PathBuf) -> io::Result<File> {
    File::open(path)
}

/// Writes all of it and makes it last.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(part, path)
}
