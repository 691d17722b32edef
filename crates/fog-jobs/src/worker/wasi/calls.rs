//! Calls without paths: arguments, clocks, chance, waiting, and everything on open files.

use super::guest::{Errno, Guest};
use super::vfs::{Entry, IN, OUT};
use super::{Call, Fail, MAX_OPEN, Open, Streams, Wasi};
use crate::run::{RunError, StreamKind};

/// Most bytes moved by one call, so that no call lasts long.
const PIECE: u32 = 1 << 20;
/// All rights: what may not be done is refused when it is tried.
const RIGHTS: u64 = 0x1fff_ffff;
const TYPE_FOLDER: u8 = 3;
const TYPE_FILE: u8 = 4;
const TYPE_STREAM: u8 = 2;
const FLAG_APPEND: u16 = 1;

// The parameters' number and meaning are WASI's own; see the specification of `wasi_snapshot_preview1`.
#[allow(clippy::too_many_arguments)]
impl<S: Streams> Wasi<S> {
    pub(in crate::worker) fn args_sizes_get(&mut self, g: &mut Guest<'_>, count: u32, bytes: u32) -> Call {
        sizes(g, self.args.iter().map(String::len), count, bytes)
    }

    pub(in crate::worker) fn args_get(&mut self, g: &mut Guest<'_>, argv: u32, buffer: u32) -> Call {
        strings(g, self.args.iter().cloned(), argv, buffer)
    }

    pub(in crate::worker) fn environ_sizes_get(&mut self, g: &mut Guest<'_>, count: u32, bytes: u32) -> Call {
        sizes(g, self.env.iter().map(|(name, value)| name.len() + 1 + value.len()), count, bytes)
    }

    pub(in crate::worker) fn environ_get(&mut self, g: &mut Guest<'_>, environ: u32, buffer: u32) -> Call {
        strings(g, self.env.iter().map(|(name, value)| format!("{name}={value}")), environ, buffer)
    }

    pub(in crate::worker) fn clock_res_get(&mut self, g: &mut Guest<'_>, clock: u32, out: u32) -> Call {
        if clock > 3 {
            return Err(Errno::Invalid.into());
        }
        Ok(g.put_u64(out, 1000)?)
    }

    pub(in crate::worker) fn clock_time_get(
        &mut self,
        g: &mut Guest<'_>,
        clock: u32,
        _precision: u64,
        out: u32,
    ) -> Call {
        let now = match clock {
            0 => self.clock.wall(),
            // Processor time is not told: it would differ between replicas.
            1..=3 => self.clock.monotonic(),
            _ => return Err(Errno::Invalid.into()),
        };
        Ok(g.put_u64(out, now)?)
    }

    pub(in crate::worker) fn random_get(&mut self, g: &mut Guest<'_>, buffer: u32, len: u32) -> Call {
        self.chance.fill(g.bytes_mut(buffer, len)?);
        Ok(())
    }

    pub(in crate::worker) fn sched_yield(&mut self, _: &mut Guest<'_>) -> Call {
        Ok(())
    }

    pub(in crate::worker) fn proc_raise(&mut self, _: &mut Guest<'_>, _signal: u32) -> Call {
        Err(Errno::NoSystemCall.into())
    }

