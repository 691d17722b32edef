//! The way to the core: typed calls, uploads, downloads and the stream of events.
//!
//! Both roads carry the same JSON, so nothing above this module knows which one is in use.

mod http;
mod tauri;

use fog_api::*;
use std::pin::Pin;

/// What arrives from the core without being asked for.
pub(crate) enum News {
    /// An event.
    Event(Box<Event>),
    /// The stream is open; what happened before it opened was missed.
    Open,
    /// The stream broke; another try follows.
    Lost,
}

/// Sends a command and returns the reply that belongs to it.
pub(crate) async fn call<R: Request>(request: R) -> Result<R::Reply, ApiError> {
    let reply = raw_call(request.into()).await?;
    serde_json::from_str(&reply).map_err(unreadable)
}

/// The part of [`call`] that is the same for all commands; boxed, so that it is in the module once and not once for
/// each command.
fn raw_call(command: Command) -> Pin<Box<dyn Future<Output = Result<String, ApiError>>>> {
    Box::pin(async move {
        let command = serde_json::to_string(&command).map_err(unreadable)?;
        match tauri::bridge() {
            Some(bridge) => tauri::call(&bridge, &command).await,
            None => http::call(&command).await,
        }
    })
}

/// Gives bytes to the core, which keeps them under the returned hash.
pub(crate) async fn upload(file: &web_sys::Blob) -> Result<Hash, ApiError> {
    match tauri::bridge() {
        Some(bridge) => tauri::upload(&bridge, file).await,
        None => http::upload(file).await,
    }
}

/// Saves what lies under a hash as a file. Returns where, if the core chose the place; none in a browser (which has
/// its own way to show downloads) and when the user cancelled.
pub(crate) async fn download(hash: &str, name: &str) -> Result<Option<String>, ApiError> {
    match tauri::bridge() {
        Some(bridge) => tauri::save(&bridge, hash, name).await,
        None => http::save(hash, name).await.map(|()| None),
    }
}

/// What lies under a hash, to be looked into. Larger content than this is refused: it is for saving, not for showing.
pub(crate) async fn read(hash: &str, most: u64) -> Result<web_sys::Blob, ApiError> {
    match tauri::bridge() {
        Some(bridge) => tauri::read(&bridge, hash, most).await,
        None => http::read(hash, most).await,
    }
}

/// Whether the app starts with the computer; none in a browser, where there is no app.
pub(crate) async fn autostart() -> Option<Result<bool, ApiError>> {
    Some(tauri::autostart(&tauri::bridge()?).await)
}

/// Lets the app start with the computer, or not; says what holds now. None in a browser.
pub(crate) async fn set_autostart(on: bool) -> Option<Result<bool, ApiError>> {
    Some(tauri::set_autostart(&tauri::bridge()?, on).await)
}

/// Opens the stream of events for as long as the page lives.
pub(crate) fn listen(news: impl Fn(News) + 'static) {
    match tauri::bridge() {
        Some(bridge) => tauri::listen(bridge, news),
        None => http::listen(news),
    }
}

/// In a browser: turns the token of the page's address into a session, and takes it out of the address so that it is
/// neither bookmarked nor seen over a shoulder.
pub(crate) async fn open_session() -> Result<(), ApiError> {
    match tauri::bridge() {
        Some(_) => Ok(()),
        None => http::open_session().await,
    }
}

/// Whether an error means that this page has no session.
pub(crate) fn is_unauthorised(error: &ApiError) -> bool {
    error.kind == ErrorKind::NotReady && error.message == http::NO_SESSION
}

fn unreadable(error: serde_json::Error) -> ApiError {
    ApiError::new(
        ErrorKind::Internal,
        format!("The page and the node do not understand each other: {error}."),
    )
}
