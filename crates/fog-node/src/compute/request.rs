//! What the user asks for: submit, cancel, try again.

use super::perform::{level_number, perform};
use super::{MIB, engine_error, job_id, view, workers};
use crate::contacts;
use crate::core::Core;
use crate::error::{Result, bad_input, internal, refused};
use crate::identity::unhex;
use crate::records::{self, api};
use crate::work::{After, Work};
use fog_api::{
    Amount, ContactState, JobInput, JobProgram, JobSource, JobTarget, JobView, SlaClass, SubmitJob,
};
use fog_jobs::engine::NewOrder;
use fog_jobs::spec::{Class, Image, Program};
use fog_jobs::{BlobError, BlobRef, BlobStore, EngineError, OrderSpec, Source, Target};
use fog_tokenomics::ledger;
use std::collections::HashMap;
use std::sync::Arc;

/// Seconds between checkpoints, if the user does not say.
const CHECKPOINT_SECONDS: u32 = 60;

fn hash(text: &str) -> Result<[u8; 32]> {
    unhex::<32>(text).ok_or_else(|| bad_input("A content hash is 64 hexadecimal digits."))
}

/// Hashes that a submission names, all of which must have been uploaded.
fn named(new: &SubmitJob) -> Result<Vec<[u8; 32]>> {
    let mut hashes = Vec::new();
    match &new.program {
        JobProgram::Wasm { module, .. } => hashes.push(hash(module)?),
        JobProgram::Container { archive, .. } => {
            hashes.extend(archive.as_deref().map(hash).transpose()?);
        }
    }
    for source in new.stdin.iter().chain(new.inputs.iter().map(|input| &input.source)) {
        if let JobSource::Upload { hash: text } = source {
            hashes.push(hash(text)?);
        }
    }
    Ok(hashes)
}

/// Describes all files, and checks that a module is one. Hashing large files takes a while.
fn describe(
    blobs: &BlobStore,
    hashes: &[[u8; 32]],
    module: bool,
) -> std::result::Result<HashMap<[u8; 32], BlobRef>, BlobError> {
    let mut found = HashMap::new();
    for hash in hashes {
        if !found.contains_key(hash) {
            found.insert(*hash, blobs.describe(hash)?);
        }
    }
    if module && !blobs.read_start(&hashes[0], 8)?.starts_with(b"\0asm") {
        // Told apart from other errors by the caller.
        return Err(BlobError::NotAFile("module".into()));
    }
    Ok(found)
}

struct Files(HashMap<[u8; 32], BlobRef>);

impl Files {
    fn blob(&self, text: &str) -> Result<BlobRef> {
        self.0.get(&hash(text)?).cloned().ok_or_else(|| internal("a file that was not described"))
    }

    fn source(&self, source: &JobSource) -> Result<Source> {
        Ok(match source {
            JobSource::Upload { hash } => Source::Blob(self.blob(hash)?),
            JobSource::Stdout { job } => Source::Stdout(job_id(job)?),
            JobSource::Files { job } => Source::Files(job_id(job)?),
        })
    }
}

/// Who is to run it, checked.
async fn target(work: &mut Work, new: &SubmitJob) -> Result<Target> {
    let me = work.core.id;
    let wanted = new.privacy.map_or(0, level_number);
    let low = "The level chosen for this contact is below the one that the job asks for: raise it in the conversation first.";
    match &new.to {
        JobTarget::ThisDevice => Ok(Target::Here),
        JobTarget::Anyone => {
            let possible = workers::possible(work).await?;
            if possible.is_empty() {
                return Err(refused("There is nobody to run it: add a contact first, and accept them."));
            }
            if !possible.iter().any(|c| level_number(c.level()) >= wanted) {
                return Err(refused(low));
            }
            Ok(Target::Anyone)
        }
        JobTarget::Contacts { peers } => {
            let mut persons = Vec::new();
            for peer in peers {
                let contact = contacts::named(work.conn(), peer).await?;
                if contact.state == ContactState::Blocked {
                    return Err(refused("You have blocked this person."));
                }
                if !records::shares_ledger(work, &contact).await? {
                    return Err(refused(
                        "This contact is in another network, with another ledger: jobs go to members of your own.",
                    ));
                }
                if level_number(contact.level()) < wanted {
                    return Err(refused(low));
                }
                if contact.id != me && !persons.contains(&contact.id) {
                    persons.push(contact.id);
                }
            }
            Ok(Target::Persons(persons))
        }
    }
}

