//! The page and the commands on loopback, for a browser and for the command line.
//!
//! Guarded so that no other web page and no other user of the machine gets in: it listens on loopback only;
//! the Host header must name it, and the Origin, where there is one, must be itself; everything under `/api`
//! takes a token. The command line sends it as a bearer token, read from a file of the owner alone. A browser
//! gets it in the address's fragment, which is never sent, and trades it for a SameSite=Strict cookie. The
//! content policy lets the page load nothing from elsewhere.

use crate::error::NodeError;
use crate::node::Node;
use crate::secrets::write_private;
use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use fog_api::{ApiError, Command, ErrorKind, Event, EventBody};
use futures_util::StreamExt;
use rand::RngExt;
use rust_embed::RustEmbed;
use serde::{Deserialize, Serialize};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Largest upload, bytes: the jobs' limit for one blob.
const MAX_UPLOAD: usize = 256 * 1024 * 1024;
const MAX_COMMAND: usize = 1024 * 1024;
const CSP: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; \
                   connect-src 'self' ws:; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
                   frame-ancestors 'none'";

/// The built page. In debug builds it is read from the folder, in release builds it is part of the program.
#[derive(RustEmbed)]
#[folder = "../../ui/dist"]
#[allow_missing = true]
struct Page;

/// Where the page is, and what opens it. Kept in the data folder for the command line.
#[derive(Clone, Serialize, Deserialize)]
pub struct Access {
    /// The server's address, `http://127.0.0.1:PORT`.
    pub url: String,
    /// The token. It opens everything: never log it.
    pub token: String,
}

impl Access {
    /// The file's name within the data folder.
    pub const FILE: &'static str = "api.json";

    /// The address to open in a browser.
    pub fn page(&self) -> String {
        format!("{}/#token={}", self.url, self.token)
    }
}

/// A running server. It stops when this is dropped.
pub struct Server {
    access: Access,
    cancel: CancellationToken,
}

