//! What a job costs, in integers.
//!
//! `price = (0.10 FOG per core-hour x CPU time + 0.01 FOG per GB-hour x peak memory x wall time) x class`, with the trust
//! and utilisation factors at 1; the class's factor is 1 (B), 1.5 (A) or 2 (S), for each copy that runs. A GB is 10^9 bytes. The unit is 10^-18 FOG; the sum is computed exactly and rounded
//! down once, so that more usage never costs less and both sides arrive at the same number.

use crate::spec::{Class, Limits, Usage};

/// 1 FOG in smallest units.
pub const FOG: u128 = 1_000_000_000_000_000_000;
/// Price of one core-hour.
pub const CORE_HOUR: u128 = FOG / 10;
/// Price of one GB-hour.
pub const GB_HOUR: u128 = FOG / 100;

const MS_PER_HOUR: u128 = 3_600_000;
const BYTES_PER_GB: u128 = 1_000_000_000;

/// The price of a run, in 10^-18 FOG, rounded down. Usage beyond what a [`u128`] can price costs [`u128::MAX`].
pub fn price_for(usage: &Usage, class: Class) -> u128 {
    // Over one denominator, so that there is a single rounding.
    let cpu = CORE_HOUR.checked_mul(u128::from(usage.cpu_ms)).and_then(|x| x.checked_mul(BYTES_PER_GB));
    let memory = u128::from(usage.memory_peak)
        .checked_mul(u128::from(usage.wall_ms))
        .and_then(|byte_ms| byte_ms.checked_mul(GB_HOUR));
    match (cpu, memory) {
        (Some(cpu), Some(memory)) => {
            let sum = cpu.checked_add(memory).and_then(|sum| sum.checked_mul(class.half_prices()));
            sum.map_or(u128::MAX, |sum| sum / (2 * MS_PER_HOUR * BYTES_PER_GB))
        }
        _ => u128::MAX,
    }
}

/// The most that a job within these limits can still cost after `done_ms` of running time: its cores and all of its
/// memory until the time limit.
pub fn price_ceiling(limits: &Limits, class: Class, done_ms: u64) -> u128 {
    let ms = (u64::from(limits.seconds) * 1000).saturating_sub(done_ms);
    let usage = Usage { cpu_ms: limits.cpu_ms(ms), wall_ms: ms, memory_peak: limits.memory_bytes };
    price_for(&usage, class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_baselines_numbers() {
        let hour = 3_600_000;
        assert_eq!(price_for(&Usage { cpu_ms: hour, wall_ms: 0, memory_peak: 0 }, Class::B), FOG / 10);
        assert_eq!(
            price_for(&Usage { cpu_ms: 0, wall_ms: hour, memory_peak: 1_000_000_000 }, Class::B),
            FOG / 100
        );
        let both = Usage { cpu_ms: hour, wall_ms: hour, memory_peak: 2_000_000_000 };
        assert_eq!(price_for(&both, Class::B), FOG / 10 + FOG / 50);
        assert_eq!(price_for(&Usage::default(), Class::B), 0);
    }

    #[test]
    fn rounds_down_once() {
        // 1 ms of CPU is 27777777777.8 units, 1 byte over 1 ms 2.8: together 27777777780.6.
        let usage = Usage { cpu_ms: 1, wall_ms: 1, memory_peak: 1 };
        assert_eq!(price_for(&usage, Class::B), 27_777_777_780);
        assert_eq!(price_for(&usage, Class::A), 41_666_666_670);
        assert_eq!(price_for(&usage, Class::S), 55_555_555_561);
    }

    proptest! {
        #[test]
        fn monotone(cpu: u64, wall: u64, memory: u64, more_cpu: u32, more_wall: u32, more_memory: u32) {
            let less = Usage { cpu_ms: cpu, wall_ms: wall, memory_peak: memory };
            let more = Usage {
                cpu_ms: cpu.saturating_add(more_cpu.into()),
                wall_ms: wall.saturating_add(more_wall.into()),
                memory_peak: memory.saturating_add(more_memory.into()),
            };
            prop_assert!(price_for(&less, Class::B) <= price_for(&more, Class::B));
        }

        #[test]
        fn never_above_the_ceiling(seconds in 1u32..=86_400, memory in 65_536u64..=1 << 34, share in 0.0f64..=1.0,
            millicores in 500u32..=16_000, class in prop::sample::select(vec![Class::B, Class::A, Class::S])) {
            let limits = Limits { seconds, memory_bytes: memory, millicores, ..Limits::default() };
            let ms = (f64::from(seconds) * 1000.0 * share) as u64;
            let usage = Usage { cpu_ms: ms, wall_ms: ms, memory_peak: (memory as f64 * share) as u64 };
            prop_assert!(price_for(&usage, class) <= price_ceiling(&limits, class, 0));
        }
    }
}
