//! Runs real worker processes on programs that behave and programs that do not. This binary is both the tests and the
//! worker process: the first argument `worker` makes it the latter. Other arguments select tests by a part of the name.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod processes;
mod programs;
mod whole;

use fog_jobs::spec::Limits;
use fog_jobs::{Events, Program, RunError, RunHandle, RunOutcome, RunRequest, Sandbox};
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "worker") {
        std::process::exit(fog_jobs::worker::main());
    }
    if args.first().is_some_and(|arg| arg == "node") {
        let run = program(LOOP);
        println!("{:?}", run.run());
        return;
    }
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in TESTS {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        let began = Instant::now();
        let result = std::panic::catch_unwind(test);
        passed += usize::from(result.is_ok());
        failed += usize::from(result.is_err());
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.2?})", began.elapsed());
    }
    // As the standard runner says it, so that whoever adds up results counts these, too.
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out");
    std::process::exit(i32::from(failed > 0));
}

const TESTS: &[(&str, fn())] = &[
    ("echo_copies_input_to_output", programs::echo_copies_input_to_output),
    ("exit_code_and_stderr_are_kept", programs::exit_code_and_stderr_are_kept),
    ("arguments_arrive_and_nothing_else", programs::arguments_arrive_and_nothing_else),
    ("fuel_is_the_same_number_each_time", programs::fuel_is_the_same_number_each_time),
    ("not_wasm_is_refused", programs::not_wasm_is_refused),
    ("a_library_is_refused", programs::a_library_is_refused),
    ("an_endless_loop_ends", programs::an_endless_loop_ends),
    ("an_endless_sleep_ends", programs::an_endless_sleep_ends),
    ("growing_to_8_gib_ends", programs::growing_to_8_gib_ends),
    ("starting_with_8_gib_ends", programs::starting_with_8_gib_ends),
    ("growing_slowly_ends_at_the_limit", programs::growing_slowly_ends_at_the_limit),
    ("opening_files_is_denied", programs::opening_files_is_denied),
    ("no_folder_is_open", programs::no_folder_is_open),
    ("sockets_are_denied", programs::sockets_are_denied),
    ("an_unknown_import_is_named", programs::an_unknown_import_is_named),
    ("endless_printing_ends", programs::endless_printing_ends),
    ("endless_complaining_is_cut", programs::endless_complaining_is_cut),
    ("deep_recursion_is_a_trap", programs::deep_recursion_is_a_trap),
    ("unreachable_is_a_trap", programs::unreachable_is_a_trap),
    ("a_killed_worker_is_reported", processes::a_killed_worker_is_reported),
    ("the_child_dies_with_its_node", processes::the_child_dies_with_its_node),
    ("cancel_kills_at_once", processes::cancel_kills_at_once),
    ("a_quarter_of_a_core", processes::a_quarter_of_a_core),
    ("a_pause_does_not_count", processes::a_pause_does_not_count),
    ("sleeping_while_parked_does_not_count", processes::sleeping_while_parked_does_not_count),
    ("a_job_from_offer_to_pay", whole::a_job_from_offer_to_pay),
    ("a_missing_module_is_the_devices_fault", processes::a_missing_module_is_the_devices_fault),
    ("the_child_has_nothing_of_ours", processes::the_child_has_nothing_of_ours),
    ("word_count_counts_as_wc_does", whole::word_count_counts_as_wc_does),
];

/// Imports that most of the programs below use.
const HEAD: &str = r#"
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
"#;

struct Run {
    folder: tempfile::TempDir,
    module: Vec<u8>,
    input: Option<Vec<u8>>,
    args: Vec<String>,
    limits: Limits,
    share: f64,
}

fn program(body: &str) -> Run {
    let text = format!("(module {HEAD} {body})");
    Run::new(wat::parse_str(text).unwrap())
}

impl Run {
    fn new(module: Vec<u8>) -> Self {
        let limits = Limits { seconds: 20, memory_bytes: 64 << 20, output_bytes: 1 << 20 };
        let folder = tempfile::tempdir().unwrap();
        Self { folder, module, input: None, args: Vec::new(), limits, share: 1.0 }
    }

    fn request(&self) -> RunRequest {
        let module = self.folder.path().join("module.wasm");
        std::fs::write(&module, &self.module).unwrap();
        let input = self.input.as_ref().map(|bytes| {
            let path = self.folder.path().join("input");
            std::fs::write(&path, bytes).unwrap();
            path
        });
        let scratch = self.folder.path().join("scratch");
        RunRequest {
            args: self.args.clone(),
            stdin: input,
            ..RunRequest::new(Program::wasm(module), self.limits, scratch)
        }
    }

    fn run(&self) -> Result<RunOutcome, RunError> {
        runtime().block_on(sandbox().run(self.request(), &RunHandle::new(self.share), Events::none()))
    }

    fn output(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("scratch/stdout")).unwrap()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn sandbox() -> Sandbox {
    Sandbox::new(vec![std::env::current_exe().unwrap().into(), "worker".into()])
}

const ECHO: &str = r#"
  (memory (export "memory") 4)
  (func (export "_start") (local $n i32)
    (loop $again
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 65536))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $n (i32.load (i32.const 8)))
      (if (local.get $n) (then
        (i32.store (i32.const 4) (local.get $n))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br $again)))))
"#;

const LOOP: &str = r#"(func (export "_start") (loop $l (br $l)))"#;
