//! Two whole nodes over real relays.

use super::*;
use crate::identity::{Identity, hex, unhex};
use crate::testing::{TestNode, eventually};
use fog_api::{
    AddContact, CoverProfile, GetCard, GetNetwork, ListContacts, ListMessages, Message, MessageStatus,
    SendMessage, SetContactState, SetPrivacyLevel,
};

/// Ada and Bob, who are contacts.
async fn pair() -> (TestNode, TestNode) {
    let (a, b) = tokio::join!(TestNode::new("Ada"), TestNode::new("Bob"));
    let card = a.node().call(GetCard {}).await.expect("a card").text;
    b.node().call(AddContact { card }).await.expect("added");
    eventually("Bob to ask", async || !a.node().call(ListContacts {}).await.expect("a list").is_empty())
        .await;
    let peer = hex(&b.core().id);
    let accept = SetContactState { peer, state: ContactState::Accepted };
    a.node().call(accept).await.expect("accepted");
    (a, b)
}

async fn contact(of: &TestNode, who: &TestNode) -> Stored {
    let core = of.core();
    let mut conn = core.pool.acquire().await.expect("a connection");
    contacts::by_id(&mut conn, &who.core().id).await.expect("reads").expect("a contact")
}

async fn set(of: &TestNode, who: &TestNode, level: PrivacyLevel) {
    let peer = hex(&who.core().id);
    of.node().call(SetPrivacyLevel { peer, level }).await.expect("set");
}

async fn write(from: &TestNode, to: &TestNode, text: &str) -> Message {
    let message = SendMessage { peer: hex(&to.core().id), text: text.into() };
    from.node().call(message).await.expect("sent")
}

async fn message(of: &TestNode, peer: &str, id: &str) -> Message {
    let list = ListMessages { peer: peer.into(), before: None, limit: 100 };
    let messages = of.node().call(list).await.expect("a list");
    messages.into_iter().find(|m| m.id == id).expect("it is there")
}

/// Writes, waits until it is delivered, and gives the relays of each packet.
async fn deliver(from: &TestNode, to: &TestNode, text: &str) -> Vec<Vec<Key>> {
    let sent = write(from, to, text).await;
    eventually(text, async || message(from, &sent.peer, &sent.id).await.status >= MessageStatus::Delivered)
        .await;
    let paths = from.core().paths.of(&unhex(&sent.id).expect("an id"));
    assert!(!paths.is_empty());
    paths.into_iter().map(|p| p.route.hops.iter().map(|h| h.0).collect()).collect()
}

