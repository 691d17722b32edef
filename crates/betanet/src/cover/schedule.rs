//! When packets leave, and which of them are loops: a Poisson process that knows nothing of the mail.

use super::profile::{LOOP_SHARE, Profile};
use rand::{Rng, RngExt};
use std::time::{Duration, Instant};

/// A slot that is taken later than this after its time was missed, with all that fell into the time since.
const LATEST: Duration = Duration::from_millis(250);

/// What a slot is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// A loop, also if mail waits.
    Loop,
    /// Mail, or a drop packet if none waits.
    Payload,
}

/// What is sent in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill<T> {
    /// A message to oneself ([`super::LoopTag::message`]).
    Loop,
    /// This mail.
    Mail(T),
    /// A message to nobody ([`super::drop_message`]).
    Drop,
}

impl Slot {
    /// Fills the slot. `next` gives the mail that waits for longest, and is asked in payload slots only.
    pub fn fill<T>(self, next: impl FnOnce() -> Option<T>) -> Fill<T> {
        match self {
            Self::Loop => Fill::Loop,
            Self::Payload => next().map_or(Fill::Drop, Fill::Mail),
        }
    }
}

/// The slots of one client: exponential gaps, each slot a loop with the chance [`LOOP_SHARE`].
///
/// The driver sleeps until [`Schedule::next_slot`] and calls [`Schedule::draw`]. A gap is added to the time when the
/// slot was due, not to when the driver woke, so that late timers do not lower the rate. What is drawn, and how often
/// chance is asked, does not depend on what is sent.
#[derive(Debug, Clone)]
pub struct Schedule {
    profile: Profile,
    next: Option<Instant>,
}

impl Schedule {
    /// Begins now, with a random gap. Changing the profile is beginning a new schedule.
    pub fn new<R: Rng>(profile: Profile, now: Instant, rng: &mut R) -> Self {
        let mut schedule = Self { profile, next: None };
        schedule.next = schedule.after(now, rng);
        schedule
    }

    /// The profile it was made for.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// When the next slot is due; never, if the profile is [`Profile::Off`].
    pub fn next_slot(&self) -> Option<Instant> {
        self.next
    }

    /// Takes the slot that is due, and draws the next one. None if none is due yet.
    ///
    /// After a pause (the machine slept) one slot is taken and the schedule goes on from now: the missed ones are not
    /// made up, since a burst would tell when the pause ended and how long it was.
    pub fn draw<R: Rng>(&mut self, now: Instant, rng: &mut R) -> Option<Slot> {
        let due = self.next.filter(|due| *due <= now)?;
        let slot = if rng.random::<f64>() < LOOP_SHARE { Slot::Loop } else { Slot::Payload };
        let late = now.saturating_duration_since(due) > LATEST;
        self.next = self.after(if late { now } else { due }, rng);
        Some(slot)
    }

