//! Jobs that end otherwise than by being paid, and what is left of them.

use super::*;

#[tokio::test]
async fn cancelling_kills_the_run_and_gives_the_money_back() {
    let (mut s, mut w, id) = running().await;
    let actions = s.engine.cancel(&mut s.conn, &id, 10).await.unwrap();
    for message in s.act(actions) {
        assert!(w.hear(s.me(), message.clone(), 10).await.is_empty());
        assert!(w.hear(s.me(), message, 10).await.is_empty());
    }
    assert!(w.runs.is_empty());
    assert_eq!((s.refunded.len(), w.refunded.len()), (1, 1));
    assert_eq!(
        (s.job(&id).await.state(), w.job(&id).await.state()),
        (JobState::Cancelled, JobState::Cancelled)
    );
    assert!(matches!(s.engine.cancel(&mut s.conn, &id, 10).await, Err(EngineError::Refused(_))));
}

#[tokio::test]
async fn a_cancel_that_overtakes_its_offer() {
    let (mut s, mut w) = (Side::new(1).await, Side::new(2).await);
    let order = s.order(w.me(), 1000, 2000);
    let (id, offer) = s.submit(order, 0).await;
    let actions = s.engine.cancel(&mut s.conn, &id, 10).await.unwrap();
    for message in s.act(actions) {
        assert!(w.hear(s.me(), message, 11).await.is_empty());
    }
    let mut to_s = w.hear(s.me(), offer[0].clone(), 12).await;
    for message in std::mem::take(&mut to_s) {
        for answer in s.hear(w.me(), message, 13).await {
            w.hear(s.me(), answer, 14).await;
        }
    }
    assert_eq!(w.job(&id).await.state(), JobState::Cancelled);
    assert!(w.escrow.is_empty() && s.escrow.is_empty());
}

#[tokio::test]
async fn a_run_that_fails_is_not_paid() {
    let (mut s, mut w, id) = running().await;
    let outcome = Err(RunError::TimeLimit(300));
    let actions = w.engine.on_outcome(&mut w.conn, id, outcome, 10).await.unwrap();
    for message in w.act(actions) {
        s.hear(w.me(), message, 10).await;
    }
    let job = s.job(&id).await;
    assert_eq!((job.state(), job.note.contains("did not end within its 300 s")), (JobState::Failed, true));
    assert_eq!((s.refunded.len(), w.refunded.len(), s.paid.len()), (1, 1, 0));
}

#[tokio::test]
async fn an_interrupted_run_runs_again() {
    let (_s, mut w, id) = running().await;
    w.runs.clear();
    let actions = w.engine.on_outcome(&mut w.conn, id, Err(RunError::Cancelled), 10).await.unwrap();
    w.act(actions);
    assert_eq!(w.job(&id).await.state(), JobState::Scheduled);
    w.tick(11, false).await;
    assert!(w.runs.is_empty());
    w.tick(12, true).await;
    assert_eq!(w.runs.len(), 1);
}

#[tokio::test]
async fn an_offer_without_an_answer_fails_in_the_end() {
    let mut s = Side::new(1).await;
    let order = s.order([2; 32], 10, 10);
    let (id, _) = s.submit(order, 0).await;
    let mut offers = 0;
    for second in (0..100_000).step_by(20) {
        for message in s.tick(second * 1000, true).await {
            offers += usize::from(matches!(message, JobMessage::Offer(_)));
        }
    }
    assert!((3..100).contains(&offers), "offered {offers} times again");
    assert_eq!(s.job(&id).await.state(), JobState::Failed);
    assert_eq!(s.refunded, [id]);
}

#[tokio::test]
async fn files_of_ended_jobs_are_removed_but_not_the_submitters_output() {
    let (mut s, mut w, id) = running().await;
    let mut to_s = w.finish(5000).await;
    for _ in 0..6 {
        let mut to_w = Vec::new();
        for message in to_s {
            to_w.extend(s.hear(w.me(), message, 6000).await);
        }
        to_s = Vec::new();
        for message in to_w {
            to_s.extend(w.hear(s.me(), message, 6000).await);
        }
    }
    let job = s.job(&id).await;
    assert_eq!(job.state(), JobState::Completed);
    let output = job.output.clone().unwrap().hash;
    for side in [&mut s, &mut w] {
        assert!(side.engine.blobs.has(&job.spec().module.hash));
        side.tick(6000 + 3_600_001, true).await;
        assert!(!side.engine.blobs.has(&job.spec().module.hash));
    }
    assert!(s.engine.blobs.has(&output) && !w.engine.blobs.has(&output));
    assert!(!w.folder.path().join("scratch").join(hex::encode(id)).exists());
}