fn home(of: &TestNode) -> Key {
    let core = of.core();
    core.network.my_address(&core.me, None).expect("an address").0.home
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_five_relays_is_written_to_over_five() {
    let (mut a, mut b) = pair().await;
    assert!(deliver(&b, &a, "before").await.iter().all(|path| path.len() == 3));
    set(&a, &b, PrivacyLevel::Confidential).await;
    eventually("Bob to know", async || contact(&b, &a).await.level() == PrivacyLevel::Confidential).await;
    for (from, to) in [(&a, &b), (&b, &a)] {
        for path in deliver(from, to, "five relays").await {
            assert_eq!((path.len(), path.last()), (5, Some(&home(to))));
        }
    }
    let shown = b.node().call(ListContacts {}).await.expect("a list");
    assert_eq!(
        (shown[0].privacy, shown[0].privacy_asked),
        (PrivacyLevel::Private, PrivacyLevel::Confidential)
    );
    set(&a, &b, PrivacyLevel::Private).await;
    eventually("Bob to know", async || contact(&b, &a).await.level() == PrivacyLevel::Private).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_messages_go_to_boxes_and_never_to_a_home() {
    let (mut a, mut b) = pair().await;
    deliver(&b, &a, "before").await;
    set(&a, &b, PrivacyLevel::Secret).await;
    eventually("both to know each other's box", async || {
        let (of_a, of_b) = (contact(&a, &b).await, contact(&b, &a).await);
        of_a.their_box.is_some() && of_b.their_box.is_some()
    })
    .await;
    let secret = async |from: &TestNode, to: &TestNode, text: &str| {
        let (place, theirs) = (contact(from, to).await.their_box.expect("a box"), contact(to, from).await);
        assert_eq!(Some(place.relay), theirs.own_box);
        assert_ne!(place.relay, home(to));
        for path in deliver(from, to, text).await {
            assert_eq!((path.len(), path.last()), (5, Some(&place.relay)));
            assert!(
                !contact(from, to)
                    .await
                    .route()
                    .address
                    .bytes
                    .windows(32)
                    .any(|key| { key == theirs.address.mailbox || key == contact_mailbox(to) })
            );
        }
    };
    secret(&a, &b, "from Ada").await;
    secret(&b, &a, &"from Bob, in several packets ".repeat(200)).await;
    for node in [&a, &b] {
        let view = node.node().call(GetNetwork {}).await.expect("a view");
        assert!(view.cover.forced && view.cover.profile == CoverProfile::Standard);
        let by_block = node.core().endpoint.by_block();
        deliver(&a, &b, "no reply blocks").await;
        assert_eq!(node.core().endpoint.by_block(), by_block, "they would lead to a home");
    }
    // The boxes are found again after a restart.
    let before = contact(&b, &a).await;
    b.restart().await;
    let after = contact(&b, &a).await;
    assert_eq!((after.own_box, after.own_box_number), (before.own_box, before.own_box_number));
    secret(&a, &b, "after a restart").await;
    secret(&b, &a, "there, too").await;
    // Nobody asks for it any more.
    set(&a, &b, PrivacyLevel::Private).await;
    eventually("Bob to know", async || contact(&b, &a).await.level() == PrivacyLevel::Private).await;
    for (from, to) in [(&a, &b), (&b, &a)] {
        assert!(deliver(from, to, "at home again").await.iter().all(|path| path.last() == Some(&home(to))));
    }
    // And again.
    set(&b, &a, PrivacyLevel::Secret).await;
    eventually("the other box", async || contact(&b, &a).await.their_box.is_some()).await;
    secret(&b, &a, "from Bob once more").await;
    a.stop().await;
    b.stop().await;
}

/// Ada moves her home to where her box is, so the box has to go elsewhere; then she forgets where Bob's is, and asks.
#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_moves_or_is_forgotten_is_found_again() {
    let (mut a, mut b) = pair().await;
    // Both at once.
    tokio::join!(set(&a, &b, PrivacyLevel::Secret), set(&b, &a, PrivacyLevel::Secret));
    let arranged = async || {
        let (of_a, of_b) = (contact(&a, &b).await, contact(&b, &a).await);
        of_a.their_box.map(|p| p.relay) == of_b.own_box && of_b.their_box.map(|p| p.relay) == of_a.own_box
    };
    eventually("both to know each other's box", async || {
        contact(&a, &b).await.their_box.is_some() && arranged().await
    })
    .await;
    let before = contact(&a, &b).await;
    let relay = before.own_box.expect("a box");
    crate::network::home::change(&a.core(), &before.address.network, Some(relay)).await.expect("moves");
    eventually("Ada's box to go elsewhere", async || {
        let now = contact(&a, &b).await;
        now.own_box != Some(relay) && now.own_box_number > before.own_box_number && arranged().await
    })
    .await;
    let place = contact(&b, &a).await.their_box.expect("a box");
    for path in deliver(&b, &a, "to the new box").await {
        assert_eq!((path.len(), path.last()), (5, Some(&place.relay)));
    }
    // As when Ada's word and Bob's answer crossed a change of mind.
    let core = a.core();
    let mut work = Work::begin(&core).await.expect("begins");
    let forgotten = Stored { their_box: None, ..contact(&a, &b).await };
    write_boxes(&mut work, &forgotten).await.expect("writes");
    arrange(&mut work, forgotten, true).await.expect("arranges");
    work.commit().await.expect("commits");
    eventually("Bob to say it again", async || contact(&a, &b).await.their_box.is_some()).await;
    deliver(&a, &b, "found again").await;
    a.stop().await;
    b.stop().await;
}

fn contact_mailbox(of: &TestNode) -> Key {
    let core = of.core();
    core.network.my_address(&core.me, None).expect("an address").0.mailbox
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_box_only_the_arrangement_leaves_and_the_rest_says_why() {
    let mut a = TestNode::new("Ada").await;
    let carol = a.befriend(&Identity::generate(), "Carol").await;
    let peer = hex(&carol.id);
    a.node().call(SetPrivacyLevel { peer: peer.clone(), level: PrivacyLevel::Secret }).await.expect("set");
    let text = "secret".to_string();
    let sent = a.node().call(SendMessage { peer: peer.clone(), text }).await.expect("taken");
    eventually("the reason", async || {
        let reason = message(&a, &peer, &sent.id).await.reason;
        reason.is_some_and(|r| r.contains("Carol has not named a meeting point"))
    })
    .await;
    let query = "SELECT id FROM p2p_outbox WHERE kind = ?";
    let query = sqlx::query_scalar::<_, Vec<u8>>(query).bind(wire::REACH);
    let reach = query.fetch_one(&a.core().pool).await.expect("one");
    let reach = reach.try_into().expect("an id");
    eventually("the arrangement to leave", async || !a.core().paths.of(&reach).is_empty()).await;
    for path in a.core().paths.of(&reach) {
        assert_eq!(path.route.hops.len(), 5);
    }
    assert!(a.core().paths.of(&unhex(&sent.id).expect("an id")).is_empty());
    assert_eq!(message(&a, &peer, &sent.id).await.status, MessageStatus::Pending);
    a.stop().await;
}