    /// Waits for the earliest clock; files are ready at once.
    pub(in crate::worker) fn poll_oneoff(
        &mut self,
        g: &mut Guest<'_>,
        subscriptions: u32,
        events: u32,
        count: u32,
        out: u32,
    ) -> Call {
        if count == 0 || count > 1024 {
            return Err(Errno::Invalid.into());
        }
        let resumed = std::mem::take(&mut self.resuming).then(|| self.sleep_until.take()).flatten();
        let mut ready = Vec::new();
        let mut earliest: Option<u64> = resumed;
        let mut clocks = Vec::new();
        for index in 0..count {
            let at = subscriptions.checked_add(index * 48).ok_or(Errno::Fault)?;
            let userdata = g.u64(at)?;
            let field = |offset: u32| at.checked_add(offset).ok_or(Errno::Fault);
            match g.bytes(field(8)?, 1)?[0] {
                0 => {
                    let (clock, time) = (g.u32(field(16)?)?, g.u64(field(24)?)?);
                    let absolute = g.u16(field(40)?)? & 1 == 1;
                    let now = if clock == 0 { self.clock.wall() } else { self.clock.monotonic() };
                    let wait = if absolute { time.saturating_sub(now) } else { time };
                    clocks.push((userdata, wait));
                }
                kind @ (1 | 2) => ready.push((userdata, kind)),
                _ => return Err(Errno::Invalid.into()),
            }
        }
        if ready.is_empty() {
            let now = self.clock.monotonic();
            let shortest = clocks.iter().map(|(_, wait)| *wait).min().unwrap_or(0);
            let until = *earliest.get_or_insert(now.saturating_add(shortest));
            if let Some(moment) = self.clock.moment(until)
                && !self.waits.sleep(moment, self.movable).map_err(Fail::Stop)?
            {
                self.sleep_until = Some(until);
                self.leaves = true;
                return Ok(());
            }
            ready.extend(clocks.iter().filter(|(_, wait)| *wait <= shortest).map(|(data, _)| (*data, 0)));
        }
        for (index, (userdata, kind)) in (0u32..).zip(&ready) {
            let at = events.checked_add(index * 32).ok_or(Errno::Fault)?;
            let mut event = [0u8; 32];
            event[..8].copy_from_slice(&userdata.to_le_bytes());
            event[10] = *kind;
            // Bytes that are ready: at least one, so that nobody waits for ever.
            event[16] = u8::from(*kind != 0);
            g.put(at, &event)?;
        }
        Ok(g.put_u32(out, ready.len() as u32)?)
    }

    fn file(&self, fd: u32) -> Result<&Open, Errno> {
        self.open.get(&fd).ok_or(Errno::BadFile)
    }

    pub(super) fn add(&mut self, open: Open) -> Result<u32, Errno> {
        if self.open.len() >= MAX_OPEN {
            return Err(Errno::TooManyOpen);
        }
        let free = (0..MAX_OPEN as u32).find(|fd| !self.open.contains_key(fd)).ok_or(Errno::TooManyOpen)?;
        if let Open::Output { id, .. } = &open {
            self.vfs.hold(*id)?;
        }
        self.open.insert(free, open);
        Ok(free)
    }

    pub(in crate::worker) fn fd_close(&mut self, _: &mut Guest<'_>, fd: u32) -> Call {
        if let Open::Output { id, .. } = self.open.remove(&fd).ok_or(Errno::BadFile)? {
            self.vfs.release(id);
        }
        Ok(())
    }

    pub(in crate::worker) fn fd_renumber(&mut self, g: &mut Guest<'_>, from: u32, to: u32) -> Call {
        self.file(from)?;
        self.file(to)?;
        if from != to {
            self.fd_close(g, to)?;
            let moved = self.open.remove(&from).ok_or(Errno::BadFile)?;
            self.open.insert(to, moved);
        }
        Ok(())
    }

    pub(in crate::worker) fn fd_advise(
        &mut self,
        _: &mut Guest<'_>,
        fd: u32,
        _: u64,
        _: u64,
        _: u32,
    ) -> Call {
        self.file(fd).map(drop).map_err(Fail::from)
    }

    pub(in crate::worker) fn fd_allocate(
        &mut self,
        _: &mut Guest<'_>,
        fd: u32,
        offset: u64,
        len: u64,
    ) -> Call {
        let id = self.writable(fd)?;
        let end = offset.checked_add(len).ok_or(Errno::Overflow)?;
        if end > self.vfs.size(id)? { self.vfs.resize(id, end) } else { Ok(()) }
    }

