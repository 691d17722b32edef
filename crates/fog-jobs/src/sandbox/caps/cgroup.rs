//! Control groups, version 2.
//!
//! ```text
//!   the cgroup that the node was started in, delegated to it
//!     node/          this process: a group that divides its resources holds no process itself
//!     jobs/          an idle group: runs when nobody else wants the processor
//!       job-1-1/     one worker: cpu.max, memory.max, pids.max
//! ```

use super::{Cap, enforced, id};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::process::Child;

/// The quota's period, microseconds.
const PERIOD: u64 = 100_000;
/// How often a group is tried to be removed; its processes take a moment to go.
const TRIES: u32 = 50;
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// The controllers without which a group is no cap. Without `cpu` the worker's own pace has to do.
const NEEDED: [&str; 2] = ["memory", "pids"];

/// The part of the tree that is ours.
#[derive(Debug)]
pub(super) struct Tree {
    jobs: PathBuf,
    cpu: bool,
}

/// One worker's group.
#[derive(Debug)]
pub(super) struct Group {
    folder: PathBuf,
    cpu: bool,
}

impl Tree {
    /// Takes over the group that this process is in, if it is ours alone.
    pub(super) fn find() -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let mount = mount(&mounts).ok_or_else(|| io::Error::other("there is no cgroup version 2"))?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let own = own.ok_or_else(|| io::Error::other("this process is in no cgroup of version 2"))?;
        Self::take(&mount.join(own), std::process::id(), own.is_empty())
    }

    /// Takes over this group, which holds no process but this one. The root group may hold others.
    fn take(home: &Path, process: u32, root: bool) -> io::Result<Self> {
        let controllers = fs::read_to_string(home.join("cgroup.controllers"))?;
        let has = |name: &str| controllers.split_whitespace().any(|c| c == name);
        if let Some(missing) = NEEDED.iter().find(|name| !has(name)) {
            let text = format!("the controller {missing} is not delegated at {}", home.display());
            return Err(io::Error::other(text));
        }
        if !root {
            let members = fs::read_to_string(home.join("cgroup.procs"))?;
            if members.lines().any(|line| line.trim() != process.to_string()) {
                return Err(io::Error::other(format!("{} holds other processes too", home.display())));
            }
            let node = home.join("node");
            make(&node)?;
            put(&node, "cgroup.procs", &process.to_string())?;
        }
        let cpu = has("cpu");
        let wanted = if cpu { "+cpu +memory +pids" } else { "+memory +pids" };
        let jobs = home.join("jobs");
        put(home, "cgroup.subtree_control", wanted)?;
        make(&jobs)?;
        put(&jobs, "cgroup.subtree_control", wanted)?;
        if cpu && put(&jobs, "cpu.idle", "1").is_err() {
            put(&jobs, "cpu.weight", "1")?;
        }
        // Left behind by a node that was killed. Those that still hold something stay.
        for entry in fs::read_dir(&jobs)?.flatten() {
            let _ = fs::remove_dir(entry.path());
        }
        Ok(Self { jobs, cpu })
    }

    pub(super) fn words(&self) -> &'static str {
        if self.cpu { "cgroups: processor, memory, processes" } else { "cgroups: memory, processes" }
    }

    /// A group for one worker.
    pub(super) fn group(&self, cap: Cap) -> io::Result<Group> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("job-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let group = Group { folder: self.jobs.join(name), cpu: self.cpu };
        make(&group.folder)?;
        put(&group.folder, "memory.max", &cap.memory.to_string())?;
        // Where the kernel accounts for swap: none of it. And one that runs out of memory ends whole.
        let _ = put(&group.folder, "memory.swap.max", "0");
        let _ = put(&group.folder, "memory.oom.group", "1");
        put(&group.folder, "pids.max", &cap.processes.to_string())?;
        group.set_share(cap.share)?;
        Ok(group)
    }
}

impl Group {
    pub(super) fn adopt(&self, child: &Child) -> io::Result<()> {
        put(&self.folder, "cgroup.procs", &id(child)?.to_string())
    }

