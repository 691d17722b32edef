//! `fog authority`: one directory authority as a process of its own.

use super::mixnet::{AUTHORITY, AuthorityFile};
use super::mixnode::{input_closed, read_document};
use super::node::stopped;
use crate::args::{AuthorityArgs, Global};
use crate::{config, output};
use anyhow::{Context, Result, anyhow};
use betanet::Key;
use betanet::authority::{AuthorityConfig, AuthorityServer};
use ed25519_dalek::SigningKey;
use std::collections::HashMap;
use std::path::Path;

/// What the operators of relays have staked, by relay: a file that the authority's operator may keep.
const STAKES: &str = "stakes.json";

pub(crate) fn run(global: &Global, args: &AuthorityArgs) -> Result<()> {
    config::logging(global, "warn,betanet=info,fog=info")?;
    let path = args.dir.join(AUTHORITY);
    let text = std::fs::read(&path)
        .with_context(|| format!("{} cannot be read (`fog mixnet new` makes it)", path.display()))?;
    let file: AuthorityFile =
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
    let secret = |text: &str| -> Result<[u8; 32]> {
        let bytes = hex::decode(text).ok().and_then(|b| b.try_into().ok());
        bytes.ok_or_else(|| anyhow!("{} holds no usable keys", path.display()))
    };
    let genesis = read_document(&args.dir.join(&file.network))?;
    let config = AuthorityConfig {
        key: SigningKey::from_bytes(&secret(&file.secret)?),
        link: secret(&file.link_secret)?.into(),
        listen: file.listen,
        network: genesis.unverified().network.clone(),
        stakes: stakes(&args.dir.join(STAKES))?,
        folder: Some(args.dir.clone()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = AuthorityServer::start(config).await?;
        let reply = serde_json::json!({"key": file.key, "listen": server.address()});
        output::show(global, &reply, |out, _| {
            writeln!(out, "authority {} listens on {}", &file.key[..8.min(file.key.len())], server.address())
        })?;
        tokio::select! {
            result = stopped() => result?,
            () = input_closed(), if args.until_stdin_closes => {}
        }
        let status = server.status();
        server.shutdown().await;
        tracing::info!(?status, "stopped");
        Ok(())
    })
}

/// A JSON object of whole FOG by relay id.
fn stakes(path: &Path) -> Result<HashMap<Key, u64>> {
    let Ok(text) = std::fs::read(path) else { return Ok(HashMap::new()) };
    let stakes: HashMap<String, u64> = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no list of stakes: {{\"relay id\": whole FOG}}", path.display()))?;
    stakes
        .into_iter()
        .map(|(id, stake)| {
            let id: Option<Key> = hex::decode(&id).ok().and_then(|b| b.try_into().ok());
            Ok((
                id.ok_or_else(|| anyhow!("{}: a relay's id has 64 hexadecimal digits", path.display()))?,
                stake,
            ))
        })
        .collect()
}
