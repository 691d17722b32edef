//! Many orders, many workers, and everything that can go wrong at random: whatever happens, every order ends, nothing is
//! paid twice, nobody has two results, and nothing begins before what it needs is done.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;

struct Watch {
    needs: HashMap<OrderId, OrderId>,
    results: HashMap<OrderId, crate::Hash>,
}

impl Watch {
    /// What must hold at any time.
    async fn look(&mut self, world: &mut World, orders: &[OrderId]) {
        for id in orders {
            let order = world.s().order_of(id).await;
            if let Some((outputs, code)) = &order.result {
                let hash = outputs.result_hash(*code);
                let before = self.results.insert(*id, hash);
                assert!(before.is_none_or(|before| before == hash), "two results");
                assert_eq!(order.state, State::Completed);
            }
            if let Some(need) = self.needs.get(id) {
                let s = world.s();
                let begun = !s.engine.attempts(&mut s.conn, id).await.unwrap().is_empty();
                if begun {
                    let need = world.s().order_of(need).await;
                    assert_eq!(need.state, State::Completed, "it began before what it needs was done");
                }
            }
        }
    }
}

async fn everything(seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let workers = rng.random_range(1..5);
    let mut world = World::new(workers).await;
    for n in 1..=workers {
        world.sides[n].manner = match rng.random_range(0..8) {
            0 => Manner::Lies,
            1 => Manner::Crashes,
            2 => Manner::Broken,
            _ => Manner::Honest,
        };
    }
    let mut watch = Watch { needs: HashMap::new(), results: HashMap::new() };
    let mut orders = Vec::new();
    for number in 0..6 {
        let target = match rng.random_range(0..3) {
            0 => Target::Here,
            1 => Target::Persons((1..=workers).map(|n| world.person(n)).collect()),
            _ => Target::Anyone,
        };
        let mut spec = world.sides[0].spec(target, 1000, 300);
        spec.args = vec![format!("{number}")];
        if spec.target != Target::Here {
            spec.class = if rng.random() { Class::A } else { Class::B };
            if workers >= 3 && rng.random_ratio(1, 3) {
                spec.class = Class::S;
            }
        }
        let need = (number > 2 && rng.random()).then(|| orders[rng.random_range(0..orders.len())]);
        let new = NewOrder { spec, array: None, needs: need.into_iter().collect() };
        let now = world.now;
        let s = world.s();
        // Refused if what it needs has failed already.
        let Ok(order) = s.engine.submit(&mut s.conn, new, now).await else { continue };
        watch.needs.extend(need.map(|need| (order.id, need)));
        orders.push(order.id);
    }
    // A wild time.
    for _ in 0..rng.random_range(100..500) {
        world.now += rng.random_range(0..3_000);
        let now = world.now;
        let n = rng.random_range(0..=workers);
        match rng.random_range(0..20u32) {
            0..4 => {
                let sent = world.sides[n].tick(now).await;
                world.send(n, sent);
            }
            4 => world.sides[n].restart(),
            5 => {
                let sent = world.sides[n].finish(now).await;
                world.send(n, sent);
            }
            6 => {
                let seconds = rng.random_range(1..10);
                let sent = world.sides[n].checkpoint(seconds, now).await;
                world.send(n, sent);
            }
            7 => world.sides[n].allowed ^= true,
            8 if rng.random_ratio(1, 10) && !orders.is_empty() => {
                let id = orders[rng.random_range(0..orders.len())];
                let s = world.s();
                if let Ok(actions) = s.engine.cancel(&mut s.conn, &id, now).await {
                    let sent = s.act(actions).await;
                    world.send(0, sent);
                }
            }
            9 if !world.road.is_empty() => {
                // The transport keeps a message until it is confirmed, but a log or a question may be lost.
                let at = rng.random_range(0..world.road.len());
                if matches!(
                    world.road[at].2,
                    JobMessage::Log { .. } | JobMessage::Ask | JobMessage::Offers(_)
                ) {
                    world.road.swap_remove(at);
                }
            }
            _ if !world.road.is_empty() => {
                let at = rng.random_range(0..world.road.len());
                let twice = rng.random_ratio(1, 5);
                let (from, to, message) =
                    if twice { world.road[at].clone() } else { world.road.swap_remove(at) };
                let sender = world.person(from);
                let sent = world.sides[to].hear(sender, message, now).await;
                world.send(to, sent);
            }
            _ => {}
        }
        watch.look(&mut world, &orders).await;
    }
    // Then it calms down, as far as it can: who broke stays broken.
    for side in &mut world.sides {
        side.allowed = true;
    }
    for _ in 0..300 {
        world.now += 9_000;
        world.second().await;
        for n in 0..=workers {
            world.finish(n).await;
        }
        watch.look(&mut world, &orders).await;
        let mut open = false;
        for id in &orders {
            open |= !world.state(id).await.is_final();
        }
        if !open {
            break;
        }
    }
    // Orders that wait for a device that there is not end with their time.
    world.now += 8 * 24 * 3_600_000;
    for _ in 0..50 {
        world.now += 300_000;
        world.second().await;
        for n in 0..=workers {
            world.finish(n).await;
        }
    }
    for id in &orders {
        let order = world.s().order_of(id).await;
        assert!(order.state.is_final(), "seed {seed}: {:?} {}", order.state, order.note);
        let s = world.s();
        for job in s.engine.attempts(&mut s.conn, id).await.unwrap() {
            assert!(job.is_final(), "seed {seed}: an attempt is left: {job:?}");
        }
    }
    world.balanced();
}

#[tokio::test]
async fn every_order_ends_and_nothing_is_paid_twice() {
    for seed in 0..12 {
        everything(seed).await;
    }
}