    pub(super) fn set_share(&self, share: u32) -> io::Result<()> {
        if !self.cpu {
            return Ok(());
        }
        let quota = u64::from(enforced(share)) * PERIOD / 1000;
        put(&self.folder, "cpu.max", &format!("{quota} {PERIOD}"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Kernels before 5.14 have no such file; there the worker's own end has to do.
        let _ = put(&self.folder, "cgroup.kill", "1");
        let folder = std::mem::take(&mut self.folder);
        // What was killed takes a moment to go, which nobody has to wait for.
        let removal = std::thread::Builder::new().name("fog-cgroup".into()).spawn(move || {
            for _ in 0..TRIES {
                match fs::remove_dir(&folder) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => std::thread::sleep(TRY_AGAIN),
                    _ => return,
                }
            }
            tracing::warn!(folder = %folder.display(), "a worker's cgroup cannot be removed");
        });
        if let Err(error) = removal {
            tracing::warn!(%error, "a worker's cgroup is left behind");
        }
    }
}

/// Where version 2 is mounted. In the list's lines the type stands after a dash, the place in the fifth field.
fn mount(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let kind = kind.split_whitespace().next()?;
        (kind == "cgroup2").then(|| place.split_whitespace().nth(4).map(PathBuf::from))?
    })
}

fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(named(folder, &e)),
        _ => Ok(()),
    }
}

fn put(folder: &Path, file: &str, text: &str) -> io::Result<()> {
    let path = folder.join(file);
    fs::write(&path, text).map_err(|e| named(&path, &e))
}

fn named(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group as the kernel shows it, of plain files: what is written can be read back.
    fn home(controllers: &str, members: &str) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("cgroup.controllers"), controllers).unwrap();
        fs::write(home.path().join("cgroup.procs"), members).unwrap();
        home
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    #[test]
    fn a_delegated_group_is_divided() {
        let home = home("cpuset cpu io memory pids\n", "42\n");
        fs::create_dir_all(home.path().join("jobs/job-1-1")).unwrap();
        let tree = Tree::take(home.path(), 42, false).unwrap();
        assert_eq!(read(&home.path().join("node/cgroup.procs")), "42");
        for folder in [home.path().to_owned(), home.path().join("jobs")] {
            assert_eq!(read(&folder.join("cgroup.subtree_control")), "+cpu +memory +pids");
        }
        assert_eq!(read(&home.path().join("jobs/cpu.idle")), "1");
        assert!(!home.path().join("jobs/job-1-1").exists(), "what a killed node left is removed");

        let group = tree.group(Cap { memory: 4096, processes: 9, share: 250 }).unwrap();
        let folder = group.folder.clone();
        for (file, text) in [("memory.max", "4096"), ("pids.max", "9"), ("cpu.max", "25000 100000")] {
            assert_eq!(read(&folder.join(file)), text);
        }
        for (share, text) in [(1000, "100000 100000"), (5000, "100000 100000"), (0, "1000 100000")] {
            group.set_share(share).unwrap();
            assert_eq!(read(&folder.join("cpu.max")), text);
        }
        drop(group);
        assert_eq!(read(&folder.join("cgroup.kill")), "1");
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let shared = home("cpu memory pids", "42\n43\n");
        let error = Tree::take(shared.path(), 42, false).unwrap_err().to_string();
        assert!(error.contains("other processes"), "{error}");
        assert!(!shared.path().join("node").exists());
        let poor = home("cpu hugetlb", "42\n");
        let error = Tree::take(poor.path(), 42, false).unwrap_err().to_string();
        assert!(error.contains("memory is not delegated"), "{error}");
        // Without the processor's controller the rest is still worth it. The root may hold whom it likes.
        let part = home("memory pids", "42\n43\n");
        let tree = Tree::take(part.path(), 42, true).unwrap();
        assert!(!tree.cpu && !part.path().join("jobs/cpu.idle").exists());
        let group = tree.group(Cap { memory: 1, processes: 1, share: 1 }).unwrap();
        assert!(!group.folder.join("cpu.max").exists());
    }

    #[test]
    fn the_mount_is_found_among_others() {
        let mounts = "24 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      30 24 0:26 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount(mounts), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mount("1 2 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\ngarbage\n"), None);
    }
}
