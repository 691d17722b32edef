//! Work moves with its checkpoints: whoever goes on does not begin anew, and nothing is paid twice.

use super::*;

/// A submitter and two workers, one of which runs the job.
async fn two() -> (World, OrderId, usize) {
    let mut world = World::new(2).await;
    let target = Target::Persons(vec![world.person(1), world.person(2)]);
    let spec = world.sides[0].spec(target, 1000, 2000);
    // Class A is not checked by a second device, so one runs alone.
    let id = world.submit(OrderSpec { class: Class::A, ..spec }).await;
    world.seconds(2).await;
    let busy = world.busy();
    assert_eq!(busy.len(), 1);
    (world, id, busy[0])
}

async fn take(world: &mut World, n: usize, seconds: u64) {
    let now = world.now;
    let sent = world.sides[n].checkpoint(seconds, now).await;
    world.send(n, sent);
    world.deliver().await;
}

#[tokio::test]
async fn a_lost_worker_loses_no_more_than_the_last_checkpoint() {
    let (mut world, id, first) = two().await;
    take(&mut world, first, 3).await;
    take(&mut world, first, 6).await;
    assert_eq!(world.s().order_of(&id).await.checkpoint.map(|c| c.number), Some(6));
    world.away = vec![first];
    world.seconds(100).await;
    let second = 3 - first;
    assert_eq!(resumed(&world.sides[second].runs[0]), 6, "it goes on from the last checkpoint");
    world.finish(second).await;
    assert_eq!(world.state(&id).await, State::Completed);
    // Only its own part is paid to the one who finished: 4 of the 10 seconds.
    let jobs = {
        let s = world.s();
        s.engine.attempts(&mut s.conn, &id).await.unwrap()
    };
    let receipt = &jobs.last().unwrap().receipt.as_ref().unwrap().receipt;
    assert_eq!((receipt.usage.wall_ms, receipt.usage.cpu_ms, receipt.fuel), (4_000, 4_000, 12_285));
    // The lost one comes back, goes on working, and hears that it is too late.
    world.away.clear();
    world.deliver().await;
    world.seconds(40).await;
    world.finish(first).await;
    world.seconds(5).await;
    assert_eq!(world.sides[0].paid.len(), 1);
    world.balanced();
}

#[tokio::test]
async fn only_what_changed_is_sent_again() {
    let (mut world, _, first) = two().await;
    take(&mut world, first, 3).await;
    let now = world.now;
    let sent = world.sides[first].checkpoint(4, now).await;
    world.send(first, sent);
    let mut chunks = 0;
    while !world.road.is_empty() {
        let (from, to, message) = world.road.remove(0);
        chunks += usize::from(matches!(message, JobMessage::Chunk { .. }));
        let sender = world.person(from);
        let sent = world.sides[to].hear(sender, message, now).await;
        world.send(to, sent);
    }
    assert_eq!(chunks, 1, "of three");
}

#[tokio::test]
async fn one_at_a_time_and_the_newest_next() {
    let (mut world, id, first) = two().await;
    world.away = vec![0];
    for seconds in 1..5 {
        take(&mut world, first, seconds).await;
    }
    let offers = |world: &World| {
        let offered = |(_, _, m): &(usize, usize, JobMessage)| match m {
            JobMessage::Checkpoint { checkpoint, .. } => Some(checkpoint.number),
            _ => None,
        };
        world.road.iter().filter_map(offered).collect::<Vec<_>>()
    };
    assert_eq!(offers(&world), [1]);
    world.away.clear();
    world.deliver().await;
    assert_eq!(world.s().order_of(&id).await.checkpoint.map(|c| c.number), Some(4));
}

