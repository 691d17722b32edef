//! The tree that a program sees: `in` with its inputs, read-only, and `out` with what it makes, in memory.
//!
//! Paths here are clean: parts joined by `/`, no `.`, no `..`, the first part `in` or `out`. [`resolve`] makes them
//! so, or says that a path leads out.

use super::guest::Errno;
use crate::run::RunError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;

pub(crate) const IN: &str = "in";
pub(crate) const OUT: &str = "out";
/// Most files and folders in `/out`.
pub(crate) const MAX_ENTRIES: usize = 10_000;
/// Longest path, bytes.
const MAX_PATH: usize = 1024;
/// Deepest folder.
const MAX_DEPTH: usize = 64;

/// The shape of `/out`, for a checkpoint. The contents are kept apart, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tree {
    /// Path, and the file's id; none is a folder. Sorted.
    pub(crate) entries: Vec<(String, Option<u64>)>,
    /// Id and size of every file, also of those that are open but removed. Sorted.
    pub(crate) files: Vec<(u64, u64)>,
    pub(crate) next: u64,
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// How many open numbers hold it.
    held: u32,
    linked: bool,
}

/// An input.
pub(in crate::worker) struct Input {
    pub(in crate::worker) file: File,
    pub(in crate::worker) size: u64,
}

/// The tree.
#[derive(Default)]
pub(in crate::worker) struct Vfs {
    inputs: Vec<Input>,
    /// Path within the tree; none is a folder.
    input_names: BTreeMap<String, Option<u32>>,
    entries: BTreeMap<String, Option<u64>>,
    files: BTreeMap<u64, Content>,
    next: u64,
    quota: u64,
    /// Bytes of the files of `/out`, and of standard output.
    used: u64,
}

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::worker) enum Entry {
    Folder,
    Input(u32),
    Output(u64),
}

/// A path relative to a folder, made clean. None: it leads out of that folder.
pub(in crate::worker) fn resolve(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            other => parts.push(other),
        }
    }
    let mut clean = folder.to_owned();
    for part in parts {
        clean.push('/');
        clean.push_str(part);
    }
    Some(clean)
}

/// True for a path as [`resolve`] makes them.
pub(in crate::worker) fn is_clean(path: &str, root: &str) -> bool {
    path.len() <= MAX_PATH
        && path.split('/').count() <= MAX_DEPTH
        && path.split('/').next() == Some(root)
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !path.contains('\0')
}

impl Vfs {
    pub(in crate::worker) fn new(quota: u64) -> Self {
        Self { quota, next: 1, ..Self::default() }
    }

    /// Adds an input below `/in`.
    pub(in crate::worker) fn add_input(&mut self, name: &str, file: File, size: u64) -> Result<(), String> {
        let path = format!("{IN}/{name}");
        if !is_clean(&path, IN) {
            return Err(format!("`{name}` is no name for an input: it must be a relative path without `..`"));
        }
        let taken = |names: &BTreeMap<String, Option<u32>>, path: &str| {
            names.get(path).is_some_and(|found| found.is_some())
        };
        let mut folder = path.as_str();
        while let Some((above, _)) = folder.rsplit_once('/') {
            folder = above;
            if taken(&self.input_names, folder) {
                return Err(format!("the input `{name}` lies below another input"));
            }
            self.input_names.insert(folder.to_owned(), None);
        }
        if self.input_names.contains_key(&path) {
            return Err(format!("there are two inputs `{name}`"));
        }
        self.input_names.insert(path, Some(self.inputs.len() as u32));
        self.inputs.push(Input { file, size });
        Ok(())
    }

    pub(in crate::worker) fn input(&self, index: u32) -> Option<&Input> {
        self.inputs.get(index as usize)
    }

    pub(in crate::worker) fn find(&self, path: &str) -> Option<Entry> {
        match path {
            IN | OUT => return Some(Entry::Folder),
            _ => {}
        }
        if let Some(found) = self.input_names.get(path) {
            return Some(found.map_or(Entry::Folder, Entry::Input));
        }
        self.entries.get(path).map(|found| found.map_or(Entry::Folder, Entry::Output))
    }

    pub(in crate::worker) fn is_folder(&self, path: &str) -> bool {
        self.find(path) == Some(Entry::Folder)
    }

    /// Names in a folder, sorted.
    pub(in crate::worker) fn list(&self, folder: &str) -> Vec<(String, Entry)> {
        let below = format!("{folder}/");
        let child = |path: &str| -> Option<String> {
            path.strip_prefix(&below).filter(|rest| !rest.contains('/')).map(str::to_owned)
        };
        let inputs = self
            .input_names
            .range(below.clone()..)
            .take_while(|(path, _)| path.starts_with(&below))
            .filter_map(|(path, found)| Some((child(path)?, found.map_or(Entry::Folder, Entry::Input))));
        let outputs = self
            .entries
            .range(below.clone()..)
            .take_while(|(path, _)| path.starts_with(&below))
            .filter_map(|(path, found)| Some((child(path)?, found.map_or(Entry::Folder, Entry::Output))));
        inputs.chain(outputs).collect()
    }

