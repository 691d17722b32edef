//! Following a job until it ends.

use crate::args::Global;
use crate::client::Client;
use crate::output::{printable, words};
use anyhow::{Result, bail};
use fog_api::*;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(200);
/// Bytes of a log that are asked for at a time.
const PART: u32 = 64 * 1024;

/// Waits for the end of a job, telling how it goes on standard error: at a terminal always, and its log too if asked.
pub(super) fn wait(client: &Client, id: &str, timeout: Option<u64>, log: bool) -> Result<JobView> {
    let start = Instant::now();
    let mut told = Teller::new();
    let mut log = log.then_some(0);
    loop {
        let job = client.call(GetJob { id: id.into() })?;
        if let Some(offset) = &mut log {
            // After the job was read: so nothing is missing once it has ended.
            for part in parts(client, id, offset) {
                told.text(&part?.text);
            }
        }
        told.state(&job);
        if job.state.is_final() {
            return Ok(job);
        }
        if timeout.is_some_and(|s| start.elapsed() >= Duration::from_secs(s)) {
            bail!("the job is still {}: {}", words(&job.state), job.note);
        }
        std::thread::sleep(POLL);
    }
}

/// `fog job logs`.
pub(super) fn logs(global: &Global, client: &Client, id: &str, follow: bool) -> Result<()> {
    let mut offset = 0;
    let mut told = Teller::new();
    let mut out = io::stdout();
    loop {
        let job = client.call(GetJob { id: id.into() })?;
        for part in parts(client, id, &mut offset) {
            let part = part?;
            let written = if global.json {
                serde_json::to_string(&part)
                    .map_err(io::Error::other)
                    .and_then(|line| writeln!(out, "{line}"))
            } else {
                write!(out, "{}", printable(&part.text))
            };
            match written.and_then(|()| out.flush()) {
                // `fog job logs | head` is no failure.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                other => other?,
            }
        }
        if !follow || job.state.is_final() {
            return Ok(());
        }
        told.state(&job);
        std::thread::sleep(POLL);
    }
}

/// What there is of a log from here on, in parts.
fn parts<'a>(
    client: &'a Client,
    id: &'a str,
    offset: &'a mut u64,
) -> impl Iterator<Item = Result<JobLog>> + 'a {
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let part = client.call(GetJobLog { id: id.into(), offset: *offset, limit: PART });
        done = part.as_ref().map_or(true, |p| p.next <= *offset || p.end);
        if let Ok(part) = &part {
            if part.next <= *offset && part.text.is_empty() {
                return None;
            }
            *offset = part.next;
        }
        Some(part)
    })
}

/// Tells a person at a terminal how a job goes, in one line that changes.
struct Teller {
    terminal: bool,
    line: String,
}

impl Teller {
    fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), line: String::new() }
    }

    /// Part of a log.
    fn text(&mut self, text: &str) {
        let mut err = io::stderr().lock();
        if !self.line.is_empty() {
            _ = write!(err, "\r\x1b[K");
            self.line.clear();
        }
        _ = write!(err, "{}", printable(text));
    }

    fn state(&mut self, job: &JobView) {
        let line = line(job);
        if !self.terminal || line == self.line {
            return;
        }
        let mut err = io::stderr().lock();
        _ = write!(err, "\r\x1b[K{line}");
        if job.state.is_final() {
            _ = writeln!(err);
        }
        _ = err.flush();
        self.line = line;
    }
}

/// How a job is, in one line.
pub(super) fn line(job: &JobView) -> String {
    let mut line = format!("{}: {}", words(&job.state), printable(&job.note).replace('\n', " "));
    if job.total_bytes > 0 && !job.state.is_final() {
        line += &format!(" ({} of {} KiB)", job.moved_bytes / 1024, job.total_bytes.div_ceil(1024));
    }
    if let (Some(progress), false) = (job.progress, job.state.is_final()) {
        line += &format!(", {:.0} %", progress.clamp(0.0, 1.0) * 100.0);
    }
    if let (Some(eta), false) = (job.eta_seconds, job.state.is_final()) {
        line += &format!(", about {} left", span(eta));
    }
    if let (Some(checkpoint), false) = (&job.checkpoint, job.state.is_final()) {
        line += &format!(", checkpoint {} is here", checkpoint.number);
    }
    line
}

/// A length of time, for people.
pub(super) fn span(seconds: f64) -> String {
    match seconds.max(0.0) {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s if s < 129_600.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}
