//! Answers relays, clients and the other authorities.

use super::book::check;
use super::{Shared, now_ms};
use crate::Key;
use crate::directory::SignedDescriptor;
use crate::directory::exchange::{Answer, MAX_REQUEST, Pieces, Request};
use crate::link::{self, Accepted, Frame, LinkError, Role};
use crate::slots::Slots;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use x25519_dalek::StaticSecret;

/// Links at once, and of these from one address.
const MAX_LINKS: usize = 1024;
const MAX_LINKS_PER_ADDRESS: usize = 128;
/// How long an answer may take to be read.
const WRITING: Duration = Duration::from_secs(20);
/// Requests on one link; who wants more connects again.
const MAX_REQUESTS: usize = 64;

pub(super) async fn accept_all(shared: Arc<Shared>, listener: TcpListener) {
    let slots = Slots::new(MAX_LINKS, MAX_LINKS_PER_ADDRESS);
    loop {
        let (stream, from) = tokio::select! {
            () = shared.cancel.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(e) => {
                    tracing::warn!("accepting a link failed: {e}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            },
        };
        let Some(slot) = slots.take(from.ip()) else { continue };
        let serving = shared.clone();
        shared.tasks.spawn(async move {
            tokio::select! {
                () = serving.cancel.cancelled() => {}
                result = serve(&serving, stream) => if let Err(e) = result {
                    tracing::debug!("link ended: {e}");
                },
            }
            drop(slot);
        });
    }
}

async fn serve(shared: &Arc<Shared>, stream: TcpStream) -> Result<(), LinkError> {
    let Accepted { mut reader, mut writer, remote, .. } = link::accept(stream, &shared.link).await?;
    let mut pieces = Pieces::new(MAX_REQUEST);
    for _ in 0..MAX_REQUESTS {
        let request = loop {
            match reader.read().await? {
                Frame::Document { last, piece } => {
                    let request = pieces.add(last, &piece);
                    if let Some(request) =
                        request.map_err(|()| LinkError::Protocol("a request that is too long"))?
                    {
                        break request;
                    }
                }
                Frame::Ping => {
                    writer.write(&Frame::Pong).await?;
                    writer.flush().await?;
                }
                _ => return Err(LinkError::Protocol("an authority answers requests, and nothing else")),
            }
        };
        let answer = match Request::decode(&request) {
            Some(Request::Publish(descriptor)) => publish(shared, &remote, descriptor),
            Some(request) => shared.book.lock().answer(&remote, request, now_ms() / 1000),
            None => Answer::Refused("the request makes no sense".into()),
        };
        let write = async {
            for frame in answer.frames() {
                writer.write(&frame).await?;
            }
            writer.flush().await
        };
        // Whoever does not read does not keep its place.
        tokio::time::timeout(WRITING, write).await.map_err(|_| LinkError::Timeout)??;
    }
    Ok(())
}

/// Checks before anything is locked, and tries a new relay's address once: a relay that is not there is not voted for.
fn publish(shared: &Arc<Shared>, remote: &Key, descriptor: SignedDescriptor) -> Answer {
    let taken = check(&descriptor, &shared.network, now_ms() / 1000)
        .and_then(|()| shared.book.lock().publish(remote, descriptor));
    if let Err(why) = taken {
        return Answer::Refused(why);
    }
    let to_try = shared.book.lock().to_try(remote);
    if let Some(address) = to_try
        && let Ok(place) = shared.trying.clone().try_acquire_owned()
    {
        let (shared, relay) = (shared.clone(), *remote);
        shared.tasks.clone().spawn(async move {
            let trying = async {
                let stream = TcpStream::connect(address).await?;
                link::connect(stream, &StaticSecret::random(), &relay, Role::Directory).await.map(|_| ())
            };
            match tokio::time::timeout(link::HANDSHAKE_TIMEOUT, trying).await {
                Ok(Ok(())) => shared.book.lock().answered(&relay, address),
                Ok(Err(e)) => tracing::warn!(%address, relay = %crate::short(&relay), "it is not there: {e}"),
                Err(_) => tracing::warn!(%address, relay = %crate::short(&relay), "it does not answer"),
            }
            drop(place);
        });
    }
    Answer::Taken
}
