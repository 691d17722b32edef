//! Arrays, and orders that wait for others.

use super::*;

fn array(spec: OrderSpec, last: u32) -> NewOrder {
    NewOrder { spec, array: Some((0, last)), needs: Vec::new() }
}

#[tokio::test]
async fn an_array_runs_once_for_each_index() {
    let mut world = World::new(2).await;
    let spec = world.sides[0].spec(Target::Here, 1000, 4);
    let id = world.submit_new(array(spec, 9)).await;
    while !world.state(&id).await.is_final() {
        world.finish(0).await;
        world.second().await;
    }
    assert_eq!(world.state(&id).await, State::Completed);
    let s = world.s();
    let elements = s.engine.elements(&mut s.conn, &id, 0, 100).await.unwrap();
    let counts = s.engine.counts(&mut s.conn, &id).await.unwrap();
    assert_eq!((elements.len(), counts.completed), (10, 10));
    for element in elements {
        let (outputs, _) = element.result.clone().unwrap();
        let output = world.sides[0].engine.blobs.read(&outputs.stdout.hash).unwrap();
        assert_eq!(output[4..], *element.index.unwrap().to_string().as_bytes());
    }
    assert_eq!(world.sides[0].all_runs, 10);
}

#[tokio::test]
async fn an_array_is_spread_over_devices_and_paid_for_each() {
    let mut world = World::new(3).await;
    let spec = world.sides[0].spec(Target::Anyone, 1000, 4);
    let id = world.submit_new(array(OrderSpec { class: Class::A, ..spec }, 29)).await;
    for _ in 0..200 {
        world.second().await;
        for n in 1..=3 {
            let now = world.now;
            let sent = world.sides[n].finish(now).await;
            world.send(n, sent);
        }
        world.deliver().await;
        if world.state(&id).await.is_final() {
            break;
        }
    }
    assert_eq!(world.state(&id).await, State::Completed);
    assert_eq!(world.sides[0].paid.len(), 30);
    assert!((1..=3).all(|n| world.sides[n].paid.len() >= 3));
    let paid: u128 = world.sides[0].paid.values().sum();
    let s = world.s();
    assert_eq!(s.engine.array_paid(&mut s.conn, &id).await.unwrap(), paid);
    world.balanced();
}

#[tokio::test]
async fn cancelling_an_array_ends_all_of_it_and_retrying_does_the_rest() {
    let mut world = World::new(0).await;
    let spec = world.sides[0].spec(Target::Here, 1000, 4);
    let id = world.submit_new(array(spec, 99)).await;
    world.finish(0).await;
    world.second().await;
    world.cancel(&id).await;
    assert!(world.busy().is_empty());
    let s = world.s();
    let counts = s.engine.counts(&mut s.conn, &id).await.unwrap();
    assert_eq!((counts.completed, counts.cancelled), (2, 98));
    let now = world.now;
    let s = world.s();
    s.engine.retry(&mut s.conn, &id, now).await.unwrap();
    while !world.state(&id).await.is_final() {
        world.second().await;
        world.finish(0).await;
    }
    let s = world.s();
    assert_eq!(s.engine.counts(&mut s.conn, &id).await.unwrap().completed, 100);
    assert_eq!(world.state(&id).await, State::Completed);
}

#[tokio::test]
async fn an_output_is_anothers_input() {
    let mut world = World::new(0).await;
    let first = world.sides[0].spec(Target::Here, 1000, 500);
    let a = world.submit(first.clone()).await;
    let mut spec = OrderSpec { stdin: Some(Source::Stdout(a)), ..first };
    spec.inputs = vec![("again".into(), Source::Stdout(a))];
    let b = world.submit(spec).await;
    assert_eq!((world.sides[0].runs.len(), world.state(&b).await), (1, State::Blocked));
    world.finish(0).await;
    world.second().await;
    assert_eq!(world.sides[0].runs[0].request.inputs.len(), 1);
    world.finish(0).await;
    assert_eq!(world.output(&b).await, Side::bytes(500, 2), "backwards twice");
}

#[tokio::test]
async fn an_array_waits_for_an_array_and_fails_with_it() {
    let mut world = World::new(0).await;
    let spec = world.sides[0].spec(Target::Here, 1000, 4);
    let a = world.submit_new(array(spec.clone(), 4)).await;
    let b = world.submit_new(NewOrder { needs: vec![a], ..array(spec.clone(), 4) }).await;
    let c = world.submit_new(NewOrder { needs: vec![b], array: None, spec: spec.clone() }).await;
    while !world.state(&a).await.is_final() {
        assert_eq!((world.state(&b).await, world.state(&c).await), (State::Blocked, State::Blocked));
        world.finish(0).await;
        world.second().await;
    }
    assert_eq!(world.state(&b).await, State::Array);
    // One element crashes: its array fails when the others are done, and what needs it with it.
    world.sides[0].manner = Manner::Crashes;
    let now = world.now;
    let sent = world.sides[0].finish(now).await;
    world.send(0, sent);
    world.sides[0].manner = Manner::Honest;
    while !world.state(&b).await.is_final() {
        world.finish(0).await;
        world.second().await;
    }
    assert_eq!((world.state(&b).await, world.state(&c).await), (State::Failed, State::Failed));
    assert!(world.s().order_of(&c).await.note.contains("needs"));
    let now = world.now;
    let s = world.s();
    assert!(s.engine.retry(&mut s.conn, &c, now).await.is_err());
    let late = NewOrder { needs: vec![b], array: None, spec };
    assert!(s.engine.submit(&mut s.conn, late, now).await.is_err());
    // First what it needs, then itself.
    s.engine.retry(&mut s.conn, &b, now).await.unwrap();
    while !world.state(&b).await.is_final() {
        world.finish(0).await;
        world.second().await;
    }
    assert_eq!(world.state(&b).await, State::Completed);
    let s = world.s();
    s.engine.retry(&mut s.conn, &c, now).await.unwrap();
    world.second().await;
    world.finish(0).await;
    assert_eq!(world.state(&c).await, State::Completed);
}

#[tokio::test]
async fn a_program_that_says_that_it_failed_is_paid_and_has_failed() {
    let (mut world, id) = running().await;
    let spec = world.sides[0].spec(Target::Here, 1000, 4);
    let waits = world.submit_new(NewOrder { needs: vec![id], array: None, spec }).await;
    world.sides[1].manner = Manner::Exits;
    world.finish(1).await;
    let order = world.s().order_of(&id).await;
    assert!(order.state == State::Failed && order.note.contains("exit code is 3"), "{}", order.note);
    assert_eq!(world.output(&id).await, Side::bytes(2000, 2).into_iter().rev().collect::<Vec<_>>());
    assert_eq!((world.sides[0].paid.len(), world.state(&waits).await), (1, State::Failed));
    // Once more, from the start.
    world.sides[1].manner = Manner::Honest;
    let now = world.now;
    let s = world.s();
    s.engine.retry(&mut s.conn, &id, now).await.unwrap();
    assert!(world.s().order_of(&id).await.result.is_none());
    world.seconds(3).await;
    world.finish(1).await;
    assert_eq!((world.state(&id).await, world.sides[0].paid.len()), (State::Completed, 2));
    world.balanced();
}
