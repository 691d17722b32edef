//! How long ago the user last typed or moved something. The first of these that answers:
//!
//! 1. an X screen, through its screen saver extension. (Under Wayland the answer of XWayland would count only the input
//!    of X programs, so it is not asked.)
//! 2. the desktop, over the session's bus: Mutter's or Muffin's idle monitor, or the desktop's ScreenSaver service
//! 3. the login manager: a screen's session that the desktop marks as idle, and since when. One that is not marked is
//!    unknown: either somebody is active, or the desktop marks nothing.
//! 4. without a screen: the terminals. The kernel notes when one was last read from, rounded to 8 s.
//! 5. no terminal in use and no session: nobody is there.

use super::bus::Told;
use super::screen::Seen;
use crate::Readings;
use crate::sensors::Roots;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub(super) fn read(roots: &Roots, screen: &Seen, told: &Told, now: f64, readings: &mut Readings) {
    let mut say = |idle: Option<f64>, source: &str| {
        readings.user_idle = idle.map(|idle| idle.max(0.0));
        readings.user_idle_source = source.into();
    };
    if let Some(idle) = screen.idle {
        return say(Some(idle), "the X screen saver extension");
    }
    if let Some(input) = &told.input {
        return say(Some(input.at.elapsed().as_secs_f64()), input.source);
    }
    if let Some(since) = told.idle_since() {
        return say(Some(now - since), "the login manager");
    }
    if roots.wayland {
        return say(None, "a Wayland screen whose desktop does not tell");
    }
    if roots.display.is_some() {
        return say(None, "the X screen does not answer");
    }
    let sessions = sessions(&roots.run);
    if sessions.screen || told.has_screen() {
        say(None, "a screen is in use that this program cannot ask");
    } else if let Some(last) = last_input(&roots.dev) {
        say(Some(now - last), "the last input on a terminal");
    } else if sessions.any {
        say(None, "somebody is logged in, but no terminal tells since when it is idle");
    } else {
        say(None, "there is no screen, and nobody is logged in");
        readings.unattended = true;
    }
}

struct Sessions {
    any: bool,
    screen: bool,
}

/// People's login sessions, from the login manager's own notes.
fn sessions(run: &Path) -> Sessions {
    let mut found = Sessions { any: false, screen: false };
    let Ok(list) = fs::read_dir(run.join("systemd/sessions")) else { return found };
    for entry in list.flatten() {
        let Ok(notes) = fs::read_to_string(entry.path()) else { continue };
        let has = |line: &str| notes.lines().any(|l| l == line);
        // Greeters and background services are nobody.
        if !notes.lines().any(|l| l.starts_with("CLASS=user")) || has("STATE=closing") {
            continue;
        }
        found.any = true;
        found.screen |= has("TYPE=x11") || has("TYPE=wayland") || has("TYPE=mir");
    }
    found
}

/// When a terminal was last read from, seconds since 1970; none if no terminal was used.
fn last_input(dev: &Path) -> Option<f64> {
    let seconds = |meta: &fs::Metadata| meta.atime() as f64 + meta.atime_nsec() as f64 / 1e9;
    let pseudo = numbered(&dev.join("pts"), "").into_iter().map(|meta| seconds(&meta));
    // Real terminals exist from the start on; one that nobody used was never read from.
    let real = numbered(dev, "tty")
        .into_iter()
        .filter(|meta| (meta.atime(), meta.atime_nsec()) > (meta.ctime(), meta.ctime_nsec()))
        .map(|meta| seconds(&meta));
    pseudo.chain(real).max_by(f64::total_cmp)
}

/// The files named `start` and a number.
fn numbered(folder: &Path, start: &str) -> Vec<fs::Metadata> {
    let Ok(list) = fs::read_dir(folder) else { return Vec::new() };
    list.flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(start));
            number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        })
        .filter_map(|entry| entry.metadata().ok())
        .collect()
}
