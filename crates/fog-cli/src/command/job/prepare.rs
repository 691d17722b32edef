//! `fog job prepare`: makes a module movable, on this computer and without a node.

use crate::args::Global;
use crate::output::show;
use anyhow::{Context, Result};
use fog_jobs::prepare::{Prepared, prepare};
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// What was done, for `--json`.
#[derive(Serialize)]
struct Done {
    /// The movable module's file.
    output: String,
    /// Bytes before.
    bytes_before: usize,
    /// Bytes after.
    bytes: usize,
    /// Functions that can put their part of the stack away.
    rewritten: u32,
    /// All functions that it had.
    functions: u32,
}

pub(crate) fn run(global: &Global, input: &Path, output: &Path) -> Result<()> {
    let module = std::fs::read(input).with_context(|| format!("{} cannot be read", input.display()))?;
    let Prepared { module: movable, rewritten, functions } =
        prepare(&module).with_context(|| input.display().to_string())?;
    std::fs::write(output, &movable).with_context(|| format!("{} cannot be written", output.display()))?;
    let done = Done {
        output: output.display().to_string(),
        bytes_before: module.len(),
        bytes: movable.len(),
        rewritten,
        functions,
    };
    show(global, &done, |out, done| {
        writeln!(
            out,
            "{}: can be stopped and go on elsewhere ({} of {} functions rewritten, {} KB, before {} KB)",
            done.output,
            done.rewritten,
            done.functions,
            done.bytes / 1000,
            done.bytes_before / 1000
        )
    })
}
