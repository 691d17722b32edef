//! One node, and members of whom only the keys exist.

use super::*;
use crate::identity::Identity;
use crate::records;
use crate::testing::TestNode;
use fog_jobs::Receipt;
use fog_jobs::spec::Usage;
use fog_tokenomics::{Join, Record, Signed, UNITS_PER_FOG};

fn settlement(payer: &Identity, worker: &Identity, job: u8, fog: u128) -> Vec<u8> {
    let receipt = Receipt {
        job: [job; 16],
        worker: worker.id(),
        submitter: payer.id(),
        module: [0; 32],
        input: None,
        output: [0; 32],
        output_bytes: 0,
        exit_code: 0,
        fuel: 0,
        usage: Usage::default(),
        started_ms: 0,
        finished_ms: 0,
        price: fog * UNITS_PER_FOG,
    };
    let signed = receipt.sign(&worker.signing()).expect("signs");
    signed.countersign(&payer.signing()).expect("signs").encode().expect("encodes")
}

async fn deliver(node: &TestNode, from: &Stored, body: &[u8]) -> Result<()> {
    let mut work = Work::begin(&node.core()).await?;
    incoming(&mut work, from, body).await?;
    work.commit().await
}

async fn join(node: &TestNode, from: &Stored, person: &Identity) {
    let mut work = Work::begin(&node.core()).await.expect("begins");
    let network = crate::network::primary(work.conn()).await.expect("a network");
    let join = Join { network, person: person.id(), name: "Somebody".into(), time_ms: work.now() };
    let record = Record::Join(Signed::sign(join, &person.signing()).expect("signs"));
    records::incoming(&mut work, from, &record.encode().expect("encodes")).await.expect("a new member");
    work.commit().await.expect("commits");
}

async fn fog(node: &TestNode, person: &Identity) -> u128 {
    let mut conn = node.core().pool.acquire().await.expect("a connection");
    ledger::balance(&mut conn, &person.id()).await.expect("reads") / UNITS_PER_FOG
}

/// How many settlements wait to be sent to somebody.
async fn told(node: &TestNode, contact: &Stored) -> i64 {
    let query = "SELECT count(*) FROM p2p_outbox WHERE peer = ? AND kind = ?";
    let query = sqlx::query_scalar(query).bind(contact.seal_key.to_vec()).bind(i64::from(wire::SETTLEMENT));
    query.fetch_one(&node.core().pool).await.expect("reads")
}