fn program(new: &SubmitJob, files: &Files) -> Result<Program> {
    Ok(match &new.program {
        JobProgram::Wasm { module, deterministic } => {
            Program::Wasm { module: files.blob(module)?, deterministic: *deterministic }
        }
        JobProgram::Container { image, archive, entrypoint } => Program::Container {
            image: Image {
                reference: image.clone(),
                archive: archive.as_deref().map(|a| files.blob(a)).transpose()?,
            },
            entrypoint: entrypoint.clone(),
        },
    })
}

pub(crate) async fn submit(core: &Arc<Core>, new: SubmitJob) -> Result<JobView> {
    let blobs = core.compute.engine.blobs().clone();
    let hashes = named(&new)?;
    let wasm = matches!(new.program, JobProgram::Wasm { .. });
    let described = tokio::task::spawn_blocking(move || describe(&blobs, &hashes, wasm));
    let files = match described.await.map_err(internal)? {
        Ok(files) => Files(files),
        Err(BlobError::NotAFile(_)) => {
            return Err(bad_input(
                "This is not a WASM module: such a file begins with the bytes 00 61 73 6d. Build for wasm32-wasip1.",
            ));
        }
        Err(e) => return Err(engine_error(EngineError::Blob(e))),
    };
    let input = |input: &JobInput| Ok((input.name.clone(), files.source(&input.source)?));
    let mut work = Work::begin(core).await?;
    let spec = OrderSpec {
        name: new.name.clone(),
        program: program(&new, &files)?,
        stdin: new.stdin.as_ref().map(|source| files.source(source)).transpose()?,
        inputs: new.inputs.iter().map(input).collect::<Result<_>>()?,
        args: new.args.clone(),
        env: new.env.clone(),
        limits: fog_jobs::Limits {
            seconds: new.limits.seconds,
            memory_bytes: u64::from(new.limits.memory_mib) * MIB,
            output_bytes: u64::from(new.limits.output_mib) * MIB,
            millicores: new.limits.millicores,
            storage_bytes: u64::from(new.limits.storage_mib) * MIB,
            pids: new.limits.pids,
        },
        class: match new.class {
            SlaClass::S => Class::S,
            SlaClass::A => Class::A,
            SlaClass::B => Class::B,
        },
        privacy: new.privacy.map_or(0, level_number),
        network: new.network,
        deadline_ms: new.deadline.map(|at| (at.max(0.0) * 1000.0) as u64),
        price_limit: new.price_limit.map(|a| a.0),
        target: target(&mut work, &new).await?,
        checkpoint_seconds: new.checkpoint_seconds.unwrap_or(CHECKPOINT_SECONDS),
    };
    if spec.target != Target::Here {
        // Told at once rather than by a job that waits for ever.
        let ceiling = fog_jobs::price::price_ceiling(&spec.limits, spec.class, 0);
        let needed = spec.price_limit.unwrap_or(ceiling);
        let balance = ledger::balance(work.conn(), &core.id).await.map_err(api)?;
        if balance < needed {
            return Err(refused(format!(
                "You have {} FOG, and a run may cost {} FOG: lower its limits.",
                Amount(balance),
                Amount(needed)
            )));
        }
    }
    let array = new.array.map(|array| (array.first, array.last));
    let needs = new.depends_on.iter().map(|id| job_id(id)).collect::<Result<_>>()?;
    let now = work.now();
    let order = core.compute.engine.submit(work.conn(), NewOrder { spec, array, needs }, now).await;
    let order = order.map_err(engine_error)?;
    let view = view::order(work.conn(), core, &order).await?;
    work.after(After::Changed {
        orders: [order.id].into(),
        jobs: Default::default(),
        people: Default::default(),
    });
    work.after(After::Jobs);
    work.commit().await?;
    Ok(view)
}

pub(crate) async fn cancel(core: &Arc<Core>, id: &str) -> Result<JobView> {
    let id = job_id(id)?;
    let mut work = Work::begin(core).await?;
    let now = work.now();
    let engine = &core.compute.engine;
    let actions = match engine.cancel(work.conn(), &id, now).await {
        // Not an order of mine, so perhaps a job that runs here for somebody.
        Err(EngineError::UnknownOrder) => engine.stop(work.conn(), &id, now).await,
        done => done,
    };
    perform(&mut work, actions.map_err(engine_error)?).await?;
    let view = view::load(work.conn(), core, &id).await?;
    work.commit().await?;
    Ok(view)
}

pub(crate) async fn retry(core: &Arc<Core>, id: &str) -> Result<JobView> {
    let id = job_id(id)?;
    let mut work = Work::begin(core).await?;
    let now = work.now();
    let actions = core.compute.engine.retry(work.conn(), &id, now).await.map_err(engine_error)?;
    perform(&mut work, actions).await?;
    let view = view::load(work.conn(), core, &id).await?;
    work.commit().await?;
    Ok(view)
}
