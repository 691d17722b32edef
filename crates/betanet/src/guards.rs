//! Pinned entry relays ("guards"): a client enters the mixnet through few relays for months.
//!
//! Who drew a fresh entry for each packet would, sooner or later, send one through an entry of any watcher, who then
//! sees the client's address and when it sends. With pinned entries a client either has the watcher among its few, or
//! is out of sight for as long as they last (Wright et al. 2003; Tor's guards, proposal 271).
//!
//! ```text
//!  consensus ──▶ refresh: up to 3 pinned, weighted   ◀── dropped: expired, or 7 days out of the consensus
//!  a packet  ──▶ choose: one of those with a link, evenly
//!  no link   ──▶ reach: after 5 minutes one more, up to 6 relays in 30 days; then none, and the send waits
//! ```
//!
//! The limit holds against who blocks entries in order to be chosen: in any 30 days a client has links to at most
//! [`MOST_GUARDS`] different entries, whatever happens on its line and in the directory. A guard that is blocked saw
//! nothing, and counts no longer after 30 days: so who really lost all entries is not lost for ever. The limit counts
//! on the clock: who sets a client's clock forward by a month has its guards count as old.
//!
//! [`Guards`] is a state machine without IO. Its owner opens links to [`Guards::pinned`] only, keeps
//! [`Guards::to_bytes`] on disk, and writes it whenever [`Guards::take_unsaved`] says so, *before* it connects to a
//! relay that was just added.

use crate::Key;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// Entries that a client pins and uses while they can be reached.
pub const GUARDS: usize = 3;
/// The most entries that a client pins, and that it uses in any 30 days.
pub const MOST_GUARDS: usize = 6;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// How long a use counts against [`MOST_GUARDS`]. An hour more than 30 days, since uses are noted once in an hour.
const WINDOW: u64 = 30 * DAY + HOUR;
/// A guard that is in use is noted this often, so that there is little to save.
const NOTE_EVERY: u64 = HOUR;
/// A guard that is not in the consensus for this long is dropped.
const MISSING: u64 = 7 * DAY;
/// A guard is pinned for a random time between these two.
const LIFE: [u64; 2] = [60 * DAY, 120 * DAY];
/// How long no guard must be usable before one more is added.
const PATIENCE: u64 = 5 * MINUTE;
/// If nobody asked for longer than this, the machine slept: the wait begins anew.
const ASKED_EVERY: u64 = 2 * MINUTE;

const VERSION: u8 = 1;
/// Dropped guards that are remembered. One is added only while fewer than [`MOST_GUARDS`] are, and then all that are
/// pinned may be dropped.
const MOST_FORMER: usize = 2 * MOST_GUARDS;
/// More than the longest encoding: 6 pinned of at most 63 bytes, 12 former of 42, and the rest.
const MAX_LEN: usize = 1024;

/// A client's entry relays. Times are Unix seconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Guards {
    /// In the order in which they were pinned: the first are used before the later ones.
    pinned: Vec<Pinned>,
    /// Dropped, but used within [`WINDOW`].
    former: Vec<Former>,
    waiting: Option<Waiting>,
    #[serde(skip)]
    unsaved: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pinned {
    id: Key,
    /// When it is dropped.
    until: u64,
    /// When it last had a link, or was pinned if it never had; up to [`NOTE_EVERY`] too early.
    used: u64,
    /// Since when the consensus does not list it.
    missing: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Former {
    id: Key,
    used: u64,
}

/// No guard is usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    /// Since when, or since the last one was added.
    since: u64,
    /// When somebody last asked.
    asked: u64,
}

/// What [`Guards::reach`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// A guard is usable: nothing to do.
    Usable,
    /// None is usable, but not for long enough.
    Waiting,
    /// This relay is a guard now: save, connect to it, and ask again.
    Added(Key),
    /// No further one may be added now, or none is left: the send waits.
    Exhausted,
}

