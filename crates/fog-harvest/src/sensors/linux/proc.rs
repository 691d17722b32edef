//! Load, memory, pressure and programs from `/proc`.
//!
//! The load is told apart: what this process, its children and its containers use is ours, the rest is other programs'. A child's time
//! moves to its parent's sum when it ends, so nothing is lost between two readings.

use super::super::Ask;
use crate::{Pressure, Readings};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A shorter time between two readings tells no load: the kernel counts in hundredths of a second.
const SHORTEST: u64 = 15;
/// Milliseconds in a tick: the kernel tells programs hundredths of a second, whatever it counts in itself.
const TICK_MS: u64 = 10;
/// Programs are looked for at most this often.
const PROGRAMS_EVERY: Duration = Duration::from_secs(2);
/// Processes below ours that are looked at.
const MOST_CHILDREN: usize = 256;
/// The kernel keeps this much of a process's name.
const COMM_LEN: usize = 15;

pub(super) struct Proc {
    root: PathBuf,
    last: Option<Sample>,
    loads: Loads,
    programs: Option<(Instant, Vec<String>, Option<String>)>,
}

/// Sums since the start, in ticks.
#[derive(Clone, Copy)]
struct Sample {
    busy: u64,
    total: u64,
    own: u64,
    /// None if children cannot be found.
    jobs: Option<u64>,
}

#[derive(Clone, Copy, Default)]
struct Loads {
    all: Option<f64>,
    others: Option<f64>,
    jobs: Option<f64>,
}

impl Proc {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, last: None, loads: Loads::default(), programs: None }
    }

    pub(super) fn read(&mut self, ask: &Ask<'_>, readings: &mut Readings) {
        if let Ok(stat) = fs::read_to_string(self.root.join("stat")) {
            readings.cpus = processors(&stat);
            self.load(&stat, ask);
        }
        readings.cpu_load = self.loads.all;
        readings.others_load = self.loads.others;
        readings.jobs_load = self.loads.jobs;
        if let Ok(text) = fs::read_to_string(self.root.join("meminfo")) {
            (readings.memory_used, readings.memory_total) = memory(&text);
        }
        readings.pressure = pressure(&self.root);
        readings.program = self.program(ask.programs);
    }

    fn load(&mut self, stat: &str, ask: &Ask<'_>) {
        let Some((busy, total)) = machine(stat) else { return };
        let own = fs::read_to_string(self.root.join("self/stat")).ok();
        let Some([user, system, child_user, child_system]) = own.as_deref().and_then(times) else { return };
        let ended = child_user + child_system;
        let outside = u64::try_from(ask.outside.as_millis()).unwrap_or(u64::MAX) / TICK_MS;
        let ended = ended.saturating_add(outside);
        let living = if ask.working { children(&self.root) } else { Some(0) };
        let jobs = living.map(|ticks| ticks.saturating_add(ended));
        let now = Sample { busy, total, own: user + system, jobs };
        let Some(last) = self.last else {
            self.last = Some(now);
            return;
        };
        let total = now.total.saturating_sub(last.total);
        if total < SHORTEST * u64::from(processors(stat)) {
            return;
        }
        self.last = Some(now);
        let share = |ticks: u64| (ticks as f64 / total as f64).clamp(0.0, 1.0);
        let busy = now.busy.saturating_sub(last.busy);
        let own = now.own.saturating_sub(last.own);
        let jobs = now.jobs.zip(last.jobs).map(|(now, last)| now.saturating_sub(last));
        self.loads = Loads {
            all: Some(share(busy)),
            jobs: jobs.map(share),
            // Without knowing our part there is no telling the others'.
            others: jobs.map(|jobs| share(busy.saturating_sub(own + jobs))),
        };
    }

    /// The first of these programs that runs.
    fn program(&mut self, names: &[String]) -> Option<String> {
        if names.is_empty() {
            self.programs = None;
            return None;
        }
        if let Some((at, asked, found)) = &self.programs
            && at.elapsed() < PROGRAMS_EVERY
            && asked == names
        {
            return found.clone();
        }
        let found = find(&self.root, names);
        self.programs = Some((Instant::now(), names.to_vec(), found.clone()));
        found
    }
}

