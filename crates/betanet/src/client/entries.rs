//! The links to entry relays.

use super::{Entries, SendError};
use crate::Key;
use crate::guards::{Guards, Reach};
use crate::link::{Frame, Role};
use crate::outgoing::{self, LinkState, QueueError, QueueSender, Target};
use crate::path::PathError;
use crate::view::View;
use crate::wakeup::Wakeup;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use x25519_dalek::StaticSecret;

/// Packets that wait for one entry's link.
const SEND_QUEUE: usize = 1024;
/// How long to wait before a full link is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(5);

struct Link {
    address: SocketAddr,
    queue: QueueSender,
    state: watch::Receiver<LinkState>,
    _ends: DropGuard,
}

/// Which entry a packet may take.
pub(super) enum Choice {
    /// Any of these.
    Any(Vec<Key>),
    /// This pinned one, or none for now.
    Pinned(Option<Key>),
}

/// All links to entries.
pub(super) struct Links {
    links: Mutex<HashMap<Key, Link>>,
    guards: Mutex<Option<Guards>>,
    not_saved: AtomicBool,
}

impl Links {
    pub(super) fn new(entries: Entries) -> Self {
        let guards = match entries {
            Entries::Pinned(guards) => Some(guards),
            Entries::All => None,
        };
        Self { links: Mutex::default(), guards: Mutex::new(guards), not_saved: AtomicBool::new(false) }
    }

    /// Makes links to the entries that should have one, and ends those to others.
    /// `online` says that other links work: then entries that do not answer are not just out of reach.
    pub(super) fn look_after(
        &self,
        view: &View,
        now_unix: u64,
        online: bool,
        wakeup: &Wakeup,
        cancel: &CancellationToken,
    ) {
        let wanted = self.wanted(view, now_unix, online);
        let mut links = self.links.lock();
        links.retain(|id, link| wanted.iter().any(|w| w.0 == *id && w.1 == link.address));
        for (remote, address) in wanted {
            links.entry(remote).or_insert_with(|| {
                let (queue, receiver) = outgoing::queue(SEND_QUEUE);
                let (state, watch) = watch::channel(LinkState::default());
                // A fresh key for each link: entries cannot tell who this is.
                let local = StaticSecret::random();
                let target = Target {
                    address,
                    remote,
                    local,
                    role: Role::Sender,
                    lazy: false,
                    silence: outgoing::CLIENT_SILENCE,
                };
                let ends = cancel.child_token();
                tokio::spawn(outgoing::keep(target, receiver, None, state, wakeup.listen(), ends.clone()));
                Link { address, queue, state: watch, _ends: ends.drop_guard() }
            });
        }
    }

    fn wanted(&self, view: &View, now_unix: u64, online: bool) -> Vec<(Key, SocketAddr)> {
        let listed = view.layer(1, false).map(|(r, _)| (r.id, r.address));
        let mut guards = self.guards.lock();
        let Some(guards) = guards.as_mut() else { return listed.collect() };
        // New ones are drawn among those that run and have a seat, by their standing.
        let candidates: Vec<(Key, f64)> = view
            .layer(1, false)
            .map(|(r, _)| {
                let weight = if view.is_drawn(&r.id) { crate::lottery::weight(&r.standing) } else { 0.0 };
                (r.id, weight)
            })
            .collect();
        let mut rng = rand::rng();
        guards.refresh(now_unix, &candidates, &mut rng);
        if online {
            let usable = self.usable();
            let reach = guards.reach(now_unix, &candidates, |id| usable.contains(id), &mut rng);
            if reach == Reach::Exhausted {
                tracing::warn!("none of the entries answers that may be used this month: packets wait");
            }
        }
        let pinned: Vec<Key> = guards.pinned(now_unix).collect();
        listed.filter(|(id, _)| pinned.contains(id)).collect()
    }

    /// The pinned entries, if they changed since this was last asked.
    pub(super) fn unsaved_guards(&self) -> Option<Vec<u8>> {
        let mut guards = self.guards.lock();
        let guards = guards.as_mut()?;
        let unsaved = guards.take_unsaved() | self.not_saved.swap(false, Ordering::AcqRel);
        unsaved.then(|| guards.to_bytes())
    }

    /// What was given could not be written.
    pub(super) fn not_saved(&self) {
        self.not_saved.store(true, Ordering::Release);
    }

    /// The entry of a packet.
    pub(super) fn choose(&self, now_unix: u64, good: impl Fn(&Key) -> bool) -> Choice {
        let usable = self.usable();
        let mut guards = self.guards.lock();
        let Some(guards) = guards.as_mut() else { return Choice::Any(usable) };
        let mut rng = rand::rng();
        let chosen = guards.choose(now_unix, |id| usable.contains(id) && good(id), &mut rng);
        Choice::Pinned(chosen.or_else(|| guards.choose(now_unix, |id| usable.contains(id), &mut rng)))
    }

    /// Whether the link is up; none if there should be none.
    pub(super) fn is_usable(&self, id: &Key) -> Option<bool> {
        self.links.lock().get(id).map(|l| *l.state.borrow() == LinkState::Up)
    }

    pub(super) fn usable(&self) -> Vec<Key> {
        let links = self.links.lock();
        links.iter().filter(|(_, l)| *l.state.borrow() == LinkState::Up).map(|(id, _)| *id).collect()
    }

    pub(super) fn send(&self, entry: &Key, frame: Frame) -> Result<(), SendError> {
        let links = self.links.lock();
        let link = links.get(entry).ok_or(PathError::EmptyLayer(1))?;
        link.queue.try_send(vec![frame]).map_err(|e| match e {
            QueueError::Full => SendError::Busy(FULL_PAUSE),
            QueueError::Closed => PathError::EmptyLayer(1).into(),
        })
    }
}
