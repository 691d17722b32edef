//! The command line of `fog job`.

use clap::{Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum JobCommand {
    /// Run a program on an idle machine: a contact's, or this one with --to me.
    Submit(Box<SubmitArgs>),
    /// Show a job with its runs; without an id, list all jobs.
    Status {
        /// The job's id, or how it begins.
        id: Option<String>,
    },
    /// List jobs, the newest first; or the elements of an array.
    List {
        /// An array's id: its elements.
        id: Option<String>,
        /// Only those in this state.
        #[arg(long, value_enum)]
        state: Option<State>,
        /// Only those that I sent.
        #[arg(long, conflicts_with = "others")]
        mine: bool,
        /// Only those that run here for others.
        #[arg(long)]
        others: bool,
    },
    /// Print what a job writes to standard output and error while it runs.
    Logs {
        /// The job's id.
        id: String,
        /// Go on until it ends, with progress and remaining time on standard error.
        #[arg(long, short)]
        follow: bool,
    },
    /// Wait until a job has ended; the exit code says how.
    Wait {
        /// The job's id.
        id: String,
        /// Give up after so many seconds; the job goes on.
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
    },
    /// Print a job's standard output, or unpack the files that it left in /out.
    Get {
        /// The job's id; of an array, all its elements in order.
        id: String,
        /// Unpack the output files into this folder; those of an array into a folder for each index.
        #[arg(long, short = 'o', value_name = "DIR")]
        output: Option<PathBuf>,
        /// Replace files that are there already.
        #[arg(long, requires = "output")]
        force: bool,
    },
    /// Stop a job, with all elements of an array.
    Cancel {
        /// The job's id.
        id: String,
    },
    /// Try a failed or cancelled job again, from its last checkpoint if there is one; of an array, those elements.
    Retry {
        /// The job's id.
        id: String,
    },
    /// List who could run jobs, what they offer and how well they did.
    Workers,
    /// Show or change what jobs of others may do here, beyond a WASM sandbox without network.
    Allow(AllowArgs),
    /// Make a WASM program movable: it can stop at a checkpoint, and go on from there on another machine. Needs no node.
    Prepare {
        /// The module, a WASI command (wasm32-wasip1).
        module: PathBuf,
        /// Where the prepared module goes.
        #[arg(long, short = 'o', value_name = "FILE")]
        output: PathBuf,
    },
}

#[derive(clap::Args)]
pub(crate) struct AllowArgs {
    /// Run containers, with Docker or Podman. They share the system's kernel: a larger risk than WASM.
    #[arg(long, value_name = "BOOL")]
    pub(crate) containers: Option<bool>,
    /// The engine's socket; an empty one looks in the usual places.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) container_socket: Option<String>,
    /// Give jobs the network when they ask for it.
    #[arg(long, value_name = "BOOL")]
    pub(crate) network: Option<bool>,
}

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("program").required(true))]
pub(crate) struct SubmitArgs {
    /// The WASM module (WASI preview 1 or 2).
    #[arg(long, value_name = "FILE", group = "program")]
    pub(crate) wasm: Option<PathBuf>,
    /// A container's image by digest: NAME@sha256:...
    #[arg(long, value_name = "IMAGE", group = "program")]
    pub(crate) container: Option<String>,
    /// The image itself, as `docker save` writes it, where it is in no registry.
    #[arg(long, value_name = "FILE", requires = "container")]
    pub(crate) image_archive: Option<PathBuf>,
    /// What the container runs instead of its image's entry point; once for each word.
    #[arg(long, value_name = "WORD", requires = "container")]
    pub(crate) entrypoint: Vec<String>,
    /// Make the module movable first, as `fog job prepare` does.
    #[arg(long, requires = "wasm")]
    pub(crate) prepare: bool,
    /// Give the program the real clock and real chance. Copies of it then need not agree.
    #[arg(long, requires = "wasm")]
    pub(crate) nondeterministic: bool,
    /// What the program reads from standard input: a file, - for this command's own, or stdout:JOB for another job's.
    #[arg(long, visible_alias = "input", value_name = "FILE")]
    pub(crate) stdin: Option<String>,
    /// A file for /in, or a folder whose content is to be there; NAME=PATH for another name. NAME=stdout:JOB and
    /// NAME=files:JOB take another job's output, its files as a tar archive.
    #[arg(long = "in", value_name = "PATH")]
    pub(crate) inputs: Vec<String>,
    /// An environment variable.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// One element for each index, both ends included, such as 0-99. Each finds its own in FOG_ARRAY_INDEX.
    #[arg(long, value_name = "FIRST-LAST", value_parser = array)]
    pub(crate) array: Option<fog_api::JobArray>,
    /// Begin when this job is completed; may be given several times.
    #[arg(long, value_name = "JOB")]
    pub(crate) after: Vec<String>,
    /// Who may run it: a contact's name or id, or `me` for this device. May be given several times. Else whoever is best
    /// among the contacts.
    #[arg(long, value_name = "WHO")]
    pub(crate) to: Vec<String>,
    /// A label; the program's name by default.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// S: three copies run and must agree. A: one runs, another stands by. B: one.
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) class: Option<Class>,
    /// The class by its number of copies: 3, 2 or 1.
    #[arg(long, conflicts_with = "class", value_parser = clap::value_parser!(u8).range(1..=3))]
    pub(crate) copies: Option<u8>,
    /// The least level at which it travels; else the one chosen for the contact.
    #[arg(long, value_enum)]
    pub(crate) privacy: Option<super::Privacy>,
    /// When it must be done: a time from now such as 90s, 30m, 2h or 1d, or a date such as 2030-01-31T18:00:00Z.
    #[arg(long, value_name = "WHEN", value_parser = deadline)]
    pub(crate) deadline: Option<f64>,
    /// Longest run, seconds.
    #[arg(long, visible_alias = "seconds", default_value_t = 300, value_name = "SECONDS")]
    pub(crate) time: u32,
    /// CPU, cores: 0.5 to 16.
    #[arg(long, default_value_t = 1.0, value_parser = cores)]
    pub(crate) cores: f64,
    /// Memory, MiB.
    #[arg(long, default_value_t = 512, value_name = "MIB")]
    pub(crate) memory: u32,
    /// Standard output and output files together, MiB.
    #[arg(long, default_value_t = 64, value_name = "MIB")]
    pub(crate) output: u32,
    /// Disk for scratch files, MiB.
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    pub(crate) storage: u32,
    /// Processes and threads of a container.
    #[arg(long, default_value_t = 64, requires = "container")]
    pub(crate) pids: u32,
    /// Ask for the network. A device gives it only if its owner allows it.
    #[arg(long)]
    pub(crate) network: bool,
    /// Seconds between checkpoints, at least 5.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(5..))]
    pub(crate) checkpoint: Option<u32>,
    /// The most that one run may cost, FOG.
    #[arg(long, value_name = "FOG")]
    pub(crate) price_limit: Option<fog_api::Amount>,
    /// Wait for the end and print the output.
    #[arg(long)]
    pub(crate) wait: bool,
    /// The same, and print the log meanwhile on standard error.
    #[arg(long)]
    pub(crate) follow: bool,
    /// Arguments of the program.
    #[arg(last = true)]
    pub(crate) args: Vec<String>,
}

