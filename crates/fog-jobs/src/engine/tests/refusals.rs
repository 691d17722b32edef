//! What is not taken: forgeries, strangers, offers beyond the caps, orders that make no sense.

use super::*;

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
        let (mut s, mut w, id) = running().await;
        let mut sent = w.finish(5000).await;
        let Some(JobMessage::Result(signed, output)) = sent.pop() else { panic!() };
        let mut receipt = signed.receipt;
        lie(&mut receipt);
        let signed = receipt.sign(&SigningKey::from_bytes(&w.key)).unwrap();
        let answer = s.hear(w.me(), JobMessage::Result(signed, output), 6000).await;
        assert!(matches!(answer[..], [JobMessage::Cancel { .. }]), "{answer:?}");
        assert_eq!(s.job(&id).await.state(), JobState::Failed);
        assert_eq!((s.refunded.len(), s.paid.len()), (1, 0));
    }
}

#[tokio::test]
async fn a_forged_receipt_changes_nothing() {
    let (mut s, mut w, id) = running().await;
    let mut sent = w.finish(5000).await;
    let Some(JobMessage::Result(mut signed, output)) = sent.pop() else { panic!() };
    signed.signature[3] ^= 1;
    let forged: SignedReceipt = signed;
    let message = JobMessage::Result(forged, output);
    assert!(s.engine.on_message(&mut s.conn, w.me(), message, 6000).await.is_err());
    assert_eq!(s.job(&id).await.state(), JobState::Running);
}

#[tokio::test]
async fn a_forged_offer_is_not_taken() {
    let (mut s, mut w) = (Side::new(1).await, Side::new(2).await);
    let order = s.order(w.me(), 1000, 2000);
    let (_, mut offers) = s.submit(order, 0).await;
    let Some(JobMessage::Offer(mut signed)) = offers.pop() else { panic!() };
    signed.signature[3] ^= 1;
    let result = w.engine.on_message(&mut w.conn, s.me(), JobMessage::Offer(signed.clone()), 1).await;
    assert!(result.unwrap_err().is_senders_fault());
    assert!(w.engine.list(&mut w.conn, 9).await.unwrap().is_empty());
    // Nothing but the signature was wrong.
    signed.signature[3] ^= 1;
    assert!(!w.hear(s.me(), JobMessage::Offer(signed), 2).await.is_empty());
}

#[tokio::test]
async fn a_forged_settlement_does_not_pay() {
    let (mut s, mut w, id) = running().await;
    let mut to_s = w.finish(5000).await;
    let settlement = loop {
        let mut to_w = s.hear(w.me(), to_s.remove(0), 6000).await;
        let message = to_w.remove(0);
        if let JobMessage::Settled(settlement) = message {
            break settlement;
        }
        to_s.extend(w.hear(s.me(), message, 6000).await);
    };
    let before = w.job(&id).await;
    let mut forged = settlement.clone();
    forged.submitter_signature[3] ^= 1;
    let result = w.engine.on_message(&mut w.conn, s.me(), JobMessage::Settled(forged), 7000).await;
    assert!(result.unwrap_err().is_senders_fault());
    assert_eq!(w.job(&id).await, before);
    w.hear(s.me(), JobMessage::Settled(settlement), 8000).await;
    assert_eq!((w.job(&id).await.state(), w.paid.len()), (JobState::Completed, 1));
}

#[tokio::test]
async fn strangers_are_refused_and_leave_no_trace() {
    let (mut s, mut w, id) = running().await;
    let before = (s.job(&id).await, w.job(&id).await);
    let stranger = [9; 32];
    let reason = String::from("x");
    let output = s.engine.blobs.put_bytes(b"x").unwrap();
    let messages = [
        JobMessage::Accept { job: id },
        JobMessage::Failed { job: id, reason: reason.clone() },
        JobMessage::Cancel { job: id, reason },
        JobMessage::Want { job: id, blob: before.0.spec().module.hash, chunks: vec![0] },
        JobMessage::Chunk { job: id, blob: output.hash, index: 0, data: b"x".to_vec() },
        JobMessage::Offer(before.0.signed.clone()),
        JobMessage::Accept { job: [7; 16] },
    ];
    for message in messages {
        for side in [&mut s, &mut w] {
            let result = side.engine.on_message(&mut side.conn, stranger, message.clone(), 99).await;
            assert!(result.unwrap_err().is_senders_fault());
        }
    }
    assert_eq!((s.job(&id).await, w.job(&id).await), before);
}

#[tokio::test]
async fn only_the_jobs_own_data_is_served_and_taken() {
    let (mut s, mut w, id) = running().await;
    let secret = s.engine.blobs.put_bytes(b"somebody's secret").unwrap();
    let want = JobMessage::Want { job: id, blob: secret.hash, chunks: vec![0] };
    assert!(s.engine.on_message(&mut s.conn, w.me(), want, 9).await.is_err());
    let module = s.job(&id).await.spec().module.hash;
    for chunks in [vec![1], vec![u32::MAX], (0..1000).collect()] {
        let want = JobMessage::Want { job: id, blob: module, chunks };
        assert!(s.engine.on_message(&mut s.conn, w.me(), want, 9).await.is_err());
    }
    // Data that nobody asked for is not kept.
    let chunk =
        JobMessage::Chunk { job: id, blob: secret.hash, index: 0, data: b"somebody's secret".to_vec() };
    assert!(w.hear(s.me(), chunk, 9).await.is_empty());
    assert!(!w.engine.blobs.has_chunk(&secret, 0));
}

#[tokio::test]
async fn offers_beyond_the_caps_are_declined_with_the_reason() {
    type Change = fn(&mut Caps);
    let table: [(Change, &str); 5] = [
        (|c| c.limits.seconds = 10, "time limit"),
        (|c| c.limits.memory_bytes = 1 << 20, "memory limit"),
        (|c| c.input_bytes = 100, "size of program and input"),
        (|c| c.jobs_per_peer = 0, "your jobs"),
        (|c| c.jobs = 0, "jobs are already waiting"),
    ];
    for (change, words) in table {
        let (mut s, mut w) = (Side::new(1).await, Side::new(2).await);
        let mut caps = Caps::default();
        change(&mut caps);
        w.engine.set_caps(caps);
        let order = s.order(w.me(), 1000, 2000);
        let (id, offer) = s.submit(order, 0).await;
        for message in w.hear(s.me(), offer[0].clone(), 0).await {
            s.hear(w.me(), message, 0).await;
        }
        let job = s.job(&id).await;
        assert!(job.state() == JobState::Failed && job.note.contains(words), "{}", job.note);
        assert!(w.engine.list(&mut w.conn, 9).await.unwrap().is_empty());
        assert!(s.escrow.is_empty() && w.escrow.is_empty());
    }
}

#[tokio::test]
async fn what_cannot_be_submitted() {
    let mut s = Side::new(1).await;
    let good = s.order([2; 32], 10, 10);
    let mut missing = good.clone();
    missing.module.hash = [0; 32];
    let poor = NewJob { price_limit: Some(1), ..good.clone() };
    let own = NewJob { worker: s.me(), ..good.clone() };
    let long = NewJob { name: "x".repeat(300), ..good.clone() };
    let ever = NewJob { limits: Limits { seconds: u32::MAX, ..Limits::default() }, ..good.clone() };
    for bad in [missing, poor, own, long, ever] {
        assert!(s.engine.submit(&mut s.conn, bad, 0).await.is_err());
    }
    assert!(s.engine.list(&mut s.conn, 9).await.unwrap().is_empty());
    s.engine.submit(&mut s.conn, good, 0).await.unwrap();
}
