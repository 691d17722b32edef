//! Two whole nodes that cross; and one node with a contact of whom only keys and network exist, whose messages come
//! in any order.

use crate::card::Card;
use crate::contacts;
use crate::identity::Identity;
use crate::network;
use crate::records;
use crate::testing::{TestNode, eventually};
use crate::wire;
use crate::work::Work;
use betanet::Key;
use betanet::testnet::{LAYOUT, TestNetwork};
use fog_api::{
    AddContact, CancelJob, Contact, ContactState, GetCard, GetJob, JobTarget, ListContacts, ListMessages,
    MessageStatus, SendMessage, SubmitJob,
};
use fog_p2p::mixnet::MixAddress;
use fog_tokenomics::{Join, Record, Signed, membership};
use std::sync::atomic::Ordering;

async fn primary(node: &TestNode) -> Key {
    let mut conn = node.core().pool.acquire().await.expect("a connection");
    network::primary(&mut conn).await.expect("a network")
}

async fn networks(node: &TestNode) -> i64 {
    let mut conn = node.core().pool.acquire().await.expect("a connection");
    network::count(&mut conn).await.expect("counts")
}

async fn members(node: &TestNode) -> Vec<Key> {
    let mut conn = node.core().pool.acquire().await.expect("a connection");
    let members = membership::members(&mut conn).await.expect("reads");
    members.into_iter().map(|m| m.person).collect()
}

async fn contact(node: &TestNode) -> Contact {
    let contacts = node.node().call(ListContacts {}).await.expect("a list");
    assert_eq!(contacts.len(), 1);
    contacts.into_iter().next().expect("one")
}

async fn write(from: &TestNode, text: &str) {
    let peer = contact(from).await.id;
    from.node().call(SendMessage { peer, text: text.into() }).await.expect("sent");
}

/// The texts that a node has received, and whether all that it has sent was delivered.
async fn chat(node: &TestNode) -> (Vec<String>, bool) {
    let peer = contact(node).await.id;
    let messages = node.node().call(ListMessages { peer, before: None, limit: 100 }).await.expect("a list");
    let (sent, received): (Vec<_>, Vec<_>) = messages.into_iter().partition(|m| m.outgoing);
    let delivered = sent.iter().all(|m| matches!(m.status, MessageStatus::Delivered | MessageStatus::Read));
    (received.into_iter().map(|m| m.text).collect(), delivered)
}

/// The network of the card that is shown.
fn shown(node: &TestNode) -> Key {
    let core = node.core();
    core.network.my_address(&core.me, None).expect("an address").0.network
}

async fn cross(a: &TestNode, b: &TestNode) -> Key {
    let smaller = primary(a).await.min(primary(b).await);
    let card_a = a.node().call(GetCard {}).await.expect("a card").text;
    let card_b = b.node().call(GetCard {}).await.expect("a card").text;
    let (of_a, of_b) =
        tokio::join!(a.node().call(AddContact { card: card_b }), b.node().call(AddContact { card: card_a }));
    assert!(of_a.is_ok() && of_b.is_ok());
    assert_eq!((networks(a).await, networks(b).await), (2, 2), "each has joined the other's");
    smaller
}

