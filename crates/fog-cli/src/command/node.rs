//! `fog node`.

use crate::args::{Global, NodeArgs};
use crate::{config, output};
use anyhow::{Context, Result};
use fog_api::{CreateIdentity, GetState, Phase, Unlock};
use fog_node::{Node, web};

pub(crate) fn run(global: &Global, args: &NodeArgs) -> Result<()> {
    config::logging(global, "warn,fog_node=info")?;
    let config = config::node(global, args)?;
    let listen = config.listen;
    // The mixnet's work is short; two threads serve it on small machines without growing the stack of a server.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let node = Node::start(config).await?;
        let server = web::serve(node.clone(), listen).await?;
        set_up(&node, args).await?;
        let state = node.call(GetState {}).await?;
        output::show(
            global,
            &serde_json::json!({"page": server.access().page(), "state": state}),
            |out, _| {
                writeln!(out, "Fog Compute {}", state.version)?;
                writeln!(out, "  data    {}", state.data_dir)?;
                match (&state.me, state.phase) {
                    (Some(me), _) => writeln!(out, "  you     {} ({})", me.name, me.fingerprint)?,
                    (None, Phase::Locked) => {
                        writeln!(out, "  locked: open the page and enter the passphrase")?;
                    }
                    (None, _) => writeln!(out, "  first start: open the page and choose a name")?,
                }
                writeln!(out, "  page    {}", server.access().page())?;
                writeln!(out, "Stop with Ctrl-C.")
            },
        )?;
        stopped().await?;
        drop(server);
        node.shutdown().await;
        Ok(())
    })
}

async fn set_up(node: &Node, args: &NodeArgs) -> Result<()> {
    match node.call(GetState {}).await?.phase {
        Phase::FirstRun => {
            if let Some(name) = &args.name {
                node.call(CreateIdentity { name: name.clone() }).await?;
            }
        }
        Phase::Locked => {
            if let Some(file) = &args.passphrase_file {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("{} cannot be read", file.display()))?;
                node.call(Unlock { passphrase: text.trim_end_matches(['\r', '\n']).into() }).await?;
            }
        }
        Phase::Ready => {}
    }
    Ok(())
}

/// Waits for Ctrl-C or the system's wish to end.
pub(crate) async fn stopped() -> Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}
