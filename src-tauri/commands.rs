//! What the page may call. Each name here is allowed in `capabilities/main.json` and listed in `build.rs`.

use crate::core::Core;
use crate::{autostart as list, save, tray};
use fog_api::{ApiError, Command, ErrorKind, Hash};
use std::io::Cursor;
use tauri::ipc::{InvokeBody, Request, Response};
use tauri::{AppHandle, Manager, State};

/// Content that the page is given to show is smaller than this.
const MOST_SHOWN: u64 = 64 << 20;

/// Asks the node for something.
#[tauri::command]
pub(crate) async fn command(core: State<'_, Core>, command: Command) -> Result<serde_json::Value, ApiError> {
    core.node().await?.command(command).await
}

/// Stores the request's bytes and returns their hash.
#[tauri::command]
pub(crate) async fn upload(core: State<'_, Core>, request: Request<'_>) -> Result<Hash, ApiError> {
    let InvokeBody::Raw(bytes) = request.body() else {
        return Err(ApiError::new(ErrorKind::BadInput, "An upload is bytes, not JSON."));
    };
    core.node().await?.upload(Cursor::new(bytes.clone())).await
}

/// Stored content of at most so many bytes, for the page to show.
#[tauri::command]
pub(crate) async fn read_blob(core: State<'_, Core>, hash: Hash, most: u64) -> Result<Response, ApiError> {
    let path = core.node().await?.download(&hash)?;
    let read = tauri::async_runtime::spawn_blocking(move || {
        use std::io::Read;
        let mut content = Vec::new();
        std::fs::File::open(path)?.take(most.min(MOST_SHOWN) + 1).read_to_end(&mut content)?;
        Ok::<_, std::io::Error>(content)
    });
    let unavailable = |e: &dyn std::fmt::Display| {
        ApiError::new(ErrorKind::Unavailable, format!("The content cannot be read: {e}."))
    };
    let content = read.await.map_err(|e| unavailable(&e))?.map_err(|e| unavailable(&e))?;
    if content.len() as u64 > most.min(MOST_SHOWN) {
        return Err(ApiError::new(ErrorKind::Refused, "This is too large to be shown. Download it instead."));
    }
    Ok(Response::new(content))
}

/// Writes stored content to the person's downloads under a name like this one, and returns where.
#[tauri::command]
pub(crate) async fn save_blob(
    app: AppHandle,
    core: State<'_, Core>,
    hash: Hash,
    name: String,
) -> Result<Option<String>, ApiError> {
    let content = core.node().await?.download(&hash)?;
    let paths = app.path();
    let folder = paths.download_dir().or_else(|_| paths.home_dir().map(|home| home.join("Downloads")));
    let unavailable = |e: &dyn std::fmt::Display| {
        ApiError::new(ErrorKind::Unavailable, format!("The file cannot be saved: {e}."))
    };
    let folder = folder.map_err(|e| unavailable(&e))?;
    let saved = tauri::async_runtime::spawn_blocking(move || save::copy(&content, &folder, &name)).await;
    let path = saved.map_err(|e| unavailable(&e))?.map_err(|e| unavailable(&e))?;
    Ok(Some(path.display().to_string()))
}

/// Whether the app starts with the computer.
#[tauri::command]
#[allow(clippy::needless_pass_by_value, reason = "Tauri hands it over so")]
pub(crate) fn autostart(app: AppHandle) -> Result<bool, ApiError> {
    list::is_on(&app)
}

/// Lets the app start with the computer, or not. Says what holds now.
#[tauri::command]
#[allow(clippy::needless_pass_by_value, reason = "Tauri hands it over so")]
pub(crate) fn set_autostart(app: AppHandle, on: bool) -> Result<bool, ApiError> {
    list::set(&app, on)?;
    tray::refresh_autostart(&app);
    list::is_on(&app)
}
