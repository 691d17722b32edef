//! When packets leave: at once without cover traffic, else in the slots of a schedule that does not care what waits.

use super::{SendError, Shared, count};
use crate::Key;
use crate::cover::{Fill, LOOP_SHARE, Profile, Schedule, drop_message};
use crate::link::Frame;
use crate::packet::MAX_MESSAGE;
use crate::path::{Level, PathError};
use parking_lot::Mutex;
use rand::seq::IteratorRandom;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Packets that wait for their slots; more are refused for the time being. Few, so that what counts on an answer does
/// not wait for long, and so that a packet's path is still good when it leaves.
const QUEUE: usize = 4;

/// The packets that wait, and the profile.
pub(super) struct Queue {
    waiting: Mutex<VecDeque<(Key, Frame)>>,
    profile: watch::Sender<Profile>,
}

impl Queue {
    pub(super) fn new(profile: Profile) -> Self {
        let (profile, _) = watch::channel(profile);
        Self { waiting: Mutex::default(), profile }
    }

    pub(super) fn profile(&self) -> Profile {
        *self.profile.borrow()
    }

    pub(super) fn set_profile(&self, profile: Profile) {
        self.profile.send_if_modified(|old| {
            let changed = *old != profile;
            *old = profile;
            changed
        });
    }

    /// Refuses when as many packets wait as may.
    pub(super) fn room(&self) -> Result<(), SendError> {
        let profile = self.profile();
        if profile != Profile::Off && self.waiting.lock().len() >= QUEUE {
            return Err(SendError::Busy(gap(profile)));
        }
        Ok(())
    }

    /// Takes a packet to be sent in a slot; without cover traffic it is given back, to be sent at once.
    pub(super) fn push(&self, entry: Key, frame: Frame) -> Result<Option<(Key, Frame)>, SendError> {
        let profile = self.profile();
        if profile == Profile::Off {
            return Ok(Some((entry, frame)));
        }
        let mut waiting = self.waiting.lock();
        if waiting.len() >= QUEUE {
            return Err(SendError::Busy(gap(profile)));
        }
        waiting.push_back((entry, frame));
        Ok(None)
    }
}

/// The mean time between two slots that real packets may have.
fn gap(profile: Profile) -> Duration {
    let rate = profile.packets_a_second() * (1.0 - LOOP_SHARE);
    if rate > 0.0 { Duration::from_secs_f64(1.0 / rate) } else { Duration::ZERO }
}

/// How long a packet may wait for its slot, as those must know who wait for its acknowledgement: twice the mean time of
/// a full queue.
pub(super) fn patience(profile: Profile) -> Duration {
    gap(profile) * (2 * QUEUE as u32)
}

pub(super) async fn run(shared: Arc<Shared>) {
    let mut profile = shared.pacer.profile.subscribe();
    loop {
        let now = *profile.borrow_and_update();
        tokio::select! {
            () = shared.cancel.cancelled() => return,
            changed = profile.changed() => if changed.is_err() { return },
            () = cover(&shared, now) => {}
        }
        // What waited for a slot under the old profile does not wait for ever.
        if *profile.borrow() == Profile::Off {
            let waiting = std::mem::take(&mut *shared.pacer.waiting.lock());
            for (entry, frame) in waiting {
                _ = shared.entries.send(&entry, frame);
            }
        }
    }
}

async fn cover(shared: &Arc<Shared>, profile: Profile) {
    let mut schedule = Schedule::new(profile, Instant::now(), &mut rand::rng());
    while let Some(slot) = schedule.next_slot() {
        tokio::time::sleep_until(slot.into()).await;
        let Some(slot) = schedule.draw(Instant::now(), &mut rand::rng()) else { continue };
        let next = || shared.pacer.waiting.lock().pop_front();
        // What cannot be sent now is not made up for: a packet whose entry is gone is lost like any other.
        _ = match slot.fill(next) {
            Fill::Loop => send_loop(shared, Level::Private),
            Fill::Mail((entry, frame)) => shared.entries.send(&entry, frame),
            Fill::Drop => send_drop(shared),
        };
    }
    std::future::pending::<()>().await;
}

/// A packet to this client itself.
pub(super) fn send_loop(shared: &Shared, level: Level) -> Result<(), SendError> {
    let home = shared.homes.first().ok_or(PathError::EmptyLayer(3))?;
    let hops = shared.draw(level, &home)?;
    // Its own home is on every loop's path: what it loses says nothing of the others.
    let measured = if shared.measures() { hops.len() } else { hops.len() - 1 };
    let relays = hops[..measured].iter().map(|h| h.relay).collect();
    let number = shared.loops.lock().sent(relays, Instant::now());
    let message = shared.tag.message(&mut rand::rng(), number, MAX_MESSAGE);
    let sent = shared
        .tables
        .build(&message, &hops, &shared.mailbox)
        .map_err(SendError::from)
        .and_then(|packet| shared.entries.send(&hops[0].relay, Frame::Packet(packet)));
    if let Err(e) = sent {
        shared.loops.lock().forget(number);
        return Err(e);
    }
    count(&shared.counters.loops);
    Ok(())
}

/// A packet to nobody, at some home relay.
fn send_drop(shared: &Shared) -> Result<(), SendError> {
    let view = shared.view.read().clone();
    let home = view.layer(3, true).map(|(r, _)| r.id).choose(&mut rand::rng());
    let hops = shared.draw(Level::Private, &home.ok_or(PathError::EmptyLayer(3))?)?;
    let message = drop_message(&mut rand::rng(), MAX_MESSAGE);
    let packet = shared.tables.build(&message, &hops, &rand::random())?;
    shared.entries.send(&hops[0].relay, Frame::Packet(packet))?;
    count(&shared.counters.drops);
    Ok(())
}
