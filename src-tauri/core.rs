//! The node behind the window: opened in the background, waited for where it is needed.

use anyhow::Result;
use fog_api::{ApiError, ErrorKind};
use fog_node::{Node, NodeConfig, web};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Longer than a node needs to end; a window that is gone must not leave a process behind.
const LONGEST_SHUTDOWN: Duration = Duration::from_secs(10);

#[derive(Clone)]
enum State {
    Opening,
    Open {
        node: Node,
        /// Held for as long as the command line may ask this node.
        _server: Arc<web::Server>,
    },
    /// For the person: why not.
    Failed(Arc<str>),
    Closed,
}

/// The node, or that it is not there yet. Clones are handles on the same one.
#[derive(Clone)]
pub(crate) struct Core {
    state: watch::Sender<State>,
}

impl Core {
    /// Begins to open the node.
    pub(crate) fn start(runtime: &Handle, config: Result<NodeConfig>) -> Self {
        let core = Self { state: watch::Sender::new(State::Opening) };
        let state = core.state.clone();
        runtime.spawn(async move {
            let opened = open(config).await;
            state.send_replace(opened.unwrap_or_else(|e| State::Failed(format!("{e:#}").into())));
        });
        core
    }

    async fn opened(&self) -> State {
        let mut state = self.state.subscribe();
        let opened = state.wait_for(|s| !matches!(s, State::Opening)).await;
        // The sender is `self`'s, so it lives.
        opened.map_or(State::Closed, |s| s.clone())
    }

    /// The node, as soon as it is open.
    ///
    /// # Errors
    /// It could not be opened, or is closed already.
    pub(crate) async fn node(&self) -> Result<Node, ApiError> {
        match self.opened().await {
            State::Open { node, .. } => Ok(node),
            State::Failed(why) => Err(ApiError::new(ErrorKind::Unavailable, &*why)),
            State::Opening | State::Closed => {
                Err(ApiError::new(ErrorKind::NotReady, "Fog Compute is closing."))
            }
        }
    }

    /// Why the node could not be opened, if that is so.
    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        match &*self.state.borrow() {
            State::Failed(why) => Some(why.clone()),
            _ => None,
        }
    }

    /// Ends the node cleanly.
    pub(crate) async fn shutdown(&self) {
        let end = async {
            if let State::Open { node, .. } = self.opened().await {
                self.state.send_replace(State::Closed);
                node.shutdown().await;
            }
        };
        if tokio::time::timeout(LONGEST_SHUTDOWN, end).await.is_err() {
            tracing::warn!("the node did not end in time");
        }
    }
}

async fn open(config: Result<NodeConfig>) -> Result<State> {
    let config = config?;
    let listen = config.listen;
    let node = Node::start(config).await?;
    match web::serve(node.clone(), listen).await {
        Ok(server) => Ok(State::Open { node, _server: Arc::new(server) }),
        Err(e) => {
            node.shutdown().await;
            Err(e.into())
        }
    }
}
