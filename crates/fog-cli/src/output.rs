//! Printing: for people, or as JSON.

use crate::args::Global;
use crate::client::NotRunning;
use fog_api::{ApiError, ErrorKind, Seconds};
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Prints a reply: as JSON, or by `human`.
pub(crate) fn show<T: Serialize>(
    global: &Global,
    value: &T,
    human: impl FnOnce(&mut dyn Write, &T) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let written = if global.json {
        serde_json::to_string_pretty(value).map_err(io::Error::other).and_then(|text| writeln!(out, "{text}"))
    } else {
        human(&mut out, value)
    };
    match written.and_then(|()| out.flush()) {
        // `fog ... | head` is no failure.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Says what went wrong, on standard error, and gives the exit code.
pub(crate) fn fail(global: &Global, error: &anyhow::Error) -> ExitCode {
    let api = error.downcast_ref::<ApiError>();
    let code = match api.map(|e| e.kind) {
        _ if error.is::<NotRunning>() => 3,
        Some(ErrorKind::Refused | ErrorKind::Conflict | ErrorKind::NotReady) => 4,
        Some(ErrorKind::NotFound) => 5,
        Some(ErrorKind::BadInput) => 2,
        _ => 1,
    };
    let mut err = io::stderr().lock();
    _ = if global.json {
        let kind = api.map_or(serde_json::Value::Null, |e| serde_json::json!(e.kind));
        writeln!(err, "{}", serde_json::json!({"error": format!("{error:#}"), "kind": kind}))
    } else {
        writeln!(err, "fog: {error:#}")
    };
    ExitCode::from(code)
}

/// How long ago, for people.
pub(crate) fn ago(time: Seconds) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64();
    let s = (now - time).max(0.0);
    match s {
        s if s < 10.0 => "just now".into(),
        s if s < 90.0 => format!("{s:.0} s ago"),
        s if s < 5400.0 => format!("{:.0} min ago", s / 60.0),
        s if s < 129_600.0 => format!("{:.0} h ago", s / 3600.0),
        s => format!("{:.0} days ago", s / 86400.0),
    }
}

/// A serde name (`asking`, `charging_low`) as words.
pub(crate) fn words<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(s)) => s.replace('_', " "),
        _ => "?".into(),
    }
}

/// Control characters of a stranger's text must not steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
