//! The runtimes of this device: the sandbox for WASM, and the container engine where the owner allows it.

use crate::core::Core;
use fog_api::JobSettings;
use fog_jobs::{ContainerConfig, Containers, Events, Program, RunError, RunHandle, RunOutcome, RunRequest};
use parking_lot::RwLock;
use std::sync::Arc;

/// The container engine, or why there is none.
pub(super) struct Slot(RwLock<(u64, Result<Containers, String>)>);

impl Default for Slot {
    fn default() -> Self {
        Self(RwLock::new((0, Err("the owner of this device has not allowed container jobs".into()))))
    }
}

/// Lets the owner's choices take effect. Looking for an engine takes a moment, so that happens beside.
pub(crate) fn apply(core: &Arc<Core>, settings: &JobSettings) {
    let mut caps = core.compute.engine.caps();
    caps.network = settings.network;
    caps.container = false;
    core.compute.engine.set_caps(caps);
    let turn = {
        let mut slot = core.compute.containers.0.write();
        slot.0 += 1;
        slot.1 = Err("the container engine is being looked for".into());
        slot.0
    };
    let config = ContainerConfig {
        allowed: settings.containers,
        socket: settings.container_socket.clone(),
        ..ContainerConfig::new(core.config.data_dir.join("containers"))
    };
    let core = core.clone();
    tokio::spawn(async move {
        let found = Containers::connect(config).await.map_err(|e| e.to_string());
        if let Err(reason) = &found {
            tracing::debug!(%reason, "no container jobs");
        }
        let mut slot = core.compute.containers.0.write();
        // The owner may have chosen anew in the meantime.
        if slot.0 != turn {
            return;
        }
        let mut caps = core.compute.engine.caps();
        caps.container = found.is_ok();
        core.compute.engine.set_caps(caps);
        slot.1 = found;
    });
}

/// Runs a job on the runtime of its kind.
pub(super) async fn run_one(
    core: &Core,
    request: RunRequest,
    handle: &RunHandle,
    events: Events,
) -> Result<RunOutcome, RunError> {
    match &request.program {
        Program::Wasm { .. } => core.compute.sandbox.run(request, handle, events).await,
        Program::Container { .. } => {
            let containers = core.compute.containers.0.read().1.clone();
            containers.map_err(RunError::Unsupported)?.run(request, handle, events).await
        }
    }
}
