//! Calls with paths.

use super::guest::{Errno, Guest};
use super::vfs::{Entry, resolve};
use super::{Call, Fail, Open, Streams, Wasi};

const CREATE: u32 = 1;
const FOLDER: u32 = 2;
const EXCLUSIVE: u32 = 4;
const TRUNCATE: u32 = 8;
const RIGHT_READ: u64 = 1 << 1;
const RIGHT_WRITE: u64 = 1 << 6;

// WASI's own parameters.
#[allow(clippy::too_many_arguments)]
impl<S: Streams> Wasi<S> {
    /// The path, relative to an open folder, within the tree.
    fn path(&mut self, g: &Guest<'_>, fd: u32, path: u32, len: u32) -> Result<String, Fail> {
        let text = g.text(path, len)?;
        let folder = match self.open.get(&fd).ok_or(Errno::BadFile)? {
            Open::Folder(folder) => folder.clone(),
            _ => return Err(Errno::NotFolder.into()),
        };
        match resolve(&folder, &text) {
            Some(clean) => Ok(clean),
            None => Err(self.escape(&text)),
        }
    }

    pub(in crate::worker) fn path_open(
        &mut self,
        g: &mut Guest<'_>,
        fd: u32,
        _lookup: u32,
        path: u32,
        len: u32,
        how: u32,
        base: u64,
        _inheriting: u64,
        flags: u32,
        out: u32,
    ) -> Call {
        let path = self.path(g, fd, path, len)?;
        let wants_write = base & RIGHT_WRITE != 0;
        let open = match self.vfs.find(&path) {
            Some(_) if how & CREATE != 0 && how & EXCLUSIVE != 0 => return Err(Errno::Exists.into()),
            Some(Entry::Folder) if how & TRUNCATE != 0 => return Err(Errno::IsFolder.into()),
            Some(Entry::Folder) => Open::Folder(path),
            Some(_) if how & FOLDER != 0 => return Err(Errno::NotFolder.into()),
            Some(Entry::Input(_)) if how & TRUNCATE != 0 => return Err(Errno::ReadOnly.into()),
            Some(Entry::Input(index)) => Open::Input { index, at: 0 },
            Some(Entry::Output(id)) => {
                if how & TRUNCATE != 0 {
                    self.vfs.resize(id, 0)?;
                }
                self.output(id, base, flags)
            }
            None if how & CREATE != 0 && how & FOLDER == 0 => {
                let id = self.vfs.make_file(&path)?;
                self.output(id, base | if wants_write { 0 } else { RIGHT_READ }, flags)
            }
            None => return Err(Errno::NoEntry.into()),
        };
        let fd = self.add(open)?;
        Ok(g.put_u32(out, fd)?)
    }

    fn output(&self, id: u64, base: u64, flags: u32) -> Open {
        Open::Output {
            id,
            at: 0,
            append: flags & 1 != 0,
            read: base & RIGHT_READ != 0,
            write: base & RIGHT_WRITE != 0,
        }
    }

    pub(in crate::worker) fn path_create_directory(
        &mut self,
        g: &mut Guest<'_>,
        fd: u32,
        path: u32,
        len: u32,
    ) -> Call {
        let path = self.path(g, fd, path, len)?;
        self.vfs.make_folder(&path)
    }

    pub(in crate::worker) fn path_filestat_get(
        &mut self,
        g: &mut Guest<'_>,
        fd: u32,
        _flags: u32,
        path: u32,
        len: u32,
        out: u32,
    ) -> Call {
        let path = self.path(g, fd, path, len)?;
        let entry = self.vfs.find(&path).ok_or(Errno::NoEntry)?;
        Ok(g.put(out, &self.stat(entry)?)?)
    }

    pub(in crate::worker) fn path_filestat_set_times(
        &mut self,
        g: &mut Guest<'_>,
        fd: u32,
        _flags: u32,
        path: u32,
        len: u32,
        _access: u64,
        _modified: u64,
        _which: u32,
    ) -> Call {
        let path = self.path(g, fd, path, len)?;
        self.vfs.find(&path).map(drop).ok_or(Fail::Errno(Errno::NoEntry))
    }

    /// There are no links, so that no path means something else than it says.
    pub(in crate::worker) fn path_link(
        &mut self,
        _: &mut Guest<'_>,
        _from_fd: u32,
        _flags: u32,
        _from: u32,
        _from_len: u32,
        _fd: u32,
        _path: u32,
        _len: u32,
    ) -> Call {
        Err(Errno::NotSupported.into())
    }

    pub(in crate::worker) fn path_symlink(
        &mut self,
        _: &mut Guest<'_>,
        _target: u32,
        _target_len: u32,
        _fd: u32,
        _path: u32,
        _len: u32,
    ) -> Call {
        Err(Errno::NotSupported.into())
    }

    pub(in crate::worker) fn path_readlink(
        &mut self,
        g: &mut Guest<'_>,
        fd: u32,
        path: u32,
        len: u32,
        _buffer: u32,
        _size: u32,
        _out: u32,
    ) -> Call {
        let path = self.path(g, fd, path, len)?;
        self.vfs.find(&path).ok_or(Errno::NoEntry)?;
        Err(Errno::Invalid.into())
    }

    pub(in crate::worker) fn path_remove_directory(
        &mut self,
        g: &mut Guest<'_>,
        fd: u32,
        path: u32,
        len: u32,
    ) -> Call {
        let path = self.path(g, fd, path, len)?;
        self.vfs.remove(&path, true)
    }

    pub(in crate::worker) fn path_unlink_file(
        &mut self,
        g: &mut Guest<'_>,
        fd: u32,
        path: u32,
        len: u32,
    ) -> Call {
        let path = self.path(g, fd, path, len)?;
        self.vfs.remove(&path, false)
    }

    pub(in crate::worker) fn path_rename(
        &mut self,
        g: &mut Guest<'_>,
        fd: u32,
        path: u32,
        len: u32,
        to_fd: u32,
        to: u32,
        to_len: u32,
    ) -> Call {
        let from = self.path(g, fd, path, len)?;
        let to = self.path(g, to_fd, to, to_len)?;
        self.vfs.rename(&from, &to)
    }
}
