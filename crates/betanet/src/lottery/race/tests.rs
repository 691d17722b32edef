//! The race against what theory says of it, and the limits.

use super::*;
use crate::lottery::weight;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Relay `n`, with an operator and a network of its own.
fn candidate(n: u8, standing: Standing) -> Candidate<'static> {
    const NAMES: &[&str] = &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    Candidate {
        draw: [0; 32],
        standing,
        group: 1,
        operator: NAMES[usize::from(n) % NAMES.len()],
        address: IpAddr::from([8, n, 0, 1]),
    }
}

fn standings() -> Vec<Standing> {
    let standing = |reputation, performance, stake| Standing { reputation, performance, stake };
    vec![
        standing(1000, 1000, 1_000_000),
        standing(900, 900, 10_000),
        standing(600, 500, 1000),
        standing(200, 400, 1000),
        standing(50, 50, 1),
    ]
}

/// Runs `n` elections among `standings` with fresh draws.
fn elections(n: usize, seats: usize, mut tell: impl FnMut(&[usize])) {
    let mut rng = StdRng::seed_from_u64(11);
    let mut candidates: Vec<_> = (0..).zip(standings()).map(|(i, s)| candidate(i, s)).collect();
    for _ in 0..n {
        for c in &mut candidates {
            c.draw = rng.random();
        }
        tell(&elect(&candidates, seats));
    }
}

fn chi_square(observed: &[u32], expected: &[f64]) -> f64 {
    observed.iter().zip(expected).map(|(o, e)| (f64::from(*o) - e).powi(2) / e).sum()
}

/// First seats against the weights: 4 degrees of freedom, of which 18.47 is exceeded once in 1,000 times. The same
/// elections do not fit even chances, nor the weights squared: the test can fail.
#[test]
fn the_first_seat_follows_the_weights() {
    const N: usize = 20_000;
    let mut wins = [0_u32; 5];
    elections(N, 1, |seats| wins[seats[0]] += 1);
    let shares = |f: fn(f64) -> f64| {
        let weights: Vec<f64> = standings().iter().map(|s| f(weight(s))).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|w| w / total * N as f64).collect::<Vec<_>>()
    };
    let fit = chi_square(&wins, &shares(|w| w));
    assert!(fit < 18.47, "chi-square {fit} of {wins:?} against {:?}", shares(|w| w));
    for wrong in [shares(|_| 1.0), shares(|w| w * w), shares(f64::sqrt)] {
        assert!(chi_square(&wins, &wrong) > 100.0, "{wins:?} would pass for {wrong:?}");
    }
}

/// Two seats against the Plackett-Luce model: P(i, then j) = w_i / W * w_j / (W - w_i). 20 pairs, so 19 degrees of
/// freedom, of which 43.82 is exceeded once in 1,000 times.
#[test]
fn the_seats_in_order_follow_plackett_luce() {
    const N: usize = 40_000;
    let weights: Vec<f64> = standings().iter().map(weight).collect();
    let total: f64 = weights.iter().sum();
    let mut pairs = [0_u32; 25];
    // Two of five seats: more seats than two would raise no limit here, as each has its own operator.
    elections(N, 2, |seats| pairs[seats[0] * 5 + seats[1]] += 1);
    let (mut observed, mut expected) = (Vec::new(), Vec::new());
    for i in 0..5 {
        assert_eq!(pairs[i * 6], 0, "nobody has two seats");
        for j in (0..5).filter(|j| *j != i) {
            observed.push(pairs[i * 5 + j]);
            expected.push(N as f64 * weights[i] / total * weights[j] / (total - weights[i]));
        }
    }
    let fit = chi_square(&observed, &expected);
    assert!(fit < 43.82, "chi-square {fit}: {observed:?} against {expected:?}");
}

/// The scores to the last bit, as every build must compute them.
#[test]
fn scores_never_change() {
    let mut c = candidate(1, standings()[2]);
    let time = |c: &Candidate<'_>| Runner::new(c).time;
    assert_eq!(time(&c), 128 << 56, "the least draw has the most time");
    c.draw = [0xff; 32];
    assert_eq!(time(&c), 1, "the greatest draw has the least time");
    c.draw[0] = 0x7f;
    assert_eq!(time(&c), (1 << 56) + 1);
    c.draw = *b"an arbitrary draw of thirty-two!";
    assert_eq!(time(&c), 100_426_895_822_143_680);
}

