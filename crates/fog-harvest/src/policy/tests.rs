use super::*;
use crate::{Hours, Mode, Pressure, Window};
use proptest::prelude::*;

/// A laptop on mains, cool, and left alone for ten minutes.
fn fine() -> Readings {
    Readings {
        plugged_in: Some(true),
        has_battery: true,
        battery: Some(0.8),
        battery_celsius: Some(30.0),
        cpu_celsius: Some(50.0),
        cpu_trip_celsius: None,
        cpu_load: Some(0.1),
        memory_used: 4 << 30,
        memory_total: 16 << 30,
        cpus: 8,
        user_idle: Some(600.0),
        user_idle_source: "the screen".into(),
        ..Readings::default()
    }
}

fn input<'a>(readings: &'a Readings, prefs: &'a Prefs) -> Input<'a> {
    Input {
        readings,
        prefs,
        work_now: false,
        paused: None,
        working: false,
        local: Local::default(),
        now_ms: 1_000_000,
    }
}

fn once(readings: &Readings, prefs: &Prefs) -> Decision {
    decide(&input(readings, prefs), Memory::default()).0
}

#[test]
fn the_gates_one_by_one() {
    type Change = fn(&mut Readings, &mut Prefs);
    let table: &[(&str, Change, State, &str)] = &[
        ("fine", |_, _| {}, State::Idle, "plugged in, 50 °C, no input for 10 min; up to 50 % of the CPU"),
        ("off", |_, p| p.enabled = false, State::Disabled, "switched off"),
        ("on battery", |r, _| r.plugged_in = Some(false), State::ChargingLow, "runs on battery"),
        ("power unknown", |r, _| r.plugged_in = None, State::ChargingLow, "does not say whether"),
        (
            "battery allowed and full",
            |r, p| (r.plugged_in, p.on_battery) = (Some(false), true),
            State::Idle,
            "battery at 80 %",
        ),
        (
            "battery allowed and at the mark",
            |r, p| (r.plugged_in, p.on_battery, r.battery) = (Some(false), true, Some(0.5)),
            State::Idle,
            "battery at 50 %",
        ),
        (
            "battery allowed and low",
            |r, p| (r.plugged_in, p.on_battery, r.battery) = (Some(false), true, Some(0.45)),
            State::ChargingLow,
            "the battery is at 45 %; work starts at 50 %",
        ),
        (
            "battery allowed and unknown",
            |r, p| (r.plugged_in, p.on_battery, r.battery) = (Some(false), true, None),
            State::ChargingLow,
            "how full",
        ),
        (
            "no battery",
            |r, _| (r.has_battery, r.plugged_in, r.battery) = (false, Some(true), None),
            State::Idle,
            "mains",
        ),
        ("hot", |r, _| r.cpu_celsius = Some(85.0), State::ThermalThrottle, "at 85 °C; work stops at 85 °C"),
        (
            "hot for its trip point",
            |r, _| (r.cpu_celsius, r.cpu_trip_celsius) = (Some(80.0), Some(90.0)),
            State::ThermalThrottle,
            "work stops at 80 °C",
        ),
        (
            "a trip point that cannot be",
            |r, _| (r.cpu_celsius, r.cpu_trip_celsius) = (Some(60.0), Some(0.0)),
            State::Idle,
            "60 °C",
        ),
        ("hot battery", |r, _| r.battery_celsius = Some(46.0), State::ThermalThrottle, "battery is at 46 °C"),
        ("no sensor", |r, _| r.cpu_celsius = None, State::Idle, "no temperature sensor, so at most 25 %"),
        ("metered", |r, _| r.network_metered = Some(true), State::NetworkMetered, "metered"),
        (
            "metered and allowed",
            |r, p| (r.network_metered, p.metered) = (Some(true), true),
            State::Idle,
            "plugged",
        ),
        ("network unknown", |r, _| r.network_metered = None, State::Idle, "plugged in"),
        ("active", |r, _| r.user_idle = Some(20.0), State::UserActive, "20 s ago; work starts after 5 min"),
        (
            "screen off",
            |r, _| (r.user_idle, r.screen_off) = (Some(20.0), Some(true)),
            State::Idle,
            "screen is off",
        ),
        (
            "locked",
            |r, _| (r.user_idle, r.locked) = (Some(20.0), Some(true)),
            State::Idle,
            "screen is locked",
        ),
        (
            "just locked",
            |r, _| (r.user_idle, r.locked) = (Some(3.0), Some(true)),
            State::UserActive,
            "3 s ago",
        ),
        (
            "off and unknown",
            |r, _| (r.user_idle, r.screen_off) = (None, Some(true)),
            State::Idle,
            "screen is off",
        ),
        ("exclusive", |r, _| r.program = Some("Blender".into()), State::UserActive, "Blender is running"),
        (
            "others",
            |r, _| r.others_load = Some(0.7),
            State::UserActive,
            "other programs use 70 % of the processor",
        ),
        (
            "others do not matter",
            |r, p| (r.others_load, p.others_percent) = (Some(1.0), 0),
            State::Idle,
            "plugged",
        ),
        (
            "memory stalls",
            |r, _| r.pressure = Some(Pressure { memory_full: 12.0, ..Pressure::default() }),
            State::UserActive,
            "wait for memory 12 % of the time",
        ),
        (
            "memory full",
            |r, _| r.memory_used = r.memory_total,
            State::UserActive,
            "100 % of the memory is in use",
        ),
        (
            "warm system",
            |r, _| r.thermal = Some(Thermal::Light),
            State::Idle,
            "50 °C and warm, so it works less",
        ),
        (
            "warm system without a sensor",
            |r, _| (r.thermal, r.cpu_celsius) = (Some(Thermal::Light), None),
            State::Idle,
            "warm, so it works less, no input for 10 min; up to 25 %",
        ),
        (
            "cool system without a sensor",
            |r, _| (r.thermal, r.cpu_celsius) = (Some(Thermal::None), None),
            State::Idle,
            "cool, no input for 10 min; up to 50 %",
        ),
        (
            "hot system",
            |r, _| r.thermal = Some(Thermal::Moderate),
            State::ThermalThrottle,
            "the system says that it is hot",
        ),
        ("quiet", |_, p| p.quiet = true, State::Idle, "up to 25 % of the CPU, quietly"),
        (
            "quiet and warm",
            |r, p| (r.cpu_celsius, p.quiet) = (Some(55.0), true),
            State::Idle,
            "held near 55 °C",
        ),
        (
            "not the hours",
            |_, p| p.hours = Hours(vec![Window { day: 3, from: 60, to: 120 }]),
            State::Disabled,
            "not the hours for it; the next begin in 60 min",
        ),
        (
            "in the hours",
            |_, p| p.hours = Hours(vec![Window { day: 3, from: 0, to: 120 }]),
            State::Idle,
            "plugged",
        ),
        (
            "marks the wrong way round",
            |r, p| {
                (r.plugged_in, p.on_battery, r.battery) = (Some(false), true, Some(0.7));
                (p.battery_start, p.battery_stop) = (60, 90);
            },
            State::Idle,
            "battery at 70 %",
        ),
        (
            "active, alongside",
            |r, p| (r.user_idle, p.alongside) = (Some(0.0), true),
            State::Idle,
            "alongside",
        ),
        (
            "idle unknown",
            |r, _| (r.user_idle, r.user_idle_source) = (None, "Wayland".into()),
            State::UserActive,
            "cannot tell whether you are using it (Wayland)",
        ),
        (
            "nobody there",
            |r, _| (r.user_idle, r.unattended) = (None, true),
            State::Idle,
            "nobody is logged in",
        ),
        ("idle is nonsense", |r, _| r.user_idle = Some(f64::NAN), State::UserActive, "cannot tell"),
    ];
    for (name, change, state, words) in table {
        let (mut readings, mut prefs) = (fine(), Prefs::default());
        change(&mut readings, &mut prefs);
        let decision = once(&readings, &prefs);
        assert_eq!(decision.state, *state, "{name}: {decision:?}");
        assert!(decision.reason.contains(words), "{name}: {decision:?}");
        assert_eq!(decision.allowed, matches!(state, State::Idle | State::Harvesting), "{name}");
        assert_eq!(decision.allowed, decision.cpu_share > 0.0, "{name}");
    }
}

