//! Asking authorities and relays for documents, over links of their own.

use crate::Key;
use crate::directory::exchange::{Answer, MAX_MESSAGE, Pieces, Request};
use crate::directory::{Authority, Network, SignedConsensus};
use crate::link::{self, Frame, LinkError, Role};
use rand::seq::SliceRandom;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use x25519_dalek::StaticSecret;

/// How long an answer may take, from the first byte of the connection.
const PATIENCE: Duration = Duration::from_secs(20);
/// After this long without an answer, the next authority is asked, too.
const NEXT_AFTER: Duration = Duration::from_secs(3);

/// Asks one question of whoever has this link key.
///
/// # Errors
/// [`LinkError`].
pub async fn ask(
    address: SocketAddr,
    remote: &Key,
    local: &StaticSecret,
    request: &Request,
) -> Result<Answer, LinkError> {
    let asking = async {
        let stream = TcpStream::connect(address).await?;
        let (mut reader, mut writer) = link::connect(stream, local, remote, Role::Directory).await?;
        for frame in request.frames() {
            writer.write(&frame).await?;
        }
        writer.flush().await?;
        let mut pieces = Pieces::new(MAX_MESSAGE);
        loop {
            let Frame::Document { last, piece } = reader.read().await? else { continue };
            let answer = pieces.add(last, &piece);
            if let Some(answer) = answer.map_err(|()| LinkError::Protocol("an answer that is too long"))? {
                return Answer::decode(&answer).ok_or(LinkError::Protocol("an answer that makes no sense"));
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.map_err(|_| LinkError::Timeout)?
}

/// The newest consensus that the authorities have, verified, if it begins later than `newer_than`. They are asked in
/// random order, and the first good answer counts. Who says nothing for [`NEXT_AFTER`] goes on being waited for while the next
/// one is asked.
///
/// # Errors
/// What the last one that failed said; an answer without a newer consensus is no failure.
pub async fn newest(
    network: &Network,
    newer_than: u64,
    now_unix: u64,
) -> Result<Option<SignedConsensus>, String> {
    let mut authorities: Vec<_> = network.authorities.iter().filter(|a| a.address.port() > 0).collect();
    authorities.shuffle(&mut rand::rng());
    if authorities.is_empty() {
        return Err("the network has no authorities that answer".into());
    }
    let mut waiting = authorities.into_iter().cloned();
    let mut asked: JoinSet<(Key, Result<Answer, LinkError>)> = JoinSet::new();
    let mut problem = None;
    loop {
        let more = waiting.next().map(|authority: Authority| {
            asked.spawn(async move {
                // A fresh key: authorities need not know who asks.
                let local = StaticSecret::random();
                let request = Request::Consensus { newer_than };
                (authority.key, ask(authority.address, &authority.link, &local, &request).await)
            });
        });
        let answer = match more {
            Some(()) => match tokio::time::timeout(NEXT_AFTER, asked.join_next()).await {
                Ok(answer) => answer,
                Err(_) => continue,
            },
            None => asked.join_next().await,
        };
        let Some(answer) = answer else { break };
        let Ok((key, answer)) = answer else { continue };
        let result = match answer {
            Ok(Answer::Document(bytes)) => check(&bytes, network, newer_than, now_unix).map(Some),
            Ok(Answer::Nothing) => Ok(None),
            Ok(other) => Err(format!("an answer that makes no sense: {other:?}")),
            Err(e) => Err(e.to_string()),
        };
        match result {
            Ok(Some(consensus)) => return Ok(Some(consensus)),
            // Another one may have it already.
            Ok(None) => {}
            Err(e) => {
                tracing::debug!(authority = %crate::short(&key), "no consensus: {e}");
                problem = Some(e);
            }
        }
    }
    problem.map_or(Ok(None), Err)
}

/// Reads and verifies a consensus that somebody handed over.
///
/// # Errors
/// What is wrong with it.
pub fn check(
    bytes: &[u8],
    network: &Network,
    newer_than: u64,
    now_unix: u64,
) -> Result<SignedConsensus, String> {
    let signed = SignedConsensus::from_bytes(bytes).map_err(|e| e.to_string())?;
    if signed.network() != network.id() {
        return Err("the consensus is another network's".into());
    }
    let document = signed.verify(now_unix).map_err(|e| e.to_string())?;
    if document.valid_after <= newer_than {
        return Err("the consensus is not newer".into());
    }
    Ok(signed)
}
