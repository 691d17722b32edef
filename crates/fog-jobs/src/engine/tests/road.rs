//! From the offer to the payment, over a road that doubles and reorders, with either side killed on the way.

use super::*;

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
async fn empty_input_and_one_blob_used_twice() {
    chaos(500, 10, 0, true).await;
    let (mut s, mut w) = (Side::new(1).await, Side::new(2).await);
    let mut order = s.order(w.me(), 600_000, 5);
    order.input = Some(order.module.clone());
    let (id, mut to_w) = s.submit(order, 0).await;
    for now in 0..40 {
        let mut to_s = w.tick(now, true).await;
        to_s.extend(w.finish(now).await);
        for message in std::mem::take(&mut to_w) {
            to_s.extend(w.hear(s.me(), message, now).await);
        }
        for message in to_s {
            to_w.extend(s.hear(w.me(), message, now).await);
        }
    }
    assert_eq!(s.job(&id).await.state(), JobState::Completed);
}

#[tokio::test]
async fn both_sides_hold_exactly_the_price_limit() {
    let (mut s, mut w) = (Side::new(1).await, Side::new(2).await);
    let mut order = s.order(w.me(), 1000, 2000);
    let limit = crate::price::price_ceiling(&order.limits) + 7;
    order.price_limit = Some(limit);
    let (id, offer) = s.submit(order, 0).await;
    w.hear(s.me(), offer[0].clone(), 0).await;
    let expected = BTreeMap::from([(id, limit)]);
    assert_eq!((&s.escrow, &w.escrow), (&expected, &expected));
}
