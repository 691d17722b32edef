//! The icon among the system's: what the device does, a pause, and the way back to the window.
//!
//! Where there is such an icon, closing the window only hides it, and the node works on. Where the desktop has no place
//! for one, closing the window ends the program, because nothing would be left to show that it runs.

use crate::autostart;
use crate::core::Core;
use crate::window;
use fog_api::{Command, EventBody, HarvestState, HarvestView};
use fog_node::Node;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::Duration;
use tauri::menu::{CheckMenuItem, Menu, MenuEvent, MenuItem, PredefinedMenuItem};
use tauri::tray::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent};
use tauri::{AppHandle, Manager, Wry};
use tokio::sync::broadcast::error::RecvError;

/// How long the pause of the menu lasts, seconds.
const PAUSE: u32 = 3600;
/// A desktop that is just starting has its tray by then.
const PATIENCE: Duration = Duration::from_secs(60);
/// It is asked this often until then.
const ASK_EVERY: Duration = Duration::from_secs(1);

const STATE: &str = "state";
const OPEN: &str = "open";
const PAUSE_ITEM: &str = "pause";
const AUTOSTART: &str = "autostart";
const QUIT: &str = "quit";

/// The icon, and the parts of it that change.
pub(crate) struct Tray {
    icon: TrayIcon<Wry>,
    state: MenuItem<Wry>,
    pause: MenuItem<Wry>,
    autostart: CheckMenuItem<Wry>,
    shown: Mutex<Option<Shown>>,
}

/// What is shown, so that nothing is drawn twice.
#[derive(PartialEq, Clone)]
struct Shown {
    state: String,
    paused: bool,
}

impl Shown {
    fn of(view: &HarvestView) -> Self {
        Self { state: words(view), paused: view.paused_until.is_some() }
    }
}

/// The state in a line.
fn words(view: &HarvestView) -> String {
    let state = match view.state {
        _ if view.paused_until.is_some() => "Paused",
        HarvestState::Idle => "Ready for work",
        HarvestState::Harvesting => "Working",
        HarvestState::ChargingLow => "Waiting for power",
        HarvestState::ThermalThrottle => "Too hot",
        HarvestState::UserActive => "Device in use",
        HarvestState::NetworkMetered => "Metered network",
        HarvestState::Disabled => "Not lending",
    };
    match view.state {
        HarvestState::Harvesting => format!("{state}, {:.0} % of the CPU", view.cpu_share * 100.0),
        _ => state.into(),
    }
}

/// Makes the icon once the desktop has said that it has a place for it. Returns at once.
pub(crate) fn open(app: &AppHandle, core: Core) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        let found = async {
            while !has_place().await {
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        if tokio::time::timeout(PATIENCE, found).await.is_err() {
            tracing::info!("this desktop shows no icons of programs: closing the window ends this one");
            return;
        }
        let made = app.clone();
        // Menus belong to the main thread.
        let done = app.run_on_main_thread(move || {
            // The library that draws it is loaded when it is first used, and the loader panics where it is missing.
            let tray = std::panic::catch_unwind(AssertUnwindSafe(|| make(&made)));
            match tray {
                Ok(Ok(tray)) => {
                    made.manage(tray);
                    tauri::async_runtime::spawn(follow(made.clone(), core));
                }
                Ok(Err(e)) => tracing::warn!("no icon among the system's: {e}"),
                Err(_) => tracing::warn!("no icon among the system's: its library is missing"),
            }
        });
        if let Err(e) = done {
            tracing::warn!("no icon among the system's: {e}");
        }
    });
}

/// True if an icon is there, so that the window may be hidden.
pub(crate) fn is_open(app: &AppHandle) -> bool {
    app.try_state::<Tray>().is_some()
}

fn make(app: &AppHandle) -> tauri::Result<Tray> {
    let state = MenuItem::with_id(app, STATE, "Starting", false, None::<&str>)?;
    let open = MenuItem::with_id(app, OPEN, "Open Fog Compute", true, None::<&str>)?;
    let pause = MenuItem::with_id(app, PAUSE_ITEM, "Pause for an hour", true, None::<&str>)?;
    let starts = autostart::is_on(app).unwrap_or(false);
    let autostart =
        CheckMenuItem::with_id(app, AUTOSTART, "Start with the computer", true, starts, None::<&str>)?;
    let quit = MenuItem::with_id(app, QUIT, "Quit", true, None::<&str>)?;
    let line = || PredefinedMenuItem::separator(app);
    let menu = Menu::with_items(app, &[&state, &line()?, &open, &pause, &autostart, &line()?, &quit])?;
    let mut builder = TrayIconBuilder::with_id("fog")
        .tooltip("Fog Compute")
        .menu(&menu)
        .show_menu_on_left_click(false)
        .on_menu_event(chosen)
        .on_tray_icon_event(|tray, event| {
            let up = MouseButtonState::Up;
            if matches!(event, TrayIconEvent::Click { button: MouseButton::Left, button_state, .. } if button_state == up) {
                window::raise(tray.app_handle());
            }
        });
    if let Some(icon) = app.default_window_icon() {
        builder = builder.icon(icon.clone());
    }
    Ok(Tray { icon: builder.build(app)?, state, pause, autostart, shown: Mutex::default() })
}

