//! `fog job`.

use super::{client, complete_id, contact};
use crate::args::{Global, JobCommand};
use crate::client::Client;
use crate::output::{ago, printable, show, words};
use anyhow::{Context, Result, bail};
use fog_api::*;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

const POLL: Duration = Duration::from_millis(200);

pub(crate) fn run(global: &Global, command: JobCommand) -> Result<()> {
    let client = client(global)?;
    match command {
        JobCommand::Submit { wasm, input, to, name, seconds, memory, price_limit, wait, args } => {
            let to = to.map(|who| contact(&client, &who)).transpose()?;
            let to = to.map_or(JobTarget::Anyone, |c| JobTarget::Contacts { peers: vec![c.id] });
            let name = name.unwrap_or_else(|| file_name(&wasm));
            let module = client.upload(&wasm)?;
            let stdin = input.map(|path| client.upload(&path)).transpose()?;
            let stdin = stdin.map(|hash| JobSource::Upload { hash });
            let limits = JobLimits { seconds, memory_mib: memory, ..JobLimits::default() };
            let job = client.call(SubmitJob {
                stdin,
                args,
                to,
                limits,
                price_limit,
                ..SubmitJob::wasm(name, module)
            })?;
            if !wait {
                return show(global, &job, |out, j| writeln!(out, "{}", j.id));
            }
            let job = wait_for(&client, &job.id)?;
            if global.json {
                show(global, &job, |_, _| Ok(()))?;
            } else {
                print_output(&client, &job)?;
            }
            ended_well(&job)
        }
        JobCommand::Status { id: None } => show(global, &client.call(ListJobs {})?, |out, jobs| {
            if jobs.is_empty() {
                writeln!(out, "No jobs yet. Send one: fog job submit --wasm FILE")?;
            }
            for j in jobs {
                let way = if j.mine { "sent to" } else { "for" };
                let peer = printable(j.peer_name.as_deref().unwrap_or("?"));
                writeln!(
                    out,
                    "{}  {:<10} {} ({way} {peer}, {}): {}",
                    &j.id[..8],
                    words(&j.state),
                    printable(&j.name),
                    ago(j.created),
                    printable(&j.note)
                )?;
            }
            Ok(())
        }),
        JobCommand::Status { id: Some(id) } => describe(global, &find(&client, &id)?),
        JobCommand::Wait { id } => {
            let job = wait_for(&client, &find(&client, &id)?.id)?;
            describe(global, &job)?;
            ended_well(&job)
        }
        JobCommand::Get { id, output } => {
            let job = find(&client, &id)?;
            let hash =
                job.output.as_deref().with_context(|| format!("the job has no output: {}", job.note))?;
            match output {
                None => _ = client.download(hash, &mut io::stdout().lock())?,
                Some(path) => {
                    let mut file = std::fs::File::create(&path)
                        .with_context(|| format!("{} cannot be written", path.display()))?;
                    let bytes = client.download(hash, &mut file)?;
                    show(global, &serde_json::json!({"file": path, "bytes": bytes}), |out, _| {
                        writeln!(out, "{bytes} bytes written to {}", path.display())
                    })?;
                }
            }
            Ok(())
        }
        JobCommand::Cancel { id } => {
            let id = find(&client, &id)?.id;
            show(global, &client.call(CancelJob { id })?, |out, j| {
                writeln!(out, "{} {}", j.id, words(&j.state))
            })
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_stem().map_or_else(|| "job".into(), |n| n.to_string_lossy().into_owned())
}

fn find(client: &Client, id: &str) -> Result<JobView> {
    if id.len() == 32 {
        return client.call(GetJob { id: id.into() });
    }
    let jobs = client.call(ListJobs {})?;
    let id = complete_id(jobs.into_iter().map(|j| j.id), id, "job")?;
    client.call(GetJob { id })
}

fn wait_for(client: &Client, id: &str) -> Result<JobView> {
    let mut told = String::new();
    loop {
        let job = client.call(GetJob { id: id.into() })?;
        let moved = if job.total_bytes > 0 {
            format!(" ({} of {} KiB)", job.moved_bytes / 1024, job.total_bytes.div_ceil(1024))
        } else {
            String::new()
        };
        let now = format!("{}: {}{moved}", words(&job.state), printable(&job.note));
        if now != told && io::stderr().is_terminal() {
            _ = writeln!(io::stderr(), "{now}");
            told = now;
        }
        if job.state.is_final() {
            return Ok(job);
        }
        std::thread::sleep(POLL);
    }
}

fn ended_well(job: &JobView) -> Result<()> {
    match job.state {
        JobState::Completed => Ok(()),
        _ => bail!("the job {}: {}", words(&job.state), job.note),
    }
}

fn print_output(client: &Client, job: &JobView) -> Result<()> {
    if let Some(hash) = &job.output {
        client.download(hash, &mut io::stdout().lock())?;
    }
    Ok(())
}

fn describe(global: &Global, job: &JobView) -> Result<()> {
    show(global, job, |out, j| {
        writeln!(out, "{} {} {}", j.id, words(&j.state), printable(&j.name))?;
        writeln!(out, "  {}", printable(&j.note))?;
        let peer = printable(j.peer_name.as_deref().unwrap_or("?"));
        writeln!(out, "  {} {peer}, {}", if j.mine { "sent to" } else { "runs here for" }, ago(j.created))?;
        if let (Some(cpu), Some(fuel)) = (j.cpu_seconds, j.fuel) {
            writeln!(out, "  used {cpu:.3} s of CPU, fuel {fuel}")?;
        }
        match j.price {
            Some(price) => writeln!(out, "  paid {} FOG", price.exact())?,
            None if j.escrow.0 > 0 => writeln!(out, "  {} FOG in escrow", j.escrow)?,
            None => {}
        }
        if let Some(bytes) = j.output_bytes {
            writeln!(out, "  output {bytes} bytes: fog job get {}", &j.id[..8])?;
        }
        Ok(())
    })
}
