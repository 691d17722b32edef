//! Caps on a worker process that the system enforces, from outside of it.
//!
//! The worker paces itself and its memory is metered; that is exact, but it is the worker's own word. These caps hold
//! even if the worker breaks out:
//!
//! | System | By | What |
//! |---|---|---|
//! | Linux | a cgroup (version 2) of its own, where one is delegated to the node | processor quota, memory with no swap, number of processes, weight of an idle group, all killed at the end |
//! | Windows | a job object of its own | processor rate, memory, number of processes, idle priority, all killed at the end |
//! | else | the worker's own limits, set before it looks at the job | nice 19, `SCHED_IDLE`, idle disk priority, data size (see [`crate::worker`]) |
//!
//! A cgroup is delegated by systemd (`Delegate=yes` of the node's service) or by whoever runs the node in a container.
//! Without one nothing is lost but the outer wall.

#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(windows)]
mod job_object;

use std::io;
use std::sync::OnceLock;
use tokio::process::Child;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

#[cfg(target_os = "linux")]
use cgroup::Tree;
#[cfg(windows)]
use job_object::Tree;

/// What the compiler, the stacks and the rest of a worker may take besides the program's memory, bytes.
const HEADROOM: u64 = 768 * 1024 * 1024;
/// Threads and processes of a worker.
const PROCESSES: u32 = 128;
/// A paused worker still hears its node: thousandths of a core.
const LEAST_SHARE: u32 = 10;

/// What one worker may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cap {
    /// Memory, bytes.
    memory: u64,
    /// Threads and processes.
    processes: u32,
    /// Thousandths of one core.
    share: u32,
}

/// A confined worker. It is set free, which means that all its processes are killed, when this is dropped.
pub(super) struct Confined {
    _following: AbortOnDropHandle<()>,
}

/// Confines a worker that was just started and has not been told what to run. Its share of one core follows `control`.
/// None where this system has no such caps; the worker's own stand.
pub(super) fn confine<C: Send + Sync + 'static>(
    child: &Child,
    memory: u64,
    mut control: watch::Receiver<C>,
    share: impl Fn(&C) -> u32 + Send + 'static,
) -> Option<Confined> {
    let tree = tree()?;
    let first = share(&control.borrow_and_update());
    let cap = Cap { memory: memory.saturating_add(HEADROOM), processes: PROCESSES, share: first };
    let group = match tree.group(cap).and_then(|group| group.adopt(child).map(|()| group)) {
        Ok(group) => group,
        Err(error) => {
            tracing::warn!(%error, "a worker process runs without the system's caps");
            return None;
        }
    };
    let following = tokio::spawn(async move {
        // Held by this task: dropped with it.
        let group = group;
        while control.changed().await.is_ok() {
            let now = share(&control.borrow_and_update());
            if let Err(error) = group.set_share(now) {
                tracing::warn!(%error, "the share of a worker process");
            }
        }
        std::future::pending::<()>().await;
    });
    Some(Confined { _following: AbortOnDropHandle::new(following) })
}

/// Where workers are confined: found out once, at the first of them.
fn tree() -> Option<&'static Tree> {
    static TREE: OnceLock<Option<Tree>> = OnceLock::new();
    let found = TREE.get_or_init(|| match Tree::find() {
        Ok(tree) => {
            tracing::info!("worker processes are capped by {}", tree.words());
            Some(tree)
        }
        Err(error) => {
            tracing::info!("worker processes are capped by their own limits alone: {error}");
            None
        }
    });
    found.as_ref()
}

/// Nothing of the kind on this system.
#[cfg(not(any(target_os = "linux", windows)))]
struct Tree;
#[cfg(not(any(target_os = "linux", windows)))]
struct Group;

#[cfg(not(any(target_os = "linux", windows)))]
impl Tree {
    fn find() -> io::Result<Self> {
        Err(io::Error::other("this system has no caps for others' processes"))
    }

    fn words(&self) -> &'static str {
        ""
    }

    fn group(&self, _: Cap) -> io::Result<Group> {
        Ok(Group)
    }
}

#[cfg(not(any(target_os = "linux", windows)))]
impl Group {
    fn adopt(&self, _: &Child) -> io::Result<()> {
        Ok(())
    }

    fn set_share(&self, _: u32) -> io::Result<()> {
        Ok(())
    }
}

/// The share as it is enforced.
#[cfg_attr(not(any(target_os = "linux", windows)), allow(dead_code))]
fn enforced(share: u32) -> u32 {
    share.clamp(LEAST_SHARE, 1000)
}

#[cfg_attr(not(any(target_os = "linux", windows)), allow(dead_code))]
fn id(child: &Child) -> io::Result<u32> {
    child.id().ok_or_else(|| io::Error::other("the worker has ended already"))
}
