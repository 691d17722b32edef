//! The paths that packets of messages took lately, for the circuits screen. Kept in memory only: on disk they
//! would be a record of who talks when.

use fog_p2p::MessageId;
use fog_p2p::transport::Route;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::time::Duration;

const KEEP: usize = 2000;

#[derive(Clone)]
pub(crate) struct Path {
    pub(crate) message: MessageId,
    pub(crate) index: u16,
    pub(crate) count: u16,
    pub(crate) sent_ms: i64,
    pub(crate) route: Route,
    pub(crate) acknowledged_after: Option<Duration>,
}

#[derive(Default)]
pub(crate) struct Paths(Mutex<VecDeque<Path>>);

impl Paths {
    pub(crate) fn sent(&self, path: Path) {
        let mut paths = self.0.lock();
        if paths.len() >= KEEP {
            paths.pop_front();
        }
        paths.push_back(path);
    }

    /// The newest packet of this fragment was acknowledged; earlier ones stay open, they may have been lost.
    pub(crate) fn acknowledged(&self, message: &MessageId, index: u16, after: Duration) {
        let mut paths = self.0.lock();
        if let Some(path) = paths.iter_mut().rev().find(|p| p.message == *message && p.index == index) {
            path.acknowledged_after = Some(after);
        }
    }

    /// The paths of a message, newest first.
    pub(crate) fn of(&self, message: &MessageId) -> Vec<Path> {
        self.0.lock().iter().rev().filter(|p| p.message == *message).cloned().collect()
    }
}