#[tokio::test]
async fn an_owner_who_stays_gets_the_device_and_the_worker_its_pay() {
    let (mut world, id, first) = two().await;
    take(&mut world, first, 5).await;
    world.sides[first].allowed = false;
    world.seconds(2).await;
    assert_eq!(world.state(&id).await, State::Checkpointed);
    world.sides[first].allowed = true;
    world.seconds(2).await;
    assert_eq!(world.state(&id).await, State::Running, "a short visit moves nothing");
    world.sides[first].allowed = false;
    world.seconds(70).await;
    let asked = world.sides[first].preempted.clone();
    assert_eq!(asked.len(), 1);
    let plan = world.sides[first].runs.remove(0);
    let now = world.now;
    let checkpoint = Some(checkpoint_file(&plan, 7));
    let sent = world.sides[first].ended(&plan.job, Err(RunError::Preempted { checkpoint }), now).await;
    world.send(first, sent);
    world.deliver().await;
    world.seconds(5).await;
    assert_eq!(world.sides[first].job(&plan.job).await.state(), JobState::Preempted);
    let second = 3 - first;
    assert_eq!(resumed(&world.sides[second].runs[0]), 7);
    world.finish(second).await;
    assert_eq!(world.state(&id).await, State::Completed);
    // Both are paid for their part, and the parts are the whole.
    assert_eq!(world.sides[0].paid.len(), 2);
    let parts = {
        let s = world.s();
        s.engine.attempts(&mut s.conn, &id).await.unwrap()
    };
    let wall: u64 =
        parts.iter().filter_map(|job| job.receipt.as_ref()).map(|r| r.receipt.usage.wall_ms).sum();
    assert_eq!(wall, 10_000);
    world.balanced();
}

#[tokio::test]
async fn a_worker_that_was_killed_goes_on_from_its_own_checkpoint() {
    let (mut world, id, first) = two().await;
    world.away = vec![0];
    take(&mut world, first, 8).await;
    world.sides[first].restart();
    world.now += 1_000;
    let now = world.now;
    let sent = world.sides[first].tick(now).await;
    world.send(first, sent);
    assert_eq!(resumed(&world.sides[first].runs[0]), 8);
    world.away.clear();
    world.finish(first).await;
    world.seconds(3).await;
    assert_eq!(world.state(&id).await, State::Completed);
    world.balanced();
}

#[tokio::test]
async fn a_submitter_that_was_killed_has_what_had_arrived() {
    let (mut world, id, first) = two().await;
    take(&mut world, first, 4).await;
    world.s().restart();
    world.away = vec![first];
    world.seconds(120).await;
    assert_eq!(resumed(&world.sides[3 - first].runs[0]), 4);
    world.finish(3 - first).await;
    assert_eq!(world.state(&id).await, State::Completed);
}

#[tokio::test]
async fn a_checkpoint_that_does_not_work_is_left_behind() {
    let (mut world, id, first) = two().await;
    take(&mut world, first, 4).await;
    let job = world.sides[first].runs.remove(0).job;
    let now = world.now;
    let sent = world.sides[first].ended(&job, Err(RunError::BadCheckpoint("cut".into())), now).await;
    world.send(first, sent);
    world.deliver().await;
    world.second().await;
    assert_eq!(resumed(&world.sides[first].runs[0]), 0);
    world.finish(first).await;
    assert_eq!(world.state(&id).await, State::Completed);
    world.balanced();
}

#[tokio::test]
async fn an_impossible_checkpoint_is_refused() {
    let (mut world, id, first) = two().await;
    let (worker, now) = (world.person(first), world.now);
    let job = world.sides[first].runs[0].job;
    let blob = world.sides[0].engine.blobs.put_bytes(b"state").unwrap();
    let good = crate::spec::Checkpoint { number: 1, blob, fuel: 0, cpu_ms: 0, wall_ms: 1 };
    let bad = [
        crate::spec::Checkpoint { number: 0, ..good.clone() },
        crate::spec::Checkpoint { wall_ms: u64::MAX, ..good.clone() },
        crate::spec::Checkpoint { blob: crate::BlobRef { size: 1 << 40, ..good.blob.clone() }, ..good },
    ];
    for checkpoint in bad {
        let s = world.s();
        let message = JobMessage::Checkpoint { job, checkpoint };
        assert!(s.engine.on_message(&mut s.conn, worker, message, now).await.is_err());
    }
    assert!(world.s().order_of(&id).await.checkpoint.is_none());
}

#[tokio::test]
async fn this_device_keeps_its_own_checkpoints() {
    let mut world = World::new(0).await;
    let spec = world.sides[0].spec(Target::Here, 1000, 2000);
    let id = world.submit(spec).await;
    take(&mut world, 0, 6).await;
    world.s().restart();
    world.second().await;
    assert_eq!(resumed(&world.sides[0].runs[0]), 6);
    // Cancelled and tried again, it still does not begin anew.
    world.cancel(&id).await;
    assert!(world.busy().is_empty());
    let now = world.now;
    let s = world.s();
    s.engine.retry(&mut s.conn, &id, now).await.unwrap();
    world.second().await;
    assert_eq!(resumed(&world.sides[0].runs[0]), 6);
    world.finish(0).await;
    assert_eq!(world.state(&id).await, State::Completed);
}
