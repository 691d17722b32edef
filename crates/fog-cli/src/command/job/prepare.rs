//! `fog job prepare`: makes a module movable.

use crate::args::Global;
use crate::output::show;
use anyhow::{Context, Result};
use fog_api::{ApiError, ErrorKind};
use fog_jobs::prepare::{Prepared, prepare};
use std::path::Path;

pub(super) fn run(global: &Global, path: &Path, output: &Path) -> Result<()> {
    let prepared = module(path)?;
    std::fs::write(output, &prepared.module)
        .with_context(|| format!("{} cannot be written", output.display()))?;
    let reply = serde_json::json!({
        "file": output,
        "bytes": prepared.module.len(),
        "functions": prepared.functions,
        "rewritten": prepared.rewritten,
    });
    show(global, &reply, |out, _| {
        writeln!(
            out,
            "{}: {} bytes, {} of {} functions can be put away at a checkpoint",
            output.display(),
            prepared.module.len(),
            prepared.rewritten,
            prepared.functions
        )
    })
}

/// The module in this file, made movable.
pub(super) fn module(path: &Path) -> Result<Prepared> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    prepare(&bytes).map_err(|e| ApiError::new(ErrorKind::BadInput, format!("{}: {e}", path.display())).into())
}
