//! What is made of a child's last words, or of its silence.

use super::Paths;
use super::protocol::Finished;
use crate::run::{RunError, RunOutcome};
use crate::spec::Limits;
use std::fs;
use std::path::Path;
use std::process::ExitStatus;

/// Reads the cause out of the way in which a child died.
pub(super) fn died(status: Option<ExitStatus>, reason: &str, stderr: &str, limits: Limits) -> RunError {
    #[cfg(unix)]
    {
        use rustix::process::Signal;
        use std::os::unix::process::ExitStatusExt;
        match status.and_then(|status| status.signal()).and_then(Signal::from_named_raw) {
            Some(Signal::XCPU) => return RunError::TimeLimit(limits.seconds),
            Some(Signal::XFSZ) => return RunError::OutputLimit(limits.output_bytes),
            Some(Signal::SYS) => {
                return RunError::Denied(
                    "a system call that only an escape from the sandbox would make".into(),
                );
            }
            _ => {}
        }
    }
    if stderr.contains("memory allocation of") {
        return RunError::MemoryLimit(limits.memory_bytes);
    }
    let how = status.map_or_else(|| reason.to_owned(), |status| status.to_string());
    RunError::WorkerDied(if stderr.is_empty() { how } else { format!("{how}: {stderr}") })
}

/// Checks what the child claims against what can be checked here.
pub(super) fn outcome(finished: Finished, paths: &Paths, limits: Limits) -> Result<RunOutcome, RunError> {
    // A tar archive has a header and padding for each file.
    const ARCHIVE_HEADROOM: u64 = 64 * 1024 * 1024;
    let stdout = size(&paths.stdout)?;
    if stdout > limits.output_bytes {
        return Err(RunError::OutputLimit(limits.output_bytes));
    }
    let archive = size(&paths.files)?;
    if archive > limits.output_bytes.saturating_add(ARCHIVE_HEADROOM) {
        return Err(RunError::OutputLimit(limits.output_bytes));
    }
    // Never billed above the limits, even if the last pause came a few milliseconds late.
    let totals = finished.totals;
    let wall_ms = totals.wall_ms.min(u64::from(limits.seconds) * 1000);
    Ok(RunOutcome {
        exit_code: finished.exit_code,
        stdout: paths.stdout.clone(),
        files: (finished.files && archive > 0).then(|| paths.files.clone()),
        stderr_tail: finished.stderr_tail,
        fuel: totals.fuel,
        cpu_ms: totals.cpu_ms.min(wall_ms),
        wall_ms,
        memory_peak: totals.memory_peak.min(limits.memory_bytes),
    })
}

fn size(path: &Path) -> Result<u64, RunError> {
    let meta =
        fs::symlink_metadata(path).map_err(|e| RunError::WorkerDied(format!("its output is gone: {e}")))?;
    if !meta.is_file() {
        return Err(RunError::WorkerDied("its output is not an ordinary file".into()));
    }
    Ok(meta.len())
}
