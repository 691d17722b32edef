//! `fog-compute`: the window.

#![cfg_attr(all(windows, not(debug_assertions)), windows_subsystem = "windows")]

use std::process::ExitCode;

fn main() -> ExitCode {
    // Jobs run in this program's child processes: nothing of the rest may be set up in them.
    if std::env::args_os().nth(1).is_some_and(|a| a == "worker") {
        return ExitCode::from(u8::try_from(fog_jobs::worker::main()).unwrap_or(1));
    }
    fog_app::run()
}
