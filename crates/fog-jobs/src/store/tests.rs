//! Databases of the version before.

use super::*;
use crate::engine::{Action, EngineConfig};
use crate::orders::State;
use crate::spec::old::{OldLimits, OldSigned, OldSpec};
use crate::spec::{BlobRef, JobId, Receipt, SignedReceipt, Usage};
use crate::{BlobStore, Engine, Room};
use ed25519_dalek::SigningKey;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

const ME: [u8; 32] = [1; 32];
const PEER: [u8; 32] = [2; 32];

fn blob(byte: u8) -> BlobRef {
    BlobRef { hash: [byte; 32], size: 5, chunks: vec![[byte; 32]] }
}

fn receipt(id: JobId) -> SignedReceipt {
    let usage = Usage { cpu_ms: 5, wall_ms: 6, memory_peak: 65_536 };
    let worker = SigningKey::from_bytes(&PEER);
    let receipt = Receipt {
        job: id,
        worker: worker.verifying_key().to_bytes(),
        submitter: SigningKey::from_bytes(&ME).verifying_key().to_bytes(),
        module: [3; 32],
        input: Some([4; 32]),
        output: [5; 32],
        output_bytes: 5,
        exit_code: 3,
        fuel: 77,
        usage,
        started_ms: 10,
        finished_ms: 16,
        price: 12,
    };
    receipt.sign(&worker).unwrap()
}

/// A row as the first version wrote it: its phases were 0 to 7.
async fn old_row(conn: &mut SqliteConnection, id: JobId, role: i64, phase: i64) {
    let me = SigningKey::from_bytes(&ME).verifying_key().to_bytes();
    let peer = SigningKey::from_bytes(&PEER).verifying_key().to_bytes();
    let spec = OldSpec {
        id,
        submitter: if role == 0 { me } else { peer },
        name: format!("old {phase}"),
        module: blob(3),
        input: Some(blob(4)),
        args: vec!["-l".into()],
        limits: OldLimits { seconds: 60, memory_bytes: 1 << 20, output_bytes: 1 << 10 },
        price_limit: 99,
        created_ms: 1000,
    };
    let signed = postcard::to_allocvec(&OldSigned { spec, signature: [7; 64] }).unwrap();
    let done = (4..6).contains(&phase);
    let paper = |bytes: Vec<u8>| done.then_some(bytes);
    let settlement = receipt(id).countersign(&SigningKey::from_bytes(&ME)).unwrap();
    sqlx::query(
        "INSERT INTO job_jobs (id, role, peer, phase, note, spec, receipt, settlement, output, created_ms, finished_ms, \
         touched_ms) VALUES (?, ?, ?, ?, 'as it was', ?, ?, ?, ?, ?, ?, 1000)",
    )
    .bind(&id[..])
    .bind(role)
    .bind(&peer[..])
    .bind(phase)
    .bind(signed)
    .bind(paper(postcard::to_allocvec(&receipt(id)).unwrap()))
    .bind(paper(settlement.encode().unwrap()).filter(|_| phase == 5))
    .bind(paper(postcard::to_allocvec(&blob(5)).unwrap()))
    .bind(1000 + phase)
    .bind((phase >= 5).then_some(2000))
    .execute(conn)
    .await
    .unwrap();
}

async fn old_database(folder: &std::path::Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.join("db")).create_if_missing(true);
    let mut conn = options.connect().await.unwrap();
    let mut migrator = sqlx::migrate!();
    migrator.migrations.to_mut().retain(|m| m.version < 2);
    migrator.dangerous_set_table_name("_migrations_jobs");
    migrator.run_direct(None, &mut conn, false).await.unwrap();
    conn
}

