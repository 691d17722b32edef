//! What has to be looked after: epochs, a newer consensus, entries, and loops that got lost.

use super::{Shared, count, unix_now};
use crate::Key;
use crate::fetch;
use crate::view::View;
use rand::RngExt;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A loop that took longer than this and twenty mean delays is lost.
const LOOP_PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn run(shared: Arc<Shared>) {
    let mut renewal = Renewal::new(&shared);
    let mut woken = shared.wakeup.listen();
    loop {
        tokio::select! {
            () = shared.cancel.cancelled() => return,
            () = shared.look.notified() => {}
            // Loops of before the sleep say nothing about their relays.
            () = woken.kicked() => shared.loops.lock().clear(),
            () = tokio::time::sleep(until_next_look(&shared)) => {}
        }
        let now = unix_now();
        let view = shared.view.read().clone();
        if view.is_over(now) {
            let signed = view.signed().clone();
            // A large network's tickets take some tenths of a second.
            let all = shared.measures();
            if let Ok(view) = tokio::task::spawn_blocking(move || View::new(signed, now, all)).await {
                let keys: HashSet<Key> =
                    (1..=3).flat_map(|layer| view.layer(layer, false)).map(|(_, key)| *key).collect();
                shared.tables.retain(|key| keys.contains(key));
                let mut current = shared.view.write();
                // A newer consensus may have come meanwhile.
                if current.consensus().valid_after == view.consensus().valid_after {
                    *current = Arc::new(view);
                }
            }
        }
        renewal.look(&shared, now);
        shared.look_after_entries();
        shared.homes.look_after(&shared);
        let lost = shared.loops.lock().overdue(Instant::now(), LOOP_PATIENCE + shared.mean_delay() * 20);
        for path in lost {
            count(&shared.counters.loops_lost);
            shared.note(path, false);
        }
        shared.answers.lock().expire(now);
    }
}

/// At the latest when the epoch ends: then packets need the next keys.
fn until_next_look(shared: &Shared) -> Duration {
    let view = shared.view.read().clone();
    let timing = view.consensus().network.timing;
    let end = (u64::from(view.epoch()) + 1) * u64::from(timing.epoch);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(now) if timing.epoch > 0 => {
            let left = Duration::from_secs(end).saturating_sub(now);
            (left + Duration::from_millis(5)).min(LOOK_EVERY)
        }
        _ => LOOK_EVERY,
    }
}

/// Gets each consensus soon after it began: from the home relay, which knows this client anyway, or if that does not
/// help, from an authority.
struct Renewal {
    of: u64,
    /// Clients ask at different times.
    jitter: f64,
    asked: Option<Instant>,
    fetched: Option<Instant>,
}

impl Renewal {
    fn new(shared: &Shared) -> Self {
        let of = shared.view.read().consensus().valid_after;
        Self { of, jitter: rand::rng().random(), asked: None, fetched: None }
    }

    fn look(&mut self, shared: &Arc<Shared>, now: u64) {
        let view = shared.view.read().clone();
        let document = view.consensus();
        let voting = f64::from(document.network.timing.voting);
        if voting == 0.0 {
            return; // there is no other
        }
        if document.valid_after != self.of {
            *self = Self::new(shared);
        }
        let age = now as f64 - document.valid_after as f64;
        let pause = Duration::from_secs_f64((voting / 20.0).clamp(1.0, 60.0));
        let may = |last: Option<Instant>| last.is_none_or(|at| at.elapsed() >= pause);
        if age >= voting * (1.05 + 0.3 * self.jitter) && may(self.asked) {
            self.asked = Some(Instant::now());
            shared.homes.ask_for_consensus(document.valid_after);
        }
        if (age >= voting * (1.5 + 0.3 * self.jitter) || age < 0.0) && may(self.fetched) {
            self.fetched = Some(Instant::now());
            let (shared, network, newer) = (shared.clone(), document.network.clone(), document.valid_after);
            tokio::spawn(async move {
                match fetch::newest(&network, newer, now).await {
                    Ok(Some(signed)) => _ = shared.install(signed),
                    Ok(None) => {}
                    Err(e) => tracing::warn!("no authority hands over a newer consensus: {e}"),
                }
            });
        }
    }
}
