//! Starting with the computer, in the background.

use fog_api::{ApiError, ErrorKind};
use tauri::plugin::TauriPlugin;
use tauri::{AppHandle, Runtime};
use tauri_plugin_autostart::ManagerExt;

/// The option with which the system starts it.
pub(crate) const BACKGROUND: &str = "--background";

/// The plugin that knows where each system keeps its list. Its own commands are not among what the page may call.
pub(crate) fn plugin<R: Runtime>() -> TauriPlugin<R> {
    tauri_plugin_autostart::Builder::new().arg(BACKGROUND).app_name("Fog Compute").build()
}

/// True if it starts with the computer.
///
/// # Errors
/// The system's list cannot be read.
pub(crate) fn is_on(app: &AppHandle) -> Result<bool, ApiError> {
    app.autolaunch().is_enabled().map_err(|e| trouble(&e))
}

/// Lets it start with the computer, or not.
///
/// # Errors
/// The system's list cannot be changed.
pub(crate) fn set(app: &AppHandle, on: bool) -> Result<(), ApiError> {
    let list = app.autolaunch();
    let done = if on {
        list.enable()
    } else if is_on(app)? {
        list.disable()
    } else {
        Ok(())
    };
    done.map_err(|e| trouble(&e))
}

fn trouble(e: &tauri_plugin_autostart::Error) -> ApiError {
    ApiError::new(
        ErrorKind::Unavailable,
        format!("The list of programs that start with the computer cannot be used: {e}."),
    )
}
