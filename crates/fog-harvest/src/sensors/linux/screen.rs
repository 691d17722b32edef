//! The X screen: since when there was no input, and whether it is switched off.

use std::time::{Duration, Instant};
use x11rb::connection::RequestConnection;
use x11rb::protocol::dpms::{self, ConnectionExt as _, DPMSMode};
use x11rb::protocol::screensaver::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

/// After a failed connection the screen is left alone for this long.
const RETRY: Duration = Duration::from_secs(60);

/// What the screen says; none is all that an absent one says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// Seconds without input.
    pub(super) idle: Option<f64>,
    /// True if it is switched off.
    pub(super) off: Option<bool>,
}

pub(super) struct Screen {
    display: Option<String>,
    connection: Option<Connected>,
    failed: Option<Instant>,
}

struct Connected {
    connection: RustConnection,
    root: u32,
    dpms: bool,
}

impl Screen {
    /// The X screen of this display; none never says anything.
    pub(super) fn new(display: Option<String>) -> Self {
        Self { display, connection: None, failed: None }
    }

    pub(super) fn read(&mut self) -> Seen {
        let Some(display) = &self.display else { return Seen::default() };
        if self.connection.is_none() {
            if self.failed.is_some_and(|at| at.elapsed() < RETRY) {
                return Seen::default();
            }
            self.connection = connect(display);
            self.failed = self.connection.is_none().then(Instant::now);
        }
        let Some(connected) = &self.connection else { return Seen::default() };
        let seen = connected.ask();
        if seen.idle.is_none() {
            // The screen is gone, or has no such extension.
            self.connection = None;
            self.failed = Some(Instant::now());
        }
        seen
    }
}

impl Connected {
    fn ask(&self) -> Seen {
        let saver = self.connection.screensaver_query_info(self.root).ok();
        let power = self.dpms.then(|| self.connection.dpms_info().ok()).flatten();
        let saver = saver.and_then(|cookie| cookie.reply().ok());
        let power = power.and_then(|cookie| cookie.reply().ok());
        Seen {
            idle: saver.map(|saver| f64::from(saver.ms_since_user_input) / 1000.0),
            off: power.map(|power| power.state && power.power_level != DPMSMode::ON),
        }
    }
}

fn connect(display: &str) -> Option<Connected> {
    use x11rb::connection::Connection;
    match RustConnection::connect(Some(display)) {
        Ok((connection, number)) => {
            let root = connection.setup().roots.get(number)?.root;
            let dpms = connection.extension_information(dpms::X11_EXTENSION_NAME).ok().flatten().is_some();
            Some(Connected { connection, root, dpms })
        }
        Err(error) => {
            tracing::debug!(%error, "the X screen cannot be asked for the user's idle time");
            None
        }
    }
}
