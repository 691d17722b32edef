//! `fog mixnet up`: all authorities and relays of a folder, each a process of its own, until Ctrl-C.

use super::{AUTHORITY, RELAY};
use crate::args::{Global, UpArgs};
use crate::command::node::stopped;
use crate::{config, output};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a relay may take until it listens: it reads its replay tags first.
const STARTING: Duration = Duration::from_secs(60);
/// How long relays get to end by themselves.
const ENDING: Duration = Duration::from_secs(5);
/// How long a relay is stopped for a pause.
const PAUSE: Duration = Duration::from_secs(2);

pub(crate) fn run(global: &Global, args: &UpArgs) -> Result<()> {
    config::logging(global, "warn")?;
    let folders = folders(&args.dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut running = folders.iter().map(|f| start(f, args)).collect::<Result<Vec<_>>>()?;
        for (child, folder) in running.iter_mut().zip(&folders) {
            listening(child).await.with_context(|| format!("{} does not run", folder.display()))?;
        }
        let (authorities, relays): (Vec<_>, Vec<_>) = folders.iter().partition(|f| is_authority(f));
        let consensus = args.dir.join(super::CONSENSUS);
        let reply = serde_json::json!({"authorities": authorities, "relays": relays, "consensus": consensus});
        output::show(global, &reply, |out, _| {
            match authorities.len() {
                0 => {}
                n => write!(out, "{n} authorities and ")?,
            }
            writeln!(out, "{} relays run. Stop them with Ctrl-C.", relays.len())
        })?;
        let result = tokio::select! {
            result = stopped() => result,
            result = watch(&mut running, &folders, args) => result,
        };
        end(&mut running).await;
        result
    })
}

fn is_authority(folder: &Path) -> bool {
    folder.join(AUTHORITY).is_file()
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = dir.read_dir().with_context(|| format!("{} cannot be read", dir.display()))?;
    let mut folders: Vec<PathBuf> = entries
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.join(RELAY).is_file() || is_authority(p))
        .collect();
    if folders.is_empty() {
        bail!("there are no relays in {} (`fog mixnet new` makes them)", dir.display());
    }
    // Authorities first; relay-10 after relay-9.
    folders.sort_by_key(|f| (!is_authority(f), f.as_os_str().len(), f.clone()));
    Ok(folders)
}

fn start(folder: &Path, args: &UpArgs) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    if is_authority(folder) {
        command.arg("authority").arg("--dir").arg(folder);
    } else {
        command.arg("mixnode").arg("--dir").arg(folder);
        command.arg("--chaos-loss").arg(args.chaos_loss.to_string());
        command.arg("--chaos-latency-ms").arg(args.chaos_latency_ms.to_string());
    }
    // They end when this process does, also when it is killed: their standard input closes.
    command.arg("--until-stdin-closes").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command.spawn().with_context(|| format!("{} does not start", folder.display()))
}

/// Waits until the process says that it listens. What is wrong it has said itself.
async fn listening(child: &mut Child) -> Result<()> {
    let said = child.stdout.take().context("it has no output")?;
    let mut lines = BufReader::new(said).lines();
    let line = tokio::time::timeout(STARTING, lines.next_line()).await.context("it took too long")?;
    line?.context("it ended")?;
    Ok(())
}

/// Returns when a relay ends by itself; pauses one now and then if asked to.
async fn watch(running: &mut [Child], folders: &[PathBuf], args: &UpArgs) -> Result<()> {
    let mut since_pause = Duration::ZERO;
    let mut next = 0;
    let look = Duration::from_millis(200);
    loop {
        for (child, folder) in running.iter_mut().zip(folders) {
            if let Some(status) = child.try_wait()? {
                bail!("{} ended with {status}", folder.display());
            }
        }
        tokio::time::sleep(look).await;
        since_pause += look;
        if args.chaos_pause_s > 0 && since_pause >= Duration::from_secs(args.chaos_pause_s) {
            since_pause = Duration::ZERO;
            let relays: Vec<&Child> =
                running.iter().zip(folders).filter(|(_, f)| !is_authority(f)).map(|(c, _)| c).collect();
            if let Some(relay) = relays.get(next % relays.len().max(1)) {
                pause(relay).await;
            }
            next += 1;
        }
    }
}

/// Stops a relay for a while, as a laptop that is closed does.
async fn pause(child: &Child) {
    #[cfg(unix)]
    if let Some(pid) = child.id().and_then(|id| rustix::process::Pid::from_raw(id as i32)) {
        use rustix::process::{Signal, kill_process};
        if kill_process(pid, Signal::STOP).is_ok() {
            tokio::time::sleep(PAUSE).await;
            _ = kill_process(pid, Signal::CONT);
        }
    }
    #[cfg(not(unix))]
    let _ = (child, PAUSE);
}

async fn end(running: &mut [Child]) {
    for child in running.iter_mut() {
        drop(child.stdin.take());
    }
    for child in running.iter_mut() {
        if tokio::time::timeout(ENDING, child.wait()).await.is_err() {
            _ = child.kill().await;
        }
    }
}
