//! Jobs that end otherwise than by being paid, and what is left of them.

use super::*;

#[tokio::test]
async fn cancelling_kills_the_run_and_gives_the_money_back() {
    let (mut world, id) = running().await;
    world.cancel(&id).await;
    assert!(world.sides[1].runs.is_empty());
    assert_eq!((world.sides[0].refunded.len(), world.sides[1].refunded.len()), (1, 1));
    assert_eq!(world.state(&id).await, State::Cancelled);
    assert_eq!(world.sides[1].job(&id).await.state(), JobState::Cancelled);
    let s = world.s();
    assert!(matches!(s.engine.cancel(&mut s.conn, &id, 10).await, Err(EngineError::Refused(_))));
    world.balanced();
}

#[tokio::test]
async fn a_cancel_that_overtakes_its_offer() {
    let mut world = World::new(1).await;
    let spec = world.sides[0].spec(Target::Persons(vec![world.person(1)]), 1000, 2000);
    let (id, offer) = world.sides[0].submit(spec, world.now).await;
    world.cancel(&id).await;
    world.send(0, offer);
    world.deliver().await;
    assert_eq!(world.sides[1].job(&id).await.state(), JobState::Cancelled);
    world.balanced();
}

#[tokio::test]
async fn a_program_that_fails_is_not_paid_and_not_repeated() {
    let (mut world, id) = running().await;
    let job = world.sides[1].runs.remove(0).job;
    let now = world.now;
    let sent = world.sides[1].ended(&job, Err(RunError::TimeLimit(300)), now).await;
    world.send(1, sent);
    world.deliver().await;
    world.seconds(10).await;
    let order = world.s().order_of(&id).await;
    assert!(order.state == State::Failed && order.note.contains("did not end within its 300 s"), "{order:?}");
    assert_eq!((world.sides[0].refunded.len(), world.sides[0].paid.len()), (1, 0));
    assert_eq!(world.sides[1].all_runs, 1);
    world.balanced();
}

#[tokio::test]
async fn an_interrupted_run_runs_again() {
    let (mut world, id) = running().await;
    let job = world.sides[1].runs.remove(0).job;
    world.sides[1].allowed = false;
    let now = world.now;
    let sent = world.sides[1].ended(&job, Err(RunError::Cancelled), now).await;
    world.send(1, sent);
    world.deliver().await;
    assert_eq!(world.state(&id).await, State::Scheduled);
    world.seconds(3).await;
    assert!(world.busy().is_empty());
    world.sides[1].allowed = true;
    world.second().await;
    assert_eq!(world.busy(), [1]);
}

#[tokio::test]
async fn an_offer_without_an_answer_is_repeated_and_stays() {
    let mut world = World::new(1).await;
    let spec = world.sides[0].spec(Target::Persons(vec![world.person(1)]), 10, 10);
    world.away = vec![1];
    let id = world.submit(spec).await;
    for _ in 0..500 {
        world.now += 119_000;
        world.second().await;
    }
    let offers = world.road.iter().filter(|(_, _, m)| matches!(m, JobMessage::Offer(_))).count();
    assert!((3..100).contains(&offers), "offered {offers} times");
    // It comes back after most of a day.
    world.away.clear();
    world.deliver().await;
    world.second().await;
    world.finish(1).await;
    assert_eq!(world.state(&id).await, State::Completed);
    world.balanced();
}

#[tokio::test]
async fn an_order_that_nobody_does_fails_in_the_end() {
    let mut world = World::new(1).await;
    let spec = world.sides[0].spec(Target::Persons(vec![world.person(1)]), 10, 10);
    world.away = vec![1];
    let id = world.submit(spec).await;
    for _ in 0..800 {
        world.now += 999_000;
        world.second().await;
    }
    assert_eq!(world.state(&id).await, State::Failed);
    assert!(world.sides[0].escrow.is_empty() && !world.sides[0].refunded.is_empty());
}

#[tokio::test]
async fn files_of_ended_jobs_are_removed_but_not_the_submitters_output() {
    let (mut world, id) = running().await;
    world.finish(1).await;
    let job = world.sides[0].job(&id).await;
    assert_eq!(job.state(), JobState::Completed);
    let output = job.outputs.clone().unwrap().stdout.hash;
    let module = job.spec().program.hash();
    let later = world.now + 3_600_001;
    for side in &mut world.sides {
        assert!(side.engine.blobs.has(&module));
        side.tick(later).await;
        assert!(!side.engine.blobs.has(&module));
    }
    assert!(world.sides[0].engine.blobs.has(&output) && !world.sides[1].engine.blobs.has(&output));
    assert!(!world.sides[1].folder.path().join("scratch").join(hex::encode(id)).exists());
}

#[tokio::test]
async fn the_owner_stops_a_job_and_it_goes_elsewhere() {
    let mut world = World::new(2).await;
    let spec = world.sides[0].spec(Target::Persons(vec![world.person(1), world.person(2)]), 10, 10);
    let id = world.submit(OrderSpec { class: Class::A, ..spec }).await;
    world.seconds(2).await;
    let first = world.busy()[0];
    let job = world.sides[first].runs[0].job;
    let now = world.now;
    let w = &mut world.sides[first];
    let actions = w.engine.stop(&mut w.conn, &job, now).await.unwrap();
    let sent = w.act(actions).await;
    world.send(first, sent);
    world.deliver().await;
    world.seconds(5).await;
    let second = world.busy()[0];
    assert_ne!(first, second);
    world.finish(second).await;
    assert_eq!(world.state(&id).await, State::Completed);
    world.balanced();
}

#[tokio::test]
async fn a_deadline_ends_what_is_under_way() {
    let mut world = World::new(1).await;
    let mut spec = world.sides[0].spec(Target::Persons(vec![world.person(1)]), 10, 10);
    spec.deadline_ms = Some(world.now + 20_000);
    let id = world.submit(spec).await;
    world.seconds(5).await;
    assert_eq!(world.busy(), [1]);
    world.seconds(20).await;
    assert_eq!((world.busy(), world.state(&id).await), (vec![], State::Failed));
    assert!(world.s().order_of(&id).await.note.contains("deadline"));
    let s = world.s();
    let again = s.engine.retry(&mut s.conn, &id, 2_000_000).await;
    assert!(matches!(again, Err(EngineError::Refused(reason)) if reason.contains("deadline")));
    world.balanced();
}