#[tokio::test]
async fn jobs_of_the_first_version_are_shown_and_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut conn = old_database(folder.path()).await;
    for phase in 0..8u8 {
        old_row(&mut conn, [phase + 10; 16], 0, phase.into()).await;
        old_row(&mut conn, [phase + 30; 16], 1, phase.into()).await;
    }
    migrate(&mut conn).await.unwrap();

    let blobs = BlobStore::open(folder.path().join("blobs")).unwrap();
    let config = EngineConfig::new(folder.path().join("scratch"));
    let engine = Engine::new(SigningKey::from_bytes(&ME), blobs, config, [5; 32]);
    let listed = engine.orders(&mut conn, 100).await.unwrap();
    assert_eq!(listed.len(), 8, "each that was sent is an order now");
    assert_eq!(engine.taken(&mut conn, 100).await.unwrap().len(), 8);
    let done = engine.order(&mut conn, &[15; 16]).await.unwrap();
    assert_eq!(
        (done.state, done.spec.name.as_str(), done.winner),
        (State::Completed, "old 5", Some([15; 16]))
    );
    let (outputs, code) = done.result.unwrap();
    assert_eq!((outputs.stdout, outputs.files, code), (blob(5), None, 3));
    let attempts = engine.attempts(&mut conn, &[15; 16]).await.unwrap();
    assert_eq!(attempts[0].settlement.as_ref().unwrap().receipt, receipt([15; 16]));
    assert_eq!(engine.order(&mut conn, &[16; 16]).await.unwrap().state, State::Failed);
    assert_eq!(engine.order(&mut conn, &[17; 16]).await.unwrap().state, State::Cancelled);

    // What was under way cannot be continued: it ends, and its money goes back. A worker whose result may have been paid
    // already waits for that.
    let room = Room {
        allowed: true,
        reason: String::new(),
        slots: 2,
        memory: u64::MAX,
        local_slots: 2,
        funds: None,
    };
    let actions = engine.tick(&mut conn, 5_000, &room).await.unwrap();
    let refunded = actions.iter().filter(|action| matches!(action, Action::Refund { .. })).count();
    assert_eq!(refunded, 4 + 4, "four phases before the result, on either side");
    assert!(!actions.iter().any(|action| matches!(action, Action::Run(_))));
    for phase in 0..4u8 {
        let order = engine.order(&mut conn, &[phase + 10; 16]).await.unwrap();
        assert!(order.note.contains("earlier version"), "{}", order.note);
    }
    // And it stays readable after being written again.
    engine.tick(&mut conn, 5_000 + 10 * 24 * 3_600_000, &room).await.unwrap();
    assert_eq!(engine.orders(&mut conn, 100).await.unwrap().len(), 8);
    assert!(engine.orders(&mut conn, 100).await.unwrap().iter().all(|order| order.state.is_final()));
}

#[tokio::test]
async fn a_payment_of_the_first_version_is_still_booked() {
    let folder = tempfile::tempdir().unwrap();
    let mut conn = old_database(folder.path()).await;
    let (worker, submitter) = (SigningKey::from_bytes(&PEER), SigningKey::from_bytes(&ME));
    let (id, payer) = ([34; 16], submitter.verifying_key().to_bytes());
    old_row(&mut conn, id, 1, 4).await;
    let query = sqlx::query("UPDATE job_jobs SET peer = ? WHERE id = ?");
    query.bind(&payer[..]).bind(&id[..]).execute(&mut conn).await.unwrap();
    migrate(&mut conn).await.unwrap();
    let blobs = BlobStore::open(folder.path().join("blobs")).unwrap();
    let config = EngineConfig::new(folder.path().join("scratch"));
    let engine = Engine::new(worker, blobs, config, [5; 32]);
    let settlement = receipt(id).countersign(&submitter).unwrap();
    let mut message = vec![9];
    message.extend(settlement.encode().unwrap());
    let heard = crate::message::old_settlement(&message).unwrap();
    assert_eq!(heard, settlement);
    let settled = crate::JobMessage::Settled(heard);
    let actions = engine.on_message(&mut conn, payer, settled, 9_000).await.unwrap();
    assert!(matches!(&actions[0], Action::Settle { job, .. } if *job == id));
    assert!(crate::message::old_settlement(&[9, 1, 2]).is_none());
    assert!(crate::message::old_settlement(&[]).is_none());
}
