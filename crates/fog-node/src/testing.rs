//! What tests of this crate share: whole nodes in this process, and people of whom only the keys exist.

use crate::card::Card;
use crate::contacts::{self, Stored};
use crate::core::Core;
use crate::identity::Identity;
use crate::{KeychainUse, Node, NodeConfig};
use fog_p2p::mixnet::MixAddress;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take on a slow, busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A node with a data folder of its own, in a test network of its own.
pub(crate) struct TestNode {
    dir: TempDir,
    node: Option<Node>,
}

impl TestNode {
    pub(crate) async fn new(name: &str) -> Self {
        let mut node = Self { dir: tempfile::tempdir().expect("tempdir"), node: None };
        node.start().await;
        node.node().create_identity(name).await.expect("an identity");
        node
    }

    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().expect("it runs")
    }

    pub(crate) fn core(&self) -> Arc<Core> {
        self.node().core().expect("it has its secrets")
    }

    pub(crate) async fn start(&mut self) {
        let mut config = NodeConfig::new(self.dir.path().join("data"));
        config.keychain = KeychainUse::Off;
        config.mean_delay_ms = 1;
        self.node = Some(Node::start(config).await.expect("starts"));
    }

    /// Ends the node and starts it again on the same folder.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(node) = self.node.take() {
            node.shutdown().await;
        }
    }

    /// Adds a person of whom only the keys exist: what they are sent stays in the outbox.
    pub(crate) async fn befriend(&self, person: &Identity, name: &str) -> Stored {
        let core = self.core();
        let (address, _) = core.network.my_address(&core.me, None).expect("an address");
        let card = Card::new(person, name, MixAddress { mailbox: [9; 32], ..address }, 1, None);
        contacts::add(&core, &card.to_text(person)).await.expect("added");
        let mut conn = core.pool.acquire().await.expect("a connection");
        contacts::by_id(&mut conn, &person.id()).await.expect("reads").expect("a contact")
    }
}

/// Waits until `done`, or fails saying what it waited for.
pub(crate) async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !done().await {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
