//! What is not taken: forgeries, strangers, offers beyond the caps, orders that make no sense.

use super::*;
use crate::message::Delivery;

/// The worker's result, before the submitter hears it.
async fn result() -> (World, OrderId, Delivery) {
    let (mut world, id) = running().await;
    let now = world.now;
    let mut sent = world.sides[1].finish(now).await;
    let Some((_, JobMessage::Result(delivery))) = sent.pop() else { panic!() };
    (world, id, *delivery)
}

#[tokio::test]
async fn a_dishonest_receipt_is_refused() {
    type Lie = fn(&mut Receipt);
    let lies: [Lie; 8] = [
        |r| r.price += 1,
        |r| r.usage.cpu_ms += 1,
        |r| r.module[0] ^= 1,
        |r| r.input = None,
        |r| r.output[0] ^= 1,
        |r| r.output_bytes += 1,
        |r| r.usage.memory_peak = u64::MAX,
        |r| (r.usage.wall_ms, r.usage.cpu_ms) = (10_000_000, 10_000_000),
    ];
    for lie in lies {
        let (mut world, id, delivery) = result().await;
        let mut receipt = delivery.receipt.receipt.clone();
        lie(&mut receipt);
        let receipt = receipt.sign(&SigningKey::from_bytes(&world.sides[1].key)).unwrap();
        let message = JobMessage::Result(Box::new(Delivery { receipt, ..delivery }));
        let (worker, now) = (world.person(1), world.now);
        let answer = world.s().hear(worker, message, now).await;
        assert!(matches!(answer[..], [(_, JobMessage::Cancel { .. })]), "{answer:?}");
        let job = world.s().job(&id).await;
        assert_eq!(job.state(), JobState::Failed);
        assert_eq!((world.sides[0].refunded.len(), world.sides[0].paid.len()), (1, 0));
        let s = world.s();
        assert!(s.engine.reputation(&mut s.conn, &worker).await.unwrap().score() < 0.5);
    }
}

#[tokio::test]
async fn a_forged_receipt_changes_nothing() {
    let (mut world, id, mut delivery) = result().await;
    let forged: &mut SignedReceipt = &mut delivery.receipt;
    forged.signature[3] ^= 1;
    let (worker, now) = (world.person(1), world.now);
    let s = world.s();
    let message = JobMessage::Result(Box::new(delivery));
    assert!(s.engine.on_message(&mut s.conn, worker, message, now).await.is_err());
    assert_eq!(s.job(&id).await.state(), JobState::Running);
}

#[tokio::test]
async fn a_forged_offer_is_not_taken() {
    let mut world = World::new(1).await;
    let spec = world.sides[0].spec(Target::Persons(vec![world.person(1)]), 1000, 2000);
    let (_, sent) = world.sides[0].submit(spec, 0).await;
    let offer = sent.into_iter().find_map(|(_, m)| match m {
        JobMessage::Offer(signed) => Some(signed),
        _ => None,
    });
    let mut signed = offer.unwrap();
    signed.signature[3] ^= 1;
    let me = world.person(0);
    let w = &mut world.sides[1];
    let result = w.engine.on_message(&mut w.conn, me, JobMessage::Offer(signed.clone()), 1).await;
    assert!(result.unwrap_err().is_senders_fault());
    assert!(w.engine.taken(&mut w.conn, 9).await.unwrap().is_empty());
    // Nothing but the signature was wrong.
    signed.signature[3] ^= 1;
    assert!(!w.hear(me, JobMessage::Offer(signed), 2).await.is_empty());
}