    pub(in crate::worker) fn fd_sync(&mut self, _: &mut Guest<'_>, fd: u32) -> Call {
        self.file(fd).map(drop).map_err(Fail::from)
    }

    pub(in crate::worker) fn fd_datasync(&mut self, g: &mut Guest<'_>, fd: u32) -> Call {
        self.fd_sync(g, fd)
    }

    pub(in crate::worker) fn fd_fdstat_get(&mut self, g: &mut Guest<'_>, fd: u32, out: u32) -> Call {
        let (kind, flags) = match self.file(fd)? {
            Open::Stdin | Open::Stdout | Open::Stderr => (TYPE_STREAM, 0),
            Open::Folder(_) => (TYPE_FOLDER, 0),
            Open::Input { .. } => (TYPE_FILE, 0),
            Open::Output { append, .. } => (TYPE_FILE, if *append { FLAG_APPEND } else { 0 }),
        };
        // A character device has no position, by which C libraries tell a terminal: these are pipes, then.
        let rights = if kind == TYPE_STREAM { RIGHTS & !0b10_0100 } else { RIGHTS };
        let kind = if kind == TYPE_STREAM { 0 } else { kind };
        let mut stat = [0u8; 24];
        stat[0] = kind;
        stat[2..4].copy_from_slice(&flags.to_le_bytes());
        stat[8..16].copy_from_slice(&rights.to_le_bytes());
        stat[16..24].copy_from_slice(&RIGHTS.to_le_bytes());
        Ok(g.put(out, &stat)?)
    }

    pub(in crate::worker) fn fd_fdstat_set_flags(&mut self, _: &mut Guest<'_>, fd: u32, flags: u32) -> Call {
        match self.open.get_mut(&fd).ok_or(Errno::BadFile)? {
            Open::Output { append, .. } => *append = flags & u32::from(FLAG_APPEND) != 0,
            _ if flags == 0 => {}
            _ => return Err(Errno::NotSupported.into()),
        }
        Ok(())
    }

    pub(in crate::worker) fn fd_fdstat_set_rights(
        &mut self,
        _: &mut Guest<'_>,
        fd: u32,
        _: u64,
        _: u64,
    ) -> Call {
        self.file(fd).map(drop).map_err(Fail::from)
    }

    pub(in crate::worker) fn fd_filestat_get(&mut self, g: &mut Guest<'_>, fd: u32, out: u32) -> Call {
        let entry = match self.file(fd)? {
            Open::Stdin | Open::Stdout | Open::Stderr => {
                return Ok(g.put(out, &filestat(u64::from(fd), 0, 0))?);
            }
            Open::Folder(_) => Entry::Folder,
            Open::Input { index, .. } => Entry::Input(*index),
            Open::Output { id, .. } => Entry::Output(*id),
        };
        Ok(g.put(out, &self.stat(entry)?)?)
    }

    pub(super) fn stat(&self, entry: Entry) -> Result<[u8; 64], Errno> {
        Ok(match entry {
            Entry::Folder => filestat(3, TYPE_FOLDER, 0),
            Entry::Input(index) => {
                let size = self.vfs.input(index).ok_or(Errno::BadFile)?.size;
                filestat(1_000_000 + u64::from(index), TYPE_FILE, size)
            }
            Entry::Output(id) => filestat(2_000_000 + id, TYPE_FILE, self.vfs.size(id)?),
        })
    }

    pub(in crate::worker) fn fd_filestat_set_size(&mut self, _: &mut Guest<'_>, fd: u32, size: u64) -> Call {
        let id = self.writable(fd)?;
        self.vfs.resize(id, size)
    }

    /// Files have no times, so that replicas agree; setting them is no error.
    pub(in crate::worker) fn fd_filestat_set_times(
        &mut self,
        _: &mut Guest<'_>,
        fd: u32,
        _: u64,
        _: u64,
        _: u32,
    ) -> Call {
        self.file(fd).map(drop).map_err(Fail::from)
    }