impl Server {
    /// How to reach it.
    pub fn access(&self) -> &Access {
        &self.access
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

struct Shared {
    node: Node,
    token: String,
    /// A browser shares a host's cookies among its ports: the port in the name keeps two nodes apart.
    cookie: String,
    session: String,
    hosts: Vec<String>,
    cancel: CancellationToken,
}

/// Serves the page and the commands of a node on this loopback address (port 0: any free one, the last one used
/// first).
///
/// # Errors
/// The address is not loopback, or is in use.
pub async fn serve(node: Node, listen: SocketAddr) -> Result<Server, NodeError> {
    if !listen.ip().is_loopback() {
        return Err(NodeError::Io(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{listen} is not a loopback address: the page is for this machine only (use 127.0.0.1)"),
        )));
    }
    let file = node.data_dir().join(Access::FILE);
    let earlier: Option<Access> = std::fs::read(&file).ok().and_then(|b| serde_json::from_slice(&b).ok());
    let listener = bind(listen, earlier.as_ref()).await?;
    let address = listener.local_addr()?;
    // The token stays the same over restarts, so that an open page finds its node again.
    let token = match earlier {
        Some(access) if access.token.len() >= 32 => access.token,
        _ => crate::identity::hex(&rand::rng().random::<[u8; 24]>()),
    };
    let access = Access { url: format!("http://{address}"), token: token.clone() };
    write_private(&file, &serde_json::to_vec_pretty(&access).map_err(io::Error::other)?)?;

    let cancel = CancellationToken::new();
    let port = address.port();
    let shared = Arc::new(Shared {
        node,
        session: crate::identity::hex(&blake3::derive_key("fog web session 1", token.as_bytes())),
        token,
        cookie: format!("fog_session_{port}"),
        hosts: [
            format!("{address}"),
            format!("127.0.0.1:{port}"),
            format!("localhost:{port}"),
            format!("[::1]:{port}"),
        ]
        .into(),
        cancel: cancel.clone(),
    });
    let api = Router::new()
        .route("/command", post(command).layer(DefaultBodyLimit::max(MAX_COMMAND)))
        .route("/blobs", post(upload).layer(DefaultBodyLimit::max(MAX_UPLOAD)))
        .route("/blobs/{hash}", get(download))
        .route("/events", get(events))
        .layer(middleware::from_fn_with_state(shared.clone(), authenticated))
        .route("/session", post(session));
    let app = Router::new()
        .nest("/api", api)
        .fallback(get(page))
        .layer(middleware::from_fn_with_state(shared.clone(), guarded))
        .with_state(shared);
    let stop = cancel.clone();
    tokio::spawn(async move {
        let server = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(e) = server.await {
            tracing::error!("the page's server ended: {e}");
        }
    });
    Ok(Server { access, cancel })
}

async fn bind(listen: SocketAddr, earlier: Option<&Access>) -> io::Result<TcpListener> {
    if listen.port() == 0
        && let Some(last) = earlier.and_then(|a| a.url.rsplit(':').next()?.parse::<u16>().ok())
        && let Ok(listener) = TcpListener::bind((listen.ip(), last)).await
    {
        return Ok(listener);
    }
    TcpListener::bind(listen).await.map_err(|e| {
        io::Error::new(
            e.kind(),
            format!("the page's port {listen} cannot be used ({e}): choose another with --listen"),
        )
    })
}

fn refuse(status: StatusCode, kind: ErrorKind, message: &str) -> Response {
    (status, Json(ApiError::new(kind, message))).into_response()
}

fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

fn is_ours(shared: &Shared, headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let origin_ok = match text(header::ORIGIN) {
        None => !headers.contains_key(header::ORIGIN),
        Some(origin) => origin.strip_prefix("http://").is_some_and(|o| o == host),
    };
    origin_ok && shared.hosts.iter().any(|h| h == host)
}

/// Host and Origin, and the headers of every answer.
async fn guarded(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let mut response = if is_ours(&shared, request.headers()) {
        next.run(request).await
    } else {
        refuse(StatusCode::FORBIDDEN, ErrorKind::Refused, "This address is not the node's own.")
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .find_map(|c| c.trim().strip_prefix(name)?.strip_prefix('='))
}

async fn authenticated(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "));
    let allowed = bearer.is_some_and(|t| same(t, &shared.token))
        || cookie(headers, &shared.cookie).is_some_and(|c| same(c, &shared.session));
    if allowed {
        return next.run(request).await;
    }
    refuse(
        StatusCode::UNAUTHORIZED,
        ErrorKind::Refused,
        "Open the address that the node printed: it carries the key to this page.",
    )
}

#[derive(Deserialize)]
struct Login {
    token: String,
}

async fn session(State(shared): State<Arc<Shared>>, Json(login): Json<Login>) -> Response {
    if !same(&login.token, &shared.token) {
        return refuse(StatusCode::UNAUTHORIZED, ErrorKind::Refused, "This address is out of date.");
    }
    let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Strict", shared.cookie, shared.session);
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}

fn failed(e: ApiError) -> Response {
    let status = match e.kind {
        ErrorKind::BadInput => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict | ErrorKind::NotReady => StatusCode::CONFLICT,
        ErrorKind::Refused => StatusCode::FORBIDDEN,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, Json(e)).into_response()
}

async fn command(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let command: Command = match serde_json::from_slice(&body) {
        Ok(command) => command,
        Err(e) => return failed(ApiError::new(ErrorKind::BadInput, format!("This is not a command: {e}."))),
    };
    match shared.node.command(command).await {
        Ok(reply) => Json(reply).into_response(),
        Err(e) => failed(e),
    }
}

/// The request's body as a blocking reader, without holding more than a few pieces in memory.
struct BodyReader {
    /// None marks the end: a channel that closes without it is an upload that was broken off.
    pieces: mpsc::Receiver<io::Result<Option<Bytes>>>,
    current: Bytes,
    ended: bool,
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(piece) => match piece? {
                    Some(piece) => self.current = piece,
                    None => self.ended = true,
                },
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let n = buffer.len().min(self.current.len());
        buffer[..n].copy_from_slice(&self.current.split_to(n));
        Ok(n)
    }
}

async fn upload(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (sender, pieces) = mpsc::channel(4);
    // `with_limited_body` stops at the route's limit, whatever length was announced.
    let body = axum::RequestExt::with_limited_body(request).into_body();
    let mut stream = body.into_data_stream();
    let feed = async move {
        while let Some(piece) = stream.next().await {
            let piece = piece.map(Some).map_err(io::Error::other);
            let broken = piece.is_err();
            if sender.send(piece).await.is_err() || broken {
                return;
            }
        }
        _ = sender.send(Ok(None)).await;
    };
    let store = shared.node.upload(BodyReader { pieces, current: Bytes::new(), ended: false });
    let (stored, ()) = tokio::join!(store, feed);
    match stored {
        Ok(hash) => Json(hash).into_response(),
        Err(e) => failed(e),
    }
}

async fn download(State(shared): State<Arc<Shared>>, Path(hash): Path<String>) -> Response {
    let path = match shared.node.download(&hash) {
        Ok(path) => path,
        Err(e) => return failed(e),
    };
    let file = match tokio::fs::File::open(&path).await {
        Ok(file) => file,
        Err(e) => {
            return failed(ApiError::new(
                ErrorKind::Unavailable,
                format!("The content cannot be read: {e}."),
            ));
        }
    };
    let length = file.metadata().await.map_or(0, |m| m.len());
    let stream = futures_util::stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; 64 * 1024];
        let n = file.read(&mut piece).await?;
        piece.truncate(n);
        Ok::<_, io::Error>((n > 0).then(|| (Bytes::from(piece), file)))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_string()),
        (header::CONTENT_LENGTH, length.to_string()),
        // Content from others is never shown by the browser itself, only saved.
        (header::CONTENT_DISPOSITION, "attachment".to_string()),
    ];
    (headers, Body::from_stream(stream)).into_response()
}

async fn events(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| tell(shared, socket))
}

async fn tell(shared: Arc<Shared>, mut socket: WebSocket) {
    let mut events = shared.node.events();
    loop {
        let event = tokio::select! {
            () = shared.cancel.cancelled() => return,
            event = events.recv() => match event {
                Ok(event) => event,
                Err(RecvError::Lagged(_)) => Event { seq: 0, body: EventBody::Resync },
                Err(RecvError::Closed) => return,
            },
            // The page says nothing; what comes is pings, which axum answers, or the end.
            message = socket.recv() => match message {
                Some(Ok(_)) => continue,
                _ => return,
            },
        };
        let Ok(text) = serde_json::to_string(&event) else { continue };
        if socket.send(Message::Text(text.into())).await.is_err() {
            return;
        }
    }
}

const NO_PAGE: &str = "The page is not part of this build. Run `cargo xtask ui` and build again.\n";

async fn page(request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let path = if path.is_empty() { "index.html" } else { path };
    let Some(file) = Page::get(path) else {
        let text = if path == "index.html" { NO_PAGE } else { "Not found.\n" };
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let kind = match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], file.data.into_owned())
        .into_response()
}