#[tokio::test]
async fn a_forged_settlement_does_not_pay() {
    let (mut world, id, delivery) = result().await;
    world.away = vec![1];
    let (worker, me, now) = (world.person(1), world.person(0), world.now);
    // The submitter has the outputs already: it settles at once.
    for blob in delivery.outputs.blobs() {
        let bytes = world.sides[1].engine.blobs.read(&blob.hash).unwrap();
        world.sides[0].engine.blobs.put_bytes(&bytes).unwrap();
    }
    let sent = world.sides[0].hear(worker, JobMessage::Result(Box::new(delivery)), now).await;
    let settlement = sent.into_iter().find_map(|(_, m)| match m {
        JobMessage::Settled(settlement) => Some(settlement),
        _ => None,
    });
    let settlement = settlement.unwrap();
    let w = &mut world.sides[1];
    let before = w.job(&id).await;
    let mut forged = settlement.clone();
    forged.submitter_signature[3] ^= 1;
    let result = w.engine.on_message(&mut w.conn, me, JobMessage::Settled(forged), now).await;
    assert!(result.unwrap_err().is_senders_fault());
    assert_eq!(w.job(&id).await, before);
    w.hear(me, JobMessage::Settled(settlement), now).await;
    assert_eq!((w.job(&id).await.state(), w.paid.len()), (JobState::Completed, 1));
}

#[tokio::test]
async fn strangers_are_refused_and_leave_no_trace() {
    let (mut world, id) = running().await;
    let before = (world.sides[0].job(&id).await, world.sides[1].job(&id).await);
    let stranger = [9; 32];
    let reason = String::from("x");
    let output = world.sides[0].engine.blobs.put_bytes(b"x").unwrap();
    let checkpoint =
        crate::spec::Checkpoint { number: 1, blob: output.clone(), fuel: 0, cpu_ms: 0, wall_ms: 0 };
    let messages = [
        JobMessage::Accept { job: id },
        JobMessage::Failed { job: id, fault: Fault::Device, reason: reason.clone() },
        JobMessage::Cancel { job: id, reason },
        JobMessage::Want { job: id, blob: before.0.spec().program.hash(), chunks: vec![0] },
        JobMessage::Chunk { job: id, blob: output.hash, index: 0, data: b"x".to_vec() },
        JobMessage::Log { job: id, offset: 0, data: b"x".to_vec() },
        JobMessage::Checkpoint { job: id, checkpoint },
        JobMessage::Kept { job: id, number: 9 },
        JobMessage::Commit { job: id, commitment: [1; 32] },
        JobMessage::Reveal { job: id },
        JobMessage::Offer(before.0.signed.clone()),
        JobMessage::Accept { job: [7; 16] },
    ];
    for message in messages {
        for side in &mut world.sides {
            let result = side.engine.on_message(&mut side.conn, stranger, message.clone(), 99).await;
            assert!(result.unwrap_err().is_senders_fault());
        }
    }
    // About several jobs: each is none of theirs.
    let status = Status { job: id, stage: Stage::Done, permille: Some(1), note: "x".into() };
    for side in &mut world.sides {
        let list = JobMessage::Status(vec![status.clone()]);
        assert!(side.engine.on_message(&mut side.conn, stranger, list, 99).await.unwrap().is_empty());
    }
    assert_eq!((world.sides[0].job(&id).await, world.sides[1].job(&id).await), before);
}

#[tokio::test]
async fn only_the_jobs_own_data_is_served_and_taken() {
    let (mut world, id) = running().await;
    let (me, worker) = (world.person(0), world.person(1));
    let s = world.s();
    let secret = s.engine.blobs.put_bytes(b"somebody's secret").unwrap();
    let want = JobMessage::Want { job: id, blob: secret.hash, chunks: vec![0] };
    assert!(s.engine.on_message(&mut s.conn, worker, want, 9).await.is_err());
    let module = s.job(&id).await.spec().program.hash();
    for chunks in [vec![1], vec![u32::MAX], (0..1000).collect()] {
        let want = JobMessage::Want { job: id, blob: module, chunks };
        assert!(s.engine.on_message(&mut s.conn, worker, want, 9).await.is_err());
    }
    // Data that nobody asked for is not kept.
    let chunk =
        JobMessage::Chunk { job: id, blob: secret.hash, index: 0, data: b"somebody's secret".to_vec() };
    let w = &mut world.sides[1];
    assert!(w.hear(me, chunk, 9).await.is_empty());
    assert!(!w.engine.blobs.has_chunk(&secret, 0));
}

