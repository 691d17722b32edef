//! Guards against blocked lines, changing directories, restarts and wrong clocks.

use super::*;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::{HashMap, HashSet};

const START: u64 = 1_800_000_000;

fn key(n: u16) -> Key {
    let mut key = [0; 32];
    key[..2].copy_from_slice(&n.to_be_bytes());
    key
}

fn even(relays: impl IntoIterator<Item = u16>) -> Vec<(Key, f64)> {
    relays.into_iter().map(|n| (key(n), 1.0)).collect()
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(5)
}

fn started(candidates: &[(Key, f64)], rng: &mut StdRng) -> Guards {
    let mut guards = Guards::new();
    guards.refresh(START, candidates, rng);
    guards
}

/// The listed guards, in order.
fn pinned(guards: &Guards) -> Vec<Key> {
    guards.listed().map(|g| g.id).collect()
}

#[test]
fn three_are_pinned_and_each_is_used_as_often() {
    let (all, mut rng) = (even(0..50), rng());
    let mut guards = started(&all, &mut rng);
    let first = pinned(&guards);
    assert_eq!(first.len(), GUARDS);
    assert!(guards.take_unsaved() && !guards.take_unsaved());
    let mut uses: HashMap<Key, u32> = HashMap::new();
    for i in 0..3000 {
        *uses.entry(guards.choose(START + i, |_| true, &mut rng).expect("usable")).or_default() += 1;
    }
    assert!(first.iter().all(|g| (900..1100).contains(&uses[g])), "{uses:?}");
    // A guard without a link is left out, and the others share.
    for i in 0..100 {
        let chosen = guards.choose(START + i, |id| *id != first[0], &mut rng).expect("usable");
        assert!(chosen == first[1] || chosen == first[2]);
    }
    assert_eq!(guards.choose(START, |_| false, &mut rng), None);
    guards.refresh(START + DAY, &all, &mut rng);
    assert_eq!(pinned(&guards), first, "they stay");
}

/// Chances of being the first guard against the weights: chi-square with 3 degrees of freedom, of which 16.27 is
/// exceeded once in 1,000 times.
#[test]
fn guards_are_drawn_by_weight() {
    const N: u32 = 20_000;
    let weights = [1.0, 2.0, 3.0, 4.0];
    let candidates: Vec<_> = (0..).map(key).zip(weights).collect();
    let (mut first, mut rng) = ([0_u32; 4], rng());
    for _ in 0..N {
        let guards = started(&candidates, &mut rng);
        let ids = pinned(&guards);
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 3, "without replacement");
        first[usize::from(ids[0][1])] += 1;
    }
    let expected = weights.map(|w| w / 10.0 * f64::from(N));
    let fit: f64 = first.iter().zip(expected).map(|(o, e)| (f64::from(*o) - e).powi(2) / e).sum();
    assert!(fit < 16.27, "chi-square {fit}: {first:?}");
}

#[test]
fn senseless_weights_are_never_drawn() {
    let weights = [f64::NAN, f64::INFINITY, 0.0, -1.0, f64::MIN_POSITIVE];
    let candidates: Vec<_> = (0..).map(key).zip(weights).collect();
    assert_eq!(pinned(&started(&candidates, &mut rng())), [key(4)]);
    assert!(pinned(&started(&[], &mut rng())).is_empty());
}

