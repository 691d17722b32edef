//! The data of jobs on disk: prepared before the transaction, damaged, lost.

use super::*;

async fn offered(module: usize, input: usize) -> (Side, Side, JobId, crate::BlobRef, JobMessage) {
    let (mut s, w) = (Side::new(1).await, Side::new(2).await);
    s.know(&[w.me()]);
    let spec = s.spec(Target::Persons(vec![w.me()]), module, input);
    let Program::Wasm { module, .. } = spec.program.clone() else { panic!() };
    let (id, mut offer) = s.submit(spec, 0).await;
    offer.retain(|(_, message)| matches!(message, JobMessage::Offer(_)));
    (s, w, id, module, offer.remove(0).1)
}

/// In the transaction nothing is written to the disk any more: there is no folder in which it could be.
#[tokio::test]
async fn what_was_prepared_costs_the_transaction_nothing() {
    let (mut s, mut w, id, module, offer) = offered(1_500_000, 2000).await;
    let mut to_w = Vec::new();
    for (_, message) in w.hear(s.me(), offer, 0).await {
        to_w.extend(s.hear(w.me(), message, 0).await);
    }
    let tmp = w.folder.path().join("blobs/tmp");
    let mut chunks = 0;
    while !to_w.is_empty() {
        let (_, message) = to_w.remove(0);
        let before = w.job(&id).await;
        w.engine.prepare(&mut w.conn, s.me(), &message).await.unwrap();
        assert_eq!(w.job(&id).await, before, "the database is only read");
        std::fs::remove_dir(&tmp).unwrap();
        for (_, message) in w.hear(s.me(), message, 0).await {
            to_w.extend(s.hear(w.me(), message, 0).await);
        }
        std::fs::create_dir(&tmp).unwrap();
        chunks += 1;
    }
    assert_eq!(chunks, 7);
    w.tick(1).await;
    assert_eq!((w.runs.len(), w.job(&id).await.state()), (1, JobState::Running));
    assert!(w.engine.blobs.has(&module.hash));
}

#[tokio::test]
async fn only_what_was_asked_for_is_prepared() {
    let (s, mut w, id, module, offer) = offered(2_000_000, 10).await;
    w.hear(s.me(), offer, 0).await;
    let chunk = |index| JobMessage::Chunk {
        job: id,
        blob: module.hash,
        index,
        data: s.engine.blobs.read_chunk(&module, index).unwrap(),
    };
    let beyond = u32::try_from(WINDOW).unwrap();
    w.engine.prepare(&mut w.conn, s.me(), &chunk(beyond)).await.unwrap();
    w.engine.prepare(&mut w.conn, [9; 32], &chunk(0)).await.unwrap();
    assert_eq!(w.engine.blobs.missing(&module).len(), module.chunks.len());
    w.engine.prepare(&mut w.conn, s.me(), &chunk(0)).await.unwrap();
    assert!(w.engine.blobs.has_chunk(&module, 0));
}

#[tokio::test]
async fn a_damaged_chunk_is_refused_and_comes_again() {
    let (mut s, mut w, id, _, offer) = offered(1000, 2000).await;
    let wants = w.hear(s.me(), offer, 0).await;
    let mut chunks = Vec::new();
    for (_, want) in wants {
        chunks.extend(s.hear(w.me(), want, 0).await);
    }
    assert_eq!(chunks.len(), 2);
    for (_, chunk) in &mut chunks {
        let JobMessage::Chunk { data, .. } = chunk else { panic!() };
        data[0] ^= 1;
        assert!(w.engine.on_message(&mut w.conn, s.me(), chunk.clone(), 0).await.is_err());
    }
    // Nothing came in time, so it is asked for again, with growing patience.
    assert!(w.tick(4_000).await.is_empty());
    let again = w.tick(6_000).await;
    assert_eq!(again.len(), 2);
    assert!(w.tick(12_000).await.is_empty());
    assert_eq!(w.tick(17_000).await.len(), 2);
    for (_, want) in again {
        for (_, chunk) in s.hear(w.me(), want, 0).await {
            w.hear(s.me(), chunk, 18_000).await;
        }
    }
    w.tick(18_000).await;
    assert_eq!((w.runs.len(), w.job(&id).await.state()), (1, JobState::Running));
}

#[tokio::test]
async fn data_lost_on_the_submitters_disk_ends_the_attempt() {
    let (mut s, mut w, id, module, offer) = offered(1000, 2000).await;
    s.engine.blobs.remove(&module).unwrap();
    for (_, want) in w.hear(s.me(), offer, 0).await {
        for (_, message) in s.hear(w.me(), want, 0).await {
            w.hear(s.me(), message, 0).await;
        }
    }
    let (sent, taken) = (s.job(&id).await, w.job(&id).await);
    assert_eq!((sent.state(), taken.state()), (JobState::Failed, JobState::Cancelled));
    assert!(sent.note.contains("no longer here") && sent.note == taken.note, "{}", taken.note);
    assert!(s.escrow.is_empty() && w.escrow.is_empty());
}
