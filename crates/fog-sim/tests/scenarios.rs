//! Every scenario in its short form, and what a user may ask wrongly.

use fog_sim::{NAMES, Options, Report, ScenarioError, run, svg};

fn short(name: &str, only_native: bool) -> Report {
    let options = Options { seeds: 1, short: true, only_native, ..Options::default() };
    run(name, &options).unwrap()
}

fn value(report: &Report, name: &str) -> f64 {
    let metric = report.metrics.iter().find(|m| m.name == name).unwrap_or_else(|| panic!("no {name}"));
    metric.value.unwrap_or(f64::INFINITY)
}

#[test]
fn direct_messages_arrive_over_seven_hops_beside_the_phones_rules() {
    let report = short("G1", false);
    assert!(value(&report, "acknowledged") >= 0.98, "{report:?}");
    assert!(value(&report, "transmissions_to_shortest_way") <= 1.3, "{report:?}");
    let iphone =
        report.metrics.iter().find(|m| m.name == "transmissions_to_shortest_way").unwrap().baseline.unwrap();
    assert!(iphone > 3.0, "a flood costs more than a way: {iphone}");
}

#[test]
fn a_crowd_hears_a_broadcast() {
    let report = short("G2", true);
    assert!(value(&report, "reached_within_20_s") >= 0.99, "{report:?}");
    assert!(value(&report, "transmissions_a_reached_node") <= 4.5, "{report:?}");
    assert_eq!(value(&report, "delivered_twice"), 0.0);
}

#[test]
fn walkers_carry_messages() {
    let report = short("G4", true);
    assert!(value(&report, "delivered") >= 0.95, "{report:?}");
    assert!(value(&report, "transmissions_a_message") <= 45.0, "{report:?}");
}

#[test]
fn a_late_joiner_gets_the_history() {
    let report = short("G8", false);
    assert_eq!(value(&report, "history_got"), 1.0, "{report:?}");
    assert!(value(&report, "history_complete_after") <= 60.0, "{report:?}");
}

#[test]
fn a_flooder_is_not_relayed_and_the_hostile_gain_nothing() {
    let report = short("G10", true);
    assert!(value(&report, "attack_relayed") <= 0.06, "{report:?}");
    assert!(value(&report, "delivery_lost_to_the_flood") <= 5.0, "{report:?}");
    let report = short("G11", true);
    assert_eq!(value(&report, "forgeries_taken"), 0.0, "{report:?}");
    assert_eq!(value(&report, "replays_taken"), 0.0, "{report:?}");
}

#[test]
fn the_radio_is_mostly_off() {
    assert!(short("G13", false).met);
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_one_does_not() {
    let with = |first_seed, threads| {
        let options = Options { seeds: 2, first_seed, short: true, threads, ..Options::default() };
        run("G1", &options).unwrap().fingerprint
    };
    assert_eq!(with(1, 1), with(1, 2));
    assert_ne!(with(1, 1), with(3, 2));
}

#[test]
fn wrong_questions_get_an_answer() {
    let ask = |name: &str, options: Options| run(name, &options).unwrap_err();
    assert!(ask("G99", Options::default()).to_string().contains("G14"));
    assert!(matches!(ask("G9", Options::default()), ScenarioError::Elsewhere("G9", _)));
    assert!(matches!(ask("g12", Options::default()), ScenarioError::Elsewhere("G12", _)));
    assert!(matches!(ask("G1", Options { seeds: 0, ..Options::default() }), ScenarioError::Option(_)));
    assert!(matches!(ask("G1", Options { loss: Some(1.0), ..Options::default() }), ScenarioError::Option(_)));
    assert_eq!(NAMES.len(), 12);
}

#[test]
fn the_plot_is_a_picture_of_the_curves() {
    let report = short("G13", false);
    let picture = svg(&report);
    assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
    assert_eq!(picture.matches("stroke-width=\"2\"").count(), report.curves.len());
    assert!(!picture.contains("NaN") && !picture.contains("inf"));
}
