use super::*;
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
    Input { readings, prefs, work_now: false, working: false, now_ms: 1_000_000 }
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
        ("active", |r, _| r.user_idle = Some(20.0), State::UserActive, "20 s ago; work starts after 5 min"),
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

fn any_readings() -> impl Strategy<Value = Readings> {
    let maybe = |low: f64, high: f64| proptest::option::of(low..high);
    let power = (any::<Option<bool>>(), any::<bool>(), maybe(-0.1, 1.1), maybe(-20.0, 90.0));
    let heat = (maybe(-50.0, 150.0), maybe(-50.0, 200.0));
    let user = (maybe(-10.0, 1e6), any::<bool>(), any::<Option<bool>>());
    (power, heat, user).prop_map(|(power, heat, user)| Readings {
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
    (any::<[bool; 3]>(), 0u32..200, 0u32..200, any::<u32>()).prop_map(|(flags, cpu, memory, minutes)| Prefs {
        enabled: flags[0],
        on_battery: flags[1],
        alongside: flags[2],
        idle_minutes: minutes,
        cpu_percent: cpu,
        memory_percent: memory,
    })
}

proptest! {
    #[test]
    fn hot_or_off_is_never_allowed(
        steps in proptest::collection::vec((any_readings(), any_prefs(), any::<[bool; 2]>(), 0u64..90_000), 1..40)
    ) {
        let (mut now_ms, mut memory) = (0, Memory::default());
        for (readings, prefs, [work_now, working], step) in steps {
            now_ms += step;
            let now = Input { readings: &readings, prefs: &prefs, work_now, working, now_ms };
            let (decision, next) = decide(&now, memory);
            memory = next;
            let stop = heat::cpu_limits(readings.cpu_trip_celsius).stop;
            let hot = readings.cpu_celsius.is_some_and(|t| t >= stop)
                || readings.battery_celsius.is_some_and(|t| t >= heat::BATTERY_STOP);
            prop_assert!(!(decision.allowed && (hot || !prefs.enabled)));
            prop_assert!((0.0..=1.0).contains(&decision.cpu_share));
            prop_assert!(decision.cpu_share <= f64::from(prefs.cpu_percent) / 100.0 + 1e-9);
            prop_assert!(decision.allowed || decision.cpu_share == 0.0);
            prop_assert!(decision.memory_bytes <= readings.memory_total);
            prop_assert!(readings.cpu_celsius.is_some() || decision.cpu_share <= 0.25);
            prop_assert!(decision.look_again > Duration::ZERO && !decision.reason.is_empty());
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
        let prefs = Prefs { on_battery: true, ..Prefs::default() };
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
