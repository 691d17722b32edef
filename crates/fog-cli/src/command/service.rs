//! `fog service`: a hidden service, or an exit, as a process of its own.

use super::node::stopped;
use super::user::{self, User, write_private};
use crate::args::{Global, PublishArgs, ServiceCommand};
use crate::{config, output};
use anyhow::{Context, Result, anyhow};
use betanet::path::Level;
use ed25519_dalek::SigningKey;
use fog_services::exit::Offer;
use fog_services::service::{Service, ServiceConfig};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

pub(crate) fn run(global: &Global, command: &ServiceCommand) -> Result<()> {
    let ServiceCommand::Publish(args) = command;
    config::logging(global, "warn,fog=info,fog_services=info")?;
    let identity = identity(args.key.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            result = stopped() => result,
            result = publish(global, args, identity) => result,
        }
    })
}

async fn publish(global: &Global, args: &PublishArgs, identity: SigningKey) -> Result<()> {
    let User { client, level, test } = user::start(global, &args.network).await?;
    let local = args.port.map(|port| (args.public_port, SocketAddr::new(args.host, port)));
    let offer = Offer { local, allowed: args.allow.clone() };
    let config = ServiceConfig { identity, level, offer, max_sessions: usize::from(args.sessions) };
    let service = Service::start(client, config)?;
    let mut state = service.state();
    let up = *state.wait_for(|s| s.copies > 0).await.context("the service ended")?;
    let name = service.address().to_string();
    let url = match args.public_port {
        80 => format!("http://{name}/"),
        port => format!("http://{name}:{port}/"),
    };
    let hops = if level == Level::Confidential { 5 } else { 3 };
    let reply = serde_json::json!({
        "name": name, "url": args.port.map(|_| &url), "exit": args.exit, "hops": hops, "test": test,
        "points": up.points, "copies": up.copies, "wanted": up.wanted,
    });
    output::show(global, &reply, |out, _| {
        if args.port.is_some() {
            writeln!(out, "{url}")?;
        }
        if args.exit {
            writeln!(out, "exit {name}")?;
        }
        writeln!(out, "Over {hops} relays; {} of {} relays know where it is.", up.copies, up.wanted)?;
        writeln!(out, "Stop with Ctrl-C.")
    })?;
    // The service says by itself what goes wrong from here on.
    std::future::pending::<()>().await;
    drop(service);
    Ok(())
}

/// The service's key: of the file, which is made if it is not there, or a fresh one.
fn identity(path: Option<&Path>) -> Result<SigningKey> {
    let Some(path) = path else { return Ok(SigningKey::from_bytes(&rand::random())) };
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let bytes = hex::decode(text.trim()).ok().and_then(|b| <[u8; 32]>::try_from(b).ok());
            let bytes = bytes.ok_or_else(|| anyhow!("{} holds no service's key", path.display()))?;
            Ok(SigningKey::from_bytes(&bytes))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let key = SigningKey::from_bytes(&rand::random());
            write_private(path, format!("{}\n", hex::encode(key.to_bytes())).as_bytes())
                .with_context(|| format!("{} cannot be written", path.display()))?;
            Ok(key)
        }
        Err(e) => Err(e).with_context(|| format!("{} cannot be read", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("keys/service");
        let key = identity(Some(&path)).expect("makes one");
        assert_eq!(identity(Some(&path)).expect("reads it"), key);
        assert_ne!(identity(None).expect("makes one"), key);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).expect("is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::write(&path, "nonsense").expect("writes");
        assert!(identity(Some(&path)).is_err(), "it is not replaced");
    }
}
