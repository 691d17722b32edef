//! The thread that sends packets on when their time has come.
//!
//! It is a thread, because the runtime's timers are only as fine as a millisecond. It sleeps for as long as nothing
//! is due; while packets wait it looks at most every [`TICK`], so that packets of the same quarter of a millisecond
//! go out together.

use super::Shared;
use crate::Key;
use crate::directory::Consensus;
use crate::link::{Frame, IDLE_TIMEOUT, Role};
use crate::mix::Forward;
use crate::outgoing::{self, Frames, LinkState, QueueError, QueueSender, Target};
use crate::wakeup::Kick;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use tokio::runtime;
use tokio::sync::watch;

/// The least time between two looks while packets wait.
const TICK: Duration = Duration::from_micros(250);
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How often boxes are looked through.
const EXPIRY: Duration = Duration::from_secs(10);
/// How often an idle relay forgets mailboxes.
const IDLE: Duration = Duration::from_secs(60);
/// Packets that wait for a peer whose link is slow or down: 39 MB.
const PEER_QUEUE: usize = 16_384;
/// Packets that wait for a peer to which there is no link: 2.5 MB.
const DOWN_QUEUE: usize = 1024;
/// Packets that wait for all peers together: 157 MB. Then those whose link is down get none.
const ALL_QUEUES: usize = 65_536;
/// A peer that takes packets, but with more than this share of its queue waiting, makes the relay read less.
const PRESSURE: f64 = 0.5;

/// A relay that packets go to.
pub(super) struct Peer {
    /// None: it is in no consensus that this relay has.
    address: Option<SocketAddr>,
    queue: QueueSender,
    state: watch::Receiver<LinkState>,
}

impl Peer {
    /// True if it takes packets, but more slowly than they come.
    fn is_slow(&self) -> bool {
        self.queue.filled() > PRESSURE && *self.state.borrow() == LinkState::Up
    }
}

/// A hold on the thread.
#[derive(Clone)]
pub(super) struct Handle {
    thread: Thread,
    ended: watch::Receiver<bool>,
}

impl Handle {
    /// Something is due earlier than it was, or the relay ends.
    pub(super) fn wake(&self) {
        self.thread.unpark();
    }

    /// Waits until the thread has ended.
    pub(super) async fn ended(&self) {
        // An error means that the thread is gone without a word: it ended, too.
        _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

/// Starts the thread. Call it inside of a runtime, on which the links to peers will run.
pub(super) fn start(shared: Arc<Shared>) -> io::Result<Handle> {
    let runtime = runtime::Handle::current();
    let (sender, ended) = watch::channel(false);
    let thread = thread::Builder::new().name("mixer".into()).spawn(move || {
        run(&shared, &runtime);
        sender.send_replace(true);
    })?;
    Ok(Handle { thread: thread.thread().clone(), ended })
}

fn run(shared: &Arc<Shared>, runtime: &runtime::Handle) {
    let mut housekeeping = Instant::now() + HOUSEKEEPING;
    let mut expiry = Instant::now() + EXPIRY;
    let mut consensus = shared.consensus.clone();
    while !shared.cancel.is_cancelled() {
        let now = Instant::now();
        if consensus.has_changed().unwrap_or(false) {
            forget_moved(shared, consensus.borrow_and_update().unverified());
        }
        let (due, next) = {
            let mut mix = shared.mix.lock();
            let due: Vec<Forward> = std::iter::from_fn(|| mix.poll(now)).collect();
            if now >= housekeeping {
                housekeeping = now + HOUSEKEEPING;
                mix.mailboxes().expire(now);
            }
            (due, mix.next_due())
        };
        if now >= expiry {
            expiry = now + EXPIRY;
            shared.boxes.lock().expire(now, super::unix_now());
        }
        send(shared, runtime, due);
        let slow = shared.peers.lock().values().any(Peer::is_slow);
        shared.pressure.store(slow, Ordering::Relaxed);
        // An idle relay has nothing to send: it sleeps until it is woken.
        let until = next.map_or(now + IDLE, |n| n.min(housekeeping));
        thread::park_timeout(until.saturating_duration_since(Instant::now()).max(TICK));
    }
}

/// Ends the links to relays that are not where they were; the next packet makes a new one.
fn forget_moved(shared: &Shared, consensus: &Consensus) {
    shared
        .peers
        .lock()
        .retain(|id, peer| consensus.relay(id).is_some_and(|r| Some(r.address) == peer.address));
}

/// Hands each peer its packets.
fn send(shared: &Arc<Shared>, runtime: &runtime::Handle, due: Vec<Forward>) {
    let mut by_peer: HashMap<Key, Frames> = HashMap::new();
    for Forward { next, packet, .. } in due {
        by_peer.entry(next).or_default().push(Frame::Packet(packet));
    }
    if by_peer.is_empty() {
        return;
    }
    let waiting: usize = shared.peers.lock().values().map(|p| p.queue.waiting()).sum();
    for (peer, batch) in by_peer {
        let packets = batch.len() as u64;
        if !hand_over(shared, runtime, peer, batch, waiting) {
            shared.mix.lock().lost(packets);
        }
    }
}

/// False if the packets are lost: the peer's queue is full, or there is no such relay.
fn hand_over(
    shared: &Arc<Shared>,
    runtime: &runtime::Handle,
    peer: Key,
    batch: Frames,
    waiting: usize,
) -> bool {
    let mut peers = shared.peers.lock();
    let known = peers.entry(peer).or_insert_with(|| {
        let (queue, receiver) = outgoing::queue(PEER_QUEUE);
        let (state, watch) = watch::channel(LinkState::default());
        let address = shared.consensus.borrow().unverified().relay(&peer).map(|relay| relay.address);
        if let Some(address) = address {
            let target = Target {
                address,
                remote: peer,
                local: shared.keys.link.clone(),
                role: Role::Relay,
                lazy: true,
                silence: IDLE_TIMEOUT,
            };
            let keep = outgoing::keep(target, receiver, None, state, Kick::never(), shared.cancel.clone());
            shared.tasks.spawn_on(keep, runtime);
        }
        Peer { address, queue, state: watch }
    });
    if *known.state.borrow() != LinkState::Up
        && (known.queue.waiting() >= DOWN_QUEUE || waiting >= ALL_QUEUES)
    {
        return false;
    }
    match known.queue.try_send(batch) {
        Ok(()) => true,
        Err(QueueError::Full) => {
            tracing::debug!("queue to relay {} is full, packets dropped", crate::short(&peer));
            false
        }
        Err(QueueError::Closed) => {
            // Not in the consensus when it was first asked for: look again with the next packet.
            peers.remove(&peer);
            false
        }
    }
}
