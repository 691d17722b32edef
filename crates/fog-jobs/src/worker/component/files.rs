//! `wasi:filesystem` over the tree in memory.
//!
//! The handles in the resource table are [`Node`]s and [`Listing`]s. The generated traits speak of the types that
//! wasmtime-wasi has for them; only their numbers are used here.

use super::super::host::Ending;
use super::super::wasi::guest::Errno;
use super::super::wasi::vfs::{Entry, IN, OUT, Vfs, resolve};
use super::super::wasi::{Call, Fail};
use super::{Data, Shared, lock};
use bytes::Bytes;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types as codes};
use wasmtime_wasi::p2::bindings::sync::filesystem::types;
use wasmtime_wasi::p2::bindings::sync::io::streams;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, FsError, FsResult, InputStream, OutputStream, Pollable, StreamError,
    StreamResult,
};

/// Most bytes moved by one call.
const PIECE: u64 = 1 << 20;

type Descriptor = Resource<types::Descriptor>;

/// The tree, shared with the streams into it.
pub(super) struct Tree {
    vfs: Shared<Vfs>,
}

impl Tree {
    pub(super) fn new(vfs: Shared<Vfs>) -> Self {
        Self { vfs }
    }
}

/// An open file or folder.
#[derive(Debug, Clone)]
enum Node {
    Folder(String),
    Input(u32),
    Output { id: u64, read: bool, write: bool },
}

/// What is left of a folder's list.
struct Listing(std::vec::IntoIter<(String, Entry)>);

/// What the calls work on.
pub(super) struct View<'a> {
    table: &'a mut ResourceTable,
    vfs: &'a Shared<Vfs>,
}

struct HasView;

impl HasData for HasView {
    type Data<'a> = View<'a>;
}

pub(super) fn add_to_linker(linker: &mut Linker<Data>) -> wasmtime::Result<()> {
    fn view(data: &mut Data) -> View<'_> {
        View { table: &mut data.table, vfs: &data.tree.vfs }
    }
    types::add_to_linker::<Data, HasView>(linker, view)?;
    preopens::add_to_linker::<Data, HasView>(linker, view)
}

fn code(fail: Fail) -> FsError {
    use codes::ErrorCode as E;
    match fail {
        Fail::Stop(error) => FsError::trap(Ending::Stop(error)),
        Fail::Errno(errno) => match errno {
            Errno::BadFile => E::BadDescriptor,
            Errno::Exists => E::Exist,
            Errno::Invalid | Errno::Fault => E::Invalid,
            Errno::IsFolder => E::IsDirectory,
            Errno::NameTooLong => E::NameTooLong,
            Errno::NoEntry => E::NoEntry,
            Errno::NotFolder => E::NotDirectory,
            Errno::NotEmpty => E::NotEmpty,
            Errno::NotSupported | Errno::NoSystemCall => E::Unsupported,
            Errno::Overflow => E::Overflow,
            Errno::ReadOnly => E::ReadOnly,
            Errno::NotCapable => E::NotPermitted,
            Errno::IsPipe => E::InvalidSeek,
            Errno::Io | Errno::TooManyOpen => E::Io,
        }
        .into(),
    }
}

fn done(call: Call) -> FsResult<()> {
    call.map_err(code)
}

fn errno(errno: Errno) -> FsError {
    code(Fail::Errno(errno))
}

impl View<'_> {
    fn node(&self, fd: &Descriptor) -> FsResult<Node> {
        Ok(self.table.get(&Resource::<Node>::new_borrow(fd.rep()))?.clone())
    }

    fn push(&mut self, node: Node) -> FsResult<Descriptor> {
        if let Node::Output { id, .. } = node {
            lock(self.vfs).hold(id).map_err(errno)?;
        }
        Ok(Resource::new_own(self.table.push(node)?.rep()))
    }

    fn path(&self, fd: &Descriptor, path: &str) -> FsResult<String> {
        match self.node(fd)? {
            Node::Folder(folder) if path.len() <= 4096 => {
                resolve(&folder, path).ok_or_else(|| errno(Errno::NotCapable))
            }
            Node::Folder(_) => Err(errno(Errno::NameTooLong)),
            _ => Err(errno(Errno::NotFolder)),
        }
    }

    fn entry(&self, node: &Node) -> Entry {
        match node {
            Node::Folder(_) => Entry::Folder,
            Node::Input(index) => Entry::Input(*index),
            Node::Output { id, .. } => Entry::Output(*id),
        }
    }

    fn stat_of(&self, entry: Entry) -> FsResult<types::DescriptorStat> {
        let (type_, size) = match entry {
            Entry::Folder => (types::DescriptorType::Directory, 0),
            Entry::Input(index) => {
                let size = lock(self.vfs).input(index).map(|input| input.size);
                (types::DescriptorType::RegularFile, size.ok_or_else(|| errno(Errno::BadFile))?)
            }
            Entry::Output(id) => {
                (types::DescriptorType::RegularFile, lock(self.vfs).size(id).map_err(errno)?)
            }
        };
        Ok(types::DescriptorStat {
            type_,
            link_count: 1,
            size,
            data_access_timestamp: None,
            data_modification_timestamp: None,
            status_change_timestamp: None,
        })
    }

    fn found(&self, fd: &Descriptor, path: &str) -> FsResult<Entry> {
        let path = self.path(fd, path)?;
        lock(self.vfs).find(&path).ok_or_else(|| errno(Errno::NoEntry))
    }

    fn writable(&self, fd: &Descriptor) -> FsResult<u64> {
        match self.node(fd)? {
            Node::Output { id, write: true, .. } => Ok(id),
            Node::Input(_) => Err(errno(Errno::ReadOnly)),
            Node::Folder(_) => Err(errno(Errno::IsFolder)),
            Node::Output { .. } => Err(errno(Errno::BadFile)),
        }
    }
}

