//! How long ago the user last typed or moved something.
//!
//! - An X screen answers through its screen saver extension.
//! - A Wayland screen answers nobody but its own programs: unknown for now. (XWayland's answer would count only the input
//!   of X programs, so it is not asked.)
//! - Somebody's screen session that this process has no access to: unknown.
//! - Without a screen: the terminals. The kernel notes when one was last read from, rounded to 8 s.
//! - No terminal in use and no session: nobody is there.

use super::Roots;
use crate::Readings;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use x11rb::protocol::screensaver::ConnectionExt;
use x11rb::rust_connection::RustConnection;

/// After a failed connection the screen is left alone for this long.
const RETRY: Duration = Duration::from_secs(60);

pub(super) struct Idle {
    dev: PathBuf,
    run: PathBuf,
    display: Option<String>,
    wayland: bool,
    screen: Option<(RustConnection, u32)>,
    failed: Option<Instant>,
}

impl Idle {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            dev: roots.dev.clone(),
            run: roots.run.clone(),
            display: roots.display.clone(),
            wayland: roots.wayland,
            screen: None,
            failed: None,
        }
    }

    pub(super) fn read(&mut self, now: f64, readings: &mut Readings) {
        let (idle, source) = if self.wayland {
            (None, "a Wayland screen does not tell other programs")
        } else if self.display.is_some() {
            match self.ask_screen() {
                Some(idle) => (Some(idle), "the X screen saver extension"),
                None => (None, "the X screen does not answer"),
            }
        } else {
            let sessions = sessions(&self.run);
            if sessions.screen {
                (None, "a screen is in use that this program cannot ask")
            } else if let Some(last) = last_input(&self.dev) {
                (Some((now - last).max(0.0)), "the last input on a terminal")
            } else if sessions.any {
                (None, "somebody is logged in, but no terminal tells since when it is idle")
            } else {
                readings.unattended = true;
                (None, "there is no screen, and nobody is logged in")
            }
        };
        readings.user_idle = idle;
        readings.user_idle_source = source.into();
    }

    fn ask_screen(&mut self) -> Option<f64> {
        if self.screen.is_none() {
            if self.failed.is_some_and(|at| at.elapsed() < RETRY) {
                return None;
            }
            self.screen = connect(self.display.as_deref());
            self.failed = self.screen.is_none().then(Instant::now);
        }
        let (connection, root) = self.screen.as_ref()?;
        let answer = connection.screensaver_query_info(*root).ok().and_then(|cookie| cookie.reply().ok());
        let Some(answer) = answer else {
            // The screen is gone, or has no such extension.
            self.screen = None;
            self.failed = Some(Instant::now());
            return None;
        };
        Some(f64::from(answer.ms_since_user_input) / 1000.0)
    }
}

fn connect(display: Option<&str>) -> Option<(RustConnection, u32)> {
    use x11rb::connection::Connection;
    match RustConnection::connect(display) {
        Ok((connection, number)) => {
            let root = connection.setup().roots.get(number)?.root;
            Some((connection, root))
        }
        Err(error) => {
            tracing::debug!(%error, "the X screen cannot be asked for the user's idle time");
            None
        }
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
