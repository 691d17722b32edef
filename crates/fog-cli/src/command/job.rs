//! `fog job`.

mod allow;
mod follow;
mod get;
mod inputs;
mod prepare;
mod show;
mod submit;
mod unpack;

use super::{client, complete_id};
use crate::args::{Global, JobCommand};
use crate::client::Client;
use crate::output::{show as print, words};
use anyhow::{Result, bail};
use fog_api::*;

/// Elements of an array that are asked for at a time.
const PAGE: u32 = 500;

pub(crate) fn run(global: &Global, command: JobCommand) -> Result<()> {
    // The only one that needs no node.
    if let JobCommand::Prepare { module, output } = &command {
        return prepare::run(global, module, output);
    }
    let client = client(global)?;
    match command {
        JobCommand::Submit(args) => submit::run(global, &client, *args),
        JobCommand::Status { id: None } => show::list(global, &client.call(ListJobs {})?),
        JobCommand::Status { id: Some(id) } => show::describe(global, &find(&client, &id)?),
        JobCommand::List { id, state, mine, others } => {
            let mut jobs = match id {
                None => client.call(ListJobs {})?,
                Some(id) => elements(&client, &find(&client, &id)?.id)?,
            };
            let whose = |j: &JobView| if j.mine { !others } else { !mine };
            jobs.retain(|j| whose(j) && state.is_none_or(|s| j.state == s.into()));
            show::list(global, &jobs)
        }
        JobCommand::Logs { id, follow } => {
            let job = find(&client, &id)?;
            follow::logs(global, &client, &job.id, follow)
        }
        JobCommand::Wait { id, timeout } => {
            let job = follow::wait(&client, &find(&client, &id)?.id, timeout, false)?;
            show::describe(global, &job)?;
            ended_well(&job)
        }
        JobCommand::Get { id, output, force } => {
            get::run(global, &client, &find(&client, &id)?, output, force)
        }
        JobCommand::Cancel { id } => {
            let id = find(&client, &id)?.id;
            changed(global, &client.call(CancelJob { id })?)
        }
        JobCommand::Retry { id } => {
            let id = find(&client, &id)?.id;
            changed(global, &client.call(RetryJob { id })?)
        }
        JobCommand::Workers => show::workers(global, &client.call(ListWorkers {})?),
        JobCommand::Allow(args) => allow::run(global, &client, args),
        JobCommand::Prepare { .. } => Ok(()),
    }
}

fn changed(global: &Global, job: &JobView) -> Result<()> {
    print(global, job, |out, j| writeln!(out, "{} {}", j.id, words(&j.state)))
}

/// The job with this id, or whose id begins so.
fn find(client: &Client, id: &str) -> Result<JobView> {
    if id.len() == 32 {
        return client.call(GetJob { id: id.into() });
    }
    let jobs = client.call(ListJobs {})?;
    let id = complete_id(jobs.into_iter().map(|j| j.id), id, "job")?;
    client.call(GetJob { id })
}

/// All elements of an array, by index.
fn elements(client: &Client, id: &str) -> Result<Vec<JobView>> {
    let mut all: Vec<JobView> = Vec::new();
    loop {
        let from = all.last().and_then(|j| j.index).map_or(0, |i| i.saturating_add(1));
        let page = client.call(ListJobElements { id: id.into(), from, limit: PAGE })?;
        let last = page.len() < PAGE as usize;
        // A page that does not go on would go on forever.
        let moves = page.first().is_some_and(|j| j.index.is_some_and(|i| i >= from));
        all.extend(page);
        if last || !moves {
            return Ok(all);
        }
    }
}

/// An error, with exit code 1, unless the job is completed.
fn ended_well(job: &JobView) -> Result<()> {
    match job.state {
        JobState::Completed => Ok(()),
        _ => bail!("the job {}: {}", words(&job.state), job.note),
    }
}