fn processors(stat: &str) -> u32 {
    let numbered = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    stat.lines().filter(numbered).count().max(1) as u32
}

/// Busy and all ticks of the machine. What a hypervisor took away is nobody's use.
fn machine(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find(|line| line.starts_with("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().skip(1).map_while(|t| t.parse().ok()).take(8).collect();
    let at = |i: usize| ticks.get(i).copied().unwrap_or(0);
    let total = ticks.iter().fold(0u64, |sum, t| sum.saturating_add(*t));
    (ticks.len() >= 4).then(|| (total.saturating_sub(at(3) + at(4) + at(7)), total))
}

/// A process's own and its ended children's ticks: user, system, children's user, children's system.
fn times(stat: &str) -> Option<[u64; 4]> {
    // After the name in brackets, which may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
    let at = |i: usize| fields.get(i)?.parse::<u64>().ok();
    Some([at(11)?, at(12)?, at(13)?, at(14)?])
}

/// The ticks of all living processes below this one. None if the kernel does not name children.
fn children(root: &Path) -> Option<u64> {
    let mut found = below(&root.join("self"))?;
    let (mut ticks, mut next) = (0u64, 0);
    while let Some(id) = found.get(next).copied() {
        next += 1;
        let folder = root.join(id.to_string());
        if let Some(own) = fs::read_to_string(folder.join("stat")).ok().as_deref().and_then(times) {
            ticks = own.iter().fold(ticks, |sum, t| sum.saturating_add(*t));
        }
        found.extend(below(&folder).unwrap_or_default());
        found.truncate(MOST_CHILDREN);
    }
    Some(ticks)
}

fn below(process: &Path) -> Option<Vec<u32>> {
    let mut found = Vec::new();
    let mut told = false;
    for thread in fs::read_dir(process.join("task")).ok()?.flatten() {
        if let Ok(text) = fs::read_to_string(thread.path().join("children")) {
            told = true;
            found.extend(text.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
    }
    told.then_some(found)
}

/// Memory in use and in all, bytes.
fn memory(text: &str) -> (u64, u64) {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    let total = field("MemTotal:").unwrap_or(0);
    let available = field("MemAvailable:").or_else(|| field("MemFree:")).unwrap_or(total);
    (total.saturating_sub(available), total)
}

fn pressure(root: &Path) -> Option<Pressure> {
    let read = |file: &str, kind: &str| {
        let text = fs::read_to_string(root.join("pressure").join(file)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
        let percent = line.split_whitespace().find_map(|field| field.strip_prefix("avg10="))?;
        percent.parse().ok().filter(|percent: &f64| (0.0..=100.0).contains(percent))
    };
    Some(Pressure {
        cpu_some: read("cpu", "some ")?,
        memory_full: read("memory", "full ")?,
        io_full: read("io", "full ").unwrap_or(0.0),
    })
}

/// The first of these programs that runs, by the names of processes and of their files.
fn find(root: &Path, names: &[String]) -> Option<String> {
    let wanted: Vec<String> = names.iter().map(|name| plain(name)).collect();
    let mut best: Option<usize> = None;
    for process in fs::read_dir(root).ok()?.flatten() {
        if !process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let Ok(comm) = fs::read_to_string(process.path().join("comm")) else { continue };
        let comm = plain(comm.trim_end());
        for (i, name) in wanted.iter().enumerate().take(best.unwrap_or(wanted.len())) {
            let same = if comm.len() < COMM_LEN {
                comm == *name
            } else {
                // The kernel cut it, perhaps: the command line has the rest.
                name.starts_with(comm.as_str())
                    && (comm == *name || file(&process.path()).as_ref() == Some(name))
            };
            if same {
                best = Some(i);
                break;
            }
        }
    }
    best.map(|i| names[i].clone())
}

/// The name of the file that a process was started from.
fn file(process: &Path) -> Option<String> {
    let line = fs::read(process.join("cmdline")).ok()?;
    let first = line.split(|byte| *byte == 0).next()?;
    let text = String::from_utf8_lossy(first);
    Some(plain(text.rsplit(['/', '\\']).next()?))
}

/// A name as it is compared.
fn plain(name: &str) -> String {
    let name = name.trim().to_lowercase();
    name.strip_suffix(".exe").map(str::to_owned).unwrap_or(name)
}
