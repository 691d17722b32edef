//! The main window: shown when there is something to see, and told what happens.

use crate::core::Core;
use crate::{tray, trouble};
use fog_api::{Event, EventBody};
use fog_node::Node;
use std::time::Duration;
use tauri::webview::PageLoadEvent;
use tauri::{AppHandle, Emitter, Manager, WebviewWindowBuilder, Window, WindowEvent};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

/// The label of the window, which `capabilities/main.json` names too.
const MAIN: &str = "main";
/// The name of the events on the page's side.
const EVENT: &str = "fog-event";
/// A page that takes longer is shown anyway.
const LONGEST_LOAD: Duration = Duration::from_secs(5);

/// A window that was to stay in the background is shown after all if there is no icon by then.
const LONGEST_TRAY: Duration = Duration::from_secs(30);

/// Makes the window, hidden, and shows it once its page is loaded and the node is open; in the background only if no
/// icon would be left to open it by.
pub(crate) fn open(app: &AppHandle, core: Core, background: bool) -> anyhow::Result<()> {
    let config = app.config().app.windows.iter().find(|w| w.label == MAIN);
    let config = config.ok_or_else(|| anyhow::anyhow!("tauri.conf.json has no window {MAIN:?}"))?.clone();
    let loaded = watch::Sender::new(false);
    let load = loaded.subscribe();
    WebviewWindowBuilder::from_config(app, &config)?
        .on_page_load(move |_, page| {
            if page.event() == PageLoadEvent::Finished {
                loaded.send_replace(true);
            }
        })
        // The window is the page's alone: a link to elsewhere must not get its rights.
        .on_navigation(|url| {
            url.scheme() == "tauri"
                || url.host_str() == Some("tauri.localhost")
                || url.as_str() == "about:blank"
        })
        .build()?;
    let app = app.clone();
    tauri::async_runtime::spawn(stop_on_signal(app.clone()));
    tauri::async_runtime::spawn(async move {
        match core.node().await {
            Ok(node) => {
                let shown = app.clone();
                node.set_window(move || raise(&shown));
                tauri::async_runtime::spawn(tell(app.clone(), node));
                if !(background && icon(&app).await) {
                    show(&app, load).await;
                }
            }
            Err(_) if core.is_elsewhere() => {
                trouble::print("it is open already; its window is shown");
                app.exit(0);
            }
            Err(e) => trouble::show(&app, &e.message),
        }
    });
    Ok(())
}

async fn show(app: &AppHandle, mut load: watch::Receiver<bool>) {
    let _ = tokio::time::timeout(LONGEST_LOAD, load.wait_for(|loaded| *loaded)).await;
    if let Some(window) = app.get_webview_window(MAIN)
        && let Err(e) = window.show()
    {
        tracing::error!("the window cannot be shown: {e}");
    }
}

/// Waits for the icon among the system's.
async fn icon(app: &AppHandle) -> bool {
    let waited = async {
        while !tray::is_open(app) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LONGEST_TRAY, waited).await.is_ok()
}

/// Shows the main window in front of others.
pub(crate) fn raise(app: &AppHandle) {
    let Some(window) = app.get_webview_window(MAIN) else { return };
    let shown = window.show().and_then(|()| window.unminimize()).and_then(|()| window.set_focus());
    if let Err(e) = shown {
        tracing::error!("the window cannot be shown: {e}");
    }
}

/// Closing the main window hides it, where an icon stays to open it by.
pub(crate) fn happened(window: &Window, event: &WindowEvent) {
    if let WindowEvent::CloseRequested { api, .. } = event
        && window.label() == MAIN
        && tray::is_open(window.app_handle())
    {
        match window.hide() {
            Ok(()) => api.prevent_close(),
            Err(e) => tracing::error!("the window cannot be hidden: {e}"),
        }
    }
}

/// Closes the hidden or open main window.
pub(crate) fn close(app: &AppHandle) {
    if let Some(window) = app.get_webview_window(MAIN)
        && let Err(e) = window.destroy()
    {
        tracing::error!("the window cannot be closed: {e}");
    }
}

/// Passes the node's events on to the page. What happens before the page listens it reads for itself.
async fn tell(app: AppHandle, node: Node) {
    let mut events = node.events();
    loop {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(_)) => Event { seq: 0, body: EventBody::Resync },
            Err(RecvError::Closed) => return,
        };
        if let Err(e) = app.emit(EVENT, event) {
            tracing::error!("the page cannot be told: {e}");
        }
    }
}

/// Ends as if the window were closed when the system or a terminal asks for it.
async fn stop_on_signal(app: AppHandle) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut terminate), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    app.exit(0);
}
