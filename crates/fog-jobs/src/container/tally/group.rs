//! A container's control group: version 1 (a tree for each kind) or 2 (one tree).

use super::Used;
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks for the group while the engine makes it, and for its end. An engine takes longer to clear up.
const OFTEN: Duration = Duration::from_millis(2);
/// Between two looks once it has taken long, and between readings in any case.
const SELDOM: Duration = Duration::from_millis(250);
/// An engine whose groups cannot be seen from here shows none, however long one looks.
const GIVE_UP: Duration = Duration::from_secs(120);
/// Looking through all groups takes this part of the time at most.
const SEARCH_PART: u32 = 20;
/// Groups that are looked through.
const MOST_GROUPS: usize = 4096;
/// Most bytes of a group's file.
const MOST_BYTES: u64 = 64 * 1024;

/// Where the last container's group was: the next one's is beside it.
static PLACE: Mutex<Option<Place>> = Mutex::new(None);

#[derive(Clone)]
struct Place {
    parent: PathBuf,
    name: (String, String),
}

/// The files of one group.
#[derive(Debug)]
pub(super) struct Group {
    cpu: PathBuf,
    /// Nanoseconds in a file of its own, or microseconds as a line of one.
    nanos: bool,
    memory: Option<PathBuf>,
    folder: PathBuf,
}

impl Group {
    /// Of a folder below one of the roots.
    fn at(folder: &Path, root: &Root) -> Self {
        let memory = if root.one_tree {
            Some(folder.join("memory.peak"))
        } else {
            let path = folder.strip_prefix(&root.folder).ok();
            let tree = root.folder.parent();
            path.zip(tree)
                .map(|(path, tree)| tree.join("memory").join(path).join("memory.max_usage_in_bytes"))
        };
        let cpu = if root.one_tree { "cpu.stat" } else { "cpuacct.usage" };
        Self { cpu: folder.join(cpu), nanos: !root.one_tree, memory, folder: folder.to_owned() }
    }

    /// CPU time of everything that ever ran in it. None if it is gone.
    pub(super) fn cpu_nanos(&self) -> Option<u64> {
        let text = read(&self.cpu)?;
        if self.nanos {
            return text.trim().parse().ok();
        }
        let micros = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
        micros.trim().parse::<u64>().ok()?.checked_mul(1000)
    }

    /// Most bytes at one time, where the kernel keeps that.
    pub(super) fn memory_peak(&self) -> Option<u64> {
        read(self.memory.as_ref()?)?.trim().parse().ok()
    }

    /// A process in it, the first if possible: that one outlives all others.
    fn process(&self) -> Option<OwnedFd> {
        let first = first(&self.folder).or_else(|| {
            // Some engines put the processes into a group of their own below.
            let below = fs::read_dir(&self.folder).ok()?.flatten();
            let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).take(8);
            below.filter_map(|entry| first(&entry.path())).min()
        })?;
        pidfd_open(Pid::from_raw(first)?, PidfdFlags::empty()).ok()
    }
}

/// The lowest of the processes in a group.
fn first(folder: &Path) -> Option<i32> {
    let text = read(&folder.join("cgroup.procs"))?;
    text.lines().filter_map(|line| line.parse().ok()).filter(|id| *id > 0).min()
}

fn read(file: &Path) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    fs::File::open(file).ok()?.take(MOST_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The root of the groups in which CPU time is counted.
struct Root {
    folder: PathBuf,
    one_tree: bool,
}

impl Root {
    fn find() -> Option<Self> {
        let base = Path::new("/sys/fs/cgroup");
        for tree in ["cpuacct", "cpu,cpuacct", "cpuacct,cpu"] {
            let folder = base.join(tree);
            if folder.join("cpuacct.usage").exists() {
                return Some(Self { folder, one_tree: false });
            }
        }
        base.join("cgroup.controllers").exists().then(|| Self { folder: base.to_owned(), one_tree: true })
    }

    /// The folder of a container's group: beside the last one's, or wherever it is.
    fn search(&self, container: &str, everywhere: bool) -> Option<PathBuf> {
        let place = PLACE.lock().clone();
        if let Some(Place { parent, name: (before, after) }) = place {
            let folder = parent.join(format!("{before}{container}{after}"));
            if folder.exists() {
                return Some(folder);
            }
        }
        if !everywhere {
            return None;
        }
        let mut folders = vec![self.folder.clone()];
        let mut next = 0;
        while let Some(folder) = folders.get(next).cloned() {
            next += 1;
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if folders.len() >= MOST_GROUPS || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                let name = entry.file_name();
                if let Some(name) = name.to_str().and_then(|name| around(name, container)) {
                    *PLACE.lock() = Some(Place { parent: folder, name });
                    return Some(entry.path());
                }
                folders.push(entry.path());
            }
        }
        None
    }
}

