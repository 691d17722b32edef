//! `fog socks`: the SOCKS5 proxy as a process of its own.

use super::node::stopped;
use super::user::{self, User};
use crate::args::{Global, SocksArgs};
use crate::{config, output};
use anyhow::{Context, Result};
use betanet::path::Level;
use fog_api::{ApiError, ErrorKind};
use fog_services::dialer::{Dialer, DialerConfig};
use fog_services::proxy::{self, Proxy};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) fn run(global: &Global, args: &SocksArgs) -> Result<()> {
    config::logging(global, "warn,fog=info,fog_services=info")?;
    if !args.listen.ip().is_loopback() {
        let why = "--listen must be a loopback address: the proxy asks nobody who they are";
        return Err(ApiError::new(ErrorKind::BadInput, why).into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            result = stopped() => result,
            result = serve(global, args) => result,
        }
    })
}

async fn serve(global: &Global, args: &SocksArgs) -> Result<()> {
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    let User { client, level, test } = user::start(global, &args.network).await?;
    let proxy = Proxy { dialer: Dialer::new(client, DialerConfig::new(level)), exit: args.exit };
    let hops = if level == Level::Confidential { 5 } else { 3 };
    let exit = args.exit.map(|e| e.to_string());
    let reply = serde_json::json!({"socks": address, "exit": exit, "hops": hops, "test": test});
    output::show(global, &reply, |out, _| {
        writeln!(out, "SOCKS5 proxy on {address}, over {hops} relays")?;
        match &exit {
            Some(exit) => writeln!(out, ".fog names go to their services, the rest to the exit {exit}.")?,
            None => {
                writeln!(out, ".fog names go to their services; nothing else is allowed without --exit.")?;
            }
        }
        writeln!(out, "Let programs resolve names through the proxy (socks5h). Stop with Ctrl-C.")
    })?;
    proxy::run(Arc::new(proxy), listener, CancellationToken::new()).await;
    Ok(())
}