async fn waiting(node: &TestNode) -> i64 {
    let query = sqlx::query_scalar("SELECT count(*) FROM node_settlements WHERE applied = 0");
    query.fetch_one(&node.core().pool).await.expect("reads")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_waits_for_its_payers_join_and_money_and_is_booked_once() {
    let [eve, fay, gil, ann, bob, cid] = std::array::from_fn(|_| Identity::generate());
    let mut node = TestNode::new("Ada").await;
    let (eve, fay) = (node.befriend(&eve, "Eve").await, node.befriend(&fay, "Fay").await);
    // Ann has 10,000 once she joins, and 8,000 more once Bob has joined and paid.
    let (first, second) = (settlement(&ann, &cid, 1, 15_000), settlement(&bob, &ann, 2, 8_000));
    deliver(&node, &eve, &first).await.expect("waits");
    deliver(&node, &eve, &first).await.expect("waits already");
    assert_eq!((waiting(&node).await, told(&node, &fay).await), (1, 0), "a stranger's is not passed on");

    join(&node, &eve, &ann).await;
    deliver(&node, &eve, &first).await.expect("waits already");
    assert_eq!((waiting(&node).await, fog(&node, &cid).await), (1, 0), "not covered yet");
    assert_eq!((told(&node, &fay).await, fog(&node, &ann).await), (1, 10_000));
    deliver(&node, &eve, &second).await.expect("waits");

    node.restart().await;
    assert_eq!(waiting(&node).await, 2);
    // A member who comes now gets what was passed on before.
    let gil = node.befriend(&gil, "Gil").await;
    assert_eq!(told(&node, &gil).await, 1);

    join(&node, &eve, &bob).await;
    for _ in 0..2 {
        assert_eq!(waiting(&node).await, 0);
        let balances = (fog(&node, &ann).await, fog(&node, &bob).await, fog(&node, &cid).await);
        assert_eq!(balances, (3_000, 2_000, 15_000));
        assert_eq!((told(&node, &fay).await, told(&node, &gil).await), (2, 2), "each once");
        for body in [&first, &second] {
            deliver(&node, &eve, body).await.expect("known");
        }
    }
    let mut conn = node.core().pool.acquire().await.expect("a connection");
    ledger::check(&mut conn).await.expect("the books balance");
    drop(conn);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_payment_is_refused_and_not_passed_on() {
    let [eve, fay, ann, cid] = std::array::from_fn(|_| Identity::generate());
    let mut node = TestNode::new("Ada").await;
    let (eve, fay) = (node.befriend(&eve, "Eve").await, node.befriend(&fay, "Fay").await);
    join(&node, &eve, &ann).await;
    // One that could be booked at once, and one that would wait.
    for price in [10, 15_000] {
        let good = Settlement::decode(&settlement(&ann, &cid, 1, price)).expect("decodes");
        let (mut payers, mut workers) = (good.clone(), good);
        payers.submitter_signature[3] ^= 1;
        workers.receipt.signature[3] ^= 1;
        for forged in [payers, workers] {
            let body = forged.encode().expect("encodes");
            let refused = deliver(&node, &eve, &body).await.expect_err("forged");
            assert_eq!(refused.kind, ErrorKind::BadInput);
        }
    }
    assert_eq!((waiting(&node).await, told(&node, &fay).await), (0, 0));
    assert_eq!((fog(&node, &ann).await, fog(&node, &cid).await), (10_000, 0));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_booked_at_a_start_is() {
    let [eve, ann, cid] = std::array::from_fn(|_| Identity::generate());
    let mut node = TestNode::new("Ada").await;
    let eve = node.befriend(&eve, "Eve").await;
    join(&node, &eve, &ann).await;
    deliver(&node, &eve, &settlement(&ann, &cid, 1, 15_000)).await.expect("waits");
    // It would be covered if the price were this.
    let body = settlement(&ann, &cid, 1, 9_000);
    let query = sqlx::query("UPDATE node_settlements SET body = ? WHERE applied = 0").bind(body);
    query.execute(&node.core().pool).await.expect("writes");
    node.restart().await;
    assert_eq!((waiting(&node).await, fog(&node, &ann).await, fog(&node, &cid).await), (0, 1_000, 9_000));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_wait_and_a_strangers_makes_room() {
    let [eve, ann, cid, zoe] = std::array::from_fn(|_| Identity::generate());
    let mut node = TestNode::new("Ada").await;
    let eve = node.befriend(&eve, "Eve").await;
    join(&node, &eve, &ann).await;
    let mut work = Work::begin(&node.core()).await.expect("begins");
    for i in 0..MAX_PENDING {
        // The first is a stranger's, the others are members'.
        sqlx::query("INSERT INTO node_settlements (job, body, applied, passed_on, payer) VALUES (randomblob(16), x'', 0, ?, x'')")
            .bind(i > 0)
            .execute(work.conn())
            .await
            .expect("writes");
    }
    work.commit().await.expect("commits");
    deliver(&node, &eve, &settlement(&ann, &cid, 1, 15_000)).await.expect("the stranger's makes room");
    assert_eq!(waiting(&node).await, MAX_PENDING);
    for full in [settlement(&ann, &cid, 2, 15_000), settlement(&zoe, &cid, 3, 1)] {
        let refused = deliver(&node, &eve, &full).await.expect_err("full");
        assert_eq!(refused.kind, ErrorKind::Refused);
    }
    // What can be booked needs no room.
    deliver(&node, &eve, &settlement(&ann, &cid, 4, 10)).await.expect("booked");
    assert_eq!((waiting(&node).await, fog(&node, &cid).await), (MAX_PENDING, 10));
    node.stop().await;
}
