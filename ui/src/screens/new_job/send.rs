//! From the filled-in form to a job: checks, uploads, sends.

use super::{Form, Runtime};
use crate::browser;
use crate::core_link::{call, upload};
use crate::job_form::{self, Numbers};
use fog_api::{ApiError, ErrorKind, JobInput, JobProgram, JobSource, JobTarget, JobView, SubmitJob};
use leptos::prelude::*;

/// This device, as the field of the target has it.
pub(super) const ME: &str = "me";

/// Sends it. `busy` is told what is under way. Everything is checked before anything is uploaded.
pub(super) async fn send(form: Form, busy: RwSignal<Option<String>>) -> Result<JobView, ApiError> {
    let wrong = |text: String| ApiError::new(ErrorKind::BadInput, text);
    let numbers = Numbers {
        seconds: form.seconds.get_untracked(),
        memory: form.memory.get_untracked(),
        output: form.output.get_untracked(),
        cores: form.cores.get_untracked(),
    };
    let limits = numbers.limits().map_err(wrong)?;
    let price_limit = job_form::price(&form.most.get_untracked()).map_err(wrong)?;
    let array = job_form::array(&form.array.get_untracked()).map_err(wrong)?;
    let env = job_form::env(&form.env.get_untracked()).map_err(wrong)?;
    let deadline = job_form::deadline(&form.deadline.get_untracked(), browser::now()).map_err(wrong)?;
    let module = form.module.get_untracked();
    if form.runtime.get_untracked() == Runtime::Wasm && module.is_none() {
        return Err(wrong("Choose a module first.".into()));
    }
    let (stdin, files) = (form.stdin.get_untracked(), form.inputs.get_untracked());
    // What a signal holds is taken before the first wait: the screen may be left meanwhile.
    let mut job = SubmitJob {
        args: job_form::lines(&form.args.get_untracked()),
        env,
        limits,
        class: form.class.get_untracked(),
        deadline,
        price_limit,
        to: target(form.to.get_untracked()),
        array,
        depends_on: Some(form.after.get_untracked()).filter(|id| !id.is_empty()).into_iter().collect(),
        network: form.network.get_untracked(),
        ..SubmitJob::wasm(form.name.get_untracked().trim(), "")
    };
    job.program = match (form.runtime.get_untracked(), module) {
        (Runtime::Wasm, Some(module)) => {
            let deterministic = form.deterministic.get_untracked();
            JobProgram::Wasm { module: upload(&module).await?, deterministic }
        }
        _ => {
            let image = form.image.get_untracked().trim().to_owned();
            JobProgram::Container { image, archive: None, entrypoint: None }
        }
    };
    if let Some(file) = stdin {
        job.stdin = Some(JobSource::Upload { hash: upload(&file).await? });
    }
    for (number, given) in files.iter().enumerate() {
        busy.try_set(Some(format!("Uploading {} of {}…", number + 1, files.len())));
        let source = JobSource::Upload { hash: upload(&given.file).await? };
        job.inputs.push(JobInput { name: given.path.clone(), source });
    }
    busy.try_set(Some("Sending…".into()));
    call(job).await
}

fn target(to: String) -> JobTarget {
    match to.as_str() {
        "" => JobTarget::Anyone,
        ME => JobTarget::ThisDevice,
        _ => JobTarget::Contacts { peers: vec![to] },
    }
}
