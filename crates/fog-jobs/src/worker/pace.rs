//! The clock of a run: how long it has really run, when it must pause, and what the node wants of it.

use super::wasi::Waits;
use crate::run::RunError;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A checkpoint's own time may be this part of the running time at most: whoever asks for one each second gets fewer of a
/// large program.
const CHECKPOINT_PART: u32 = 20;

/// What the node wants of a running program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    None,
    /// A checkpoint; go on after it.
    Checkpoint,
    /// A checkpoint; end after it.
    Preempt,
}

/// Counts running time, and makes the running thread sleep so that it uses no more than its share of a core.
pub(super) struct Pace {
    began: Instant,
    seconds: u32,
    /// Running time of earlier segments.
    before: Duration,
    /// Take a checkpoint this often.
    every: Option<Duration>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Thousandths of a core.
    share: u32,
    /// Pauses that are over.
    paused: Duration,
    /// The pause of a share below one that lasts.
    pausing: Option<Instant>,
    /// Since when the share is 0. It counts as a pause even while the program sleeps in the host and cannot be paused.
    parked: Option<Instant>,
    /// The running thread waits here, as it was told to.
    resting: bool,
    /// Wall and CPU time at the end of the last pause.
    mark: (Instant, Duration),
    wish: Wish,
    /// When the next checkpoint is due by itself, in running time of this segment.
    due: Option<Duration>,
}

