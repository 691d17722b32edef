//! Two whole nodes.

use crate::testing::{TestNode, eventually};
use fog_api::{AddContact, GetCard, ListMessages, MessageStatus, SendMessage};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_leaves_the_outbox() {
    let (mut a, mut b) = tokio::join!(TestNode::new("Ada"), TestNode::new("Bob"));
    let card = a.node().call(GetCard {}).await.expect("a card").text;
    let peer = b.node().call(AddContact { card }).await.expect("added").id;
    b.node().call(SendMessage { peer: peer.clone(), text: "from Bob".into() }).await.expect("sent");
    eventually("the text to be delivered", async || {
        let list = ListMessages { peer: peer.clone(), before: None, limit: 10 };
        let messages = b.node().call(list).await.expect("a list");
        messages.len() == 1 && matches!(messages[0].status, MessageStatus::Delivered | MessageStatus::Read)
    })
    .await;
    // The card and the records that went with it, too.
    eventually("the outbox to be empty", async || {
        let query = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM p2p_outbox");
        query.fetch_one(&b.core().pool).await.expect("reads") == 0
    })
    .await;
    // What has room for a reply block was acknowledged by it: the other side need not know the way.
    let [of_a, of_b] = [&a, &b].map(|n| n.core().endpoint.by_block());
    assert!(of_a.sent > 0 && of_b.received > 0, "{of_a:?} {of_b:?}");
    a.stop().await;
    b.stop().await;
}
