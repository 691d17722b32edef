//! The harvester's own cost: what looking at the device takes while nothing works.
//!
//! A process of its own runs the sensors and the policy as an idle node does, every five seconds, so that nothing else's
//! time and memory is counted. For comparison it also looks twice a second, as while a job runs.

use super::Metric;
use super::process::Running;
use anyhow::{Context, Result, ensure};
use fog_harvest::{Ask, HostSensors, Input, Local, Memory, Prefs, SystemSensors, decide};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Set in the child's environment: milliseconds between two looks.
const CHILD: &str = "FOG_BENCH_HARVEST_MS";
const MEASURED: Duration = Duration::from_secs(60);
/// Looks before the measurement, so that connections are made and caches filled.
const WARM: Duration = Duration::from_secs(5);

pub(super) fn run() -> Result<Vec<Metric>> {
    if let Ok(interval) = std::env::var(CHILD) {
        look(Duration::from_millis(interval.parse().context("the interval is a number")?));
    }
    let (idle, grown) = measure(Duration::from_secs(5))?;
    let (working, _) = measure(Duration::from_millis(500))?;
    Ok(vec![
        Metric::new("idle_cost", idle, "% of a core").at_most(0.3),
        Metric::new("idle_memory", grown, "MB").at_most(15.0),
        Metric::new("cost_while_a_job_runs", working, "% of a core"),
    ])
}

/// Percent of a core over a minute, and how much resident memory the sensors took, MB.
fn measure(interval: Duration) -> Result<(f64, f64)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "harvest"]).env(CHILD, interval.as_millis().to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Running::start(&mut command)?;
    let mut said = BufReader::new(child.0.stdout.take().context("the child has no output")?);
    let mut line = String::new();
    said.read_line(&mut line)?;
    ensure!(line.trim() == "ready", "the child said {line:?}");
    let before = child.resident_mb()?;
    // The end of its input lets it begin.
    drop(child.0.stdin.take());
    std::thread::sleep(WARM);
    let (start, cpu) = (Instant::now(), child.cpu_time()?);
    std::thread::sleep(MEASURED);
    let used = child.cpu_time()?.saturating_sub(cpu);
    let percent = used.as_secs_f64() / start.elapsed().as_secs_f64() * 100.0;
    Ok((percent, (child.resident_mb()? - before).max(0.0)))
}

/// The child: looks until it is killed.
#[allow(clippy::print_stdout, reason = "the parent waits for the word")]
fn look(interval: Duration) -> ! {
    println!("ready");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let mut sensors = SystemSensors::new("/sys");
    let (mut memory, start) = (Memory::default(), Instant::now());
    // A program to look for, so that the search is in it.
    let programs = ["no-such-program".to_owned()];
    let prefs = Prefs { exclusive: programs.to_vec(), ..Prefs::default() };
    loop {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ask = Ask { now: time.as_secs_f64(), programs: &programs, working: true, ..Ask::default() };
        let readings = sensors.read(&ask);
        let input = Input {
            readings: &readings,
            prefs: &prefs,
            work_now: false,
            paused: None,
            working: false,
            local: Local::default(),
            now_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(0),
        };
        let (decision, next) = decide(&input, memory);
        memory = next;
        std::hint::black_box(decision);
        std::thread::sleep(interval);
    }
}