    fn after<R: Rng>(&self, time: Instant, rng: &mut R) -> Option<Instant> {
        let rate = self.profile.packets_a_second();
        let uniform: f64 = rng.random(); // in [0, 1), so the logarithm is finite: at most 37 times the mean
        let gap = -(1.0 - uniform).ln() / rate;
        (rate > 0.0).then(|| time + Duration::from_secs_f64(gap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::collections::VecDeque;

    const PROFILES: [Profile; 3] = [Profile::Mobile, Profile::Standard, Profile::Strong];

    fn begin(profile: Profile) -> (Instant, Schedule, StdRng) {
        let (start, mut rng) = (Instant::now(), StdRng::seed_from_u64(7));
        (start, Schedule::new(profile, start, &mut rng), rng)
    }

    /// Takes `n` slots, each exactly when it is due.
    fn slots(profile: Profile, n: usize) -> (Instant, Vec<(Instant, Slot)>) {
        let (start, mut schedule, mut rng) = begin(profile);
        let take = |_| {
            let due = schedule.next_slot().expect("a slot");
            assert_eq!(schedule.draw(due - Duration::from_nanos(1), &mut rng), None, "too early");
            (due, schedule.draw(due, &mut rng).expect("due"))
        };
        (start, (0..n).map(take).collect())
    }

    /// Kolmogorov and Smirnov: the greatest distance between the gaps' distribution and the exponential one, times the
    /// root of their number. 1.95 is exceeded once in 1,000 times.
    #[test]
    fn gaps_are_exponential_with_the_rate_of_the_profile() {
        for profile in PROFILES {
            let (start, slots) = slots(profile, 20_000);
            let times: Vec<Instant> = [start].into_iter().chain(slots.iter().map(|s| s.0)).collect();
            let mut gaps: Vec<f64> = times.windows(2).map(|w| (w[1] - w[0]).as_secs_f64()).collect();
            gaps.sort_by(f64::total_cmp);
            let n = gaps.len() as f64;
            let distance = |rate: f64| {
                let off = |(i, gap): (usize, &f64)| {
                    let expected = 1.0 - (-gap * rate).exp();
                    (expected - i as f64 / n).abs().max((expected - (i + 1) as f64 / n).abs())
                };
                gaps.iter().enumerate().map(off).fold(0.0, f64::max) * n.sqrt()
            };
            let rate = profile.packets_a_second();
            assert!(distance(rate) < 1.95, "{profile}: {}", distance(rate));
            assert!(distance(rate * 1.1) > 1.95, "{profile}: the test would not see another rate");
        }
    }

    /// A fifth, within five standard deviations; and a loop says nothing about the next slot.
    #[test]
    fn a_fifth_of_the_slots_are_loops_independent_of_one_another() {
        let (_, slots) = slots(Profile::Strong, 20_000);
        let is_loop: Vec<bool> = slots.iter().map(|s| s.1 == Slot::Loop).collect();
        let share = |all: &[bool]| all.iter().filter(|l| **l).count() as f64 / all.len() as f64;
        assert!((share(&is_loop) - LOOP_SHARE).abs() < 5.0 * 0.4 / 20_000_f64.sqrt());
        let after_loops: Vec<bool> = is_loop.windows(2).filter(|w| w[0]).map(|w| w[1]).collect();
        assert!((share(&after_loops) - LOOP_SHARE).abs() < 5.0 * 0.4 / (after_loops.len() as f64).sqrt());
    }

    /// Two clients with the same chance, one with a full queue and one without mail: an observer sees the same.
    #[test]
    fn mail_changes_neither_the_times_nor_the_loops() {
        let run = |mut mail: VecDeque<u32>, arrives: bool| {
            let (start, mut schedule, mut rng) = begin(Profile::Standard);
            let (mut seen, mut sent) = (Vec::new(), Vec::new());
            for number in 0..2000 {
                let due = schedule.next_slot().expect("a slot");
                if arrives && number % 7 == 0 {
                    mail.push_back(number);
                }
                match schedule.draw(due, &mut rng).expect("due").fill(|| mail.pop_front()) {
                    Fill::Loop => seen.push((due - start, true)),
                    Fill::Mail(mail) => {
                        sent.push(mail);
                        seen.push((due - start, false));
                    }
                    Fill::Drop => seen.push((due - start, false)),
                }
            }
            (seen, sent)
        };
        let (idle, none) = run(VecDeque::new(), false);
        let (busy, sent) = run((0..10_000).collect(), false);
        let (some, few) = run(VecDeque::new(), true);
        assert!(idle == busy && idle == some);
        assert!(none.is_empty() && few.len() > 200);
        let payloads = idle.iter().filter(|s| !s.1).count();
        assert_eq!(
            sent,
            (0..payloads as u32).collect::<Vec<_>>(),
            "each payload slot took the mail next in line"
        );
    }

    #[test]
    fn late_timers_do_not_lower_the_rate() {
        let (start, mut schedule, mut rng) = begin(Profile::Strong);
        let mut now = start;
        let mut taken = 0;
        while now < start + Duration::from_secs(1000) {
            now = schedule.next_slot().expect("a slot") + Duration::from_millis(40);
            while schedule.draw(now, &mut rng).is_some() {
                taken += 1;
            }
        }
        assert!((19_300..20_700).contains(&taken), "{taken} in 1,000 seconds");
    }

    #[test]
    fn no_burst_follows_a_pause() {
        for profile in PROFILES {
            let (_, mut schedule, mut rng) = begin(profile);
            for _ in 0..200 {
                let wake = schedule.next_slot().expect("a slot") + Duration::from_secs(3600);
                assert!(schedule.draw(wake, &mut rng).is_some());
                assert!(schedule.next_slot().is_some_and(|next| next > wake), "the hour's slots are skipped");
                assert_eq!(schedule.draw(wake, &mut rng), None);
            }
        }
    }

    /// A machine whose timers are always late sends less, but it sends.
    #[test]
    fn slow_timers_do_not_stop_it() {
        let (mut now, mut schedule, mut rng) = begin(Profile::Standard);
        let mut taken = 0;
        for _ in 0..100 {
            now += Duration::from_secs(2);
            taken += usize::from(schedule.draw(now, &mut rng).is_some());
        }
        assert!(taken > 95, "{taken} of 100");
    }

    #[test]
    fn off_has_no_slots() {
        let (now, mut schedule, mut rng) = begin(Profile::Off);
        assert_eq!(schedule.next_slot(), None);
        assert_eq!(schedule.draw(now + Duration::from_secs(3600), &mut rng), None);
    }
}
