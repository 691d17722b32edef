//! `fog mixnode`: one relay as a process of its own.

mod metrics;

use super::mixnet::{CONSENSUS, RELAY, RelayFile};
use super::node::stopped;
use crate::args::{Global, MixnodeArgs};
use crate::{config, output};
use anyhow::{Context, Result, anyhow};
use betanet::directory::SignedConsensus;
use betanet::relay::{About, Chaos, Relay, RelayConfig, RelayKeys, upkeep};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

pub(crate) fn run(global: &Global, args: &MixnodeArgs) -> Result<()> {
    config::logging(global, "warn,betanet=info,fog=info")?;
    let path = args.dir.join(RELAY);
    let text = std::fs::read(&path)
        .with_context(|| format!("{} cannot be read (`fog mixnet new` makes it)", path.display()))?;
    let file: RelayFile =
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
    let secret: [u8; 64] = hex::decode(&file.secret)
        .ok()
        .and_then(|b| b.try_into().ok())
        .ok_or_else(|| anyhow!("{} holds no usable keys", path.display()))?;
    let path = args.dir.join(&file.consensus);
    let given = read_document(&path)?;
    // The newest one that this relay saw, if it is of the same network.
    let own = args.dir.join(CONSENSUS);
    let newest = match read_document(&own) {
        Ok(newer) if newer.network() == given.network() => newer,
        _ => given,
    };
    if newest.unverified().network.timing.voting == 0 {
        newest.verify(now()?).with_context(|| path.display().to_string())?;
    }

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (sender, consensus) = watch::channel(Arc::new(newest));
        let config = RelayConfig {
            folder: Some(args.dir.clone()),
            link_rate: args.link_rate,
            chaos: chaos(args),
            ..RelayConfig::new(RelayKeys::from_bytes(&secret), file.listen)
        };
        let relay = Arc::new(Relay::start(config, consensus).await?);
        let metrics = match args.metrics {
            Some(listen) => Some(metrics::serve(relay.clone(), listen).await?),
            None => None,
        };
        let reply = serde_json::json!({
            "id": file.id, "listen": relay.address(), "layer": file.layer, "metrics": metrics
        });
        output::show(global, &reply, |out, _| {
            writeln!(
                out,
                "mixnode {} of layer {} listens on {}",
                betanet::short(&relay.id()),
                file.layer,
                relay.address()
            )
        })?;
        let about = About {
            address: args.public_address.unwrap_or(relay.address()),
            layer: file.layer,
            operator: file.operator.clone(),
        };
        tokio::select! {
            result = stopped() => result?,
            () = reload(&path, &sender) => {}
            () = upkeep(&relay, &about, &sender) => {}
            () = keep(&own, sender.subscribe()) => {}
            () = input_closed(), if args.until_stdin_closes => {}
        }
        let counters = relay.counters();
        relay.shutdown().await;
        tracing::info!(?counters, "stopped");
        Ok(())
    })
}

fn chaos(args: &MixnodeArgs) -> Option<Chaos> {
    let chaos =
        Chaos { loss: args.chaos_loss / 100.0, latency: Duration::from_millis(args.chaos_latency_ms) };
    let any = chaos.loss > 0.0 || !chaos.latency.is_zero();
    if any {
        tracing::warn!(?chaos, "this relay makes trouble on purpose");
    }
    any.then_some(chaos)
}

/// Whoever started this relay is gone.
pub(crate) async fn input_closed() {
    let mut input = tokio::io::stdin();
    let mut rest = [0; 64];
    while !matches!(tokio::io::AsyncReadExt::read(&mut input, &mut rest).await, Ok(0) | Err(_)) {}
}

/// Reads a document of the directory that is authentic; it may be out of date.
pub(crate) fn read_document(path: &Path) -> Result<SignedConsensus> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let signed = SignedConsensus::from_bytes(&bytes).with_context(|| path.display().to_string())?;
    signed.authentic().with_context(|| path.display().to_string())?;
    Ok(signed)
}

fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// Keeps each new consensus for the next start.
async fn keep(path: &Path, mut consensus: watch::Receiver<Arc<SignedConsensus>>) {
    while consensus.changed().await.is_ok() {
        let bytes = consensus.borrow_and_update().to_bytes();
        let new = path.with_extension("new");
        if let Err(e) = std::fs::write(&new, bytes).and_then(|()| std::fs::rename(&new, path)) {
            tracing::warn!("{} cannot be written: {e}", path.display());
        }
    }
}

/// Reads the consensus anew with each SIGHUP. One that cannot be used changes nothing.
async fn reload(path: &Path, consensus: &watch::Sender<Arc<SignedConsensus>>) {
    #[cfg(unix)]
    if let Ok(mut hangup) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        while hangup.recv().await.is_some() {
            let read = read_document(path).and_then(|new| {
                new.verify(now()?).with_context(|| path.display().to_string())?;
                Ok(new)
            });
            match read {
                Ok(new) if new.network() == consensus.borrow().network() => {
                    tracing::info!(relays = new.unverified().relays.len(), "a new consensus is in use");
                    consensus.send_replace(Arc::new(new));
                }
                Ok(_) => tracing::error!("{} is another network's consensus now: ignored", path.display()),
                Err(e) => tracing::error!("the consensus was not read anew: {e:#}"),
            }
        }
    }
    std::future::pending::<()>().await;
}