#[test]
fn a_guard_that_vanishes_is_not_used_and_dropped_after_seven_days() {
    let (all, mut rng) = (even(0..50), rng());
    let mut guards = started(&all, &mut rng);
    let gone = pinned(&guards)[0];
    let without: Vec<_> = all.iter().copied().filter(|(id, _)| *id != gone).collect();
    guards.refresh(START + DAY, &without, &mut rng);
    assert!(!pinned(&guards).contains(&gone));
    assert_eq!(pinned(&guards).len(), GUARDS, "another takes its place");
    for i in 0..100 {
        assert_ne!(guards.choose(START + DAY + i, |_| true, &mut rng), Some(gone));
    }
    // It comes back within the week, and is preferred again.
    let mut back = guards.clone();
    back.refresh(START + 7 * DAY, &all, &mut rng);
    assert_eq!(pinned(&back)[0], gone);
    // Or it does not, and another week away does not count together with the first.
    back.refresh(START + 9 * DAY, &without, &mut rng);
    back.refresh(START + 15 * DAY, &all, &mut rng);
    assert_eq!(pinned(&back)[0], gone);
    guards.refresh(START + 8 * DAY, &without, &mut rng);
    guards.refresh(START + 9 * DAY, &all, &mut rng);
    assert!(!pinned(&guards).contains(&gone));
}

#[test]
fn guards_last_sixty_to_a_hundred_and_twenty_days() {
    let (all, mut rng) = (even(0..500), rng());
    let mut lives = Vec::new();
    for _ in 0..200 {
        let mut guards = started(&all, &mut rng);
        let ours = guards.pinned.clone();
        let mut gone: HashMap<Key, u64> = HashMap::new();
        for day in 0..=121 {
            guards.refresh(START + day * DAY, &all, &mut rng);
            // Used every day, so what is dropped counts.
            assert!(guards.choose(START + day * DAY, |_| true, &mut rng).is_some(), "never without a guard");
            // One that ended may be drawn again by chance, and then ends at another time.
            for old in
                ours.iter().filter(|g| guards.pinned.iter().all(|new| (new.id, new.until) != (g.id, g.until)))
            {
                gone.entry(old.id).or_insert(day);
            }
        }
        assert_eq!(gone.len(), GUARDS, "all have ended");
        lives.extend(gone.into_values());
    }
    assert!(lives.iter().all(|day| (60..=120).contains(day)), "{lives:?}");
    let mean = lives.iter().sum::<u64>() as f64 / lives.len() as f64;
    assert!((85.0..95.0).contains(&mean), "{mean} days");
    assert!(lives.iter().any(|d| *d < 65) && lives.iter().any(|d| *d > 115), "spread over the whole time");
}

#[test]
fn further_guards_come_after_five_minutes_without_any_and_are_left_again() {
    let (all, mut rng) = (even(0..50), rng());
    let mut guards = started(&all, &mut rng);
    let first = pinned(&guards);
    let blocked = |id: &Key| !first.contains(id);
    let mut added = None;
    for minute in 0..=5 {
        assert_eq!(added, None, "minute {minute}");
        let now = START + minute * MINUTE;
        assert_eq!(guards.choose(now, blocked, &mut rng), None);
        match guards.reach(now, &all, blocked, &mut rng) {
            Reach::Added(id) => added = Some(id),
            other => assert_eq!(other, Reach::Waiting),
        }
    }
    let added = added.expect("added in the fifth minute");
    let now = START + 6 * MINUTE;
    assert_eq!(guards.reach(now, &all, blocked, &mut rng), Reach::Usable);
    assert_eq!(guards.choose(now, blocked, &mut rng), Some(added));
    // The first ones are back: only they are used.
    for _ in 0..100 {
        assert_ne!(guards.choose(now, |_| true, &mut rng), Some(added));
    }
}

/// A machine that wakes up has no links for a moment. Nor does the wait go on if a guard was usable in between.
#[test]
fn sleep_and_short_breaks_add_no_guard() {
    let (all, mut rng) = (even(0..50), rng());
    let mut guards = started(&all, &mut rng);
    let mut reach = |now, usable: bool| guards.reach(now, &all, |_| usable, &mut rng);
    assert_eq!(reach(START, false), Reach::Waiting);
    assert_eq!(reach(START + 9 * HOUR, false), Reach::Waiting, "slept for nine hours");
    for minute in 0..100 {
        let now = START + DAY + minute * MINUTE;
        let got = reach(now, minute % 5 == 4);
        assert_eq!(got, if minute % 5 == 4 { Reach::Usable } else { Reach::Waiting });
    }
}