fn hash(entry: Entry, folder: &str) -> types::MetadataHashValue {
    let (lower, upper) = match entry {
        Entry::Folder => {
            let hash = blake3::hash(folder.as_bytes());
            (u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap_or_default()), 1)
        }
        Entry::Input(index) => (index.into(), 2),
        Entry::Output(id) => (id, 3),
    };
    types::MetadataHashValue { lower, upper }
}

impl preopens::Host for View<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Descriptor, String)>> {
        let mut found = Vec::new();
        for name in [IN, OUT] {
            let node = self.table.push(Node::Folder(name.to_owned()))?;
            found.push((Resource::new_own(node.rep()), format!("/{name}")));
        }
        Ok(found)
    }
}

impl types::Host for View<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<types::ErrorCode> {
        Ok(error.downcast()?.into())
    }

    fn filesystem_error_code(
        &mut self,
        _: Resource<streams::Error>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        Ok(None)
    }
}

impl types::HostDescriptor for View<'_> {
    fn advise(&mut self, fd: Descriptor, _: u64, _: u64, _: types::Advice) -> FsResult<()> {
        self.node(&fd).map(drop)
    }

    fn sync_data(&mut self, fd: Descriptor) -> FsResult<()> {
        self.node(&fd).map(drop)
    }

    fn sync(&mut self, fd: Descriptor) -> FsResult<()> {
        self.node(&fd).map(drop)
    }

    fn get_flags(&mut self, fd: Descriptor) -> FsResult<types::DescriptorFlags> {
        use types::DescriptorFlags as F;
        Ok(match self.node(&fd)? {
            Node::Folder(path) if path.starts_with(OUT) => F::READ | F::MUTATE_DIRECTORY,
            Node::Folder(_) | Node::Input(_) => F::READ,
            Node::Output { read, write, .. } => {
                let read = if read { F::READ } else { F::empty() };
                read | if write { F::WRITE } else { F::empty() }
            }
        })
    }

    fn get_type(&mut self, fd: Descriptor) -> FsResult<types::DescriptorType> {
        Ok(match self.node(&fd)? {
            Node::Folder(_) => types::DescriptorType::Directory,
            _ => types::DescriptorType::RegularFile,
        })
    }

    fn set_size(&mut self, fd: Descriptor, size: u64) -> FsResult<()> {
        let id = self.writable(&fd)?;
        done(lock(self.vfs).resize(id, size))
    }

    /// Files have no times, so that replicas agree; setting them is no error.
    fn set_times(&mut self, fd: Descriptor, _: types::NewTimestamp, _: types::NewTimestamp) -> FsResult<()> {
        self.node(&fd).map(drop)
    }

    fn set_times_at(
        &mut self,
        fd: Descriptor,
        _: types::PathFlags,
        path: String,
        _: types::NewTimestamp,
        _: types::NewTimestamp,
    ) -> FsResult<()> {
        self.found(&fd, &path).map(drop)
    }

    fn read(&mut self, fd: Descriptor, len: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        let node = self.node(&fd)?;
        let bytes = read(&lock(self.vfs), &node, offset, len.min(PIECE))?;
        let end = bytes.is_empty() && len > 0;
        Ok((bytes, end))
    }

    fn write(&mut self, fd: Descriptor, bytes: Vec<u8>, offset: u64) -> FsResult<u64> {
        let id = self.writable(&fd)?;
        done(lock(self.vfs).write(id, offset, &bytes))?;
        Ok(bytes.len() as u64)
    }

    fn read_directory(&mut self, fd: Descriptor) -> FsResult<Resource<types::DirectoryEntryStream>> {
        let Node::Folder(path) = self.node(&fd)? else { return Err(errno(Errno::NotFolder)) };
        let list = lock(self.vfs).list(&path);
        Ok(Resource::new_own(self.table.push(Listing(list.into_iter()))?.rep()))
    }

    fn create_directory_at(&mut self, fd: Descriptor, path: String) -> FsResult<()> {
        let path = self.path(&fd, &path)?;
        done(lock(self.vfs).make_folder(&path))
    }

    fn stat(&mut self, fd: Descriptor) -> FsResult<types::DescriptorStat> {
        let node = self.node(&fd)?;
        self.stat_of(self.entry(&node))
    }

    fn stat_at(
        &mut self,
        fd: Descriptor,
        _: types::PathFlags,
        path: String,
    ) -> FsResult<types::DescriptorStat> {
        let entry = self.found(&fd, &path)?;
        self.stat_of(entry)
    }

    fn link_at(
        &mut self,
        _: Descriptor,
        _: types::PathFlags,
        _: String,
        _: Descriptor,
        _: String,
    ) -> FsResult<()> {
        Err(errno(Errno::NotSupported))
    }

    fn open_at(
        &mut self,
        fd: Descriptor,
        _: types::PathFlags,
        path: String,
        how: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Descriptor> {
        use types::OpenFlags as O;
        let path = self.path(&fd, &path)?;
        let writes = flags.contains(types::DescriptorFlags::WRITE);
        let reads = flags.contains(types::DescriptorFlags::READ);
        let found = lock(self.vfs).find(&path);
        let node = match found {
            Some(_) if how.contains(O::CREATE | O::EXCLUSIVE) => return Err(errno(Errno::Exists)),
            Some(Entry::Folder) if writes || how.contains(O::TRUNCATE) => return Err(errno(Errno::IsFolder)),
            Some(Entry::Folder) => Node::Folder(path),
            Some(_) if how.contains(O::DIRECTORY) => return Err(errno(Errno::NotFolder)),
            Some(Entry::Input(_)) if writes || how.contains(O::TRUNCATE) => {
                return Err(errno(Errno::ReadOnly));
            }
            Some(Entry::Input(index)) => Node::Input(index),
            Some(Entry::Output(id)) => {
                if how.contains(O::TRUNCATE) {
                    done(lock(self.vfs).resize(id, 0))?;
                }
                Node::Output { id, read: reads, write: writes }
            }
            None if how.contains(O::CREATE) && !how.contains(O::DIRECTORY) => {
                let id = lock(self.vfs).make_file(&path).map_err(code)?;
                Node::Output { id, read: reads, write: writes }
            }
            None => return Err(errno(Errno::NoEntry)),
        };
        self.push(node)
    }

    fn drop(&mut self, fd: Descriptor) -> wasmtime::Result<()> {
        if let Node::Output { id, .. } = self.table.delete(Resource::<Node>::new_own(fd.rep()))? {
            lock(self.vfs).release(id);
        }
        Ok(())
    }

    fn readlink_at(&mut self, fd: Descriptor, path: String) -> FsResult<String> {
        self.found(&fd, &path)?;
        Err(errno(Errno::Invalid))
    }

    fn remove_directory_at(&mut self, fd: Descriptor, path: String) -> FsResult<()> {
        let path = self.path(&fd, &path)?;
        done(lock(self.vfs).remove(&path, true))
    }

    fn unlink_file_at(&mut self, fd: Descriptor, path: String) -> FsResult<()> {
        let path = self.path(&fd, &path)?;
        done(lock(self.vfs).remove(&path, false))
    }

    fn rename_at(&mut self, fd: Descriptor, old: String, to_fd: Descriptor, new: String) -> FsResult<()> {
        let (from, to) = (self.path(&fd, &old)?, self.path(&to_fd, &new)?);
        done(lock(self.vfs).rename(&from, &to))
    }

    fn symlink_at(&mut self, _: Descriptor, _: String, _: String) -> FsResult<()> {
        Err(errno(Errno::NotSupported))
    }

    fn read_via_stream(&mut self, fd: Descriptor, at: u64) -> FsResult<Resource<streams::InputStream>> {
        let node = self.node(&fd)?;
        if matches!(node, Node::Folder(_)) {
            return Err(errno(Errno::IsFolder));
        }
        let stream: DynInputStream = Box::new(Source { vfs: Shared::clone(self.vfs), node, at });
        Ok(self.table.push(stream)?)
    }

    fn write_via_stream(&mut self, fd: Descriptor, at: u64) -> FsResult<Resource<streams::OutputStream>> {
        let id = self.writable(&fd)?;
        let stream: DynOutputStream = Box::new(Sink { vfs: Shared::clone(self.vfs), id, at: Some(at) });
        Ok(self.table.push(stream)?)
    }

    fn append_via_stream(&mut self, fd: Descriptor) -> FsResult<Resource<streams::OutputStream>> {
        let id = self.writable(&fd)?;
        let stream: DynOutputStream = Box::new(Sink { vfs: Shared::clone(self.vfs), id, at: None });
        Ok(self.table.push(stream)?)
    }

    fn is_same_object(&mut self, a: Descriptor, b: Descriptor) -> wasmtime::Result<bool> {
        let get = |fd: &Descriptor| self.table.get(&Resource::<Node>::new_borrow(fd.rep()));
        Ok(match (get(&a)?, get(&b)?) {
            (Node::Folder(a), Node::Folder(b)) => a == b,
            (Node::Input(a), Node::Input(b)) => a == b,
            (Node::Output { id: a, .. }, Node::Output { id: b, .. }) => a == b,
            _ => false,
        })
    }

    fn metadata_hash(&mut self, fd: Descriptor) -> FsResult<types::MetadataHashValue> {
        let node = self.node(&fd)?;
        let folder = if let Node::Folder(path) = &node { path.as_str() } else { "" };
        Ok(hash(self.entry(&node), folder))
    }

    fn metadata_hash_at(
        &mut self,
        fd: Descriptor,
        _: types::PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        let whole = self.path(&fd, &path)?;
        Ok(hash(self.found(&fd, &path)?, &whole))
    }
}

