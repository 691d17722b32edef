//! One node, relays of whom only the keys exist, and a directory of one authority.

use super::*;
use crate::identity::Identity;
use crate::testing::TestNode;
use betanet::directory::{Authority, Consensus, Descriptor, EpochKey, Network, RelayIdentity};
use betanet::lottery::Standing;
use ed25519_dalek::SigningKey;
use fog_tokenomics::{Join, Record, Signed, UNITS_PER_FOG};

const HOUR: Timing = Timing { epoch: 3600, overlap: 600, voting: 1200 };
/// An hour of the year 2026, as a number of epochs.
const EPOCH: u32 = 494_000;

fn authority() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn relays() -> [RelayKeys; 3] {
    [1, 2, 3].map(|n| RelayKeys::from_bytes(&[n; 64]))
}

/// The consensus of this many seconds into an epoch, with relays of this performance and reputation.
fn consensus(epoch: u32, into: u64, performance: u16, reputation: u16) -> SignedConsensus {
    let key = authority().verifying_key().to_bytes();
    let authorities = vec![Authority { key, link: [1; 32], address: ([127, 0, 0, 1], 9).into() }];
    let mut listed: Vec<Listed> = relays()
        .iter()
        .zip(1..)
        .map(|(keys, layer)| {
            let identity = RelayIdentity {
                key: keys.identity().verifying_key().to_bytes(),
                vrf_key: keys.vrf().public(),
            };
            let descriptor = Descriptor {
                id: keys.id(),
                identity: Some(identity),
                address: ([127, 0, 0, 1], 9).into(),
                layer,
                operator: String::new(),
                published: 0,
                keys: vec![EpochKey { epoch, sphinx_key: keys.sphinx_key(), ticket: None }],
            };
            Listed { descriptor, standing: Standing { reputation, performance, stake: 0 } }
        })
        .collect();
    listed.sort_by_key(|l| l.id);
    let valid_after = u64::from(epoch) * 3600 + into;
    let document = Consensus {
        network: Network::new(false, authorities, HOUR, 0),
        valid_after,
        valid_until: valid_after + 3600,
        seeds: vec![(epoch, [0; 32])],
        relays: listed,
    };
    document.sign([&authority()])
}

fn claim_of(person: &Key, epoch: u32) -> Claim {
    Claim::make(&consensus(epoch, 2400, 900, 1000), &relays()[0], person).expect("a claim").1
}

const LATER: u64 = (EPOCH as u64 + 200) * 3_600_000;

#[test]
fn a_claim_says_what_the_directory_measured_and_nothing_else_passes() {
    let network = consensus(EPOCH, 2400, 1000, 0).network();
    let mixing = claim_of(&[7; 32], EPOCH).check(&network, LATER).expect("good");
    assert_eq!((mixing.relay, mixing.epoch, mixing.seconds), (relays()[0].id(), EPOCH, 3600));
    assert_eq!((mixing.ended_ms, mixing.uptime_permille), ((u64::from(EPOCH) + 1) * 3_600_000, 1000));
    assert_eq!(mixing.worth(), 15 * UNITS_PER_FOG / 2, "5 FOG an hour, and half of it for uptime");

    let make = |c: &SignedConsensus| Claim::make(c, &relays()[0], &[7; 32]);
    assert!(make(&consensus(EPOCH, 0, 900, 0)).is_none(), "not the last list of the epoch");
    assert!(make(&consensus(EPOCH, 2400, 499, 0)).is_none(), "it does not run");
    assert!(Claim::make(&consensus(EPOCH, 2400, 900, 0), &RelayKeys::generate(), &[7; 32]).is_none());

    let refused = |change: fn(&mut Claim)| {
        let mut claim = claim_of(&[7; 32], EPOCH);
        change(&mut claim);
        claim.check(&consensus(EPOCH, 2400, 1000, 0).network(), LATER).is_err()
    };
    assert!(!refused(|_| ()));
    assert!(refused(|c| c.person = [8; 32]), "somebody else's name on it");
    assert!(refused(|c| c.signature.clear()));
    assert!(refused(|c| c.excerpt.truncate(100)));
    // A relay signs for an excerpt of a list that is not the epoch's last, or says that it does not run.
    for (into, performance) in [(1200, 900), (2400, 300)] {
        let excerpt =
            Excerpt::of(&consensus(EPOCH, into, performance, 0), &relays()[0].id()).expect("listed");
        let message = message(&network, &[7; 32], &relays()[0].id(), EPOCH);
        let signature = relays()[0].identity().sign(&message).to_bytes().to_vec();
        let claim = Claim { person: [7; 32], excerpt: excerpt.to_bytes(), signature };
        assert!(claim.check(&network, LATER).is_err(), "{into} {performance}");
    }
    assert!(claim_of(&[7; 32], EPOCH).check(&[9; 32], LATER).is_err(), "another network");
    assert!(claim_of(&[7; 32], EPOCH).check(&network, 0).is_err(), "of the future");
    assert!(Claim::read(&vec![0; MAX_CLAIM + 1]).is_none());
}