/// Whoever controls the line lets through only their own relays, one in ten, and waits to be chosen.
#[test]
fn who_blocks_entries_cannot_walk_a_client_through_the_relays() {
    let (all, mut rng) = (even(0..500), rng());
    let mut guards = started(&all, &mut rng);
    let mut tried: HashSet<Key> = HashSet::new();
    let mut exhausted = 0_u32;
    for minute in 0..30 * 24 * 60 {
        let now = START + minute * MINUTE;
        if minute % 60 == 0 {
            guards.refresh(now, &all, &mut rng);
        }
        tried.extend(guards.pinned(now));
        let _ = guards.choose(now, |_| false, &mut rng);
        exhausted += u32::from(guards.reach(now, &all, |_| false, &mut rng) == Reach::Exhausted);
    }
    assert_eq!(tried.len(), MOST_GUARDS);
    assert!(exhausted > 40_000, "the rest of the month it waits");
    // The month after, further ones may come, so that who really lost all entries is not lost for ever.
    for minute in 30 * 24 * 60..32 * 24 * 60 {
        let now = START + minute * MINUTE;
        let _ = guards.reach(now, &all, |_| false, &mut rng);
        tried.extend(guards.pinned(now));
    }
    assert_eq!(tried.len(), 2 * MOST_GUARDS);
}

/// Links count, not packets: a client that sent nothing for 40 days was seen by its guards all the same.
#[test]
fn guards_with_links_count_although_nothing_is_sent() {
    let (all, mut rng) = (even(0..500), rng());
    let mut guards = started(&all, &mut rng);
    for day in 1..=40 {
        guards.refresh(START + day * DAY, &all, &mut rng);
    }
    for minute in 0..60 {
        let _ = guards.reach(START + 40 * DAY + minute * MINUTE, &all, |_| false, &mut rng);
    }
    assert_eq!((guards.pinned.len(), guards.former.len()), (MOST_GUARDS, 0));
}

/// Guards that were blocked for a month, so that others came instead, do not come back on top of the six.
#[test]
fn old_guards_are_used_within_the_limit_only() {
    let (all, mut rng) = (even(0..500), rng());
    let mut guards = started(&all, &mut rng);
    let first = pinned(&guards);
    let blocked = |id: &Key| !first.contains(id);
    let mut now = START;
    let mut pass = |guards: &mut Guards, minutes: u64, all: &[(Key, f64)], usable: &dyn Fn(&Key) -> bool| {
        for _ in 0..minutes {
            now += MINUTE;
            let _ = guards.reach(now, all, usable, &mut rng);
        }
        now
    };
    // The first three are blocked for longer than they count, and the later ones too until there are six.
    pass(&mut guards, 60, &all, &|_| false);
    assert_eq!(guards.pinned.len(), MOST_GUARDS);
    let now = pass(&mut guards, 31 * 24 * 60, &all, &blocked);
    assert_eq!(guards.counted(now), 3);
    // The later ones leave the network, and everything is blocked again: three more.
    guards.pinned.retain(|g| first.contains(&g.id));
    guards.former.extend((1000..1003).map(|n| Former { id: key(n), used: now }));
    let now = pass(&mut guards, 60, &all, &|_| false);
    assert_eq!((guards.pinned.len(), guards.counted(now)), (MOST_GUARDS, MOST_GUARDS));
    let open: Vec<Key> = guards.pinned(now).collect();
    assert!(
        open.len() == 3 && open.iter().all(blocked),
        "the line is open, but the first three are over the limit"
    );
    // With room for one, one of them may be used.
    guards.former.pop();
    assert_eq!(guards.pinned(now).collect::<Vec<_>>(), [&first[..1], &open[..]].concat());
}