/// What is before and after the container's id in a group's name, if it is this container's. Podman has one for its
/// guardian of the container too, which is none of the program's.
fn around(name: &str, container: &str) -> Option<(String, String)> {
    let (before, after) = name.split_once(container)?;
    let known = matches!(before, "" | "docker-" | "libpod-") && matches!(after, "" | ".scope");
    known.then(|| (before.to_owned(), after.to_owned()))
}

/// The thread that reads.
pub(super) struct Watcher {
    thread: JoinHandle<()>,
    stop: Stop,
}

/// Ends the thread when it is dropped.
struct Stop(Arc<OwnedFd>);

impl Drop for Stop {
    fn drop(&mut self) {
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

impl Watcher {
    /// None where no groups are to be seen.
    pub(super) fn start(container: &str, used: &Arc<Used>) -> Option<Self> {
        let root = Root::find()?;
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?);
        let (container, used, stopped) = (container.to_owned(), Arc::clone(used), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("container-use".into())
            .spawn(move || follow(&root, &container, &used, &stopped))
            .ok()?;
        Some(Self { thread, stop: Stop(stop) })
    }

    /// Has it read once more, and waits for that.
    pub(super) async fn finish(self) {
        drop(self.stop);
        let thread = self.thread;
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

fn follow(root: &Root, container: &str, used: &Used, stop: &OwnedFd) {
    let began = Instant::now();
    let mut search_at = began;
    let folder = loop {
        let now = Instant::now();
        let everywhere = now >= search_at;
        if let Some(folder) = root.search(container, everywhere) {
            break folder;
        }
        if everywhere {
            search_at = now + now.elapsed() * SEARCH_PART;
        }
        let pause = if began.elapsed() < Duration::from_secs(5) { OFTEN } else { SELDOM };
        if began.elapsed() > GIVE_UP || wait(stop, None, pause) {
            return;
        }
    };
    let (_, group) = used.group.get_or_init(|| (Instant::now(), Group::at(&folder, root)));
    while used.read() {
        // When that process has ended, the last of the container's time is in the books. Until the first is there, and
        // after the last, there is nothing to wait for.
        let process = group.process();
        let pause = if process.is_some() { SELDOM } else { OFTEN };
        if wait(stop, process.as_ref(), pause) {
            used.read();
            return;
        }
    }
}

/// Waits for the end of a process, if there is one, but not longer than this. True if the watching is to end.
fn wait(stop: &OwnedFd, process: Option<&OwnedFd>, pause: Duration) -> bool {
    let mut waited = vec![PollFd::new(stop, PollFlags::IN)];
    waited.extend(process.map(|process| PollFd::new(process, PollFlags::IN)));
    let pause = Timespec::try_from(pause).ok();
    match poll(&mut waited, pause.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => !waited[0].revents().is_empty(),
        // Without waiting this would spin.
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_group_is_found_and_no_other() {
        let base = tempfile::tempdir().unwrap();
        let root = Root { folder: base.path().join("cpuacct"), one_tree: false };
        let id = "0123abcd";
        let folder = |name: &str| {
            let folder = root.folder.join(name);
            fs::create_dir_all(&folder).unwrap();
            folder
        };
        folder(&format!("machine.slice/libpod-conmon-{id}.scope"));
        folder(&format!("other/{id}ff"));
        assert_eq!(root.search(id, true), None);
        let group = folder(&format!("machine.slice/libpod-{id}.scope"));
        assert_eq!(root.search(id, true), Some(group.clone()));
        // The next one beside it needs no search.
        let next = folder("machine.slice/libpod-4567.scope");
        assert_eq!(root.search("4567", false), Some(next));

        fs::write(group.join("cpuacct.usage"), "1500\n").unwrap();
        let memory = base.path().join("memory/machine.slice").join(group.file_name().unwrap());
        fs::create_dir_all(&memory).unwrap();
        fs::write(memory.join("memory.max_usage_in_bytes"), "4096\n").unwrap();
        let found = Group::at(&group, &root);
        assert_eq!((found.cpu_nanos(), found.memory_peak()), (Some(1500), Some(4096)));
    }

    #[test]
    fn one_tree_is_read_too() {
        let base = tempfile::tempdir().unwrap();
        let root = Root { folder: base.path().to_owned(), one_tree: true };
        fs::write(base.path().join("cpu.stat"), "usage_usec 25\nuser_usec 20\n").unwrap();
        let group = Group::at(base.path(), &root);
        assert_eq!((group.cpu_nanos(), group.memory_peak()), (Some(25_000), None));
        fs::write(base.path().join("cpu.stat"), "nonsense").unwrap();
        assert_eq!(group.cpu_nanos(), None);
    }
}
