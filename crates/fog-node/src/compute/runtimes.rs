//! The runtimes of this device: the sandbox for WASM, and the container engine where the owner allows it.

use crate::core::Core;
use fog_api::{JobSettings, RuntimesView};
use fog_jobs::{ContainerConfig, Containers, Events, Program, RunError, RunHandle, RunOutcome, RunRequest};
use parking_lot::RwLock;
use std::sync::Arc;

/// The container engine, and how often the owner has chosen.
#[derive(Default)]
pub(super) struct Slot(RwLock<(u64, State)>);

/// How far the search for an engine is.
#[derive(Default)]
enum State {
    #[default]
    Looking,
    Found(Containers),
    None(String),
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
        slot.1 = State::Looking;
        slot.0
    };
    let config = ContainerConfig {
        allowed: settings.containers,
        socket: settings.container_socket.clone(),
        ..ContainerConfig::new(core.config.data_dir.join("containers"))
    };
    let core = core.clone();
    tokio::spawn(async move {
        let found = match Containers::connect(config).await {
            Ok(found) => State::Found(found),
            Err(reason) => {
                tracing::debug!(%reason, "no container jobs");
                State::None(reason.to_string())
            }
        };
        let mut slot = core.compute.containers.0.write();
        // The owner may have chosen anew in the meantime.
        if slot.0 != turn {
            return;
        }
        let mut caps = core.compute.engine.caps();
        caps.container = matches!(found, State::Found(_));
        core.compute.engine.set_caps(caps);
        slot.1 = found;
    });
}

/// What the owner allows, and the engine that was found.
pub(crate) fn view(core: &Core) -> RuntimesView {
    let allowed = core.settings.read().jobs.clone();
    let slot = core.compute.containers.0.read();
    let (engine, looking, problem) = match &slot.1 {
        State::Looking => (None, true, None),
        State::Found(found) => {
            let engine = found.engine();
            (Some(format!("{:?} {} at {}", engine.kind, engine.version, engine.socket)), false, None)
        }
        State::None(reason) => (None, false, Some(reason.clone())),
    };
    RuntimesView { allowed, engine, looking, problem }
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
            let containers = match &core.compute.containers.0.read().1 {
                State::Found(found) => Ok(found.clone()),
                State::Looking => Err("the container engine is being looked for".to_owned()),
                State::None(reason) => Err(reason.clone()),
            };
            containers.map_err(RunError::Unsupported)?.run(request, handle, events).await
        }
    }
}
