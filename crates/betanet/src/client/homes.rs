//! The links to home relays, and what comes over them.

use super::answers::Claim;
use super::{Inbound, Shared, count, unix_now};
use crate::Key;
use crate::directory::SignedConsensus;
use crate::directory::exchange::{Answer, MAX_MESSAGE, Pieces, Request};
use crate::link::{Frame, Role};
use crate::outgoing::{self, LinkState, QueueError, QueueSender, Target};
use crate::packet::{MESSAGE, Mail};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::DropGuard;

const RECEIPTS: usize = 1024;
const FRAMES: usize = 256;
/// The most home relays of a client.
const MAX_HOMES: usize = 6;

struct Home {
    relay: Key,
    /// None: the consensus does not list it.
    link: Option<Link>,
}

struct Link {
    address: SocketAddr,
    queue: QueueSender,
    state: watch::Receiver<LinkState>,
    _ends: DropGuard,
}

/// All home relays.
pub(super) struct Homes {
    homes: Mutex<Vec<Home>>,
    inbound: mpsc::Sender<Inbound>,
    /// How the link to the first one is.
    state: watch::Sender<LinkState>,
}

impl Homes {
    pub(super) fn new(inbound: mpsc::Sender<Inbound>) -> Self {
        let (state, _) = watch::channel(LinkState::default());
        Self { homes: Mutex::default(), inbound, state }
    }

    /// Links to these relays, and to no others.
    pub(super) fn set(&self, shared: &Arc<Shared>, relays: Vec<Key>) {
        let mut homes = self.homes.lock();
        let mut old = std::mem::take(&mut *homes);
        for relay in relays.into_iter().take(MAX_HOMES) {
            if homes.iter().all(|h| h.relay != relay) {
                let at = old.iter().position(|h| h.relay == relay);
                homes.push(at.map_or(Home { relay, link: None }, |at| old.swap_remove(at)));
            }
        }
        drop(homes);
        self.look_after(shared);
    }

    /// Makes the links that are missing, and those anew whose relay moved.
    pub(super) fn look_after(&self, shared: &Arc<Shared>) {
        let view = shared.view.read().clone();
        let mut homes = self.homes.lock();
        for home in homes.iter_mut() {
            let address = view.consensus().relay(&home.relay).map(|r| r.address);
            if home.link.as_ref().map(|l| l.address) == address {
                continue;
            }
            home.link = address.map(|address| self.link(shared, home.relay, address));
        }
        let state = match homes.first() {
            Some(Home { link: Some(link), .. }) => link.state.borrow().clone(),
            Some(_) => LinkState::Down("the network's directory does not list it".into()),
            None => LinkState::Down("none is chosen".into()),
        };
        self.state.send_if_modified(|old| {
            let changed = *old != state;
            *old = state;
            changed
        });
    }

    fn link(&self, shared: &Arc<Shared>, relay: Key, address: SocketAddr) -> Link {
        let (queue, receiver) = outgoing::queue(RECEIPTS);
        let (sender, frames) = mpsc::channel(FRAMES);
        let (state, watch) = watch::channel(LinkState::default());
        let ends = shared.cancel.child_token();
        let target = Target {
            address,
            remote: relay,
            local: shared.secret.clone(),
            role: Role::Mailbox,
            lazy: false,
            silence: outgoing::CLIENT_SILENCE,
        };
        let kick = shared.wakeup.listen();
        tokio::spawn(outgoing::keep(target, receiver, Some(sender), state, kick, ends.clone()));
        tokio::spawn(receive(shared.clone(), frames, self.inbound.clone(), queue.clone()));
        // Who watches the first home learns of its link at once.
        let (told, mut changes, stop) = (shared.clone(), watch.clone(), ends.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    changed = changes.changed() => if changed.is_err() { return },
                }
                told.homes.look_after(&told);
            }
        });
        Link { address, queue, state: watch, _ends: ends.drop_guard() }
    }

    pub(super) fn first(&self) -> Option<Key> {
        self.homes.lock().first().map(|h| h.relay)
    }

    pub(super) fn state(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    /// Asks a home relay for a newer consensus. False if none is linked.
    pub(super) fn ask_for_consensus(&self, newer_than: u64) -> bool {
        let homes = self.homes.lock();
        let linked = homes.iter().filter_map(|h| h.link.as_ref());
        let mut up = linked.filter(|l| *l.state.borrow() == LinkState::Up);
        up.next().is_some_and(|l| l.queue.try_send(Request::Consensus { newer_than }.frames()).is_ok())
    }
}

async fn receive(
    shared: Arc<Shared>,
    mut frames: mpsc::Receiver<Frame>,
    inbound: mpsc::Sender<Inbound>,
    receipts: QueueSender,
) {
    let mut pieces = Pieces::new(MAX_MESSAGE);
    while let Some(frame) = frames.recv().await {
        match frame {
            Frame::Deliver(number, mail) => {
                if let Some(message) = sort(&shared, mail)
                    && inbound.send(message).await.is_err()
                {
                    return;
                }
                // A receipt that finds no room is made up for by the next one, which names a higher number.
                if receipts.try_send(vec![Frame::Received(number)]) == Err(QueueError::Closed) {
                    return;
                }
            }
            Frame::Document { last, piece } => {
                if let Ok(Some(answer)) = pieces.add(last, &piece) {
                    take_consensus(&shared, &answer);
                }
            }
            _ => {}
        }
    }
}

/// What is for whoever listens; loops are for the relays' health.
fn sort(shared: &Shared, mail: Mail) -> Option<Inbound> {
    let Mail { identifier, bytes } = mail;
    if identifier != MESSAGE {
        let opened = shared.answers.lock().open(&identifier, bytes);
        let (message, claim) = opened?;
        count(&shared.counters.received);
        match claim {
            Claim::Inbound => return Some(Inbound::Answer { block: identifier, message }),
            Claim::Box(link) => link.answered(&message),
            Claim::Once(waiting) => _ = waiting.send(message),
        }
        return None;
    }
    let Some(number) = shared.tag.recognise(&bytes) else {
        count(&shared.counters.received);
        return Some(Inbound::Message(bytes));
    };
    if let Some((path, _)) = shared.loops.lock().arrived(number, Instant::now()) {
        count(&shared.counters.loops_back);
        shared.note(path, true);
    }
    None
}

fn take_consensus(shared: &Shared, answer: &[u8]) {
    let Some(Answer::Document(bytes)) = Answer::decode(answer) else { return };
    let network = shared.view.read().clone();
    match SignedConsensus::from_bytes(&bytes) {
        Ok(signed) if signed.network() == network.network() => {
            let from = signed.unverified().valid_after;
            if !shared.install(signed) {
                tracing::debug!(from, now = unix_now(), "a home relay's consensus was of no use");
            }
        }
        _ => tracing::warn!("a home relay handed over something that is no consensus of its network"),
    }
}
