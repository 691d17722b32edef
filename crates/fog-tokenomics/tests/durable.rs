//! Many writers on one file, and a file opened again.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use fog_tokenomics::{
    Choice, Error, Genesis, Outcome, ProposalKind, abandon, governance, ledger, membership, open,
    records::{self, Record},
};
use sqlx::{Connection, SqliteConnection};

const TASKS: u8 = 8;

/// What one task does: its own jobs, and jobs that all of them fight for.
async fn work(path: std::path::PathBuf, me: u8) -> u32 {
    let mut conn = file(&path).await;
    // The second opening of a file that another connection opened.
    open(&mut conn, &Genesis::test(NETWORK)).await.unwrap();
    let mut won = 0;
    for round in 0..10u8 {
        let (own, shared) = ([me, round].concat_id(), [200, round].concat_id());
        let next = person(me % TASKS + 1);
        let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.unwrap();
        ledger::join(&mut tx, &person(me), NOW).await.unwrap();
        ledger::escrow_lock(&mut tx, &own, &person(me), 2500 * FOG, NOW).await.ok();
        tx.commit().await.unwrap();

        let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.unwrap();
        if ledger::settle_direct(&mut tx, &shared, &person(me), &next, FOG, NOW, "").await.is_ok() {
            won += 1;
        }
        tx.commit().await.unwrap();

        // Without a transaction of the caller's.
        match ledger::escrow_settle(&mut conn, &own, &next, 900 * FOG + u128::from(me), NOW, "").await {
            Ok(_) | Err(Error::NoEscrow) => {}
            Err(error) => panic!("{error}"),
        }
        ledger::escrow_settle(&mut conn, &own, &next, 900 * FOG + u128::from(me), NOW, "").await.ok();
        // A transaction that is given up leaves nothing.
        let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.unwrap();
        ledger::settle_direct(&mut tx, &[me, round, 1].concat_id(), &person(me), &next, 1, NOW, "")
            .await
            .ok();
        drop(tx);
    }
    won
}

trait ConcatId {
    fn concat_id(&self) -> [u8; 16];
}

impl<const N: usize> ConcatId for [u8; N] {
    fn concat_id(&self) -> [u8; 16] {
        let mut id = [0xEE; 16];
        id[..N].copy_from_slice(self);
        id
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_conserve_the_supply() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.db");
    open(&mut file(&path).await, &Genesis::test(NETWORK)).await.unwrap();
    let tasks: Vec<_> = (1..=TASKS).map(|me| tokio::spawn(work(path.clone(), me))).collect();
    let mut won = 0;
    for task in tasks {
        won += task.await.unwrap();
    }
    assert_eq!(won, 10, "each of the ten contested jobs is settled once");
    let mut conn = file(&path).await;
    ledger::check(&mut conn).await.unwrap();
    let members = ledger::members(&mut conn).await.unwrap();
    assert_eq!(members.len(), usize::from(TASKS));
    let held: u128 = members.iter().map(|member| member.balance).sum();
    assert_eq!(held, u128::from(TASKS) * 10_000 * FOG, "no escrow is left, so persons hold all their grants");
    let given_up = [1, 0, 1].concat_id();
    assert_eq!(ledger::job(&mut conn, &given_up).await.unwrap(), None);
}

/// Without a transaction of the caller's each operation takes the write lock before it reads: one that read
/// first would fail whenever another wrote in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_without_transactions_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.db");
    let mut conn = file(&path).await;
    open(&mut conn, &Genesis::test(NETWORK)).await.unwrap();
    for me in 1..=TASKS {
        ledger::join(&mut conn, &person(me), NOW).await.unwrap();
    }
    let task = async |path: std::path::PathBuf, me: u8| {
        let mut conn = file(&path).await;
        for round in 0..40 {
            let (from, to) = (person(me), person(me % TASKS + 1));
            ledger::settle_direct(&mut conn, &[me, round].concat_id(), &from, &to, FOG, NOW, "")
                .await
                .unwrap();
        }
    };
    let mut tasks = tokio::task::JoinSet::new();
    for me in 1..=TASKS {
        tasks.spawn(task(path.clone(), me));
    }
    // Panics as a task does.
    tasks.join_all().await;
    for me in 1..=TASKS {
        assert_eq!(ledger::balance(&mut conn, &person(me)).await.unwrap(), 10_000 * FOG);
        assert_eq!(ledger::totals(&mut conn, &person(me)).await.unwrap().earned, 40 * FOG);
    }
    ledger::check(&mut conn).await.unwrap();
}

