//! The owner: when they type, plug in, leave, play, and travel.

use crate::RATE;
use fog_harvest::Local;

/// How likely something is in one step that happens every so many seconds.
fn every(seconds: f64) -> f64 {
    1.0 / (seconds * RATE as f64)
}

/// What the world is like in one step.
#[derive(Debug, Clone)]
pub struct Moment {
    pub local: Local,
    /// A key or a touch in this very step.
    pub input: bool,
    pub plugged: bool,
    pub screen_off: bool,
    pub metered: bool,
    pub program: Option<&'static str>,
    /// The owner's own programs' use of the processor, 0 to 1.
    pub others: f64,
    pub ambient: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    Laptop,
    Phone,
}

/// A week of one person, drawn from a seed.
#[derive(Debug, Clone)]
pub struct Life {
    who: Who,
    /// The room's temperature, °C.
    pub ambient: f64,
    rng: u64,
    /// Until which step the owner reads and touches nothing.
    quiet_until: u64,
    /// Until which step a build of the owner's runs.
    busy_until: u64,
    /// Until which step the plug has a loose contact.
    loose_until: u64,
}

impl Life {
    pub fn with_laptop(seed: u64) -> Self {
        Self::new(Who::Laptop, seed)
    }

    pub fn with_phone(seed: u64) -> Self {
        Self::new(Who::Phone, seed)
    }

    fn new(who: Who, seed: u64) -> Self {
        let rng = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { who, ambient: 23.0, rng, quiet_until: 0, busy_until: 0, loose_until: 0 }
    }

    /// Evenly from 0 to 1.
    fn chance(&mut self) -> f64 {
        // xorshift64*
        self.rng ^= self.rng >> 12;
        self.rng ^= self.rng << 25;
        self.rng ^= self.rng >> 27;
        (self.rng.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn at(&mut self, local: Local, step: u64) -> Moment {
        let hour = f64::from(local.second) / 3600.0;
        let day = local.weekday();
        let within = |from: f64, to: f64| (from..to).contains(&hour);
        match self.who {
            Who::Laptop => self.laptop(local, step, day, &within),
            Who::Phone => self.phone(local, step, &within),
        }
    }

    fn laptop(&mut self, local: Local, step: u64, day: u8, within: &dyn Fn(f64, f64) -> bool) -> Moment {
        let weekend = day >= 5;
        let office = !weekend && (within(8.75, 12.25) || within(13.1, 17.6));
        let home = within(20.0, 22.4) || (weekend && (within(10.0, 12.0) || within(15.0, 17.0)));
        let travels = !weekend && (within(8.0, 8.75) || within(17.6, 18.3));
        let game = day == 5 && within(20.5, 22.3);
        // A film on Sunday: nothing is touched for two hours.
        let film = day == 6 && within(20.0, 22.0);
        let present = (office || home) && !film;

        let draw = self.chance();
        if present && draw < every(1800.0) {
            // Reads something for one to nine minutes.
            self.quiet_until = step + RATE * (60 + (self.chance() * 480.0) as u64);
        }
        if (present || within(23.0, 23.5)) && draw > 1.0 - every(3600.0) {
            self.busy_until = step + RATE * (60 + (self.chance() * 300.0) as u64);
        }
        // Somebody walks past the cable at night, twice a week or so.
        if within(1.0, 5.0) && (0.5..0.5 + every(50_000.0)).contains(&draw) {
            self.loose_until = step + 10 * RATE;
        }
        let input = present && step >= self.quiet_until && self.chance() < every(5.0);
        // One look at the screen in the middle of a night of work.
        let look = day == 2 && local.second == 3 * 3600 + 7 && step.is_multiple_of(RATE);
        let loose = step < self.loose_until && (step / 4).is_multiple_of(2);
        let others = if step < self.busy_until { 0.9 } else { 0.02 + 0.06 * f64::from(u8::from(present)) };
        Moment {
            local,
            input: input || look,
            plugged: !travels && !loose,
            screen_off: !present && !film && !look,
            metered: travels,
            program: game.then_some("game"),
            others,
            ambient: self.ambient,
        }
    }

    fn phone(&mut self, local: Local, step: u64, within: &dyn Fn(f64, f64) -> bool) -> Moment {
        let night = within(0.0, 7.0) || within(23.0, 24.0);
        // A look at the phone every quarter of an hour of the day, for a minute; at night once or twice.
        let draw = self.chance();
        let rate = if night { every(20_000.0) } else { every(900.0) };
        if draw < rate {
            self.busy_until = step + RATE * (20 + (self.chance() * 100.0) as u64);
        }
        let used = step < self.busy_until;
        Moment {
            local,
            input: used && self.chance() < every(1.0),
            plugged: night,
            screen_off: !used,
            metered: within(8.0, 19.0),
            program: None,
            others: if used { 0.3 } else { 0.02 },
            ambient: self.ambient,
        }
    }
}