#[test]
fn equal_scores_are_decided_by_the_draw_and_then_by_the_name() {
    let mut a = candidate(1, standings()[0]);
    a.draw[31] = 1; // beyond the 16 bytes that make the score
    let b = candidate(2, standings()[0]);
    assert_eq!((elect(&[a, b], 1), elect(&[b, a], 1)), (vec![1], vec![0]));
    a.draw[31] = 0;
    assert_eq!((elect(&[a, b], 1), elect(&[b, a], 1)), (vec![0], vec![1]));
}

/// Seats of one layer with the given operators and addresses, of equal weight, drawn in this order.
fn seats_of(relays: &[(&'static str, &str)], seats: usize) -> Vec<usize> {
    let candidates: Vec<_> = (0_u8..)
        .zip(relays)
        .map(|(n, (operator, address))| Candidate {
            draw: [0xff - n; 32],
            operator,
            address: address.parse().expect("an address"),
            ..candidate(n, standings()[0])
        })
        .collect();
    elect(&candidates, seats)
}

#[test]
fn an_operator_gets_a_third_of_the_seats_at_most() {
    let relays: Vec<_> = ["8.1.0.1", "8.2.0.1", "8.3.0.1", "8.4.0.1"].map(|a| ("one", a)).to_vec();
    assert_eq!(seats_of(&relays, 3), [0], "the other two seats stay empty");
    assert_eq!(seats_of(&relays, 1), [0], "one is always allowed");
    assert_eq!(seats_of(&relays, 6), [0, 1]);
    let mut more = relays.clone();
    more.push(("two", "8.5.0.1"));
    assert_eq!(seats_of(&more, 3), [0, 4], "others move up");
}

#[test]
fn a_network_gets_a_third_of_the_seats_at_most_unless_it_is_private() {
    let same16 = [("a", "8.8.1.1"), ("b", "8.8.200.2"), ("c", "8.9.0.1")];
    assert_eq!(seats_of(&same16, 3), [0, 2]);
    let same32 = [("a", "2a00:1:2::1"), ("b", "2a00:1:ffff::1"), ("c", "2a00:2::1"), ("d", "::ffff:8.8.1.1")];
    assert_eq!(seats_of(&same32, 3), [0, 2, 3]);
    let mapped = [("a", "8.8.1.1"), ("b", "::ffff:8.8.2.2")];
    assert_eq!(seats_of(&mapped, 3), [0], "an IPv4 address in IPv6 clothes is the same network");
    let at_home = [("a", "127.0.0.1"), ("b", "127.0.0.1"), ("c", "127.0.0.2")];
    assert_eq!(seats_of(&at_home, 3), [0, 1, 2]);
}

#[test]
fn same_subnet_is_the_16_or_32_bits_and_spares_private_addresses() {
    let same = |a: &str, b: &str| same_subnet(a.parse().expect("address"), b.parse().expect("address"));
    for (a, b) in [("8.8.0.1", "8.8.255.1"), ("2a00:1::1", "2a00:1:ffff::"), ("::ffff:8.8.0.1", "8.8.9.9")] {
        assert!(same(a, b) && same(b, a) && same(a, a), "{a} {b}");
    }
    for (a, b) in [("8.8.0.1", "8.9.0.1"), ("2a00:1::1", "2a00:2::1"), ("8.8.0.1", "2a00:1::1")] {
        assert!(!same(a, b) && !same(b, a), "{a} {b}");
    }
    let own =
        ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "::1", "fd00::1", "fe80::1"];
    for a in own.iter().chain(&["::ffff:127.0.0.1", "::ffff:10.0.0.1"]) {
        assert!(!same(a, a), "{a}");
    }
    // The neighbours of the private ranges are public.
    for a in ["172.32.0.1", "172.15.0.1", "192.169.0.1", "11.0.0.1", "::2", "fec0::1"] {
        assert!(same(a, a), "{a}");
    }
}

prop_compose! {
    fn any_candidate()(
        draw: [u8; 32],
        merits in (0..=1000_u16, 0..=1000_u16, 0..2_000_000_u64),
        group in 1..=3_u8,
        operator in prop::sample::select(vec!["", "a", "b", "c", "d", "e"]),
        address in prop_oneof![
            (0..6_u8, 0..4_u8).prop_map(|(a, b)| IpAddr::from([8, a, b, 1])),
            (0..6_u16).prop_map(|a| IpAddr::from([0x2a00, a, 0, 0, 0, 0, 0, 1])),
            Just(IpAddr::from([127, 0, 0, 1])),
        ],
    ) -> Candidate<'static> {
        let standing = Standing { reputation: merits.0, performance: merits.1, stake: merits.2 };
        Candidate { draw, standing, group, operator, address }
    }
}

