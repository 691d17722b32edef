//! The app: a window on a node that runs in the same process.
//!
//! ```text
//!   page ── Tauri IPC ──> commands ──> core (waits until the node is open) ──> fog_node::Node
//!   page <── "fog-event" ── window <── events ──────────────────────────────── fog_node::Node
//!   fog (command line) ── HTTP on loopback ── fog_node::web ─────────────────> fog_node::Node
//! ```
//!
//! With an icon among the system's ([`tray`]), closing the window hides it and the node works on.
//!
//! It holds no rules of its own: what the page may ask, and what comes of it, is the node's. The node opens
//! while the window does, so that neither waits for the other; the window is shown once both are there. Where
//! the node cannot open, a window says why, and the program fails when that is closed.

mod autostart;
mod commands;
mod core;
mod options;
mod save;
mod tray;
mod trouble;
mod window;

use crate::core::Core;
use clap::Parser;
use std::process::ExitCode;
use tauri::RunEvent;

/// Runs the app until its window is closed, or until it is ended from the icon's menu.
pub fn run() -> ExitCode {
    let options = options::Options::parse();
    match open(&options) {
        Ok(code) => code,
        Err(e) => {
            trouble::print(&format!("{e:#}"));
            ExitCode::FAILURE
        }
    }
}

fn open(options: &options::Options) -> anyhow::Result<ExitCode> {
    options.logging()?;
    options::display()?;
    // As for the headless node: the mixnet's work is short, and two threads serve it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    tauri::async_runtime::set(runtime.handle().clone());
    let core = Core::start(runtime.handle(), options.node());
    let app = tauri::Builder::default()
        .manage(core.clone())
        .register_uri_scheme_protocol(trouble::SCHEME, |context, _| trouble::page(context.app_handle()))
        .plugin(autostart::plugin())
        .invoke_handler(tauri::generate_handler![
            commands::command,
            commands::upload,
            commands::save_blob,
            commands::read_blob,
            commands::autostart,
            commands::set_autostart
        ])
        .on_window_event(window::happened)
        .setup({
            let core = core.clone();
            let background = options.background;
            move |app| {
                tray::open(app.handle(), core.clone());
                Ok(window::open(app.handle(), core, background)?)
            }
        })
        .build(tauri::generate_context!())?;
    let closing = core.clone();
    let handle = runtime.handle().clone();
    let code = app.run_return(move |_, event| {
        // The last window is gone; the node ends before the process does.
        if let RunEvent::Exit = event {
            handle.block_on(closing.shutdown());
        }
    });
    runtime.shutdown_background();
    let failed = code != 0 || core.failure().is_some();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