#[tokio::test]
async fn offers_beyond_the_caps_are_declined_with_the_reason() {
    type Change = fn(&mut Caps);
    let table: [(Change, &str); 7] = [
        (|c| c.limits.seconds = 10, "time limit"),
        (|c| c.limits.memory_bytes = 1 << 20, "memory limit"),
        (|c| c.limits.millicores = 500, "CPU limit"),
        (|c| c.input_bytes = 100, "size of program and inputs"),
        (|c| c.jobs_per_peer = 0, "your jobs"),
        (|c| c.jobs = 0, "jobs are already waiting"),
        (|c| c.wasm = false, "does not run wasm"),
    ];
    for (change, words) in table {
        let mut world = World::new(1).await;
        let mut caps = Caps::default();
        change(&mut caps);
        world.sides[1].engine.set_caps(caps);
        world.away = vec![1];
        let spec = world.sides[0].spec(Target::Persons(vec![world.person(1)]), 1000, 2000);
        let id = world.submit(spec).await;
        // What it offers is not known: it declines.
        world.road.retain(|(_, _, m)| !matches!(m, JobMessage::Ask));
        world.away.clear();
        world.deliver().await;
        world.second().await;
        let order = world.s().order_of(&id).await;
        assert!(
            order.state == State::Failed && order.note.contains(words),
            "{} {:?}",
            order.note,
            order.state
        );
        let w = &mut world.sides[1];
        assert!(w.engine.taken(&mut w.conn, 9).await.unwrap().is_empty());
        world.balanced();
    }
}

#[tokio::test]
async fn what_cannot_be_ordered() {
    let mut s = Side::new(1).await;
    let persons = |n: u8| Target::Persons((2..2 + n).map(|p| [p; 32]).collect());
    let good = s.spec(persons(1), 10, 10);
    let with = |change: &dyn Fn(&mut OrderSpec)| {
        let mut spec = good.clone();
        change(&mut spec);
        NewOrder { spec, array: None, needs: Vec::new() }
    };
    let me = s.me();
    let bad = [
        (
            "module",
            with(&|o| {
                if let Program::Wasm { module, .. } = &mut o.program {
                    module.hash = [0; 32];
                }
            }),
        ),
        ("price", with(&|o| o.price_limit = Some(1))),
        ("own", with(&|o| o.target = Target::Persons(vec![me]))),
        ("nobody", with(&|o| o.target = Target::Persons(Vec::new()))),
        ("name", with(&|o| o.name = "x".repeat(300))),
        ("time", with(&|o| o.limits.seconds = u32::MAX)),
        ("late", with(&|o| o.deadline_ms = Some(5))),
        ("few for S", with(&|o| (o.class, o.target) = (Class::S, persons(2)))),
        ("S here", with(&|o| (o.class, o.target) = (Class::S, Target::Here))),
        ("checkpoints", with(&|o| o.checkpoint_seconds = 1)),
        ("unknown need", NewOrder { needs: vec![[5; 16]], ..with(&|_| ()) }),
        ("unknown source", with(&|o| o.stdin = Some(Source::Stdout([5; 16])))),
        ("empty array", NewOrder { array: Some((5, 4)), ..with(&|_| ()) }),
        ("large array", NewOrder { array: Some((0, crate::orders::MAX_ELEMENTS)), ..with(&|_| ()) }),
        ("huge array", NewOrder { array: Some((0, u32::MAX)), ..with(&|_| ()) }),
    ];
    for (what, new) in bad {
        assert!(s.engine.submit(&mut s.conn, new, 10).await.is_err(), "{what}");
    }
    assert!(s.engine.orders(&mut s.conn, 9).await.unwrap().is_empty());
    s.engine.submit(&mut s.conn, with(&|_| ()), 10).await.unwrap();
}
