//! From the order to the payment, over a road that doubles and reorders, with either side killed on the way.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Carries messages in random order with duplicates, kills either side at random, until both have the job at its end.
async fn chaos(seed: u64, module: usize, input: usize, restarts: bool) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut world = World::new(1).await;
    let target = Target::Persons(vec![world.person(1)]);
    let spec = world.sides[0].spec(target, module, input);
    let Some(Source::Blob(source)) = &spec.stdin else { panic!() };
    let source = world.sides[0].engine.blobs.path(&source.hash).unwrap();
    let expected = backwards(&source);
    let (id, first) = world.sides[0].submit(spec, world.now).await;
    world.send(0, first);
    for _ in 0..5_000 {
        world.now += rng.random_range(0..400);
        let now = world.now;
        match rng.random_range(0..10u32) {
            0 | 1 => {
                let n = rng.random_range(0..2);
                let sent = world.sides[n].tick(now).await;
                world.send(n, sent);
            }
            2 => {
                let sent = world.sides[1].finish(now).await;
                world.send(1, sent);
            }
            3 if restarts => {
                let n = rng.random_range(0..2);
                world.sides[n].restart();
            }
            _ if !world.road.is_empty() => {
                let at = rng.random_range(0..world.road.len());
                let twice = rng.random_ratio(1, 4);
                let (from, to, message) =
                    if twice { world.road[at].clone() } else { world.road.swap_remove(at) };
                let sender = world.person(from);
                let sent = world.sides[to].hear(sender, message, now).await;
                world.send(to, sent);
            }
            _ => {}
        }
        let taken = store::get(&mut world.sides[1].conn, &id).await.unwrap();
        if world.state(&id).await.is_final() && taken.is_some_and(|job| job.is_final()) {
            break;
        }
    }
    let (sent, taken) = (world.sides[0].job(&id).await, world.sides[1].job(&id).await);
    assert_eq!(
        (sent.state(), taken.state(), world.state(&id).await),
        (JobState::Completed, JobState::Completed, State::Completed),
        "seed {seed}: {sent:?}"
    );
    assert_eq!(sent.settlement, taken.settlement);
    assert_eq!(world.sides[0].paid.len(), 1);
    world.balanced();
    assert!(restarts || world.sides[1].all_runs == 1);
    assert!(world.output(&id).await == expected, "the output is another");
    let size = sent.outputs.unwrap().stdout.size;
    assert_eq!((sent.moved, sent.total), (size, size));
}

#[tokio::test]
async fn a_disorderly_road_pays_once() {
    for seed in 0..8 {
        chaos(seed, 300_000, 1_500_000, false).await;
    }
}

#[tokio::test]
async fn killed_at_any_step_it_still_pays_once() {
    for seed in 100..108 {
        chaos(seed, 70_000, 1_200_000, true).await;
    }
}

#[tokio::test]
async fn empty_input_and_one_blob_used_several_times() {
    chaos(500, 10, 0, true).await;
    let mut world = World::new(1).await;
    let target = Target::Persons(vec![world.person(1)]);
    let mut spec = world.sides[0].spec(target, 600_000, 5);
    let Program::Wasm { module, .. } = spec.program.clone() else { panic!() };
    spec.stdin = Some(Source::Blob(module.clone()));
    spec.inputs = vec![("a/b".into(), Source::Blob(module.clone())), ("c".into(), Source::Blob(module))];
    let id = world.submit(spec).await;
    world.second().await;
    let names: Vec<_> = world.sides[1].runs[0].request.inputs.iter().map(|i| i.name.clone()).collect();
    assert_eq!(names, ["a/b", "c"]);
    world.finish(1).await;
    assert_eq!(world.state(&id).await, State::Completed);
    world.balanced();
}

#[tokio::test]
async fn both_sides_hold_exactly_the_price_limit() {
    let mut world = World::new(1).await;
    let mut spec = world.sides[0].spec(Target::Persons(vec![world.person(1)]), 1000, 2000);
    let limit = crate::price::price_ceiling(&spec.limits, spec.class, 0) + 7;
    spec.price_limit = Some(limit);
    let id = world.submit(spec).await;
    let expected = BTreeMap::from([(id, limit)]);
    assert_eq!((&world.sides[0].escrow, &world.sides[1].escrow), (&expected, &expected));
}

#[tokio::test]
async fn logs_and_progress_come_while_it_runs() {
    let (mut world, id) = running().await;
    let job = world.sides[1].runs[0].job;
    let now = world.now;
    let w = &mut world.sides[1];
    let actions = w.engine.on_progress(&mut w.conn, &job, Some(370), None, now).await.unwrap();
    let mut sent = w.act(actions).await;
    let to = world.person(0);
    for (offset, text) in [(0, "one "), (4, "two "), (0, "one ")] {
        sent.push((to, JobMessage::Log { job, offset, data: text.into() }));
    }
    world.send(1, sent);
    world.deliver().await;
    assert_eq!(world.s().order_of(&id).await.permille, Some(370));
    assert_eq!(world.sides[0].logs, b"one two ");
}

#[tokio::test]
async fn what_runs_here_costs_nothing() {
    let mut world = World::new(0).await;
    let spec = world.sides[0].spec(Target::Here, 1000, 2000);
    world.sides[0].allowed = false; // the gates are for others' jobs
    let id = world.submit(spec).await;
    assert_eq!(world.busy(), [0]);
    world.s().restart();
    world.second().await;
    assert_eq!((world.busy(), world.state(&id).await), (vec![0], State::Running));
    world.finish(0).await;
    assert_eq!((world.state(&id).await, world.road.len()), (State::Completed, 0));
    assert_eq!(world.output(&id).await.len(), 2000);
    world.balanced();
}

#[tokio::test]
async fn one_persons_jobs_do_not_keep_anothers_waiting() {
    let mut world = World::new(1).await;
    world.sides.push(Side::new(9).await);
    let worker = world.person(1);
    world.sides[2].know(&[worker]);
    world.sides[1].slots = 1;
    for _ in 0..5 {
        let spec = world.sides[0].spec(Target::Persons(vec![worker]), 1000, 10);
        world.submit(spec).await;
    }
    let spec = world.sides[2].spec(Target::Persons(vec![worker]), 1000, 10);
    let (_, sent) = world.sides[2].submit(spec, world.now).await;
    world.send(2, sent);
    world.deliver().await;
    let mut turns = Vec::new();
    for _ in 0..4 {
        world.second().await;
        turns.push(world.sides[1].runs[0].peer);
        world.finish(1).await;
    }
    let other = world.person(2);
    assert!(turns[..2].contains(&other), "the sixth job is the other person's first");
}
