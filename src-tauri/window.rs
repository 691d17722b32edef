//! The main window: shown when there is something to see, and told what happens.

use crate::core::Core;
use crate::trouble;
use fog_api::{Event, EventBody};
use fog_node::Node;
use std::time::Duration;
use tauri::webview::PageLoadEvent;
use tauri::{AppHandle, Emitter, Manager, WebviewWindowBuilder};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

/// The label of the window, which `capabilities/main.json` names too.
const MAIN: &str = "main";
/// The name of the events on the page's side.
const EVENT: &str = "fog-event";
/// A page that takes longer is shown anyway.
const LONGEST_LOAD: Duration = Duration::from_secs(5);

/// Makes the window, hidden, and shows it once its page is loaded and the node is open.
pub(crate) fn open(app: &AppHandle, core: Core) -> anyhow::Result<()> {
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
                tauri::async_runtime::spawn(tell(app.clone(), node));
                show(&app, load).await;
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