    /// May something be made at this path?
    fn may_make(&self, path: &str) -> Result<(), super::Fail> {
        if path.split('/').next() != Some(OUT) {
            return Err(Errno::ReadOnly.into());
        }
        if !is_clean(path, OUT) {
            return Err(Errno::NameTooLong.into());
        }
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        match self.find(above) {
            Some(Entry::Folder) => {}
            Some(_) => return Err(Errno::NotFolder.into()),
            None => return Err(Errno::NoEntry.into()),
        }
        if self.entries.len() >= MAX_ENTRIES {
            let what = format!("more than {MAX_ENTRIES} files and folders in /out");
            return Err(super::Fail::Stop(RunError::Denied(what)));
        }
        Ok(())
    }

    pub(in crate::worker) fn make_folder(&mut self, path: &str) -> super::Call {
        if self.find(path).is_some() {
            return Err(Errno::Exists.into());
        }
        self.may_make(path)?;
        self.entries.insert(path.to_owned(), None);
        Ok(())
    }

    /// A new, empty file; it must not exist.
    pub(in crate::worker) fn make_file(&mut self, path: &str) -> Result<u64, super::Fail> {
        self.may_make(path)?;
        let id = self.next;
        self.next += 1;
        self.entries.insert(path.to_owned(), Some(id));
        self.files.insert(id, Content { linked: true, ..Content::default() });
        Ok(id)
    }

    /// An open number holds the file.
    pub(in crate::worker) fn hold(&mut self, id: u64) -> Result<(), Errno> {
        self.files.get_mut(&id).ok_or(Errno::BadFile)?.held += 1;
        Ok(())
    }

    /// An open number lets go of it.
    pub(in crate::worker) fn release(&mut self, id: u64) {
        if let Some(file) = self.files.get_mut(&id) {
            file.held = file.held.saturating_sub(1);
            self.drop_if_gone(id);
        }
    }

    fn drop_if_gone(&mut self, id: u64) {
        if self.files.get(&id).is_some_and(|file| !file.linked && file.held == 0)
            && let Some(file) = self.files.remove(&id)
        {
            self.used = self.used.saturating_sub(file.bytes.len() as u64);
        }
    }

    /// After a restore: files that nothing names.
    pub(in crate::worker) fn forget_unheld(&mut self) {
        let ids: Vec<u64> = self.files.keys().copied().collect();
        ids.into_iter().for_each(|id| self.drop_if_gone(id));
    }

    pub(in crate::worker) fn remove(&mut self, path: &str, folder: bool) -> super::Call {
        if path == IN || path == OUT || path.starts_with("in/") {
            return Err(Errno::ReadOnly.into());
        }
        match (self.find(path), folder) {
            (None, _) => return Err(Errno::NoEntry.into()),
            (Some(Entry::Folder), false) => return Err(Errno::IsFolder.into()),
            (Some(Entry::Output(_) | Entry::Input(_)), true) => return Err(Errno::NotFolder.into()),
            (Some(Entry::Folder), true) if !self.list(path).is_empty() => return Err(Errno::NotEmpty.into()),
            _ => {}
        }
        if let Some(Some(id)) = self.entries.remove(path) {
            self.unlink(id);
        }
        Ok(())
    }

    fn unlink(&mut self, id: u64) {
        if let Some(file) = self.files.get_mut(&id) {
            file.linked = false;
        }
        self.drop_if_gone(id);
    }

    pub(in crate::worker) fn rename(&mut self, from: &str, to: &str) -> super::Call {
        if [from, to].iter().any(|path| *path == IN || *path == OUT || path.starts_with("in/")) {
            return Err(Errno::ReadOnly.into());
        }
        let source = self.find(from).ok_or(Errno::NoEntry)?;
        if from == to {
            return Ok(());
        }
        if to.starts_with(&format!("{from}/")) {
            return Err(Errno::Invalid.into());
        }
        let below = format!("{from}/");
        let moved: Vec<String> = self
            .entries
            .range(from.to_owned()..)
            .map(|(path, _)| path.clone())
            .take_while(|path| path.starts_with(from))
            .filter(|path| path == from || path.starts_with(&below))
            .collect();
        if moved.iter().any(|path| !is_clean(&format!("{to}{}", &path[from.len()..]), OUT)) {
            return Err(Errno::NameTooLong.into());
        }
        match (source, self.find(to)) {
            (_, None) => {}
            (Entry::Folder, Some(Entry::Folder)) if self.list(to).is_empty() => {}
            (Entry::Folder, Some(Entry::Folder)) => return Err(Errno::NotEmpty.into()),
            (Entry::Folder, Some(_)) => return Err(Errno::NotFolder.into()),
            (_, Some(Entry::Folder)) => return Err(Errno::IsFolder.into()),
            _ => {}
        }
        let replaced = self.entries.remove(to);
        // Nothing is added to the count, so the check is for the place alone.
        if let Err(error) = self.may_make(to) {
            if let Some(replaced) = replaced {
                self.entries.insert(to.to_owned(), replaced);
            }
            return Err(error);
        }
        if let Some(Some(id)) = replaced {
            self.unlink(id);
        }
        for path in moved {
            if let Some(entry) = self.entries.remove(&path) {
                self.entries.insert(format!("{to}{}", &path[from.len()..]), entry);
            }
        }
        Ok(())
    }

