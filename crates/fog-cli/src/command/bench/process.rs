//! Child processes that are measured: their processor time and memory.

use anyhow::{Context, Result, ensure};
use std::process::{Child, Command};
use std::time::Duration;

/// A process that ends with this value.
pub(super) struct Running(pub(super) Child);

impl Running {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        Ok(Self(command.spawn()?))
    }

    /// The processor time that the process has used.
    pub(super) fn cpu_time(&self) -> Result<Duration> {
        cpu_time_of(self.0.id())
    }

    /// Resident memory of the process and its children, MB.
    pub(super) fn resident_mb(&self) -> Result<f64> {
        self.memory("status", "VmRSS:")
    }

    /// The same with what several processes share counted once, MB.
    pub(super) fn proportional_mb(&self) -> Result<f64> {
        self.memory("smaps_rollup", "Pss:")
    }

    fn memory(&self, file: &str, field: &str) -> Result<f64> {
        memory(&family(self.0.id()), file, field)
    }
}

/// Resident memory of this process, MB.
pub(super) fn own_resident_mb() -> Result<f64> {
    memory(&[std::process::id()], "status", "VmRSS:")
}

fn memory(ids: &[u32], file: &str, field: &str) -> Result<f64> {
    let mut kib = 0.0;
    for id in ids {
        let text = std::fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix(field));
        let value = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
        kib += value.unwrap_or(0.0);
    }
    ensure!(kib > 0.0, "this system does not tell a process's memory");
    Ok(kib * 1024.0 / 1e6)
}

/// The processor time that a process has used.
pub(super) fn cpu_time_of(id: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))
        .context("this system does not tell a process's processor time")?;
    // After the name in brackets, which may hold anything: the 12th and 13th field, in ticks of 10 ms.
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok());
    let used = ticks(11).zip(ticks(12)).context("a process's state is not as it should be")?;
    Ok(Duration::from_millis(10 * (used.0 + used.1)))
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn family(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|c| c.parse().ok()).flat_map(family);
    std::iter::once(pid).chain(children).collect()
}