#[test]
fn work_now_opens_all_gates_but_heat_and_the_switch() {
    let prefs = Prefs::default();
    let mut readings = fine();
    readings.plugged_in = Some(false);
    readings.battery = Some(0.2);
    readings.network_metered = Some(true);
    readings.user_idle = Some(0.0);
    let mut all = input(&readings, &prefs);
    all.work_now = true;
    all.working = true;
    let (decision, _) = decide(&all, Memory::default());
    assert_eq!(decision.state, State::Harvesting);
    assert!(decision.reason.starts_with("work now: "), "{}", decision.reason);

    let mut hot = readings.clone();
    hot.cpu_celsius = Some(90.0);
    all.readings = &hot;
    assert_eq!(decide(&all, Memory::default()).0.state, State::ThermalThrottle);
    let off = Prefs { enabled: false, ..Prefs::default() };
    all.readings = &readings;
    all.prefs = &off;
    assert_eq!(decide(&all, Memory::default()).0.state, State::Disabled);
}

#[test]
fn duty_falls_with_the_temperature() {
    let share = |celsius| {
        let readings = Readings { cpu_celsius: Some(celsius), ..fine() };
        once(&readings, &Prefs::default()).cpu_share
    };
    assert_eq!(share(60.0), 0.5);
    assert_eq!(share(65.0), 0.5);
    assert!((share(70.0) - 0.25).abs() < 1e-9);
    assert!((share(80.0) - 0.05).abs() < 1e-9);
    assert_eq!(share(85.0), 0.0);
}

