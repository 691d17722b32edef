//! Who gets a job, and who gets it next.

use super::*;

#[tokio::test]
async fn a_device_that_cannot_do_it_is_not_the_end() {
    let mut world = World::new(3).await;
    for n in [1, 2] {
        world.sides[n].manner = Manner::Broken;
    }
    let spec = world.sides[0].spec(Target::Anyone, 1000, 2000);
    let id = world.submit(OrderSpec { class: Class::A, ..spec }).await;
    for _ in 0..60 {
        world.second().await;
        for n in 1..=3 {
            world.finish(n).await;
        }
    }
    assert_eq!(world.state(&id).await, State::Completed);
    assert_eq!((world.sides[0].paid.len(), world.sides[3].paid.len()), (1, 1));
    world.balanced();
}

#[tokio::test]
async fn the_pause_between_attempts_doubles_and_there_is_an_end() {
    let mut world = World::new(1).await;
    world.sides[1].manner = Manner::Broken;
    // Asked again and again, since nobody else is there.
    world.sides[0].engine.config.patience.avoid_ms = 0;
    let spec = world.sides[0].spec(Target::Persons(vec![world.person(1)]), 10, 10);
    let id = world.submit(spec).await;
    let mut starts = Vec::new();
    for second in 0..600u64 {
        world.second().await;
        if !world.busy().is_empty() {
            starts.push(second);
            world.finish(1).await;
        }
    }
    let order = world.s().order_of(&id).await;
    assert!(order.state == State::Failed && order.note.contains("disk is full"), "{}", order.note);
    assert_eq!(starts.len(), 8);
    let gaps: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.windows(2).all(|pair| pair[1] > pair[0] || pair[0] >= 64), "{gaps:?}");
    world.balanced();
}

#[tokio::test]
async fn a_crash_is_believed_when_two_say_so() {
    let mut world = World::new(3).await;
    world.sides[1].manner = Manner::Crashes;
    let everybody = Target::Persons((1..=3).map(|n| world.person(n)).collect());
    let spec = world.sides[0].spec(everybody, 1000, 2000);
    let id = world.submit(OrderSpec { class: Class::A, ..spec.clone() }).await;
    for _ in 0..60 {
        world.second().await;
        for n in 1..=3 {
            world.finish(n).await;
        }
    }
    assert_eq!(world.state(&id).await, State::Completed, "one device alone says that it crashes");
    for n in 1..=3 {
        world.sides[n].manner = Manner::Crashes;
    }
    let before: usize = world.sides.iter().map(|side| side.all_runs).sum();
    let id = world.submit(OrderSpec { class: Class::A, args: vec!["x".into()], ..spec }).await;
    for _ in 0..60 {
        world.second().await;
        for n in 1..=3 {
            world.finish(n).await;
        }
    }
    let order = world.s().order_of(&id).await;
    assert!(order.state == State::Failed && order.note.contains("crashed"), "{}", order.note);
    let runs: usize = world.sides.iter().map(|side| side.all_runs).sum();
    assert_eq!(runs - before, 2);
    world.balanced();
}

#[tokio::test]
async fn without_an_answer_it_goes_to_the_next() {
    let mut world = World::new(2).await;
    let spec = world.sides[0].spec(Target::Persons(vec![world.person(1), world.person(2)]), 10, 10);
    // Both have said what they offer; then one falls silent before it gets the job.
    let warm = world.submit(OrderSpec { class: Class::A, ..spec.clone() }).await;
    world.seconds(2).await;
    let first = world.busy()[0];
    world.finish(first).await;
    assert_eq!(world.state(&warm).await, State::Completed);
    world.away = vec![1, 2];
    let id = world.submit(OrderSpec { class: Class::A, ..spec }).await;
    world.seconds(3).await;
    let chosen = world.road.iter().find(|(_, _, m)| matches!(m, JobMessage::Offer(_))).unwrap().1;
    let other = 3 - chosen;
    world.away = vec![chosen];
    world.deliver().await;
    world.seconds(70).await;
    assert_eq!(world.busy(), [other]);
    world.finish(other).await;
    assert_eq!(world.state(&id).await, State::Completed);
    world.away.clear();
    world.deliver().await;
    world.seconds(3).await;
    world.balanced();
}

#[tokio::test]
async fn only_devices_that_can_do_it_are_asked() {
    let mut world = World::new(3).await;
    let mut weak = Caps::default();
    weak.limits.seconds = 10;
    world.sides[1].engine.set_caps(weak);
    world.sides[2].engine.set_caps(Caps { wasm: false, ..Caps::default() });
    let spec = world.sides[0].spec(Target::Anyone, 10, 10);
    world.submit(spec).await;
    world.seconds(15).await;
    assert_eq!(world.busy(), [3]);
    for n in [1, 2] {
        let w = &mut world.sides[n];
        assert!(w.engine.taken(&mut w.conn, 9).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_device_whose_owner_is_away_goes_first() {
    let mut world = World::new(2).await;
    world.sides[1].allowed = false;
    for _ in 0..3 {
        let spec = world.sides[0].spec(Target::Anyone, 10, 10);
        let id = world.submit(OrderSpec { class: Class::A, ..spec }).await;
        world.seconds(3).await;
        assert_eq!(world.busy(), [2]);
        world.finish(2).await;
        assert_eq!(world.state(&id).await, State::Completed);
    }
}

#[tokio::test]
async fn class_a_has_another_stand_by() {
    let mut world = World::new(2).await;
    let spec = world.sides[0].spec(Target::Persons(vec![world.person(1), world.person(2)]), 10, 10);
    let id = world.submit(OrderSpec { class: Class::A, ..spec }).await;
    world.seconds(2).await;
    let first = world.busy()[0];
    world.away = vec![first];
    world.seconds(60).await;
    assert_eq!(
        world.busy(),
        [1, 2],
        "the other starts at the first doubt, while the first may still be there"
    );
    // Both finish. One result is taken, one is paid.
    world.away.clear();
    world.finish(first).await;
    world.finish(3 - first).await;
    world.seconds(3).await;
    assert_eq!((world.state(&id).await, world.sides[0].paid.len()), (State::Completed, 1));
    assert!(world.busy().is_empty());
    world.balanced();
}

#[tokio::test]
async fn a_job_waits_for_money_and_for_a_level() {
    let mut world = World::new(1).await;
    world.sides[0].funds = Some(5);
    let spec = world.sides[0].spec(Target::Persons(vec![world.person(1)]), 10, 10);
    let poor = world.submit(spec.clone()).await;
    world.seconds(3).await;
    assert!(world.s().order_of(&poor).await.note.contains("money"));
    world.sides[0].funds = None;
    world.seconds(3).await;
    assert_eq!(world.state(&poor).await, State::Running);
    let secret = world.submit(OrderSpec { privacy: 2, ..spec }).await;
    world.seconds(10).await;
    assert_eq!(world.state(&secret).await, State::Pending, "nothing goes below the level that it asks for");
    assert_eq!(world.sides[1].all_runs, 1);
}