/// A node whose ledger is that of the network of [`consensus`].
async fn node() -> TestNode {
    let node = TestNode::new("Ada").await;
    let mut work = Work::begin(&node.core()).await.expect("begins");
    let signed = consensus(EPOCH, 2400, 900, 1000);
    sqlx::query("UPDATE node_networks SET id = ?")
        .bind(signed.network().to_vec())
        .execute(work.conn())
        .await
        .expect("renamed");
    fog_tokenomics::genesis::abandon(work.conn()).await.expect("left");
    crate::records::open_ledger(&mut work, signed.unverified()).await.expect("opened");
    work.commit().await.expect("commits");
    node
}

async fn deliver(node: &TestNode, from: &Stored, claim: &Claim) -> Result<()> {
    let mut work = Work::begin(&node.core()).await?;
    incoming(&mut work, from, &wire::encode(claim)).await?;
    work.commit().await
}

async fn balance(node: &TestNode, person: &Key) -> u128 {
    let mut conn = node.core().pool.acquire().await.expect("a connection");
    ledger::balance(&mut conn, person).await.expect("reads")
}

async fn told(node: &TestNode, contact: &Stored) -> i64 {
    let query = "SELECT count(*) FROM p2p_outbox WHERE peer = ? AND kind = ?";
    let query = sqlx::query_scalar(query).bind(contact.seal_key.to_vec()).bind(i64::from(wire::MIXING));
    query.fetch_one(&node.core().pool).await.expect("reads")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_waits_for_its_operators_join_and_is_paid_once_up_to_the_days_cap() {
    let [eve, fay, ann] = std::array::from_fn(|_| Identity::generate());
    let node = node().await;
    let (eve, fay) = (node.befriend(&eve, "Eve").await, node.befriend(&fay, "Fay").await);
    // They are met in the network that the ledger is of.
    sqlx::query("UPDATE node_contacts SET network = (SELECT id FROM node_networks)")
        .execute(&node.core().pool)
        .await
        .expect("moved");
    let day = EPOCH / 24 * 24;
    deliver(&node, &eve, &claim_of(&ann.id(), day)).await.expect("waits");
    assert_eq!((balance(&node, &ann.id()).await, told(&node, &fay).await), (0, 0));

    let mut work = Work::begin(&node.core()).await.expect("begins");
    let network = consensus(EPOCH, 2400, 900, 1000).network();
    let join = Join { network, person: ann.id(), name: "Ann".into(), time_ms: work.now() };
    let record = Record::Join(Signed::sign(join, &ann.signing()).expect("signs"));
    crate::records::incoming(&mut work, &eve, &record.encode().expect("encodes")).await.expect("a member");
    work.commit().await.expect("commits");
    let hour = 15 * UNITS_PER_FOG / 2;
    assert_eq!((balance(&node, &ann.id()).await, told(&node, &fay).await), (hour, 1));

    for _ in 0..2 {
        deliver(&node, &eve, &claim_of(&ann.id(), day)).await.expect("known");
    }
    assert_eq!((balance(&node, &ann.id()).await, told(&node, &fay).await), (hour, 1), "once");
    // The day's last epoch ends when the next day begins, and counts to that.
    for epoch in day + 1..day + 23 {
        deliver(&node, &eve, &claim_of(&ann.id(), epoch)).await.expect("taken");
    }
    assert_eq!(balance(&node, &ann.id()).await, 100 * UNITS_PER_FOG, "the day's cap");
    deliver(&node, &eve, &claim_of(&ann.id(), day + 23)).await.expect("taken");
    assert_eq!(balance(&node, &ann.id()).await, 100 * UNITS_PER_FOG + hour, "another day");
    let mut conn = node.core().pool.acquire().await.expect("a connection");
    ledger::check(&mut conn).await.expect("everything adds up");
}
