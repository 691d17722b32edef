use super::*;
use proptest::prelude::*;

fn after(deeds: &[(Deed, u32)]) -> Reputation {
    let mut reputation = Reputation::default();
    for (deed, times) in deeds {
        (0..*times).for_each(|_| reputation.add(*deed, 1000));
    }
    reputation
}

#[test]
fn the_baselines_weights() {
    assert!((after(&[]).score() - 0.5).abs() < 1e-9);
    assert!((after(&[(Deed::Delivered, 1)]).score() - 2.0 / 3.0).abs() < 1e-9);
    assert!((after(&[(Deed::Right, 2)]).score() - 4.0 / 5.0).abs() < 1e-9);
    assert!((after(&[(Deed::Wrong, 1)]).score() - 1.0 / 5.0).abs() < 1e-9);
    assert!((after(&[(Deed::Vanished, 2)]).score() - 1.0 / 3.0).abs() < 1e-9);
    assert_eq!(after(&[(Deed::Right, 19)]).tier(), "none");
    assert_eq!(after(&[(Deed::Right, 20)]).tier(), "bronze");
    assert_eq!(after(&[(Deed::Right, 200)]).tier(), "diamond");
}

#[test]
fn trust_is_earned_in_a_row_and_lost_at_once() {
    assert!(!after(&[(Deed::Delivered, 1000)]).is_trusted(), "what nobody compared earns no trust");
    assert!(!after(&[(Deed::Right, 9)]).is_trusted());
    let trusted = after(&[(Deed::Right, 10)]);
    assert!(trusted.is_trusted());
    assert!((trusted.check_probability() - 0.1).abs() < 1e-9);
    assert!((after(&[(Deed::Right, 1000)]).check_probability() - LEAST_CHECK).abs() < 1e-9);
    let fallen = after(&[(Deed::Right, 1000), (Deed::Wrong, 1)]);
    assert!(!fallen.is_trusted() && fallen.check_probability() >= 1.0);
    assert!(fallen.score() < after(&[(Deed::Right, 1000)]).score());
}

#[test]
fn weights_fade_by_a_thousandth_a_day() {
    let mut reputation = after(&[(Deed::Delivered, 100)]);
    reputation.add(Deed::Vanished, 1000 + 86_400_000);
    assert_eq!((reputation.good, reputation.bad), (99_900, 500));
}

proptest! {
    #[test]
    fn always_a_probability(deeds in prop::collection::vec((0u8..5, 0u64..1 << 45), 0..200), normal in -9.0f64..9.0) {
        let mut reputation = Reputation::default();
        for (deed, now) in deeds {
            let deed = [Deed::Delivered, Deed::Right, Deed::Wrong, Deed::Failed, Deed::Vanished][usize::from(deed)];
            reputation.add(deed, now);
            for p in [reputation.score(), reputation.sample(normal), reputation.check_probability()] {
                prop_assert!((0.0..=1.0).contains(&p), "{p}");
            }
        }
    }
}
