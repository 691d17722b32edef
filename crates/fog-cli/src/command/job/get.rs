//! `fog job get`: outputs, to standard output or into a folder.

use super::{elements, unpack};
use crate::args::Global;
use crate::client::Client;
use crate::output::show;
use anyhow::{Context, Result};
use fog_api::{ApiError, ErrorKind, JobView};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

pub(super) fn run(
    global: &Global,
    client: &Client,
    job: &JobView,
    output: Option<PathBuf>,
    force: bool,
) -> Result<()> {
    let Some(folder) = output else { return print(client, job) };
    let mut written = Vec::new();
    if job.array.is_some() {
        for element in elements(client, &job.id)?.iter().filter(|e| e.files.is_some()) {
            let below = folder.join(element.index.unwrap_or_default().to_string());
            written.extend(files(client, element, &below, force)?);
        }
    } else if job.files.is_some() {
        written = files(client, job, &folder, force)?;
    }
    if written.is_empty() {
        let text = format!(
            "the job has left no files in /out ({}); its standard output is printed without -o",
            job.note
        );
        return Err(ApiError::new(ErrorKind::NotFound, text).into());
    }
    let bytes: u64 = written.iter().map(|f| f.bytes).sum();
    let reply = serde_json::json!({ "folder": folder, "files": written, "bytes": bytes });
    show(global, &reply, |out, _| {
        writeln!(out, "{} files, {bytes} bytes written to {}", written.len(), folder.display())
    })
}

/// Unpacks a job's files into a folder. The archive was made by whoever ran the job, so it is a stranger's.
fn files(client: &Client, job: &JobView, folder: &Path, force: bool) -> Result<Vec<unpack::Written>> {
    let Some(hash) = &job.files else { return Ok(Vec::new()) };
    let mut archive = tempfile::tempfile().context("no temporary file can be made")?;
    client.download(hash, &mut archive)?;
    archive.rewind()?;
    unpack::unpack(io::BufReader::new(archive), folder, force)
}

/// Writes the standard output to ours; of an array, that of all elements in order.
pub(super) fn print(client: &Client, job: &JobView) -> Result<()> {
    let mut out = io::stdout().lock();
    let mut any = false;
    let mut one = |job: &JobView| -> Result<()> {
        let Some(hash) = &job.output else { return Ok(()) };
        any = true;
        match client.download(hash, &mut out) {
            // `fog job get | head` is no failure.
            Err(e) if broken_pipe(&e) => Ok(()),
            other => other.map(|_| ()),
        }
    };
    if job.array.is_some() {
        elements(client, &job.id)?.iter().try_for_each(&mut one)?;
    } else {
        one(job)?;
    }
    if !any && !job.state.is_final() {
        let text = format!("the job has no output yet: {}", job.note);
        return Err(ApiError::new(ErrorKind::NotFound, text).into());
    }
    Ok(out.flush()?)
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