    fn writable(&self, fd: u32) -> Result<u64, Errno> {
        match self.file(fd)? {
            Open::Output { id, write: true, .. } => Ok(*id),
            Open::Input { .. } => Err(Errno::ReadOnly),
            Open::Folder(_) => Err(Errno::IsFolder),
            _ => Err(Errno::BadFile),
        }
    }

    /// Reads from `at` into one part of the program's memory.
    fn read_at(&mut self, g: &mut Guest<'_>, from: &Open, at: u64, part: (u32, u32)) -> Result<u32, Fail> {
        let into = g.bytes_mut(part.0, part.1.min(PIECE))?;
        let read = match from {
            Open::Stdin => match &self.stdin {
                Some(file) => read_file(file, into, at)?,
                None => 0,
            },
            Open::Input { index, .. } => {
                let input = self.vfs.input(*index).ok_or(Errno::BadFile)?;
                read_file(&input.file, into, at)?
            }
            Open::Output { id, read: true, .. } => {
                let content = self.vfs.content(*id)?;
                let rest = usize::try_from(at).ok().and_then(|at| content.get(at..)).unwrap_or(&[]);
                let len = rest.len().min(into.len());
                into[..len].copy_from_slice(&rest[..len]);
                len
            }
            Open::Folder(_) => return Err(Errno::IsFolder.into()),
            _ => return Err(Errno::BadFile.into()),
        };
        Ok(read as u32)
    }

    pub(in crate::worker) fn fd_read(
        &mut self,
        g: &mut Guest<'_>,
        fd: u32,
        list: u32,
        count: u32,
        out: u32,
    ) -> Call {
        let open = self.file(fd)?.clone();
        let mut total = 0u32;
        let start = match &open {
            Open::Stdin => self.stdin_at,
            Open::Input { at, .. } | Open::Output { at, .. } => *at,
            _ => 0,
        };
        for part in g.parts(list, count)? {
            let read = self.read_at(g, &open, start.saturating_add(total.into()), part)?;
            total += read;
            if read < part.1 || total >= PIECE {
                break;
            }
        }
        match self.open.get_mut(&fd) {
            Some(Open::Stdin) => self.stdin_at = start.saturating_add(total.into()),
            Some(Open::Input { at, .. } | Open::Output { at, .. }) => {
                *at = start.saturating_add(total.into());
            }
            _ => {}
        }
        Ok(g.put_u32(out, total)?)
    }

    pub(in crate::worker) fn fd_pread(
        &mut self,
        g: &mut Guest<'_>,
        fd: u32,
        list: u32,
        count: u32,
        offset: u64,
        out: u32,
    ) -> Call {
        let open = self.file(fd)?.clone();
        if !matches!(open, Open::Input { .. } | Open::Output { .. }) {
            return Err(Errno::IsPipe.into());
        }
        let mut total = 0u32;
        for part in g.parts(list, count)? {
            let read = self.read_at(g, &open, offset.saturating_add(total.into()), part)?;
            total += read;
            if read < part.1 || total >= PIECE {
                break;
            }
        }
        Ok(g.put_u32(out, total)?)
    }

    pub(in crate::worker) fn fd_write(
        &mut self,
        g: &mut Guest<'_>,
        fd: u32,
        list: u32,
        count: u32,
        out: u32,
    ) -> Call {
        let start = match self.file(fd)? {
            Open::Output { id, append: true, .. } => self.vfs.size(*id)?,
            Open::Output { at, .. } => *at,
            _ => 0,
        };
        let total = self.write_parts(g, fd, list, count, start)?;
        if let Some(Open::Output { at, .. }) = self.open.get_mut(&fd) {
            *at = start.saturating_add(total.into());
        }
        Ok(g.put_u32(out, total)?)
    }

