//! What came out of a job.

use super::{engine_error, job_id};
use crate::core::Core;
use crate::error::{Result, database, internal};
use crate::identity::hex;
use fog_api::{ArchivedFile, JobOutputs, OutputFile};
use fog_jobs::BlobRef;
use std::fs::File;
use std::path::Path;

/// Files that are listed of one archive.
const MAX_FILES: usize = 10_000;

/// The outputs of one of my jobs.
pub(crate) async fn outputs(core: &Core, id: &str) -> Result<JobOutputs> {
    let id = job_id(id)?;
    let mut conn = core.pool.acquire().await.map_err(database)?;
    let order = core.compute.engine.order(&mut conn, &id).await.map_err(engine_error)?;
    drop(conn);
    let mut outputs = JobOutputs { stdout: None, archive: None, files: Vec::new() };
    let Some((found, _)) = order.result else { return Ok(outputs) };
    let blobs = core.compute.engine.blobs().clone();
    let file = |blob: &BlobRef| OutputFile { hash: hex(&blob.hash), bytes: blob.size };
    outputs.stdout = blobs.has(&found.stdout.hash).then(|| file(&found.stdout));
    if let Some(archive) = &found.files
        && let Some(path) = blobs.path(&archive.hash)
    {
        outputs.archive = Some(file(archive));
        let listed = tokio::task::spawn_blocking(move || list(&path));
        outputs.files = listed.await.map_err(internal)?;
    }
    Ok(outputs)
}

/// The files in an archive that a stranger's device made: what cannot be read ends the list.
fn list(path: &Path) -> Vec<ArchivedFile> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    let mut archive = tar::Archive::new(file);
    let Ok(entries) = archive.entries_with_seek() else { return Vec::new() };
    entries
        .map_while(std::result::Result::ok)
        .filter(|entry| entry.header().entry_type().is_file())
        .map(|entry| ArchivedFile {
            name: String::from_utf8_lossy(&entry.path_bytes()).into_owned(),
            bytes: entry.size(),
            offset: entry.raw_file_position(),
        })
        .take(MAX_FILES)
        .collect()
}