async fn one_network(a: &TestNode, b: &TestNode, smaller: Key) {
    let mut both = vec![a.core().id, b.core().id];
    both.sort_unstable();
    eventually("one network and one ledger", async || {
        [primary(a).await, primary(b).await] == [smaller; 2]
            && members(a).await == both
            && members(b).await == both
    })
    .await;
    for node in [a, b] {
        assert_eq!(contact(node).await.state, ContactState::Accepted);
        eventually("the own card to say so", async || shown(node) == smaller).await;
    }
    write(a, "from Ada").await;
    write(b, "from Bob").await;
    eventually("both texts", async || {
        chat(a).await == (vec!["from Bob".into()], true) && chat(b).await == (vec!["from Ada".into()], true)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_add_each_other_at_once_end_in_one_network() {
    let (mut a, mut b) = tokio::join!(TestNode::new("Ada"), TestNode::new("Bob"));
    let smaller = cross(&a, &b).await;
    one_network(&a, &b, smaller).await;
    a.restart().await;
    b.restart().await;
    assert_eq!((primary(&a).await, primary(&b).await), (smaller, smaller));
    assert_eq!((members(&a).await.len(), members(&b).await.len()), (2, 2));
    assert_eq!((shown(&a), shown(&b)), (smaller, smaller));
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_do_two_who_are_restarted_before_they_hear_of_each_other_and_again_in_between() {
    let (mut a, mut b) = tokio::join!(TestNode::new("Ada"), TestNode::new("Bob"));
    let smaller = cross(&a, &b).await;
    a.stop().await;
    b.stop().await;
    a.start().await;
    b.start().await;
    eventually("the one side to have moved", async || {
        primary(&a).await == smaller && primary(&b).await == smaller
    })
    .await;
    a.restart().await;
    b.restart().await;
    one_network(&a, &b, smaller).await;
    a.stop().await;
    b.stop().await;
}

/// Somebody whose network is theirs alone and of whom there are only the words.
struct Words {
    me: Identity,
    network: TestNetwork,
}

impl Words {
    /// In a network with a smaller or a greater id than this one.
    fn new(than: &Key, smaller: bool) -> Self {
        loop {
            let now = crate::time::now_ms().unsigned_abs() / 1000;
            let network = TestNetwork::generate(&LAYOUT, now).expect("generates");
            if (network.id() < *than) == smaller {
                return Self { me: Identity::generate(), network };
            }
        }
    }

    fn card(&self, network: Key, issued_ms: i64) -> String {
        let address = MixAddress { network, home: [2; 32], mailbox: [3; 32], more: Default::default() };
        let consensus = (network == self.network.id()).then(|| self.network.consensus());
        Card::new(&self.me, "Bob", address, issued_ms, consensus).to_text(&self.me)
    }

    async fn add_to(&self, node: &TestNode) {
        let card = self.card(self.network.id(), 1);
        node.node().call(AddContact { card }).await.expect("added");
    }

    async fn hello(&self, node: &TestNode, network: Key, issued_ms: i64) {
        let card = self.card(network, issued_ms);
        let mut work = Work::begin(&node.core()).await.expect("begins");
        contacts::hello(&mut work, &self.me.seal_key(), card.as_bytes()).await.expect("a good card");
        work.commit().await.expect("commits");
    }

    /// Says that this person is a member there. False if it was refused.
    async fn join(&self, node: &TestNode, network: Key, person: &Identity) -> bool {
        let work = Work::begin(&node.core()).await.expect("begins");
        let join = Join { network, person: person.id(), name: "Bob".into(), time_ms: work.now() };
        let record = Record::Join(Signed::sign(join, &person.signing()).expect("signs"));
        self.record(work, &record).await
    }

    async fn record(&self, mut work: Work, record: &Record) -> bool {
        let from = contacts::by_seal_key(work.conn(), &self.me.seal_key()).await.expect("reads");
        let body = record.encode().expect("encodes");
        let taken = records::incoming(&mut work, &from.expect("a contact"), &body).await.is_ok();
        if taken {
            work.commit().await.expect("commits");
        }
        taken
    }

    /// How many messages of a kind wait for this person.
    async fn told(&self, node: &TestNode, kind: u16) -> i64 {
        let query = sqlx::query_scalar("SELECT count(*) FROM p2p_outbox WHERE peer = ? AND kind = ?");
        let query = query.bind(self.me.seal_key().to_vec()).bind(i64::from(kind));
        query.fetch_one(&node.core().pool).await.expect("reads")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_side_in_the_greater_network_goes_back_once_whatever_comes_twice_or_late() {
    for join_first in [true, false] {
        let mut node = TestNode::new("Ada").await;
        let own = primary(&node).await;
        let bob = Words::new(&own, false);
        bob.add_to(&node).await;
        assert_eq!(primary(&node).await, bob.network.id());
        let first_card = node.core().card_ms.load(Ordering::Relaxed);
        if join_first {
            assert!(bob.join(&node, own, &bob.me).await);
            bob.hello(&node, own, 1).await;
        } else {
            bob.hello(&node, own, 1).await;
            assert_eq!(primary(&node).await, bob.network.id(), "a card alone moves nobody");
            assert!(bob.join(&node, own, &bob.me).await);
        }
        assert_eq!((primary(&node).await, members(&node).await.len()), (own, 2));
        assert_eq!(bob.told(&node, wire::HELLO).await, 2, "the first card and the new one");
        assert!(node.core().card_ms.load(Ordering::Relaxed) > first_card, "in whichever order they come");
        let records = bob.told(&node, wire::RECORD).await;
        for _ in 0..2 {
            bob.hello(&node, own, 1).await;
            assert!(bob.join(&node, own, &bob.me).await);
            // From before: Bob says no longer that he is there.
            assert!(!bob.join(&node, bob.network.id(), &bob.me).await);
        }
        assert_eq!((primary(&node).await, members(&node).await.len()), (own, 2));
        assert_eq!(bob.told(&node, wire::HELLO).await, 2);
        assert!(bob.told(&node, wire::RECORD).await <= records + 2, "no flood");
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_side_in_the_smaller_network_stays_and_introduces_itself_again() {
    let mut node = TestNode::new("Ada").await;
    let own = primary(&node).await;
    let bob = Words::new(&own, true);
    let theirs = bob.network.id();
    bob.add_to(&node).await;
    bob.hello(&node, own, 1).await;
    assert!(!bob.join(&node, own, &bob.me).await, "of another network");
    assert_eq!(primary(&node).await, theirs);
    let before = bob.told(&node, wire::RECORD).await;
    // Bob has gone back.
    bob.hello(&node, theirs, 2).await;
    let after = bob.told(&node, wire::RECORD).await;
    assert_eq!((primary(&node).await, after), (theirs, before + 1));
    // Again, and the old one late.
    bob.hello(&node, theirs, 2).await;
    bob.hello(&node, own, 1).await;
    bob.hello(&node, theirs, 2).await;
    assert_eq!(bob.told(&node, wire::RECORD).await, after);
    assert!(bob.join(&node, theirs, &bob.me).await);
    assert_eq!(members(&node).await.len(), 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_moves_at_a_strangers_word_or_away_from_others() {
    let mut node = TestNode::new("Ada").await;
    let own = primary(&node).await;
    let bob = Words::new(&own, false);
    let theirs = bob.network.id();
    bob.add_to(&node).await;
    // Somebody else's join, and one that Bob did not sign.
    assert!(!bob.join(&node, own, &Identity::generate()).await);
    let work = Work::begin(&node.core()).await.expect("begins");
    let join = Join { network: own, person: bob.me.id(), name: "Bob".into(), time_ms: work.now() };
    let forged = Signed { content: join, signature: [7; 64] };
    assert!(!bob.record(work, &Record::Join(forged)).await);
    assert_eq!(primary(&node).await, theirs);
    // Another member came meanwhile.
    assert!(bob.join(&node, theirs, &Identity::generate()).await);
    assert!(!bob.join(&node, own, &bob.me).await);
    assert_eq!((primary(&node).await, members(&node).await.len()), (theirs, 2));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_moves_away_from_a_job() {
    let mut node = TestNode::new("Ada").await;
    let own = primary(&node).await;
    let bob = Words::new(&own, false);
    bob.add_to(&node).await;
    let module = node.node().upload(&b"\0asm\x01\0\0\0"[..]).await.expect("stored");
    let to = JobTarget::Contacts { peers: vec![contact(&node).await.id] };
    let job = SubmitJob { to, ..SubmitJob::wasm("job", module) };
    let job = node.node().call(job).await.expect("ordered");
    // What is only ordered is in nobody's books yet.
    let offered = async {
        while node.node().call(GetJob { id: job.id.clone() }).await.expect("a job").attempts.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), offered).await.expect("offered");
    assert!(!bob.join(&node, own, &bob.me).await);
    assert_eq!(primary(&node).await, bob.network.id());
    // One that came to nothing does not matter.
    node.node().call(CancelJob { id: job.id }).await.expect("cancelled");
    assert!(bob.join(&node, own, &bob.me).await);
    assert_eq!(primary(&node).await, own);
    node.stop().await;
}