    pub(in crate::worker) fn fd_pwrite(
        &mut self,
        g: &mut Guest<'_>,
        fd: u32,
        list: u32,
        count: u32,
        offset: u64,
        out: u32,
    ) -> Call {
        if !matches!(self.file(fd)?, Open::Output { .. } | Open::Input { .. }) {
            return Err(Errno::IsPipe.into());
        }
        let total = self.write_parts(g, fd, list, count, offset)?;
        Ok(g.put_u32(out, total)?)
    }

    fn write_parts(
        &mut self,
        g: &mut Guest<'_>,
        fd: u32,
        list: u32,
        count: u32,
        start: u64,
    ) -> Result<u32, Fail> {
        let stream = match self.file(fd)? {
            Open::Stdout => Some(StreamKind::Stdout),
            Open::Stderr => Some(StreamKind::Stderr),
            _ => None,
        };
        let id = if stream.is_none() { self.writable(fd)? } else { 0 };
        let mut total = 0u32;
        for (at, len) in g.parts(list, count)? {
            let bytes = g.bytes(at, len.min(PIECE))?;
            match stream {
                Some(stream) => {
                    if stream == StreamKind::Stdout {
                        self.vfs.count(bytes.len() as u64).map_err(Fail::Stop)?;
                    }
                    self.streams.write(stream, bytes).map_err(Fail::Stop)?;
                }
                None => self.vfs.write(id, start.saturating_add(total.into()), bytes)?,
            }
            total += bytes.len() as u32;
            if total >= PIECE {
                break;
            }
        }
        Ok(total)
    }

    pub(in crate::worker) fn fd_seek(
        &mut self,
        g: &mut Guest<'_>,
        fd: u32,
        offset: u64,
        whence: u32,
        out: u32,
    ) -> Call {
        let (now, size) = match self.file(fd)? {
            Open::Input { index, at } => (*at, self.vfs.input(*index).ok_or(Errno::BadFile)?.size),
            Open::Output { id, at, .. } => (*at, self.vfs.size(*id)?),
            Open::Folder(_) => return Err(Errno::BadFile.into()),
            _ => return Err(Errno::IsPipe.into()),
        };
        let from = match whence {
            0 => 0,
            1 => now,
            2 => size,
            _ => return Err(Errno::Invalid.into()),
        };
        let moved = from.checked_add_signed(offset as i64).ok_or(Errno::Invalid)?;
        if let Some(Open::Input { at, .. } | Open::Output { at, .. }) = self.open.get_mut(&fd) {
            *at = moved;
        }
        Ok(g.put_u64(out, moved)?)
    }

    pub(in crate::worker) fn fd_tell(&mut self, g: &mut Guest<'_>, fd: u32, out: u32) -> Call {
        self.fd_seek(g, fd, 0, 1, out)
    }

    pub(in crate::worker) fn fd_prestat_get(&mut self, g: &mut Guest<'_>, fd: u32, out: u32) -> Call {
        let name = self.preopened(fd)?;
        g.put_u32(out, 0)?;
        Ok(g.put_u32(out.checked_add(4).ok_or(Errno::Fault)?, name.len() as u32 + 1)?)
    }

    pub(in crate::worker) fn fd_prestat_dir_name(
        &mut self,
        g: &mut Guest<'_>,
        fd: u32,
        buffer: u32,
        len: u32,
    ) -> Call {
        let name = format!("/{}", self.preopened(fd)?);
        if (len as usize) < name.len() {
            return Err(Errno::NameTooLong.into());
        }
        Ok(g.put(buffer, name.as_bytes())?)
    }

