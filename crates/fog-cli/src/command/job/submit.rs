//! `fog job submit`: from options and files to a job.

use super::{ended_well, find, follow, get, inputs, prepare};
use crate::args::{Class, Global, State, SubmitArgs};
use crate::client::Client;
use crate::command::contact;
use crate::output::show;
use anyhow::{Context, Result};
use fog_api::*;
use std::io::Write;
use std::path::Path;

/// This device, as `--to` names it.
const ME: &str = "me";

pub(super) fn run(global: &Global, client: &Client, args: SubmitArgs) -> Result<()> {
    let (wait, follow) = (args.wait, args.follow);
    let job = client.call(build(client, args)?)?;
    if !wait && !follow {
        return show(global, &job, |out, j| writeln!(out, "{}", j.id));
    }
    let job = follow::wait(client, &job.id, None, follow)?;
    if global.json {
        show(global, &job, |_, _| Ok(()))?;
    } else {
        get::print(client, &job)?;
        if let Some(bytes) = job.files_bytes.filter(|_| job.state == JobState::Completed) {
            _ = writeln!(std::io::stderr(), "{bytes} bytes of files: fog job get {} -o DIR", &job.id[..8]);
        }
    }
    ended_well(&job)
}

fn build(client: &Client, args: SubmitArgs) -> Result<SubmitJob> {
    let to = target(client, &args.to)?;
    let (name, program) = program(client, &args)?;
    let stdin = args.stdin.as_deref().map(|text| inputs::stdin(client, text)).transpose()?;
    let env = args.env.iter().map(|text| variable(text)).collect::<Result<_>>()?;
    let depends_on = args.after.iter().map(|id| Ok(find(client, id)?.id)).collect::<Result<_>>()?;
    Ok(SubmitJob {
        name: args.name.unwrap_or(name),
        program,
        stdin,
        inputs: inputs::collect(client, &args.inputs)?,
        args: args.args,
        env,
        limits: JobLimits {
            seconds: args.time,
            memory_mib: args.memory,
            output_mib: args.output,
            millicores: (args.cores * 1000.0).round() as u32,
            storage_mib: args.storage,
            pids: args.pids,
        },
        class: class(args.class, args.copies),
        privacy: args.privacy.map(Into::into),
        deadline: args.deadline,
        price_limit: args.price_limit,
        to,
        array: args.array,
        depends_on,
        network: args.network,
        checkpoint_seconds: args.checkpoint,
    })
}

fn program(client: &Client, args: &SubmitArgs) -> Result<(String, JobProgram)> {
    if let Some(path) = &args.wasm {
        let module = if args.prepare {
            let prepared = prepare::module(path)?;
            client.upload_reader(std::io::Cursor::new(prepared.module))?
        } else {
            client.upload(path)?
        };
        return Ok((file_name(path), JobProgram::Wasm { module, deterministic: !args.nondeterministic }));
    }
    let image = args.container.clone().context("name a program: --wasm FILE or --container IMAGE")?;
    let archive = args.image_archive.as_deref().map(|path| client.upload(path)).transpose()?;
    let entrypoint = Some(args.entrypoint.clone()).filter(|words| !words.is_empty());
    let name = image.split('@').next().and_then(|n| n.rsplit('/').next()).unwrap_or("container").to_owned();
    Ok((name, JobProgram::Container { image, archive, entrypoint }))
}

fn file_name(path: &Path) -> String {
    path.file_stem().map_or_else(|| "job".into(), |n| n.to_string_lossy().into_owned())
}

fn target(client: &Client, to: &[String]) -> Result<JobTarget> {
    if to.is_empty() {
        return Ok(JobTarget::Anyone);
    }
    if to.iter().any(|who| who == ME) {
        if to.len() > 1 {
            let text = "--to me stands alone: such a job runs on this device, without pay";
            return Err(ApiError::new(ErrorKind::BadInput, text).into());
        }
        return Ok(JobTarget::ThisDevice);
    }
    let peers = to.iter().map(|who| Ok(contact(client, who)?.id)).collect::<Result<_>>()?;
    Ok(JobTarget::Contacts { peers })
}

fn class(named: Option<Class>, copies: Option<u8>) -> SlaClass {
    match (named, copies) {
        (Some(Class::S), _) | (None, Some(3)) => SlaClass::S,
        (Some(Class::A), _) | (None, Some(2)) => SlaClass::A,
        _ => SlaClass::B,
    }
}

fn variable(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => {
            let text = format!("--env takes NAME=VALUE, not {text:?}");
            Err(ApiError::new(ErrorKind::BadInput, text).into())
        }
    }
}

impl From<State> for JobState {
    fn from(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Scheduled => Self::Scheduled,
            State::Running => Self::Running,
            State::Checkpointed => Self::Checkpointed,
            State::Completed => Self::Completed,
            State::Failed => Self::Failed,
            State::Cancelled => Self::Cancelled,
        }
    }
}

impl From<crate::args::Privacy> for PrivacyLevel {
    fn from(level: crate::args::Privacy) -> Self {
        match level {
            crate::args::Privacy::Public => Self::Public,
            crate::args::Privacy::Private => Self::Private,
            crate::args::Privacy::Confidential => Self::Confidential,
            crate::args::Privacy::Secret => Self::Secret,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn copies_name_a_class() {
        assert_eq!(class(None, None), SlaClass::B);
        assert_eq!(class(None, Some(2)), SlaClass::A);
        assert_eq!(class(None, Some(3)), SlaClass::S);
        assert_eq!(class(Some(Class::A), None), SlaClass::A);
    }

    #[test]
    fn variables_have_a_name() {
        assert_eq!(variable("A=b=c").unwrap(), ("A".into(), "b=c".into()));
        assert_eq!(variable("A=").unwrap(), ("A".into(), String::new()));
        assert!(variable("A").is_err() && variable("=b").is_err());
    }
}