/// A processor whose temperature follows its load, with a constant of 20 s.
#[test]
fn the_duty_cycle_holds_the_target() {
    let prefs = Prefs { cpu_percent: 100, ..Prefs::default() };
    let (mut celsius, mut memory) = (40.0, Memory::default());
    for second in 0..900u64 {
        let readings = Readings { cpu_celsius: Some(celsius), ..fine() };
        let now = Input { now_ms: second * 1000, working: true, ..input(&readings, &prefs) };
        let (decision, next) = decide(&now, memory);
        memory = next;
        assert!(decision.allowed, "it stopped at {celsius}");
        // At full load it would reach 95.
        celsius += (40.0 + 55.0 * decision.cpu_share - celsius) / 20.0;
    }
    assert!((65.0..75.0).contains(&celsius), "held at {celsius}");
}

#[test]
fn hot_rests_a_minute_and_cools_five_degrees() {
    let prefs = Prefs::default();
    let mut memory = Memory::default();
    let mut at = |second: u64, celsius| {
        let readings = Readings { cpu_celsius: celsius, ..fine() };
        let now = Input { now_ms: second * 1000, ..input(&readings, &prefs) };
        let (decision, next) = decide(&now, memory);
        memory = next;
        decision.allowed
    };
    assert!(at(0, Some(84.0)));
    assert!(!at(1, Some(86.0)));
    assert!(!at(2, Some(60.0)), "cool, but not for a minute");
    assert!(!at(60, Some(60.0)));
    assert!(at(61, Some(80.0)));
    assert!(!at(100, Some(85.0)));
    assert!(!at(200, Some(81.0)), "a minute, but not cool");
    assert!(at(201, Some(80.0)));
    assert!(!at(300, Some(99.0)));
    assert!(!at(301, None), "a sensor that falls silent does not end the rest");
    assert!(at(361, None));
}

#[test]
fn slots_share_the_cores() {
    let mut decision = once(&fine(), &Prefs::default());
    assert_eq!(decision.slots(8, 16), (4, 1.0));
    assert_eq!(decision.slots(8, 2), (2, 1.0));
    assert_eq!(decision.slots(1, 4), (1, 0.5));
    decision.cpu_share = 0.3;
    assert_eq!(decision.slots(8, 4), (2, 1.0));
    decision.allowed = false;
    assert_eq!(decision.slots(8, 4), (0, 0.0));
}

#[test]
fn a_working_device_looks_for_its_user_within_a_second() {
    let (readings, prefs) = (fine(), Prefs::default());
    let mut now = input(&readings, &prefs);
    now.working = true;
    assert!(decide(&now, Memory::default()).0.look_again < Duration::from_secs(1));
}

const THERMAL: [Thermal; 5] =
    [Thermal::None, Thermal::Light, Thermal::Moderate, Thermal::Severe, Thermal::Critical];