/// A clock that was far ahead leaves no state that waits for that time, and one that goes back forgets nothing.
#[test]
fn a_wrong_clock_does_not_stop_a_client_for_years() {
    let (all, mut rng) = (even(0..500), rng());
    let mut guards = started(&all, &mut rng);
    let year = 365 * DAY;
    // Far ahead, until some are dropped there and one more is missing.
    let mut far = START + 10 * year;
    for _ in 0..20 {
        guards.refresh(far, &all, &mut rng);
        if guards.former.is_empty() {
            far += 20 * DAY;
        }
    }
    assert!(!guards.former.is_empty());
    let missing = pinned(&guards)[0];
    let without: Vec<_> = all.iter().copied().filter(|(id, _)| *id != missing).collect();
    guards.refresh(far, &without, &mut rng);
    let ahead = pinned(&guards);
    assert!(guards.choose(START, |_| true, &mut rng).is_some_and(|id| ahead.contains(&id)));
    for minute in 0..60 {
        let _ = guards.reach(START + minute * MINUTE, &all, |_| false, &mut rng);
    }
    assert!(guards.counted(START + HOUR) <= MOST_GUARDS);
    guards.refresh(START + 8 * DAY, &without, &mut rng);
    assert!(guards.pinned.iter().all(|g| g.id != missing), "it was away for eight days of the right time");
    guards.refresh(START + 40 * DAY, &all, &mut rng);
    assert!(guards.former.is_empty(), "their 30 days count from the time that is right");
    for rotation in 1..5 {
        let now = START + rotation * 121 * DAY;
        guards.refresh(now, &all, &mut rng);
        assert!(
            rotation > 1 || ahead.iter().all(|id| !guards.pinned(now).any(|g| g == *id)),
            "their time is over"
        );
        assert_eq!(guards.pinned(now).count(), GUARDS);
    }
}

#[test]
fn damaged_bytes_are_refused() {
    let (all, mut rng) = (even(0..50), rng());
    let guards = started(&all, &mut rng);
    let bytes = guards.to_bytes();
    assert!(Guards::from_bytes(&bytes).is_some());
    for len in 0..bytes.len() {
        assert!(Guards::from_bytes(&bytes[..len]).is_none());
    }
    assert!(Guards::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_none());
    assert!(Guards::from_bytes(&[&[VERSION + 1], &bytes[1..]].concat()).is_none());
    let mut twice = guards.clone();
    twice.pinned[1] = twice.pinned[0].clone();
    assert!(Guards::from_bytes(&twice.to_bytes()).is_none());
    let mut many = guards;
    for n in 100..104 {
        many.pinned.push(Pinned { id: key(n), until: 0, used: 0, missing: None });
    }
    assert!(Guards::from_bytes(&many.to_bytes()).is_none());
}

/// One thing that happens to a client.
#[derive(Debug, Clone)]
enum Event {
    /// Time passes, in minutes; below 0 the clock is set back.
    Pass(i32),
    /// A consensus with the relays whose number modulo this is not 0.
    Refresh(u16),
    /// From now on relays whose number has one of these bits can have no link.
    Block(u16),
    /// Each minute for so many, a packet is to be sent, and further guards are asked for.
    Send(u8),
    /// The process starts anew.
    Restart,
}

fn events(back: bool) -> impl Strategy<Value = Vec<Event>> {
    let least = if back { -30 * 24 * 60 } else { 0 };
    let event = prop_oneof![
        (least..24 * 60).prop_map(Event::Pass),
        (least..10 * 24 * 60).prop_map(Event::Pass),
        (2..40_u16).prop_map(Event::Refresh),
        (0..0x40_u16).prop_map(Event::Block),
        Just(Event::Block(u16::MAX)),
        Just(Event::Block(0)),
        (1..30_u8).prop_map(Event::Send),
        (1..30_u8).prop_map(Event::Send),
        Just(Event::Restart),
    ];
    prop::collection::vec(event, 0..150)
}

