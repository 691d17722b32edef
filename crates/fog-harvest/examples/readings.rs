//! Prints what the sensors of this machine say and what the policy makes of it, each second, three times.
//!
//! Another root than `/sys` may be given as the first argument.

#![allow(clippy::print_stdout)]

use fog_harvest::{Ask, HostSensors, Input, Local, Memory, Prefs, SystemSensors, decide};
use std::time::{Duration, Instant, SystemTime};

fn main() {
    let root = std::env::args().nth(1).unwrap_or_else(|| "/sys".into());
    let mut sensors = SystemSensors::new(root);
    let mut memory = Memory::default();
    let start = Instant::now();
    for _ in 0..3 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let began = Instant::now();
        let readings = sensors.read(&Ask { now: now.as_secs_f64(), ..Ask::default() });
        println!("read in {:?}: {readings:#?}", began.elapsed());
        let now_ms = start.elapsed().as_millis() as u64;
        let prefs = Prefs::default();
        // Universal time, for want of the zone.
        let local = Local { day: (now.as_secs() / 86_400) as i32, second: (now.as_secs() % 86_400) as u32 };
        let input = Input {
            readings: &readings,
            prefs: &prefs,
            work_now: false,
            paused: None,
            working: false,
            local,
            now_ms,
        };
        let (decision, next) = decide(&input, memory);
        println!("{decision:#?}");
        memory = next;
        std::thread::sleep(Duration::from_secs(1));
    }
}
