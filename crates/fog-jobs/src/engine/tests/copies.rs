//! Several copies: committed to before anybody hands over, compared, the right ones paid.

use super::*;
use crate::trust::Deed;

async fn class_s(workers: usize) -> (World, OrderId) {
    let mut world = World::new(workers).await;
    let target = Target::Persons((1..=workers).map(|n| world.person(n)).collect());
    let spec = world.sides[0].spec(target, 1000, 2000);
    let id = world.submit(OrderSpec { class: Class::S, ..spec }).await;
    world.seconds(2).await;
    (world, id)
}

async fn score(world: &mut World, n: usize) -> f64 {
    let person = world.person(n);
    let s = world.s();
    s.engine.reputation(&mut s.conn, &person).await.unwrap().score()
}

#[tokio::test]
async fn the_liar_is_not_paid_and_not_believed() {
    let (mut world, id) = class_s(3).await;
    assert_eq!(world.busy(), [1, 2, 3], "three run at once");
    world.sides[2].manner = Manner::Lies;
    for n in 1..=3 {
        world.finish(n).await;
    }
    world.seconds(3).await;
    let order = world.s().order_of(&id).await;
    assert!(order.state == State::Completed && order.note.contains("2 devices agree"), "{}", order.note);
    assert_eq!(world.output(&id).await.len(), 2000);
    assert_eq!([1, 2, 3].map(|n: usize| world.sides[n].paid.len()), [1, 0, 1]);
    assert!(score(&mut world, 1).await > 0.6 && score(&mut world, 2).await < 0.3);
    world.balanced();
}

#[tokio::test]
async fn nobody_hands_over_before_all_have_committed() {
    let (mut world, id) = class_s(3).await;
    world.finish(1).await;
    world.finish(2).await;
    world.seconds(60).await;
    let jobs = {
        let s = world.s();
        s.engine.attempts(&mut s.conn, &id).await.unwrap()
    };
    assert_eq!(jobs.iter().filter(|job| job.commitment.is_some()).count(), 2);
    assert!(jobs.iter().all(|job| job.outputs.is_none() && job.receipt.is_none()));
    world.finish(3).await;
    world.seconds(2).await;
    assert_eq!(world.state(&id).await, State::Completed);
    assert_eq!(world.sides[0].paid.len(), 3);
    world.balanced();
}

#[tokio::test]
async fn whoever_changes_the_result_after_the_commitment_is_refused() {
    let (mut world, id) = class_s(3).await;
    world.finish(1).await;
    world.finish(2).await;
    // The third commits to one thing and hands over another.
    world.away = vec![3];
    let now = world.now;
    let sent = world.sides[3].finish(now).await;
    world.away.clear();
    world.send(3, sent);
    let w = &mut world.sides[3];
    let job = w.engine.taken(&mut w.conn, 1).await.unwrap().remove(0);
    let other = world.sides[3].engine.blobs.put_bytes(b"something else").unwrap();
    let mut changed = job.clone();
    let mut receipt = job.receipt.clone().unwrap().receipt;
    (receipt.output, receipt.output_bytes) = (other.hash, other.size);
    changed.receipt = Some(receipt.sign(&SigningKey::from_bytes(&world.sides[3].key)).unwrap());
    changed.outputs.as_mut().unwrap().stdout = other;
    store::update(&mut world.sides[3].conn, &changed).await.unwrap();
    world.deliver().await;
    world.seconds(3).await;
    assert_eq!(world.state(&id).await, State::Completed);
    assert_eq!(world.sides[3].paid.len(), 0);
    assert!(score(&mut world, 3).await < 0.5);
    world.balanced();
}