impl Guards {
    /// No guards yet; the first [`Guards::refresh`] draws them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over a consensus: `candidates` are its entry relays with their weights. Drops guards whose time is over or
    /// that were not listed for 7 days, and draws new ones while fewer than [`GUARDS`] are listed and the limit
    /// allows. Call it with each new consensus and once an hour.
    pub fn refresh<R: Rng>(&mut self, now_unix: u64, candidates: &[(Key, f64)], rng: &mut R) {
        self.settle(now_unix);
        for guard in &mut self.pinned {
            let missing = match candidates.iter().any(|(id, _)| *id == guard.id) {
                true => None,
                false => guard.missing.or(Some(now_unix)),
            };
            self.unsaved |= guard.missing != missing;
            guard.missing = missing;
        }
        let over = |g: &Pinned| {
            now_unix >= g.until || g.missing.is_some_and(|since| now_unix.saturating_sub(since) >= MISSING)
        };
        while let Some(place) = self.pinned.iter().position(over) {
            self.drop_guard(place, now_unix);
        }
        while self.listed().count() < GUARDS && self.add(now_unix, candidates, rng).is_some() {}
        // Nobody says that they are blocked: then they have links, also if nothing is sent.
        if self.waiting.is_none() {
            self.note(now_unix, &self.allowed(now_unix));
        }
    }

    /// The relays to which the client may have links, those that it prefers first: the first [`GUARDS`] are enough
    /// while one of them works. Not those that the consensus does not list now.
    pub fn pinned(&self, now_unix: u64) -> impl Iterator<Item = Key> {
        self.allowed(now_unix).into_iter().map(|place| self.pinned[place].id)
    }

    /// Draws the entry of a packet: evenly among the usable ones of the first [`GUARDS`] guards; among the others only
    /// if none of those is usable. None if no guard is usable: then the send waits, and [`Guards::reach`] is asked.
    pub fn choose<R: Rng>(
        &mut self,
        now_unix: u64,
        usable: impl Fn(&Key) -> bool,
        rng: &mut R,
    ) -> Option<Key> {
        let usable = self.usable(now_unix, usable);
        // Places are in order: those of the preferred ones come first.
        let preferred = self.allowed(now_unix).get(GUARDS - 1).copied().unwrap_or(usize::MAX);
        let among = match usable.partition_point(|place| *place <= preferred) {
            0 => &usable[..],
            n => &usable[..n],
        };
        let place = *among.get(rng.random_range(0..among.len().max(1)))?;
        Some(self.pinned[place].id)
    }

    /// Notes which guards have links, and asks for a further one when none has. Call it once a minute while the machine
    /// is online, whether or not something is to be sent; not while it is offline, when nothing is usable anyway. Once
    /// no guard was usable for 5 minutes, it draws one more of `candidates`, if the limit allows; the next one comes
    /// 5 minutes later at the earliest.
    pub fn reach<R: Rng>(
        &mut self,
        now_unix: u64,
        candidates: &[(Key, f64)],
        usable: impl Fn(&Key) -> bool,
        rng: &mut R,
    ) -> Reach {
        if !self.usable(now_unix, usable).is_empty() {
            return Reach::Usable;
        }
        let since = match self.waiting {
            Some(w) if now_unix - w.asked <= ASKED_EVERY => w.since,
            _ => now_unix,
        };
        self.waiting = Some(Waiting { since, asked: now_unix });
        if now_unix - since < PATIENCE {
            return Reach::Waiting;
        }
        // Full of guards that had no link for a month: the one that had none for longest makes room.
        if self.pinned.len() >= MOST_GUARDS && self.counted(now_unix) < MOST_GUARDS {
            let oldest = (0..self.pinned.len()).min_by_key(|place| self.pinned[*place].used);
            if let Some(place) = oldest {
                self.drop_guard(place, now_unix);
            }
        }
        match self.add(now_unix, candidates, rng) {
            Some(id) => {
                self.waiting = Some(Waiting { since: now_unix, asked: now_unix });
                Reach::Added(id)
            }
            None => Reach::Exhausted,
        }
    }