/// Plays the events, and gives when the client had a link to which relay.
fn play(events: &[Event], seed: u64) -> Result<Vec<(u64, Key)>, TestCaseError> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut now = START;
    let mut all = even(1..40);
    let mut guards = started(&all, &mut rng);
    let mut links = Vec::new();
    let mut mask = 0;
    for event in events {
        match event {
            Event::Pass(minutes) => now = now.saturating_add_signed(i64::from(*minutes) * MINUTE as i64),
            Event::Refresh(modulo) => {
                all = even((1..40).filter(|n| n % modulo != 0));
                guards.refresh(now, &all, &mut rng);
                prop_assert!(guards.pinned(now).all(|id| all.iter().any(|(c, _)| *c == id)));
            }
            Event::Block(bits) => mask = *bits,
            Event::Send(minutes) => {
                for _ in 0..*minutes {
                    now += MINUTE;
                    let usable = |id: &Key| u16::from_be_bytes([id[0], id[1]]) & mask == 0;
                    // A driver has links to whatever it may and can, also to what it does not choose.
                    let linked: Vec<Key> = guards.pinned(now).filter(usable).collect();
                    let chosen = guards.choose(now, usable, &mut rng);
                    prop_assert_eq!(chosen.is_some(), !linked.is_empty());
                    prop_assert!(chosen.is_none_or(|id| linked.contains(&id)));
                    match guards.reach(now, &all, usable, &mut rng) {
                        Reach::Usable => prop_assert!(chosen.is_some()),
                        Reach::Added(id) => {
                            prop_assert!(chosen.is_none() && guards.pinned(now).any(|g| g == id));
                        }
                        Reach::Waiting | Reach::Exhausted => prop_assert!(chosen.is_none()),
                    }
                    links.extend(linked.into_iter().map(|id| (now, id)));
                }
            }
            Event::Restart => {
                let bytes = guards.to_bytes();
                prop_assert!(bytes.len() <= MAX_LEN);
                let back = Guards::from_bytes(&bytes);
                prop_assert!(back.is_some(), "own bytes are refused: {guards:?}");
                guards = back.unwrap_or_default();
                prop_assert_eq!(guards.to_bytes(), bytes);
            }
        }
        prop_assert!(guards.pinned.len() <= MOST_GUARDS && guards.former.len() <= MOST_FORMER);
        let ids: HashSet<Key> = guards.pinned.iter().map(|g| g.id).collect();
        prop_assert_eq!(ids.len(), guards.pinned.len());
    }
    Ok(links)
}

proptest! {
    /// The promise: whatever is blocked, listed, restarted.
    #[test]
    fn never_more_than_six_entries_in_thirty_days(events in events(false), seed: u64) {
        let links = play(&events, seed)?;
        // When each relay last had a link: those within 30 days are the client's entries.
        let mut last: HashMap<Key, u64> = HashMap::new();
        for (now, id) in &links {
            last.insert(*id, *now);
            let within = last.values().filter(|at| now - **at <= 30 * DAY).count();
            prop_assert!(within <= MOST_GUARDS, "{} entries in 30 days", within);
        }
        // A client that restarts all the time behaves as one that never does.
        let calm: Vec<Event> = events.iter().filter(|e| !matches!(e, Event::Restart)).cloned().collect();
        let restless: Vec<Event> = calm.iter().cloned().flat_map(|e| [e, Event::Restart]).collect();
        prop_assert_eq!(play(&calm, seed)?, links.clone());
        prop_assert_eq!(play(&restless, seed)?, links);
    }

    #[test]
    fn a_clock_that_goes_back_breaks_no_bound(events in events(true), seed: u64) {
        play(&events, seed)?;
    }

    #[test]
    fn garbage_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..300), now in START..START + DAY, versioned: bool
    ) {
        let mut bytes = bytes;
        if versioned {
            bytes.insert(0, VERSION);
        }
        if let Some(mut guards) = Guards::from_bytes(&bytes) {
            guards.refresh(now, &even(0..20), &mut rng());
            let _ = guards.choose(now, |_| true, &mut rng());
            let _ = guards.reach(now, &even(0..20), |_| false, &mut rng());
        }
    }
}