/// Something in the menu was chosen.
#[allow(clippy::needless_pass_by_value, reason = "the signature of the builder's handler")]
fn chosen(app: &AppHandle, event: MenuEvent) {
    match event.id().as_ref() {
        OPEN => window::raise(app),
        QUIT => app.exit(0),
        PAUSE_ITEM => pause(app),
        AUTOSTART => {
            let on = !autostart::is_on(app).unwrap_or(false);
            if let Err(e) = autostart::set(app, on) {
                tracing::error!("{e}");
            }
            refresh_autostart(app);
        }
        _ => {}
    }
}

/// The mark follows what holds, also where the page changed it.
pub(crate) fn refresh_autostart(app: &AppHandle) {
    if let (Some(tray), Ok(on)) = (app.try_state::<Tray>(), autostart::is_on(app))
        && let Err(e) = tray.autostart.set_checked(on)
    {
        tracing::warn!("the menu cannot be changed: {e}");
    }
}

/// Pauses, or goes on if it is paused.
fn pause(app: &AppHandle) {
    let Some(tray) = app.try_state::<Tray>() else { return };
    let paused = tray.shown.lock().is_ok_and(|shown| shown.as_ref().is_some_and(|s| s.paused));
    let core = app.state::<Core>().inner().clone();
    tauri::async_runtime::spawn(async move {
        let seconds = if paused { 0 } else { PAUSE };
        let command = Command::PauseHarvest(fog_api::PauseHarvest { seconds });
        let done = match core.node().await {
            Ok(node) => node.command(command).await.map(drop),
            Err(e) => Err(e),
        };
        if let Err(e) = done {
            tracing::error!("the pause: {e}");
        }
    });
}

/// Shows what the node's harvester does, for as long as the node lives.
async fn follow(app: AppHandle, core: Core) {
    let Ok(node) = core.node().await else { return };
    let mut events = node.events();
    if let Some(view) = ask(&node).await {
        show(&app, &view);
    }
    loop {
        match events.recv().await {
            Ok(event) => {
                if let EventBody::Harvest(view) = event.body {
                    show(&app, &view);
                }
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

async fn ask(node: &Node) -> Option<HarvestView> {
    let reply = node.command(Command::GetHarvest(fog_api::GetHarvest {})).await.ok()?;
    serde_json::from_value(reply).ok()
}

fn show(app: &AppHandle, view: &HarvestView) {
    let Some(tray) = app.try_state::<Tray>() else { return };
    let now = Shown::of(view);
    {
        let Ok(mut shown) = tray.shown.lock() else { return };
        if shown.as_ref() == Some(&now) {
            return;
        }
        *shown = Some(now.clone());
    }
    let pause = if now.paused { "Go on now" } else { "Pause for an hour" };
    let done = tray
        .state
        .set_text(&now.state)
        .and_then(|()| tray.pause.set_text(pause))
        .and_then(|()| tray.icon.set_tooltip(Some(format!("Fog Compute: {}", now.state))));
    if let Err(e) = done {
        tracing::warn!("the icon's menu cannot be changed: {e}");
    }
}

/// Whether the desktop shows icons of programs: on Linux it says so on the session's bus, elsewhere it always does.
#[cfg(target_os = "linux")]
async fn has_place() -> bool {
    const WATCHER: &str = "org.kde.StatusNotifierWatcher";
    let asked = async {
        let bus = zbus::Connection::session().await?;
        let watcher: zbus::Proxy<'_> =
            zbus::Proxy::new(&bus, WATCHER, "/StatusNotifierWatcher", WATCHER).await?;
        watcher.get_property::<bool>("IsStatusNotifierHostRegistered").await
    };
    asked.await.unwrap_or(false)
}

#[cfg(not(target_os = "linux"))]
async fn has_place() -> bool {
    true
}