    /// True once after each change that must outlast a restart.
    pub fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.unsaved)
    }

    /// The bytes to keep: at most 1 KiB. They say through whom this client enters, and are to be kept private.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(postcard::to_allocvec(self).unwrap_or_default()); // plain data: postcard cannot fail on it
        bytes
    }

    /// Reads what [`Guards::to_bytes`] gave. None if it is of another version, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (VERSION, rest) = bytes.split_first().map(|(v, rest)| (*v, rest))? else { return None };
        if bytes.len() > MAX_LEN {
            return None;
        }
        let (guards, []) = postcard::take_from_bytes::<Self>(rest).ok()? else { return None };
        let mut ids: Vec<&Key> = guards.pinned.iter().map(|g| &g.id).collect();
        ids.extend(guards.former.iter().map(|g| &g.id));
        ids.sort_unstable();
        let distinct = ids.windows(2).all(|w| w[0] != w[1]);
        let bounded = guards.pinned.len() <= MOST_GUARDS && guards.former.len() <= MOST_FORMER;
        (distinct && bounded).then_some(guards)
    }

    fn listed(&self) -> impl Iterator<Item = &Pinned> {
        self.pinned.iter().filter(|g| g.missing.is_none())
    }

    /// Brings stored times into agreement with `now`. Times ahead of it were written under a wrong clock: they count
    /// from now, which forgets nothing and waits for no year to come.
    fn settle(&mut self, now: u64) {
        for guard in &mut self.pinned {
            guard.used = guard.used.min(now);
            guard.missing = guard.missing.map(|since| since.min(now));
            guard.until = guard.until.min(now.saturating_add(LIFE[1]));
        }
        for guard in &mut self.former {
            guard.used = guard.used.min(now);
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.since = waiting.since.min(now);
            waiting.asked = waiting.asked.min(now);
        }
        self.former.retain(|g| is_recent(g.used, now));
    }

    /// How many relays count as used in the last 30 days.
    fn counted(&self, now: u64) -> usize {
        let pinned = self.pinned.iter().map(|g| g.used);
        pinned.chain(self.former.iter().map(|g| g.used)).filter(|used| is_recent(*used, now)).count()
    }

    /// The guards that may be used now, as places in `pinned`: listed, and within the limit. One that was not used for
    /// a month counts as one more.
    fn allowed(&self, now: u64) -> Vec<usize> {
        let mut room = MOST_GUARDS.saturating_sub(self.counted(now));
        let mut may = |g: &Pinned| {
            let stale = !is_recent(g.used, now);
            let may = g.missing.is_none() && (!stale || room > 0);
            room -= usize::from(may && stale);
            may
        };
        (0..self.pinned.len()).filter(|place| may(&self.pinned[*place])).collect()
    }

    /// Those of the allowed ones that are usable. They are noted as used, all of them: a link shows the client as much
    /// as a packet does.
    fn usable(&mut self, now: u64, usable: impl Fn(&Key) -> bool) -> Vec<usize> {
        self.settle(now);
        let mut places = self.allowed(now);
        places.retain(|place| usable(&self.pinned[*place].id));
        if !places.is_empty() {
            self.waiting = None;
            self.note(now, &places);
        }
        places
    }

    fn note(&mut self, now: u64, places: &[usize]) {
        for place in places {
            let used = &mut self.pinned[*place].used;
            if now.saturating_sub(*used) >= NOTE_EVERY {
                *used = now;
                self.unsaved = true;
            }
        }
    }

    fn drop_guard(&mut self, place: usize, now: u64) {
        let Pinned { id, used, .. } = self.pinned.remove(place);
        if is_recent(used, now) {
            self.former.push(Former { id, used });
        }
        self.unsaved = true;
    }

    /// Pins one more of the candidates, if the limit allows: weighted, and none that is pinned already.
    fn add<R: Rng>(&mut self, now: u64, candidates: &[(Key, f64)], rng: &mut R) -> Option<Key> {
        if self.pinned.len() >= MOST_GUARDS || self.counted(now) >= MOST_GUARDS {
            return None;
        }
        let mut best: Option<(f64, Key)> = None;
        for (id, weight) in candidates.iter().filter(|(_, w)| w.is_finite() && *w > 0.0) {
            // The exponential race of Efraimidis & Spirakis: the first comes with a chance proportional to its weight.
            let time = -(1.0 - rng.random::<f64>()).ln() / weight;
            let first = best.is_none_or(|(least, _)| time < least);
            if first && self.pinned.iter().all(|g| g.id != *id) {
                best = Some((time, *id));
            }
        }
        let (_, id) = best?;
        self.former.retain(|g| g.id != id);
        let until = now.saturating_add(rng.random_range(LIFE[0]..=LIFE[1]));
        self.pinned.push(Pinned { id, until, used: now, missing: None });
        self.unsaved = true;
        Some(id)
    }
}

fn is_recent(used: u64, now: u64) -> bool {
    now.saturating_sub(used) < WINDOW
}

#[cfg(test)]
mod tests;
