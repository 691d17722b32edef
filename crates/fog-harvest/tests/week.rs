//! A simulated laptop and a simulated phone live through a week with their owner, in steps of a quarter of a second. The
//! policy drives them as a node does: it looks when it said it would, and at least twice a second while it works.
//!
//! What is promised to the owner must hold in every step; what is promised to the job (no work lost, few stops, many
//! hours) must hold in the end.

#![allow(clippy::print_stderr, clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "week/device.rs"]
mod device;
#[path = "week/life.rs"]
mod life;

use device::{Device, Kind};
use fog_harvest::{Hours, Input, Local, Memory, Prefs, Window, decide};
use life::{Life, Moment};

/// Steps in a second.
pub const RATE: u64 = 4;
const WEEK_SECONDS: u64 = 7 * 24 * 3600;
/// Monday, 23 November 2026, as days since 1970.
const MONDAY: i32 = 20_780;

/// What came of a week.
#[derive(Debug, Default)]
struct Outcome {
    /// Hours in which a job ran.
    harvested: f64,
    /// Hours in which all that the owner asked for held, heat and others' programs left aside.
    possible: f64,
    starts: u32,
    /// The longest time from the owner's input to standstill, seconds.
    slowest_stop: f64,
    hottest: f64,
    /// Work that was done and not saved when the power went, seconds of it.
    lost: f64,
    looks: u64,
}

struct Job {
    done: f64,
    saved: f64,
}

/// The gates as the owner understands them, without the policy's memory.
fn wished(moment: &Moment, prefs: &Prefs, idle: f64) -> bool {
    let needed = f64::from(prefs.idle_minutes) * 60.0;
    moment.plugged
        && prefs.hours.contains(moment.local)
        && moment.program.is_none()
        && !moment.metered
        && (idle >= needed || (moment.screen_off && idle >= 10.0))
}

fn live(kind: Kind, prefs: &Prefs, mut life: Life) -> Outcome {
    let mut device = Device::new(kind);
    let mut outcome = Outcome::default();
    let mut memory = Memory::default();
    let mut job = Job { done: 0.0, saved: 0.0 };
    let (mut share, mut next_look, mut unplugged) = (0.0, 0, 0);
    let mut last_input = 0;
    let mut unmet: Option<u64> = None;
    for step in 0..WEEK_SECONDS * RATE {
        let second = step / RATE;
        let local = Local { day: MONDAY + (second / 86_400) as i32, second: (second % 86_400) as u32 };
        let moment = life.at(local, step);
        if moment.input {
            last_input = step;
        }
        let idle = (step - last_input) as f64 / RATE as f64;
        device.step(&moment, share, 1.0 / RATE as f64);
        outcome.hottest = outcome.hottest.max(device.celsius());

        if step >= next_look {
            let readings = device.readings(&moment, idle, share);
            let now = Input {
                readings: &readings,
                prefs,
                work_now: false,
                paused: None,
                working: share > 0.0,
                local,
                now_ms: step * 1000 / RATE,
            };
            let (decision, next) = decide(&now, memory);
            memory = next;
            outcome.looks += 1;
            if decision.allowed && share == 0.0 {
                outcome.starts += 1;
            }
            share = decision.cpu_share;
            // The node's own bounds: twice a second while it works, every five seconds at least.
            let wait = decision.look_again.as_millis() as u64;
            let wait = if share > 0.0 { wait.min(500) } else { wait.min(5000) };
            next_look = step + (wait * RATE / 1000).max(1);
            if share == 0.0 {
                // Work stops by a checkpoint.
                job.saved = job.done;
            }
        }

        // The promises to the owner. A stop may take a second; what is shut stays shut.
        let fits = wished(&moment, prefs, idle);
        if share > 0.0 && !fits {
            let since = *unmet.get_or_insert(step);
            // Counted to the end of the step.
            let late = (step + 1 - since) as f64 / RATE as f64;
            outcome.slowest_stop = outcome.slowest_stop.max(late);
            assert!(late <= 1.0, "it still works {late} s later: {moment:?}, idle {idle}");
        } else {
            unmet = None;
        }
        assert!(device.celsius() < device.trip(), "the protection trips at {}: {moment:?}", device.celsius());
        unplugged = if moment.plugged { 0 } else { unplugged + 1 };
        assert!(share == 0.0 || unplugged <= RATE, "it drains the battery");
        if device.flat() {
            outcome.lost += job.done - job.saved;
            job.done = job.saved;
        }
        if share > 0.0 {
            outcome.harvested += 1.0 / (RATE * 3600) as f64;
            job.done += share / RATE as f64;
        }
        outcome.possible += f64::from(u8::from(fits)) / (RATE * 3600) as f64;
    }
    outcome
}

fn nights() -> Hours {
    let weekdays = (0..5).map(|day| Window { day, from: 18 * 60, to: 8 * 60 });
    let weekend = (5..7).map(|day| Window { day, from: 0, to: 1440 });
    Hours(weekdays.chain(weekend).collect())
}

#[test]
fn a_laptop() {
    let prefs = Prefs { hours: nights(), exclusive: vec!["game".into()], ..Prefs::default() };
    let outcome = live(Kind::Laptop, &prefs, Life::with_laptop(1));
    eprintln!("laptop: {outcome:?}");
    assert_eq!(outcome.lost, 0.0);
    assert!(outcome.slowest_stop <= 1.0);
    assert!(outcome.possible > 50.0, "a week that tests something");
    assert!(outcome.harvested > 0.85 * outcome.possible, "{outcome:?}");
    assert!(outcome.starts >= 7 && outcome.starts <= 7 * 20, "{outcome:?}");
    assert!(outcome.looks < WEEK_SECONDS * 2);
}

#[test]
fn a_laptop_without_hours_in_a_hot_room() {
    let prefs = Prefs { cpu_percent: 100, ..Prefs::default() };
    let mut life = Life::with_laptop(3);
    life.ambient = 36.0;
    let outcome = live(Kind::Laptop, &prefs, life);
    eprintln!("hot laptop: {outcome:?}");
    assert_eq!(outcome.lost, 0.0);
    assert!(outcome.harvested > 0.8 * outcome.possible, "{outcome:?}");
    assert!(outcome.starts <= 7 * 30, "{outcome:?}");
}

#[test]
fn a_phone() {
    for (seed, ambient) in [(1, 22.0), (2, 33.0)] {
        let mut life = Life::with_phone(seed);
        life.ambient = ambient;
        let outcome = live(Kind::Phone, &Prefs::default(), life);
        eprintln!("phone at {ambient}: {outcome:?}");
        assert_eq!(outcome.lost, 0.0);
        assert!(outcome.possible > 40.0);
        // Most nights in a cool room; in a hot one it is held back, and still works.
        let share = if ambient < 30.0 { 0.85 } else { 0.3 };
        assert!(outcome.harvested > share * outcome.possible, "{outcome:?}");
        assert!(outcome.starts >= 5, "{outcome:?}");
        // At most so many rests as a minute's rest allows to be called few.
        assert!(outcome.starts <= 7 * 60, "{outcome:?}");
    }
}