    fn preopened(&self, fd: u32) -> Result<&'static str, Errno> {
        match (fd, self.file(fd)?) {
            (3, Open::Folder(path)) if path == IN => Ok(IN),
            (4, Open::Folder(path)) if path == OUT => Ok(OUT),
            _ => Err(Errno::BadFile),
        }
    }

    pub(in crate::worker) fn fd_readdir(
        &mut self,
        g: &mut Guest<'_>,
        fd: u32,
        buffer: u32,
        len: u32,
        cookie: u64,
        out: u32,
    ) -> Call {
        let Open::Folder(path) = self.file(fd)? else { return Err(Errno::NotFolder.into()) };
        let mut written = Vec::new();
        let start = usize::try_from(cookie).unwrap_or(usize::MAX);
        for (index, (name, entry)) in self.vfs.list(path).into_iter().enumerate().skip(start) {
            let stat = self.stat(entry)?;
            written.extend_from_slice(&(index as u64 + 1).to_le_bytes());
            written.extend_from_slice(&stat[8..16]);
            written.extend_from_slice(&(name.len() as u32).to_le_bytes());
            written.extend_from_slice(&[stat[16], 0, 0, 0]);
            written.extend_from_slice(name.as_bytes());
            if written.len() >= len as usize {
                break;
            }
        }
        written.truncate(len as usize);
        g.put(buffer, &written)?;
        Ok(g.put_u32(out, written.len() as u32)?)
    }

    pub(in crate::worker) fn sock_accept(&mut self, _: &mut Guest<'_>, _: u32, _: u32, _: u32) -> Call {
        Err(no_network("sock_accept"))
    }

    pub(in crate::worker) fn sock_recv(
        &mut self,
        _: &mut Guest<'_>,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
    ) -> Call {
        Err(no_network("sock_recv"))
    }

    pub(in crate::worker) fn sock_send(
        &mut self,
        _: &mut Guest<'_>,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
    ) -> Call {
        Err(no_network("sock_send"))
    }

    pub(in crate::worker) fn sock_shutdown(&mut self, _: &mut Guest<'_>, _: u32, _: u32) -> Call {
        Err(no_network("sock_shutdown"))
    }
}

/// Ends the run: compilers import these without using them, so a program that does means it.
fn no_network(name: &str) -> Fail {
    Fail::Stop(RunError::Denied(format!("the network ({name})")))
}

fn sizes(g: &mut Guest<'_>, lens: impl Iterator<Item = usize>, count: u32, bytes: u32) -> Call {
    let (mut n, mut total) = (0u32, 0u32);
    for len in lens {
        n += 1;
        total = total.saturating_add(len as u32 + 1);
    }
    g.put_u32(count, n)?;
    Ok(g.put_u32(bytes, total)?)
}

fn strings(g: &mut Guest<'_>, all: impl Iterator<Item = String>, mut list: u32, mut buffer: u32) -> Call {
    for text in all {
        g.put_u32(list, buffer)?;
        g.put(buffer, text.as_bytes())?;
        let end = buffer.checked_add(text.len() as u32).ok_or(Errno::Fault)?;
        g.put(end, &[0])?;
        buffer = end.checked_add(1).ok_or(Errno::Fault)?;
        list = list.checked_add(4).ok_or(Errno::Fault)?;
    }
    Ok(())
}

fn filestat(inode: u64, kind: u8, size: u64) -> [u8; 64] {
    let mut stat = [0u8; 64];
    stat[0] = 1;
    stat[8..16].copy_from_slice(&inode.to_le_bytes());
    stat[16] = kind;
    stat[24] = 1;
    stat[32..40].copy_from_slice(&size.to_le_bytes());
    stat
}

#[cfg(unix)]
pub(in crate::worker) fn read_file(file: &std::fs::File, into: &mut [u8], at: u64) -> Result<usize, Errno> {
    std::os::unix::fs::FileExt::read_at(file, into, at).map_err(|_| Errno::Io)
}

#[cfg(windows)]
pub(in crate::worker) fn read_file(file: &std::fs::File, into: &mut [u8], at: u64) -> Result<usize, Errno> {
    std::os::windows::fs::FileExt::seek_read(file, into, at).map_err(|_| Errno::Io)
}
