//! The desktop: its idle monitor, its screen saver, and whether it has switched the screen off.
//!
//! Mutter (GNOME) and Muffin (Cinnamon) have the same idle monitor. It tells the idle time, and calls back at the next
//! input, so that the user's return is noticed at once. Other desktops answer `GetSessionIdleTime` of
//! `org.freedesktop.ScreenSaver`, in milliseconds (KDE's measure; one that meant seconds would seem busier than it is,
//! which is the careful side).

use super::{AWAY, LastInput, Poll, Shared, attend, ended, patient};
use futures_util::StreamExt;
use std::time::{Duration, Instant};
use zbus::{Connection, Proxy};

/// Longer is no idle time of a desktop.
const LONGEST_IDLE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

struct Monitor {
    name: &'static str,
    path: &'static str,
    source: &'static str,
}

const MUTTER: Monitor = Monitor {
    name: "org.gnome.Mutter.IdleMonitor",
    path: "/org/gnome/Mutter/IdleMonitor/Core",
    source: "the desktop (Mutter)",
};
const MUFFIN: Monitor = Monitor {
    name: "org.cinnamon.Muffin.IdleMonitor",
    path: "/org/cinnamon/Muffin/IdleMonitor/Core",
    source: "the desktop (Muffin)",
};
const SAVER: &str = "org.freedesktop.ScreenSaver";
const SAVER_SOURCE: &str = "the desktop's screen saver";
const DISPLAYS: &str = "org.gnome.Mutter.DisplayConfig";

pub(super) async fn watch(bus: &Connection, shared: &Shared, poll: &Poll) {
    let monitor = async |monitor: &'static Monitor| {
        let work = async || idle_monitor(bus, shared, poll.clone(), monitor).await;
        ended(attend(bus, monitor.name, work, || forget_input(shared, monitor.source)).await, monitor.name);
    };
    let saver = async {
        let work = async || screen_saver(bus, shared, poll.clone()).await;
        let forget = || {
            forget_input(shared, SAVER_SOURCE);
            shared.change(|told| told.blank = None);
        };
        ended(attend(bus, SAVER, work, forget).await, SAVER);
    };
    let displays = async {
        let forget = || shared.change(|told| told.blank = None);
        ended(attend(bus, DISPLAYS, async || displays(bus, shared).await, forget).await, DISPLAYS);
    };
    tokio::join!(monitor(&MUTTER), monitor(&MUFFIN), saver, displays);
}

fn forget_input(shared: &Shared, source: &str) {
    shared.change(|told| told.input = told.input.filter(|input| input.source != source));
}

/// The user was idle for this long, says the source. The better source of two stays.
fn idle(shared: &Shared, milliseconds: u64, source: &'static str) {
    let idle = Duration::from_millis(milliseconds).min(LONGEST_IDLE);
    let at = Instant::now().checked_sub(idle);
    shared.change(|told| {
        let better = source == SAVER_SOURCE && told.input.is_some_and(|input| input.source != SAVER_SOURCE);
        // A device that was started later than that has not had any input yet.
        if let Some(at) = at.or_else(|| told.input.map(|input| input.at)).filter(|_| !better) {
            told.input = Some(LastInput { at, source });
        }
    });
}

async fn idle_monitor(
    bus: &Connection,
    shared: &Shared,
    mut poll: Poll,
    monitor: &Monitor,
) -> zbus::Result<()> {
    // Each names its interface like its service.
    let proxy: Proxy<'_> = Proxy::new(bus, monitor.name, monitor.path, monitor.name).await?;
    let mut fired = proxy.receive_signal("WatchFired").await?;
    let mut armed = false;
    loop {
        let milliseconds: u64 = patient(proxy.call("GetIdletime", &())).await?;
        idle(shared, milliseconds, monitor.source);
        // While somebody types, the watch would fire at every key.
        if !armed && Duration::from_millis(milliseconds) >= AWAY {
            armed = patient(proxy.call::<_, _, u32>("AddUserActiveWatch", &())).await.is_ok();
        }
        tokio::select! {
            signal = fired.next() => match signal {
                // A watch fires once and is gone. There is but this one of ours.
                Some(_) => armed = false,
                None => return Ok(()),
            },
            asked = poll.changed() => if asked.is_err() { return Ok(()) },
        }
    }
}

async fn screen_saver(bus: &Connection, shared: &Shared, mut poll: Poll) -> zbus::Result<()> {
    let proxy: Proxy<'_> = Proxy::new(bus, SAVER, "/org/freedesktop/ScreenSaver", SAVER).await?;
    let mut active = proxy.receive_signal("ActiveChanged").await?;
    let covered: Option<bool> = patient(proxy.call("GetActive", &())).await.ok();
    shared.change(|told| told.blank = covered.or(told.blank));
    let mut tells_idle = true;
    loop {
        if tells_idle {
            match patient(proxy.call::<_, _, u32>("GetSessionIdleTime", &())).await {
                Ok(milliseconds) => idle(shared, milliseconds.into(), SAVER_SOURCE),
                // Many a desktop's does not; then only the cover is of use.
                Err(_) => {
                    tells_idle = false;
                    forget_input(shared, SAVER_SOURCE);
                }
            }
        }
        tokio::select! {
            signal = active.next() => match signal {
                Some(signal) => {
                    let covered: Option<bool> = signal.body().deserialize().ok();
                    shared.change(|told| told.blank = covered.or(told.blank));
                }
                None => return Ok(()),
            },
            asked = poll.changed(), if tells_idle => if asked.is_err() { return Ok(()) },
        }
    }
}

async fn displays(bus: &Connection, shared: &Shared) -> zbus::Result<()> {
    let proxy: Proxy<'_> = Proxy::new(bus, DISPLAYS, "/org/gnome/Mutter/DisplayConfig", DISPLAYS).await?;
    let mut changes = proxy.receive_property_changed::<i32>("PowerSaveMode").await;
    loop {
        // 0 is on; standby, suspend and off follow; -1 is unknown.
        let mode = patient(proxy.get_property::<i32>("PowerSaveMode")).await.ok();
        let off = mode.filter(|mode| *mode >= 0).map(|mode| mode > 0);
        shared.change(|told| told.blank = off.or(told.blank));
        if changes.next().await.is_none() {
            return Ok(());
        }
    }
}
