//! The worker process: runs one stranger's module, knows nothing else.
//!
//! The order is what makes it safe. First everything inherited is closed. Then the node says what to run; the job's
//! three files (module, input, output) are opened. Then the process gives up its rights ([`lockdown`]): no file can be
//! opened by name any more, no TCP connection made, no privilege gained, and the system's own limits on CPU time, data,
//! open files and file sizes stand. Only then is the module looked at, and it runs in wasmtime without environment,
//! folders or sockets. So an escape from wasmtime lands in a process that holds one job's files and nothing else.
//!
//! What a system does not offer (Landlock outside Linux or on an old kernel) is reported to the node, which logs it.

mod lockdown;
mod pace;
#[cfg(unix)]
mod priority;
mod run;
mod streams;

use crate::sandbox::RunError;
use crate::sandbox::protocol::{FromWorker, ToWorker, read_frame, write_frame};
use pace::Pace;
use std::fs::{File, OpenOptions};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Runs the one job that the node asks for over standard input, and returns the exit code for the process.
///
/// Call it first thing in `main`, before any file, socket, thread or async runtime exists: it closes every file that it
/// did not open itself.
pub fn main() -> i32 {
    lockdown::close_inherited();
    match serve() {
        Ok(()) => 0,
        Err(error) => {
            use io::Write;
            let _ = writeln!(
                io::stderr(),
                "a Fog Compute worker process is started by its node, not by hand: {error}"
            );
            2
        }
    }
}

fn serve() -> io::Result<()> {
    let start = match read_frame(&mut io::stdin())? {
        ToWorker::Start(start) => start,
        ToWorker::Share(_) => return Err(io::Error::other("the first frame must say what to run")),
    };
    let pace = Arc::new(Pace::new(start.limits.seconds, start.share));
    let report = Arc::new(Report::default());

    let opened = open(&start);
    let locks = lockdown::lock(&start.limits);
    let files = match (opened, locks) {
        (Ok(files), Ok(locks)) => {
            report.say(&FromWorker::Locked(locks))?;
            files
        }
        (Err(error), _) | (_, Err(error)) => {
            return report.done(Err(RunError::Device(error.to_string())));
        }
    };
    obey(Arc::clone(&pace))?;
    let engine = match run::engine() {
        Ok(engine) => engine,
        Err(error) => return report.done(Err(RunError::Device(error.to_string()))),
    };
    tick(Arc::clone(&pace), Arc::clone(&report), engine.clone())?;
    let result = run::run(&engine, files, &start, &pace);
    report.done(result)
}

/// The job's files.
struct Files {
    module: File,
    input: Option<File>,
    output: File,
}

fn open(start: &crate::sandbox::protocol::Start) -> io::Result<Files> {
    let named = |path: &str, e: io::Error| io::Error::new(e.kind(), format!("{path}: {e}"));
    Ok(Files {
        module: File::open(&start.module).map_err(|e| named(&start.module, e))?,
        input: start.input.as_ref().map(|path| File::open(path).map_err(|e| named(path, e))).transpose()?,
        output: OpenOptions::new().write(true).open(&start.output).map_err(|e| named(&start.output, e))?,
    })
}

/// Follows the node's commands; ends the process with the node.
fn obey(pace: Arc<Pace>) -> io::Result<()> {
    thread("commands", move || {
        while let Ok(ToWorker::Share(share)) = read_frame(&mut io::stdin()) {
            pace.set_share(share);
        }
        std::process::exit(3);
    })
}

/// Advances the epoch, at which a running module looks up and asks [`Pace`] whether to go on. Also the last resort
/// against time spent outside the module's own code, in which there are no epochs: a long sleep, a long compilation.
fn tick(pace: Arc<Pace>, report: Arc<Report>, engine: wasmtime::Engine) -> io::Result<()> {
    const TICK: Duration = Duration::from_millis(10);
    const PATIENCE: Duration = Duration::from_secs(1);
    thread("ticks", move || {
        loop {
            std::thread::sleep(TICK);
            engine.increment_epoch();
            if pace.overdue(PATIENCE) {
                let _ = report.done(Err(RunError::TimeLimit(pace.seconds())));
                std::process::exit(0);
            }
            pace.rest_while_paused();
        }
    })
}

fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.into()).spawn(body).map(drop)
}

/// The one voice of the process: after the last word nothing more is said.
#[derive(Default)]
struct Report {
    ended: Mutex<bool>,
}

impl Report {
    fn say(&self, message: &FromWorker) -> io::Result<()> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if *ended { Ok(()) } else { write_frame(&mut io::stdout(), message) }
    }

    fn done(&self, result: Result<crate::sandbox::protocol::Finished, RunError>) -> io::Result<()> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if *ended {
            return Ok(());
        }
        *ended = true;
        write_frame(&mut io::stdout(), &FromWorker::Done(result))
    }
}
