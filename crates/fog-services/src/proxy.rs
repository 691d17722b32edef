//! The SOCKS5 proxy: applications on this machine come in here.
//!
//! Names that end with `.fog` go to hidden services; everything else to an exit, if there is one, which also resolves
//! the name. Nothing is ever connected to directly, and no name is ever resolved here.

use crate::address::Address;
use crate::dialer::Dialer;
use crate::socks::{Handshake, Host, Reply, Request, Step};
use crate::stream::Target;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections of applications at once; further ones wait.
const MAX_CONNECTIONS: usize = 512;
/// How long an application may take to say what it wants.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long to wait after no connection could be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What the proxy works with.
pub struct Proxy {
    /// Opens streams.
    pub dialer: Dialer,
    /// The service that takes what is not for a hidden service; none: it is refused.
    pub exit: Option<Address>,
}

/// Serves applications until it is cancelled.
pub async fn run(proxy: Arc<Proxy>, listener: TcpListener, cancel: CancellationToken) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = async {
            // Never closed.
            let slot = slots.clone().acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = cancel.cancelled() => return,
            accepted = accepted => accepted,
        };
        let (proxy, cancel) = (proxy.clone(), cancel.clone());
        match accepted {
            Ok((connection, _)) => {
                tokio::spawn(async move {
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        served = proxy.serve(connection) => if let Err(e) = served {
                            tracing::debug!("a connection ended: {e}");
                        },
                    }
                    drop(slot);
                });
            }
            Err(e) => {
                tracing::warn!("accepting a connection failed: {e}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Proxy {
    async fn serve(&self, mut connection: TcpStream) -> io::Result<()> {
        connection.set_nodelay(true)?;
        let asked = tokio::time::timeout(HANDSHAKE, handshake(&mut connection)).await;
        let Some((request, rest)) = asked.map_err(|_| io::ErrorKind::TimedOut)?? else { return Ok(()) };
        let stream = match self.route(&request) {
            Ok((service, target)) => self
                .dialer
                .open(request.isolation, &service, target)
                .await
                .map_err(|e| (Reply::from(&e), e.to_string())),
            Err(refused) => Err(refused),
        };
        match stream {
            Ok(stream) => {
                connection.write_all(&Reply::Succeeded.encode(false)).await?;
                let (from, to) = connection.split();
                // What a hasty application sent already comes first.
                stream.join(tokio::io::join(io::Cursor::new(rest).chain(from), to)).await
            }
            Err((reply, why)) => {
                tracing::warn!("{} cannot be reached: {why}", name(&request));
                connection.write_all(&reply.encode(false)).await?;
                connection.shutdown().await
            }
        }
    }

    /// The service that a request is for, or what to answer and why.
    fn route(&self, request: &Request) -> Result<(Address, Target), (Reply, String)> {
        let port = request.port;
        match &request.host {
            Host::Name(name) if Address::is_fog(name) => match name.parse() {
                Ok(service) => Ok((service, Target::Service { port })),
                Err(e) => Err((Reply::BadAddress, format!("{e}"))),
            },
            other => {
                let host = match other {
                    Host::Name(name) => name.clone(),
                    Host::Ip(ip) => ip.to_string(),
                };
                let exit = self.exit.ok_or_else(|| {
                    (Reply::NotAllowed, "it is no .fog name, and no exit is set (--exit)".to_owned())
                })?;
                Ok((exit, Target::Connect { host, port }))
            }
        }
    }
}

fn name(request: &Request) -> String {
    match &request.host {
        Host::Name(name) => format!("{name}:{}", request.port),
        Host::Ip(ip) => format!("{}", std::net::SocketAddr::new(*ip, request.port)),
    }
}

/// What the application wants, and what it sent beyond that. None if it was sent away.
async fn handshake(connection: &mut TcpStream) -> io::Result<Option<(Request, Vec<u8>)>> {
    let mut handshake = Handshake::new();
    let mut input = [0; 512];
    loop {
        let n = connection.read(&mut input).await?;
        if n == 0 {
            return Ok(None);
        }
        let mut out = Vec::new();
        let step = handshake.receive(input.get(..n).unwrap_or_default(), &mut out);
        if let Err(e) = &step {
            out.extend(e.answer());
        }
        connection.write_all(&out).await?;
        match step {
            Ok(Step::More) => {}
            Ok(Step::Connect { request, rest }) => return Ok(Some((request, rest))),
            Err(e) => {
                tracing::info!("an application was sent away: {e}");
                connection.shutdown().await?;
                return Ok(None);
            }
        }
    }
}