impl types::HostDirectoryEntryStream for View<'_> {
    fn read_directory_entry(
        &mut self,
        stream: Resource<types::DirectoryEntryStream>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        let listing = self.table.get_mut(&Resource::<Listing>::new_borrow(stream.rep()))?;
        Ok(listing.0.next().map(|(name, entry)| types::DirectoryEntry {
            type_: match entry {
                Entry::Folder => types::DescriptorType::Directory,
                _ => types::DescriptorType::RegularFile,
            },
            name,
        }))
    }

    fn drop(&mut self, stream: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Listing>::new_own(stream.rep())).map(drop)?;
        Ok(())
    }
}

fn read(vfs: &Vfs, node: &Node, at: u64, len: u64) -> FsResult<Vec<u8>> {
    match node {
        Node::Folder(_) => Err(errno(Errno::IsFolder)),
        Node::Input(index) => {
            let input = vfs.input(*index).ok_or_else(|| errno(Errno::BadFile))?;
            let mut bytes = vec![0; len.min(input.size.saturating_sub(at)) as usize];
            let read = super::super::wasi::read_file(&input.file, &mut bytes, at).map_err(errno)?;
            bytes.truncate(read);
            Ok(bytes)
        }
        Node::Output { id, read: true, .. } => {
            let content = vfs.content(*id).map_err(errno)?;
            let rest = usize::try_from(at).ok().and_then(|at| content.get(at..)).unwrap_or(&[]);
            Ok(rest[..rest.len().min(len as usize)].to_vec())
        }
        Node::Output { .. } => Err(errno(Errno::BadFile)),
    }
}

