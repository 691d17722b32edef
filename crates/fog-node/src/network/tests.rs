//! Cards that are good themselves, and bring a consensus that is not.

use super::*;
use crate::testing::TestNode;
use betanet::testnet::LAYOUT;
use fog_api::{AddContact, ErrorKind, ListContacts};

const YEAR: u64 = 365 * 24 * 3600;

fn generated(at: u64) -> SignedConsensus {
    TestNetwork::generate(&LAYOUT, at).expect("generates").consensus()
}

/// The same signature under a document that was changed.
fn changed(signed: &SignedConsensus, change: fn(&mut Consensus)) -> SignedConsensus {
    let mut document = signed.unverified().clone();
    change(&mut document);
    let bytes = signed.to_bytes();
    // One signature: its number, the key, and the bytes.
    let signature = bytes.last_chunk::<97>().expect("a signature");
    let mut forged = postcard::to_allocvec(&document).expect("encodes");
    forged.extend(signature);
    SignedConsensus::from_bytes(&forged).expect("decodes")
}

/// A card that its person has signed.
fn card(person: &Identity, issued_ms: i64, consensus: SignedConsensus) -> String {
    let address = MixAddress {
        network: consensus.network(),
        home: [2; 32],
        mailbox: [3; 32],
        more: Default::default(),
    };
    Card::new(person, "Bob", address, issued_ms, Some(consensus)).to_text(person)
}

async fn networks(node: &TestNode) -> i64 {
    let mut conn = node.core().pool.acquire().await.expect("a connection");
    count(&mut conn).await.expect("counts")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_card_with_a_bad_consensus_is_refused() {
    let mut node = TestNode::new("Ada").await;
    let bob = Identity::generate();
    let bad = [
        generated(unix() - 2 * YEAR),
        generated(unix() + YEAR),
        changed(&generated(unix()), |d| d.relays[0].descriptor.keys[0].sphinx_key[0] ^= 1),
        changed(&generated(unix() - 2 * YEAR), |d| d.valid_until += 2 * YEAR),
    ];
    for consensus in bad {
        let network = consensus.network();
        let card = card(&bob, 1, consensus);
        let refused = node.node().call(AddContact { card }).await.expect_err("a bad consensus");
        assert_eq!(refused.kind, ErrorKind::BadInput);
        assert!(!node.core().network.is_member(&network));
    }
    assert_eq!(networks(&node).await, 1);
    assert!(node.node().call(ListContacts {}).await.expect("a list").is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_with_a_forged_consensus_does_not_replace_the_good_one() {
    let mut node = TestNode::new("Ada").await;
    let bob = Identity::generate();
    let good = generated(unix());
    node.node().call(AddContact { card: card(&bob, 1, good.clone()) }).await.expect("added");
    let newer = changed(&good, |d| {
        d.valid_after += 1;
        d.relays[0].descriptor.keys[0].sphinx_key[0] ^= 1;
    });
    node.node().call(AddContact { card: card(&bob, 2, newer) }).await.expect("the card itself is good");
    let query = sqlx::query_scalar("SELECT consensus FROM node_networks WHERE id = ?");
    let query = query.bind(good.network().to_vec());
    let stored: Vec<u8> = query.fetch_one(&node.core().pool).await.expect("reads");
    assert!(stored == good.to_bytes());
    node.stop().await;
}