proptest! {
    /// What must hold of any election: limits kept, no seat given twice, none left empty that somebody could take, the
    /// better score first, and the order of the list without meaning.
    #[test]
    fn an_election_keeps_its_rules(
        candidates in prop::collection::vec(any_candidate(), 0..60), seats in 0..12_usize, turn in 0..60_usize
    ) {
        let elected = elect(&candidates, seats);
        let most = (seats / OPERATOR_SHARE).max(1);
        for group in 1..=3 {
            let ours: Vec<usize> = elected.iter().copied().filter(|i| candidates[*i].group == group).collect();
            prop_assert!(ours.len() <= seats);
            prop_assert!(ours.windows(2).all(|w| Runner::new(&candidates[w[0]]) <= Runner::new(&candidates[w[1]])));
            let blocked = |i: usize, ours: &[usize]| {
                let operator = ours.iter().filter(|j| candidates[**j].operator == candidates[i].operator).count();
                let near = |j: &&usize| same_subnet(candidates[**j].address, candidates[i].address);
                operator.max(ours.iter().filter(near).count()) >= most
            };
            for (place, i) in ours.iter().enumerate() {
                prop_assert!(!blocked(*i, &ours[..place]));
                prop_assert!(!ours[..place].contains(i));
            }
            // Who stood and got nothing was too late, or was over a limit by the winners before them.
            for (i, c) in candidates.iter().enumerate().filter(|(i, c)| c.group == group && !ours.contains(i)) {
                let before: Vec<usize> =
                    ours.iter().copied().filter(|j| Runner::new(&candidates[*j]) <= Runner::new(c)).collect();
                prop_assert!(before.len() == seats || blocked(i, &before));
            }
        }
        let mut turned = candidates.clone();
        turned.rotate_left(turn % candidates.len().max(1));
        let names = |list: &[Candidate<'static>], elected: &[usize]| {
            elected.iter().map(|i| list[*i]).collect::<Vec<_>>()
        };
        prop_assert_eq!(names(&turned, &elect(&turned, seats)), names(&candidates, &elected));
    }

    /// More weight never makes a score worse, nor does a greater draw.
    #[test]
    fn merit_and_luck_help(a in any_candidate(), b in any_candidate()) {
        let mut better = a;
        better.standing.stake = a.standing.stake.max(b.standing.stake);
        better.standing.reputation = a.standing.reputation.max(b.standing.reputation);
        prop_assert!(Runner::new(&better) <= Runner::new(&a));
        better.draw = [0xff; 32];
        let with_draw = Runner { draw: a.draw, ..Runner::new(&better) };
        prop_assert!(with_draw <= Runner::new(&a));
    }

    /// The integers order two relays as the formula -ln(u) / w does, unless they are as good as equal.
    #[test]
    fn the_order_is_that_of_the_formula(a in any_candidate(), b in any_candidate()) {
        let score = |c: &Candidate<'_>| {
            let u = u128::from_be_bytes(*c.draw.first_chunk().expect("16 bytes")) as f64 / 2_f64.powi(128);
            -u.ln() / weight(&c.standing)
        };
        let (x, y) = (score(&a), score(&b));
        if (x - y).abs() > 1e-9 * x.max(y) {
            prop_assert_eq!(Runner::new(&a) < Runner::new(&b), x < y);
        }
    }
}