/// Reads a file from a position on.
struct Source {
    vfs: Shared<Vfs>,
    node: Node,
    at: u64,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Source {
    async fn ready(&mut self) {}
}

impl InputStream for Source {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let bytes = read(&lock(&self.vfs), &self.node, self.at, (size as u64).min(PIECE))
            .map_err(|error| StreamError::trap(&error.to_string()))?;
        if bytes.is_empty() && size > 0 {
            return Err(StreamError::Closed);
        }
        self.at += bytes.len() as u64;
        Ok(bytes.into())
    }
}

/// Writes a file from a position on, or at its end.
struct Sink {
    vfs: Shared<Vfs>,
    id: u64,
    at: Option<u64>,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Sink {
    async fn ready(&mut self) {}
}

impl OutputStream for Sink {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut vfs = lock(&self.vfs);
        let at = match self.at {
            Some(at) => at,
            None => vfs.size(self.id).map_err(|_| StreamError::Closed)?,
        };
        vfs.write(self.id, at, &bytes).map_err(|fail| match fail {
            Fail::Stop(error) => StreamError::Trap(Ending::Stop(error).into()),
            _ => StreamError::Closed,
        })?;
        self.at = self.at.map(|at| at + bytes.len() as u64);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PIECE as usize)
    }
}