fn any_readings() -> impl Strategy<Value = Readings> {
    let maybe = |low: f64, high: f64| proptest::option::of(low..high);
    let power = (any::<Option<bool>>(), any::<bool>(), maybe(-0.1, 1.1), maybe(-20.0, 90.0));
    let heat = (maybe(-50.0, 150.0), maybe(-50.0, 200.0));
    let user = (maybe(-10.0, 1e6), any::<bool>(), any::<Option<bool>>(), any::<[Option<bool>; 2]>());
    let system = (proptest::option::of(0usize..5), maybe(-0.5, 1.5), maybe(0.0, 100.0), any::<bool>());
    (power, heat, user, system).prop_map(|(power, heat, user, system)| Readings {
        thermal: system.0.map(|i| THERMAL[i]),
        others_load: system.1,
        pressure: system.2.map(|memory_full| Pressure { memory_full, ..Pressure::default() }),
        program: system.3.then(|| "game".into()),
        locked: user.3[0],
        screen_off: user.3[1],
        plugged_in: power.0,
        has_battery: power.1,
        battery: power.2,
        battery_celsius: power.3,
        cpu_celsius: heat.0,
        cpu_trip_celsius: heat.1,
        user_idle: user.0,
        unattended: user.1,
        network_metered: user.2,
        ..fine()
    })
}

fn any_prefs() -> impl Strategy<Value = Prefs> {
    let windows = proptest::collection::vec((0u8..9, 0u16..2000, 0u16..2000), 0..3);
    let numbers = (0u32..200, 0u32..200, 0u32..200, 0u32..200, 0u32..200);
    (any::<[bool; 5]>(), numbers, any::<u32>(), any::<u32>(), windows).prop_map(
        |(flags, numbers, minutes, grace, windows)| Prefs {
            enabled: flags[0],
            on_battery: flags[1],
            alongside: flags[2],
            metered: flags[3],
            quiet: flags[4],
            idle_minutes: minutes,
            grace_seconds: grace,
            cpu_percent: numbers.0,
            memory_percent: numbers.1,
            battery_start: numbers.2,
            battery_stop: numbers.3,
            others_percent: numbers.4,
            hours: Hours(windows.into_iter().map(|(day, from, to)| Window { day, from, to }).collect()),
            exclusive: Vec::new(),
        },
    )
}

#[test]
fn a_pause_shuts_it_and_ends_by_itself() {
    let (readings, prefs) = (fine(), Prefs::default());
    let mut now = input(&readings, &prefs);
    now.work_now = true;
    now.paused = Some(Duration::from_secs(40));
    let (decision, _) = decide(&now, Memory::default());
    assert_eq!(decision.state, State::Disabled);
    assert!(decision.reason.contains("for 40 s more"), "{}", decision.reason);
    assert_eq!(decision.look_again, Duration::from_secs(40));
    now.paused = Some(Duration::ZERO);
    assert!(decide(&now, Memory::default()).0.allowed);
}

#[test]
fn work_now_leaves_a_tenth_of_the_battery() {
    let prefs = Prefs::default();
    let readings = Readings { plugged_in: Some(false), battery: Some(0.1), ..fine() };
    let mut now = input(&readings, &prefs);
    now.work_now = true;
    assert_eq!(decide(&now, Memory::default()).0.state, State::ChargingLow);
    let charging = Readings { plugged_in: Some(true), ..readings.clone() };
    now.readings = &charging;
    assert!(decide(&now, Memory::default()).0.allowed);
}

#[test]
fn the_end_of_the_hours_is_looked_for_in_time() {
    let prefs = Prefs { hours: Hours(vec![Window { day: 3, from: 0, to: 60 }]), ..Prefs::default() };
    let readings = fine();
    let mut now = Input { working: true, ..input(&readings, &prefs) };
    now.local.second = 3599;
    let (decision, _) = decide(&now, Memory::default());
    assert!(decision.allowed && decision.look_again <= Duration::from_secs(1));
    now.local.second = 3600;
    assert!(!decide(&now, Memory::default()).0.allowed);
}

/// Drives the policy with one reading a second.
struct Drive {
    prefs: Prefs,
    memory: Memory,
    second: u64,
}

impl Drive {
    fn new(prefs: Prefs) -> Self {
        Self { prefs, memory: Memory::default(), second: 0 }
    }

    fn step(&mut self, readings: &Readings) -> Decision {
        self.second += 1;
        let now = Input { now_ms: self.second * 1000, ..input(readings, &self.prefs) };
        let (decision, next) = decide(&now, self.memory);
        self.memory = next;
        decision
    }
}