#[tokio::test]
async fn without_a_majority_another_one_is_asked() {
    let (mut world, id) = class_s(4).await;
    let first = world.busy();
    assert_eq!(first.len(), 3);
    for n in &first[..2] {
        world.sides[*n].manner = Manner::Lies;
    }
    for n in &first {
        world.finish(*n).await;
    }
    world.seconds(10).await;
    let fourth = world.busy();
    assert_eq!(fourth.len(), 1, "three different results: a fourth device runs it");
    world.finish(fourth[0]).await;
    world.seconds(3).await;
    assert_eq!(world.state(&id).await, State::Completed);
    assert_eq!(world.output(&id).await.len(), 2000);
    assert_eq!(world.sides[0].paid.len(), 2);
    world.balanced();
}

#[tokio::test]
async fn a_silent_copy_does_not_hold_up_the_others_for_ever() {
    let (mut world, id) = class_s(3).await;
    world.finish(1).await;
    world.finish(2).await;
    world.away = vec![3];
    world.seconds(650).await;
    assert_eq!(world.state(&id).await, State::Completed);
    world.away.clear();
    world.deliver().await;
    world.finish(3).await;
    world.seconds(40).await;
    assert_eq!(world.sides[3].paid.len(), 0);
    world.balanced();
}

#[tokio::test]
async fn class_s_is_not_given_less_than_it_asks_for() {
    let mut world = World::new(2).await;
    let spec = world.sides[0].spec(Target::Anyone, 1000, 10);
    let id = world.submit(OrderSpec { class: Class::S, ..spec }).await;
    world.seconds(20).await;
    let order = world.s().order_of(&id).await;
    assert!(!order.state.is_final() && world.sides[0].paid.is_empty());
    for n in [1, 2] {
        world.finish(n).await;
    }
    world.seconds(30).await;
    let order = world.s().order_of(&id).await;
    assert!(!order.state.is_final(), "{:?} {}", order.state, order.note);
}

#[tokio::test]
async fn an_unknown_worker_is_checked_and_a_trusted_one_hardly_ever() {
    let mut world = World::new(2).await;
    let mut copies = Vec::new();
    for round in 0..40 {
        let mut spec = world.sides[0].spec(Target::Anyone, 1000, 10);
        spec.args = vec![format!("{round}")];
        let id = world.submit(spec).await;
        for _ in 0..30 {
            world.second().await;
            for n in [1, 2] {
                world.finish(n).await;
            }
        }
        let order = world.s().order_of(&id).await;
        assert_eq!(order.state, State::Completed, "{}", order.note);
        copies.push(order.copies);
    }
    assert!(copies[..10].iter().all(|n| *n == 2), "{copies:?}");
    let later = copies[20..].iter().filter(|n| **n == 2).count();
    assert!(later < 10, "{copies:?}");
    world.balanced();
}

#[tokio::test]
async fn a_trusted_worker_that_turns_bad_is_found() {
    let mut world = World::new(3).await;
    let people: Vec<_> = (1..=3).map(|n| world.person(n)).collect();
    let now = world.now;
    for person in &people {
        let mut reputation = crate::trust::Reputation::default();
        (0..50).for_each(|_| reputation.add(Deed::Right, now));
        store::reputation::put(&mut world.sides[0].conn, person, &reputation).await.unwrap();
    }
    world.sides[0].engine.config.spot_check = 0.5;
    world.sides[1].manner = Manner::Lies;
    // Something that is known to be right, for the checks.
    let known = world.sides[0].spec(Target::Here, 1000, 500);
    let known = world.submit(known).await;
    world.finish(0).await;
    assert_eq!(world.state(&known).await, State::Completed);
    for round in 0..30 {
        let mut spec = world.sides[0].spec(Target::Persons(vec![people[0]]), 1000, 10);
        spec.args = vec![format!("{round}")];
        world.submit(spec).await;
        for _ in 0..10 {
            world.second().await;
            for n in 1..=3 {
                world.finish(n).await;
            }
        }
    }
    let reputation = store::reputation::get(&mut world.sides[0].conn, &people[0]).await.unwrap();
    assert!(!reputation.is_trusted(), "{reputation:?}");
    world.balanced();
}