impl Pace {
    /// `before` is the running time of earlier segments.
    pub(super) fn new(seconds: u32, share: u32, before: Duration, every: Option<Duration>) -> Self {
        let now = Instant::now();
        let state = State {
            share: share.min(1000),
            paused: Duration::ZERO,
            pausing: None,
            parked: (share == 0).then_some(now),
            resting: false,
            mark: (now, cpu_time(now)),
            wish: Wish::None,
            due: every,
        };
        Self { began: now, seconds, before, every, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The time limit, seconds.
    pub(super) fn seconds(&self) -> u32 {
        self.seconds
    }

    pub(super) fn set_share(&self, share: u32) {
        let mut state = self.lock();
        state.share = share.min(1000);
        if share == 0 {
            state.parked.get_or_insert_with(Instant::now);
        } else if let Some(since) = state.parked.take() {
            state.paused += since.elapsed();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// The node wants this, unless it wants more already.
    pub(super) fn want(&self, wish: Wish) {
        let mut state = self.lock();
        state.wish = state.wish.max(wish);
        drop(state);
        self.changed.notify_all();
    }

    /// What is wanted now.
    pub(super) fn wish(&self) -> Wish {
        let mut state = self.lock();
        if state.wish == Wish::None && state.due.is_some_and(|due| self.running_in(&state) >= due) {
            state.wish = Wish::Checkpoint;
        }
        state.wish
    }

    /// A checkpoint was taken, or cannot be; it took so long.
    pub(super) fn fulfilled(&self, took: Duration) {
        let mut state = self.lock();
        if state.wish == Wish::Checkpoint {
            state.wish = Wish::None;
        }
        state.due = self.every.map(|every| self.running_in(&state) + every.max(took * CHECKPOINT_PART));
    }

    /// Time since the start without pauses, in this segment.
    pub(super) fn running(&self) -> Duration {
        self.running_in(&self.lock())
    }

    /// CPU time of this process since the start.
    pub(super) fn cpu(&self) -> Duration {
        cpu_time(self.began)
    }

    /// True if the limit was passed by `patience`.
    pub(super) fn overdue(&self, patience: Duration) -> bool {
        self.running() >= self.limit().saturating_add(patience)
    }

    /// Called by the running thread between two pieces of work: sleeps as the share demands. False: the time is up. A wish
    /// ends the pause: a paused program must run on to the point where it can be put away.
    pub(super) fn step(&self) -> bool {
        let mut state = self.lock();
        loop {
            if self.running_in(&state) >= self.limit() {
                return false;
            }
            let rest = match state.share {
                _ if state.wish != Wish::None => Duration::ZERO,
                1000.. => Duration::ZERO,
                0 => Duration::MAX,
                share => {
                    let (wall, cpu) = state.mark;
                    let used = cpu_time(self.began).saturating_sub(cpu);
                    (used * 1000 / share).saturating_sub(wall.elapsed())
                }
            };
            if rest.is_zero() {
                break;
            }
            if rest == Duration::MAX {
                state.resting = true;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.resting = false;
                self.changed.notify_all();
                continue;
            }
            // Ends by the clock, or when the share changes.
            let since = Instant::now();
            state.pausing = Some(since);
            state = self.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
            state.paused += since.elapsed();
            state.pausing = None;
        }
        state.mark = (Instant::now(), cpu_time(self.began));
        true
    }

    /// Called by the ticking thread: a paused run needs no ticks, and a paused device no wake-ups. But it is the ticks that
    /// make the running thread look here, so they go on until it does.
    pub(super) fn rest_while_paused(&self) {
        let mut state = self.lock();
        while state.parked.is_some() && state.resting && state.wish == Wish::None {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.seconds.into()).saturating_sub(self.before)
    }

    fn running_in(&self, state: &State) -> Duration {
        let pause = state.pausing.or(state.parked).map_or(Duration::ZERO, |since| since.elapsed());
        self.began.elapsed().saturating_sub(state.paused + pause)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waits for Pace {
    fn sleep(&self, deadline: Instant, movable: bool) -> Result<bool, RunError> {
        const LOOK: Duration = Duration::from_millis(500);
        loop {
            let wish = self.wish();
            match wish {
                Wish::None => {}
                _ if movable => return Ok(false),
                Wish::Preempt => return Err(RunError::Preempted { checkpoint: None }),
                Wish::Checkpoint => self.fulfilled(Duration::ZERO),
            }
            let mut state = self.lock();
            let left = self.limit().saturating_sub(self.running_in(&state));
            if left.is_zero() {
                return Err(RunError::TimeLimit(self.seconds));
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Ok(true);
            }
            if state.wish <= wish {
                // Looks from time to time, for the checkpoint that is due by itself.
                state.resting = true;
                let waited = self.changed.wait_timeout(state, rest.min(left).min(LOOK));
                waited.unwrap_or_else(PoisonError::into_inner).0.resting = false;
                self.changed.notify_all();
            }
        }
    }
}

#[cfg(unix)]
fn cpu_time(_began: Instant) -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec.max(0) as u32)
}

/// Where the process's CPU time is not to be had, the wall time is an upper bound of a single-threaded run's.
#[cfg(not(unix))]
fn cpu_time(began: Instant) -> Duration {
    began.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_is_a_quarter() {
        let pace = Pace::new(60, 250, Duration::ZERO, None);
        let until = Instant::now() + Duration::from_millis(800);
        while Instant::now() < until {
            let burst = Instant::now();
            while burst.elapsed() < Duration::from_millis(5) {
                std::hint::black_box(0);
            }
            assert!(pace.step());
        }
        // Other tests of this process use CPU time too, which only makes the pauses longer.
        let running = pace.running().as_secs_f64() / 0.8;
        assert!(running < 0.45, "ran {running} of the time");
    }

    #[test]
    fn a_pause_costs_no_time_and_ends_when_told() {
        let pace = std::sync::Arc::new(Pace::new(60, 0, Duration::ZERO, None));
        let other = std::sync::Arc::clone(&pace);
        let thread = std::thread::spawn(move || other.step());
        std::thread::sleep(Duration::from_millis(200));
        assert!(!thread.is_finished());
        assert!(pace.running() < Duration::from_millis(150));
        pace.set_share(1000);
        assert!(thread.join().unwrap());
    }

    #[test]
    fn ticks_go_on_until_the_running_thread_looks() {
        let pace = std::sync::Arc::new(Pace::new(60, 0, Duration::ZERO, None));
        // Nobody rests yet: this comes back at once, as often as it is asked.
        for _ in 0..3 {
            pace.rest_while_paused();
        }
        let (running, ticking) = (std::sync::Arc::clone(&pace), std::sync::Arc::clone(&pace));
        let running = std::thread::spawn(move || running.step());
        while !pace.lock().resting {
            std::thread::yield_now();
        }
        let ticking = std::thread::spawn(move || ticking.rest_while_paused());
        std::thread::sleep(Duration::from_millis(100));
        assert!(!ticking.is_finished() && !running.is_finished());
        pace.set_share(1000);
        ticking.join().unwrap();
        assert!(running.join().unwrap());
        assert!(!pace.lock().resting);
    }

    #[test]
    fn the_limit_ends_it() {
        assert!(!Pace::new(0, 1000, Duration::ZERO, None).step());
        assert!(!Pace::new(9, 1000, Duration::from_secs(9), None).step());
    }

    #[test]
    fn a_wish_wakes_a_paused_run() {
        let pace = std::sync::Arc::new(Pace::new(60, 0, Duration::ZERO, None));
        let other = std::sync::Arc::clone(&pace);
        let thread = std::thread::spawn(move || other.step());
        pace.want(Wish::Checkpoint);
        assert!(thread.join().unwrap());
        pace.want(Wish::Preempt);
        pace.fulfilled(Duration::ZERO);
        assert_eq!(pace.wish(), Wish::Preempt);
    }
}