#[tokio::test]
async fn all_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.db");
    let genesis = Genesis::test(NETWORK);
    let mut conn = file(&path).await;
    open(&mut conn, &genesis).await.unwrap();
    for number in [1, 2] {
        let name = format!("Person {number}");
        let join = membership::build_join(&mut conn, &name, &key(number), NOW).await.unwrap();
        membership::put_join(&mut conn, &join, NOW).await.unwrap();
    }
    ledger::escrow_lock(&mut conn, &job(1), &person(1), 10 * FOG, NOW).await.unwrap();
    ledger::settle_direct(&mut conn, &job(2), &person(2), &person(1), FOG, NOW, "done").await.unwrap();
    let proposal =
        governance::build_proposal(&mut conn, ProposalKind::General, "t", "b", &key(1), NOW).await.unwrap();
    governance::put_proposal(&mut conn, &proposal, NOW).await.unwrap();
    let vote =
        governance::build_vote(&mut conn, &proposal.content.id, Choice::Yes, &key(2), NOW).await.unwrap();
    governance::put_vote(&mut conn, &vote, NOW).await.unwrap();
    let before = everything(&mut conn).await;
    // Not closed: as a killed process leaves it.
    std::mem::forget(conn);

    let mut conn = file(&path).await;
    open(&mut conn, &genesis).await.unwrap();
    assert_eq!(everything(&mut conn).await, before);
    ledger::check(&mut conn).await.unwrap();
    // What was under way goes on, what was done is known.
    let known = ledger::settle_direct(&mut conn, &job(2), &person(2), &person(1), FOG, NOW, "done").await;
    assert_eq!(known.unwrap(), Outcome::Known);
    let settled = ledger::escrow_settle(&mut conn, &job(1), &person(2), FOG, NOW, "").await;
    assert_eq!(settled.unwrap(), Outcome::New);
    let next = governance::next_sequence(&mut conn, &proposal.content.id, &person(2)).await.unwrap();
    assert_eq!(next, 2);
    ledger::check(&mut conn).await.unwrap();
}

#[tokio::test]
async fn a_network_of_one_can_be_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut conn = file(&dir.path().join("node.db")).await;
    sqlx::raw_sql("CREATE TABLE other (x); INSERT INTO other VALUES (1)").execute(&mut conn).await.unwrap();
    assert!(fog_tokenomics::migrate(&mut conn).await.is_ok());
    assert!(matches!(abandon(&mut conn).await, Err(Error::NotOpened)));
    open(&mut conn, &Genesis::test(NETWORK)).await.unwrap();
    let join = membership::build_join(&mut conn, "Alone", &key(1), NOW).await.unwrap();
    membership::put_join(&mut conn, &join, NOW).await.unwrap();
    ledger::escrow_lock(&mut conn, &job(1), &person(1), FOG, NOW).await.unwrap();
    let proposal =
        governance::build_proposal(&mut conn, ProposalKind::General, "t", "b", &key(1), NOW).await.unwrap();
    governance::put_proposal(&mut conn, &proposal, NOW).await.unwrap();
    let vote =
        governance::build_vote(&mut conn, &proposal.content.id, Choice::Yes, &key(1), NOW).await.unwrap();
    governance::put_vote(&mut conn, &vote, NOW).await.unwrap();

    // Given up, it leaves everything as it was.
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.unwrap();
    abandon(&mut tx).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(ledger::balance(&mut conn, &person(1)).await.unwrap(), 9_999 * FOG);

    // With another genesis in the same transaction, as a node does that meets a network.
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.unwrap();
    abandon(&mut tx).await.unwrap();
    open(&mut tx, &Genesis::test([8; 32])).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ledger::check(&mut conn).await.unwrap().entries, 1);
    assert!(ledger::members(&mut conn).await.unwrap().is_empty());
    assert!(governance::list_proposals(&mut conn, 9).await.unwrap().is_empty());
    let (other,): (i64,) = sqlx::query_as("SELECT count(*) FROM other").fetch_one(&mut conn).await.unwrap();
    assert_eq!(other, 1, "other crates' tables stay");

    ledger::join(&mut conn, &person(1), NOW).await.unwrap();
    ledger::join(&mut conn, &person(2), NOW).await.unwrap();
    assert!(matches!(abandon(&mut conn).await, Err(Error::Invalid(_))));
    let mut main = memory_with(&Genesis::baseline(NETWORK)).await;
    assert!(matches!(abandon(&mut main).await, Err(Error::Invalid(_))));
}

async fn everything(conn: &mut SqliteConnection) -> impl PartialEq + std::fmt::Debug + use<> {
    let mut kept = Vec::new();
    for id in records::ids(conn).await.unwrap() {
        kept.push(Record::decode(&records::load(conn, &id).await.unwrap().unwrap()).unwrap());
    }
    (
        kept,
        ledger::members(conn).await.unwrap(),
        ledger::entries(conn, &person(1), 100).await.unwrap(),
        ledger::entries(conn, &person(2), 100).await.unwrap(),
        ledger::escrow_of(conn, &person(1)).await.unwrap(),
        governance::list_proposals(conn, 10).await.unwrap(),
    )
}
