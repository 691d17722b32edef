//! Trouble on purpose, for tests with real processes. There is none in release builds: without debug assertions these
//! functions do nothing and read no variable.
//!
//! | Variable | Effect |
//! |---|---|
//! | `FOG_TEST_FALSIFY=1` | this device's outputs are wrong: a line is added to each standard output |
//! | `FOG_TEST_HASTE=N` | silence, pauses and signs of life in the job protocol are N times shorter |

use fog_jobs::engine::EngineConfig;
use fog_jobs::{RunError, RunOutcome};

/// Makes the output wrong, where a test asks for it.
#[cfg(debug_assertions)]
pub(super) fn falsify(outcome: &Result<RunOutcome, RunError>) {
    use std::io::Write;
    if std::env::var_os("FOG_TEST_FALSIFY").is_none() {
        return;
    }
    if let Ok(outcome) = outcome
        && let Ok(mut file) = std::fs::File::options().append(true).open(&outcome.stdout)
    {
        tracing::warn!("a test has this device falsify an output");
        _ = writeln!(file, "falsified {}", std::process::id());
    }
}

#[cfg(not(debug_assertions))]
pub(super) fn falsify(_: &Result<RunOutcome, RunError>) {}

/// Makes the protocol less patient, where a test asks for it.
#[cfg(debug_assertions)]
pub(super) fn hasten(config: &mut EngineConfig) {
    let haste = std::env::var("FOG_TEST_HASTE").ok().and_then(|n| n.parse::<u64>().ok());
    let Some(haste) = haste.filter(|n| *n > 1) else { return };
    config.heartbeat_ms /= haste;
    config.yield_ms /= haste;
    config.retry_after_ms /= haste;
    config.patience.answer_ms /= haste;
    config.patience.doubt_ms /= haste;
    config.patience.silence_ms /= haste;
    config.patience.owner_ms /= haste;
}

#[cfg(not(debug_assertions))]
pub(super) fn hasten(_: &mut EngineConfig) {}