    pub(in crate::worker) fn size(&self, id: u64) -> Result<u64, Errno> {
        Ok(self.files.get(&id).ok_or(Errno::BadFile)?.bytes.len() as u64)
    }

    pub(in crate::worker) fn content(&self, id: u64) -> Result<&[u8], Errno> {
        Ok(&self.files.get(&id).ok_or(Errno::BadFile)?.bytes)
    }

    /// Counts bytes of standard output.
    pub(in crate::worker) fn count(&mut self, bytes: u64) -> Result<(), RunError> {
        let used = self.used.checked_add(bytes).filter(|used| *used <= self.quota);
        self.used = used.ok_or(RunError::OutputLimit(self.quota))?;
        Ok(())
    }

    /// Sets a file's size; what is added is zeros.
    pub(in crate::worker) fn resize(&mut self, id: u64, size: u64) -> super::Call {
        let now = self.size(id)?;
        if size > now {
            self.count(size - now).map_err(super::Fail::Stop)?;
        } else {
            self.used = self.used.saturating_sub(now - size);
        }
        if let Some(file) = self.files.get_mut(&id) {
            // The quota bounds it far below the address space.
            file.bytes.resize(usize::try_from(size).map_err(|_| Errno::Overflow)?, 0);
        }
        Ok(())
    }

    pub(in crate::worker) fn write(&mut self, id: u64, at: u64, bytes: &[u8]) -> super::Call {
        let end = at.checked_add(bytes.len() as u64).ok_or(Errno::Overflow)?;
        if end > self.size(id)? && !bytes.is_empty() {
            self.resize(id, end)?;
        }
        if let Some(file) = self.files.get_mut(&id)
            && let Some(place) = file.bytes.get_mut(at as usize..end as usize)
        {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }

    /// All files of `/out` that have a path, and all its folders, sorted by path below `/out`.
    pub(in crate::worker) fn outputs(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.entries.iter().map(|(path, id)| {
            let name = path.strip_prefix("out/").unwrap_or(path);
            (name, id.map(|id| self.files.get(&id).map_or(&[][..], |file| &file.bytes[..])))
        })
    }

    pub(in crate::worker) fn tree(&self) -> Tree {
        Tree {
            entries: self.entries.iter().map(|(path, id)| (path.clone(), *id)).collect(),
            files: self.files.iter().map(|(id, file)| (*id, file.bytes.len() as u64)).collect(),
            next: self.next,
        }
    }

    /// Takes up the shape of a tree from a checkpoint, with files of zeros; `stdout` bytes count too.
    pub(in crate::worker) fn restore(&mut self, tree: &Tree, stdout: u64) -> Result<(), RunError> {
        let bad = |what: &str| RunError::BadCheckpoint(format!("the tree of /out {what}"));
        if tree.entries.len() > MAX_ENTRIES || tree.files.len() > MAX_ENTRIES + super::MAX_OPEN {
            return Err(bad("has too many entries"));
        }
        // Nobody makes so many files; a number near the end could not be counted on.
        if tree.next > u64::from(u32::MAX) << 16 {
            return Err(bad("has a wrong number"));
        }
        self.entries.clear();
        self.files.clear();
        self.used = 0;
        self.count(stdout)?;
        for (id, size) in &tree.files {
            self.count(*size)?;
            let bytes = vec![0; usize::try_from(*size).map_err(|_| bad("is too large"))?];
            if *id >= tree.next || self.files.insert(*id, Content { bytes, ..Content::default() }).is_some() {
                return Err(bad("has a wrong number"));
            }
        }
        for (path, id) in &tree.entries {
            let above = path.rsplit_once('/').map_or("", |(above, _)| above);
            // Sorted, so a folder comes before what is in it.
            if !is_clean(path, OUT) || path == OUT || !self.is_folder(above) {
                return Err(bad("has a wrong path"));
            }
            if let Some(id) = id {
                let file = self.files.get_mut(id).filter(|file| !file.linked);
                file.ok_or_else(|| bad("names a file that is not there"))?.linked = true;
            }
            if self.entries.insert(path.clone(), *id).is_some() {
                return Err(bad("has a path twice"));
            }
        }
        self.next = tree.next;
        Ok(())
    }

    /// A file's bytes, to be filled by a restore.
    pub(in crate::worker) fn content_mut(&mut self, id: u64) -> Option<&mut [u8]> {
        self.files.get_mut(&id).map(|file| &mut file.bytes[..])
    }
}

#[cfg(test)]
mod tests;