/// How much a job matters.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Class {
    S,
    A,
    B,
}

/// States of a job.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum State {
    Pending,
    Scheduled,
    Running,
    Checkpointed,
    Completed,
    Failed,
    Cancelled,
}

fn array(text: &str) -> Result<fog_api::JobArray, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(fog_api::JobArray { first, last }),
        _ => Err("two whole numbers such as 0-99, the smaller one first".into()),
    }
}

fn cores(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if (0.5..=16.0).contains(&n) => Ok(n),
        _ => Err("a number from 0.5 to 16".into()),
    }
}

/// Seconds since 1970.
fn deadline(text: &str) -> Result<f64, String> {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
    let units = [("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];
    let span = units.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        (number.is_finite() && number > 0.0).then_some(number * seconds)
    });
    if let Some(span) = span {
        return Ok(now + span);
    }
    let format = &time::format_description::well_known::Rfc3339;
    match time::OffsetDateTime::parse(text, format) {
        Ok(at) => Ok(at.unix_timestamp_nanos() as f64 / 1e9),
        Err(_) => Err("a time from now such as 30m or 2h, or a date such as 2030-01-31T18:00:00Z".into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn arrays_and_deadlines_are_read() {
        assert_eq!(array("0-99"), Ok(fog_api::JobArray { first: 0, last: 99 }));
        assert_eq!(array("7"), Ok(fog_api::JobArray { first: 7, last: 7 }));
        for wrong in ["", "-", "9-0", "a-b", "0-", "-5", "1-2-3"] {
            assert!(array(wrong).is_err(), "{wrong}");
        }
        assert_eq!(deadline("2030-01-31T18:00:00Z"), Ok(1_896_112_800.0));
        assert_eq!(deadline("2030-01-31T19:00:00.5+01:00"), Ok(1_896_112_800.5));
        let soon = deadline("2h").unwrap() - deadline("1h").unwrap();
        assert!((soon - 3600.0).abs() < 60.0);
        for wrong in ["", "h", "-1h", "NaNs", "infs", "tomorrow", "2030-01-31"] {
            assert!(deadline(wrong).is_err(), "{wrong}");
        }
    }
}