#[test]
fn what_becomes_right_has_to_stay_so_for_the_grace_time() {
    let mut drive = Drive::new(Prefs::default());
    let unplugged = Readings { plugged_in: Some(false), ..fine() };
    assert!(drive.step(&fine()).allowed, "nothing was wrong before");
    assert!(!drive.step(&unplugged).allowed);
    for _ in 0..29 {
        let decision = drive.step(&fine());
        assert_eq!(decision.state, State::ChargingLow);
        assert!(decision.reason.contains("all is well again"), "{}", decision.reason);
    }
    assert!(drive.step(&fine()).allowed);
    // What the owner allows needs no grace.
    drive.step(&unplugged);
    drive.memory = drive.memory.forgive();
    assert!(drive.step(&fine()).allowed);
}

#[test]
fn other_programs_are_waited_for() {
    let mut drive = Drive::new(Prefs::default());
    let others = |load| Readings { others_load: Some(load), ..fine() };
    for _ in 0..30 {
        assert!(drive.step(&others(0.2)).allowed);
    }
    // A burst of two seconds is no reason, half a minute is.
    assert!(drive.step(&others(1.0)).allowed && drive.step(&others(1.0)).allowed);
    for _ in 0..30 {
        drive.step(&others(1.0));
    }
    assert!(!drive.step(&others(1.0)).allowed);
    // A little below the mark is not calm.
    assert!((0..300).all(|_| !drive.step(&others(0.45)).allowed));
    let waited = (1..300).find(|_| drive.step(&others(0.1)).allowed).unwrap();
    assert!((60..90).contains(&waited), "{waited} s");
    // A sensor that falls silent does not hold it back for ever.
    for _ in 0..30 {
        drive.step(&others(1.0));
    }
    let silent = Readings { others_load: None, ..fine() };
    assert!(!drive.step(&silent).allowed);
    assert!((0..300).any(|_| drive.step(&silent).allowed));
}

#[test]
fn modes_differ_in_what_they_allow() {
    let share = |mode: Mode, readings: &Readings| {
        let mut prefs = Prefs::default();
        mode.apply(&mut prefs);
        once(readings, &prefs).cpu_share
    };
    let cool = Readings { cpu_celsius: Some(40.0), user_idle: Some(1e4), ..fine() };
    let shares = Mode::ALL.map(|mode| share(mode, &cool));
    assert_eq!(shares, [0.25, 0.5, 0.8]);
    let active = Readings { user_idle: Some(1.0), ..cool };
    assert_eq!(Mode::ALL.map(|mode| share(mode, &active)), [0.0, 0.0, 0.8]);
}

