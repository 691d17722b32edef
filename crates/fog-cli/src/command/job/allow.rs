//! `fog job allow`: what jobs of others may do on this device.

use crate::args::{AllowArgs, Global};
use crate::client::Client;
use crate::output::{printable, show};
use anyhow::Result;
use fog_api::{GetRuntimes, GetSettings, RuntimesView, SetSettings};
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// How long to wait for a container engine's answer.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn run(global: &Global, client: &Client, args: AllowArgs) -> Result<()> {
    let mut settings = client.call(GetSettings {})?;
    let before = settings.jobs.clone();
    if let Some(on) = args.containers {
        settings.jobs.containers = on;
    }
    if let Some(socket) = args.container_socket {
        settings.jobs.container_socket = (!socket.is_empty()).then_some(socket);
    }
    if let Some(on) = args.network {
        settings.jobs.network = on;
    }
    if settings.jobs != before {
        client.call(SetSettings { settings })?;
    }
    let start = Instant::now();
    let runtimes = loop {
        let found = client.call(GetRuntimes {})?;
        if !found.looking || start.elapsed() > PATIENCE {
            break found;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    show(global, &runtimes, print)
}

fn print(out: &mut dyn Write, runtimes: &RuntimesView) -> io::Result<()> {
    let containers = match (runtimes.allowed.containers, &runtimes.engine, &runtimes.problem) {
        (false, ..) => "not allowed".into(),
        (true, Some(engine), _) => format!("allowed, with {}", printable(engine)),
        (true, None, Some(problem)) => format!("allowed, but {}", printable(problem)),
        (true, None, None) => "allowed; the engine has not answered yet".into(),
    };
    let network = if runtimes.allowed.network { "given to jobs that ask for it" } else { "not allowed" };
    writeln!(out, "WASM        allowed")?;
    writeln!(out, "containers  {containers}")?;
    writeln!(out, "network     {network}")
}
