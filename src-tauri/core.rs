//! The node behind the window: opened in the background, waited for where it is needed.

use anyhow::Result;
use fog_api::{ApiError, ErrorKind};
use fog_node::web::{self, Access};
use fog_node::{Node, NodeConfig, NodeError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Longer than a node needs to end; a window that is gone must not leave a process behind.
const LONGEST_SHUTDOWN: Duration = Duration::from_secs(10);

/// A program that does not show its window by then hangs.
const LONGEST_RAISE: Duration = Duration::from_secs(5);

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
    /// Another one runs with this data folder, and has shown its window.
    Elsewhere,
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
            State::Elsewhere => Err(ApiError::new(ErrorKind::Conflict, "Fog Compute is open already.")),
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

    /// True if another one with this data folder has shown its window instead.
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(&*self.state.borrow(), State::Elsewhere)
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
    let (listen, data_dir) = (config.listen, config.data_dir.clone());
    let node = match Node::start(config).await {
        Err(e @ NodeError::InUse(_)) => {
            let raised = tokio::task::spawn_blocking(move || raise(&data_dir)).await?;
            return raised.map(|()| State::Elsewhere).map_err(|_| e.into());
        }
        started => started?,
    };
    match web::serve(node.clone(), listen).await {
        Ok(server) => Ok(State::Open { node, _server: Arc::new(server) }),
        Err(e) => {
            node.shutdown().await;
            Err(e.into())
        }
    }
}

/// Asks the program that runs with this data folder to show its window.
fn raise(data_dir: &Path) -> Result<()> {
    let access: Access = serde_json::from_slice(&std::fs::read(data_dir.join(Access::FILE))?)?;
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(LONGEST_RAISE)).build().into();
    let request = agent.post(format!("{}/api/command", access.url));
    let command = fog_api::Command::ShowWindow(fog_api::ShowWindow {});
    request.header("authorization", format!("Bearer {}", access.token)).send_json(&command)?;
    Ok(())
}