proptest! {
    /// Against the gates written down once more, without memory: what is shut at this moment is never passed.
    #[test]
    fn never_allowed_when_a_gate_is_shut(
        steps in proptest::collection::vec(
            (any_readings(), any_prefs(), any::<[bool; 3]>(), 0u64..90_000, -9i32..9, 0u32..100_000), 1..40
        )
    ) {
        let (mut now_ms, mut memory) = (0, Memory::default());
        for (readings, prefs, [work_now, working, pause], step, day, second) in steps {
            now_ms += step;
            let paused = pause.then_some(Duration::from_secs(5));
            let local = Local { day, second };
            let now = Input { readings: &readings, prefs: &prefs, work_now, paused, working, local, now_ms };
            let (decision, next) = decide(&now, memory);
            memory = next;
            let stop = heat::cpu_limits(readings.cpu_trip_celsius, prefs.quiet).marks.stop;
            let hot = readings.cpu_celsius.is_some_and(|t| t >= stop)
                || readings.battery_celsius.is_some_and(|t| t >= 45.0)
                || readings.thermal.is_some_and(|t| t >= Thermal::Moderate);
            let draining = readings.has_battery && readings.plugged_in != Some(true);
            let flat = draining && readings.battery.is_some_and(|charge| charge <= 0.1);
            prop_assert!(!(decision.allowed && (hot || flat || pause || !prefs.enabled)));
            let away = readings.locked == Some(true) || readings.screen_off == Some(true);
            let needed = f64::from(prefs.idle_minutes) * 60.0;
            let disturbed = !prefs.alongside && !readings.unattended && match readings.user_idle {
                Some(idle) => idle < if away { needed.min(10.0) } else { needed },
                None => !away,
            };
            let soft = (draining && (!prefs.on_battery || readings.battery.is_none()))
                || (readings.network_metered == Some(true) && !prefs.metered)
                || readings.program.is_some()
                || !prefs.hours.contains(local)
                || disturbed;
            prop_assert!(!(decision.allowed && soft && !work_now), "{decision:?} {readings:?} {prefs:?}");
            prop_assert!((0.0..=1.0).contains(&decision.cpu_share));
            prop_assert!(decision.cpu_share <= f64::from(prefs.cpu_percent) / 100.0 + 1e-9);
            prop_assert!(!prefs.quiet || decision.cpu_share <= 0.25);
            prop_assert!(decision.allowed || decision.cpu_share == 0.0);
            prop_assert!(decision.memory_bytes <= readings.memory_total);
            let blind = readings.cpu_celsius.is_none() && readings.thermal.is_none();
            prop_assert!(!blind || decision.cpu_share <= 0.25);
            prop_assert!(decision.look_again > Duration::ZERO && !decision.reason.is_empty());
        }
    }

    /// Whatever the sensors' noise: after a stop that no person caused, work rests for the grace time at least.
    #[test]
    fn noise_does_not_make_it_flap(
        steps in proptest::collection::vec(
            (any::<bool>(), 0.40f64..0.56, 60.0f64..95.0, 40.0f64..46.0, 0.0f64..1.0, any::<[bool; 3]>(), 0usize..5),
            50..400
        ),
        on_battery in any::<bool>()
    ) {
        let mut drive = Drive::new(Prefs { on_battery, ..Prefs::default() });
        let mut stopped = None;
        for (plugged, charge, cpu, battery, others, [metered, program, stall], thermal) in steps {
            let readings = Readings {
                plugged_in: Some(plugged),
                battery: Some(charge),
                cpu_celsius: Some(cpu),
                battery_celsius: Some(battery),
                others_load: Some(others),
                // Rare enough that work starts now and then.
                network_metered: Some(metered && others > 0.9),
                program: (program && others > 0.95).then(|| "game".into()),
                thermal: Some(THERMAL[thermal.saturating_sub(2)]),
                pressure: Some(Pressure { memory_full: if stall { charge * 20.0 - 4.0 } else { 0.0 }, ..Pressure::default() }),
                ..fine()
            };
            match (drive.step(&readings).allowed, stopped) {
                (false, None) => stopped = Some(drive.second),
                (true, Some(since)) => {
                    prop_assert!(drive.second - since >= 30, "it rested {} s", drive.second - since);
                    stopped = None;
                }
                _ => {}
            }
        }
    }

    #[test]
    fn heat_never_flaps_faster_than_a_minute(
        steps in proptest::collection::vec((70.0f64..95.0, 0u64..20_000), 1..300)
    ) {
        let prefs = Prefs::default();
        let (mut now_ms, mut memory, mut stopped) = (0, Memory::default(), None);
        for (celsius, step) in steps {
            now_ms += step;
            let readings = Readings { cpu_celsius: Some(celsius), ..fine() };
            let now = Input { now_ms, ..input(&readings, &prefs) };
            let (decision, next) = decide(&now, memory);
            memory = next;
            match (decision.allowed, stopped) {
                (false, None) => stopped = Some(now_ms),
                (true, Some(since)) => {
                    prop_assert!(now_ms - since >= 60_000 && celsius <= 80.0);
                    stopped = None;
                }
                _ => {}
            }
        }
    }

    #[test]
    fn the_battery_gate_moves_only_past_its_marks(charges in proptest::collection::vec(0.3f64..0.7, 1..300)) {
        let prefs = Prefs { on_battery: true, grace_seconds: 0, ..Prefs::default() };
        let (mut memory, mut before) = (Memory::default(), None);
        for charge in charges {
            let readings = Readings { plugged_in: Some(false), battery: Some(charge), ..fine() };
            let (decision, next) = decide(&input(&readings, &prefs), memory);
            memory = next;
            match (before, decision.allowed) {
                (Some(false), true) => prop_assert!(charge >= 0.5),
                (Some(true), false) => prop_assert!(charge <= 0.45),
                _ => {}
            }
            before = Some(decision.allowed);
        }
    }
}
